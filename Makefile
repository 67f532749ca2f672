# Assay. `make` lists what there is; every target does all its own set-up.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.made-from-$(shell sha256sum requirements.txt 2>/dev/null | cut -c1-16)

.DEFAULT_GOAL := help
.PHONY: help setup run batch test check bench services soak lock clean

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Make .venv/ with everything pinned in requirements.txt

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Assay needs Python 3.11 or newer: make PYTHON=python3.11 setup"; exit 2; }
	@echo "setting up $(VENV) (once; a few minutes)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { sudo -n apt-get install -y -qq python3-venv 2>/dev/null || apt-get install -y -qq python3-venv || { echo "install the package python3-venv, then try again"; exit 2; }; $(PYTHON) -m venv $(VENV); }
	@$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: setup ## Event mode on the sample data, dashboard at http://127.0.0.1:8080
	@$(PY) main.py --streaming --event-mode

batch: setup ## Batch mode on the sample data, with a closing table
	@$(PY) main.py --no-web

test: setup services ## Everything that CI runs, real parts included
	@$(PY) -m pytest

check: setup ## Format, lint, types, fast tests: for every few minutes
	@$(PY) -m ruff format --check . && $(PY) -m ruff check . && $(PY) -m mypy && $(PY) -m pytest -q -m "not slow and not soak"

bench: setup ## The figures, each beside a peer in the same run
	@$(PY) -m bench

services: ## System parts and jars that tests need: Java, a browser, databases, Kafka
	@bash tests/services/install.sh

soak: setup services ## Matrices and repeats: kills of every station, ten times each
	@$(PY) -m pytest -q -m soak && $(PY) -m tests.soak

lock: ## Pin requirements.in to requirements.txt (versions and hashes)
	@$(PYTHON) -m venv build/lock && build/lock/bin/pip install -q uv==0.13.9 && build/lock/bin/uv pip compile -q --generate-hashes --no-header --python-version 3.11 requirements.in -o requirements.txt

clean: ## Remove what was built; data stay
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache tests/.out && find . -name __pycache__ -type d -prune -exec rm -rf {} +
