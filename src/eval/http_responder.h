/**
 * @file
 * A responder behind a URL: the challenge's /process, /tokenize and /decode, asked as HELM's client
 * for a local model asks them.
 *
 * Bodies are ASCII JSON with ", " and ": " between, keys in HELM's order. A connection is kept and
 * used again; several threads use several. The program calls curl_global_init before any thread.
 *
 * Numbers in answers are floats here: a server's `"logprob": 0` and `0.0` are the same.
 *
 * @source HELM 2023-11: HTTP model client.
 * @thread Locked: one lock around the list of idle connections; requests run outside it.
 */
#ifndef OD_EVAL_HTTP_RESPONDER_H
#define OD_EVAL_HTTP_RESPONDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "infer/responder.h"

enum { OD_HTTP_URL_MAX_BYTES = 2048, OD_HTTP_CONNECTIONS_MAX = 256 };

/** Limits and trust of a client; `ca_bundle` is copied. */
struct od_http_options {
    double timeout_s;        ///< for an answer, to its last byte; 0: none
    size_t reply_max_bytes;  ///< a longer answer is a failure
    const char *ca_bundle;   ///< whom https trusts (net/ca_bundle.h); NULL: as libcurl was built
};
#define OD_HTTP_OPTIONS_INIT {.timeout_s = 3000.0, .reply_max_bytes = (size_t)256 << 20}

struct od_http_responder;

/**
 * A client for the server at `url` (http:// or https://; a slash at the end is ignored). Nothing is
 * asked yet. @memory Gives: od_http_responder_close. @error OD_E_ARGUMENT, OD_E_MEMORY.
 */
enum od_status od_http_responder_open(const char *url, const struct od_http_options *options,
                                      struct od_http_responder **ret,
                                      struct od_error *err) OD_MUST_CHECK;
void od_http_responder_close(struct od_http_responder *http);

/**
 * Ask GET /health for "context_length", which the challenge's servers do not have and ours does.
 * Gives and keeps what it says, 0 when it says nothing.
 */
int64_t od_http_responder_learn_context(struct od_http_responder *http);

/**
 * The interface. Failures of the network, of the server (a status other than 2xx) and of JSON are
 * OD_E_IO; a reply that lacks a field is OD_E_FORMAT. The context length is 0 unless the server was asked.
 * @memory Borrowed from `http`.
 */
const struct od_responder *od_http_responder_interface(const struct od_http_responder *http);

#endif
