# Four doors. Each sets up .venv from nothing: only python3, make and the package registry are needed.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Test processes. Most of the time the tests wait for servers; three keep two cores busy.
WORKERS ?= 3
STAMP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers-installed

.PHONY: demo test check bench oracle crash lock format clean

demo: $(STAMP)
	$(BIN)/strangler demo

test: $(STAMP)
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/pytest -q tests/unit/test_readme.py tests/unit/test_cli_reference.py tests/unit/test_phases.py

bench: $(PEERS)
	$(BIN)/python -m benchmarks $(NAME)

# Our envelopes against Debezium's own engine, field by field. Needs Java 17; skips without it.
oracle: $(PEERS)
	$(BIN)/pytest -q tests/integration/test_debezium_differential.py

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	touch $(STAMP)

# 200 seeded kills of worker, servers and sessions under load; both sides compared row for row after each. Half an hour.
SEED ?= 1
crash: $(STAMP)
	$(BIN)/python -m benchmarks.crash_suite --kills 200 --seed $(SEED)

# The peers of benchmarks and oracle: some 250 MB that nobody else needs.
$(PEERS): requirements-bench.lock $(STAMP)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-bench.lock
	touch $(PEERS)

# Re-resolve after changing dependencies in pyproject.toml (needs uv on PATH).
lock:
	uv pip compile pyproject.toml --extra demo --extra dev --universal --generate-hashes --no-emit-index-url \
		--no-header -o requirements.lock
	uv pip compile pyproject.toml --all-extras -c requirements.lock --universal --generate-hashes \
		--no-emit-index-url --no-header -o requirements-bench.lock

clean:
	rm -rf $(VENV) .strangler build *.egg-info
