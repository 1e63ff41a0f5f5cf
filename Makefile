# Everything a newcomer needs: make demo, make test. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: install demo test test-slow test-faults lint format clean-venv

install: $(READY)

$(READY): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt "setuptools>=77" wheel
	$(BIN)/pip install --quiet --no-build-isolation --constraint constraints.txt --editable ".[dev]"
	touch $(READY)

demo: install
	$(BIN)/axonloom demo

# Two at a time, a file of tests always in one process: what they share is made once for a file.
PYTEST := $(BIN)/pytest -n 2 --dist loadfile

test: install
	$(PYTEST) -m "not slow and not fault"

test-slow: install
	$(PYTEST) -m slow

# Every fault: about an hour on two cores. A handful of them is also in test-slow.
test-faults: install
	$(PYTEST) -m fault

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean-venv:
	rm -rf $(VENV)
