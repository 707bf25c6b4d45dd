# Everyday commands of this project. `make` alone lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

# The stack that `make demo` builds: demo (the stand-in for Forge, minutes) or cheesegrater (Forge itself).
STACK ?= demo
# Where it takes the application's tree from, instead of what the stack says: a folder, or a git URL@COMMIT.
FORGE ?=
# Where it takes torch from, instead of what pip is configured with: a wheel, a URL, or an index's URL.
TORCH ?=
# The folder of its archive, and the port that the archive is served on; by default the stack's and any free one.
ARCHIVE ?=
PORT ?=
# Everything that is downloaded is kept here, and used again.
export DEBTOOL_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/debtool

BIN := .venv/bin
READY := .venv/.ready
READY_FOR_TESTS := .venv/.ready-for-tests
DEBTOOL := $(BIN)/debtool --config repo/$(STACK).toml
# Throwaway roots are made by root only.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=DEBTOOL_CACHE,http_proxy,https_proxy,no_proxy,NO_COLOR)
PYTEST := $(BIN)/python -m pytest
# Side by side go only the tests that nothing else on the machine disturbs.
QUICK := -n auto -m "not (root or full or slow or exhaustive)"
LONG := -m "(root or full or slow) and not exhaustive"

.PHONY: help
help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
	@echo
	@echo "make demo takes STACK=demo|cheesegrater FORGE=PATH|GIT-URL@COMMIT TORCH=WHEEL|URL|INDEX-URL ARCHIVE=DIR PORT=N"

.PHONY: setup
setup: $(READY) ## install what is needed: Debian packages, and debtool into .venv

$(READY): pyproject.toml tools/setup
	@tools/setup
	@touch $@

$(READY_FOR_TESTS): pyproject.toml tools/setup
	@tools/setup --tests
	@touch $@ $(READY)

.PHONY: demo
demo: $(READY) ## build a stack for this machine's release, publish it, and prove it in a throwaway root
	$(DEBTOOL) release $(if $(ARCHIVE),--archive $(ARCHIVE)) \
	    $(if $(FORGE),--source forge=$(FORGE)) $(if $(TORCH),--source torch=$(TORCH))
	$(AS_ROOT) $(DEBTOOL) prove $(if $(ARCHIVE),--archive $(ARCHIVE)) $(if $(PORT),--port $(PORT))

.PHONY: lint
lint: $(READY_FOR_TESTS) ## style, types, and which room imports which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

.PHONY: check
check: lint ## lint and every test that needs neither root nor a whole stack: two to three minutes on two processors
	DEBTOOL_EXAMPLES=300 $(PYTEST) $(QUICK)

.PHONY: test
test: lint ## everything: throwaway roots, real apt, the demo's proof, a browser, the whole stack
	@mkdir -p .work
	$(AS_ROOT) $(PYTEST) --basetemp .work/tmp $(QUICK)
	$(AS_ROOT) $(PYTEST) --basetemp .work/tmp $(LONG)

.PHONY: laws
laws: $(READY_FOR_TESTS) ## try the laws of versions and relations on 100,000 examples each, and kill the patch at every call
	DEBTOOL_EXAMPLES=100000 $(PYTEST) tests/model -m hypothesis -n auto
	$(PYTEST) -m exhaustive

.PHONY: bench
bench: $(READY) ## measure a wheel becoming a package, and every stage of the demo
	$(BIN)/python benchmarks/wheel_to_deb.py
	$(BIN)/python benchmarks/wheel_to_deb.py --bytecode
	$(AS_ROOT) $(BIN)/python benchmarks/stages.py --cache $(DEBTOOL_CACHE) --prove

.PHONY: clean
clean: ## remove what was built here; what was downloaded stays in the cache
	rm -rf .venv .work dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -path ./.git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
