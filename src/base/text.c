#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { NEAREST_NAME_MAX_BYTES = 64 };  // longer ones are near to nothing

int od_utf8_decode(const char *text, size_t size, uint32_t *ret_code)
{
    const unsigned char *s = (const unsigned char *)text;
    uint32_t code;
    uint32_t least;
    int length;

    if (size == 0) {
        return 0;
    }
    if (s[0] < 0x80) {
        *ret_code = s[0];
        return 1;
    }
    if (s[0] >= 0xC2 && s[0] < 0xE0) {
        length = 2;
        code = s[0] & 0x1Fu;
        least = 0x80;
    } else if (s[0] >= 0xE0 && s[0] < 0xF0) {
        length = 3;
        code = s[0] & 0x0Fu;
        least = 0x800;
    } else if (s[0] >= 0xF0 && s[0] < 0xF5) {
        length = 4;
        code = s[0] & 0x07u;
        least = 0x10000;
    } else {
        return 0;
    }
    if ((size_t)length > size) {
        return 0;
    }
    for (int i = 1; i < length; i++) {
        if ((s[i] & 0xC0u) != 0x80u) {
            return 0;
        }
        code = (code << 6) | (s[i] & 0x3Fu);
    }
    if (code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) {
        return 0;
    }
    *ret_code = code;
    return length;
}

int od_utf8_encode(uint32_t code, char out[4])
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0u | (code >> 6));
        out[1] = (char)(0x80u | (code & 0x3Fu));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0u | (code >> 12));
        out[1] = (char)(0x80u | ((code >> 6) & 0x3Fu));
        out[2] = (char)(0x80u | (code & 0x3Fu));
        return 3;
    }
    if (code <= 0x10FFFF) {
        out[0] = (char)(0xF0u | (code >> 18));
        out[1] = (char)(0x80u | ((code >> 12) & 0x3Fu));
        out[2] = (char)(0x80u | ((code >> 6) & 0x3Fu));
        out[3] = (char)(0x80u | (code & 0x3Fu));
        return 4;
    }
    return 0;
}

size_t od_utf8_invalid_at(const char *text, size_t size)
{
    size_t at = 0;
    uint32_t code;
    while (at < size) {
        const int length = od_utf8_decode(text + at, size - at, &code);
        if (length == 0) {
            return at;
        }
        at += (size_t)length;
    }
    return size;
}

size_t od_utf8_count(const char *text, size_t size)
{
    size_t count = 0;
    uint32_t code;
    for (size_t at = 0; at < size; count++) {
        const int length = od_utf8_decode(text + at, size - at, &code);
        at += length == 0 ? 1 : (size_t)length;
    }
    return count;
}

// Length of the longest prefix at `s` that could start a valid sequence; at least 1.
static size_t invalid_part(const char *text, size_t size)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t want = 0;
    unsigned char low = 0x80;
    unsigned char high = 0xBF;

    if (s[0] >= 0xC2 && s[0] < 0xE0) {
        want = 2;
    } else if (s[0] >= 0xE0 && s[0] < 0xF0) {
        want = 3;
        low = s[0] == 0xE0 ? 0xA0 : 0x80;
        high = s[0] == 0xED ? 0x9F : 0xBF;
    } else if (s[0] >= 0xF0 && s[0] < 0xF5) {
        want = 4;
        low = s[0] == 0xF0 ? 0x90 : 0x80;
        high = s[0] == 0xF4 ? 0x8F : 0xBF;
    }
    size_t length = 1;
    while (length < want && length < size && s[length] >= low && s[length] <= high) {
        length++;
        low = 0x80;
        high = 0xBF;
    }
    return length;
}

void od_utf8_append_valid(struct od_buf *out, const char *text, size_t size)
{
    size_t at = 0;
    while (at < size) {
        const size_t good = od_utf8_invalid_at(text + at, size - at);
        od_buf_append(out, text + at, good);
        at += good;
        if (at < size) {
            od_buf_puts(out, "\xEF\xBF\xBD");
            at += invalid_part(text + at, size - at);
        }
    }
}

