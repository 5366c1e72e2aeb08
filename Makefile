# The usual ways to build, try and check Eve. `make` alone says which.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

# RELEASE=1 builds with optimisations, which takes about four times as long.
ifeq ($(RELEASE),1)
profile := release
profile_flag := --release
else
profile := debug
profile_flag :=
endif
binary := $(or $(CARGO_TARGET_DIR),target)/$(profile)/eve

# For CI: CARGO_FLAGS=--locked, NEXTEST_PROFILE=ci
CARGO_FLAGS ?=

# Queries are checked against .sqlx; `cargo xtask sqlx` is what needs a database.
export SQLX_OFFLINE := true

# $(call step,NAME,COMMAND): runs the command and says how long it took.
define step
@printf '\n==> %s\n' "$(1)"; SECONDS=0; $(2); printf '<== %s: %d s\n' "$(1)" "$$SECONDS"
endef

.PHONY: help
help: ## Say what can be made
	@printf 'Usage: make TARGET [RELEASE=1]\n\n'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: demo
demo: ## See Eve at work: install what is missing, build, run a scripted agent
	$(call step,prepare,scripts/prepare.sh)
	$(call step,build eve ($(profile)),cargo build $(profile_flag) $(CARGO_FLAGS) --package eve)
	@exec $(binary) demo

.PHONY: clean-demo
clean-demo: ## Remove what demos have left behind
	@for dir in "$${TMPDIR:-/tmp}"/eve-demo*; do \
		[[ -d $$dir ]] || continue; \
		if ! flock --nonblock "$$dir/data/eve.lock" true; then echo "$$dir is in use"; continue; fi; \
		rm -rf -- "$$dir"; echo "removed $$dir"; \
	done

.PHONY: build
build: ## Build the eve binary
	$(call step,build eve ($(profile)),cargo build $(profile_flag) $(CARGO_FLAGS) --package eve)
	@echo "$(binary)"

.PHONY: lint
lint: ## Check format, lints, layers and dependencies
	$(call step,format,cargo fmt --all --check)
	$(call step,tidy,cargo xtask tidy)
	$(call step,clippy,cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- --deny warnings)
	$(call step,deny,$(deny))

# Optional, because it takes minutes to install; tidy always looks for the crates that must not be built. Advisories
# are left out: they need the network.
deny = if command -v cargo-deny >/dev/null; then \
		cargo fetch --locked --quiet; cargo deny --offline check bans licenses sources; \
	else echo 'cargo-deny is not installed, skipped'; fi

.PHONY: test
test: ## Check and test everything, with the real agent CLIs
	$(call step,prepare,scripts/prepare.sh --tests)
	@$(MAKE) --no-print-directory lint
	$(call step,tests,$(agent_clis); cargo nextest run $(CARGO_FLAGS) --workspace)
	$(call step,documentation tests,cargo test $(CARGO_FLAGS) --quiet --workspace --doc)
	$(call step,torture (a sample),cargo xtask torture --short)

.PHONY: torture
torture: ## Break a whole Eve for an hour, check what it promises, write docs/torture.md
	$(call step,torture,cargo xtask torture --full)

# The tests must use these very versions, and fail without them.
agent_clis = \
	agents=$$(scripts/agent-clis.sh | sed "s/^\([a-z]*\)=\(.*\)/export EVE_\U\1\E_BIN='\2'/"); \
	eval "$$agents"; \
	export EVE_REQUIRE_AGENT_CLIS=1

.PHONY: bench
bench: ## Measure the release binary and the queue
	$(call step,build eve (release),cargo build --release $(CARGO_FLAGS) --package eve)
	$(call step,size,cargo xtask bench size)
	$(call step,start,cargo xtask bench start)
	$(call step,queue,cargo xtask bench queue)
