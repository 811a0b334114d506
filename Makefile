# Everything a developer or CI calls. `make help` lists the targets.
# On a fresh machine: Rust, Node with npm, git and Python 3; the tests that run `gh` are skipped where it isn't.

CLI_DIR := tests/cli
CLI_STAMP := $(CLI_DIR)/node_modules/.package-lock.json
# The newest Claude Code, apart from the pinned ones.
LATEST_DIR := $(CLI_DIR)/latest
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help cli build test test-big test-fast test-latest demo bench bench-daemon soak outage lint chaos fuzz fmt fmt-check clippy deny doc release static-check image-check clean

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

test-big: ## Archive and restore a workspace of 1.5 GiB in time and in little memory (release build, 4 GiB of disk)
	$(CARGO) build --release --locked -p executor --bin wegent-executor
	$(CARGO) test --release --locked -p wegent-executor-tests --test it -- --ignored --nocapture a_large_workspace

test-latest: ## Try the newest Claude Code on the tests that run the real one (says what is to come; gates nothing)
	mkdir -p $(LATEST_DIR)
	npm install --prefix $(LATEST_DIR) --ignore-scripts --no-audit --no-fund --no-progress @anthropic-ai/claude-code@latest
	claude=$$(find "$(CURDIR)/$(LATEST_DIR)/node_modules" -type f -path '*/claude-code-linux-*/claude' | head -n 1) && \
	test -n "$$claude" && "$$claude" --version && \
	WEGENT_TEST_CLAUDE="$$claude" $(CARGO) test --locked -p claude-code-agent --test it

demo: cli build ## A task for each agent from Wegent's request to the callbacks, with a scripted model
	$(CARGO) run --locked -q -p wegent-executor-tests --bin demo

bench: cli release ## Measure what an operator would ask about: start, memory, latency, size (release build)
	$(CARGO) run --release --locked -q -p wegent-executor-tests --bin figures

bench-daemon: cli ## Measure what codex-daemon adds to a warm question, and its cold start (release build)
	$(CARGO) test --release --locked -q -p codex-daemon --test it -- --ignored --nocapture what_a_warm_question_adds

# Another seed each time, which is printed.
CHAOS_SEED ?=
CHAOS_RUNS ?= 500
CHAOS_CLI ?= fake

chaos: cli build ## Turns in which everything goes wrong, CHAOS_RUNS (500) of them; CHAOS_SEED repeats one, CHAOS_CLI=codex or claude is the real one
	$(CARGO) run --locked -q -p wegent-executor-tests --bin chaos -- --seed "$(CHAOS_SEED)" --runs $(CHAOS_RUNS) --cli $(CHAOS_CLI)

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?=

fuzz: ## Fuzz what reads foreign bytes, FUZZ_SECONDS (600) per target, all of them or FUZZ_TARGETS
	fuzz/run.sh $(FUZZ_SECONDS) $(FUZZ_TARGETS)

SOAK_MINUTES ?= 10

soak: cli ## Run codex-daemon under load, crashes included, for SOAK_MINUTES (10) and show that nothing grows
	CODEX_DAEMON_SOAK_MINUTES=$(SOAK_MINUTES) $(CARGO) test --release --locked -q -p codex-daemon --test it -- --ignored --nocapture soak

OUTAGE_MINUTES ?= 10

outage: cli build ## Keep the callback endpoint away for OUTAGE_MINUTES (10) while an agent talks, and show that nothing is lost
	CI=true OUTAGE_MINUTES=$(OUTAGE_MINUTES) $(CARGO) test --locked -q -p wegent-executor-tests --test it -- --ignored --nocapture an_outage_for_real

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

# Each binary is one static file: it runs in any image, whatever C library that has. Without the second flag, random numbers
# would come from /dev in a static binary, which an empty root doesn't have: it can't find the system call's wrapper.
# `make bench` looks for the executor beside its own program, hence the copy there.
STATIC := -C target-feature=+crt-static --cfg getrandom_backend="linux_getrandom"
TARGET ?= $(shell uname -m)-unknown-linux-gnu
DIST := dist/$(if $(filter aarch64-%,$(TARGET)),arm64,amd64)
ifneq ($(TARGET),$(shell uname -m)-unknown-linux-gnu)
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER ?= aarch64-linux-gnu-gcc
endif
PACKAGES := executor codex-daemon
BINARIES := wegent-executor codex-daemon claude-codex

release: ## Build the release binaries, static, into dist/ (TARGET=aarch64-unknown-linux-gnu for the other architecture)
	for package in $(PACKAGES); do RUSTFLAGS='$(RUSTFLAGS) $(STATIC)' \
		$(CARGO) build --release --locked --target $(TARGET) -p $$package --bins || exit 1; done
	mkdir -p $(DIST) target/release
	install -m 755 $(BINARIES:%=target/$(TARGET)/release/%) $(DIST)
	if [ "$(TARGET)" = "$$(uname -m)-unknown-linux-gnu" ]; then install -m 755 $(BINARIES:%=$(DIST)/%) target/release; fi

static-check: release ## Start the static executor in an empty root folder, a Debian and a busybox; needs root
	tests/static-check.py $(DIST)/wegent-executor

image-check: release build ## Build the images without a container engine and try each; needs root, buildah, debootstrap
	docker/image-check.sh

clean:
	$(CARGO) clean
	rm -rf dist $(CLI_DIR)/node_modules $(LATEST_DIR)
