# Every target sets up what it needs in .venv and .tools, both left alone as long as their requirements stay the same.
# Downloads are pinned by hash (requirements/*.txt, tests/azurite/package-lock.json).

PYTHON ?= python3
WORKERS ?= auto
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal
AZURITE := .tools/azurite

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-slow lint format docs setup tools requirements clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "make %-14s %s\n", $$1, $$2}'

quickstart: $(VENV)/runtime  ## Set up, then put two versions of a folder in and get them out: [DATA=folder]
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/quickstart.sh $(if $(DATA),"$(DATA)")

test: setup tools  ## Set up and run the tests (up to 15 minutes)
	$(PYTEST) -m "not slow"

test-slow: setup tools  ## The long tiers, too
	$(PYTEST)

lint: setup  ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## Bring the code into shape
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

docs: setup  ## Write what is generated: references, and the output of commands in the docs
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/python scripts/errors_reference.py
	$(BIN)/python scripts/python_reference.py
	$(BIN)/python -m tests.docs.write

setup: $(VENV)/test

tools: $(AZURITE)/installed

$(VENV)/runtime: requirements/build.txt requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Sheaf needs Python 3.11 or newer, $(PYTHON) is older: make … PYTHON=python3.12" >&2; exit 1; }
	@echo "Setting up $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(PIP) install --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(VENV)/test: requirements/test.txt $(VENV)/runtime
	@$(PIP) install --require-hashes -r requirements/test.txt
	@touch $@

# The emulator of Azure's blob storage; without npm its tests are skipped.
$(AZURITE)/installed: tests/azurite/package.json tests/azurite/package-lock.json
	@mkdir -p $(AZURITE)
	@if command -v npm >/dev/null; then \
	  cp $^ $(AZURITE) && npm ci --prefix $(AZURITE) --no-audit --no-fund --loglevel error && touch $@; \
	else echo "npm is not installed: tests on Azure's emulator will be skipped"; fi

requirements: setup  ## Pin the newest versions of everything that is installed
	@$(BIN)/python -m venv .tools/lock
	@.tools/lock/bin/python -m pip --disable-pip-version-check --quiet install uv
	PATH="$(CURDIR)/.tools/lock/bin:$$PATH" scripts/lock.sh

clean:  ## Remove all that these targets made
	rm -rf $(VENV) .tools .quickstart .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
