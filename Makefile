# Each target builds what it needs from nothing, in a virtual environment of its own (.venv).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROJECTS := . ./plugins/inc_onnx ./plugins/inc_metrics
INSTALLED := $(VENV)/.installed
DEMO_OUT ?= out/digits-int8
# PyTorch is large: its plugin has an environment of its own, and the other targets do without
VENV_TORCH ?= .venv-torch
BIN_TORCH := $(VENV_TORCH)/bin
INSTALLED_TORCH := $(VENV_TORCH)/.installed
TORCH ?= torch==2.13.0

.PHONY: demo test test-torch kernels-test sanitize wheels bench-kernels lint format bench slow slow-torch clean

$(INSTALLED): pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e ".[dev]" -e ./plugins/inc_onnx -e "./plugins/inc_metrics[test]"
	touch $@

$(INSTALLED_TORCH): pyproject.toml $(wildcard plugins/*/pyproject.toml)
	$(PYTHON) -m venv $(VENV_TORCH)
	$(BIN_TORCH)/python -m pip install --quiet --upgrade pip
	$(BIN_TORCH)/python -m pip install --quiet "$(TORCH)"
	$(BIN_TORCH)/python -m pip install --quiet -e ".[test]" -e ./plugins/inc_metrics -e ./plugins/inc_onnx -e "./plugins/inc_torch[test]"
	touch $@

demo: $(INSTALLED)  ## tune, report, save and verify a trained digits CNN
	$(BIN)/inc quantize examples/digits/conf.yaml --model examples/digits/digits_cnn.onnx -o $(DEMO_OUT)
	$(BIN)/inc verify $(DEMO_OUT)

test: $(INSTALLED)  ## every test that needs neither big assets nor minutes
	$(BIN)/python -m pytest -q -n auto -m "not slow" tests/unit tests/conformance
	$(BIN)/python -m pytest -q -m "not slow" tests/integration
	$(BIN)/python -m pytest -q -m "not slow" plugins/inc_metrics/tests plugins/inc_onnx/tests

test-torch: $(INSTALLED_TORCH)  ## the tests of the PyTorch plugin
	OMP_NUM_THREADS=1 $(BIN_TORCH)/python -m pytest -q -m "not slow" plugins/inc_torch/tests
	OMP_NUM_THREADS=1 $(BIN_TORCH)/python -m pytest -q kernels/tests/test_without_compiler.py

slow: $(INSTALLED)  ## the tests that need minutes, or the assets named by INC_ASSETS
	$(BIN)/python -m pytest -q -m slow tests plugins --ignore plugins/inc_torch

slow-torch: $(INSTALLED_TORCH)
	OMP_NUM_THREADS=1 $(BIN_TORCH)/python -m pytest -q -m slow plugins/inc_torch/tests

kernels-test: $(INSTALLED)  ## the native kernels alone, on every instruction set of this CPU
	$(BIN)/python -m pytest -q kernels/tests

# the interpreter is not instrumented: the sanitizers' runtime must be loaded before it, and its leaks are its own;
# -s, since a report that pytest held back would end with the process
ASAN = $$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)

sanitize: $(INSTALLED)  ## the same tests under the address and undefined-behaviour sanitizers
	INC_SANITIZE=1 CXX=g++ ASAN_OPTIONS=detect_leaks=0 LD_PRELOAD="$(ASAN)" $(BIN)/python -m pytest -q -s -p no:cacheprovider kernels/tests

wheels: $(INSTALLED)  ## dist/: a wheel of every distribution; those with kernels for this platform
	$(BIN)/python -m pip install --quiet build
	for project in . $(wildcard plugins/*); do INC_REQUIRE_NATIVE=1 $(BIN)/python -m build --wheel --outdir dist $$project || exit 1; done

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## one table per claim; see benchmarks/README.md
	for script in benchmarks/onnx_*.py benchmarks/strategies.py benchmarks/early_stop.py benchmarks/journal.py benchmarks/loop_cost.py; do $(BIN)/python $$script || exit 1; done

bench-kernels: $(INSTALLED_TORCH)
	$(BIN_TORCH)/python benchmarks/kernels.py

clean:
	rm -rf $(VENV) $(VENV_TORCH) build out inc_workspace *.egg-info plugins/*/src/*.egg-info
