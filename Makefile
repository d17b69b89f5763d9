# Every target sets up what it needs, in .venv, and only once; all it takes is python3 (3.10 or newer) and make.

VENV := .venv
BIN := $(VENV)/bin
# Debian keeps mosquitto where the PATH of an ordinary user does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(VENV)/ready-demo ## a fog on this computer, with a broker, nodes and a device: see it survive
	@$(BIN)/python -m fogsdk.demo $(ARGS)

.PHONY: test
test: $(VENV)/ready-dev mosquitto ## run the tests: make test ARGS="tests/core -x"
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else # most tests wait more than they work; what the documents say is done by itself, since it starts whole fogs
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --ignore tests/docs
	@$(BIN)/python -m pytest tests/docs
endif

.PHONY: check
check: $(VENV)/ready-dev ## format, lint, types and layers: what has to be in order
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: $(VENV)/ready-dev ## format the code, and mend what the linter can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: clean
clean: ## remove everything that was set up or built
	@rm -rf $(VENV) build *.egg-info .hypothesis .*_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed with one of its extras. Made again when what the package needs has changed.
$(VENV)/ready-%: pyproject.toml scripts/setup
	@scripts/setup $*

.PHONY: mosquitto
mosquitto:
	@command -v mosquitto >/dev/null || scripts/apt-install mosquitto
