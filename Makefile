# `make` lists the targets. They install all that they need into .venv, from the locks.

# The first of these with a supported version creates the environment; PYTHON= names another.
PYTHON := python3.14 python3.13 python3.12 python3.11 python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AIOBOTOCORE := .venv-aiobotocore
CELERY := .venv-celery
LOCK_WITH := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate
DEPLOYED = $(shell sed -n 's/^\([a-z0-9][a-z0-9._-]*\)==.*/\1/p' requirements.lock)
# The user's own settings of uv must not change where the environment is.
unexport UV VIRTUAL_ENV UV_PROJECT_ENVIRONMENT UV_PYTHON UV_SYSTEM_PYTHON UV_NO_COMPILE_BYTECODE
# Without cached byte code, each process compiles its imports, and tests start hundreds of them.
unexport PYTHONDONTWRITEBYTECODE
# include/ is the root of the package retrofill.
export PYTHONPATH := $(CURDIR):$(CURDIR)/include

.DEFAULT_GOAL := help
.PHONY: help up package wheel demo test pytest browser celery conformance published faults image platforms versions simulate bench-run bench-calling bench-screening bench-asks bench-planning bench-pages plan-accuracy check licences audit format reference lock release docs clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##  *\(.*\)/\1|\2/p' $(MAKEFILE_LIST) \
		| while IFS='|' read -r target text; do printf '%-15s %s\n' "$$target" "$$text"; done

WITH_CELERY := $(filter celery,$(EXECUTOR))
# A profile in the environment may be for other work, so only make's own arguments count.
NAMED = $(if $(filter command,$(origin $(1))),$(2))
AWS_IS := $(or $(call NAMED,AWS,$(AWS)),$(call NAMED,AWS_PROFILE,own))
up: $(if $(WITH_CELERY),$(CELERY)/.installed,$(INSTALLED))  ## start Postgres, MiniStack and Airflow here; AWS_PROFILE=… uses your own AWS, EXECUTOR=celery two workers
	@$(if $(AWS_IS),RETROFILL_AWS=$(AWS_IS)) $(if $(EXECUTOR),RETROFILL_EXECUTOR=$(EXECUTOR)) \
		$(if $(WITH_CELERY),$(CELERY)/bin,$(BIN))/python -m stack.up

demo: $(INSTALLED)  ## watch a function process the objects that were in a bucket before it
	@$(BIN)/python -m demo

test: $(INSTALLED)  ## run all checks and tests
	@$(MAKE) --no-print-directory --jobs 2 check pytest

# Three processes keep two processors busy: each waits for a server a third of its time. The slowest
# files come first, see tests/conftest.py; xdist would begin with those that have the most tests.
pytest: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

faults: $(INSTALLED)  ## kill, stop and misuse a separate stack; takes minutes
	$(BIN)/python -m pytest -m faults --numprocesses 2 --dist loadfile

celery: $(CELERY)/.installed  ## kill a Celery worker, the broker and the scheduler during runs; takes 15 minutes
	@$(CELERY)/bin/python -m pytest -m celery tests/celery

browser: $(INSTALLED)  ## use the pages in headless Chromium, on a separate stack; takes minutes
	$(BIN)/python -m pytest -m browser

image: $(INSTALLED)  ## run the Dockerfile's steps without Docker, and list the DAGs; on Linux, as root
	@$(BIN)/python -m tests.image

platforms: $(INSTALLED)  ## check that all packages have wheels for each platform and Python
	@$(BIN)/python -m tests.platforms

versions: $(INSTALLED)  ## test with each Airflow from 3.1 and the Pythons on this machine; PAIRS="3.1.8/3.13 …" or --every
	@$(BIN)/python -m tests.versions $(PAIRS)

