# make book and make test set themselves up: the first call makes .venv, later ones find it ready.
# PYTHON chooses the interpreter that .venv is made from: make book PYTHON=python3.12

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help book test lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' Makefile

book: $(READY) ## build the pages into build/html; nothing trains
	$(BIN)/forgetting book

test: $(READY) ## run the tests that need no real model
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

lint: $(READY) ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy src
	$(BIN)/lint-imports

clean: ## remove what was built; .venv and results stay
	rm -rf build

# The stamp is touched last, so an interrupted set-up is started again.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
		|| { echo "$(PYTHON): needs Python 3.11 to 3.13; name one: make PYTHON=python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
