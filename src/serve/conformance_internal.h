/**
 * @file
 * What the runner of the checks (conformance.c) and the checks (conformance_checks.c) share.
 * @thread One owner for each probe.
 */
#ifndef OD_SERVE_CONFORMANCE_INTERNAL_H
#define OD_SERVE_CONFORMANCE_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "net/http_client.h"
#include "serve/conformance.h"

/** Who asks, and where what is wrong goes. */
struct od_probe {
    const char *url;
    const struct od_conformance_options *options;
    struct od_http_client *client;
    struct od_check_result *result;
    int code;  ///< status of the last answer; 0: there was none
};

/** Note a failure (or what `verdict` says) unless a worse one is noted; false, so that a check can end
 *  in it. */
bool od_probe_note(struct od_probe *probe, enum od_verdict verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** POST a body and read the JSON answer; notes what is wrong, an unexpected status too.
 *  @memory Gives *ret: json_decref. */
bool od_probe_ask(struct od_probe *probe, const char *path, const char *body, int code,
                  json_t **ret);
/** POST and give only the status; 0 when there was no answer, which is noted. */
int od_probe_status(struct od_probe *probe, const char *path, const char *body);

/** POST /process; checks the answer's form. @memory As above. */
bool od_probe_process(struct od_probe *probe, const char *body, json_t **ret);
/** Notes which field of an answer of /process is missing, of a wrong type or not finite. */
bool od_probe_form(struct od_probe *probe, const json_t *answer);
/** A body of /process: greedy, as HELM sends it, with `extra` members (", \"seed\": 1") behind. */
void od_probe_body(struct od_buf *out, const char *prompt, int64_t max_new, const char *extra);
/** The text of a greedy answer, appended to `out`; false and noted when there is none. */
bool od_probe_text(struct od_probe *probe, const char *prompt, int64_t max_new, const char *extra,
                   struct od_buf *out);
/** The ids of a text, or NULL and noted. @memory Gives: json_decref. */
json_t *od_probe_ids(struct od_probe *probe, const char *text, bool truncation, int64_t max_length);
/** The text of ids, or NULL and noted. @memory Gives: json_decref. */
json_t *od_probe_decode(struct od_probe *probe, const json_t *ids);

/** R13: what top_p and top_k leave of a distribution is all that is drawn from. */
void od_check_cuts(struct od_probe *probe);
/** R15: num_samples is honoured where there is room for the answers. */
void od_check_samples(struct od_probe *probe);
/** R15: the log-probabilities of an answer's tokens are those of a second pass over them. */
void od_check_again(struct od_probe *probe);

/** A check. */
struct od_check {
    const char *name;
    const char *what;
    void (*run)(struct od_probe *probe);
};
extern const struct od_check od_checks[];
extern const size_t od_check_count;

#endif
