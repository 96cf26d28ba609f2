// Goal: the parser accepts and refuses what RFC 9112 says, however the bytes are cut into pieces.
// Method: the table of bad_requests.h fed whole, byte by byte and cut at every place; limits at the
// maximum and one past it; every allocation made to fail in turn.

#include "net/http_parse.h"

#include <string.h>

#include "base/memory.h"
#include "net/bad_requests.h"
#include "support.h"

static const struct od_http_limits LIMITS = {.target_max_bytes = WIRE_TARGET_MAX_BYTES,
                                             .head_max_bytes = WIRE_HEAD_MAX_BYTES,
                                             .body_max_bytes = WIRE_BODY_MAX_BYTES};

/** Feed one piece until it is used up or the request is over; returns what was used. */
static size_t feed(struct od_http_parser *parser, const char *bytes, size_t size)
{
    size_t used = 0;
    // An exact copy, so that a sanitizer sees a read past the piece.
    char *piece = od_memdup(bytes, size);
    assert_non_null(piece);
    char *exact = od_alloc(size, 1);
    assert_non_null(exact);
    memcpy(exact, piece, size);
    while (used < size && parser->state != OD_HTTP_COMPLETE && parser->state != OD_HTTP_FAILED) {
        used += od_http_parser_feed(parser, exact + used, size - used);
    }
    od_free(exact);
    od_free(piece);
    return used;
}

static void check(const struct wire_case *test, const struct od_http_parser *parser,
                  const char *how, size_t at)
{
    const int code = parser->state == OD_HTTP_COMPLETE ? 200 : parser->error_code;
    if (code != test->code) {
        fail_msg("%s, %s %zu: %d instead of %d", test->name, how, at, code, test->code);
    }
    if (code == 200 && (parser->request.body_size != strlen(test->body) ||
                        strcmp(parser->request.body, test->body) != 0)) {
        fail_msg("%s, %s %zu: body '%s'", test->name, how, at, parser->request.body);
    }
}

static void table_in_every_cut(void **state)
{
    (void)state;
    struct od_http_parser parser;
    od_http_parser_init(&parser, &LIMITS);
    for (size_t i = 0; i < WIRE_CASE_COUNT; i++) {
        const struct wire_case *test = &WIRE_CASES[i];
        for (size_t cut = 0; cut <= test->size; cut++) {
            od_http_parser_reset(&parser);
            size_t used = feed(&parser, test->bytes, cut);
            if (used == cut) {
                used += feed(&parser, test->bytes + cut, test->size - cut);
            }
            check(test, &parser, "cut at", cut);
        }
        od_http_parser_reset(&parser);
        for (size_t at = 0; at < test->size; at++) {
            if (feed(&parser, test->bytes + at, 1) == 0) {
                break;
            }
        }
        check(test, &parser, "byte by byte", 0);
    }
    od_http_parser_release(&parser);
}

static void parts_of_a_request(void **state)
{
    (void)state;
    static const char BYTES[] =
        "POST /a/b?c=d?e HTTP/1.1\r\nHost: h:80\r\nX-One:  two words \t\r\n"
        "X-None:\r\nCONNECTION: foo, Close\r\nContent-Length: 3\r\n\r\nabcGET";
    struct od_http_parser parser;
    od_http_parser_init(&parser, &LIMITS);
    assert_true(od_http_parser_is_idle(&parser));
    size_t used = od_http_parser_feed(&parser, BYTES, sizeof BYTES - 1);
    assert_int_equal(parser.state, OD_HTTP_HEAD_DONE);
    assert_int_equal(used, sizeof BYTES - 1 - 6);
    used += od_http_parser_feed(&parser, BYTES + used, sizeof BYTES - 1 - used);
    assert_int_equal(parser.state, OD_HTTP_COMPLETE);
    assert_int_equal(used, sizeof BYTES - 1 - 3);  // what follows is not touched
    assert_int_equal(od_http_parser_feed(&parser, BYTES + used, 3), 0);
    const struct od_http_request *request = &parser.request;
    assert_string_equal(request->method, "POST");
    assert_string_equal(request->target, "/a/b?c=d?e");
    assert_string_equal(request->path, "/a/b");
    assert_string_equal(request->query, "c=d?e");
    assert_int_equal(request->minor_version, 1);
    assert_int_equal(request->header_count, 5);
    assert_string_equal(od_http_request_find(request, "x-one"), "two words");
    assert_string_equal(od_http_request_find(request, "x-none"), "");
    assert_null(od_http_request_find(request, "X-One"));
    assert_string_equal(request->body, "abc");
    assert_false(request->keep_alive);
    od_http_parser_release(&parser);
}

struct life_case {
    const char *bytes;
    bool keep_alive;
    const char *path;
};

static void connection_life_and_paths(void **state)
{
    (void)state;
    static const struct life_case CASES[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true, "/"},
        {"GET /?q HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false, "/"},
        {"GET / HTTP/1.0\r\n\r\n", false, "/"},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, "/"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", false, "/"},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: closed\r\n\r\n", true, "/"},
        {"GET http://h HTTP/1.1\r\nHost: h\r\n\r\n", true, "/"},
        {"GET http://h?x=/y HTTP/1.1\r\nHost: h\r\n\r\n", true, "/"},
        {"GET HTTPS://h/a/b?x HTTP/1.1\r\nHost: h\r\n\r\n", true, "/a/b"},
        {"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", true, "*"},
    };
    struct od_http_parser parser;
    od_http_parser_init(&parser, &LIMITS);
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        od_http_parser_reset(&parser);
        (void)feed(&parser, CASES[i].bytes, strlen(CASES[i].bytes));
        assert_int_equal(parser.state, OD_HTTP_COMPLETE);
        assert_string_equal(parser.request.path, CASES[i].path);
        if (parser.request.keep_alive != CASES[i].keep_alive) {
            fail_msg("case %zu", i);
        }
    }
    od_http_parser_release(&parser);
}

