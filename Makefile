# Two commands do everything: `make train` and `make test`. Both set up what they need first.
PY ?= python3.11
VENV ?= .venv
TORCH ?= 2.13.0
BIN = $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow test-gpu soak check format smoke board bench docs clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(VENV)/.ready ## make the environment in .venv

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "torch==$(TORCH)" # first and alone: whichever build your pip is set up for
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@$(BIN)/python -c "import torch; assert torch.__version__.split('+')[0] == '$(TORCH)', torch.__version__"
	@touch $@

train: setup ## train a language model in about 4 minutes; other values with ARGS="model/cell=gru"
	$(BIN)/rnnkit train experiment=python_stdlib $(ARGS)

test: setup ## run the tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

test-slow: setup ## run the tests that take minutes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow $(ARGS)

test-gpu: setup ## run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu $(ARGS)

soak: setup ## kill runs, damage files and compare engines for an hour, and print what survived
	$(BIN)/python scripts/soak.py $(ARGS)

check: setup ## lint, types, and the floors of the design
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file= --strict tests/typed/user_lab.py
	$(BIN)/lint-imports --no-logo

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

smoke: setup ## train two steps, evaluate and generate, to see that all of it runs
	rm -rf runs/smoke
	$(BIN)/rnnkit train trainer=smoke run_dir=runs/smoke
	$(BIN)/rnnkit evaluate runs/smoke --split valid
	$(BIN)/rnnkit generate runs/smoke --length 40 --seed 1

board: setup ## TensorBoard on runs/
	$(BIN)/rnnkit board

bench: setup ## time the engines, then training through the command line against a bare loop
	$(BIN)/python scripts/bench_engines.py $(ARGS)
	$(BIN)/python scripts/bench_training.py --steps 60 --rounds 7

docs: setup ## build the documentation as a site in docs/_build
	$(BIN)/sphinx-build -q -E -W --keep-going docs docs/_build

clean: ## remove the environment and caches; runs/ stays
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .import_linter_cache dist build docs/_build
