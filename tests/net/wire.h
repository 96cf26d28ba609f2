/**
 * @file
 * A client for tests that writes raw bytes to a local server and reads answers, with a time limit
 * so that a server that keeps silent fails the test.
 * @thread Re-entrant: distinct wires from distinct threads. Failures are told by results, since
 *         cmocka's assertions belong to the main thread.
 */
#ifndef OD_TESTS_NET_WIRE_H
#define OD_TESTS_NET_WIRE_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/memory.h"

enum { WIRE_ANSWER_MAX_BYTES = 64 << 20, WIRE_SECONDS_MAX = 60 };

/** One connection. */
struct wire {
    int fd;
    struct od_buf in;  ///< bytes that were read and belong to later answers
};

/** One answer. */
struct wire_answer {
    int code;           ///< 0: the connection ended before an answer
    struct od_buf all;  ///< head, a NUL behind it, body
    const char *head;
    const char *body;
    size_t body_size;
};

static inline bool wire_open(struct wire *wire, int port)
{
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = WIRE_SECONDS_MAX};
    const int on = 1;
    struct sockaddr generic;
    memcpy(&generic, &address, sizeof generic);
    od_buf_init(&wire->in, WIRE_ANSWER_MAX_BYTES);
    wire->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return wire->fd >= 0 &&
           setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0 &&
           setsockopt(wire->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0 &&
           setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0 &&
           connect(wire->fd, &generic, sizeof generic) == 0;
}

static inline void wire_close(struct wire *wire)
{
    if (wire->fd >= 0) {
        (void)close(wire->fd);
    }
    wire->fd = -1;
    od_buf_release(&wire->in);
}

static inline bool wire_send(struct wire *wire, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(wire->fd, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return false;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
    return true;
}

static inline bool wire_puts(struct wire *wire, const char *text)
{
    return wire_send(wire, text, strlen(text));
}

/** Read more bytes; false at the end, on an error or after the time limit. */
static inline bool wire_fill(struct wire *wire)
{
    char piece[65536];
    const ssize_t got = recv(wire->fd, piece, sizeof piece, 0);
    if (got <= 0) {
        return false;
    }
    od_buf_append(&wire->in, piece, (size_t)got);
    return !wire->in.failed;
}

/** True when the server closed the connection and sent nothing more. */
static inline bool wire_ended(struct wire *wire)
{
    char byte;
    return wire->in.size == 0 && recv(wire->fd, &byte, 1, 0) == 0;
}

static inline void wire_answer_release(struct wire_answer *answer)
{
    od_buf_release(&answer->all);
}

/** Value of a field of an answer, up to the end of its line; NULL when absent. `name` ends in ':'. */
static inline const char *wire_field(const struct wire_answer *answer, const char *name)
{
    const char *line = answer->head;
    while (line && (line = strstr(line, "\r\n"))) {
        line += 2;
        if (strncasecmp(line, name, strlen(name)) == 0) {
            return line + strlen(name) + 1;
        }
    }
    return NULL;
}

static inline bool wire_field_is(const struct wire_answer *answer, const char *name,
                                 const char *value)
{
    const char *found = wire_field(answer, name);
    return found && strncmp(found, value, strlen(value)) == 0 && found[strlen(value)] == '\r';
}

/** Read the body of a chunked answer up to its end into `out`; false when it breaks off. */
static inline bool wire_read_chunks(struct wire *wire, struct od_buf *out)
{
    for (;;) {
        const char *line_end = NULL;
        while (!(line_end = strstr(od_buf_text(&wire->in), "\r\n"))) {
            if (!wire_fill(wire)) {
                return false;
            }
        }
        const size_t size = (size_t)strtoull(wire->in.bytes, NULL, 16);
        const size_t line = (size_t)(line_end - wire->in.bytes) + 2;
        while (wire->in.size < line + size + 2) {
            if (!wire_fill(wire)) {
                return false;
            }
        }
        od_buf_append(out, wire->in.bytes + line, size);
        wire->in.size -= line + size + 2;
        memmove(wire->in.bytes, wire->in.bytes + line + size + 2, wire->in.size + 1);
        if (size == 0) {
            return true;
        }
    }
}

/** Read one answer; code 0 when there is none. 100 Continue counts as an answer. The body of a
 *  chunked answer is left to wire_read_chunks. */
static inline struct wire_answer wire_read(struct wire *wire, bool to_head)
{
    struct wire_answer answer = {0};
    const char *end = NULL;
    od_buf_init(&answer.all, WIRE_ANSWER_MAX_BYTES);
    while (!(end = strstr(od_buf_text(&wire->in), "\r\n\r\n"))) {
        if (!wire_fill(wire)) {
            return answer;
        }
    }
    const size_t head = (size_t)(end - wire->in.bytes) + 4;
    od_buf_append(&answer.all, wire->in.bytes, head);
    od_buf_putc(&answer.all, '\0');
    if (answer.all.failed) {
        return answer;
    }
    answer.head = answer.all.bytes;
    const char *length = wire_field(&answer, "Content-Length:");
    size_t body = length && !to_head ? (size_t)strtoull(length, NULL, 10) : 0;
    while (wire->in.size < head + body) {
        if (!wire_fill(wire)) {
            return answer;
        }
    }
    od_buf_append(&answer.all, wire->in.bytes + head, body);
    if (answer.all.failed) {
        return answer;
    }
    wire->in.size -= head + body;
    memmove(wire->in.bytes, wire->in.bytes + head + body, wire->in.size + 1);
    answer.head = answer.all.bytes;
    answer.body = answer.all.bytes + head + 1;
    answer.body_size = body;
    answer.code =
        strncmp(answer.head, "HTTP/1.1 ", 9) == 0 ? (int)strtol(answer.head + 9, NULL, 10) : 0;
    return answer;
}

/** Send a request with a body (NULL: none) on an open connection and read the answer. */
static inline struct wire_answer wire_ask(struct wire *wire, const char *method, const char *path,
                                          const char *body)
{
    struct wire_answer none = {0};
    struct od_buf text;
    od_buf_init(&text, WIRE_ANSWER_MAX_BYTES);
    od_buf_printf(&text, "%s %s HTTP/1.1\r\nHost: localhost\r\n", method, path);
    if (body) {
        od_buf_printf(&text, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                      strlen(body));
    }
    od_buf_puts(&text, "\r\n");
    od_buf_puts(&text, body ? body : "");
    const bool sent = !text.failed && wire_send(wire, text.bytes, text.size);
    od_buf_release(&text);
    return sent ? wire_read(wire, strcmp(method, "HEAD") == 0) : none;
}

#endif
