// A request on the wire:
//
//     request     = *1(empty-line) method SP target SP "HTTP/1." DIGIT line-end
//                   *(field-name ":" OWS value OWS line-end) line-end [body]
//     line-end    = CRLF, or a bare LF (in the head only)
//     body        = Content-Length bytes, or with "Transfer-Encoding: chunked":
//                   *(size-hex [ext] CRLF bytes CRLF) "0" [ext] CRLF *(field CRLF) CRLF
//
// Refused, because two readers of the same bytes could disagree where the request ends: both
// lengths at once, a length twice or not all digits, a transfer coding other than chunked, blanks
// around a field name, folded lines, NUL and bare CR, a bare LF inside chunk framing, a
// missing or doubled Host. Wherever a request is refused the connection cannot be used further.

#include "net/http_parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "base/memory.h"

enum step { STEP_HEAD, STEP_FIXED, STEP_CHUNK_SIZE, STEP_CHUNK_DATA, STEP_CHUNK_END, STEP_TRAILER };

enum {
    KEEP_BYTES = 64 * 1024,  // buffers larger than this are not kept for the next request
    CHUNK_SIZE_DIGITS_MAX = 15,
    LENGTH_DIGITS_MAX = 18
};

struct reason {
    int code;
    const char *phrase;
};

