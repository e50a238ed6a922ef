# `make` lists the targets: whatever follows "## " behind a target's name is its help.
VENV := .venv
BIN := $(VENV)/bin
# One more than the cores of a small machine: a fifth of their time, tests wait.
WORKERS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test oldest lint types migrations-check bench bench-growth bench-peers stress dbt deploy-check docs wheel-test constraints clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' Makefile

$(VENV)/.ready: pyproject.toml constraints.txt .ci/venv .ci/install
	.ci/venv $(VENV)
	.ci/install $(VENV) --require-hashes -r constraints.txt
	.ci/install $(VENV) --no-deps --no-build-isolation -e .
	@touch $@

demo: $(VENV)/.ready ## sync a local stand-in of the API into SQLite, with no account
	$(BIN)/ontora-etl demo

test: $(VENV)/.ready ## run every test but the long stress runs, on SQLite and a real Postgres (WORKERS=3)
	@$(BIN)/python -m compileall -q etl migrations  # tests start the command some 500 times
	$(BIN)/pytest -n $(WORKERS) --dist worksteal -m 'not stress'

oldest: ## run the tests of the road on the oldest allowed version of every dependency
	WORKERS=$(WORKERS) .ci/oldest

lint: $(VENV)/.ready ## check style and formatting
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready ## check types
	$(BIN)/mypy

migrations-check: $(VENV)/.ready ## migrate both databases up, down and up, and compare with etl/tables.py
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/migrations-check

bench: $(VENV)/.ready ## measure against the targets: 5 rounds, some minutes, on a quiet machine
	$(BIN)/python -m tests.benchmarks --out tests/benchmarks/results

bench-growth: $(VENV)/.ready ## cost from 1k to 1M rows and 1 to 1,000 workspaces
	$(BIN)/python -m tests.benchmarks --growth --out tests/benchmarks/results

bench-peers: $(VENV)/.ready ## other tools on the same work, each in an environment of its own
	$(BIN)/python -m tests.benchmarks --peers --rounds 1 --out tests/benchmarks/results

stress: $(VENV)/.ready ## run only the tests of kills, crashes and contention
	$(BIN)/pytest -m stress

dbt: $(VENV)/.ready ## let dbt parse, check and test the sources that `schema` writes
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/dbt-check

deploy-check: ## check config/ with its own tools, build the image's program, run daemon and cron with it
	.ci/deploy-check

docs: $(VENV)/.ready ## print the data dictionary as Markdown
	@$(BIN)/ontora-etl schema --format markdown

wheel-test: $(VENV)/.ready ## build the wheel and try it outside the checkout
	.ci/wheel-test $(VENV)

constraints: ## pin the newest allowed release of every dependency in constraints.txt
	.ci/constraints

clean: ## remove the environment and everything built
	rm -rf $(VENV) .cache build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find etl migrations tests -name __pycache__ -type d -prune -exec rm -rf {} +
