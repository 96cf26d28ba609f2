# What a person types; meson and ninja do the work. `make help` lists the targets.
# BUILD folders: build (gcc or $CC, optimised), build-asan (clang, AddressSanitizer and UBSan).
BUILD  ?= build
ASAN   ?= build-asan
PREFIX ?= /usr/local
WERROR ?= false
DEMO   ?= demo
DIST   ?= dist
SOURCES = $(shell find src tests examples -name '*.[ch]')

.DELETE_ON_ERROR:
.PHONY: all build build-tests asan asan-folder demo test test-asan test-long check format format-check layers tidy help \
        bench gpu-test gpu-bench install kernels dist dist-test reference clean

all: build

help:
	@echo "make            build the program: $(BUILD)/oneday"
	@echo "make demo       the whole loop on a small model, into the folder $(DEMO)/"
	@echo "make test       all tests but the long ones; ends with the counts"
	@echo "make check      format, layers, clang-tidy, and the tests under ASan and UBSan"
	@echo "make test-long  the tests that take minutes to hours"
	@echo "make bench      measure the program on this machine"
	@echo "make gpu-test   the tests of the GPU engine; skips where there is no GPU"
	@echo "make gpu-bench  training on a GPU beside its ceiling and peers, into bench/results/"
	@echo "make kernels    the CUDA kernels alone, into $(BUILD)/kernels, for machines without nvcc"
	@echo "make install    into PREFIX=$(PREFIX) (DESTDIR is honoured)"
	@echo "make dist       the program for any x86-64 Linux, packed, into $(DIST)/"
	@echo "make dist-test  try it, here and (as root) in a bare Debian 11"
	@echo "make reference  pages of the code, into $(BUILD)/reference/html"
	@echo "make format     lay the source out with clang-format"
	@echo "make clean      remove the build folders"

build:
	@tools/setup build
	@tools/configure $(BUILD) -Dwerror=$(WERROR)
	@ninja -C $(BUILD) -k 0
	@ln -sf src/cli/oneday $(BUILD)/oneday

build-tests:
	@tools/setup build test
	@tools/configure $(BUILD) -Dwerror=$(WERROR)
	@ninja -C $(BUILD) -k 0
	@ln -sf src/cli/oneday $(BUILD)/oneday

demo: build
	$(BUILD)/oneday demo $(DEMO)

test: build-tests
	@tools/test-summary $(BUILD)

test-long: build-tests
	@tools/test-summary $(BUILD) --setup=long --suite=long

# Twice: with the card's own machine code, and with nothing but the form that newer cards compile at start
# (the driver keeps what it compiled in PTX_CACHE, so that it does so once). Between them the switch that
# leaves machine code aside.
PTX       = $(BUILD)-ptx
PTX_CACHE = $(abspath $(PTX))/compiled
gpu-test: build-tests
	@if [ -n "$(wildcard /dev/nvidia[0-9]* /dev/dxg)" ]; then \
	    tools/configure $(PTX) -Dwerror=$(WERROR) -Dcuda=enabled -Dgpu_arch=compute_80 && \
	    ninja -C $(PTX) -k 0 && \
	    tools/test-summary $(BUILD) --setup=gpu --suite=gpu && \
	    ONEDAY_CUDA_PTX=1 tools/test-summary $(BUILD) --setup=gpu device/cuda_test && \
	    CUDA_CACHE_PATH=$(PTX_CACHE) tools/test-summary $(PTX) --setup=gpu --suite=gpu --no-suite=kill; \
	else echo "make gpu-test: no NVIDIA GPU here (oneday doctor says more): skipped"; fi

gpu-bench: build
	@if [ -n "$(wildcard /dev/nvidia[0-9]* /dev/dxg)" ]; then \
	    bench/gpu/cases $(BUILD)/oneday bench/results/$$(date +%F).jsonl; \
	else echo "make gpu-bench: no NVIDIA GPU here (oneday doctor says more): skipped"; fi

# All four, even when an early one fails: one run shows everything.
check:
	@$(MAKE) --no-print-directory -k format-check layers tidy test-asan

format-check:
	@tools/setup build test check
	@clang-format-19 --dry-run --Werror $(SOURCES)

layers:
	@tools/check-layers --self-test
	@tools/check-layers

asan-folder:
	@tools/setup build test check
	@CC=clang-19 tools/configure $(ASAN) -Dwerror=true -Db_lundef=false -Db_sanitize=address,undefined -Dgpu_arch=compute_80

asan: asan-folder
	@ninja -C $(ASAN) -k 0

tidy: asan-folder
	@tools/tidy $(ASAN)

test-asan: asan
	@tools/test-summary $(ASAN) --no-suite docs --timeout-multiplier 4

bench: build
	$(BUILD)/oneday bench gemm
	$(BUILD)/oneday bench train --device cpu
	$(BUILD)/oneday bench infer --shape gpt2-124m --device cpu

install: build
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@meson install -C $(BUILD) --quiet

kernels:
	@tools/setup build
	@tools/configure $(BUILD) -Dwerror=$(WERROR)
	@ninja -C $(BUILD) kernels

dist:
	@tools/setup build dist
	@WERROR=$(WERROR) tools/dist $(DIST)

dist-test: dist
	@tools/setup dist-test
	@tools/dist-test $(DIST)

reference:
	@tools/setup docs
	@mkdir -p $(BUILD)/reference
	@doxygen docs/Doxyfile

format:
	@tools/setup check
	@clang-format-19 -i $(SOURCES)

clean:
	rm -rf $(BUILD) $(ASAN) $(PTX) build-dist