bool od_is_space(uint32_t code)
{
    return (code >= 0x09 && code <= 0x0D) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
           code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

size_t od_rstrip_size(const char *text, size_t size)
{
    size_t end = 0;
    uint32_t code;
    for (size_t at = 0; at < size;) {
        const int length = od_utf8_decode(text + at, size - at, &code);
        const bool space = length > 0 && od_is_space(code);
        at += length == 0 ? 1 : (size_t)length;
        if (!space) {
            end = at;
        }
    }
    return end;
}

void od_strip(const char **text, size_t *size)
{
    uint32_t code;
    for (;;) {
        const int length = od_utf8_decode(*text, *size, &code);
        if (length == 0 || !od_is_space(code)) {
            break;
        }
        *text += length;
        *size -= (size_t)length;
    }
    *size = od_rstrip_size(*text, *size);
}

static uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static bool reads_back(const char *digits, double value)
{
    return double_bits(strtod(digits, NULL)) == double_bits(value);
}

// One more in the last place of d.ddde+xx, away from zero; false when all digits are 9.
static bool count_up(char *digits)
{
    for (char *at = strchr(digits, 'e') - 1; at >= digits; at--) {
        if (*at >= '0' && *at < '9') {
            (*at)++;
            return true;
        }
        if (*at == '9') {
            *at = '0';
        }
    }
    return false;
}

void od_double_text(double value, char out[OD_NUMBER_BYTES])
{
    char digits[OD_NUMBER_BYTES];
    if (isnan(value)) {
        (void)snprintf(out, OD_NUMBER_BYTES, "NaN");
        return;
    }
    if (isinf(value)) {
        (void)snprintf(out, OD_NUMBER_BYTES, value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    // The shortest form has at most 17 digits. From 15 digits up one of three fits except for
    // subnormal numbers, which start at one digit.
    int precision = fabs(value) < 2.3e-308 ? 0 : 14;
    for (; precision <= 16; precision++) {
        (void)snprintf(digits, sizeof digits, "%.*e", precision, value);
        if (reads_back(digits, value)) {
            break;
        }
        // Above a power of two the next double is twice as far away as below it, so the decimal
        // number on the upper side may read back where the nearest one does not.
        int exponent_of_two;
        if (fabs(frexp(value, &exponent_of_two)) <= 0.5 && count_up(digits) &&
            reads_back(digits, value)) {
            break;
        }
    }
    // digits: [-]d[.ddd]e[+-]xx
    char mantissa[OD_NUMBER_BYTES];
    size_t count = 0;
    const char *at = digits;
    const bool negative = *at == '-';
    at += negative ? 1 : 0;
    for (; *at != 'e'; at++) {
        if (*at != '.') {
            mantissa[count++] = *at;
        }
    }
    while (count > 1 && mantissa[count - 1] == '0') {
        count--;
    }
    mantissa[count] = '\0';
    const int exponent = (int)strtol(at + 1, NULL, 10);
    const char *sign = negative ? "-" : "";
    if (exponent < -4 || exponent >= 16) {
        (void)snprintf(out, OD_NUMBER_BYTES, "%s%c%s%.20se%c%02d", sign, mantissa[0],
                       count > 1 ? "." : "", mantissa + 1, exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        (void)snprintf(out, OD_NUMBER_BYTES, "%s0.%.*s%.20s", sign, -exponent - 1, "0000",
                       mantissa);
    } else if (count <= (size_t)exponent + 1) {
        (void)snprintf(out, OD_NUMBER_BYTES, "%s%.20s%.*s.0", sign, mantissa,
                       exponent + 1 - (int)count, "0000000000000000");
    } else {
        (void)snprintf(out, OD_NUMBER_BYTES, "%s%.*s.%.20s", sign, exponent + 1, mantissa,
                       mantissa + exponent + 1);
    }
}

bool od_parse_double(const char *text, double *ret_value)
{
    char *end = NULL;
    if (*text == '\0' || strpbrk(text, "xXpP") || isspace((unsigned char)*text)) {
        return false;
    }
    const double value = strtod(text, &end);
    if (end == text || *end != '\0') {
        return false;
    }
    *ret_value = value;
    return true;
}

bool od_parse_int(const char *text, int64_t *ret_value)
{
    char *end = NULL;
    if (*text == '\0' || isspace((unsigned char)*text)) {
        return false;
    }
    errno = 0;
    const long long value = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno == ERANGE) {
        return false;
    }
    *ret_value = value;
    return true;
}

// Value of a base64 digit, or -1.
static int base64_value(char digit)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = digit == '\0' ? NULL : strchr(digits, digit);
    return found ? (int)(found - digits) : -1;
}

bool od_base64_append(struct od_buf *out, const char *text, size_t size)
{
    const size_t before = out->size;
    bool good = size % 4 == 0;
    for (size_t at = 0; at < size && good; at += 4) {
        const bool last = at + 4 == size;
        const size_t padding = last && text[at + 3] == '=' ? (text[at + 2] == '=' ? 2 : 1) : 0;
        uint32_t group = 0;
        for (size_t i = 0; i < 4; i++) {
            const int value = i < 4 - padding ? base64_value(text[at + i]) : 0;
            good = good && value >= 0;
            group = group << 6 | ((uint32_t)value & 0x3Fu);
        }
        // Bits behind the last byte must be zero, so that every text of bytes is unique.
        good = good && (padding == 0 || (group & (padding == 1 ? 0xFFu : 0xFFFFu)) == 0);
        for (size_t i = 0; i < 3 - padding; i++) {
            od_buf_putc(out, (char)(unsigned char)(group >> (16 - 8 * i) & 0xFFu));
        }
    }
    if (!good && !out->failed) {
        out->size = before;
    }
    return good;
}

size_t od_edit_distance(const char *a, const char *b)
{
    size_t row[NEAREST_NAME_MAX_BYTES + 1];
    const size_t n = strlen(b);
    if (n > NEAREST_NAME_MAX_BYTES) {
        return SIZE_MAX;
    }
    for (size_t j = 0; j <= n; j++) {
        row[j] = j;
    }
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            const size_t replace = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            const size_t shift = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replace < shift ? replace : shift;
        }
    }
    return row[n];
}

