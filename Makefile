# The one interface to the repository: `make help` lists what it can do.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules --no-print-directory

# How long each fuzz target runs, or for how many inputs, such as 10000x.
FUZZTIME ?= 20s
# Packages whose tests write files when called with -update.
GOLDEN = $(sort $(dir $(shell grep -rl --include='*_test.go' --exclude-dir=golden --exclude-dir=e2e --exclude-dir=benchmarks --exclude-dir=dashboards toolkit/internal/golden .)))
# Every module that holds code; the others under tools only pin programs.
MODULES := . $(filter-out tools,$(patsubst %/go.mod,%,$(wildcard */go.mod examples/*/go.mod))) e2e/tools/history
# Tools are pinned in tools/go.mod; Go builds them once and keeps them in its cache.
TOOL := go tool -modfile=$(CURDIR)/tools/go.mod
LINT := $(TOOL) golangci-lint
# The database of known vulnerabilities: an http, https or file URL.
GOVULNDB ?= https://vuln.go.dev

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
	bash .ci/fuzz $(FUZZTIME)

# Only a database that gives no answer is passed over: curl says that it could not
# resolve, connect, get through a proxy, or get an answer in time.
.PHONY: vulnerabilities
vulnerabilities: ## Look for calls of known vulnerabilities, where their database can be reached
	@status=0; \
	case '$(GOVULNDB)' in http*) \
		curl --silent --show-error --fail --location --retry 2 --max-time 30 --output /dev/null '$(GOVULNDB)/index/db.json' || status=$$?;; \
	esac; \
	case $$status in \
	0) for module in $(MODULES); do echo "$$module"; (cd "$$module" && $(TOOL) govulncheck -db '$(GOVULNDB)' -test ./...); done;; \
	5 | 6 | 7 | 28 | 52 | 56) echo "skipped: database not reachable: $(GOVULNDB)";; \
	*) exit $$status;; \
	esac

.PHONY: bench
bench: ROUNDS ?= 10
bench: ## Measure side by side with the peers, for about six minutes, and write docs/benchmarks.md
	cd benchmarks && go run . -rounds $(ROUNDS) -page ../docs/benchmarks.md

.PHONY: soak
soak: ## Outages in real time and the memory they take; about 25 minutes
	OTELMON_SOAK=1 go test -count=1 -timeout 60m -run "^TestSoak" -v ./exporters

.PHONY: e2e
e2e: ## Tests with real binaries; the first run builds them, which takes minutes
	cd e2e && go test -count=1 -timeout 40m ./...

.PHONY: generate
generate: ## Write everything that is generated from code
	go generate ./...
	go test $(GOLDEN) -update
	cd benchmarks && go test -run '^TestKnownFailuresPage$$' . -update
	cd dashboards && go test -run '^TestFilesAreUpToDate$$' . -update

.PHONY: check-generated
check-generated: generate ## Fail when a generated file was not committed
	@changes=$$(git status --porcelain); \
	if [[ -n "$$changes" ]]; then echo "$$changes"; git diff; echo "run make generate and commit the result"; exit 1; fi

.PHONY: up
up: ## Start the stack, wait until it is healthy, print where it is; see .env.example
	@bash deploy/up.sh

.PHONY: down
down: ## Stop the stack; its data stays
	GRAFANA_ADMIN_PASSWORD=$${GRAFANA_ADMIN_PASSWORD:-unused} docker compose --profile '*' down

.PHONY: check-grafana
check-grafana: ## Ask every panel of the running stack's Grafana for its data
	cd e2e && go run ./cmd/check-grafana

.PHONY: collector-load
collector-load: ## Measure the shipped Collector on one core; takes two idle cores and three minutes
	cd e2e && OTELMON_COLLECTOR_LOAD=1 go test -count=1 -timeout 10m -run '^TestCollectorLoad$$' -v .

.PHONY: scale
scale: ## Measure rules and dashboards on 50 services and 30 days of history, for about five minutes
	cd e2e && OTELMON_SCALE=1 go test -count=1 -timeout 20m -run '^TestScale' -v .
