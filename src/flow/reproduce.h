/**
 * @file
 * A run once more, from what its folder says: does every logged number come out again?
 *
 * The inputs must be those of lock.json, by digest. The steps are done again from the start, or from
 * the newest checkpoint before the first step that is asked for, and each line of log.jsonl is
 * compared: loss, learning rate, gradient norm, counts and weight hash, to the last digit. Nothing in
 * the run's folder is changed.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_REPRODUCE_H
#define OD_FLOW_REPRODUCE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct od_reproduce_options {
    const char *run_dir;
    int64_t first;  ///< first step to compare; 0: from the start
    int64_t last;   ///< 0: to the last one that was logged
    bool on_gpu;
    bool as_it_was;  ///< on the kind of device that the lock names, whatever on_gpu says
    int gpu;
    int threads;
    bool allow_vector;
    const volatile sig_atomic_t *stop;  ///< set by a signal: leave; NULL: none
};

struct od_reproduce_result {
    int64_t from;    ///< step whose checkpoint the replay began with; 0: fresh
    int64_t steps;   ///< that were done again and compared
    int64_t hashes;  ///< weight hashes among what was compared
    bool agrees;
    bool other_program;  ///< the run was made by another build
    // Where it does not agree: the first difference.
    int64_t step;
    char field[16];
    char logged[40];
    char replayed[40];
};

/** @error OD_E_REFUSED when an input is not what the lock says, naming it with both digests, or when
 *  the run was made on another kind of device; OD_E_CANCELLED after `stop`. */
enum od_status od_reproduce(const struct od_reproduce_options *options,
                            struct od_reproduce_result *ret, struct od_error *err) OD_MUST_CHECK;

#endif
