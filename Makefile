# One command for each thing one wants to do here. `make help` lists them.
# Everything works from a clean clone on a bare Debian 12: what is missing is installed first.

JOBS ?= $(shell nproc)
DATA_DIR ?= ./keelson.data
SEEDS ?= 1000
MINUTES ?= 10
ARGS ?=
PREFIX ?= /usr/local

.PHONY: help deps build run test lint format sim soak bench asan tsan attack-asan attack-tsan fuzz install deb clean

help:
	@echo 'make run      build, then serve on 127.0.0.1:2379 (DATA_DIR=$(DATA_DIR), ARGS=more flags)'
	@echo 'make test     build, then run every test that needs no special machine'
	@echo 'make lint     formatting, include rules, sizes'
	@echo 'make build    programs in build/bin'
	@echo 'make sim      simulated clusters from SEEDS=$(SEEDS) seeds'
	@echo 'make soak     every random test on fresh seeds for MINUTES=$(MINUTES)'
	@echo 'make bench    measure beside a real etcd'
	@echo 'make asan     all tests under AddressSanitizer and UBSan (build-asan)'
	@echo 'make tsan     all tests under ThreadSanitizer (build-tsan)'
	@echo 'make attack-asan, make attack-tsan'
	@echo '              every attack of docs/security.md on a server built with sanitizers'
	@echo 'make fuzz     a short run of every fuzzer (build-fuzz; needs clang)'
	@echo 'make install  programs, manual pages, unit and configuration under PREFIX=$(PREFIX) (DESTDIR=…)'
	@echo 'make deb      a Debian package in build/deb'
	@echo 'make format   let clang-format rewrite the sources'
	@echo 'make clean    remove the build directories'

deps:
	@scripts/install-deps

build: deps
	@scripts/build release $(JOBS)

run: build
	exec build/bin/keelson --name default --data-dir '$(DATA_DIR)' \
	  --listen-client-urls http://127.0.0.1:2379 \
	  --advertise-client-urls http://127.0.0.1:2379 $(ARGS)

test: build
	@scripts/run-tests build $(JOBS)

lint: deps
	@scripts/lint

format:
	@git ls-files '*.h' '*.cc' | xargs clang-format -i

sim: build
	@scripts/simulate build $(SEEDS)

soak: build
	@scripts/soak build $$(( $(MINUTES) * 60 ))

bench: build
	@scripts/benchmark build $(ARGS)

asan: deps
	@scripts/build asan $(JOBS)
	@JOBS=$(JOBS) scripts/run-sanitized build-asan

tsan: deps
	@scripts/build tsan $(JOBS)
	@JOBS=$(JOBS) scripts/run-sanitized build-tsan

# Only the server is built for it: its attackers are those of the release.
attack-asan attack-tsan: attack-%: deps
	@scripts/build release $(JOBS) attack_runner
	@scripts/build $* $(JOBS) keelson
	@scripts/run-sanitized build-$* build/tests/attack_runner --server build-$*/bin/keelson --no-bounds $(ARGS)

fuzz:
	@scripts/install-deps --fuzz
	@scripts/build fuzz $(JOBS)
	@scripts/run-fuzzers build-fuzz

install: build
	@DESTDIR='$(DESTDIR)' cmake --install build --prefix '$(PREFIX)' --strip

# Runs as root or not: the files in it are root's all the same.
deb: build
	@cd build && cpack -G DEB

clean:
	rm -rf build build-asan build-tsan build-fuzz
