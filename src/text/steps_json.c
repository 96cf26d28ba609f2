// Reads the steps of a tokenizer.json. A step is an object with a "type"; "Sequence" holds a list
// of steps; null is no step. A type, a setting or a value that is not known is OD_E_UNSUPPORTED,
// because to leave it out would change the ids.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/steps.h"
#include "text/tokenizer_internal.h"

enum { SEQUENCE_DEPTH_MAX = 8 };

#define CHARSMAP_MAX_BYTES ((size_t)64 << 20)

static const char gpt2_pattern[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

// Fills one step from its object. `type` is its "type".
typedef enum od_status (*read_step)(const json_t *object, const char *type, const char *where,
                                    struct od_step *step, struct od_error *err);

static enum od_status copy_text(const char *text, size_t size, const char *where, char **ret,
                                size_t *ret_size, struct od_error *err)
{
    if (size > OD_STEP_TEXT_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s: a text of %zu bytes is longer than %d", where, size,
                       (int)OD_STEP_TEXT_MAX_BYTES);
    }
    char *copy = od_memdup(text, size);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "%s: no memory", where);
    }
    *ret = copy;
    *ret_size = size;
    return OD_OK;
}

static enum od_status member_text(const json_t *object, const char *key, const char *where,
                                  char **ret, size_t *ret_size, struct od_error *err)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_string(value)) {
        return od_fail(err, OD_E_FORMAT, "%s: '%s' must be a text", where, key);
    }
    return copy_text(json_string_value(value), json_string_length(value), where, ret, ret_size,
                     err);
}

// {"String": text} or {"Regex": text}.
static enum od_status read_pattern(const json_t *object, const char *where, struct od_step *step,
                                   struct od_error *err)
{
    const json_t *pattern = json_object_get(object, "pattern");
    const json_t *literal = json_object_get(pattern, "String");
    const json_t *regex = json_object_get(pattern, "Regex");
    if (json_is_string(literal)) {
        return copy_text(json_string_value(literal), json_string_length(literal), where,
                         &step->pattern, &step->pattern_size, err);
    }
    if (!json_is_string(regex)) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s: 'pattern' is neither a String nor a Regex",
                       where);
    }
    enum od_status status =
        od_regex_compile(json_string_value(regex), json_string_length(regex), &step->regex, err);
    if (status != OD_OK) {
        od_error_prefix(err, "%s", where);
        return status;
    }
    step->regex_text = od_strdup(json_string_value(regex));
    return step->regex_text ? OD_OK : od_fail(err, OD_E_MEMORY, "%s: no memory", where);
}

static enum od_status unknown_type(const char *type, const char *where, struct od_error *err)
{
    return od_fail(err, OD_E_UNSUPPORTED, "%s: type '%.64s' is not supported", where, type);
}

static enum od_status read_replace(const json_t *object, const char *where, struct od_step *step,
                                   struct od_error *err)
{
    step->kind = OD_STEP_REPLACE;
    const enum od_status status =
        member_text(object, "content", where, &step->text, &step->text_size, err);
    return status == OD_OK ? read_pattern(object, where, step, err) : status;
}

static enum od_status read_precompiled(const json_t *object, const char *where,
                                       struct od_step *step, struct od_error *err)
{
    struct od_buf bytes;
    const char *text = NULL;
    step->kind = OD_STEP_PRECOMPILED;
    enum od_status status = od_json_text(object, "precompiled_charsmap", where, &text, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&bytes, CHARSMAP_MAX_BYTES);
    if (!od_base64_append(&bytes, text, strlen(text))) {
        status = od_fail(err, OD_E_FORMAT, "%s: 'precompiled_charsmap' is no base64", where);
    }
    if (status == OD_OK) {
        status = od_buf_check(&bytes, err);
    }
    if (status == OD_OK) {
        status = od_charsmap_read(&step->charsmap, od_buf_text(&bytes), bytes.size, where, err);
    }
    od_buf_release(&bytes);
    return status;
}

static enum od_status read_bert(const json_t *object, const char *where, struct od_step *step,
                                struct od_error *err)
{
    step->kind = OD_STEP_BERT;
    enum od_status status = od_json_bool_or(object, "clean_text", where, true, &step->clean, err);
    if (status == OD_OK) {
        status =
            od_json_bool_or(object, "handle_chinese_chars", where, true, &step->ideographs, err);
    }
    if (status == OD_OK) {
        status = od_json_bool_or(object, "lowercase", where, true, &step->lower, err);
    }
    if (status == OD_OK) {  // null, as if absent, goes with the case
        status = od_json_bool_or(object, "strip_accents", where, step->lower, &step->accents, err);
    }
    return status;
}

