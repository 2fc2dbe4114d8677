# hirebase: `make help` lists the targets.
PYTHON ?= python3
UV_VERSION := 0.13.9
PIP_AUDIT_VERSION := 2.10.1
ADVISORIES := https://api.osv.dev/v1/vulns/OSV-2020-111
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

# Each stamp means that its lock file and all smaller ones are installed.
EMBEDDED := $(VENV)/.embedded
DEV := $(VENV)/.dev
BENCH := $(VENV)/.bench
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check format docs dist bench chaos cluster lock image audit clean
.DELETE_ON_ERROR:

help: ## list the targets
	@echo 'hirebase: make TARGET [ARGS="…"] [PYTHON=/path/to/python3]'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(EMBEDDED) ## start the database (embedded unless MYSQL_HOST is set), migrate, load, serve on :8000
	@exec $(BIN)/python -m service serve --load $(ARGS)

test: $(DEV) ## run the whole suite; ARGS go to pytest, TEST_MYSQL_URL chooses the database
	@$(BIN)/python -m pytest $(ARGS)

check: $(DEV) ## run ruff, mypy --strict and import-linter, and build the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.site

format: $(DEV) ## rewrite the code as `make check` requires
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

docs: $(DEV) ## draw the tree of packages again, and build the documentation in .site/html
	@$(BIN)/python -m tests.support.tree
	@$(BIN)/python -m tests.support.site

dist: $(DEV) ## build the wheel and the source archive in dist/; needs no network
	@$(BIN)/python -m hatchling build --clean $(ARGS)

bench: $(BENCH) ## run every benchmark, each figure beside its floor
	@$(BIN)/python -m tests.benchmarks $(ARGS)

chaos: CHAOS ?= full
chaos: $(DEV) ## run the tests that kill and overload the service and its database; CHAOS=short is quick
	@CHAOS=$(CHAOS) $(BIN)/python -m pytest -m chaos -n 0 $(ARGS)

cluster: CLUSTER ?= full
cluster: $(DEV) ## run the tests that kill and freeze nodes of real clusters; CLUSTER=short is quick
	@CLUSTER=$(CLUSTER) $(BIN)/python -m pytest -m '$(if $(filter short,$(CLUSTER)),cluster and short,cluster)' -n 0 $(ARGS)

# The largest set is solved first and limits the others, so that all files have the same versions.
COMPILE = UV_CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/uv --quiet pip compile pyproject.toml --universal \
	--python-version 3.11 --fork-strategy fewest --generate-hashes --no-annotate
lock: $(VENV)/.created ## resolve the dependencies again; ARGS=--upgrade takes the newest versions
	$(PIP) install uv==$(UV_VERSION)
	$(COMPILE) --extra embedded --extra otel --group dev --group bench -o requirements-bench.lock $(ARGS) >/dev/null
	$(COMPILE) --extra embedded --extra otel --group dev -c requirements-bench.lock -o requirements-dev.lock >/dev/null
	$(COMPILE) --extra embedded -c requirements-bench.lock -o requirements-embedded.lock >/dev/null
	$(COMPILE) --extra otel -c requirements-bench.lock -o requirements-otel.lock >/dev/null
	$(COMPILE) -c requirements-bench.lock -o requirements.lock >/dev/null
	$(subst pyproject.toml,--group sbom,$(COMPILE)) -o requirements-sbom.lock >/dev/null

image: ## build the image hirebase; PYTHON_IMAGE names its base, which is pinned by digest
	@deploy/image/build.sh $(ARGS)

audit: $(VENV)/.created ## check the service's dependencies for known vulnerabilities; needs a network
	@$(BIN)/python -c 'import urllib.request as r; r.urlopen("$(ADVISORIES)", timeout=10)' 2>/dev/null \
		|| { echo 'make audit: $(ADVISORIES) does not answer, so nothing was audited. The audit needs a network.' >&2; exit 1; }
	@$(PIP) install uv==$(UV_VERSION)
	@$(BIN)/uv --quiet tool run pip-audit==$(PIP_AUDIT_VERSION) --vulnerability-service osv --strict --disable-pip --require-hashes -r requirements.lock $(ARGS)

clean: ## remove the environment and the caches, not var/ (your data)
	rm -rf $(VENV) .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=/path/to/python3" if sys.version_info < (3, 11) else 0)'
	@echo 'Creating $(VENV) with '"$$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(EMBEDDED): requirements-embedded.lock | $(VENV)/.created
	@echo 'Installing the packages of the service ($<)'
	@$(PIP) install --require-hashes -r $<
	@touch $@

$(DEV): requirements-dev.lock | $(VENV)/.created
	@echo 'Installing the packages of the tests ($<)'
	@$(PIP) install --require-hashes -r $<
	@touch $(EMBEDDED) $@

$(BENCH): requirements-bench.lock | $(VENV)/.created
	@echo 'Installing the packages of the benchmarks ($<)'
	@$(PIP) install --require-hashes -r $<
	@touch $(EMBEDDED) $(DEV) $@
