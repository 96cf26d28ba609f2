/**
 * @file
 * The one function of a fuzz target. With -Dfuzz=true libFuzzer calls it, otherwise fuzz_main.c
 * runs it over its corpus.
 * @thread One owner.
 */
#ifndef OD_TESTS_FUZZ_H
#define OD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/** Feed `size` bytes to the parser under test; returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
