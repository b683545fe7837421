# What a person types here; `make help` lists it.

# The first Python that is new enough; PYTHON=… chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
WORKERS ?= 2
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--custom-compile-command "make lock"
MANAGE := $(BIN)/python manage.py

SOAK := -n 0 -m soak tests/soak/test_soak.py --promises-to var/promises/soak
# The database that was named, or else both, one after the other.
SOAK_ON := $(or $(TEST_DATABASE_URL),$(DATABASE_URL))

.PHONY: help run reset test faults soak audit mutants lint lock screenshots words bench

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

run: $(RUNTIME)  ## start web, worker and sandbox: PORT=8000 SANDBOX_PORT=8001 DATABASE_URL=…
	@set -e; if [ ! -f .env ]; then . ./demo.env; fi; exec $(BIN)/python -m refunds_site.run

reset:  ## forget the embedded database and the sandbox's state
	rm -rf var/refunds.sqlite3 var/refunds.sqlite3-wal var/refunds.sqlite3-shm var/sandbox

test: lint  ## everything, on SQLite and then on PostgreSQL (TEST_DATABASE_URL, or a server of its own)
	@$(BIN)/python tests/chromium.py
	env -u TEST_DATABASE_URL $(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal --promises-to var/promises/sqlite.json
	$(BIN)/python tests/postgres.py $(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal --only-database \
		--promises-to var/promises/postgresql.json
	$(BIN)/python -m tests.promises

faults: $(DEV)  ## the long fault runs, such as killing twice, on SQLite and then on PostgreSQL
	env -u TEST_DATABASE_URL $(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal -m faults --promises-to var/promises/sqlite-faults.json
	$(BIN)/python tests/postgres.py $(BIN)/python -m pytest -n $(WORKERS) --dist=worksteal -m faults \
		--promises-to var/promises/postgresql-faults.json

soak: $(DEV)  ## three minutes of people and faults on each database: SOAK_SECONDS=180 SOAK_SEED=… TEST_DATABASE_URL=…
ifeq ($(SOAK_ON),)
	$(BIN)/python -m pytest $(SOAK)-sqlite.json
	$(BIN)/python tests/postgres.py $(BIN)/python -m pytest $(SOAK)-postgresql.json
else
	TEST_DATABASE_URL="$(filter postgres%,$(SOAK_ON))" $(BIN)/python -m pytest \
		$(SOAK)-$(if $(filter postgres%,$(SOAK_ON)),postgresql,sqlite).json
endif

mutants: $(DEV)  ## which small wrong changes of the core no test notices: ONLY=refunds/rules.py (hours for all; resumes)
	$(BIN)/python -m tests.mutants $(ONLY)

audit: $(DEV)  ## scan our code, and ask for known weaknesses of the pinned packages (where PyPI can be reached)
	$(BIN)/python -m tests.audit

lint: $(DEV) audit  ## format, lint, types, migrations, system checks, audit
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MANAGE) makemigrations --check --dry-run --settings tests.settings
	$(MANAGE) check --settings tests.settings

bench: $(DEV)  ## measure, and write docs/performance.md anew (an hour): ONLY="webhooks sending pages bulk" TEST_DATABASE_URL=…
	$(BIN)/python -m bench $(ONLY)

words: $(DEV)  ## find what the desk says and what nobody has translated yet (needs gettext)
	$(BIN)/python -m tests.words

screenshots: $(DEV)  ## take the pictures in docs/screenshots anew
	$(BIN)/python -m tests.browser.screenshots

lock: $(DEV)  ## compile requirements*.txt anew
	$(LOCK) requirements.in -o requirements.txt
	$(LOCK) requirements-observability.in -o requirements-observability.txt
	$(LOCK) requirements-dev.in -o requirements-dev.txt

$(BIN)/python:
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv module is missing: install it (on Debian: apt-get install python3-venv)" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(RUNTIME): requirements.txt | $(BIN)/python
	@echo "Installing requirements.txt"
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt | $(BIN)/python
	@echo "Installing requirements-dev.txt"
	@$(PIP) -r requirements-dev.txt
	@touch $@
