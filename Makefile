# `make demo` and `make test` set everything up by themselves; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SERVER := $(VENV)/.server
TEST_FILE ?= tests/unit_tests tests/integration_tests

.DEFAULT_GOAL := help
.PHONY: help demo test tests unit_tests integration_tests benchmark lint format type docs clean

help:  ## list the targets
	@grep -hE '^[a-z_]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 20

# The one virtual environment. llama.cpp is compiled here: 4 to 7 minutes on two cores, once.
$(STAMP): pyproject.toml
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	$(PYTHON) -m venv $(VENV)
	@# pip from before 25.1 knows no dependency groups
	$(BIN)/python -m pip install --upgrade 'pip>=25.1'
	@echo "== installing; llama.cpp is compiled from source, which takes 4 to 7 minutes on two cores"
	@scripts/with_heartbeat $(BIN)/python -m pip install --progress-bar on -e '.[all]' --group dev
	@touch $@

# llama.cpp's own server, which some tests start. Its web page, tests and examples are not needed.
$(SERVER): $(STAMP)
	@echo "== installing llama-server; it is compiled from source, which takes 5 to 10 minutes on two cores"
	@CMAKE_ARGS="-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_USE_PREBUILT_UI=OFF" \
	LLAMA_CPP_BUILD_JOBS=$$(getconf _NPROCESSORS_ONLN) \
	scripts/with_heartbeat $(BIN)/python -m pip install --progress-bar on --group server
	@touch $@

demo: $(STAMP)  ## stream a completion, a chat turn and a chain from the embedded demo model
	@$(BIN)/python -m langchain_localmodels.demo

test tests: $(SERVER)  ## run all unit and integration tests (TEST_FILE=... for some)
	$(BIN)/python -m pytest $(TEST_FILE)

unit_tests: $(STAMP)  ## run the tests that need no engine
	$(BIN)/python -m pytest tests/unit_tests

integration_tests: $(SERVER)  ## run the tests that need a real engine
	$(BIN)/python -m pytest tests/integration_tests

benchmark: $(SERVER)  ## measure, on an idle machine, and write the results into docs/: about 50 minutes on two cores
	@scripts/with_heartbeat $(BIN)/python -m pip install -q --group benchmark
	@mkdir -p build
	$(BIN)/python tests/benchmarks/import_time.py
	$(BIN)/python tests/benchmarks/full_power.py --json build/benchmarks.json
	$(BIN)/python tests/benchmarks/servers.py --json build/servers.json
	$(BIN)/python tests/benchmarks/gpt4all_speed.py --json build/gpt4all.json
	$(BIN)/python tests/benchmarks/report.py build/benchmarks.json build/servers.json build/gpt4all.json

lint: $(STAMP) type  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP)  ## check types
	$(BIN)/mypy

format: $(STAMP)  ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)  ## build the documentation into site/
	$(BIN)/python -m pip install -q --group docs
	$(BIN)/python -m mkdocs build --strict

clean:  ## remove what was built
	rm -rf $(VENV) site build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
