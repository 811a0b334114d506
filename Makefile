# Everything a developer or CI calls. `make help` lists the targets.
# On a fresh machine: Rust, Node with npm, git and Python 3.

CLI_DIR := tests/cli
CLI_STAMP := $(CLI_DIR)/node_modules/.package-lock.json
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help cli build test test-fast demo bench lint fmt fmt-check clippy deny doc release clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

$(CLI_STAMP): $(CLI_DIR)/package.json $(CLI_DIR)/package-lock.json
	cd $(CLI_DIR) && npm ci --no-audit --no-fund --no-progress
	@touch $@

cli: $(CLI_STAMP) ## Install the pinned agent CLIs into tests/cli/node_modules

build: ## Build every binary (debug)
	$(CARGO) build --workspace --bins --locked

test: cli build ## Run every test, the ones on the real CLIs included
	$(CARGO) test --workspace --locked

test-fast: ## Run the tests that need no CLI (the others say that they are skipped)
	$(CARGO) test --workspace --locked --exclude wegent-executor-tests

demo: cli build ## One Codex task from Wegent's request to the callbacks, with a scripted model
	$(CARGO) run --locked -q -p wegent-executor-tests --bin demo

bench: cli release ## Measure what an operator would ask about: start, memory, latency, size (release build)
	$(CARGO) run --release --locked -q -p wegent-executor-tests --bin figures

fmt: ## Format the code
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

clippy: ## Lint
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny: ## Check licences, bans and sources of dependencies
	$(CARGO) deny --locked check bans licenses sources

doc: ## Build the documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

lint: fmt-check clippy deny doc ## Everything but the tests

release: ## Build the release binary
	$(CARGO) build --release --locked -p executor --bin wegent-executor

clean:
	$(CARGO) clean
	rm -rf $(CLI_DIR)/node_modules