package: $(INSTALLED)  ## build the wheel, and plugins.zip for Amazon MWAA, in dist/
	@rm -f dist/*.whl dist/plugins.zip
	@$(BIN)/uv build --quiet --offline --no-build-isolation --python $(BIN)/python --wheel
	@$(BIN)/python -m zipfile -e dist/retrofill-*.whl dist/plugins
	@cp plugins/retrofill_plugin.py dist/plugins
	@cd dist/plugins && $(abspath $(BIN))/python -m zipfile -c ../plugins.zip \
		retrofill_plugin.py retrofill
	@rm -r dist/plugins

wheel: package  ## build the wheel, install it in each way and make a run; FORMS="wheel mwaa astro"
	@$(BIN)/python -m tests.wheel $(FORMS)

conformance: $(INSTALLED)  ## test each source kind against each law, and print the results
	@$(BIN)/python -m pytest -q -m 'faults or not faults' tests/conformance

reference: $(INSTALLED)  ## generate docs/reference/ from the code
	@$(BIN)/python -m tests.reference

PUBLISHED := .stack/published
published: $(INSTALLED)  ## read 751,185 published rows in Japanese, and compare each; on Debian
	@mkdir -p $(PUBLISHED)
	@cd $(PUBLISHED) && apt-get -qq download mecab-jumandic-utf8 \
		&& dpkg-deb -x mecab-jumandic-utf8_*.deb .
	@$(BIN)/python -m tests.published $(PUBLISHED)/usr/share/mecab/dic/juman

SEEDS ?= 300
simulate: $(INSTALLED)  ## simulate SEEDS=300 runs with crashes and zombies, and the same number over rows
	@$(BIN)/python -m tests.simulation $(SEEDS)
	@$(BIN)/python -m tests.simulation --rows 1000 $(SEEDS)

bench-run: $(INSTALLED)  ## measure a whole run over 100,000 objects
	@$(BIN)/python -m benchmarks.whole_run

bench-calling: $(INSTALLED) $(AIOBOTOCORE)/.installed  ## compare calls with boto3 and others
	@$(BIN)/python -m benchmarks.calling

bench-screening: $(INSTALLED)  ## compare screening and settling with a raw COPY; SIZES="…"
	@$(BIN)/python -m benchmarks.screening $(if $(SIZES),--sizes $(SIZES))

bench-asks: $(INSTALLED)  ## measure the load of 10, 50 and 200 tasks on Postgres; SIZES="…"
	@$(BIN)/python -m benchmarks.asks $(if $(SIZES),--sizes $(SIZES))

bench-planning: $(INSTALLED)  ## measure planning with stale statistics; SIZES="…"
	@$(BIN)/python -m benchmarks.planning $(if $(SIZES),--sizes $(SIZES))

bench-pages: $(INSTALLED)  ## measure how viewers of the pages slow down a run; SIZES="…"
	@$(BIN)/python -m benchmarks.pages $(if $(SIZES),--sizes $(SIZES))

plan-accuracy: $(INSTALLED)  ## compare forecasts with actual runs; takes 10 minutes
	@$(BIN)/python -m benchmarks.plan_accuracy

# It fails on a broken link.
SITE := $(BIN)/zensical build --strict
docs: $(INSTALLED)  ## build the documentation as a site, in .site/
	$(SITE)

check: $(INSTALLED)  ## lint; check format, types, layers, Dockerfile, compose files, words, docs, licences
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec compose.yaml compose.aws.yaml
	$(BIN)/compose-lint --quiet --skip-suppressed --strict-config --fail-on medium compose.yaml
	@$(BIN)/python -m tests.prose
	@$(BIN)/python -m tests.reference --check
	$(SITE) > /dev/null
	@$(BIN)/pip-licenses --packages $(DEPLOYED) > /dev/null
	@echo 'pyproject.toml allows all licences'

licences: $(INSTALLED)  ## list the licences of the deployed packages
	@$(BIN)/pip-licenses --packages $(DEPLOYED)

audit: $(INSTALLED)  ## look up known vulnerabilities of the deployed packages; needs the internet
	$(BIN)/pip-audit --strict --requirement requirements.lock --require-hashes --disable-pip

format: $(INSTALLED)  ## format the code, and fix what ruff can fix
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

lock: $(INSTALLED)  ## update all pins
	$(LOCK_WITH) --upgrade --output-file requirements.lock
	$(LOCK_WITH) --upgrade --group dev --output-file requirements-dev.lock
	$(LOCK_WITH) --group celery --constraints requirements-dev.lock \
		--output-file requirements-celery.lock
	$(LOCK_WITH:pyproject.toml=benchmarks/contenders/aiobotocore.in) --upgrade \
		--output-file benchmarks/contenders/aiobotocore.lock

release: $(INSTALLED)  ## commit a release and build its files, without publishing; VERSION=1.2.0
	@$(BIN)/python -m release $(VERSION)

clean:  ## remove .venv, the stack's data and all caches; stop the stack first
	rm -rf dist .site .cache $(VENV) $(AIOBOTOCORE) $(CELERY) .versions .stack .mypy_cache .ruff_cache .pytest_cache \
		.import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(INSTALLED): requirements-dev.lock | $(BIN)/uv
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode $<
	@touch $@

# A contender of bench-calling needs another botocore than ours.
$(AIOBOTOCORE)/.installed: benchmarks/contenders/aiobotocore.lock | $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(AIOBOTOCORE)
	$(BIN)/uv pip sync --quiet --python $(AIOBOTOCORE)/bin/python --require-hashes $<
	@touch $@

# Airflow with Celery, for `make up EXECUTOR=celery`.
$(CELERY)/.installed: requirements-celery.lock | $(INSTALLED)
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(CELERY)
	$(BIN)/uv pip sync --quiet --python $(CELERY)/bin/python --require-hashes --compile-bytecode $<
	@touch $@

# pip installs uv, with the version and hashes from the lock.
$(BIN)/uv:
	@for python in $(PYTHON); do \
		$$python -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' \
			2>/dev/null && exec $$python -m venv --clear $(VENV); \
	done; \
	echo 'error: none of these is a Python 3.11 to 3.14 that can create environments: $(PYTHON).' >&2; \
	echo 'Install one, with its venv package if it has one, or name one with PYTHON=' >&2; \
	exit 1
	sed -n '/^uv==/,/[^\\]$$/p' requirements-dev.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		--requirement $(VENV)/uv.lock
