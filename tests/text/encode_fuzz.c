// Any bytes as a text: the byte tokenizer gives valid UTF-8 back as it was, and any bytes one by
// one when they are raw; a tokenizer with all kinds of steps only has to end.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "fuzz.h"
#include "text/byte_tokenizer.h"
#include "text/tokenizer.h"

enum { TEXT_MAX_BYTES = 1 << 24 };

static const char steps_json[] =
    "{\"added_tokens\": [{\"id\": 7, \"content\": \"<x>\", \"lstrip\": true, \"rstrip\": true},"
    "{\"id\": 8, \"content\": \"yy\", \"normalized\": true, \"single_word\": true}],"
    "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFKD\"},"
    "{\"type\": \"Lowercase\"}, {\"type\": \"Strip\"}, {\"type\": \"StripAccents\"},"
    "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"c*\"}, \"content\": \"b\"}]},"
    "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": ["
    "{\"type\": \"Digits\"}, {\"type\": \"Punctuation\"}, {\"type\": \"Whitespace\"},"
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a*\"}, \"behavior\": \"MergedWithNext\"},"
    "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"first\"},"
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": true}]},"
    "\"decoder\": {\"type\": \"ByteFallback\"},"
    "\"model\": {\"type\": \"BPE\", \"unk_token\": \"?\", \"byte_fallback\": true,"
    "\"vocab\": {\"?\": 0, \"_\": 1, \"a\": 2, \"b\": 3, \"ab\": 4, \"_ab\": 5, \"<0x41>\": 6},"
    "\"merges\": [\"a b\", \"_ ab\"]}}";

static struct od_tokenizer *parse(const char *json, size_t size)
{
    struct od_tokenizer *tokenizer = NULL;
    if (od_tokenizer_parse_json(json, size, "fuzz", &tokenizer, NULL) != OD_OK) {
        __builtin_trap();
    }
    return tokenizer;
}

static void check_bytes(const struct od_tokenizer *tokenizer, const char *text, size_t size)
{
    struct od_ids ids;
    struct od_buf back;
    od_ids_init(&ids, TEXT_MAX_BYTES);
    od_buf_init(&back, TEXT_MAX_BYTES);
    if (od_tokenizer_encode(tokenizer, text, size, OD_ENCODE_PLAIN, &ids, NULL) != OD_OK ||
        od_tokenizer_decode(tokenizer, ids.data, ids.count, OD_DECODE_PLAIN, &back, NULL) !=
            OD_OK) {
        __builtin_trap();
    }
    const bool valid = od_utf8_invalid_at(text, size) == size;
    if (valid && (back.size != size || memcmp(od_buf_text(&back), text, size) != 0)) {
        __builtin_trap();
    }
    od_ids_reset(&ids);
    od_buf_reset(&back);
    for (size_t i = 0; i < size; i++) {
        od_ids_push(&ids, (unsigned char)text[i]);
    }
    if (od_tokenizer_decode(tokenizer, ids.data, ids.count, OD_DECODE_RAW, &back, NULL) != OD_OK ||
        back.size != size || memcmp(od_buf_text(&back), text, size) != 0) {
        __builtin_trap();
    }
    od_ids_release(&ids);
    od_buf_release(&back);
}

// Made once: they do not change, and making them takes longer than most inputs.
static const struct od_tokenizer *byte_tokenizer(void)
{
    static struct od_tokenizer *tokenizer;
    if (!tokenizer) {
        struct od_buf json;
        od_buf_init(&json, TEXT_MAX_BYTES);
        od_tokenizer_put_bytes(&json);
        tokenizer = parse(od_buf_text(&json), json.size);
        od_buf_release(&json);
    }
    return tokenizer;
}

static const struct od_tokenizer *steps_tokenizer(void)
{
    static struct od_tokenizer *tokenizer;
    if (!tokenizer) {
        tokenizer = parse(steps_json, sizeof(steps_json) - 1);
    }
    return tokenizer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct od_tokenizer *steps = steps_tokenizer();
    struct od_buf back;
    struct od_ids ids;
    check_bytes(byte_tokenizer(), (const char *)data, size);
    od_ids_init(&ids, TEXT_MAX_BYTES);
    od_buf_init(&back, TEXT_MAX_BYTES);
    if (od_tokenizer_encode(steps, (const char *)data, size, OD_ENCODE_PLAIN, &ids, NULL) !=
            OD_OK ||
        od_tokenizer_decode(steps, ids.data, ids.count, OD_DECODE_PLAIN, &back, NULL) != OD_OK) {
        __builtin_trap();
    }
    od_ids_release(&ids);
    od_buf_release(&back);
    return 0;
}
