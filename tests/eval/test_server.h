/**
 * @file
 * A small HTTP server for tests: the stand-in model behind /process, /tokenize and /decode on a
 * free port of 127.0.0.1, one thread a connection, connections kept alive.
 *
 * @thread One owner; answers come from threads of its own.
 */
#ifndef OD_TESTS_EVAL_TEST_SERVER_H
#define OD_TESTS_EVAL_TEST_SERVER_H

#include <arpa/inet.h>
#include <jansson.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "formats/json.h"
#include "stand_in.h"

enum { TEST_SERVER_CONNECTIONS_MAX = 256, TEST_SERVER_REQUEST_MAX = 1 << 20 };

/** What the server does wrong. */
enum test_server_fault {
    TEST_SERVER_FINE,
    TEST_SERVER_STATUS_500,
    TEST_SERVER_NO_JSON,
    TEST_SERVER_NO_LOGPROB,
    TEST_SERVER_NO_TOKENS,
    TEST_SERVER_HANGS_UP,
    TEST_SERVER_LONG
};

struct test_server {
    struct stand_in *model;
    int listener;
    int port;
    char url[64];
    pthread_t thread;
    pthread_t threads[TEST_SERVER_CONNECTIONS_MAX];
    int sockets[TEST_SERVER_CONNECTIONS_MAX];
    atomic_int connections;
    _Atomic enum test_server_fault fault;
    /** Sends what it likes in place of an answer to `path`; false: the answer is sent. NULL: never. */
    bool (*hostile)(void *context, int socket, const char *path);
    void *hostile_context;
    pthread_mutex_t lock;
    char last_body[1 << 16];  ///< of the last request, cut
    char last_head[4096];
};

struct test_connection {
    struct test_server *server;
    int socket;
};

