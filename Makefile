# `make help` lists the targets.  Nothing outside this directory is written, except Debian packages
# that are missing and, when root's clone cannot be read by others, $(CACHE).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# variables of `make lab`
HOST ?= 127.0.0.1
PORT ?= 8888
NO_BROWSER ?=
# more options for pytest, for instance PYTEST="-k timeout -x"
PYTEST ?=
# which benchmarks, for instance BENCH="cells boxes", or BENCH=--page for plots and page alone
BENCH ?=

# Debian's own Python first: tests run as an ordinary user too, and one below /root is closed to it.
PYTHON ?= $(shell for p in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)
UID := $(shell id -u)
# Is every directory from here to / open to others?  Else .venv is a link into $(CACHE).
CLOSED := $(shell d=$$PWD; while [ "$$d" != / ]; do [ $$(( 0$$(stat -c %a "$$d") & 1 )) = 1 ] || { echo yes; break; }; d=$$(dirname "$$d"); done)
CACHE := /var/cache/nsmagic/$(shell pwd | cksum | cut -d' ' -f1)
BIN := .venv/bin

.PHONY: help
help: ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s'|'
	@echo '  variables: HOST=$(HOST) PORT=$(PORT) NO_BROWSER=1 (lab); PYTEST="-k word" (test*); BENCH="cells boxes"; PYTHON=$(PYTHON)'

# $(call debian,COMMAND-OR-FILE:PACKAGE ...): installs what is missing, or says what to install.
define debian
missing=; for pair in $(1); do what=$${pair%%:*}; command -v "$$what" >/dev/null || [ -e "$$what" ] || missing+=" $${pair##*:}"; done; \
if [ -n "$$missing" ]; then \
  sudo=; [ $(UID) = 0 ] || { sudo=sudo; [ -t 0 ] || sudo='sudo -n'; }; \
  if command -v apt-get >/dev/null && { [ -z "$$sudo" ] || command -v sudo >/dev/null; }; then \
    echo "installing Debian packages:$$missing"; \
    $$sudo apt-get -qq update && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null \
      || echo "could not install:$$missing (install them yourself, then run make again)" >&2; \
  else echo "missing:$$missing (install them, then run make again)" >&2; fi; fi
endef

