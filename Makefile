# `make quickstart` and `make test` do all the set-up themselves; `make help` lists what there is.
PYTHON ?= python3
VENV ?= .venv

BIN := $(VENV)/bin
PROJECTS := pyproject.toml $(wildcard packages/*/pyproject.toml)
# Written when an installation is complete, so that it is done once, and again when what it reads changes.
USERS := $(VENV)/.installed-users
DEVELOPERS := $(VENV)/.installed-developers

PACKAGERS := $(VENV)/.installed-packagers
DOCUMENTERS := $(VENV)/.installed-documenters

AUDITORS := $(VENV)/.installed-auditors

.PHONY: help venv quickstart test commands examples notebooks docs packages sbom audit test-oldest test-siblings torture gpu clean
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

help:
	@echo "make quickstart   train a baseline and its DeepFlow twin on digits and compare them, in quickstart/"
	@echo "make test         lint, format, types, import rules and tests"
	@echo "make commands     run all commands of the README and the documentation, in the environment that they make"
	@echo "make notebooks    run the notebooks of the documentation from their first cell to the last"
	@echo "make docs         the documentation site, in build/site; every link of it is checked"
	@echo "make packages     wheels and source distributions of all six packages, in dist/"
	@echo "make sbom         bill of materials and licences of all that Thalweg needs, in build/"
	@echo "make audit        known advisories against the oldest and the newest versions that are needed"
	@echo "make test-siblings  each package's tests with core, that package and the conformance kit alone"
	@echo "make test-oldest  the tests with the oldest versions that are supported, in another environment"
	@echo "make torture      kills, signals, damage, hostile files and power cuts, half an hour, as root for disks; build/torture.md"
	@echo "make gpu          correctness, speed and a short training on one accelerator, 8 minutes; build/gpu"
	@echo "make examples     install, check, test and briefly train the plugin under examples/"
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
	$(BIN)/mypy --config-file pyproject.toml tests/typed/examples.py
	$(BIN)/lint-imports
	# Two processes of one thread each; a file's tests stay together, as they share what they have made. In the order
	# of names, since by numbers of tests the few that take minutes come last.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Where developers' packages are installed too it says less: the README's environment has none of them.
commands: $(USERS)
	$(BIN)/python .ci/docs.py $(VENV)

notebooks: $(DEVELOPERS)
	$(BIN)/python .ci/notebooks.py

docs: $(DOCUMENTERS)
	$(BIN)/python -m docs.site
	$(BIN)/zensical build --clean --strict
	$(BIN)/python -m docs.site --check

packages: $(PACKAGERS)
	for package in packages/*/; do $(BIN)/python -m build --no-isolation --outdir dist $$package || exit 1; done

sbom: $(PACKAGERS)
	$(BIN)/python release/sbom.py

audit: $(AUDITORS)
	$(BIN)/python release/audit.py

test-siblings: $(DEVELOPERS)
	$(BIN)/python release/siblings.py

# Gigabytes and a long time: run by hand before a release.
test-oldest: $(DEVELOPERS)
	mkdir -p build
	$(BIN)/python release/oldest.py > build/oldest.txt
	$(PYTHON) -m venv build/oldest
	build/oldest/bin/python -m pip install -r build/oldest.txt
	build/oldest/bin/python -m pip install -r requirements-dev.txt -c build/oldest.txt
	build/oldest/bin/python -m pip install --no-deps -r requirements-data.txt
	# Old libraries warn of what newer ones have given up.
	build/oldest/bin/python -m pytest -W default::DeprecationWarning tests/core tests/contracts tests/refiners tests/samplers tests/backbones

# About half an hour on two cores. What needs disks of its own is left out unless root runs it.
torture: $(DEVELOPERS)
	$(BIN)/python tests/torture --out build

# On one NVIDIA card; results of a run before are kept, so move build/gpu away first.
gpu: $(USERS)
	$(BIN)/python benchmarks/gpu.py --out build/gpu

examples: $(DEVELOPERS)
	.ci/examples $(BIN)/python

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

$(DOCUMENTERS): requirements-docs.txt $(DEVELOPERS) | $(BIN)/python
	$(BIN)/python -m pip install -r requirements-docs.txt
	@touch $(USERS) $(DEVELOPERS) $@

$(PACKAGERS): requirements-release.txt $(DEVELOPERS) | $(BIN)/python
	$(BIN)/python -m pip install -r requirements-release.txt
	@touch $(USERS) $(DEVELOPERS) $@

$(AUDITORS): requirements-audit.txt $(DEVELOPERS) | $(BIN)/python
	$(BIN)/python -m pip install -r requirements-audit.txt
	@touch $(USERS) $(DEVELOPERS) $@
