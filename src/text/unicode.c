#include "text/unicode.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/unicode_tables.h"

// One code point of valid UTF-8; a broken byte counts as U+FFFD, so that loops always move on.
static size_t next_code(const char *text, size_t size, uint32_t *ret_code)
{
    const int length = od_utf8_decode(text, size, ret_code);
    if (length > 0) {
        return (size_t)length;
    }
    *ret_code = 0xFFFD;
    return 1;
}

static void put_code(struct od_buf *out, uint32_t code)
{
    char bytes[4];
    od_buf_append(out, bytes, (size_t)od_utf8_encode(code, bytes));
}

static bool is_ascii(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

static bool is_in(const uint32_t (*ranges)[2], size_t count, uint32_t code)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (code > ranges[middle][1]) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && code >= ranges[low][0];
}

#define IS_IN(ranges, code) is_in((ranges), sizeof(ranges) / sizeof((ranges)[0]), (code))

static utf8proc_option_t form_options(enum od_normal_form form)
{
    unsigned options = UTF8PROC_STABLE;
    options |= form == OD_NFC || form == OD_NFKC ? (unsigned)UTF8PROC_COMPOSE
                                                 : (unsigned)UTF8PROC_DECOMPOSE;
    options |= form == OD_NFKC || form == OD_NFKD ? (unsigned)UTF8PROC_COMPAT : 0;
    // A set of flags is no enumerator. NOLINTNEXTLINE(clang-analyzer-optin.core.EnumCastOutOfRange)
    return (utf8proc_option_t)options;
}

// By utf8proc's tables.
static enum od_status normalize_part(const char *text, size_t size, enum od_normal_form form,
                                     struct od_buf *out, struct od_error *err)
{
    if (is_ascii(text, size)) {
        od_buf_append(out, text, size);
        return OD_OK;
    }
    const utf8proc_option_t options = form_options(form);
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_ssize_t count = utf8proc_decompose(bytes, (utf8proc_ssize_t)size, NULL, 0, options);
    if (count < 0) {
        return od_fail(err, OD_E_LIMIT, "cannot normalize %zu bytes of text: %s", size,
                       utf8proc_errmsg(count));
    }
    utf8proc_int32_t *codes = od_alloc((size_t)count + 1, sizeof(*codes));
    if (!codes) {
        return od_fail(err, OD_E_MEMORY, "no memory to normalize %zu bytes of text", size);
    }
    count = utf8proc_decompose(bytes, (utf8proc_ssize_t)size, codes, count, options);
    if (count >= 0) {
        count = utf8proc_normalize_utf32(codes, count, options);
    }
    for (utf8proc_ssize_t i = 0; i < count; i++) {
        put_code(out, (uint32_t)codes[i]);
    }
    od_free(codes);
    return OD_OK;
}

// What the reference's tables do not have is taken as it is, and nothing is moved or joined over it.
enum od_status od_unicode_normalize(const char *text, size_t size, enum od_normal_form form,
                                    struct od_buf *out, struct od_error *err)
{
    enum od_status status = OD_OK;
    size_t from = 0;
    if (is_ascii(text, size)) {
        od_buf_append(out, text, size);
        return OD_OK;
    }
    for (size_t at = 0; status == OD_OK && at < size;) {
        uint32_t code;
        const size_t length = next_code(text + at, size - at, &code);
        if (code >= unicode_untouched[0][0] && IS_IN(unicode_untouched, code)) {
            status = normalize_part(text + from, at - from, form, out, err);
            od_buf_append(out, text + at, length);
            from = at + length;
        }
        at += length;
    }
    return status == OD_OK ? normalize_part(text + from, size - from, form, out, err) : status;
}

// The lower case of a character that has one of one character.
static uint32_t lower_of(uint32_t code)
{
    size_t low = 0;
    size_t high = sizeof unicode_lower_pairs / sizeof unicode_lower_pairs[0];
    const size_t count = high;
    if (code < unicode_lower_pairs[0][0]) {
        return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    }
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (unicode_lower_pairs[middle][0] < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && unicode_lower_pairs[low][0] == code
               ? unicode_lower_pairs[low][1]
               : (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

void od_unicode_lower(const char *text, size_t size, struct od_buf *out)
{
    for (size_t at = 0; at < size;) {
        uint32_t code;
        at += next_code(text + at, size - at, &code);
        if (code == 0x130) {
            od_buf_puts(out, "i\xCC\x87");  // the one lower case of two characters
        } else {
            put_code(out, lower_of(code));
        }
    }
}

void od_unicode_strip_marks(const char *text, size_t size, struct od_buf *out)
{
    for (size_t at = 0; at < size;) {
        uint32_t code;
        const size_t length = next_code(text + at, size - at, &code);
        if (code < 0x80 || !IS_IN(unicode_mark, code)) {
            od_buf_append(out, text + at, length);
        }
        at += length;
    }
}

bool od_unicode_is_white(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0D) || code == 0x20 || code == 0x85 || code == 0xA0 ||
           code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

bool od_unicode_is_number(uint32_t code)
{
    return IS_IN(unicode_number, code);
}

bool od_unicode_is_punctuation(uint32_t code)
{
    return IS_IN(unicode_punctuation, code);
}

bool od_unicode_is_other(uint32_t code)
{
    return code == 0 || IS_IN(unicode_other, code);
}

bool od_unicode_is_nonspacing(uint32_t code)
{
    return code >= 0x80 && IS_IN(unicode_nonspacing, code);
}

bool od_unicode_is_word(uint32_t code)
{
    return IS_IN(unicode_word, code);
}

size_t od_unicode_grapheme(const char *text, size_t size)
{
    uint32_t code;
    utf8proc_int32_t state = 0;
    size_t at = next_code(text, size, &code);
    while (at < size) {
        uint32_t next;
        const size_t length = next_code(text + at, size - at, &next);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)code, (utf8proc_int32_t)next,
                                             &state)) {
            break;
        }
        code = next;
        at += length;
    }
    return at;
}

uint32_t od_unicode_before(const char *text, size_t at, size_t *ret_start)
{
    size_t start = at - 1;
    while (start > 0 && at - start < 4 && ((unsigned char)text[start] & 0xC0u) == 0x80u) {
        start--;
    }
    uint32_t code;
    if (next_code(text + start, at - start, &code) != at - start) {
        start = at - 1;
        code = 0xFFFD;
    }
    *ret_start = start;
    return code;
}
