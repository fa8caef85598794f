#!/bin/sh
# Rewrites main.go, components.go, go.mod and go.sum from builder.yaml, with the
# builder that ../builder/go.mod pins.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
go build -C ../builder -o "$bin/builder" go.opentelemetry.io/collector/cmd/builder
"$bin/builder" --config builder.yaml --skip-compilation