/** The code for `prefix`, `count` times `filler`, `suffix`. */
static int code_of(const char *prefix, char filler, size_t count, const char *suffix)
{
    struct od_http_parser parser;
    struct od_buf text;
    od_buf_init(&text, (size_t)1 << 20);
    od_buf_puts(&text, prefix);
    for (size_t i = 0; i < count; i++) {
        od_buf_putc(&text, filler);
    }
    od_buf_puts(&text, suffix);
    od_http_parser_init(&parser, &LIMITS);
    (void)feed(&parser, text.bytes, text.size);
    const int code = parser.state == OD_HTTP_COMPLETE ? 200 : parser.error_code;
    od_http_parser_release(&parser);
    od_buf_release(&text);
    return code;
}

static void limits_at_and_past(void **state)
{
    (void)state;
    const size_t target = WIRE_TARGET_MAX_BYTES - 1;
    assert_int_equal(code_of("GET /", 'a', target, " HTTP/1.1\r\nHost: h\r\n\r\n"), 200);
    assert_int_equal(code_of("GET /", 'a', target + 1, " HTTP/1.1\r\nHost: h\r\n\r\n"), 414);
    assert_int_equal(code_of("GET /", 'a', WIRE_LONG_BYTES, " HTTP/1.1\r\nHost: h\r\n\r\n"), 414);
    const size_t fields = WIRE_HEAD_MAX_BYTES - strlen(GET_HOST "X: \r\n\r\n");
    assert_int_equal(code_of(GET_HOST "X: ", 'a', fields, "\r\n\r\n"), 200);
    assert_int_equal(code_of(GET_HOST "X: ", 'a', fields + 1, "\r\n\r\n"), 431);
    assert_int_equal(code_of(GET_HOST "X: ", 'a', WIRE_LONG_BYTES, "\r\n\r\n"), 431);
    assert_int_equal(code_of("", '\n', WIRE_LONG_BYTES, ""), 414);
    assert_int_equal(code_of(POST_HOST "Content-Length: 1000\r\n\r\n", 'a', 1000, ""), 200);
    assert_int_equal(code_of(CHUNKED "3e8\r\n", 'a', 1000, "\r\n0\r\n\r\n"), 200);
    assert_int_equal(code_of(CHUNKED "3e8\r\n", 'a', 1000, "\r\n1\r\na\r\n0\r\n\r\n"), 413);
    const size_t line = OD_HTTP_CHUNK_LINE_MAX_BYTES - strlen("4;\r") - 1;
    assert_int_equal(code_of(CHUNKED "4;", 'a', line, "\r\nabcd\r\n0\r\n\r\n"), 200);
    assert_int_equal(code_of(CHUNKED "4;", 'a', line + 1, "\r\nabcd\r\n0\r\n\r\n"), 400);
    assert_int_equal(code_of(CHUNKED "0\r\nX: ", 'a', line + 1, "\r\n\r\n"), 431);
}

static void limits_of_counts(void **state)
{
    (void)state;
    for (int over = 0; over <= 1; over++) {
        struct od_http_parser parser;
        struct od_buf text;
        od_buf_init(&text, (size_t)1 << 20);
        od_buf_puts(&text, GET_HOST);
        for (int i = 1; i < OD_HTTP_HEADERS_MAX + over; i++) {
            od_buf_puts(&text, "a: b\r\n");
        }
        od_buf_puts(&text, "\r\n");
        od_http_parser_init(&parser, &LIMITS);
        (void)feed(&parser, text.bytes, text.size);
        assert_int_equal(parser.state == OD_HTTP_COMPLETE ? 200 : parser.error_code,
                         over ? 431 : 200);
        // Trailers without end.
        od_http_parser_reset(&parser);
        (void)feed(&parser, CHUNKED "0\r\n", sizeof CHUNKED "0\r\n" - 1);
        for (int i = 0; i < WIRE_LONG_BYTES && parser.state == OD_HTTP_IN_BODY; i++) {
            (void)feed(&parser, "a:b\r\n", 5);
        }
        assert_int_equal(parser.error_code, 431);
        od_http_parser_release(&parser);
        od_buf_release(&text);
    }
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    static const char BYTES[] =
        "POST /path?query HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n"
        "Transfer-Encoding: chunked\r\n\r\n50\r\n"
        "0123456789012345678901234567890123456789"
        "0123456789012345678901234567890123456789\r\n0\r\n\r\n";
    uint64_t n = 1;
    for (;; n++) {
        struct od_http_parser parser;
        od_http_parser_init(&parser, &LIMITS);
        size_t used = 0;
        od_alloc_fail_at(n);
        while (used < sizeof BYTES - 1 && parser.state != OD_HTTP_COMPLETE &&
               parser.state != OD_HTTP_FAILED) {
            used += od_http_parser_feed(&parser, BYTES + used, sizeof BYTES - 1 - used);
        }
        od_alloc_fail_at(0);
        const bool complete = parser.state == OD_HTTP_COMPLETE;
        if (!complete) {
            assert_int_equal(parser.error_code, 503);
        } else {
            assert_int_equal(parser.request.body_size, 0x50);
        }
        od_http_parser_release(&parser);
        if (complete) {
            break;
        }
    }
    assert_in_range(n, 4, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_in_every_cut),        cmocka_unit_test(parts_of_a_request),
        cmocka_unit_test(connection_life_and_paths), cmocka_unit_test(limits_at_and_past),
        cmocka_unit_test(limits_of_counts),          cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
