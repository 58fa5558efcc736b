# The commands of the project. Everything runs from .venv, which `make setup` prepares with Python 3.11+ alone.

PYTHON ?= python3
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements.lock)

BIN := .venv/bin
STAMP := .venv/.stamp-$(UV_VERSION)
# Which deployment is meant, where it is not that of cdk.json: make deploy ENV=dev. CDK_FLAGS go to CDK as they are.
OPTIONS = $(if $(ENV),--env $(ENV)) $(if $(CDK_FLAGS),-- $(CDK_FLAGS))
TESTS := $(wildcard tests/unit tests/reference tests/faults tests/flow tests/infra tests/browser)
# Workers for pytest-xdist; PYTEST_FLAGS= runs everything in one process, where a debugger works.
PYTEST_FLAGS ?= -n 3

# Whoever calls CDK here by hand has the venv's Node, and cdk.json's `python app.py` the venv's Python.
export PATH := $(CURDIR)/$(BIN):$(PATH)
export VIRTUAL_ENV := $(CURDIR)/.venv
# Each command and test starts Python many times: where a machine keeps it from writing what it compiled, each start
# compiles every package anew, which takes longer than most of what is then done.
export PYTHONDONTWRITEBYTECODE :=
# As a run on this machine has it: numpy's threads wait for each other where several processes use it.
export OPENBLAS_NUM_THREADS := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test orchestrators bench costs chaos advise canaries desk docs prices prove kills mutants simulate arm emulate check format lock synth bootstrap deploy live destroy clean

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Prepare .venv from the lock file (a second call costs nothing)

# pip is the fallback of uv because it alone reads the indexes and mirrors of pip's own configuration.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Sluice needs Python 3.11 or newer; name one: make setup PYTHON=python3.13")'
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@$(BIN)/uv pip sync --quiet --require-hashes requirements.lock \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	@$(BIN)/uv pip install --quiet --no-deps --editable . \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@rm -f .venv/.stamp-* && touch $@

demo: setup ## Classify the sample tickets on this machine with the real workflow; no AWS account
	@$(BIN)/sluice run sample_data/tickets.jsonl --task tickets --out out/demo

test: setup ## Run the unit, fault, flow, infrastructure and browser tests
	@$(BIN)/python -m pytest $(PYTEST_FLAGS) $(TESTS)

# Each in an environment of its own, since they pin what others need; minutes and gigabytes, and not in CI.
orchestrators: setup ## Run the examples for Airflow, Dagster and Prefect, each installed for it, on the sample
	@$(BIN)/python docs/examples/orchestrators/try_all.py

bench: setup ## Measure the steps, and write the table of docs/internals/performance.md (10 minutes)
	@$(BIN)/python -m benchmarks

costs: setup ## Run the same rows in each way, and write docs/costs.md (10 minutes; COSTS_FLAGS='--rows 100000')
	@$(BIN)/python -m benchmarks.costs $(COSTS_FLAGS)

chaos: setup ## Run 1,000 fault plans: nothing lost, doubled, mislabelled or bought twice
	@$(BIN)/python -m tests.faults.chaos $(CHAOS_FLAGS)

prove: setup ## Simulate the promises of certificates, intervals and alarms, and let certified runs fail (10 minutes)
	@$(BIN)/python -m tests.prove
	@$(BIN)/python -m tests.faults.certified

kills: setup ## Kill a run on this machine 30 times, and count at its server what is asked twice (minutes)
	@$(BIN)/python -m tests.kills

desk: setup ## Settle 200 rows of the review desk at a person's pace, and kill 1,000 tabs of it (half an hour)
	@SLUICE_DESK_ROWS=200 SLUICE_DESK_KILLS=1000 SLUICE_BROWSER_SECONDS=7200 $(BIN)/python -m pytest -q -s tests/browser/test_desk_endurance.py

canaries: setup ## Plant 10,000 rows of 50 people with every feature on, forget ten, and look for a byte of theirs (10 minutes)
	@SLUICE_CANARIES=10000 $(BIN)/python -m pytest -q tests/unit/forget -k no_byte

advise: setup ## Hold what `sluice plan --advise` says against a brute force over 10,000 random tasks (minutes)
	@SLUICE_ADVICE_WORLDS=10000 $(BIN)/python -m pytest -q $(PYTEST_FLAGS) tests/unit/forecast/test_advice.py

mutants: setup ## Break the code by chance and in known ways, and see the tests catch it (resumes)
	@$(BIN)/python -m tests.mutants $(MUTANTS_FLAGS)

simulate: setup ## Print what each role may and may not, as an IAM simulator from elsewhere says
	@$(BIN)/python -m tests.infra.test_simulated

arm: setup ## Load the functions' bundles under an emulated arm64; needs qemu-user-static and mmdebstrap
	@$(BIN)/python -m tests.arm64

emulate: setup ## Deploy to an emulator of AWS, run, compare with a local run, destroy; needs Python 3.13 beside
	@$(BIN)/python -m tests.emulate

prices: setup ## Take the extract of a public price table anew; the catalogue is tested against it
	@$(BIN)/python -m benchmarks.prices

docs: setup ## Render the generated blocks of README and docs anew
	@$(BIN)/python -m docs.generate

check: setup ## Lint, formatting, types, and which folder may import which
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo --no-cache

format: setup ## Apply the formatter and the linter's safe fixes
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format .

lock: setup ## Resolve the dependencies anew into the two lock files
	@$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
	  --universal --python-version 3.11 --extra dev pyproject.toml --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --upgrade --generate-hashes --no-header --no-annotate \
	  --python-version 3.13 --python-platform aarch64-manylinux_2_28 --constraint requirements.lock \
	  --group functions --output-file requirements-lambda.lock

synth: setup ## Synthesize the CloudFormation template into cdk.out; no AWS account
	@$(BIN)/sluice synth $(OPTIONS)

bootstrap: setup ## Prepare an account and Region for deployments by CDK; once for each
	@$(BIN)/sluice bootstrap $(OPTIONS)

deploy: setup ## Deploy to the account and Region of your AWS credentials; asks before it widens rights
	@$(BIN)/sluice deploy $(OPTIONS)

live: setup ## Send 120 rows through a deployed stack: needs AWS credentials, costs some cents, takes hours
	@$(BIN)/python -m pytest tests/live --live $(if $(ENV),--env $(ENV))

destroy: setup ## Remove the deployment; asks before, data stays unless removal=destroy was deployed
	@$(BIN)/sluice destroy $(OPTIONS)

clean: ## Remove caches and build output; .venv and out/ stay
	@rm -rf .build build dist cdk.out .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
