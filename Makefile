# make demo    the whole job on synthetic images, in about five minutes
# make test    the test suite but for what is slow      make test-all    all of it
# make check   lint, types, import layers               make demo-2      the demo on two CPU processes
# make docs   the documentation site, in docs/_build/html; a warning or a broken link is an error
# make paper   the paper's five figures, small, in under two minutes (docs/paper.md has the large ones)
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

LAUNCH := $(RUN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no

# A process a core, four at most: every test runs on one thread. A file stays in one process, for its fixtures.
WORKERS := -n auto --maxprocesses 4 --dist loadfile

.PHONY: demo demo-2 docs paper test test-all check format clean

demo: $(VENV)/.installed
	$(LAUNCH) recipes/compare.py --config recipes/configs/demo.yaml --out runs/demo

paper: $(VENV)/.installed
	$(LAUNCH) recipes/paper/run.py --figure all --scale smoke --out runs/paper-smoke

# `accelerate launch --cpu --num_processes 2` silently starts one process; this starts two (gloo).
demo-2: $(VENV)/.installed
	ACCELERATE_USE_CPU=true $(RUN)/accelerate launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no \
	  --dynamo_backend no recipes/compare.py --config recipes/configs/demo.yaml --out runs/demo-2

test: $(VENV)/.installed-dev
	$(RUN)/python -m pytest -m "not slow" $(WORKERS)

test-all: $(VENV)/.installed-dev
	$(RUN)/python -m pytest $(WORKERS)

check: $(VENV)/.installed-dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

docs: $(VENV)/.installed-docs
	$(RUN)/python -m sphinx -b html -E -W --keep-going -n -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

format: $(VENV)/.installed-dev
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

clean:
	rm -rf $(VENV) runs docs/_build docs/generated

# One environment serves all targets: the development extra holds every tool, and a demo after a test installs nothing.
$(VENV)/.installed: pyproject.toml | $(VENV)/.made
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/.made
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/.installed

# Beside the development extra where that is installed; alone it is enough to build the site.
$(VENV)/.installed-docs: pyproject.toml | $(VENV)/.made
	$(RUN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@ $(VENV)/.installed

$(VENV)/.made:
	@command -v $(PYTHON) >/dev/null || { echo "error: there is no $(PYTHON) here; install Python 3.11 or newer, or say make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: featinv needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) -V 2>&1); say make PYTHON=python3.11 (or newer)" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) has no venv; install the package python3-venv (Debian, Ubuntu: apt install python3-venv)" >&2; exit 2; }
	@echo "Making $(VENV) and installing featinv: about 6 GB with PyTorch's default build, some minutes. docs/install.md has the lines for a small CPU-only one."
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@
