// What BERT's tokenizers do to a text: before they cut it, and after it is put together again.

#include "text/bert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/split.h"
#include "text/steps.h"
#include "text/unicode.h"

// Characters that are words of their own: Chinese ones, also where Japanese and Korean have them.
static bool is_ideograph(uint32_t code)
{
    static const uint32_t ranges[][2] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                         {0x20000, 0x2A6DF}, {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F},
                                         {0x2B920, 0x2CEAF}, {0x2F800, 0x2FA1F}};
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        if (code >= ranges[i][0] && code <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

// Tab and line ends are white space here, not control characters.
static bool is_removed(uint32_t code)
{
    const bool blank = code == '\t' || code == '\n' || code == '\r';
    return code == 0xFFFD || (!blank && od_unicode_is_other(code));
}

static void clean(const struct od_step *step, const char *text, size_t size, struct od_buf *out)
{
    for (size_t at = 0; at < size;) {
        uint32_t code = 0;
        const int decoded = od_utf8_decode(text + at, size - at, &code);
        const size_t length = decoded > 0 ? (size_t)decoded : 1;
        const bool apart = step->ideographs && is_ideograph(code);
        if (step->clean && od_unicode_is_white(code) && !is_removed(code)) {
            od_buf_putc(out, ' ');
        } else if (!(step->clean && is_removed(code))) {
            od_buf_puts(out, apart ? " " : "");
            od_buf_append(out, text + at, length);
            od_buf_puts(out, apart ? " " : "");
        }
        at += length;
    }
}

static enum od_status strip_accents(struct od_buf *text, struct od_buf *scratch,
                                    struct od_error *err)
{
    const enum od_status status =
        od_unicode_normalize(od_buf_text(text), text->size, OD_NFD, scratch, err);
    const char *from = od_buf_text(scratch);
    od_buf_reset(text);
    for (size_t at = 0; status == OD_OK && at < scratch->size;) {
        uint32_t code = 0;
        const int decoded = od_utf8_decode(from + at, scratch->size - at, &code);
        const size_t length = decoded > 0 ? (size_t)decoded : 1;
        if (!od_unicode_is_nonspacing(code)) {
            od_buf_append(text, from + at, length);
        }
        at += length;
    }
    return status;
}

enum od_status od_bert_normalize(const struct od_step *step, const char *text, size_t size,
                                 struct od_buf *out, struct od_error *err)
{
    struct od_buf cleaned;
    struct od_buf scratch;
    enum od_status status = OD_OK;
    od_buf_init(&cleaned, OD_SPLIT_MAX_BYTES);
    od_buf_init(&scratch, OD_SPLIT_MAX_BYTES);
    clean(step, text, size, &cleaned);
    if (step->accents) {
        status = strip_accents(&cleaned, &scratch, err);
    }
    if (status == OD_OK && (status = od_buf_check(&cleaned, err)) == OD_OK &&
        (status = od_buf_check(&scratch, err)) == OD_OK) {
        if (step->lower) {
            od_unicode_lower(od_buf_text(&cleaned), cleaned.size, out);
        } else {
            od_buf_append(out, od_buf_text(&cleaned), cleaned.size);
        }
    }
    od_buf_release(&scratch);
    od_buf_release(&cleaned);
    return status;
}

void od_bert_clean_up(struct od_buf *text, struct od_buf *scratch)
{
    static const char *const pairs[][2] = {{" .", "."},     {" ?", "?"},           {" !", "!"},
                                           {" ,", ","},     {" ' ", "'"},          {" n't", "n't"},
                                           {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},
                                           {" 've", "'ve"}, {" 're", "'re"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const char *from = od_buf_text(text);
        const char *end = from + text->size;
        const size_t size = strlen(pairs[i][0]);
        const char *hit;
        od_buf_reset(scratch);
        while ((hit = memmem(from, (size_t)(end - from), pairs[i][0], size))) {
            od_buf_append(scratch, from, (size_t)(hit - from));
            od_buf_puts(scratch, pairs[i][1]);
            from = hit + size;
        }
        od_buf_append(scratch, from, (size_t)(end - from));
        od_buf_reset(text);
        od_buf_append(text, od_buf_text(scratch), scratch->size);
    }
}
