/**
 * @file
 * Shared by tests of data: tokenizers of bytes, files, documents as text.
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_DATA_WORLD_H
#define OD_TESTS_DATA_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "support.h"
#include "text/tokenizer.h"

enum { BOS = 256, EOS = 257, TURN_START = 259, TURN_END = 260, JSON_MAX_BYTES = 1 << 20 };

// The character that stands for a byte in a byte-level vocabulary.
static inline uint32_t byte_character(int byte)
{
    if ((byte >= 33 && byte <= 126) || (byte >= 161 && byte != 173)) {
        return (uint32_t)byte;
    }
    uint32_t next = 256;
    for (int b = 0; b < byte; b++) {
        next += !((b >= 33 && b <= 126) || (b >= 161 && b != 173));
    }
    return next;
}

static inline void put_added(struct od_buf *out)
{
    od_buf_puts(out,
                "{\"added_tokens\": ["
                "{\"id\": 256, \"content\": \"<s>\", \"special\": true, \"normalized\": false, "
                "\"single_word\": false, \"lstrip\": false, \"rstrip\": false}, "
                "{\"id\": 257, \"content\": \"</s>\", \"special\": true, \"normalized\": false, "
                "\"single_word\": false, \"lstrip\": false, \"rstrip\": false}, "
                "{\"id\": 259, \"content\": \"<|im_start|>\", \"special\": true, \"normalized\": "
                "false, \"single_word\": false, \"lstrip\": false, \"rstrip\": false}, "
                "{\"id\": 260, \"content\": \"<|im_end|>\", \"special\": true, \"normalized\": "
                "false, \"single_word\": false, \"lstrip\": false, \"rstrip\": false}], "
                "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": "
                "[{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": "
                "{\"id\": \"A\", \"type_id\": 0}}], \"pair\": [], \"special_tokens\": {\"<s>\": "
                "{\"id\": \"<s>\", \"ids\": [256], \"tokens\": [\"<s>\"]}}}, ");
}

static inline struct od_tokenizer *parse_tokenizer(struct od_buf *json)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    assert_ok(od_buf_check(json, &err), &err);
    assert_ok(od_tokenizer_parse_json(json->bytes, json->size, "t.json", &tokenizer, &err), &err);
    od_tokenizer_set_bos_eos(tokenizer, BOS, EOS);
    od_buf_release(json);
    return tokenizer;
}

// Byte-level: id = byte.
static inline struct od_tokenizer *byte_tokenizer(void)
{
    struct od_buf json;
    od_buf_init(&json, JSON_MAX_BYTES);
    put_added(&json);
    od_buf_puts(&json,
                "\"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\", "
                "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}, "
                "\"decoder\": {\"type\": \"ByteLevel\"}, "
                "\"model\": {\"type\": \"BPE\", \"merges\": [], \"vocab\": {");
    for (int b = 0; b < 256; b++) {
        char character[4];
        const int size = od_utf8_encode(byte_character(b), character);
        od_buf_puts(&json, b > 0 ? ", \"" : "\"");
        if (b == '"' || b == '\\') {
            od_buf_putc(&json, '\\');
        }
        od_buf_append(&json, character, (size_t)size);
        od_buf_printf(&json, "\": %d", b);
    }
    od_buf_puts(&json, ", \"<s>\": 256, \"</s>\": 257}}}");
    return parse_tokenizer(&json);
}

// As SentencePiece: a blank in front of every text, blanks are U+2581 (id 32), the rest falls back
// to bytes (id = byte).
static inline struct od_tokenizer *prefix_tokenizer(void)
{
    struct od_buf json;
    od_buf_init(&json, JSON_MAX_BYTES);
    put_added(&json);
    od_buf_puts(
        &json,
        "\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", "
        "\"prepend\": \"\\u2581\"}, {\"type\": \"Replace\", \"pattern\": {\"String\": \" \"},"
        " \"content\": \"\\u2581\"}]}, \"pre_tokenizer\": null, "
        "\"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", "
        "\"pattern\": {\"String\": \"\\u2581\"}, \"content\": \" \"}, {\"type\": "
        "\"ByteFallback\"}, {\"type\": \"Fuse\"}, {\"type\": \"Strip\", \"content\": \" \", "
        "\"start\": 1, \"stop\": 0}]}, \"model\": {\"type\": \"BPE\", \"byte_fallback\": "
        "true, \"fuse_unk\": true, \"unk_token\": null, \"merges\": [], \"vocab\": "
        "{\"\\u2581\": 32");
    for (int b = 0; b < 256; b++) {
        if (b != 32) {
            od_buf_printf(&json, ", \"<0x%02X>\": %d", (unsigned)b, b);
        }
    }
    od_buf_puts(&json, ", \"<0x20>\": 258, \"<s>\": 256, \"</s>\": 257}}}");
    return parse_tokenizer(&json);
}

static inline const char *write_data(const char *name, const char *bytes, size_t size)
{
    static char path[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(path, test_folder(), name, &err), &err);
    assert_ok(od_file_write(path, bytes, size, &err), &err);
    return path;
}

// Load one file that holds `text`.
static inline enum od_status load(const char *name, const char *text, enum od_dataset_type type,
                                  double weight, const struct od_tokenizer *tokenizer,
                                  const struct od_dataset_options *options, struct od_dataset *ret,
                                  struct od_error *err)
{
    const struct od_dataset_spec spec = {
        .path = write_data(name, text, strlen(text)), .type = type, .weight = weight};
    return od_dataset_load(&spec, 1, tokenizer, options, ret, err);
}

static const struct od_dataset_options plain = {.sequence_len = 64, .seed = 1};

// A document as text: the bytes, < and > for BOS and EOS, { and } for turns; and its labels.
static inline void expect_document(const struct od_dataset *dataset, int64_t index, const char *ids,
                                   const char *labels)
{
    char got_ids[512];
    char got_labels[512];
    size_t n = 0;
    assert_true(index < dataset->count);
    for (int64_t i = dataset->offset[index]; i < dataset->offset[index + 1]; i++, n++) {
        const int32_t id = dataset->ids[i];
        got_ids[n] = (char)(id == BOS          ? '<'
                            : id == EOS        ? '>'
                            : id == TURN_START ? '{'
                            : id == TURN_END   ? '}'
                                               : id);
        got_labels[n] = (char)('0' + dataset->label[i]);
    }
    got_ids[n] = '\0';
    got_labels[n] = '\0';
    assert_string_equal(got_ids, ids);
    assert_string_equal(got_labels, labels);
}

#endif
