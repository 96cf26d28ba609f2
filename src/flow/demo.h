/**
 * @file
 * The whole loop on the model and tasks that ship with the program, or on the user's model: plan,
 * fine-tune, serve, evaluate base and tuned, rank, report.
 *
 *     DIR/tune.yaml            the recipe
 *     DIR/run/                 the run: log, adapter, report.html, eval/ (of the tuned model)
 *     DIR/base/                the base model's evaluation
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_DEMO_H
#define OD_FLOW_DEMO_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "base/interval.h"
#include "base/status.h"

enum { OD_DEMO_KINDS_MAX = 8, OD_DEMO_NAME_BYTES = 96 };

struct od_demo_options {
    const char *dir;       ///< made anew; one that holds an earlier demo is replaced
    const char *model;     ///< the user's model; NULL: the one that ships
    const char *examples;  ///< folder with toyworld/
    int threads;
    bool allow_vector;
    const volatile sig_atomic_t *stop;
};

/** A kind of question, before and after. */
struct od_demo_kind {
    char name[OD_DEMO_NAME_BYTES];
    int64_t items;
    double chance;    ///< of guessing; 0 for free answers
    double value[2];  ///< base, tuned
    double low[2];    ///< 95 % interval
    double high[2];
    bool has_bootstrap[2];
    struct od_interval bootstrap[2];  ///< 95 %, over the items
};

struct od_demo_result {
    struct od_demo_kind kind[OD_DEMO_KINDS_MAX];
    size_t kind_count;
    double first_loss;
    double last_loss;
    double seconds;
    char run[OD_PATH_MAX_BYTES];
    char report[OD_PATH_MAX_BYTES];
    char base_suite[OD_PATH_MAX_BYTES];
    char tuned_suite[OD_PATH_MAX_BYTES];
};

/** Do it all; what happens is said through od_log. */
enum od_status od_demo_run(const struct od_demo_options *options, struct od_demo_result *ret,
                           struct od_error *err) OD_MUST_CHECK;

/**
 * The examples folder: $ONEDAY_EXAMPLES, else ../share/oneday/examples beside the program, else where
 * it was installed or built from.
 */
enum od_status od_examples_find(char out[OD_PATH_MAX_BYTES], struct od_error *err) OD_MUST_CHECK;

#endif
