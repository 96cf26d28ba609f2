// Checks that compare several answers to one prompt: cuts of sampling, samples, and log-probabilities that
// are computed once more.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "serve/conformance.h"
#include "serve/conformance_internal.h"

enum { ANSWER_TOKENS = 24, SEEDS = 4, SAMPLES = 3, TEXT_MAX_BYTES = 16 << 20 };

static const char STORY[] = "Once upon a time, in a village by the sea,";

/** An answer with settings of one's own, or NULL and noted. */
static json_t *ask(struct od_probe *probe, const char *settings)
{
    char body[512];
    json_t *answer = NULL;
    (void)snprintf(body, sizeof body, "{\"prompt\": \"%s\", \"max_new_tokens\": %d, %s}", STORY,
                   ANSWER_TOKENS, settings);
    (void)od_probe_process(probe, body, &answer);
    return answer;
}

static const char *text_of(const json_t *answer)
{
    const char *text = json_string_value(json_object_get(answer, "text"));
    return text ? text : "";
}

/** How many of a few seeds give another text than `usual` at a high temperature; *ret_other is the
 *  last of these. `cut` stands behind the settings. */
static int count_others(struct od_probe *probe, const char *usual, const char *cut,
                        struct od_buf *ret_other)
{
    int count = 0;
    for (int i = 0; i < SEEDS; i++) {
        char settings[128];
        (void)snprintf(settings, sizeof settings, "\"temperature\": 1.5, \"seed\": %d%s", i, cut);
        json_t *answer = ask(probe, settings);
        if (answer && strcmp(text_of(answer), usual) != 0) {
            count++;
            od_buf_reset(ret_other);
            od_buf_puts(ret_other, text_of(answer));
        }
        json_decref(answer);
    }
    return count;
}

void od_check_cuts(struct od_probe *probe)
{
    static const char *const CUTS[] = {", \"top_p\": 1e-06", ", \"top_k\": 1"};
    struct od_buf other;
    json_t *usual = ask(probe, "\"temperature\": 1e-07");
    od_buf_init(&other, TEXT_MAX_BYTES);
    if (usual && count_others(probe, text_of(usual), "", &other) == 0) {
        (void)od_probe_note(probe, OD_VERDICT_SKIP,
                            "answers at temperature 1.5 are those at 0: nothing is left to cut");
    } else if (usual) {
        for (size_t i = 0; i < sizeof CUTS / sizeof CUTS[0]; i++) {
            if (count_others(probe, text_of(usual), CUTS[i], &other) > 0) {
                (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                    "/process: with %s only the likeliest token is left, '%.60s'; "
                                    "text is '%.60s'",
                                    CUTS[i] + 2, text_of(usual), od_buf_text(&other));
            }
        }
    }
    od_buf_release(&other);
    json_decref(usual);
}

/** The list of all samples: as many as asked for, the first in the usual places, each its own. */
static void check_list(struct od_probe *probe, const json_t *answer, const json_t *list)
{
    size_t different = 0;
    if (!json_is_array(list) || json_array_size(list) != SAMPLES) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: num_samples is %d, completions has %zu", SAMPLES,
                            json_array_size(list));
        return;
    }
    for (size_t i = 0; i < SAMPLES; i++) {
        const char *text = text_of(json_array_get(list, i));
        if (!json_is_string(json_object_get(json_array_get(list, i), "text"))) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/process: completions[%zu].text is missing", i);
        }
        different += strcmp(text, text_of(answer)) != 0;
    }
    if (strcmp(text_of(json_array_get(list, 0)), text_of(answer)) != 0) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: text is '%.60s', the first of completions '%.60s'",
                            text_of(answer), text_of(json_array_get(list, 0)));
    } else if (different == 0) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: %d samples at temperature 1.5 are all '%.60s': give each a "
                            "seed of its own",
                            SAMPLES, text_of(answer));
    }
}

void od_check_samples(struct od_probe *probe)
{
    json_t *one = ask(probe, "\"temperature\": 1.5, \"seed\": 1");
    json_t *many = ask(probe, "\"temperature\": 1.5, \"seed\": 1, \"num_samples\": 3");
    const json_t *list = json_object_get(many, "completions");
    if (one && many && strcmp(text_of(one), text_of(many)) != 0) {
        (void)od_probe_note(probe, OD_VERDICT_WARN,
                            "/process: with num_samples 3 the first text is another than with 1");
    }
    if (many && list) {
        check_list(probe, many, list);
    } else if (many) {
        (void)od_probe_note(probe, OD_VERDICT_SKIP,
                            "one text comes where num_samples is %d; the API has room for no more",
                            SAMPLES);
    }
    json_decref(many);
    json_decref(one);
}

/** Where `tokens` stand in `echoed`, whose last tokens may be new ones; false: nowhere. */
static bool find_tokens(const json_t *echoed, const json_t *tokens, size_t *ret_at)
{
    const size_t count = json_array_size(tokens);
    const size_t all = json_array_size(echoed);
    for (size_t behind = 0; behind <= 1 && count + behind < all; behind++) {
        const size_t at = all - behind - count;
        size_t same = 0;
        while (same < count && strcmp(text_of(json_array_get(echoed, at + same)),
                                      text_of(json_array_get(tokens, same))) == 0) {
            same++;
        }
        if (same == count) {
            *ret_at = at;
            return true;
        }
    }
    return false;
}

/** Compare numbers of tokens that came one by one with those that came at once. */
static void compare(struct od_probe *probe, const json_t *echoed, size_t at, const json_t *tokens)
{
    for (size_t i = 0; i < json_array_size(tokens); i++) {
        const json_t *token = json_array_get(tokens, i);
        const double first = json_number_value(json_object_get(token, "logprob"));
        const double again =
            json_number_value(json_object_get(json_array_get(echoed, at + i), "logprob"));
        // Half-precision arithmetic of another order moves them by less than that.
        if (fabs(first - again) > 0.2 + 0.05 * fabs(again)) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/process: tokens[%zu].logprob ('%.20s') is %g in an answer and %g "
                                "in an echoed prompt: log-probabilities are the model's, before "
                                "temperature and cuts",
                                i, text_of(token), first, again);
            return;
        }
    }
}

void od_check_again(struct od_probe *probe)
{
    struct od_buf prompt;
    struct od_buf body;
    json_t *echo = NULL;
    size_t at = 0;
    json_t *answer = ask(probe, "\"temperature\": 1e-07");
    const json_t *tokens = json_object_get(answer, "tokens");
    od_buf_init(&prompt, TEXT_MAX_BYTES);
    od_buf_printf(&prompt, "%s%s", STORY, text_of(answer));
    od_probe_body(&body, od_buf_text(&prompt), 1, ", \"echo_prompt\": true");
    if (answer && json_array_size(tokens) == 0) {
        (void)od_probe_note(probe, OD_VERDICT_SKIP, "the answer is empty");
    } else if (answer && od_probe_process(probe, od_buf_text(&body), &echo)) {
        const json_t *echoed = json_object_get(echo, "tokens");
        if (find_tokens(echoed, tokens, &at)) {
            compare(probe, echoed, at, tokens);
        } else {
            (void)od_probe_note(probe, OD_VERDICT_SKIP,
                                "an echoed prompt does not list the tokens of the answer in it");
        }
    }
    json_decref(echo);
    json_decref(answer);
    od_buf_release(&body);
    od_buf_release(&prompt);
}
