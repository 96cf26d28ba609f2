// Reads the WordPiece model of a tokenizer.json and encodes with it:
//
//   type "WordPiece", vocab {piece: id}, unk_token, continuing_subword_prefix ("##"),
//   max_input_chars_per_word (100)
//
// The longest piece at the start of a word, then the longest piece of the rest, which is looked for
// with the prefix in front, and so on. A word that does not come out, or has too many characters, is
// the unknown piece as a whole.
//
// Source: Wu et al., "Google's Neural Machine Translation System", 2016, section 4.1; the
// documentation of tokenizers 0.2x.

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "text/tokenizer.h"
#include "text/tokenizer_internal.h"
#include "text/vocab.h"

enum { CHARS_USUAL = 100 };

enum od_status od_tokenizer_read_wordpiece(struct od_tokenizer *tokenizer, const json_t *model,
                                           const char *where, struct od_error *err)
{
    struct od_wordpiece *wordpiece = &tokenizer->wordpiece;
    const char *unknown = NULL;
    const char *prefix = NULL;
    tokenizer->is_wordpiece = true;
    enum od_status status = od_json_text_or(model, "unk_token", where, "[UNK]", &unknown, err);
    if (status == OD_OK) {
        status = od_json_text_or(model, "continuing_subword_prefix", where, "##", &prefix, err);
    }
    if (status == OD_OK) {
        status = od_json_int_or(model, "max_input_chars_per_word", where, CHARS_USUAL,
                                &wordpiece->chars_max, err);
    }
    if (status != OD_OK) {
        return status;
    }
    wordpiece->unknown_id = od_vocab_find(&tokenizer->vocab, unknown, strlen(unknown));
    if (wordpiece->unknown_id < 0) {
        return od_fail(err, OD_E_FORMAT, "%s: unk_token '%.64s' is not in the vocabulary", where,
                       unknown);
    }
    wordpiece->prefix_size = strlen(prefix);
    if (wordpiece->prefix_size >= OD_WORDPIECE_PREFIX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s: 'continuing_subword_prefix' is longer than %d bytes",
                       where, OD_WORDPIECE_PREFIX_BYTES - 1);
    }
    memcpy(wordpiece->prefix, prefix, wordpiece->prefix_size);
    return OD_OK;
}

static bool is_boundary(char byte)
{
    return ((unsigned char)byte & 0xC0u) != 0x80u;
}

static int64_t count_chars(const char *text, size_t size)
{
    int64_t count = 0;
    for (size_t i = 0; i < size; i++) {
        count += is_boundary(text[i]) ? 1 : 0;
    }
    return count;
}

// The longest piece at word[start], its bytes in *ret_size; -1 when there is none.
static int32_t longest(const struct od_tokenizer *tokenizer, const char *word, size_t size,
                       size_t start, struct od_buf *scratch, size_t *ret_size)
{
    const struct od_wordpiece *wordpiece = &tokenizer->wordpiece;
    const size_t prefix = start > 0 ? wordpiece->prefix_size : 0;
    const size_t most = tokenizer->vocab.size_max;
    if (prefix >= most) {
        return -1;
    }
    const size_t rest = size - start < most - prefix ? size - start : most - prefix;
    od_buf_reset(scratch);
    od_buf_append(scratch, wordpiece->prefix, prefix);
    od_buf_append(scratch, word + start, rest);
    for (size_t length = rest; length > 0 && !scratch->failed; length--) {
        if (start + length < size && !is_boundary(word[start + length])) {
            continue;
        }
        const int32_t id = od_vocab_find(&tokenizer->vocab, od_buf_text(scratch), prefix + length);
        if (id >= 0) {
            *ret_size = length;
            return id;
        }
    }
    return -1;
}

enum od_status od_wordpiece_encode(const struct od_tokenizer *tokenizer, const char *word,
                                   size_t size, struct od_buf *scratch, struct od_ids *out,
                                   struct od_error *err)
{
    const struct od_wordpiece *wordpiece = &tokenizer->wordpiece;
    const size_t before = out->count;
    size_t length = 0;
    bool known = count_chars(word, size) <= wordpiece->chars_max;
    for (size_t at = 0; known && at < size; at += length) {
        const int32_t id = longest(tokenizer, word, size, at, scratch, &length);
        known = id >= 0;
        if (known) {
            od_ids_push(out, id);
        }
    }
    if (!known && !out->failed) {
        out->count = before;
        od_ids_push(out, wordpiece->unknown_id);
    }
    return od_buf_check(scratch, err);
}
