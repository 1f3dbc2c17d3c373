# The commands of this project. Each sets up .venv by itself when it is missing or stale.
.PHONY: run test test-all coverage check lock clean help setup web docs nightly update
.DEFAULT_GOAL := help
export PYTHON
# Compiled modules are kept even where the environment says not to (container images often do): without
# them each process compiles TensorFlow's and TFX's sources anew, which takes longer than most tests.
export PYTHONDONTWRITEBYTECODE :=

# What each command needs of requirements.lock: all of genq's own commands; more for tests, checks, docs.
READY := .venv/.ready
TESTS := .venv/.ready-tests
CHECK := .venv/.ready-lint
DOCS := .venv/.ready-docs
# PyAV: the tests of videos need it, nothing else does.
VIDEO := .venv/.ready-video
# MLflow's client: a nightly test needs it.
MLFLOW := .venv/.ready-mlflow

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(READY)  ## run the whole pipeline on a synthetic data set; ARGS='--preset celeba' for others
	@.venv/bin/genq run $(ARGS)

# A file's tests stay together: they share what is slow to make. A worker takes up to 3 GB.
WORKERS ?= 2
PYTEST = .venv/bin/python -m pytest -n $(WORKERS) --dist loadfile
test: $(TESTS) $(VIDEO)  ## the tests that a change needs, in two processes; ARGS='tests/unit' for some, WORKERS=0 for one
	@$(PYTEST) $(ARGS)

test-all: $(TESTS) $(VIDEO)  ## the slow tests as well, as CI does
	@$(PYTEST) -m 'not nightly' $(ARGS)

coverage: $(TESTS) $(VIDEO)  ## as test-all, and which lines ran; takes half as long again
	@$(PYTEST) -m 'not nightly' --cov --cov-report=term $(ARGS)

check: $(TESTS) $(CHECK)  ## formatting, lint, types, dependency direction, dead code, dependencies
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/vulture
	@.venv/bin/deptry .

web: serving/web/out/index.html  ## build the application's page (Node.js 20 or newer)

WEB_SOURCES := $(shell git ls-files serving/web 2>/dev/null) tests/golden/openapi.json
serving/web/out/index.html: $(WEB_SOURCES)
	@cd serving/web && npm ci --ignore-scripts && npm run build

setup: $(READY) $(TESTS) $(CHECK) $(DOCS)  ## only set up .venv, with everything

$(READY): requirements.lock setup.py scripts/setup scripts/groups.py scripts/slim
	@scripts/setup

.venv/.ready-%: $(READY)
	@scripts/setup $*

docs: $(DOCS)  ## build the documentation into build/docs; fails on a broken link
	@.venv/bin/sphinx-build -q -W --keep-going -b html docs build/docs
	@echo "build/docs/index.html"

nightly: $(TESTS) $(VIDEO) $(MLFLOW)  ## the tests that are too slow for every change, or that ask the registry
	@$(PYTEST) -m nightly $(ARGS)

update: $(TESTS)  ## take the newest versions that fit, for every Python; set up anew; test (then scripts/other-world)
	@.venv/bin/python scripts/lock.py --upgrade
	@$(MAKE) test

lock: $(TESTS)  ## resolve requirements/ into requirements.lock anew, for every Python
	@.venv/bin/python scripts/lock.py

clean:  ## remove .venv, caches and build leftovers; runs/ stays
	@rm -rf .venv *.egg-info build dist .pytest_cache .mypy_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
