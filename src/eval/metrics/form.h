/**
 * @file
 * Whether answers have the form that a score needs: a poor format looks like a poor model in the
 * scores, and is mended elsewhere.
 *
 *     readable         multiple choice: the letter of an answer and nothing else; free text: some text
 *     empty            nothing but white space
 *     stop_ignored     goes on behind a stop string that was asked for
 *     letter_and_more  begins with the letter of an answer, "A." or "A because"
 *     no_letter        multiple choice without such a letter
 *     no_number        a word problem whose answer has no number
 *
 * Each answer is one of these. Apart from that, cut_by_length counts answers with as many tokens as
 * were allowed, where more than one was.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_EVAL_METRICS_FORM_H
#define OD_EVAL_METRICS_FORM_H

#include <stdint.h>

#include "base/memory.h"
#include "eval/adapter.h"
#include "eval/run_spec.h"

enum od_form {
    OD_FORM_READABLE,
    OD_FORM_EMPTY,
    OD_FORM_STOP_IGNORED,
    OD_FORM_LETTER_AND_MORE,
    OD_FORM_NO_LETTER,
    OD_FORM_NO_NUMBER
};
enum { OD_FORMS = 6, OD_FORM_EXAMPLES_MAX = 3, OD_FORM_EXAMPLE_MAX_BYTES = 200 };

/** The word for a form, as above. */
const char *od_form_name(enum od_form form);

/** What the answers of a run look like. */
struct od_forms {
    int64_t counts[OD_FORMS];
    int64_t cut_by_length;
    int64_t answers;
    const struct od_request_state *examples[OD_FORM_EXAMPLES_MAX];  ///< the first not readable ones
    int64_t example_count;
};

/** The form of one answer. */
enum od_form od_form_of(const struct od_run_spec *spec, const struct od_request_state *state);

/** Look at all answers of a run. @memory *ret keeps pointers into `states`. */
void od_forms_count(const struct od_run_spec *spec, const struct od_request_states *states,
                    struct od_forms *ret);

/**
 * Append the text of replies_oneday.json:
 *
 *     {"answers": 16, "readable": 12, "empty": 1, ..., "cut_by_length": 0,
 *      "examples": [{"instance": "id5", "form": "letter_and_more", "text": "A. The"}]}
 *
 * A longer text of an example is cut at a character.
 */
void od_forms_write(const struct od_run_spec *spec, const struct od_forms *forms,
                    struct od_buf *out);

#endif
