# Everything a newcomer needs: `make demo` and `make test` build their own
# environment in $(VENV) first, and cost nothing when it is up to date.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV ?= .venv
OUT ?= out
# The first of python3.11 and python3 that runs and is new enough.
PYTHON ?= $(shell for p in python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { echo $$p; break; }; done)
PIP = $(VENV)/bin/python -m pip install -q --disable-pip-version-check
PYTEST_ARGS ?=
ARGS ?=
MODEL ?=
UNLABELLED ?=

.PHONY: help demo web test lint docs package train notebooks benchmark benchmarks clean

help: ## show this list
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) \
		| awk -F ':.*## ' '{printf "make %-10s %s\n", $$1, $$2}'

demo: $(VENV)/.demo ## find the emotion of a real face in a real photograph
	@mkdir -p $(OUT)
	@$(VENV)/bin/python benchmarks/demo_photo.py $(OUT)/astronaut.png
	@$(VENV)/bin/builder-tools img $(OUT)/astronaut.png --out $(OUT)/drawn
	@echo "The image with the face marked is in $(OUT)/drawn:"
	@ls -1 $(OUT)/drawn

web: $(VENV)/.full ## open the web page on this machine; more options: ARGS=...
	@$(VENV)/bin/builder-tools web $(ARGS)

# A process a core, and one more, as tests wait for servers, cameras and processes of their
# own; threads of their own would only take turns. Some hundred of those read the package: its
# bytecode is kept, whatever the environment says.
test: $(VENV)/.full ## run every test, on all cores
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 $(VENV)/bin/python -m pytest -q \
		-n $$(( $$(env -u OMP_NUM_THREADS nproc) + 1 )) --dist loadfile \
		--no-loadscope-reorder --max-worker-restart 2 $(PYTEST_ARGS)

lint: $(VENV)/.lint ## check style with ruff, and types of the public names with mypy
	@$(VENV)/bin/python -m ruff check .
	@$(VENV)/bin/python -m mypy

docs: $(VENV)/.full ## build the documentation into site/, strictly: every link leads somewhere
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/python -m mkdocs build --quiet --strict
	@echo "Open site/index.html; with search: python3 -m http.server -d site -b 127.0.0.1 8000"

package: $(VENV)/.full ## build sdist and wheel into dist/, and try the wheel in an empty environment
	@rm -rf dist
	@$(VENV)/bin/python -m hatchling build -t sdist -t wheel >/dev/null
	@$(VENV)/bin/python benchmarks/try_wheel.py dist

# Without MODEL: the same network as `fast`, taught by people's votes alone.
train: $(VENV)/.full ## train a model on FER+; as shipped: MODEL=fast UNLABELLED="FACES ..."; ARGS=...
	@$(if $(MODEL),$(VENV)/bin/python -m studies.shipped $(MODEL) --unlabelled $(UNLABELLED) $(ARGS),\
		$(VENV)/bin/builder-tools train --data ferplus --reports reports $(ARGS))

notebooks: $(VENV)/.full ## run the study's notebooks again, in place (FER+: data/README.md)
	@cd notebooks && for notebook in *.ipynb; do \
		../$(VENV)/bin/jupyter execute --inplace $$notebook; done

benchmark: $(VENV)/.full ## measure the shipped models beside fer, and this machine (minutes)
	@for script in scoreboard speed cold_start calibration; do \
		$(VENV)/bin/python benchmarks/$$script.py; done

benchmarks: benchmark ## everything that is measured without training (an hour or two)
	@for script in robustness runtimes precisions crop_margin crop_accuracy detectors cleaning networks \
		starvation tracking web; do \
		$(VENV)/bin/python benchmarks/$$script.py; done
	@$(VENV)/bin/python benchmarks/hostile
	@$(VENV)/bin/python -m studies.labellers

clean: ## remove the environment and what the demo wrote
	rm -rf $(VENV) $(OUT)

$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed and neither python3.11" \
		"nor python3 is that. Install it, or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or" \
		"newer is needed. Received: PYTHON=$(PYTHON), $$($(PYTHON) --version 2>&1)" >&2; exit 1; }
	@echo "Making the environment in $(VENV) with $$($(PYTHON) --version)" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml requirements.txt | $(VENV)/bin/python
	@echo "Installing the light install (about 1 GB of disk)" >&2
	@[ -e $(VENV)/.full ] || $(PIP) -c requirements.txt -e ".[demo]"
	@touch $@

$(VENV)/.full: pyproject.toml requirements.txt | $(VENV)/bin/python
	@echo "Installing everything (about 4 GB of disk, some minutes)" >&2
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps -e .
	@touch $@ $(VENV)/.demo $(VENV)/.lint

$(VENV)/.lint: requirements.txt | $(VENV)/bin/python
	@$(PIP) $$(grep -E '^(ruff|mypy|numpy)==' requirements.txt)
	@touch $@
