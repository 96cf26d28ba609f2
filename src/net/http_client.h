/**
 * @file
 * A client that asks one server, one request at a time, and keeps the connection.
 *
 *     od_http_client_open("http://127.0.0.1:8080", NULL, NULL, &client, err);
 *     od_http_client_ask(client, "/process", body, 10.0, &reply, err);
 *     ... reply.code, reply.body
 *     od_http_client_close(client);
 *
 * The program calls curl_global_init before any thread.
 *
 * @thread One owner: distinct clients from distinct threads.
 */
#ifndef OD_NET_HTTP_CLIENT_H
#define OD_NET_HTTP_CLIENT_H

#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

enum { OD_HTTP_CLIENT_URL_MAX_BYTES = 2048 };

struct od_http_client;

/** An answer, whatever its status. */
struct od_http_reply {
    int code;
    double seconds;  ///< from asking to the last byte
    struct od_buf body;
};

/**
 * A client for the server at `url` (http:// or https://; a slash at the end is ignored). `key` goes
 * along as a bearer token; NULL: none. `ca_bundle` says whom https trusts (net/ca_bundle.h); NULL: as
 * libcurl was built. Nothing is asked yet. @memory Gives: od_http_client_close.
 */
enum od_status od_http_client_open(const char *url, const char *key, const char *ca_bundle,
                                   struct od_http_client **ret, struct od_error *err) OD_MUST_CHECK;
/** NULL is allowed. */
void od_http_client_close(struct od_http_client *client);

/**
 * POST `body` as JSON to a path, or GET when `body` is NULL.
 * @memory Fills `ret`: od_http_reply_release.
 * @error OD_E_IO when there was no complete answer in `timeout_s`, OD_E_MEMORY.
 */
enum od_status od_http_client_ask(struct od_http_client *client, const char *path, const char *body,
                                  double timeout_s, struct od_http_reply *ret,
                                  struct od_error *err) OD_MUST_CHECK;
void od_http_reply_release(struct od_http_reply *reply);

#endif
