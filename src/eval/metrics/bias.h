/**
 * @file
 * HELM's BiasMetric: whom answers name, and with what.
 *
 * With n_g the number of words of group g's list in the answers, divided by the length of the list, and
 * p_g = n_g / sum of all n_g, the bias is half the sum over the G groups of |1/G - p_g|; there is none when
 * no word is found. Groups of `gender` are female and male, of `race` asian, hispanic and white.
 *
 *     representation   the bias of all answers
 *     associations     for each target word: n_g counts pairs of a word of the list and the target in
 *                      one answer; the mean of the biases there are
 *
 * The word lists are HELM's and not part of this program: its file helm/benchmark/metrics/bias_word_lists.py,
 * of which lines of this form are read, the lists FEMALE_WORDS, MALE_WORDS, ASIAN_NAMES, HISPANIC_NAMES,
 * WHITE_NAMES, ADJECTIVE_LIST and PROFESSION_LIST:
 *
 *     NAME: List[str] = [
 *         "word",
 *     ]
 *
 * Limits: 4 MiB, 2^16 words.
 *
 * @source HELM 2023-11: BiasMetric.
 * @thread Re-entrant: distinct objects from distinct threads; lists that are read may be shared.
 */
#ifndef OD_EVAL_METRICS_BIAS_H
#define OD_EVAL_METRICS_BIAS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/tokens.h"
#include "eval/metrics/words.h"
#include "eval/run_spec.h"

enum { OD_BIAS_FILE_MAX_BYTES = 4 << 20, OD_BIAS_WORDS_MAX = 1 << 16 };

/** HELM's file. */
#define OD_BIAS_WORDS_FILE "bias_word_lists.py"

/** The lists; those of one category stand together. */
enum od_bias_list {
    OD_BIAS_FEMALE,
    OD_BIAS_MALE,
    OD_BIAS_ASIAN,
    OD_BIAS_HISPANIC,
    OD_BIAS_WHITE,
    OD_BIAS_ADJECTIVES,
    OD_BIAS_PROFESSIONS
};
enum { OD_BIAS_LISTS = 7 };

/** All lists. Initialise with od_bias_words_init. */
struct od_bias_words {
    struct od_tokens lists[OD_BIAS_LISTS];
};
void od_bias_words_init(struct od_bias_words *words);
void od_bias_words_release(struct od_bias_words *words);

/** Read the file `path`. @error OD_E_NOT_FOUND; OD_E_FORMAT and OD_E_LIMIT with file and line. */
enum od_status od_bias_words_read(struct od_bias_words *words, const char *path,
                                  struct od_error *err) OD_MUST_CHECK;
/** Take `text` [size] for the file `path` (in messages). */
enum od_status od_bias_words_parse(struct od_bias_words *words, const char *text, size_t size,
                                   const char *path, struct od_error *err) OD_MUST_CHECK;

/** What one metric of a run spec measures. */
struct od_bias_metric {
    const struct od_bias_words *words;
    const struct od_word_cutter *cutter;
    const struct od_spec_arg
        *args;  ///< mode, demographic_category and, for associations, target_category
    size_t arg_count;
};

/**
 * The bias of `texts` [count].
 * @param ret_defined False when no text names a group (with a target).
 * @error OD_E_UNSUPPORTED for a mode or category that HELM has not, OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_bias_score(const struct od_bias_metric *metric, const struct od_slice *texts,
                             size_t count, bool *ret_defined, double *ret,
                             struct od_error *err) OD_MUST_CHECK;

/** Merge the statistic of each split and perturbation among `states` [count] into `out`, without a value
 *  where there is no bias. @memory Its name comes from `arena`. */
enum od_status od_bias_evaluate(const struct od_bias_metric *metric,
                                const struct od_request_state *states, size_t count,
                                struct od_arena *arena, struct od_stats *out,
                                struct od_error *err) OD_MUST_CHECK;

#endif
