// Goal: no bytes bring the parser down, and how they are cut into pieces makes no difference.
// Method: the first byte says how to cut; the result is compared with feeding all at once.

#include <string.h>

#include "base/memory.h"
#include "fuzz.h"
#include "net/http_parse.h"

static const struct od_http_limits LIMITS = {.target_max_bytes = 100,
                                             .head_max_bytes = 1000,
                                             .body_max_bytes = 500};

/** Feed in pieces of `piece` bytes; gives how many bytes belong to the request. */
static size_t feed(struct od_http_parser *parser, const char *bytes, size_t size, size_t piece)
{
    size_t used = 0;
    while (used < size && parser->state != OD_HTTP_COMPLETE && parser->state != OD_HTTP_FAILED) {
        const size_t rest = size - used;
        used += od_http_parser_feed(parser, bytes + used, rest < piece ? rest : piece);
    }
    return used;
}

static void same_text(const char *a, const char *b)
{
    if (strcmp(a, b) != 0) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    struct od_http_parser whole;
    struct od_http_parser cut;
    const char *bytes = (const char *)data + 1;
    od_http_parser_init(&whole, &LIMITS);
    od_http_parser_init(&cut, &LIMITS);
    const size_t whole_used = feed(&whole, bytes, size - 1, size);
    const size_t cut_used = feed(&cut, bytes, size - 1, (size_t)data[0] % 37 + 1);
    // A request that is refused may be refused at the end of a piece or of a line.
    if (whole.state != cut.state &&
        !(whole.state == OD_HTTP_HEAD_DONE || cut.state == OD_HTTP_HEAD_DONE)) {
        __builtin_trap();
    }
    if (whole.state == OD_HTTP_COMPLETE) {
        if (whole_used != cut_used || whole.request.body_size != cut.request.body_size ||
            whole.request.body_size > LIMITS.body_max_bytes ||
            whole.request.header_count != cut.request.header_count) {
            __builtin_trap();
        }
        same_text(whole.request.method, cut.request.method);
        same_text(whole.request.target, cut.request.target);
        same_text(whole.request.path, cut.request.path);
        for (size_t i = 0; i < whole.request.header_count; i++) {
            same_text(whole.request.headers[i].name, cut.request.headers[i].name);
            same_text(whole.request.headers[i].value, cut.request.headers[i].value);
        }
    }
    od_http_parser_release(&whole);
    od_http_parser_release(&cut);
    return 0;
}
