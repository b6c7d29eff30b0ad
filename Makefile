# make demo    integrate human and mouse pancreas cells in R; results in demo/
# make test    everything that CI runs
# make docs    the documentation site, in build/docs/
# make setup   only what the two set up by themselves: apt packages, .venv/, .rlib/
SHELL := /bin/bash
ROOT := $(CURDIR)
PYTHON_BIN := $(ROOT)/.venv/bin/python

# one thread per process keeps small networks from fighting over a small machine; idle OpenMP
# threads must sleep, not spin: R links libgomp, and this has to be set before R starts
export OMP_WAIT_POLICY ?= passive
export PYTHONDONTWRITEBYTECODE := 1
R_ENV = R_LIBS=$(ROOT)/.rlib RETICULATE_PYTHON=$(PYTHON_BIN)

.PHONY: help setup demo vignettes test lint test-python test-interop test-r check-r test-seurat5 test-versions \
	check-installed docs build clean
help:
	@head -n 4 Makefile | cut -c3-

setup:
	@scripts/setup.sh

demo: setup
	@$(R_ENV) Rscript scripts/demo.R

# into build/vignettes/, and from there, with smaller pictures, to rpkg/inst/doc/, which an ordinary
# installation has; test-interop builds them too, and looks at what has come out
vignettes: setup
	@$(R_ENV) Rscript scripts/vignettes.R
	@$(PYTHON_BIN) scripts/keep_vignettes.py build/vignettes

test: lint test-python test-interop test-r check-r

lint: setup
	$(PYTHON_BIN) -m ruff check .
	$(PYTHON_BIN) -m ruff format --check .
	$(PYTHON_BIN) -m mypy
	Rscript scripts/lint.R

test-python test-interop test-r check-r: export OMP_NUM_THREADS ?= 1

test-python: setup
	$(PYTHON_BIN) -m pytest tests/python

test-interop: setup
	$(R_ENV) $(PYTHON_BIN) -m pytest tests/interop

test-r: setup
	$(R_ENV) Rscript tests/r/run.R

# test-r has run the package's tests: once is enough
check-r: setup
	$(R_ENV) scripts/check_r.sh --no-tests

# not part of test: unpacks a Debian 13 to have Seurat v5
test-seurat5: setup
	scripts/test_seurat5.sh

# not part of test: the Python tests on the newest releases and on the lower bounds (some gigabytes);
# test itself runs on what requirements/ pins, on Python 3.11 or 3.12
test-versions: setup
	OMP_NUM_THREADS=1 $(PYTHON_BIN) scripts/test_versions.py

# the tests of the Python package by a Python that has it, as the workflows set it up
check-installed:
	$(or $(PYTHON),python) -m pytest tests/python

# the site; R's reference comes from pkgdown, and is said to be missing where that is. Warnings are errors
docs: export OMP_NUM_THREADS ?= 1
docs: setup
	@scripts/setup.sh docs
	$(R_ENV) Rscript scripts/r_reference.R build/docs-r/r
	PYTHONPATH=$(ROOT)/python .venv-docs/bin/python -m sphinx -W --keep-going -b html -d build/docs-trees \
	  docs build/docs

# what a release consists of, in build/dist/, installed into empty environments
build: setup
	scripts/build.sh

clean:
	rm -rf .venv .venv-docs .rlib demo build
