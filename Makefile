# Recipes stay short: what is longer lives in scripts/.
.DEFAULT_GOAL := help
.PHONY: help dev test check bench scale simulate skew wasm npm fuzz fmt
SHELL := /bin/bash
ENV := . scripts/env.sh &&
TARGET := $(or $(CARGO_TARGET_DIR),target)

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Always the whole workspace: with fewer packages cargo would choose other features and build everything again.
dev: ## run everything locally until Ctrl-C; prints `ready` when it is
	@scripts/provision wasm node
	@scripts/build-edge
	$(ENV) cargo build --workspace --bins
	@$(ENV) exec $(TARGET)/debug/dev

test: ## install what is missing, build, run every test
	@scripts/provision wasm pack node postgres nginx python schemathesis browser
	@scripts/build-edge
	@scripts/build-edge test-routes
	@scripts/build-npm
	$(ENV) cargo build --workspace --bins --tests
	@scripts/run-tests

check: ## formatting, lints, licences, spelling, dependency rules
	@scripts/provision check
	@scripts/check

bench: ## measure: tables on the screen, JSON in target/bench
	@scripts/provision wasm node postgres
	@scripts/build-edge
	$(ENV) cargo build --release --workspace --bins
	@$(ENV) exec $(TARGET)/release/bench

scale: ## on both databases: 20,000 grants; 5,000 revocations under load; 1,000,000 requests counted; lists over 1,000,000 keys
	@scripts/provision wasm node postgres
	@scripts/build-edge
	$(ENV) cargo build --release --workspace --bins
	@$(ENV) exec $(TARGET)/release/scale

simulate: ## a million schedules of the revocation protocol, then the large world; ARGS='--seed N' shows one
	$(ENV) cargo build --release --workspace --bins
	@$(ENV) exec $(TARGET)/release/simulate $(ARGS)

skew: ## the edge of the previous release under this control plane, and the reverse
	@scripts/skew

wasm: ## build the edge Worker and print its size
	@scripts/build-edge

npm: ## build the npm package @portcullis/edge into target/npm
	@scripts/build-npm

fuzz: ## run every fuzz target for a minute, from its seeds
	@scripts/fuzz

fmt: ## format the code
	$(ENV) cargo fmt --all
