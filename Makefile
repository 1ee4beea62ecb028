# The Python that makes the environment; `make gpu` runs with it directly, because that is the one that has CUDA torch.
PYTHON ?= python3
# Installed first, so that no dependency chooses another build of torch.
TORCH ?= torch==2.13.0

BIN := .venv/bin
PROMPT := a person walks forward in a happy way, then waves with the right hand

.PHONY: demo test lint bench gpu sanitize

demo: .venv/base
	$(BIN)/lamp-fast generate "$(PROMPT)" --output outputs/demo.bvh outputs/demo.npz outputs/demo.gif

# Tests compute little: with more threads they would only wait for each other.
test: export OMP_NUM_THREADS = 1
test: .venv/dev
	$(BIN)/ruff check
	npm install --silent --no-package-lock --prefix tests/browser || \
		echo "no npm packages: tests of our files in three.js and the Khronos validator will skip"
	PATH="$(CURDIR)/$(BIN):$$PATH" cmake -S . -B build/ctest -G Ninja \
		"-DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python"
	$(BIN)/cmake --build build/ctest
	$(BIN)/lamp-fast export native lamp-mini build/lamp-mini.safetensors
	LAMP_FAST_NATIVE_MODEL="$(CURDIR)/build/lamp-mini.safetensors" $(BIN)/ctest --test-dir build/ctest --output-on-failure
	TRITON_INTERPRET=1 $(BIN)/python -P -m pytest tests/kernels
	$(BIN)/python -P -m pytest --ignore=tests/kernels

# The C++ tests with sanitizers and the fuzzers, each of them for so many SECONDS; what the compilers lack is skipped.
sanitize: SECONDS ?= 10
sanitize: .venv/dev
	PATH="$(CURDIR)/$(BIN):$$PATH" csrc/tools/sanitize.sh build/sanitize $(SECONDS)

lint: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/clang-format --dry-run --Werror $(shell git ls-files '*.c' '*.h' '*.cpp' '*.cu')

bench: .venv/dev
	$(BIN)/python benchmarks/run.py

# Nothing is installed. OUT=FOLDER keeps a copy of the records there, and what is printed.
gpu:
	$(PYTHON) -P benchmarks/gpu.py

.venv/python:
	@$(PYTHON) -c "import sys; assert sys.version_info >= (3, 11)" 2>/dev/null || \
		{ echo "lamp_fast needs Python 3.11 or newer; name one: make PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install "$(TORCH)"
	@touch $@

# An editable install: Python files count at once; the native module is rebuilt when its sources change.
.venv/base: .venv/python pyproject.toml setup.py CMakeLists.txt $(shell find csrc -type f)
	$(BIN)/pip install --quiet --editable .
	@touch $@

.venv/dev: .venv/base
	$(BIN)/pip install --quiet --editable ".[dev]"
	@touch $@
