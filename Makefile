# Two commands, each from a bare clone: `make reproduce` (the whole pipeline) and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help reproduce smoke full test lint clean

help:  ## Say what the targets do.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

reproduce: $(VENV)/pipeline  ## Run the default pipeline and print where the report is.
	python -m epochs_left.stages mend
	dvc repro
	@echo "report: $(CURDIR)/reports/index.html"

smoke: $(VENV)/pipeline  ## Run the whole pipeline with tiny parameters, in build/smoke.
	python -m epochs_left.stages profile smoke

full: $(VENV)/pipeline  ## Run the pipeline at full size, in build/full, and pack the predictor. Hours.
	python -m epochs_left.stages profile full
	python -m epochs_left.stages release full

# Two workers have two threads each: one that waits for another must not hold the core meanwhile.
test: $(VENV)/test lint  ## Run linters, type checks, import rules and the test suite.
	OMP_WAIT_POLICY=passive pytest -n 2 --dist worksteal

lint: $(VENV)/test  ## Run ruff, mypy and the import rules.
	ruff check
	ruff format --check
	mypy
	lint-imports --no-logo

clean:  ## Remove the environment and build/.
	rm -rf $(VENV) build

# torch comes as the CPU build: constraints.txt pins it, and every other version that was tested.
$(VENV)/pipeline: pyproject.toml constraints.txt | $(VENV)/created
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[pipeline,survival]'
	touch $@

$(VENV)/test: $(VENV)/pipeline
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[pipeline,survival,test]'
	touch $@

$(VENV)/created:
	$(PYTHON) -c 'import sys; sys.exit("expected Python 3.11 or newer, got %s; set PYTHON=..." % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@