const char *od_nearest_name(const char *name, const char *const *names, size_t count)
{
    const char *best = NULL;
    const size_t length = strlen(name);
    size_t best_distance = length / 2 + 1;
    if (length > NEAREST_NAME_MAX_BYTES) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const size_t distance = od_edit_distance(name, names[i]);
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

/** A unit and what it is worth. */
struct unit {
    const char *name;
    double worth;
};

// A number above 0 with one of the units behind it, blanks allowed between them.
static bool parse_unit(const char *text, const struct unit *units, size_t count, double max,
                       double *ret)
{
    char *end = NULL;
    const double value = strtod(text, &end);
    if (end == text || !(value > 0.0)) {
        return false;
    }
    while (*end == ' ') {
        end++;
    }
    for (size_t i = 0; i < count; i++) {
        if (strcmp(end, units[i].name) == 0 && value * units[i].worth < max) {
            *ret = value * units[i].worth;
            return true;
        }
    }
    return false;
}

bool od_parse_size(const char *text, uint64_t *ret_bytes)
{
    static const struct unit units[] = {{"", 1.0},       {"B", 1.0},         {"kB", 1e3},
                                        {"MB", 1e6},     {"GB", 1e9},        {"TB", 1e12},
                                        {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0},
                                        {"G", 1e9},      {"M", 1e6}};
    double bytes = 0.0;
    if (!parse_unit(text, units, sizeof units / sizeof units[0], 1e18, &bytes)) {
        return false;
    }
    *ret_bytes = (uint64_t)bytes;
    return true;
}

bool od_parse_time(const char *text, double *ret_seconds)
{
    static const struct unit units[] = {{"", 1.0},   {"s", 1.0},    {"min", 60.0},
                                        {"m", 60.0}, {"h", 3600.0}, {"d", 86400.0}};
    return parse_unit(text, units, sizeof units / sizeof units[0], 1e14, ret_seconds);
}
