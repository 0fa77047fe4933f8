# `make matrix` runs the main job, `make test` passes the tests; both set up what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PRESET ?= default
ENGINE ?= auto
ARGS ?=

.PHONY: help matrix test check night bench clean

help:
	@echo "make matrix   build, inspect, run and judge the default preset (PRESET=, ENGINE=, ARGS=)"
	@echo "make test     lint, types, and every test but those marked night"
	@echo "make night    the tests that take many minutes"
	@echo "make bench    the benchmarks: ratios taken in one run"
	@echo "make clean    remove what was made in this folder; the user's cache stays"

$(VENV)/.done: pyproject.toml constraints.txt
	@echo "setting up $(VENV)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

matrix: $(VENV)/.done
	$(BIN)/crossmatrix run --preset $(PRESET) --engine $(ENGINE) -n auto $(ARGS)

check: $(VENV)/.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest -m "not night" $(ARGS)

night: $(VENV)/.done
	$(BIN)/python -m pytest -m night $(ARGS)

bench: $(VENV)/.done
	$(BIN)/python benchmarks/overhead.py $(ARGS)

clean:
	rm -rf $(VENV) .crossmatrix .pytest_cache .mypy_cache .ruff_cache dist
