# `make demo` and `make test` need Python 3.10 to 3.13 and pip's package index, nothing else.
#
# PIP_INDEX_ARGS: more arguments for pip. On Linux, PyPI's torch is a CUDA build of several
# gigabytes; the CPU build is smaller by far, and enough:
#   make demo PIP_INDEX_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PYTHON ?= python3
VENV ?= .venv
PIP_INDEX_ARGS ?=
# A test process per core, each with one thread of its own; tests/sharing.py says which tests go
# together, and in which order.
PYTEST_ARGS ?= -n auto --dist loadgroup --no-loadscope-reorder --durations=60 --durations-min=3

BIN := $(VENV)/bin
# pip would compile every module of torch and sympy, for longer than all that is used takes. Python
# compiles that at its first import, and keeps it if it may.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --no-compile $(PIP_INDEX_ARGS) \
  -c constraints.txt
unexport PYTHONDONTWRITEBYTECODE
# What was installed last: the core alone, or the core with every runtime and what tests need.
CORE := $(VENV)/.installed-core
ALL := $(VENV)/.installed

.PHONY: demo test tests lint install clean help

help:
	@echo "make demo   install the core into $(VENV), train, compress and measure the example"
	@echo "make test   install every runtime too, lint, and run every test"
	@echo "make lint   ruff, mypy and import-linter only"
	@echo "make clean  remove what these made, $(VENV) and runs/ included"

demo: $(CORE)
	$(BIN)/edgecompress deploy local

# One after the other, or with `make -j2` at once: mypy has work for one core only.
test: lint tests

tests: install
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(ALL)

# Installed again only when what is wanted has changed. The build backend comes first, so that it
# is pinned too and the build needs no environment of its own.
$(CORE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 10) <= sys.version_info < (3, 14); \
	  sys.exit(0 if ok else "edgecompress needs Python 3.10 to 3.13, and $(PYTHON) is " \
	  + sys.version.split()[0] + "; name another: make PYTHON=python3.12")'
	$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
	$(PIP) hatchling editables
	$(PIP) --no-build-isolation -e .
	touch $@

$(ALL): $(CORE)
	$(PIP) --no-build-isolation -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis \
	  .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
