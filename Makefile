# Short names for the commands that are used every day. CI runs .ci/run, which is also: make ci
.DEFAULT_GOAL := help
export PATH := $(CURDIR)/.cache/bin:$(PATH)

.PHONY: help
help: ## print this list
	@sed -n 's/^\([a-z0-9]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

.PHONY: build
build: ## build the program for this machine
	go build -o trainbridge ./cmd/trainbridge

.PHONY: demo
demo: ## show the program at work, without a key or a network
	go run ./cmd/trainbridge demo

.PHONY: test
test: ## run the tests
	go test ./...

.PHONY: race
race: ## run the tests with the race detector
	.ci/run test

.PHONY: format
format: ## format the code
	gofmt -s -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: docs
docs: ## write the metrics reference anew
	go run ./cmd/trainbridge metrics-reference --write docs/METRICS.md

.PHONY: lint
lint: ## run the linters
	.ci/tools golangci-lint
	.ci/run lint

.PHONY: fuzz
fuzz: ## run every fuzz target for a few seconds
	.ci/run fuzz

.PHONY: e2e
e2e: ## test against a real Prometheus, OTLP receiver and Jaeger (minutes to build them the first time)
	.ci/run tools e2e

.PHONY: cross
cross: ## build the program for every system it is released for
	.ci/run cross

.PHONY: ci
ci: ## everything that CI does
	.ci/run

.PHONY: clean
clean: ## remove what was built here
	rm -rf trainbridge .cache