static enum od_status read_normalizer(const json_t *object, const char *type, const char *where,
                                      struct od_step *step, struct od_error *err)
{
    static const struct {
        const char *type;
        enum od_step_kind kind;
    } plain[] = {{"NFC", OD_STEP_NFC},
                 {"NFD", OD_STEP_NFD},
                 {"NFKC", OD_STEP_NFKC},
                 {"NFKD", OD_STEP_NFKD},
                 {"Lowercase", OD_STEP_LOWERCASE},
                 {"StripAccents", OD_STEP_STRIP_ACCENTS}};
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcmp(type, plain[i].type) == 0) {
            step->kind = plain[i].kind;
            return OD_OK;
        }
    }
    if (strcmp(type, "Prepend") == 0) {
        step->kind = OD_STEP_PREPEND;
        return member_text(object, "prepend", where, &step->text, &step->text_size, err);
    }
    if (strcmp(type, "Replace") == 0) {
        return read_replace(object, where, step, err);
    }
    if (strcmp(type, "BertNormalizer") == 0) {
        return read_bert(object, where, step, err);
    }
    if (strcmp(type, "Precompiled") == 0) {
        return read_precompiled(object, where, step, err);
    }
    if (strcmp(type, "Strip") == 0) {
        bool left = true;
        bool right = true;
        step->kind = OD_STEP_STRIP;
        enum od_status status = od_json_bool_or(object, "strip_left", where, true, &left, err);
        if (status == OD_OK) {
            status = od_json_bool_or(object, "strip_right", where, true, &right, err);
        }
        step->left = left;
        step->right = right;
        return status;
    }
    return unknown_type(type, where, err);
}

static enum od_status read_behavior(const json_t *object, const char *where, const char *fallback,
                                    struct od_step *step, struct od_error *err)
{
    static const struct {
        const char *name;
        enum od_split_behavior behavior;
    } names[] = {{"Removed", OD_SPLIT_REMOVED},
                 {"Isolated", OD_SPLIT_ISOLATED},
                 {"MergedWithPrevious", OD_SPLIT_MERGED_WITH_PREVIOUS},
                 {"MergedWithNext", OD_SPLIT_MERGED_WITH_NEXT},
                 {"Contiguous", OD_SPLIT_CONTIGUOUS}};
    const char *text = NULL;
    const enum od_status status = od_json_text_or(object, "behavior", where, fallback, &text, err);
    if (status != OD_OK) {
        return status;
    }
    for (size_t i = 0; text && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i].name) == 0) {
            step->behavior = names[i].behavior;
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_UNSUPPORTED, "%s: behavior '%.64s' is not supported", where,
                   text ? text : "");
}

static enum od_status read_byte_level(const json_t *object, const char *where, struct od_step *step,
                                      struct od_error *err)
{
    step->kind = OD_STEP_BYTE_LEVEL;
    enum od_status status =
        od_json_bool_or(object, "add_prefix_space", where, true, &step->prefix_space, err);
    if (status == OD_OK) {
        status = od_json_bool_or(object, "use_regex", where, true, &step->use_regex, err);
    }
    if (status == OD_OK && step->use_regex) {
        status = od_regex_compile(gpt2_pattern, strlen(gpt2_pattern), &step->regex, err);
    }
    return status;
}

static enum od_status read_metaspace(const json_t *object, const char *where, struct od_step *step,
                                     struct od_error *err)
{
    static const char *const schemes[] = {"always", "first", "never"};
    bool prefix = true;
    const char *scheme = NULL;
    step->kind = OD_STEP_METASPACE;
    enum od_status status =
        member_text(object, "replacement", where, &step->text, &step->text_size, err);
    if (status == OD_OK && step->text_size == 0) {
        status = od_fail(err, OD_E_FORMAT, "%s: 'replacement' is empty", where);
    }
    if (status == OD_OK) {
        status = od_json_bool_or(object, "split", where, true, &step->split, err);
    }
    if (status == OD_OK) {
        status = od_json_bool_or(object, "add_prefix_space", where, true, &prefix, err);
    }
    if (status == OD_OK) {
        status = od_json_text_or(object, "prepend_scheme", where, prefix ? "always" : "never",
                                 &scheme, err);
    }
    if (status != OD_OK) {
        return status;
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(scheme, schemes[i]) == 0) {
            step->prepend = (enum od_prepend)i;
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_UNSUPPORTED, "%s: prepend_scheme '%.64s' is not supported", where,
                   scheme);
}

