/**
 * @file
 * What the benchmarks of training share: a session over random documents on a model of a given
 * shape, and a way to sort times.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_BENCH_SESSION_H
#define OD_FLOW_BENCH_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "model/spec.h"
#include "tune/recipe.h"
#include "tune/session.h"

/** What is trained. */
struct od_bench_work {
    bool lora;             ///< on all linear layers; false: full
    int64_t rank;          ///< of the adapters; 0: 16
    enum od_quant quant;   ///< of the frozen weights
    int64_t document;      ///< tokens of a document, all learned but the first
    int64_t documents;     ///< per pass
    int64_t accumulation;  ///< passes per step
};

/** A session with what it is made of. */
struct od_bench_session {
    char folder[OD_PATH_MAX_BYTES];  ///< temporary, holds the config that the recipe names
    char config[OD_PATH_MAX_BYTES];
    struct od_recipe recipe;
    struct od_session session;
};

/** `options->dataset` is filled here. @memory Gives: od_bench_session_close; keeps `ret` in place. */
enum od_status od_bench_session_open(const struct od_spec *spec, const struct od_bench_work *work,
                                     struct od_session_options options,
                                     struct od_bench_session *ret,
                                     struct od_error *err) OD_MUST_CHECK;
void od_bench_session_close(struct od_bench_session *bench);

/** Sort times or shares in place; the median is the middle one. */
void od_bench_sort(double *values, size_t count);

#endif
