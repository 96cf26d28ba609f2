/**
 * @file
 * HTTP/1.1 requests from bytes, one at a time, without a socket in sight.
 *
 * Feed bytes as they come; od_http_parser_feed takes what belongs to the request and stops behind
 * it, so that what follows (pipelined requests) stays with the caller.
 *
 *     while (size > 0) {
 *         const size_t used = od_http_parser_feed(&parser, bytes, size);
 *         bytes += used, size -= used;
 *         if (parser.state == OD_HTTP_HEAD_DONE)  // decide about the body, then feed on
 *         if (parser.state == OD_HTTP_COMPLETE)   // use parser.request, then od_http_parser_reset
 *         if (parser.state == OD_HTTP_FAILED)     // answer parser.error_code and close
 *     }
 *
 * @source RFC 9110, RFC 9112.
 * @thread Re-entrant: distinct parsers from distinct threads.
 */
#ifndef OD_NET_HTTP_PARSE_H
#define OD_NET_HTTP_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"

enum {
    OD_HTTP_HEADERS_MAX = 100,
    OD_HTTP_METHOD_MAX_BYTES = 32,
    OD_HTTP_CHUNK_LINE_MAX_BYTES = 256  ///< size and extensions of one chunk
};

/** What a request may be at most. */
struct od_http_limits {
    size_t target_max_bytes;  ///< longer is 414
    size_t head_max_bytes;  ///< request line and fields, longer is 431; trailers get as much again
    size_t body_max_bytes;  ///< longer is 413
};

enum od_http_parse_state {
    OD_HTTP_IN_HEAD,    ///< also before the first byte: see od_http_parser_is_idle
    OD_HTTP_HEAD_DONE,  ///< the head is complete and a body follows; reached once
    OD_HTTP_IN_BODY,
    OD_HTTP_COMPLETE,
    OD_HTTP_FAILED
};

/** One field. The name is in lower case. */
struct od_http_header {
    const char *name;
    const char *value;  ///< without white space around it
};

/** A request. All strings end with a NUL and live until the parser is reset or released. */
struct od_http_request {
    const char *method;
    const char *target;  ///< as it came
    const char *path;    ///< of the target, without the query; "*" for OPTIONS *
    const char *query;   ///< behind the first '?', or ""
    int minor_version;   ///< HTTP/1.x
    struct od_http_header headers[OD_HTTP_HEADERS_MAX];
    size_t header_count;
    const char *body;  ///< "" while there is none
    size_t body_size;
    bool keep_alive;
    bool expects_continue;
};

struct od_http_parser {
    struct od_http_limits limits;
    enum od_http_parse_state state;
    int error_code;     ///< when failed: the status to answer with
    const char *error;  ///< when failed: why, a constant without quotes or backslashes
    struct od_http_request request;
    // private
    struct od_buf head;  ///< lines, each ended by a NUL
    size_t line_start;   ///< where in `head` the line in progress starts
    size_t head_bytes;   ///< bytes of the head so far, line ends included
    int step;
    struct od_buf body;
    uint64_t body_left;  ///< of the body, or of the chunk
    char line[OD_HTTP_CHUNK_LINE_MAX_BYTES];
    size_t line_size;
    size_t extra_bytes;  ///< of chunk extensions and trailers
};

/** A parser that waits for a request. Allocates nothing yet. */
void od_http_parser_init(struct od_http_parser *parser, const struct od_http_limits *limits);
void od_http_parser_release(struct od_http_parser *parser);
/** Wait for the next request; keeps memory up to a modest size. */
void od_http_parser_reset(struct od_http_parser *parser);

/**
 * Take bytes of the current request; returns how many. Takes all of them unless the head or the
 * request became complete, or it failed. A complete or failed parser takes nothing.
 * @memory Borrows `bytes`.
 */
size_t od_http_parser_feed(struct od_http_parser *parser, const char *bytes, size_t size);

/** True before the first byte of a request (empty lines do not count). */
bool od_http_parser_is_idle(const struct od_http_parser *parser);

/** Value of a field by its lower-case name, the first if there are several, or NULL. */
const char *od_http_request_find(const struct od_http_request *request, const char *name);

/**
 * Append a part of a path with its percent-escapes (%2F) as the bytes that they stand for.
 * @error False, and what was appended is of no use, for a percent sign without two digits, for an
 *        escaped NUL, and when `out` is full.
 */
bool od_http_unescape(const char *text, struct od_buf *out);

/** The reason phrase of a status code, "Unknown" when it has none here. */
const char *od_http_reason(int code);

#endif
