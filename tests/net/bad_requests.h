/**
 * @file
 * Requests that servers disagree about, with the answer that RFC 9110 and 9112 ask for. Used on
 * the parser alone and over a socket.
 * @thread No state.
 */
#ifndef OD_TESTS_NET_BAD_REQUESTS_H
#define OD_TESTS_NET_BAD_REQUESTS_H

#include <stddef.h>

enum {
    WIRE_TARGET_MAX_BYTES = 8 << 10,
    WIRE_HEAD_MAX_BYTES = 32 << 10,
    WIRE_BODY_MAX_BYTES = 1000,
    WIRE_LONG_BYTES = 64 << 10
};

struct wire_case {
    const char *name;
    const char *bytes;
    size_t size;
    int code;          ///< of the answer; errors close the connection
    const char *body;  ///< that the handler saw, when the code is 200
};

#define WIRE(name, bytes, code, body) {(name), (bytes), sizeof(bytes) - 1, (code), (body)}
#define POST_HOST                     "POST /x HTTP/1.1\r\nHost: h\r\n"
#define GET_HOST                      "GET /x HTTP/1.1\r\nHost: h\r\n"
#define CHUNKED                       POST_HOST "Transfer-Encoding: chunked\r\n\r\n"

static const struct wire_case WIRE_CASES[] = {
    // two lengths
    WIRE("Content-Length twice, same",
         POST_HOST "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400, NULL),
    WIRE("Content-Length 4 then 0", POST_HOST "Content-Length: 4\r\nContent-Length: 0\r\n\r\nabcd",
         400, NULL),
    WIRE("Content-Length list", POST_HOST "Content-Length: 4, 4\r\n\r\nabcd", 400, NULL),
    WIRE("Content-Length + chunked",
         POST_HOST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunked + Content-Length",
         POST_HOST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400, NULL),
    // transfer codings
    WIRE("Transfer-Encoding: gzip, chunked",
         POST_HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, NULL),
    WIRE("Transfer-Encoding: xchunked", POST_HOST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
         400, NULL),
    WIRE("Transfer-Encoding: chunked, gzip",
         POST_HOST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, NULL),
    WIRE("Transfer-Encoding twice",
         POST_HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
         NULL),
    WIRE("Transfer-Encoding empty", POST_HOST "Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunked in HTTP/1.0", "POST /x HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400, NULL),
    WIRE("transfer-encoding: CHUNKED",
         POST_HOST "transfer-encoding: CHUNKED\r\n\r\n4\r\nabcd\r\n0\r\n\r\n", 200, "abcd"),
    // field lines
    WIRE("Content-Length : 4", POST_HOST "Content-Length : 4\r\n\r\nabcd", 400, NULL),
    WIRE("folded header line", GET_HOST "X: a\r\n b\r\n\r\n", 400, NULL),
    WIRE("folded first header line", "GET /x HTTP/1.1\r\n Host: h\r\n\r\n", 400, NULL),
    WIRE("bare LF line ends", "GET /x HTTP/1.1\nHost: h\n\n", 200, ""),
    WIRE("bare CR in a value", GET_HOST "X: a\rb\r\n\r\n", 400, NULL),
    WIRE("two CR before LF", GET_HOST "X: a\r\r\n\r\n", 400, NULL),
    WIRE("NUL in a value", GET_HOST "X: a\0b\r\n\r\n", 400, NULL),
    WIRE("DEL in a value", GET_HOST "X: a\x7f\r\n\r\n", 400, NULL),
    WIRE("byte above ASCII in a value", GET_HOST "X: \xc3\xa9\r\n\r\n", 200, ""),
    WIRE("header line without colon", GET_HOST "nonsense\r\n\r\n", 400, NULL),
    WIRE("header line without name", GET_HOST ": x\r\n\r\n", 400, NULL),
    WIRE("header name with a blank", GET_HOST "A B: x\r\n\r\n", 400, NULL),
    // lengths
    WIRE("Content-Length +4", POST_HOST "Content-Length: +4\r\n\r\nabcd", 400, NULL),
    WIRE("Content-Length -1", POST_HOST "Content-Length: -1\r\n\r\nabcd", 400, NULL),
    WIRE("Content-Length 0x4", POST_HOST "Content-Length: 0x4\r\n\r\nabcd", 400, NULL),
    WIRE("Content-Length 2^64+4", POST_HOST "Content-Length: 18446744073709551620\r\n\r\nabcd", 400,
         NULL),
    WIRE("Content-Length empty", POST_HOST "Content-Length:\r\n\r\nabcd", 400, NULL),
    WIRE("Content-Length with a blank inside", POST_HOST "Content-Length: 4 4\r\n\r\nabcd", 400,
         NULL),
    WIRE("Content-Length at the limit and above", POST_HOST "Content-Length: 1001\r\n\r\n", 413,
         NULL),
    WIRE("Content-Length", POST_HOST "Content-Length: \t4 \r\n\r\nabcd", 200, "abcd"),
    WIRE("Content-Length 0", POST_HOST "Content-Length: 0\r\n\r\n", 200, ""),
    // chunks
    WIRE("chunk size 4;x=y", CHUNKED "4;x=y\r\nabcd\r\n0\r\n\r\n", 200, "abcd"),
    WIRE("chunk size 4 ;x", CHUNKED "4 ;x\r\nabcd\r\n0\r\n\r\n", 200, "abcd"),
    WIRE("chunk size 0x4", CHUNKED "0x4\r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk size -1", CHUNKED "-1\r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk size empty", CHUNKED "\r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk size with a blank behind", CHUNKED "4 \r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk size of 2^64", CHUNKED "10000000000000000\r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk size above the limit", CHUNKED "3e9\r\n", 413, NULL),
    WIRE("chunk size in capitals", CHUNKED "A\r\n0123456789\r\n0\r\n\r\n", 200, "0123456789"),
    WIRE("chunk size ended by LF", CHUNKED "4\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk extension ended by LF", CHUNKED "4;\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk ended by LF", CHUNKED "4\r\nabcd\n0\r\n\r\n", 400, NULL),
    WIRE("chunk longer than its size", CHUNKED "3\r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("chunk extension with a bare CR", CHUNKED "4;a\rb\r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("NUL in a chunk size", CHUNKED "4\0\r\nabcd\r\n0\r\n\r\n", 400, NULL),
    WIRE("two chunks", CHUNKED "2\r\nab\r\n02\r\ncd\r\n000\r\n\r\n", 200, "abcd"),
    WIRE("trailer", CHUNKED "2\r\nab\r\n0\r\nX: y\r\n\r\n", 200, "ab"),
    WIRE("trailer without colon", CHUNKED "2\r\nab\r\n0\r\nXy\r\n\r\n", 400, NULL),
    // host
    WIRE("no Host", "GET /x HTTP/1.1\r\n\r\n", 400, NULL),
    WIRE("no Host in HTTP/1.0", "GET /x HTTP/1.0\r\n\r\n", 200, ""),
    WIRE("two Hosts", GET_HOST "Host: h\r\n\r\n", 400, NULL),
    WIRE("Host with a slash", "GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, NULL),
    WIRE("Host empty", "GET /x HTTP/1.1\r\nHost:\r\n\r\n", 200, ""),
    // request lines
    WIRE("two blanks", "GET  /x HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("tab", "GET\t/x HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("no version", "GET /x\r\n\r\n", 400, NULL),
    WIRE("HTTP/0.9 style", "GET /x \r\n\r\n", 400, NULL),
    WIRE("HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, NULL),
    WIRE("version in small letters", "GET /x http/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("blank behind the version", "GET /x HTTP/1.1 \r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("no slash", "GET x HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("fragment", "GET /x#y HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("byte above ASCII in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("star", "GET * HTTP/1.1\r\nHost: h\r\n\r\n", 400, NULL),
    WIRE("star for OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 200, ""),
    WIRE("absolute form", "GET http://other/x?y HTTP/1.1\r\nHost: h\r\n\r\n", 200, ""),
    WIRE("a very long method", "GETGETGETGETGETGETGETGETGETGETGETGET / HTTP/1.1\r\nHost: h\r\n\r\n",
         501, NULL),
    WIRE("empty lines in front", "\r\n\r\n\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n", 200, ""),
    WIRE("TLS instead of HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400, NULL),
    // expectations
    WIRE("unknown expectation", POST_HOST "Expect: miracles\r\nContent-Length: 4\r\n\r\nabcd", 417,
         NULL),
};

enum { WIRE_CASE_COUNT = sizeof WIRE_CASES / sizeof WIRE_CASES[0] };

#endif
