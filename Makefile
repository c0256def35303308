# make train   a first run, from a fresh clone: environment, installation, training
# make test    lint, types and tests
# make bench   how fast it is: whole runs beside the lectures' loop (three quarters of an hour), then more
# make published  the rows of docs/published.md that have no result, ROWS=name,name of them, and the page
# make gpu     what only a GPU can show: the same bits, and seconds an epoch (three minutes)
# make soak    the tests that take long, and in full what make test samples: KILLS kills of a
#              run at random moments, and at every operation in the writing of a checkpoint; every
#              failing operation on a file; all that a power cut may leave of a short training, and
#              STATES of what it may leave of others; five times as many lines that somebody might
#              type; SOAK=... are further options of pytest
# make coverage  the tests once more, and which lines they reach
# make clean   remove the environment and all caches; runs in outputs/ stay

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt

KILLS  ?= 200
STATES ?= 100000
SOAK   ?=

.PHONY: train test bench published gpu soak coverage clean

train: $(VENV)/installed
	$(BIN)/python -m aecli train model=conv latent=25

test: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --num-workers auto
	$(BIN)/lint-imports
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

bench: $(VENV)/installed-dev
	$(PIP) lightning
	$(BIN)/python -m tests.benchmarks

published: $(VENV)/installed-dev
	$(BIN)/python -m tests.published $(ROWS)

gpu: $(VENV)/installed
	$(BIN)/python -m tests.gpu

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'aecli needs Python 3.11 or newer; name one as in: make train PYTHON=python3.12'; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo 'Installing aecli and what it needs (PyTorch is large: a few minutes the first time) ...'
	$(PIP) --editable .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	@echo 'Installing the development tools ...'
	$(PIP) --editable '.[dev]'
	@touch $@

soak: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --soak --kills $(KILLS) \
		--states $(STATES) -o faulthandler_timeout=0 $(SOAK)

# Processes that tests start are not followed, nor those that they fork.
coverage: $(VENV)/installed-dev
	$(PIP) pytest-cov
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --cov aecli --cov-report term-missing:skip-covered

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
