/**
 * @file
 * What tests share: where shared data is, temporary folders, random numbers with a printed seed.
 * @thread One owner.
 */
#ifndef OD_TESTS_SUPPORT_H
#define OD_TESTS_SUPPORT_H

#include "base/file.h"

// cmocka.h needs these four before it, in any order.
// clang-format off
#include <setjmp.h>  // IWYU pragma: export
#include <stdarg.h>  // IWYU pragma: export
#include <stddef.h>  // IWYU pragma: export
#include <stdint.h>  // IWYU pragma: export
#include <cmocka.h>  // IWYU pragma: export
// clang-format on

/**
 * Path of a file in the shared data folder ($ONEDAY_SHARED/data, else ../shared/data beside the
 * source). Skips the running test when it is absent, unless ONEDAY_REQUIRE_SHARED=1: then it fails.
 * @memory Borrowed: valid until the next call with the same slot (eight slots in turn).
 */
const char *test_shared(const char *name);
/** Path of a file in the source tree. @memory As test_shared. */
const char *test_source(const char *name);
/** A fresh empty folder, removed at exit. @memory As test_shared. */
const char *test_folder(void);
/** The oneday program under test. */
const char *test_binary(void);

/** Assert OD_OK; prints the message otherwise. */
#define assert_ok(call, err)                                             \
    do {                                                                 \
        (err)->message[0] = '\0';                                        \
        const int assert_ok_status = (int)(call);                        \
        if (assert_ok_status != OD_OK) {                                 \
            fail_msg("status %d: %s", assert_ok_status, (err)->message); \
        }                                                                \
    } while (0)

/** A seed for property tests: $OD_SEED, else from the clock. Printed when a test fails. */
uint64_t test_seed(void);

#endif
