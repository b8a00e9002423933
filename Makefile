# Each target makes what it needs; nothing but python3 (3.11 or newer) with venv, git and make is assumed.
# A stamp in the environment is newer than pyproject.toml once what that asks for is installed.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo test lint bench bench-report records lab screenshots clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, and $(PYTHON) is " + sys.version.split()[0] + ": name another with  make PYTHON=python3.x")'
	@$(PYTHON) -m venv $(VENV) || { echo "$(PYTHON) -m venv failed: Debian and Ubuntu have it in the package python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.base: pyproject.toml $(VENV)/.made
	@echo "Installing into $(VENV): once, under a minute …"
	@$(PIP) install --editable ".[demo]"
	@touch $@

$(VENV)/.test: pyproject.toml $(VENV)/.base
	@echo "Installing what the tests need …"
	@$(PIP) install --editable ".[demo,test]"
	@touch $@

$(VENV)/.lab: pyproject.toml $(VENV)/.base
	@echo "Installing JupyterLab …"
	@$(PIP) install jupyterlab
	@touch $@

$(VENV)/.browser: $(VENV)/.lab
	@$(PIP) install playwright pillow
	@touch $@

demo: $(VENV)/.base  ## run the quick-start notebook headless and print its results
	@$(BIN)/cloudburst-nb run notebooks/01_quickstart.ipynb -o out/01_quickstart.ipynb --results

lint: $(VENV)/.test  ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Chromium comes from the system's packages where we may install them; elsewhere the tests say what to install.
$(VENV)/.chromium: $(VENV)/.browser
	@command -v chromium chromium-browser google-chrome >/dev/null || test -n "$$CLOUDBURST_NB_CHROMIUM" \
	  || { command -v apt-get >/dev/null && test "$$(id -u)" = 0 \
	       && echo "Installing Chromium …" && apt-get update -qq \
	       && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; } \
	  || echo "There is no Chromium, and it cannot be installed from here: the browser tests need it." >&2
	@touch $@

test: $(VENV)/.test $(VENV)/.chromium lint  ## lint, and every test; the browser's need Chromium
	$(BIN)/python -m pytest

$(VENV)/.bench: pyproject.toml $(VENV)/.base
	@echo "Installing the systems to compare with …"
	@$(PIP) install --editable ".[demo,bench]" \
	  || echo "They could not all be installed; the benchmarks run with those that are there." >&2
	@touch $@

bench: $(VENV)/.bench  ## this project, its peers and the machine's limit: twelve minutes; QUICK=1: three
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick) --json out/bench.json

bench-report: $(VENV)/.base  ## docs/benchmarks.md, docs/latency.md and the README's table, from make bench
	$(BIN)/python -m benchmarks.report out/bench.json --readme README.md

records: $(VENV)/.base  ## record the example notebooks again, after a change that is meant
	@for notebook in notebooks/*.ipynb; do record=notebooks/records/$$(basename $$notebook .ipynb); \
	  $(BIN)/cloudburst-nb record $$notebook -o $$record --seed 1 \
	    $$(test -f $$record.yaml && echo "-y $$record.yaml") || exit 1; done

lab: $(VENV)/.lab  ## JupyterLab on the notebooks; its options in LAB="…"
	$(BIN)/jupyter lab $(LAB) notebooks

screenshots: $(VENV)/.browser  ## make the README's picture again; needs Chromium
	$(BIN)/python -m docs.screenshot

clean:  ## remove the environment and everything that was made
	rm -rf $(VENV) out dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
