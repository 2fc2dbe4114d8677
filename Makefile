# hirebase: `make help` says what there is.
PYTHON ?= python3
UV_VERSION := 0.13.9
PIP_AUDIT_VERSION := 2.10.1
ADVISORIES := https://api.osv.dev/v1/vulns/OSV-2020-111
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Each stamp says that its lock file, and every smaller one, is installed.
EMBEDDED := $(VENV)/.embedded
DEV := $(VENV)/.dev
BENCH := $(VENV)/.bench
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check format docs bench chaos lock audit clean
.DELETE_ON_ERROR:

help: ## this list
	@echo 'hirebase: make TARGET [ARGS="…"] [PYTHON=/path/to/python3]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(EMBEDDED) ## database (embedded unless MYSQL_HOST is set), migrations, CSV load, API on :8000
	@exec $(BIN)/python -m service serve --load $(ARGS)

test: $(DEV) ## the whole suite; ARGS go to pytest, TEST_MYSQL_URL picks the database
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEV) ## ruff, mypy --strict, import-linter, the documentation without a broken link
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.site

format: $(DEV) ## rewrites the code as `make check` wants it
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(DEV) ## the documentation as a site, in .site/html; draws its tree of packages anew
	@$(BIN)/python -m tests.support.tree
	@$(BIN)/python -m tests.support.site

bench: $(BENCH) ## every benchmark, each figure beside its floor
	@$(BIN)/python -m tests.benchmarks $(ARGS)

chaos: CHAOS ?= full
chaos: $(DEV) ## the tests that kill and cut what the service relies on; CHAOS=short: a few minutes
	@CHAOS=$(CHAOS) $(BIN)/python -m pytest -m chaos -n 0 $(ARGS)

# The largest set is solved first and binds the others, so that all files name the same versions.
COMPILE = UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv --quiet pip compile pyproject.toml --universal \
	--python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate
lock: $(VENV)/.created ## solves the dependencies anew; ARGS=--upgrade takes the newest versions
	$(PIP) install uv==$(UV_VERSION)
	$(COMPILE) --extra embedded --extra otel --extra dev --extra bench -o requirements-bench.lock $(ARGS) >/dev/null
	$(COMPILE) --extra embedded --extra otel --extra dev -c requirements-bench.lock -o requirements-dev.lock >/dev/null
	$(COMPILE) --extra embedded -c requirements-bench.lock -o requirements-embedded.lock >/dev/null
	$(COMPILE) --extra otel -c requirements-bench.lock -o requirements-otel.lock >/dev/null
	$(COMPILE) -c requirements-bench.lock -o requirements.lock >/dev/null

audit: $(VENV)/.created ## known vulnerabilities of what the service runs on; needs a network
	@$(BIN)/python -c 'import urllib.request as r; r.urlopen("$(ADVISORIES)", timeout=10)' 2>/dev/null \
		|| { echo 'make audit: $(ADVISORIES) cannot be asked, so nothing was audited. It needs a network.' >&2; exit 1; }
	@$(PIP) install uv==$(UV_VERSION)
	@$(BIN)/uv --quiet tool run pip-audit==$(PIP_AUDIT_VERSION) --vulnerability-service osv --strict --disable-pip --require-hashes -r requirements.lock $(ARGS)

clean: ## removes the environment and the caches, not var/ (your data)
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3" if sys.version_info < (3, 11) else 0)'
	@echo 'Creating $(VENV) with '"$$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(EMBEDDED): requirements-embedded.lock | $(VENV)/.created
	@echo 'Installing what the service needs ($<)'
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(DEV): requirements-dev.lock | $(VENV)/.created
	@echo 'Installing what the tests need ($<)'
	@$(PIP) install --require-hashes -r $<
	@touch $(EMBEDDED) $@

$(BENCH): requirements-bench.lock | $(VENV)/.created
	@echo 'Installing what the benchmarks need ($<)'
	@$(PIP) install --require-hashes -r $<
	@touch $(EMBEDDED) $(DEV) $@
