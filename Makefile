# Every target sets up what it needs in .venv and .tools, both left alone as long as their requirements stay the same.
# Downloads are pinned by hash (requirements/*.txt, tests/azurite/package-lock.json).

PYTHON ?= python3
WORKERS ?= auto
VENV := .venv
BIN := $(VENV)/bin
INSTALL := scripts/install.sh $(BIN)/python
# Reasons of skips are listed at the end, failures there in one line each; what they are stands above.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --maxprocesses 8 --dist worksteal -rfEs --force-short-summary
# Where all steps of the tests' set-up are taken, they are numbered.
step = $(if $(filter test test-parts test-slow,$(MAKECMDGOALS)),[$(1)/5] )
AZURITE := .tools/azurite
PEERS := .tools/peers
SITE := .tools/site
SCHEMAS := .tools/manifests
IMAGE_ENGINE ?= $(if $(shell command -v docker),docker,podman)
SOURCES := .tools/bench-sources

# Node trusts what the system trusts, as pip does here.
NODE_EXTRA_CA_CERTS ?= $(wildcard /etc/ssl/certs/ca-certificates.crt)
export NODE_EXTRA_CA_CERTS

.DEFAULT_GOAL := help
DIST ?= dist

.PHONY: help quickstart dist images test test-parts test-slow torture bench bench-more bench-quick fuzz lint format docs site setup tools requirements clean

help:  ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /|/' | awk -F'|' '{printf "make %-14s %s\n", $$1, $$2}'

quickstart: $(VENV)/runtime  ## Set up, then put two versions of a folder in and get them out: [DATA=folder]
	@PATH="$(CURDIR)/$(BIN):$$PATH" scripts/quickstart.sh $(if $(DATA),"$(DATA)")

dist: $(VENV)/runtime  ## Build the wheel and the source distribution: [DIST=dist]
	@$(BIN)/python -m hatchling build -d "$(DIST)"

images: dist  ## Build the images for pods: [IMAGE_ENGINE=docker]
	@for image in sheaf sheaf-sidecar sheaf-sidecar-postgres; do \
	  $(IMAGE_ENGINE) build --file deploy/Dockerfile --target $$image \
	    --tag $$image:$$($(BIN)/python -c 'import sheaf; print(sheaf.__version__)') . || exit; \
	done

test: setup tools  ## Set up and run the tests (up to 15 minutes)
	@echo "$(call step,5)Running the tests: a dot for each, and how far it is"
	$(PYTEST) -m "not slow and not parts"

test-parts: setup tools $(AZURITE)/installed $(SCHEMAS)/installed  ## Set up and run the tests that need heavy parts, such as npm's
	@echo "$(call step,5)Running the tests that need heavy parts"
	$(PYTEST) -m "parts and not slow"

test-slow: setup tools $(AZURITE)/installed $(SCHEMAS)/installed  ## Run all tests, the long tiers too
	@echo "$(call step,5)Running the tests: a dot for each, and how far it is"
	SHEAF_PROFILE=nightly $(PYTEST)

bench: setup $(VENV)/mount $(SOURCES)/downloaded  ## Measure Sheaf and other tools (up to 60 minutes, 20 GiB): [MINUTES=60]
	$(BIN)/python -m bench --profile full $(if $(MINUTES),--minutes $(MINUTES))

bench-more: setup $(VENV)/mount $(PEERS)/installed  ## Measure very small files, memory, mounts and more tools (60 minutes, 20 GiB)
	$(BIN)/python -m bench --profile more $(if $(MINUTES),--minutes $(MINUTES))

bench-quick: setup  ## Measure a part of it in 3 minutes
	$(BIN)/python -m bench --profile quick

torture: setup  ## Play many schedules of people and gcs on one store: [SEEDS=10000 FIRST=0]
	$(BIN)/python -m tests.garbage.torture --seeds $(or $(SEEDS),10000) --first $(or $(FIRST),0)

fuzz: setup $(VENV)/fuzz  ## Feed every decoder with damaged bytes: [SECONDS=60, for each]
	$(BIN)/python -m fuzz $(or $(SECONDS),60)

lint: setup  ## Style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## Bring the code into shape
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

docs: setup  ## Write what is generated: references, ratios, and the output of commands in the docs
	$(BIN)/python scripts/cli_reference.py
	$(BIN)/python scripts/man_pages.py
	$(BIN)/python scripts/errors_reference.py
	$(BIN)/python scripts/python_reference.py
	$(BIN)/python -m bench.publish
	$(BIN)/python -m tests.docs.write

site: $(SITE)/installed  ## Build the documentation as a site in build/site; a link that leads nowhere fails
	@NO_MKDOCS_2_WARNING=1 $(SITE)/bin/python -m mkdocs build --strict
	@echo "the site is in build/site"

