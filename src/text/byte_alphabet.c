#include "text/byte_alphabet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

// Bytes without a character of their own: 0x00..0x20 (33), 0x7F..0xA0 (34), 0xAD.
enum { LOW_COUNT = 0x21, MIDDLE_FIRST = 0x7F, MIDDLE_COUNT = 0xA1 - 0x7F, EXTRA_FIRST = 0x100 };

static bool stands_for_itself(uint32_t code)
{
    return (code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xFF && code != 0xAD);
}

uint32_t od_byte_to_code(unsigned char byte)
{
    if (stands_for_itself(byte)) {
        return byte;
    }
    if (byte < LOW_COUNT) {
        return EXTRA_FIRST + (uint32_t)byte;
    }
    if (byte == 0xAD) {
        return EXTRA_FIRST + LOW_COUNT + MIDDLE_COUNT;
    }
    return EXTRA_FIRST + LOW_COUNT + (uint32_t)byte - MIDDLE_FIRST;
}

int od_code_to_byte(uint32_t code)
{
    if (stands_for_itself(code)) {
        return (int)code;
    }
    if (code < EXTRA_FIRST) {
        return -1;
    }
    const uint32_t extra = code - EXTRA_FIRST;
    if (extra < LOW_COUNT) {
        return (int)extra;
    }
    if (extra < LOW_COUNT + MIDDLE_COUNT) {
        return (int)(extra - LOW_COUNT + MIDDLE_FIRST);
    }
    return extra == LOW_COUNT + MIDDLE_COUNT ? 0xAD : -1;
}

int od_byte_piece_value(const char *text, size_t size)
{
    int value = 0;
    if (size != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') {
        return -1;
    }
    for (int i = 3; i < 5; i++) {
        const char c = text[i];
        if (c >= '0' && c <= '9') {
            value = value * 16 + (c - '0');
        } else if (c >= 'A' && c <= 'F') {
            value = value * 16 + (c - 'A' + 10);
        } else if (c >= 'a' && c <= 'f') {
            value = value * 16 + (c - 'a' + 10);
        } else {
            return -1;
        }
    }
    return value;
}