static enum od_status read_pre_tokenizer(const json_t *object, const char *type, const char *where,
                                         struct od_step *step, struct od_error *err)
{
    if (strcmp(type, "ByteLevel") == 0) {
        return read_byte_level(object, where, step, err);
    }
    if (strcmp(type, "Metaspace") == 0) {
        return read_metaspace(object, where, step, err);
    }
    if (strcmp(type, "Split") == 0) {
        step->kind = OD_STEP_SPLIT;
        enum od_status status = read_pattern(object, where, step, err);
        if (status == OD_OK) {
            status = read_behavior(object, where, "", step, err);
        }
        if (status == OD_OK) {
            status = od_json_bool_or(object, "invert", where, false, &step->invert, err);
        }
        return status;
    }
    if (strcmp(type, "Digits") == 0) {
        step->kind = OD_STEP_DIGITS;
        return od_json_bool_or(object, "individual_digits", where, false, &step->individual, err);
    }
    if (strcmp(type, "Punctuation") == 0) {
        step->kind = OD_STEP_PUNCTUATION;
        return read_behavior(object, where, "Isolated", step, err);
    }
    if (strcmp(type, "Whitespace") == 0) {
        step->kind = OD_STEP_WHITESPACE;
        return OD_OK;
    }
    if (strcmp(type, "BertPreTokenizer") == 0) {
        step->kind = OD_STEP_BERT_WORDS;
        return OD_OK;
    }
    if (strcmp(type, "WhitespaceSplit") == 0) {
        step->kind = OD_STEP_WHITESPACE_SPLIT;
        return OD_OK;
    }
    return unknown_type(type, where, err);
}

static enum od_status read_decoder(const json_t *object, const char *type, const char *where,
                                   struct od_step *step, struct od_error *err)
{
    if (strcmp(type, "ByteLevel") == 0) {
        step->kind = OD_STEP_BYTE_LEVEL;  // its settings say nothing about decoding
        return OD_OK;
    }
    if (strcmp(type, "ByteFallback") == 0) {
        step->kind = OD_STEP_BYTE_FALLBACK;
        return OD_OK;
    }
    if (strcmp(type, "Fuse") == 0) {
        step->kind = OD_STEP_FUSE;
        return OD_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        return read_replace(object, where, step, err);
    }
    if (strcmp(type, "Metaspace") == 0) {
        return read_metaspace(object, where, step, err);
    }
    if (strcmp(type, "WordPiece") == 0) {
        step->kind = OD_STEP_WORDPIECE;
        const enum od_status status =
            member_text(object, "prefix", where, &step->text, &step->text_size, err);
        return status == OD_OK ? od_json_bool_or(object, "cleanup", where, true, &step->clean, err)
                               : status;
    }
    if (strcmp(type, "Strip") == 0) {
        step->kind = OD_STEP_STRIP_TOKEN;
        enum od_status status =
            member_text(object, "content", where, &step->text, &step->text_size, err);
        if (status == OD_OK) {
            status = od_json_int_or(object, "start", where, 0, &step->left, err);
        }
        if (status == OD_OK) {
            status = od_json_int_or(object, "stop", where, 0, &step->right, err);
        }
        if (status == OD_OK && step->text_size == 0) {
            status = od_fail(err, OD_E_FORMAT, "%s: 'content' is empty", where);
        }
        return status;
    }
    return unknown_type(type, where, err);
}

// Append the steps of `value`; `list_key` names the list of a Sequence.
static enum od_status read_steps(const json_t *value, const char *where, const char *list_key,
                                 read_step read, int depth, struct od_steps *steps,
                                 struct od_error *err)
{
    const char *type = NULL;
    if (!value || json_is_null(value)) {
        return OD_OK;
    }
    enum od_status status = od_json_text(value, "type", where, &type, err);
    if (status != OD_OK) {
        return status;
    }
    if (strcmp(type, "Sequence") == 0) {
        const json_t *list = json_object_get(value, list_key);
        if (!json_is_array(list) || depth == SEQUENCE_DEPTH_MAX) {
            return od_fail(err, OD_E_FORMAT, "%s: '%s' is no list or is nested too deep", where,
                           list_key);
        }
        for (size_t i = 0; i < json_array_size(list) && status == OD_OK; i++) {
            status =
                read_steps(json_array_get(list, i), where, list_key, read, depth + 1, steps, err);
        }
        return status;
    }
    if (steps->count == OD_STEPS_MAX) {
        return od_fail(err, OD_E_LIMIT, "%s: more than %d steps", where, (int)OD_STEPS_MAX);
    }
    // Counted first, so that what a failed reading leaves is released with the rest.
    struct od_step *step = &steps->items[steps->count++];
    return read(value, type, where, step, err);
}

enum od_status od_steps_read_normalizers(const json_t *value, const char *where,
                                         struct od_steps *steps, struct od_error *err)
{
    return read_steps(value, where, "normalizers", read_normalizer, 0, steps, err);
}

enum od_status od_steps_read_pre_tokenizers(const json_t *value, const char *where,
                                            struct od_steps *steps, struct od_error *err)
{
    return read_steps(value, where, "pretokenizers", read_pre_tokenizer, 0, steps, err);
}

enum od_status od_steps_read_decoders(const json_t *value, const char *where,
                                      struct od_steps *steps, struct od_error *err)
{
    return read_steps(value, where, "decoders", read_decoder, 0, steps, err);
}
