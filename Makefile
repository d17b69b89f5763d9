# Every target sets up what it needs, in .venv, and only once; all it takes is python3 (3.10 or newer) and make.

VENV := .venv
BIN := $(VENV)/bin
# Debian keeps mosquitto where the PATH of an ordinary user does not look.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin

.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

.PHONY: demo
demo: $(VENV)/ready-demo ## a fog on this computer, with a broker, nodes and a device: see it survive
	@$(BIN)/python -m fogsdk.demo $(ARGS)

.PHONY: test
test: $(VENV)/ready-dev mosquitto nftables libcoap chromium firmware ## run the tests: make test ARGS="tests/core -x"
ifdef ARGS
	@$(BIN)/python -m pytest $(ARGS)
else
	@scripts/test
endif

.PHONY: chaos
chaos: $(VENV)/ready-dev mosquitto ## some minutes of failures on real processes: make chaos ARGS="--seed 7"
	@$(BIN)/python -m tests.chaos.campaign $(ARGS)

.PHONY: sim
sim: $(VENV)/ready-dev ## a million simulated tasks under every fault: make sim ARGS="--seed 7"
	@$(BIN)/python -m fogsdk.sim.campaign --seeds 200 --tasks 5000 --jobs 2 --limit 10m $(ARGS)

.PHONY: check
check: $(VENV)/ready-dev mosquitto perf ## format, lint, types, layers and what a task costs: what has to be in order
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m benchmarks.guard

.PHONY: format
format: $(VENV)/ready-dev ## format the code, and mend what the linter can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

.PHONY: phone
phone: $(VENV)/ready-doors ## build/fogsdk-phone.zip: the SDK for Pythonista on an iPhone, with all that it needs
	@mkdir -p build
	@$(BIN)/python -m fogsdk.node.phone_bundle build/fogsdk-phone.zip
	@sha256sum build/fogsdk-phone.zip

.PHONY: bench
bench: ## measure beside other task queues: make bench ARGS="--quick" (sets up .venv-bench)
	@python3 -m benchmarks.bench $(ARGS)

.PHONY: clean
clean: ## remove everything that was set up or built
	@rm -rf $(VENV) .venv-bench build *.egg-info .hypothesis .*_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Installed with one of its extras. Made again when what the package needs has changed.
$(VENV)/ready-%: pyproject.toml setup.py scripts/setup
	@scripts/setup $*

.PHONY: mosquitto
mosquitto:
	@command -v mosquitto >/dev/null || scripts/apt-install mosquitto

# The tests of the page need a browser, and what drives it.
.PHONY: chromium
chromium:
	@{ command -v chromium && command -v chromedriver; } >/dev/null || scripts/apt-install chromium chromium-driver

# Its client is a stranger's, for tests of CoAP.
.PHONY: libcoap
libcoap:
	@command -v coap-client-notls >/dev/null || scripts/apt-install libcoap3-bin

# Counts system calls, for make check. Where there is none that fits the kernel, the guard says so and goes without.
.PHONY: perf
perf:
	@command -v perf >/dev/null || scripts/apt-install linux-perf || true

# The network tests need these two, and root.
.PHONY: nftables
nftables:
	@[ "$$(id -u)" != 0 ] || { command -v nft && command -v ip; } >/dev/null || scripts/apt-install nftables iproute2

# The tests of the firmware examples compile them, against libraries that a device would bring; mosquitto's and libcoap's
# clients, and what npm installs, are for these and for the tests of foreign clients.
.PHONY: firmware
firmware: build/npm/ready
	@{ command -v mosquitto_rr && command -v coap-client-notls && command -v clang && command -v gcc && \
		ls /usr/include/mosquitto.h /usr/include/coap3/coap.h /usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a; \
	} >/dev/null 2>&1 || scripts/apt-install gcc libc6-dev libmosquitto-dev libcoap3-dev libcoap3-bin \
		mosquitto-clients clang libclang-rt-dev

build/npm/ready: tests/firmware/package.json scripts/npm-install
	@scripts/npm-install $< build/npm

.PHONY: fuzz
fuzz: $(VENV)/ready-dev mosquitto ## a million fuzzed inputs at every door: make fuzz ARGS="--seed 7"
	@$(BIN)/python -m tests.fuzz.coverage -max_total_time=60 2>&1 | tail -1
	@$(BIN)/python -m tests.fuzz.campaign --inputs 1000000 $(ARGS)

.PHONY: fuzz-firmware
fuzz-firmware: firmware ## nonsense for the C codec of firmware_examples: make fuzz-firmware ARGS="SECONDS=3600"
	@$(MAKE) --no-print-directory -C firmware_examples/c BUILD=$(CURDIR)/build/firmware fuzz $(ARGS)
