# The one interface to the repository: `make help` lists what it can do.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

# How often each fuzz target runs, or how long, such as 10m. The default is a number, because Go before 1.27 can fail a
# target whose time is over on a busy machine (go.dev/issue/75804).
FUZZTIME ?= 20000x
# Packages whose tests write files when called with -update.
GOLDEN = $(sort $(dir $(shell grep -rl --include='*_test.go' --exclude-dir=golden --exclude-dir=e2e --exclude-dir=benchmarks toolkit/internal/golden .)))
# Every module that holds code; those under tools only pin programs.
MODULES := . $(filter-out tools,$(patsubst %/go.mod,%,$(wildcard */go.mod examples/*/go.mod)))
# Tools are pinned in tools/go.mod; Go builds them once and keeps them in its cache.
LINT := go tool -modfile=$(CURDIR)/tools/go.mod golangci-lint

.PHONY: help
help: ## Say what there is to do
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

.PHONY: test
test: ## Unit tests and examples; they need nothing but Go
	go test ./...

.PHONY: race
race: ## Unit tests under the race detector
	go test -race ./...

.PHONY: lint
lint: ## Static checks, formatting and the direction of imports
	for module in $(MODULES); do (cd "$$module" && $(LINT) run ./...); done

.PHONY: fmt
fmt: ## Mend formatting, and what else can be mended automatically
	for module in $(MODULES); do (cd "$$module" && $(LINT) run --fix ./...); done

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME
	@list=$$(go test -list '^Fuzz' ./...); \
	awk '/^Fuzz/ { names[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print $$2, names[i]; n = 0 }' <<<"$$list" | \
	while read -r package name; do \
		echo "$$package $$name"; \
		go test -run '^$$' -fuzz "^$$name$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x "$$package"; \
	done

.PHONY: bench
bench: ROUNDS ?= 10
bench: ## Measure side by side with the peers, for a minute or two, and write docs/benchmarks.md
	cd benchmarks && go run . -rounds $(ROUNDS) -page ../docs/benchmarks.md

.PHONY: e2e
e2e: ## Tests with real binaries; the first run builds them, which takes minutes
	cd e2e && go test -count=1 -timeout 40m ./...

.PHONY: generate
generate: ## Write everything that is generated from code
	go generate ./...
	go test $(GOLDEN) -update
	cd benchmarks && go test -run '^TestKnownFailuresPage$$' . -update

.PHONY: check-generated
check-generated: generate ## Fail when a generated file was not committed
	@changes=$$(git status --porcelain); \
	if [[ -n "$$changes" ]]; then echo "$$changes"; git diff; echo "run make generate and commit the result"; exit 1; fi

.PHONY: up
up: ## Start the demo stack; GRAFANA_ADMIN_PASSWORD must be set
	@: "$${GRAFANA_ADMIN_PASSWORD:?choose a password for Grafana and export it}"
	docker compose up --detach --build

.PHONY: down
down: ## Stop the demo stack; its data stays
	GRAFANA_ADMIN_PASSWORD=$${GRAFANA_ADMIN_PASSWORD:-unused} docker compose down