static const struct reason REASONS[] = {
    {100, "Continue"},
    {200, "OK"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {417, "Expectation Failed"},
    {422, "Unprocessable Content"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {503, "Service Unavailable"},
    {505, "HTTP Version Not Supported"},
};

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool od_http_unescape(const char *text, struct od_buf *out)
{
    for (const char *at = text; *at != '\0'; at++) {
        int byte = (unsigned char)*at;
        if (byte == '%') {
            const int high = hex_digit(at[1]);
            const int low = high < 0 ? -1 : hex_digit(at[2]);
            if (low < 0 || high + low == 0) {
                return false;
            }
            byte = high * 16 + low;
            at += 2;
        }
        od_buf_putc(out, (char)byte);
    }
    return !out->failed;
}

const char *od_http_reason(int code)
{
    for (size_t i = 0; i < sizeof REASONS / sizeof REASONS[0]; i++) {
        if (REASONS[i].code == code) {
            return REASONS[i].phrase;
        }
    }
    return "Unknown";
}

void od_http_parser_init(struct od_http_parser *parser, const struct od_http_limits *limits)
{
    *parser = (struct od_http_parser){.limits = *limits};
    // Room for the NUL behind every line and for a copy of the path.
    od_buf_init(&parser->head, 2 * limits->head_max_bytes + 2);
    od_buf_init(&parser->body, limits->body_max_bytes);
    parser->request.body = "";
}

void od_http_parser_release(struct od_http_parser *parser)
{
    od_buf_release(&parser->head);
    od_buf_release(&parser->body);
}

static void buf_recycle(struct od_buf *buf)
{
    if (buf->capacity > KEEP_BYTES) {
        od_buf_release(buf);
    }
    od_buf_reset(buf);
}

void od_http_parser_reset(struct od_http_parser *parser)
{
    buf_recycle(&parser->head);
    buf_recycle(&parser->body);
    parser->state = OD_HTTP_IN_HEAD;
    parser->step = STEP_HEAD;
    parser->error_code = 0;
    parser->error = NULL;
    parser->request.header_count = 0;
    parser->request.body = "";
    parser->request.body_size = 0;
    parser->line_start = 0;
    parser->head_bytes = 0;
    parser->line_size = 0;
    parser->extra_bytes = 0;
}

bool od_http_parser_is_idle(const struct od_http_parser *parser)
{
    return parser->state == OD_HTTP_IN_HEAD && parser->head.size == 0;
}

const char *od_http_request_find(const struct od_http_request *request, const char *name)
{
    for (size_t i = 0; i < request->header_count; i++) {
        if (strcmp(request->headers[i].name, name) == 0) {
            return request->headers[i].value;
        }
    }
    return NULL;
}

/** Refuse the request; false, so that a check can end in it. */
static bool refuse(struct od_http_parser *parser, int code, const char *why)
{
    parser->state = OD_HTTP_FAILED;
    parser->error_code = code;
    parser->error = why;
    return false;
}

static bool is_token_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/** Allowed inside a value: everything but control characters; tab is fine. */
static bool is_value_char(char c)
{
    const unsigned char byte = (unsigned char)c;
    return byte == '\t' || (byte >= 0x20 && byte != 0x7f);
}

/** Cut the text at `end` of `method SP target SP version`; pointers are set by finish_head. */
static bool parse_request_line(struct od_http_parser *parser, char *line)
{
    char *at = line;
    while (is_token_char(*at)) {
        at++;
    }
    if (at == line || *at != ' ') {
        return refuse(parser, 400, "the request line starts with no method");
    }
    if (at - line > OD_HTTP_METHOD_MAX_BYTES) {
        return refuse(parser, 501, "the method is not known");
    }
    *at++ = '\0';
    char *target = at;
    while (*at > ' ' && *at < 0x7f) {
        at++;
    }
    if (at == target || *at != ' ') {
        return refuse(parser, 400, "the request line has no target of printable ASCII");
    }
    if ((size_t)(at - target) > parser->limits.target_max_bytes) {
        return refuse(parser, 414, "the target is too long");
    }
    *at++ = '\0';
    if (strncmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' || at[6] != '.' || at[7] < '0' ||
        at[7] > '9' || at[8] != '\0') {
        return refuse(parser, 400, "the request line ends with no HTTP version");
    }
    if (at[5] != '1') {
        return refuse(parser, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    parser->request.minor_version = at[7] - '0';
    return true;
}

/** Where the value of a field line starts, without blanks in front; cuts those behind it. */
static char *check_field(struct od_http_parser *parser, char *line)
{
    char *at = line;
    while (is_token_char(*at)) {
        at++;
    }
    if (is_blank(*line)) {
        (void)refuse(parser, 400, "folded header lines are not allowed");
        return NULL;
    }
    if (at == line || *at != ':') {
        (void)refuse(parser, 400,
                     at == line ? "a header line without a name"
                                : "a header name that is not followed by a colon");
        return NULL;
    }
    *at++ = '\0';
    while (is_blank(*at)) {
        at++;
    }
    char *end = at;
    for (char *c = at; *c != '\0'; c++) {
        if (!is_value_char(*c)) {
            (void)refuse(parser, 400, "a header value with a control character");
            return NULL;
        }
        if (!is_blank(*c)) {
            end = c + 1;
        }
    }
    *end = '\0';
    return at;
}

/** Does a comma-separated list name `token`, in any case? */
static bool list_has(const char *list, const char *token)
{
    const size_t size = strlen(token);
    while (*list != '\0') {
        list += strspn(list, " \t,");
        const size_t word = strcspn(list, " \t,");
        if (word == size && strncasecmp(list, token, size) == 0) {
            return true;
        }
        list += word;
    }
    return false;
}

static bool parse_length(struct od_http_parser *parser, const char *text)
{
    uint64_t length = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9'; digits++) {
        if (digits == LENGTH_DIGITS_MAX) {
            return refuse(parser, 400, "a Content-Length that is out of range");
        }
        length = length * 10 + (uint64_t)(text[digits] - '0');
    }
    if (digits == 0 || text[digits] != '\0') {
        return refuse(parser, 400, "a Content-Length that is not a number");
    }
    if (length > parser->limits.body_max_bytes) {
        return refuse(parser, 413, "the body is too large");
    }
    parser->body_left = length;
    return true;
}

static bool check_host(struct od_http_parser *parser, const char *host)
{
    if (!host) {
        return parser->request.minor_version == 0 || refuse(parser, 400, "no Host header");
    }
    for (const char *c = host; *c != '\0'; c++) {
        if (*c <= ' ' || *c >= 0x7f || strchr("\"/?#@\\<>^`{|}", *c)) {
            return refuse(parser, 400, "a Host header that is no host");
        }
    }
    return true;
}

/** How long the body is: sets `step` and `body_left`. */
static bool find_body(struct od_http_parser *parser, const char *length, const char *coding)
{
    parser->step = STEP_FIXED;
    parser->body_left = 0;
    if (!coding) {
        return !length || parse_length(parser, length);
    }
    if (length) {
        return refuse(parser, 400, "both Content-Length and Transfer-Encoding");
    }
    if (parser->request.minor_version == 0) {
        return refuse(parser, 400, "Transfer-Encoding in HTTP/1.0");
    }
    if (strcasecmp(coding, "chunked") != 0) {
        const size_t size = strlen(coding);
        const bool ends_well = size > 8 && strcasecmp(coding + size - 7, "chunked") == 0 &&
                               (is_blank(coding[size - 8]) || coding[size - 8] == ',');
        return refuse(parser, ends_well ? 501 : 400,
                      "the only transfer coding understood is chunked");
    }
    parser->step = STEP_CHUNK_SIZE;
    return true;
}

/** The fields that say where the request ends and what becomes of the connection. */
static bool check_fields(struct od_http_parser *parser)
{
    struct od_http_request *request = &parser->request;
    const char *host = NULL;
    const char *length = NULL;
    const char *coding = NULL;
    bool close = false;
    bool keep_alive = false;

    request->expects_continue = false;
    for (size_t i = 0; i < request->header_count; i++) {
        const char *name = request->headers[i].name;
        const char *value = request->headers[i].value;
        const char **once = strcmp(name, "host") == 0                ? &host
                            : strcmp(name, "content-length") == 0    ? &length
                            : strcmp(name, "transfer-encoding") == 0 ? &coding
                                                                     : NULL;
        if (once && *once) {
            return refuse(parser, 400, "Host, Content-Length or Transfer-Encoding twice");
        }
        if (once) {
            *once = value;
        } else if (strcmp(name, "connection") == 0) {
            close = close || list_has(value, "close");
            keep_alive = keep_alive || list_has(value, "keep-alive");
        } else if (strcmp(name, "expect") == 0 && request->minor_version > 0) {
            if (strcasecmp(value, "100-continue") != 0) {
                return refuse(parser, 417, "the only expectation understood is 100-continue");
            }
            request->expects_continue = true;
        }
    }
    request->keep_alive = !close && (request->minor_version > 0 || keep_alive);
    return check_host(parser, host) && find_body(parser, length, coding);
}

/** Find the path inside the target and append a copy of it to the head. */
static bool find_path(struct od_http_parser *parser)
{
    struct od_http_request *request = &parser->request;
    const char *path = parser->head.bytes + strlen(parser->head.bytes) + 1;
    size_t size = 0;

    if (strncasecmp(path, "http://", 7) == 0 || strncasecmp(path, "https://", 8) == 0) {
        path = strchr(path, ':') + 3;
        path += strcspn(path, "/?");
    } else if (strcmp(path, "*") == 0) {
        if (strcmp(parser->head.bytes, "OPTIONS") != 0) {
            return refuse(parser, 400, "the target '*' is for OPTIONS only");
        }
    } else if (*path != '/') {
        return refuse(parser, 400, "the target is neither a path nor an http address");
    }
    if (strchr(path, '#')) {
        return refuse(parser, 400, "a target with a fragment");
    }
    size = strcspn(path, "?");
    const size_t path_at = (size_t)(path - parser->head.bytes);
    const size_t copy_at = parser->head.size;
    char *copy = od_memdup(path, size);  // the append may move what `path` points to
    if (!copy) {
        return refuse(parser, 503, "no memory for the request");
    }
    od_buf_puts(&parser->head, size == 0 ? "/" : copy);
    od_free(copy);
    if (parser->head.failed) {
        return refuse(parser, 503, "no memory for the request");
    }
    request->method = parser->head.bytes;
    request->target = parser->head.bytes + strlen(request->method) + 1;
    request->path = parser->head.bytes + copy_at;
    request->query = parser->head.bytes + path_at + size;
    if (*request->query == '?') {
        request->query++;
    }
    return true;
}

/** All lines are in `head`: the request line was checked, the fields were not. */
static bool finish_head(struct od_http_parser *parser)
{
    struct od_http_request *request = &parser->request;
    const size_t fields_end = parser->line_start;

    if (!find_path(parser)) {
        return false;
    }
    // Behind the request line: three strings, which parse_request_line cut with NULs.
    char *line = parser->head.bytes;
    for (int i = 0; i < 3; i++) {
        line += strlen(line) + 1;
    }
    while (line < parser->head.bytes + fields_end) {
        char *next = line + strlen(line) + 1;
        char *value = check_field(parser, line);
        if (!value) {
            return false;
        }
        if (request->header_count == OD_HTTP_HEADERS_MAX) {
            return refuse(parser, 431, "too many header lines");
        }
        for (char *c = line; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
        }
        request->headers[request->header_count++] = (struct od_http_header){line, value};
        line = next;
    }
    if (!check_fields(parser)) {
        return false;
    }
    const bool has_body = parser->step != STEP_FIXED || parser->body_left > 0;
    parser->state = has_body ? OD_HTTP_HEAD_DONE : OD_HTTP_COMPLETE;
    return true;
}

/** A line of the head is complete: its text is at `line_start`, a NUL behind it. */
static void end_head_line(struct od_http_parser *parser)
{
    char *line = parser->head.bytes + parser->line_start;
    const bool is_first = parser->line_start == 0;

    if (*line == '\0') {
        if (is_first) {
            od_buf_reset(&parser->head);  // an empty line in front of the request
        } else {
            (void)finish_head(parser);
        }
        return;
    }
    if (strchr(line, '\r')) {
        (void)refuse(parser, 400, "a carriage return inside a line");
        return;
    }
    // Fields are checked all at once later, in finish_head; this line tells a stranger at once.
    if (is_first && !parse_request_line(parser, line)) {
        return;
    }
    od_buf_putc(&parser->head, '\0');
    if (parser->head.failed) {
        (void)refuse(parser, 503, "no memory for the request");
        return;
    }
    parser->line_start = parser->head.size;
}

/** Take bytes of the head up to the end of a line; returns how many. */
static size_t feed_head(struct od_http_parser *parser, const char *bytes, size_t size)
{
    const char *end = memchr(bytes, '\n', size);
    const size_t used = end ? (size_t)(end - bytes) + 1 : size;
    size_t text = end ? used - 1 : used;

    if (used > parser->limits.head_max_bytes - parser->head_bytes) {
        (void)(parser->line_start == 0 ? refuse(parser, 414, "the target is too long")
                                       : refuse(parser, 431, "the header lines are too long"));
        return used;
    }
    parser->head_bytes += used;
    if (memchr(bytes, '\0', text)) {
        (void)refuse(parser, 400, "a NUL byte in the head");
        return used;
    }
    od_buf_append(&parser->head, bytes, text);
    if (parser->head.failed || !parser->head.bytes) {
        (void)refuse(parser, 503, "no memory for the request");
        return used;
    }
    if (end) {
        struct od_buf *head = &parser->head;
        if (head->size > parser->line_start && head->bytes[head->size - 1] == '\r') {
            head->bytes[--head->size] = '\0';
        }
        end_head_line(parser);
    }
    return used;
}

static void complete(struct od_http_parser *parser)
{
    parser->request.body = od_buf_text(&parser->body);
    parser->request.body_size = parser->body.size;
    parser->state = OD_HTTP_COMPLETE;
}

static size_t feed_data(struct od_http_parser *parser, const char *bytes, size_t size)
{
    const size_t used = size < parser->body_left ? size : (size_t)parser->body_left;
    od_buf_append(&parser->body, bytes, used);
    if (parser->body.failed) {
        (void)refuse(parser, 503, "no memory for the body");
        return used;
    }
    parser->body_left -= used;
    if (parser->body_left == 0) {
        if (parser->step == STEP_FIXED) {
            complete(parser);
        } else {
            parser->step = STEP_CHUNK_END;
        }
    }
    return used;
}

/** `size-hex [BWS ";" anything]` in parser->line. */
static void end_chunk_size(struct od_http_parser *parser)
{
    const char *at = parser->line;
    uint64_t size = 0;
    int digits = 0;
    for (; digits <= CHUNK_SIZE_DIGITS_MAX; digits++, at++) {
        const char c = *at;
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) {
            break;
        }
        size = size * 16 + (uint64_t)digit;
    }
    const char *extension = at + strspn(at, " \t");
    if (digits == 0 || digits > CHUNK_SIZE_DIGITS_MAX || (*at != '\0' && *extension != ';')) {
        (void)refuse(parser, 400, "a chunk size that is not a hexadecimal number");
        return;
    }
    for (; *extension != '\0'; extension++) {
        if (!is_value_char(*extension)) {
            (void)refuse(parser, 400, "a chunk extension with a control character");
            return;
        }
    }
    if (size > parser->limits.body_max_bytes - parser->body.size) {
        (void)refuse(parser, 413, "the body is too large");
        return;
    }
    parser->body_left = size;
    parser->step = size == 0 ? STEP_TRAILER : STEP_CHUNK_DATA;
}

static void end_chunk_line(struct od_http_parser *parser)
{
    if (parser->step == STEP_CHUNK_SIZE) {
        end_chunk_size(parser);
    } else if (parser->step == STEP_CHUNK_END) {
        parser->step = STEP_CHUNK_SIZE;
        if (parser->line[0] != '\0') {
            (void)refuse(parser, 400, "a chunk that is longer than its size");
        }
    } else if (parser->line[0] == '\0') {
        complete(parser);
    } else {
        (void)check_field(parser, parser->line);  // trailers are read and forgotten
    }
}

/** Take bytes of a line of chunk framing, which ends with CR LF; returns how many. */
static size_t feed_chunk_line(struct od_http_parser *parser, const char *bytes, size_t size)
{
    const char *end = memchr(bytes, '\n', size);
    const size_t used = end ? (size_t)(end - bytes) + 1 : size;
    const size_t text = end ? used - 1 : used;

    if (text >= sizeof parser->line - parser->line_size) {
        (void)refuse(parser, parser->step == STEP_TRAILER ? 431 : 400,
                     "a line of the chunk framing is too long");
        return used;
    }
    memcpy(parser->line + parser->line_size, bytes, text);
    parser->line_size += text;
    if (!end) {
        return used;
    }
    const size_t line_size = parser->line_size;
    parser->line_size = 0;
    if (line_size == 0 || parser->line[line_size - 1] != '\r') {
        (void)refuse(parser, 400, "a line of the chunk framing that ends without CR LF");
        return used;
    }
    parser->line[line_size - 1] = '\0';
    if (strlen(parser->line) != line_size - 1) {
        (void)refuse(parser, 400, "a NUL byte in the chunk framing");
        return used;
    }
    // The digits of a size are no more than the data behind them; all else is counted.
    if (line_size > CHUNK_SIZE_DIGITS_MAX || parser->step == STEP_TRAILER) {
        parser->extra_bytes += line_size;
        if (parser->extra_bytes > parser->limits.head_max_bytes) {
            (void)refuse(parser, 431, "too many chunk extensions or trailers");
            return used;
        }
    }
    end_chunk_line(parser);
    return used;
}

size_t od_http_parser_feed(struct od_http_parser *parser, const char *bytes, size_t size)
{
    size_t used = 0;

    if (parser->state == OD_HTTP_HEAD_DONE) {
        parser->state = OD_HTTP_IN_BODY;
    }
    while (used < size) {
        if (parser->state == OD_HTTP_IN_HEAD) {
            used += feed_head(parser, bytes + used, size - used);
        } else if (parser->state != OD_HTTP_IN_BODY) {
            break;
        } else if (parser->step == STEP_FIXED || parser->step == STEP_CHUNK_DATA) {
            used += feed_data(parser, bytes + used, size - used);
        } else {
            used += feed_chunk_line(parser, bytes + used, size - used);
        }
    }
    return used;
}
