# Two commands do everything: `make run` makes a published synthetic extract, `make test` runs the tests. Both set up first.
#   make run [DATASET=adult SOURCE=path LABEL=name PATIENTS=5000 EPSILON=1 ROWS=5000 RELEASE=name]
#   make refresh [DATASET=... EXTRACT_DATE=YYYY-MM-DD]   the next extract: a second release that composes with the first
#   make up, make down                                   the portal, Airflow and MLflow to browse
#   make test, make test-long, make test-scale, make lint, make lock, make clean
# Ports: PORTAL_PORT=8000 CUSTODIAN_PORT=8001 AIRFLOW_PORT=8080 MLFLOW_PORT=5000. Another Python 3.11: PYTHON=path.
SHELL := /bin/sh
PYTHON_BIN := .venv/bin/python
PIPELINE := $(PYTHON_BIN) -m pipeline
export PORTAL_PORT CUSTODIAN_PORT AIRFLOW_PORT MLFLOW_PORT PYTHON
# What a person typed reaches a command by environment, never as shell text.
export DATASET SOURCE LABEL PATIENTS EPSILON ROWS RELEASE EXTRACT_DATE
REQUEST = --dataset "$$DATASET" --source "$$SOURCE" --label "$$LABEL" --patients "$$PATIENTS" --epsilon "$$EPSILON" \
          --rows "$$ROWS" --release-id "$$RELEASE" --extract-date "$$EXTRACT_DATE"

.PHONY: run refresh test test-long test-scale lint up down clean lock lock-scale environment environment-scale help
.DEFAULT_GOAL := help

help:
	@sed -n '1,6p' Makefile | sed 's/^# \{0,1\}//'

environment:
	@sh scripts/setup.sh $(LISTENERS)

run refresh: LISTENERS = AIRFLOW_PORT:8080
up: LISTENERS = AIRFLOW_PORT:8080 MLFLOW_PORT:5000 PORTAL_PORT:8000 CUSTODIAN_PORT:8001

# Several hosts (docs/several_hosts.md): an environment of its own, so that .venv stays what CI has.
environment-scale: environment
	@sh scripts/setup_scale.sh

run: environment
	@$(PIPELINE) run $(REQUEST)

refresh: environment
	@$(PIPELINE) run --next $(REQUEST)

up: environment
	@$(PIPELINE) up

down: environment
	@$(PIPELINE) down

lint: environment
	@.venv/bin/ruff check .
	@.venv/bin/mypy

test: lint
	@OMP_NUM_THREADS=1 .venv/bin/pytest -m "not long and not scale" -n 2 --dist loadfile --no-loadscope-reorder $(TESTS)

test-long: environment
	@.venv/bin/pytest -m long $(TESTS)

# SYNDASERA_TEST_ADULT: the adult data as csv.gz; without it that run is skipped.
test-scale: environment-scale
	@PATH="$$PWD/.venv-scale/bin:$$PATH" .venv-scale/bin/pytest -m scale $(or $(TESTS),tests/scale)

# State goes, the environment stays. Refused where the ledger is the only record of what was spent on confidential data.
clean: environment
	@$(PIPELINE) clean-check
	@CDPATH= cd -- "$${SYNDASERA_HOME:-.}" && rm -rf state runs mlruns/mlflow.db mlruns/artifacts
	@echo "State, runs and MLflow's database are removed."

# Without local wheels (find-links): the lock must name what an ordinary machine needs, torch's nvidia packages included.
lock: environment
	@command -v uv >/dev/null 2>&1 || { echo "make lock needs uv: pip install uv" >&2; exit 2; }
	@cp requirements.lock requirements.lock.tmp
	@UV_FIND_LINKS= uv pip compile -q --python-version 3.11 --no-annotate --no-header --no-emit-find-links requirements.in -o requirements.lock.tmp
	@{ echo "# Compiled from requirements.in by \`make lock\`. Every package pinned; do not edit."; cat requirements.lock.tmp; } > requirements.lock
	@rm requirements.lock.tmp
	@UV_FIND_LINKS= uv pip compile -q --python-version 3.11 --no-annotate --no-header --no-emit-find-links -c requirements.lock deploy/requirements-released.in -o released.lock.tmp
	@{ echo "# Compiled from deploy/requirements-released.in by \`make lock\`. Every package pinned; do not edit."; cat released.lock.tmp; } > deploy/requirements-released.lock
	@rm released.lock.tmp

lock-scale: environment
	@command -v uv >/dev/null 2>&1 || { echo "make lock-scale needs uv: pip install uv" >&2; exit 2; }
	@UV_FIND_LINKS= uv pip compile -q --python-version 3.11 --no-annotate --no-header --no-emit-find-links -c requirements.lock requirements-scale.in -o requirements-scale.lock.tmp
	@{ echo "# Compiled from requirements-scale.in by \`make lock-scale\`. Every package pinned; do not edit."; cat requirements-scale.lock.tmp; } > requirements-scale.lock
	@rm requirements-scale.lock.tmp
