# Every target sets up what it needs in .venv: a new machine needs Python 3.11 or later (with venv), make and git.
#
#   make demo          the main example: an influenza outbreak, a sweep, a picture
#   make test          all tests but the long ones; says what it left out, why, and how to add it
#   make test-newest   the unmarked tests on Python 3.12 or later, without torch
#   make test-long     the tests that take minutes
#   make fuzz          damages journals, stores and profiles for MINUTES=10 each; says what breaks a reader
#   make faults        kills real processes and more: ROUNDS=100 of each kill -9, a tenth of the rest
#   make bench         beside multiprocessing, joblib, pipefunc and xyzpy
#   make lint          ruff and mypy
#   make docs          docs/_build/html/index.html; a warning is an error
#   make notebooks     executes notebooks/ anew
#   make pictures      docs/images anew, from what the tests see in a browser
#   make constraints   looks for newer versions of what we depend on
#
# PYTHON=python3.12 makes .venv with another Python, TORCH=1 installs torch (about 3 GB), TORCH=0 leaves it out,
# ARGS="-k journal" is handed to pytest.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := setup
.PHONY: setup demo test test-newest test-long faults fuzz bench docs lint notebooks pictures constraints \
	unmarked-on-newest debian

# Processes start three times as fast from modules that are compiled once.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEWEST := .venv-newest
EXTRAS := browser,dev,diffsol,docs,export,mcmc,nested,notebook,optimize,refine,sensitivity,test,viz
ROUNDS ?= 1
UNMARKED := not (notebook or faults or slurm or browser or gpu or long)

# Debian packages of the marked tests; `make test` installs them where it is root on Debian.
DEBIAN := chromium fonts-dejavu-core gcc libc6-dev slurmctld slurmd slurm-client munge
APT := DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600

# Quiet: where its cache lies on another file system, uv warns that it copies.
INSTALL := $(BIN)/uv pip install --quiet -c constraints.txt

setup: $(VENV)/.setup
	@.ci/install-torch $(VENV)

$(VENV)/.setup: pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v < (3, 11) and \
		"Python 3.11 or later is needed, this is %d.%d. Name another: make setup PYTHON=python3.12" % v)'
	@echo "Setting up $(VENV)"
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; }
	@$(INSTALL) --python $(BIN)/python --editable ".[$(EXTRAS)]"
	@touch $@

demo: setup
	@$(BIN)/python -m toolkit.demo $(ARGS)

test: setup debian
	@$(BIN)/python -m pytest $(if $(filter true,$(CI)),--no-skips) $(ARGS)

test-long: setup debian
	@$(BIN)/python -m pytest -m long $(ARGS)

faults: setup
	@$(BIN)/python tests/faults --rounds $(ROUNDS) $(ARGS)

test-newest: setup
	@python=$$(.ci/newest-python); \
	if [[ -n $$python ]]; \
	then $(MAKE) --no-print-directory unmarked-on-newest NEWEST_PYTHON="$$python"; \
	else echo "No Python 3.12 or later found: nothing tested on it."; \
	fi

unmarked-on-newest: $(NEWEST)/.setup
	@$(NEWEST)/bin/python --version
	@$(NEWEST)/bin/python -m pytest -m "$(UNMARKED)" $(ARGS)

$(NEWEST)/.setup: pyproject.toml constraints.txt Makefile
	@echo "Setting up $(NEWEST)"
	@$(BIN)/uv venv --quiet --clear --python "$(NEWEST_PYTHON)" $(NEWEST)
	@$(INSTALL) --python $(NEWEST)/bin/python --editable ".[export,mcmc,nested,refine,sensitivity,test]"
	@touch $@

debian:
ifneq ($(strip $(DEBIAN)),)
	@if command -v apt-get > /dev/null && [[ $$(id -u) == 0 ]] && ! dpkg -s $(DEBIAN) > /dev/null 2>&1; then \
		$(APT) update > /dev/null && $(APT) install --no-install-recommends $(DEBIAN) > /dev/null \
			|| echo "Could not install $(DEBIAN): the tests that need them are skipped."; \
	fi
endif

MINUTES ?= 10
fuzz: setup
	@$(BIN)/python -m tests.trust --minutes $(MINUTES) $(ARGS)

bench: setup
	@$(BIN)/python tests/benchmarks $(ARGS)

lint: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy --strict toolkit

docs: setup
	@$(BIN)/sphinx-build -W --keep-going -q -d docs/_build/doctrees docs docs/_build/html
	@echo "docs/_build/html/index.html"

notebooks: setup
	@$(BIN)/python .ci/notebooks.py notebooks/*.ipynb

pictures: setup debian
	@$(BIN)/python -m pytest tests/browser --pictures $(ARGS)

# The newest versions for each Python from 3.11 on, torch as in .ci/install-torch; CUDA packages follow torch.
constraints: setup
	@{ echo "# The versions that the tests ran with. Renew with: make constraints"; \
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras \
		--constraint <(sed -n 's/^version=/torch==/p' .ci/install-torch) --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml | grep -v -E '^(cuda|nvidia-[^m]|triton)'; \
	} > constraints.new
	@mv constraints.new constraints.txt
