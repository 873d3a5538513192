# make demo   run every step with the packaged model, about two minutes, and show the results in demo/index.html
# make test   everything that has to hold: lint, types, tests, documentation
# make bench  measure speed beside other programs and what the processor can do; writes docs/benchmarks.md (BENCH="--quick" or names)
# make fuzz   open mutated files of every kind until stopped; files that fail are kept in fuzz-failures/
# All set up .venv first, once. Choose another interpreter with PYTHON=python3.12, another folder with VENV=...

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

.PHONY: help demo test lint types check docs docs-serve bench fuzz clean

help:
	@sed -n 's/^# //p' Makefile

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; ok = (3, 10) <= sys.version_info[:2] < (3, 14); \
	  sys.exit(0 if ok else f"sgkit needs Python 3.10 to 3.13, and {sys.executable} is {sys.version.split()[0]}. Try: make PYTHON=python3.12")'
	@echo "Setting up $(VENV) for sgkit, once. It takes a few minutes and about 2 GB with the CPU build of torch; other builds are larger."
	$(PYTHON) -m venv $(VENV)
	@echo "Getting torch and about 100 other packages; each is listed when pip has found it."
	@(PYTHONUNBUFFERED=1 $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[dev,docs,all]' \
	  && touch $@.done) | awk '/^Collecting / { print "  " $$2; fflush() } / Downloading .* MB\)/ { print "   ", $$2, $$3, $$4; fflush() } \
	  /^(Building|Installing|Successfully)/ { print substr($$0, 1, 100) (length($$0) > 100 ? " ..." : ""); fflush() }'
	@test -f $@.done && mv $@.done $@
	@echo "Ready. To type sgkit yourself: . $(BIN)/activate"

demo: $(STAMP)
	$(BIN)/sgkit demo --out demo

test: lint types docs check

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

docs-serve: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs serve

bench: $(STAMP)
	@$(BIN)/python -c 'import openvino' 2> /dev/null || $(BIN)/python -m pip install --quiet -c constraints.txt -e '.[bench]'
	$(BIN)/python -m tests.benchmarks $(BENCH)

fuzz: $(STAMP)
	$(BIN)/python -m tests.fuzz.run --count 0

check: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

clean:
	rm -rf $(VENV) site build dist demo fuzz-failures *.egg-info
