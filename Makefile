# `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet install

SOURCES := $(shell find src -name '*.py' -o -name '*.pyi' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -not -name abi.pxi -o -name '*.hpp' -not -name abi.hpp)
NATIVE := $(filter %.pyx %.pxd %.pxi %.hpp,$(SOURCES)) src/nativemtail/compiler/abi.py src/nativemtail/compiler/opcodes.py setup.py
CPP := $(filter %.hpp,$(SOURCES)) $(wildcard perf/*.cc)
CORE := $(VENV)/core.stamp
TESTING := $(VENV)/testing.stamp
BYTECODE := $(VENV)/bytecode.stamp
WHEEL := dist/wheel.stamp
INTEROP := build/interop/root.stamp build/interop/node.stamp

SANITIZED := $(wildcard tests/conformance tests/unit/core tests/fuzz)
SANITIZE_LIBS = $(foreach lib,libasan.so libubsan.so libstdc++.so.6,$(shell g++ -print-file-name=$(lib)))
empty :=
space := $(empty) $(empty)
SANITIZE_REPORT := $(CURDIR)/build/sanitize/report
SANITIZE_ENV = LD_PRELOAD=$(subst $(space),:,$(strip $(SANITIZE_LIBS))) \
	PYTHONPATH=$(CURDIR)/build/sanitize/lib PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 NATIVEMTAIL_IN_PROCESS=1 \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=$(SANITIZE_REPORT) \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$(SANITIZE_REPORT)

FUZZER = $(shell $(PY) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/asan_with_fuzzer.so
FUZZ_ENV = LD_PRELOAD=$(FUZZER):$(shell g++ -print-file-name=libstdc++.so.6) PYTHONPATH=$(CURDIR)/build/fuzz/lib \
	PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

RACES := $(addprefix tests/unit/core/,run/test_engine_races.py run/test_plan_shared.py test_store_save.py test_watcher.py)
TSAN_LIBS = $(foreach lib,libtsan.so libstdc++.so.6,$(shell g++ -print-file-name=$(lib)))
TSAN_REPORT := $(CURDIR)/build/tsan/report
TSAN_ENV = LD_PRELOAD=$(subst $(space),:,$(strip $(TSAN_LIBS))) PYTHONPATH=$(CURDIR)/build/tsan/lib \
	PYTHONDONTWRITEBYTECODE=1 TSAN_OPTIONS=log_path=$(TSAN_REPORT):history_size=4

.PHONY: help run show test quick lint fmt bench kills restarts wheel sanitize tsan fuzz debug coverage build system clean
.DELETE_ON_ERROR:
.DEFAULT_GOAL := run

## help      this list
help:
	@sed -n 's/^## /  make /p' Makefile

## run       build, print the metrics of the bundled examples, then serve them at http://127.0.0.1:3903/
run: show
	@$(PY) tools/run-examples $(VENV)/bin/nativemtail

## show      the same without serving
show: $(CORE) $(VENV)/run.stamp $(BYTECODE)
	@$(VENV)/bin/nativemtail --one_shot --one_shot_format=prometheus --progs examples --logs 'examples/logs/*.log'

## test      all tests, with those under sanitizers; what CI runs
test: $(TESTING) $(VENV)/test.stamp $(BYTECODE) $(INTEROP) $(WHEEL) build/fuzz/stamp sanitize tsan
	$(PY) -m pytest -n auto --dist loadgroup tests
	$(FUZZ_ENV) $(PY) tests/fuzz/run.py --quiet --seconds 30 --runs 1000

## quick     the tests that take less than a minute after a build
quick: $(TESTING) $(VENV)/test.stamp
	NATIVEMTAIL_IN_PROCESS=1 $(PY) -m pytest -n $$((2 * $$(nproc))) --dist loadgroup -m "not slow and not interop and not soak and not differential" tests

## lint      style, types, spelling, import rules
lint: $(VENV)/test.stamp
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run --Werror $(CPP)
	$(VENV)/bin/codespell
	$(PY) -m mypy
	$(VENV)/bin/lint-imports

## fmt       format the Python and C++ files that differ from HEAD
fmt: $(VENV)/test.stamp
	@git diff --name-only --diff-filter=d HEAD -- '*.py' '*.pyi' | xargs -r $(VENV)/bin/ruff format
	@git diff --name-only --diff-filter=d HEAD -- '*.hpp' '*.cc' | xargs -r $(VENV)/bin/clang-format -i

## bench     measure against mtail (perf/README.md); ARGS="--size 100 --only syslog" narrows it
bench: $(TESTING) $(VENV)/test.stamp $(BYTECODE)
	$(PY) perf/bench.py $(ARGS)

## kills     kill the daemon 1,000 times while logs are written and rotated (perf/README.md); ARGS="100" for fewer
kills: $(TESTING) $(VENV)/test.stamp $(BYTECODE)
	$(PY) perf/kills.py $(ARGS)

## wheel     a self-contained wheel in dist/
wheel: $(WHEEL)

## build     the extensions, those for tests too, and the command, .venv/bin/nativemtail
build: $(TESTING) $(VENV)/run.stamp $(BYTECODE)

## system    install the Debian packages of packages.txt
system:
	tools/system-packages build test

$(VENV)/system-%.stamp: packages.txt tools/system-packages
	@tools/system-packages $*
	@mkdir -p $(VENV)
	@touch $@

# One list of what a build needs: pyproject.toml's build-system.requires.
$(VENV)/venv.stamp: pyproject.toml | $(VENV)/system-build.stamp
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nativemtail needs Python 3.11 or newer")'
	test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
		> $(VENV)/build-requires.txt
	$(PIP) --upgrade 'pip>=26'  # whose commands start without importing `re`
	$(PIP) -r $(VENV)/build-requires.txt
	@touch $@

$(CORE): $(VENV)/venv.stamp $(NATIVE)
	$(PY) setup.py --quiet build_ext --inplace
	@touch $@

# What tests reach of the core; no wheel has it.
$(TESTING): $(CORE)
	NATIVEMTAIL_TESTING=1 $(PY) setup.py --quiet build_ext --inplace
	@touch $@

# Nothing is compiled here: the extensions in src/ are current.
$(VENV)/run.stamp: $(VENV)/venv.stamp | $(CORE)
	$(PIP) --no-build-isolation --editable .
	@touch $@

# As pip does it for a wheel; where Python may not write bytecode, each start would compile.
$(BYTECODE): $(filter %.py,$(SOURCES)) | $(VENV)/venv.stamp
	$(PY) -m compileall -q src/nativemtail
	@touch $@

# The systems that tests/interop starts.
build/interop/root.stamp: packages.txt tools/unpacked-packages
	tools/unpacked-packages build/interop/root
	@touch $@

build/interop/node.stamp: tests/interop/package.json | $(VENV)/system-test.stamp
	@mkdir -p build/interop/node
	cp tests/interop/package.json build/interop/node
	npm install --prefix build/interop/node --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

$(VENV)/test.stamp: $(VENV)/run.stamp | $(VENV)/system-test.stamp
	$(PIP) --no-build-isolation --editable '.[test]'
	@touch $@

# auditwheel grafts the C libraries into the wheel: Debian's static ones are not position-independent.
$(WHEEL): $(SOURCES) setup.py pyproject.toml README.md $(VENV)/test.stamp
	rm -rf build/lib.* build/bdist.* build/wheel dist
	$(PY) -m pip --quiet wheel --no-deps --no-build-isolation --wheel-dir build/wheel .
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PY) -m auditwheel repair --wheel-dir dist build/wheel/*.whl
	@touch $@

build/sanitize/stamp: $(SOURCES) setup.py $(VENV)/test.stamp
	NATIVEMTAIL_TESTING=1 NATIVEMTAIL_SANITIZE=address,undefined $(PY) setup.py --quiet build \
		--build-lib build/sanitize/lib --build-temp build/sanitize/temp
	@touch $@

## sanitize  tests of the native code under AddressSanitizer and UBSan
# CPython itself leaks at exit by design, so leak detection is off.  pytest would swallow what a sanitizer says.
sanitize: build/sanitize/stamp
	@rm -f $(SANITIZE_REPORT).*
	$(SANITIZE_ENV) $(PY) -m pytest -n auto --dist loadgroup $(SANITIZED) || { cat $(SANITIZE_REPORT).* >&2; exit 1; }

build/tsan/stamp: $(SOURCES) setup.py $(VENV)/test.stamp
	NATIVEMTAIL_TESTING=1 NATIVEMTAIL_SANITIZE=thread $(PY) setup.py --quiet build --build-lib build/tsan/lib --build-temp build/tsan/temp
	@touch $@

## tsan      tests of engine, store and watcher under ThreadSanitizer
# One process: the others' reports would not end the first.  The GIL is a mutex that the sanitizer sees.
tsan: build/tsan/stamp
	@rm -f $(TSAN_REPORT).*
	@$(TSAN_ENV) $(PY) -m pytest $(RACES); status=$$?; cat $(TSAN_REPORT).* 2>/dev/null && exit 1; exit $$status

build/fuzz/stamp: $(SOURCES) setup.py $(VENV)/test.stamp
	CC=clang CXX=clang++ NATIVEMTAIL_SANITIZE=address,undefined,fuzzer-no-link $(PY) setup.py --quiet build \
		--build-lib build/fuzz/lib --build-temp build/fuzz/temp
	@touch $@

## fuzz      search for inputs that break something, a minute per target; ARGS="--seconds 600 regex" narrows it
fuzz: build/fuzz/stamp
	$(FUZZ_ENV) $(PY) tests/fuzz/run.py $(ARGS)

## restarts  search for what makes a restart lose or double lines: tests/fuzz/restarts.py; ARGS="--seconds 3600"
restarts: $(TESTING) $(VENV)/test.stamp $(BYTECODE)
	$(PY) tests/fuzz/restarts.py $(ARGS)

## debug     build the extensions with bounds checks, assertions and symbols instead of optimised
debug: $(VENV)/run.stamp
	NATIVEMTAIL_TESTING=1 NATIVEMTAIL_DEBUG=1 $(PY) setup.py --quiet build_ext --inplace --force
	@touch $(CORE) $(TESTING)

build/coverage/stamp: $(SOURCES) setup.py $(VENV)/test.stamp
	rm -rf build/coverage/tree
	mkdir -p build/coverage/tree
	cp -r src setup.py pyproject.toml README.md LICENSE licenses build/coverage/tree
	find build/coverage/tree -name '*.so' -delete -o -name '*.cpp' -delete
	cd build/coverage/tree && NATIVEMTAIL_COVERAGE=1 NATIVEMTAIL_TESTING=1 $(CURDIR)/$(PY) setup.py --quiet build_ext --inplace
	@touch $@

## coverage  the lines of Python and Cython that unit and conformance tests reach
# The extensions count with gcov, in a tree of their own; its reports are *.gcov files there, those of Python HTML.
coverage: build/coverage/stamp
	find build/coverage/tree -name '*.gcda' -delete
	PYTHONPATH=$(CURDIR)/build/coverage/tree/src NATIVEMTAIL_IN_PROCESS=1 COVERAGE_FILE=build/coverage/data $(PY) -m pytest \
		-n auto --dist loadgroup -m "not slow and not interop" --cov=nativemtail --cov-report=html:build/coverage/html \
		--cov-report=term tests/unit tests/conformance
	cd build/coverage/tree && gcov --relative-only $$(find build -name '*.gcda') 2>/dev/null | \
		awk -F "'" '/^File/ { name = $$2 } /^Lines/ && name ~ /nativemtail.*[xi]$$/ { print name ": " $$0; name = "" }'

## clean     remove what was built
clean:
	rm -rf build dist $(VENV) perf/inputs src/*.egg-info src/nativemtail/_*.cpp src/nativemtail/_*.so \
		src/nativemtail/core/abi.pxi src/nativemtail/core/abi.hpp
