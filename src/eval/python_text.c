#include "eval/python_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/text.h"

size_t od_python_next(const char *bytes, size_t size, uint32_t *ret_code)
{
    const int length = od_utf8_decode(bytes, size, ret_code);
    if (length == 0) {
        *ret_code = 0xFFFD;
        return 1;
    }
    return (size_t)length;
}

void od_python_append(struct od_buf *out, uint32_t code)
{
    char bytes[4];
    const int length = od_utf8_encode(code, bytes);
    od_buf_append(out, bytes, (size_t)length);
}

// Letters and signs of other categories that count as small or capital (Unicode 13, Other_Lowercase and
// Other_Uppercase): first and last.
static const uint32_t other_small[][2] = {
    {0xAA, 0xAA},     {0xBA, 0xBA},     {0x2B0, 0x2B8},   {0x2C0, 0x2C1},   {0x2E0, 0x2E4},
    {0x345, 0x345},   {0x37A, 0x37A},   {0x1D2C, 0x1D6A}, {0x1D78, 0x1D78}, {0x1D9B, 0x1DBF},
    {0x2071, 0x2071}, {0x207F, 0x207F}, {0x2090, 0x209C}, {0x2170, 0x217F}, {0x24D0, 0x24E9},
    {0x2C7C, 0x2C7D}, {0xA69C, 0xA69D}, {0xA770, 0xA770}, {0xA7F8, 0xA7F9}, {0xAB5C, 0xAB5F}};
static const uint32_t other_capital[][2] = {{0x2160, 0x216F},
                                            {0x24B6, 0x24CF},
                                            {0x1F130, 0x1F149},
                                            {0x1F150, 0x1F169},
                                            {0x1F170, 0x1F189}};

static bool is_among(uint32_t code, const uint32_t (*ranges)[2], size_t count)
{
    for (size_t i = 0; i < count && ranges[i][0] <= code; i++) {
        if (code <= ranges[i][1]) {
            return true;
        }
    }
    return false;
}

bool od_python_is_lower(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LL ||
           is_among(code, other_small, sizeof other_small / sizeof *other_small);
}

bool od_python_is_upper(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LU ||
           is_among(code, other_capital, sizeof other_capital / sizeof *other_capital);
}

static bool is_cased(uint32_t code)
{
    return od_python_is_lower(code) || od_python_is_upper(code) ||
           utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_LT;
}

bool od_python_is_word(uint32_t code)
{
    const utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)code);
    const bool letter = kind == UTF8PROC_CATEGORY_LL || kind == UTF8PROC_CATEGORY_LU ||
                        kind == UTF8PROC_CATEGORY_LT || kind == UTF8PROC_CATEGORY_LM ||
                        kind == UTF8PROC_CATEGORY_LO;
    const bool number = kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL ||
                        kind == UTF8PROC_CATEGORY_NO;
    return letter || number || code == '_';
}

// Characters that the rule for the final sigma looks past: marks, format characters, modifiers,
// and the punctuation that stands inside words.
static bool is_case_ignorable(uint32_t code)
{
    const utf8proc_category_t kind = utf8proc_category((utf8proc_int32_t)code);
    return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_ME ||
           kind == UTF8PROC_CATEGORY_CF || kind == UTF8PROC_CATEGORY_LM ||
           kind == UTF8PROC_CATEGORY_SK || code == '\'' || code == '.' || code == ':' ||
           code == 0xB7 || code == 0x387 || code == 0x2018 || code == 0x2019 || code == 0x2024 ||
           code == 0x2027;
}

static bool cased_before(const char *bytes, size_t at)
{
    while (at > 0) {
        size_t first = at - 1;
        uint32_t code = 0;
        while (first > 0 && ((unsigned char)bytes[first] & 0xC0) == 0x80) {
            first--;
        }
        (void)od_python_next(bytes + first, at - first, &code);
        if (!is_case_ignorable(code)) {
            return is_cased(code);
        }
        at = first;
    }
    return false;
}

static bool cased_behind(const char *bytes, size_t size, size_t at)
{
    while (at < size) {
        uint32_t code = 0;
        at += od_python_next(bytes + at, size - at, &code);
        if (!is_case_ignorable(code)) {
            return is_cased(code);
        }
    }
    return false;
}

// From bytes[from] on; what stands before it decides about sigmas, too.
static void lower_from(const char *bytes, size_t size, size_t from, struct od_buf *out)
{
    enum { CAPITAL_I_DOT = 0x130, CAPITAL_SIGMA = 0x3A3, SIGMA = 0x3C3, FINAL_SIGMA = 0x3C2 };
    size_t at = from;
    while (at < size) {
        uint32_t code = 0;
        const size_t length = od_python_next(bytes + at, size - at, &code);
        if (code == CAPITAL_I_DOT) {
            od_buf_puts(out, "i\xCC\x87");
        } else if (code == CAPITAL_SIGMA) {
            const bool final = cased_before(bytes, at) && !cased_behind(bytes, size, at + length);
            od_python_append(out, final ? FINAL_SIGMA : SIGMA);
        } else {
            od_python_append(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
        }
        at += length;
    }
}

void od_python_lower(const char *bytes, size_t size, struct od_buf *out)
{
    lower_from(bytes, size, 0, out);
}

void od_python_upper(const char *bytes, size_t size, struct od_buf *out)
{
    enum { SHARP_S = 0xDF };
    size_t at = 0;
    while (at < size) {
        uint32_t code = 0;
        at += od_python_next(bytes + at, size - at, &code);
        if (code == SHARP_S) {
            od_buf_puts(out, "SS");
        } else {
            od_python_append(out, (uint32_t)utf8proc_toupper((utf8proc_int32_t)code));
        }
    }
}

void od_python_capitalize(const char *bytes, size_t size, struct od_buf *out)
{
    uint32_t code = 0;
    if (size > 0) {
        const size_t first = od_python_next(bytes, size, &code);
        od_python_append(out, (uint32_t)utf8proc_totitle((utf8proc_int32_t)code));
        lower_from(bytes, size, first, out);
    }
}
