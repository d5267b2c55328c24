# Every target installs what it needs into .venv: all it takes is Python 3.11 or newer, pip and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
WORKERS ?= 2
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Tests run side by side; without OMP_NUM_THREADS each of them would also use every core. Neighbours stay together, so that
# what the tests of a file share is made once.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow tutorials docs links lint typecheck benchmark accuracy clean

help: ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/installed ## keystone genes of real blood cells: a table, plots, a report and an .h5ad in demo/
	$(BIN)/dko demo --out demo

test: $(VENV)/installed-test ## run the tests, without the slow ones
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/installed-test ## run the slow tests
	$(PYTEST) -m slow

tutorials: $(VENV)/installed-tutorial ## run the tutorials and write them in place; DKO_TEST_DATA names the folder of their data
	$(BIN)/python tutorials/run_tutorials.py

# What extensions of Sphinx use that its next version will not have is not ours to mend; Sphinx shows it unless this is set.
docs: $(VENV)/installed-doc ## build the documentation, in docs/_build/html
	PYTHONWARNINGS= $(BIN)/python -m sphinx -b html -W --keep-going docs docs/_build/html

links: $(VENV)/installed-doc ## check the links of the documentation
	$(BIN)/python -m sphinx -b linkcheck -W --keep-going -D nb_execution_mode=off -D suppress_warnings=myst-nb.lexer docs docs/_build/links

lint: $(VENV)/installed-dev ## check style, format and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	git ls-files | xargs $(BIN)/codespell

typecheck: $(VENV)/installed-typecheck ## check types
	$(BIN)/mypy

benchmark: $(VENV)/installed-benchmark ## measure time, memory and agreement against named alternatives; writes benchmarks/results
	$(BIN)/python -m benchmarks

accuracy: $(VENV)/installed-benchmark ## hold predicted knockouts against true and measured ones; writes benchmarks/results
	$(BIN)/python -m benchmarks.accuracy --workers $(WORKERS)

clean: ## remove everything that make has made
	rm -rf $(VENV) benchmarks/.asv benchmarks/.venv-peers demo dist docs/_build docs/generated docs/tutorials/*.ipynb .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

# Debian packages the pip of new environments apart from Python, so the second line borrows the one that is there.
$(VENV)/created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "dko needs Python 3.11 or newer; name one: make PYTHON=python3.13")'
	$(PYTHON) -m venv --clear $(VENV) || { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install pip; }
	$(PIP) --upgrade "pip>=25.1"
	@touch $@

# torch goes first: it decides between the builds that the constraint allows before anything else asks for one.
$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/created
	$(PIP) torch
	$(PIP) --editable .
	@touch $@

# The dependency groups of pyproject.toml, each on its own stamp.
$(VENV)/installed-%: $(VENV)/installed
	$(PIP) --group $*
	@touch $@
