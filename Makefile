# Each target is one line; a fresh machine needs python3 (3.11 or newer) and make, nothing else.
#   make serve            the shipped models on the CPU; AUTOENCODER_PORT=9000 make serve on another port
#   make serve RUNTIME=gpu       make test       make check       make train NAME=mnist-mlp-8
PYTHON ?= python3
RUNTIME ?= cpu
VENV ?= .venv-$(RUNTIME)
TEST_VENV ?= .venv
SECONDS ?= 1800
export AUTOENCODER_DEVICE ?= $(if $(filter gpu,$(RUNTIME)),cuda,cpu)

.PHONY: bench serve test test-service check format train models-table clean fuzz soak audit

serve: $(VENV)/.ready-serve  ## serve the shipped models
	$(VENV)/bin/autoencoder serve

test: $(TEST_VENV)/.ready  ## all tests
	$(TEST_VENV)/bin/python -m pytest

test-service: $(VENV)/.ready-test  ## the service's tests, in an environment without torch
	$(VENV)/bin/python -m pytest -n auto tests/service

audit: $(VENV)/.ready-serve  ## known faults of what is installed to serve; fails if it cannot ask
	$(PYTHON) -m venv .venv-audit && .venv-audit/bin/pip install -q pip-audit
	.venv-audit/bin/pip-audit --strict --skip-editable --path "$$($(VENV)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

soak: $(TEST_VENV)/.ready  ## the long fault tests: make soak SECONDS=1800
	SECONDS=$(SECONDS) $(TEST_VENV)/bin/python -m pytest -s -m soak tests/faults

fuzz: $(TEST_VENV)/.ready  ## hostile requests to a real server: make fuzz REQUESTS=100000 SEED=0
	$(TEST_VENV)/bin/python -m tests.faults.fuzz $(REQUESTS) $(SEED)

check: $(TEST_VENV)/.ready  ## lint, format and types
	$(TEST_VENV)/bin/ruff check . && $(TEST_VENV)/bin/ruff format --check . && $(TEST_VENV)/bin/mypy

format: $(TEST_VENV)/.ready
	$(TEST_VENV)/bin/ruff check --fix . && $(TEST_VENV)/bin/ruff format .

train: $(TEST_VENV)/.ready  ## train, export and publish one model: make train NAME=mnist-mlp-8
	$(TEST_VENV)/bin/python -m training train $(NAME) $(ARGS)

bench: $(TEST_VENV)/.ready  ## ours beside the floor, against the committed figures
	$(TEST_VENV)/bin/python -m benchmarks.compare

clean:
	rm -rf .venv .venv-cpu .venv-gpu

# A stamp is younger than pyproject.toml only after a whole install, so a broken one is done again.
# Said first, since pip is quiet and a minute of silence looks like a fault.
%/.ready-serve: pyproject.toml
	@echo "installing into $* (a minute, the first time) ..."
	$(PYTHON) -m venv $* && $*/bin/pip install -q -e ".[$(RUNTIME),client]" && touch $@

%/.ready-test: pyproject.toml
	$(PYTHON) -m venv $* && $*/bin/pip install -q -e ".[$(RUNTIME),test]" && touch $@ $*/.ready-serve

%/.ready: pyproject.toml
	@echo "installing into $*, with torch (some minutes, the first time) ..."
	$(PYTHON) -m venv $* && $*/bin/pip install -q -e ".[cpu,training,test]" && touch $@
