/**
 * @file
 * Does a model server keep the challenge's API? A list of checks of what servers of 2023 got wrong,
 * each with what was asked, which field of the answer is wrong and how.
 *
 * The checks need no model of a known content: they compare the server with itself (the text with and
 * without a stop sequence, alone and in a crowd) and with what any answer must be (finite numbers,
 * tokens that make the text, ids that decode to what was encoded).
 *
 * @source The challenge's server API, what HELM's client sends, and what real submissions did wrong.
 * @thread od_conformance_run starts threads of its own; one owner.
 */
#ifndef OD_SERVE_CONFORMANCE_H
#define OD_SERVE_CONFORMANCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { OD_CHECK_MESSAGE_BYTES = 512, OD_CHECKS_MAX = 32 };

enum od_verdict {
    OD_VERDICT_PASS,
    OD_VERDICT_WARN,  ///< allowed, and costs points or time
    OD_VERDICT_FAIL,
    OD_VERDICT_SKIP  ///< could not be tried; the message says why
};

/** One check's outcome. */
struct od_check_result {
    const char *name;  ///< "stop-sequences"
    const char *what;  ///< what was checked, one line
    enum od_verdict verdict;
    char message[OD_CHECK_MESSAGE_BYTES];  ///< what is wrong and how to mend it; "" when it passed
    double seconds;
};

struct od_conformance_options {
    const char *key;        ///< API key; NULL: none
    const char *ca_bundle;  ///< see net/http_client.h
    double timeout_s;       ///< of one request
    double wait_s;          ///< how long the server may take to come up
    int64_t clients;        ///< at a time in the check of concurrency
};
#define OD_CONFORMANCE_OPTIONS_INIT {.timeout_s = 60.0, .clients = 8}

/** Called when a check is done. */
typedef void (*od_check_fn)(void *context, const struct od_check_result *result);

/** What came out. */
struct od_conformance {
    struct od_check_result results[OD_CHECKS_MAX];
    size_t count;
    int64_t failed;
    int64_t warned;
    double wait_s;  ///< until the server gave its first good answer
};

/**
 * Wait until the server at `url` gives a good answer: at once, then after short pauses that grow to
 * five seconds. A good answer is one that is complete and whose numbers are finite.
 * @error It did not within `wait_s`; the message tells the last thing that was wrong. OD_E_REFUSED where
 *        that was an answer in a wrong form, else OD_E_IO.
 */
enum od_status od_conformance_wait(const char *url, const struct od_conformance_options *options,
                                   double *ret_seconds, struct od_error *err) OD_MUST_CHECK;

/**
 * Wait for the server, then all checks. `on_check` may be NULL.
 * @error As od_conformance_wait. A check that fails is no error.
 */
enum od_status od_conformance_run(const char *url, const struct od_conformance_options *options,
                                  od_check_fn on_check, void *context, struct od_conformance *ret,
                                  struct od_error *err) OD_MUST_CHECK;

/** "pass", "warn", "FAIL", "skip". */
const char *od_verdict_name(enum od_verdict verdict);

#endif
