# Two commands do all: `make demo` and `make test`. Everything runs in .venv; nothing is fetched from a model or data hub.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
AXE := $(VENV)/axe/package/axe.min.js
AXE_VERSION := 4.14.1
# Three processes (many tests wait for a server), a file of tests to each at a time, in the order of tests/conftest.py.
SHARED_OUT := -n 3 --dist loadfile --no-loadscope-reorder
FAST := -m 'not slow and not browser'
export AGORA_PROGRESS ?=
# Without byte code each of the many processes that tests start would compile every module anew, also the libraries';
# images of containers often forbid it.
unexport PYTHONDONTWRITEBYTECODE
# Python 3.11 or later with venv; on Debian the module is a package of its own.
.DEFAULT_GOAL := help

.PHONY: help setup demo test test-fast test-all test-browser harness lint bench docs clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## make .venv with the package and its development tools

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Agora needs Python 3.11 or later; set PYTHON=/path/to/python3.11"; exit 3; }
	@$(PYTHON) -m venv $(VENV) || { echo "python venv is missing: apt-get install python3-venv"; exit 3; }
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP) ## align a small model end to end and print the path of the report (about four minutes)
	$(BIN)/agora loop --out runs/demo

test: $(STAMP) style ## lint, type-check and test (eight to nine minutes on two cores)
	@$(MAKE) --no-print-directory -j2 types test-fast-only

test-fast: $(STAMP) test-fast-only ## the unit tests alone

.PHONY: test-fast-only
test-fast-only: $(COMPILED)
	OMP_NUM_THREADS=1 $(BIN)/pytest $(SHARED_OUT) $(FAST)

# One process compiles what the three would compile each, as all of them read all tests.
$(COMPILED): $(STAMP)
	@$(BIN)/pytest --collect-only -qq $(FAST) >/dev/null || true
	@touch $@

test-all: $(STAMP) lint ## every test, the slow ones too
	@command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
		{ apt-get update -qq && apt-get install -y -qq postgresql >/dev/null; } || echo "no PostgreSQL: its tests are skipped"
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench,serve-peer,embed,ray]'
	AGORA_EXAMPLES=all OMP_NUM_THREADS=1 $(BIN)/pytest $(SHARED_OUT) -m 'not browser'
	$(MAKE) test-browser

test-browser: $(STAMP) ## tests in a real headless Chromium (installed when missing)
	@command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium >/dev/null; }
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,browser]'
	@test -f $(AXE) || $(MAKE) --no-print-directory $(AXE) || echo "no axe-core (npm): its checks are skipped"
	$(BIN)/pytest -m browser

# One script of the accessibility checker (650 kB, MPL-2.0), for tests only.
$(AXE):
	@mkdir -p $(VENV)/axe
	@cd $(VENV)/axe && npm pack --silent axe-core@$(AXE_VERSION) >/dev/null && \
		tar -xzf axe-core-$(AXE_VERSION).tgz package/axe.min.js package/LICENSE && rm axe-core-$(AXE_VERSION).tgz

harness: $(STAMP) ## lm-eval and inspect_ai in an environment of their own, for the tests of exports
	@test -x .harness/bin/python || $(PYTHON) -m venv .harness
	.harness/bin/pip install --quiet --disable-pip-version-check "$$(grep '^torch==' constraints.txt)" -e '.[harness]'

lint: style types ## format, lint, import rules, types

.PHONY: style types
style: $(STAMP)
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

bench: $(STAMP) ## measure against peers in one run; results are printed, nothing is asserted
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench,serve-peer]'
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

docs: $(STAMP) ## check that the commands in README and docs run
	$(BIN)/pytest tests/test_docs.py

clean: ## remove what the targets made
	rm -rf $(VENV) .harness runs .pytest_cache .mypy_cache .ruff_cache
