# Each target makes what it needs; nothing but python3 (3.11+) with venv, git and make is assumed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test lint bench bench-report lab clean

$(VENV)/.base: pyproject.toml
	@echo "Installing into $(VENV): once, under a minute …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo]"
	@touch $@

$(VENV)/.test: $(VENV)/.base
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo,test]"
	@touch $@

demo: $(VENV)/.base  ## run the quick-start notebook headless and print its results
	@$(BIN)/cloudburst-nb run notebooks/01_quickstart.ipynb -o out/01_quickstart.ipynb --results

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: $(VENV)/.test lint  ## lint, types, import rules and every test
	$(BIN)/python -m pytest

$(VENV)/.bench: $(VENV)/.base
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[demo,bench]" \
	  || echo "Not all peers could be installed: the suite runs without those that are missing."
	@touch $@

bench: $(VENV)/.bench  ## measure against peers and limits into out/bench.json; QUICK=1: under three minutes
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) --json out/bench.json

bench-report: out/bench.json  ## docs/benchmarks.md and its picture, from the figures
	$(BIN)/python -m benchmarks.report out/bench.json

lab: $(VENV)/.base  ## JupyterLab on the notebooks
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check jupyterlab
	$(BIN)/jupyter lab notebooks

clean:
	rm -rf $(VENV) out .mypy_cache .pytest_cache .ruff_cache .hypothesis