setup: $(VENV)/test

tools: $(VENV)/mount $(VENV)/programs

$(VENV)/runtime: requirements/build.txt requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Sheaf needs Python 3.11 or newer, $(PYTHON) is older: make … PYTHON=python3.12" >&2; exit 1; }
	@echo "$(call step,1)Making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(INSTALL) "$(call step,1)Installing what Sheaf needs" --require-hashes -r requirements/build.txt -r requirements/runtime.txt
	@$(INSTALL) "$(call step,1)Installing Sheaf itself" --no-build-isolation --no-deps --no-index --editable .
	@touch $@

$(VENV)/test: requirements/test.txt $(VENV)/runtime
	@$(INSTALL) "$(call step,2)Installing what the tests need" --require-hashes -r requirements/test.txt
	@touch $@

# FUSE libraries; without them, or without /dev/fuse, tests that mount are skipped.
$(VENV)/mount: requirements/mount.txt $(VENV)/test
	@$(INSTALL) "$(call step,3)Installing FUSE libraries, one of which is compiled" --require-hashes -r requirements/mount.txt \
	  || echo "pyfuse3 can't be built (it takes libfuse3-dev, pkg-config and a compiler): tests that mount will be skipped"
	@touch $@

# What reads bundles through sheaf:// and in notebooks; without it its tests are skipped.
$(VENV)/programs: requirements/programs.txt $(VENV)/test
	@$(INSTALL) "$(call step,4)Installing programs that read through Sheaf" --require-hashes -r requirements/programs.txt
	@touch $@

# The fuzzer, where there is one; without it inputs are changed by chance.
$(VENV)/fuzz: requirements/fuzz.txt $(VENV)/test
	@$(INSTALL) "Installing the fuzzer" --require-hashes -r requirements/fuzz.txt || echo "atheris can't be installed here"
	@touch $@

# The emulator of Azure's blob storage; without it its tests are skipped.
$(AZURITE)/installed: tests/azurite/package.json tests/azurite/package-lock.json
	@echo "Installing the emulator of Azure with npm (takes minutes at the first time)"
	@mkdir -p $(AZURITE) && cp $^ $(AZURITE)
	@if command -v npm >/dev/null && scripts/install_npm.sh $(AZURITE); then touch $@; \
	else rm -rf $(AZURITE)/node_modules; echo "npm is missing or failed: tests on Azure's emulator will be skipped"; fi

# Schemas of Kubernetes and Argo, away from what Sheaf needs; without them their tests are skipped.
$(SCHEMAS)/installed: requirements/manifests.txt
	@$(PYTHON) -m venv $(SCHEMAS)
	@scripts/install.sh $(SCHEMAS)/bin/python "Installing schemas of Kubernetes" --require-hashes -r requirements/manifests.txt \
	  && touch $@ || { rm -rf $(SCHEMAS); echo "they could not be installed: tests of manifests will be skipped"; }

# Peers that are Python packages, away from what Sheaf needs; those of the system are used if they are there.
$(PEERS)/installed: requirements/bench.txt
	@$(PYTHON) -m venv $(PEERS)
	@scripts/install.sh $(PEERS)/bin/python "Installing peers" --require-hashes -r requirements/bench.txt \
	  || echo "DVC and Oxen could not be installed: they will be left out"
	@touch $@

# Source code that the benchmarks measure with. pip also builds its metadata, which takes longer than the download.
$(SOURCES)/downloaded: requirements/bench-sources.txt $(VENV)/test
	@echo "Downloading source code to measure with (a minute or two)"
	@if $(BIN)/python -m pip --disable-pip-version-check download --quiet --no-deps --no-binary :all: \
	  --require-hashes --dest $(SOURCES) -r requirements/bench-sources.txt; then touch $@; \
	else echo "the source code could not be downloaded: it will be left out"; fi

# What builds the site, away from what Sheaf needs.
$(SITE)/installed: requirements/docs.txt
	@$(PYTHON) -m venv $(SITE)
	@scripts/install.sh $(SITE)/bin/python "Installing what builds the site" --require-hashes -r requirements/docs.txt
	@touch $@

requirements:  ## Pin what pyproject.toml and requirements/*.in ask for; UPGRADE=1: the newest of all
	@$(PYTHON) -m venv .tools/lock
	@.tools/lock/bin/python -m pip --disable-pip-version-check --quiet install uv
	PATH="$(CURDIR)/.tools/lock/bin:$$PATH" UV_NATIVE_TLS=1 scripts/lock.sh $(if $(UPGRADE),--upgrade)

clean:  ## Remove all that these targets made
	rm -rf $(VENV) .tools .quickstart .fuzz .hypothesis .mypy_cache .ruff_cache .import_linter_cache build dist
	find src tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