STAND_IN_UNUSED static void test_server_tokens(struct od_json_writer *w,
                                               const struct od_process_result *result)
{
    od_json_key(w, "tokens");
    od_json_array_begin(w);
    for (size_t i = 0; i < result->token_count; i++) {
        const struct od_token_result *token = &result->tokens[i];
        od_json_object_begin(w);
        od_json_member_text(w, "text", token->text);
        od_json_member_number(w, "logprob", token->logprob);
        od_json_key(w, "top_logprob");
        od_json_object_begin(w);
        for (size_t k = 0; k < token->top_count; k++) {
            od_json_member_number(w, token->top[k].text, token->top[k].logprob);
        }
        od_json_object_end(w);
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

STAND_IN_UNUSED static void test_server_process(struct test_server *server, const json_t *body,
                                                struct od_json_writer *w)
{
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    struct od_process_result result;
    const json_t *prompt = json_object_get(body, "prompt");
    request.prompt = json_string_value(prompt);
    request.prompt_size = json_string_length(prompt);
    request.max_new_tokens = json_integer_value(json_object_get(body, "max_new_tokens"));
    od_process_result_init(&result);
    const enum od_status ignored = stand_in_process(server->model, &request, &result, NULL);
    (void)ignored;
    od_json_member_text(w, "text", result.text);
    if (server->fault != TEST_SERVER_NO_LOGPROB) {
        od_json_member_number(w, "logprob", result.logprob);
    }
    test_server_tokens(w, &result);
    od_json_member_number(w, "request_time", result.request_time_s);
    od_process_result_release(&result);
}

STAND_IN_UNUSED static void test_server_tokenize(struct test_server *server, const json_t *body,
                                                 struct od_json_writer *w)
{
    struct od_ids ids;
    const json_t *text = json_object_get(body, "text");
    od_ids_init(&ids, 1 << 22);
    const enum od_status ignored =
        stand_in_tokenize(server->model, json_string_value(text), json_string_length(text),
                          json_is_true(json_object_get(body, "truncation")),
                          json_integer_value(json_object_get(body, "max_length")), &ids, NULL);
    (void)ignored;
    if (server->fault != TEST_SERVER_NO_TOKENS) {
        od_json_key(w, "tokens");
        od_json_array_begin(w);
        for (size_t i = 0; i < ids.count; i++) {
            od_json_put_int(w, ids.data[i]);
        }
        od_json_array_end(w);
    }
    od_json_member_number(w, "request_time", 0.0);
    od_ids_release(&ids);
}

STAND_IN_UNUSED static void test_server_decode(struct test_server *server, const json_t *body,
                                               struct od_json_writer *w)
{
    struct od_buf text;
    size_t i = 0;
    json_t *item = NULL;
    od_buf_init(&text, 1 << 22);
    json_array_foreach(json_object_get(body, "tokens"), i, item)
    {
        const int32_t id = (int32_t)json_integer_value(item);
        const enum od_status ignored = stand_in_decode(server->model, &id, 1, &text, NULL);
        (void)ignored;
    }
    od_json_key(w, "text");
    od_json_put_text_n(w, od_buf_text(&text), text.size);
    od_json_member_number(w, "request_time", 0.0);
    od_buf_release(&text);
}

STAND_IN_UNUSED static void test_server_send(int socket, const char *bytes, size_t size)
{
    while (size > 0) {
        const ssize_t sent = send(socket, bytes, size, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        bytes += sent;
        size -= (size_t)sent;
    }
}

STAND_IN_UNUSED static void test_server_answer(struct test_server *server, int socket,
                                               const char *path, const char *text, size_t size)
{
    struct od_json_writer w;
    struct od_buf reply;
    char head[128];
    json_t *body = json_loadb(text, size, 0, NULL);
    od_buf_init(&reply, 1 << 24);
    od_json_writer_init(&w, &reply, OD_JSON_LINE, false);
    od_json_object_begin(&w);
    if (strncmp(path, "/process ", 9) == 0) {
        test_server_process(server, body, &w);
    } else if (strncmp(path, "/tokenize ", 10) == 0) {
        test_server_tokenize(server, body, &w);
    } else {
        test_server_decode(server, body, &w);
    }
    od_json_object_end(&w);
    if (server->fault == TEST_SERVER_NO_JSON) {
        od_buf_reset(&reply);
        od_buf_puts(&reply, "{\"text\": ");
    }
    for (int i = 0; server->fault == TEST_SERVER_LONG && i < 5000; i++) {
        od_buf_putc(&reply, ' ');
    }
    (void)snprintf(head, sizeof head,
                   "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                   server->fault == TEST_SERVER_STATUS_500 ? "500 Made up" : "200 OK", reply.size);
    test_server_send(socket, head, strlen(head));
    test_server_send(socket, od_buf_text(&reply), reply.size);
    od_buf_release(&reply);
    json_decref(body);
}

STAND_IN_UNUSED static void *test_server_connection(void *context)
{
    struct test_connection connection = *(struct test_connection *)context;
    struct test_server *server = connection.server;
    static const char missing[] = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
    struct od_buf in;
    char piece[4096];
    od_free(context);
    od_buf_init(&in, TEST_SERVER_REQUEST_MAX);
    for (;;) {
        char *end = NULL;
        size_t need = SIZE_MAX;
        while (in.size < need) {
            const ssize_t got = recv(connection.socket, piece, sizeof piece, 0);
            if (got <= 0) {
                od_buf_release(&in);
                return NULL;
            }
            od_buf_append(&in, piece, (size_t)got);
            end = strstr(od_buf_text(&in), "\r\n\r\n");
            if (end) {
                const char *length = strstr(in.bytes, "Content-Length: ");
                need = (size_t)(end + 4 - in.bytes) + (length ? strtoul(length + 16, NULL, 10) : 0);
            }
        }
        const size_t head = (size_t)(end + 4 - in.bytes);
        (void)pthread_mutex_lock(&server->lock);
        (void)snprintf(server->last_head, sizeof server->last_head, "%.*s", (int)head, in.bytes);
        (void)snprintf(server->last_body, sizeof server->last_body, "%.*s", (int)(need - head),
                       in.bytes + head);
        (void)pthread_mutex_unlock(&server->lock);
        if (server->fault == TEST_SERVER_HANGS_UP) {
            (void)shutdown(connection.socket, SHUT_RDWR);
            continue;
        }
        if (server->hostile && server->hostile(server->hostile_context, connection.socket,
                                               strchr(in.bytes, ' ') + 1)) {
            (void)shutdown(connection.socket, SHUT_RDWR);
            continue;
        }
        if (strncmp(in.bytes, "POST ", 5) == 0) {
            test_server_answer(server, connection.socket, in.bytes + 5, in.bytes + head,
                               need - head);
        } else {  // /health, which the challenge's servers do not have
            test_server_send(connection.socket, missing, sizeof missing - 1);
        }
        od_buf_reset(&in);
    }
}

STAND_IN_UNUSED static void *test_server_accept(void *context)
{
    struct test_server *server = context;
    for (;;) {
        const int socket = accept(server->listener, NULL, NULL);
        const int at = server->connections;
        if (socket < 0 || at == TEST_SERVER_CONNECTIONS_MAX) {
            return NULL;
        }
        struct test_connection *connection = od_alloc(1, sizeof *connection);
        *connection = (struct test_connection){server, socket};
        server->sockets[at] = socket;
        if (pthread_create(&server->threads[at], NULL, test_server_connection, connection) != 0) {
            return NULL;
        }
        server->connections = at + 1;
    }
}

STAND_IN_UNUSED static void test_server_start(struct test_server *server, struct stand_in *model)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    memset(server, 0, sizeof *server);
    server->model = model;
    (void)pthread_mutex_init(&server->lock, NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = socket(AF_INET, SOCK_STREAM, 0);
    if (server->listener < 0) {
        fail_msg("no socket");
        return;
    }
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(server->listener, 64), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &size), 0);
    server->port = ntohs(address.sin_port);
    (void)snprintf(server->url, sizeof server->url, "http://127.0.0.1:%d/", server->port);
    assert_int_equal(pthread_create(&server->thread, NULL, test_server_accept, server), 0);
}

STAND_IN_UNUSED static void test_server_stop(struct test_server *server)
{
    (void)shutdown(server->listener, SHUT_RDWR);
    (void)pthread_join(server->thread, NULL);
    for (int i = 0; i < server->connections; i++) {
        (void)shutdown(server->sockets[i], SHUT_RDWR);
        (void)pthread_join(server->threads[i], NULL);
        (void)close(server->sockets[i]);
    }
    (void)close(server->listener);
    (void)pthread_mutex_destroy(&server->lock);
}

#endif