.venv/bin/pip: Makefile
	@python="$(PYTHON)"; [ -n "$$python" ] || { $(call debian,/usr/bin/python3:python3-venv); python=/usr/bin/python3; }; \
	version=$$("$$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2]); sys.exit(sys.version_info < (3, 11))') || \
	  { echo "nsmagic needs Python 3.11 or newer$${version:+, and $$python is $$version}: name one with PYTHON=..." >&2; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || { $(call debian,/nowhere:$$version-venv); }; \
	if [ $(UID) = 0 ] && [ -n "$(CLOSED)" ]; then mkdir -p "$(CACHE)" && ln -sfn "$(CACHE)" .venv; fi; \
	"$$python" -m venv --clear "$$(realpath -m .venv)"
	@touch $@

.venv/lab.stamp: pyproject.toml kernelspec/kernel.json .venv/bin/pip
	$(BIN)/pip install -q --disable-pip-version-check -e '.[lab]'
	@touch $@

.venv/test.stamp: pyproject.toml kernelspec/kernel.json .venv/bin/pip
	$(BIN)/pip install -q --disable-pip-version-check -e '.[test]'
	@touch $@

.venv/bench.stamp: pyproject.toml kernelspec/kernel.json .venv/bin/pip
	$(BIN)/pip install -q --disable-pip-version-check -e '.[bench]'
	@touch $@

.PHONY: lab
lab: .venv/lab.stamp ## open JupyterLab on the notebooks
	@$(call debian,/usr/bin/unshare:util-linux ip:iproute2)
	$(BIN)/jupyter lab --ip=$(HOST) --port=$(PORT) $(if $(NO_BROWSER),--no-browser) \
	  $(if $(filter 0,$(UID)),--allow-root) --ServerApp.root_dir=notebooks

.PHONY: packages
packages:
	@$(call debian,/usr/bin/chromium:chromium strace:strace newuidmap:uidmap unshare:util-linux \
	  ip:iproute2 bwrap:bubblewrap setpriv:util-linux ps:procps zsh:zsh)

# Most of a test is waiting for a process: three run at once on two CPUs.  A file's stay together.
WORKERS ?= 3
PYTEST_ALL = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# A test that fails is run once more by itself: on a busy machine a deadline may pass.  What fails
# twice fails; a test that needed its second run is named in the first run's summary.
AGAIN = $(BIN)/python -m pytest -m 'not slow' --last-failed --last-failed-no-failures none $(PYTEST)

.PHONY: test
test: .venv/test.stamp packages ## everything that fits in 15 minutes, also in the guest and the browser
	$(PYTEST_ALL) -m 'not slow' $(PYTEST) || $(AGAIN)

.PHONY: test-fast
test-fast: .venv/test.stamp ## without guest and browser: for while you work
	$(PYTEST_ALL) -m 'not slow and not vm and not browser' $(PYTEST)

.PHONY: test-all
test-all: .venv/test.stamp packages ## the full matrix: stock kernels in QEMU, other Pythons, long torture
	$(PYTEST_ALL) $(PYTEST)
	@for v in 3.12 3.13; do $(MAKE) --no-print-directory test-python VERSION=$$v; done

# One other Python: on PATH, or pyenv's.  Absent: said, and not an error.
.PHONY: test-python
test-python:
	@python=; for p in python$(VERSION) $${PYENV_ROOT:-$$HOME/.pyenv}/versions/$(VERSION)*/bin/python; do \
	  "$$p" -c 'import ensurepip' 2>/dev/null && { python=$$p; break; }; done; \
	if [ -z "$$python" ]; then echo "Python $(VERSION): not found, not tested"; exit 0; fi; \
	echo "Python $(VERSION): $$python"; [ -x .venv-$(VERSION)/bin/pip ] || "$$python" -m venv .venv-$(VERSION); \
	.venv-$(VERSION)/bin/pip install -q --disable-pip-version-check -e '.[test]'; \
	.venv-$(VERSION)/bin/python -m pytest -n $(WORKERS) --dist loadfile -m 'not vm and not browser' $(PYTEST)

.PHONY: fuzz
fuzz: .venv/test.stamp ## 100,000 hostile lines, values and frames, and 1,000 cells in real kernels
	$(PYTEST_ALL) tests/fuzz -m slow $(PYTEST)

# NSMAGIC_SEED=N repeats what a run with that seed did.
.PHONY: torture
torture: .venv/test.stamp packages ## try to break it, 15 minutes: kernels killed, 1,000 cells, hostile bodies
	NSMAGIC_TORTURE=full $(PYTEST_ALL) -m torture $(PYTEST)

.PHONY: torture-long
torture-long: .venv/test.stamp ## 1,000 kernels killed, 10,000 cells in one: writes docs/torture.md
	$(BIN)/python -W ignore -m tests.torture.long

.PHONY: isolation
isolation: .venv/test.stamp ## docs/isolation.md, by probing from inside each kind of cell; as root
	NSMAGIC_WRITE_DOCS=1 $(BIN)/python -m pytest tests/isolation tests/test_vm.py -k the_page_says -q $(PYTEST)

.PHONY: bench
bench: .venv/bench.stamp ## measure, and make docs/benchmarks.md of it: 12 minutes on a machine at rest
	@$(call debian,/usr/bin/chromium:chromium unshare:util-linux lsns:util-linux bwrap:bubblewrap \
	  runc:runc crun:crun systemd-nspawn:systemd-container)
	$(BIN)/python -m benchmarks $(BENCH)

.PHONY: lint
lint: .venv/test.stamp ## ruff and mypy, as the tests run them
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.PHONY: format
format: .venv/test.stamp ## let ruff format and fix what it can
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

.PHONY: init
init: ## build the init of boxes and the launcher of programs for this machine again, from their C
	for name in boxinit launcher; do \
	  gcc -Os -Wall -Wextra -nostdlib -static -ffreestanding -fno-pic -no-pie -fno-stack-protector \
	    -fno-asynchronous-unwind-tables $$([ "$$(uname -m)" != x86_64 ] || echo -fcf-protection=none) \
	    -Wl,-z,noseparate-code,-z,norelro,-z,noexecstack,--build-id=none$$([ $$name = launcher ] || echo ,-n) -s \
	    -DINIT_FILE="\"nsmagic/run/static/boxinit-$$(uname -m)\"" \
	    -o "nsmagic/run/static/$$name-$$(uname -m)" nsmagic/run/static/$$name.c || exit; \
	done

.PHONY: dist
dist: .venv/test.stamp ## source archive and wheel in dist/
	$(BIN)/pip install -q --disable-pip-version-check build
	$(BIN)/python -m build -o dist

.PHONY: clean
clean: ## remove everything `make` made here
	rm -rf .venv .venv-* dist build tests/artefacts .mypy_cache .pytest_cache .ruff_cache .hypothesis
	rm -rf "$(CACHE)"
	find nsmagic tests benchmarks -name __pycache__ -prune -exec rm -rf {} +
