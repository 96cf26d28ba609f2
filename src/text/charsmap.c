#include "text/charsmap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/gguf.h"
#include "text/unicode.h"

enum { SIZE_BYTES = 4, GRAPHEME_RULE_BYTES = 5 };

void od_charsmap_release(struct od_charsmap *map)
{
    od_free(map->bytes);
    *map = (struct od_charsmap){0};
}

// The array is copied, so that its units are aligned.
enum od_status od_charsmap_read(struct od_charsmap *map, const void *bytes, size_t size,
                                const char *where, struct od_error *err)
{
    const unsigned char *from = bytes;
    uint32_t array_size = 0;
    od_charsmap_release(map);
    if (size == 0) {
        return OD_OK;
    }
    for (size_t i = 0; i < SIZE_BYTES && i < size; i++) {
        array_size |= (uint32_t)from[i] << (8 * i);
    }
    if (size < SIZE_BYTES || array_size > size - SIZE_BYTES || array_size % 4 != 0 ||
        array_size == 0 || size - SIZE_BYTES == array_size || from[size - 1] != '\0') {
        return od_fail(err, OD_E_FORMAT,
                       "'%s': the normalisation rules are broken (%zu bytes, array of %u)", where,
                       size, (unsigned)array_size);
    }
    char *copy = od_alloc(size - SIZE_BYTES, 1);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for the normalisation rules of '%s'", where);
    }
    memcpy(copy, from + SIZE_BYTES, size - SIZE_BYTES);
    *map = (struct od_charsmap){.bytes = copy,
                                .units = (const uint32_t *)(const void *)copy,
                                .unit_count = array_size / 4,
                                .replacements = copy + array_size,
                                .replacements_size = size - SIZE_BYTES - array_size};
    return OD_OK;
}

void od_charsmap_put(const struct od_charsmap *map, const char *key, struct od_gguf_keys *keys)
{
    const uint32_t array_size = (uint32_t)(map->unit_count * sizeof(uint32_t));
    const size_t size = array_size + map->replacements_size;
    od_gguf_put_list(keys, key, OD_GGUF_U8, size + SIZE_BYTES);
    for (int i = 0; i < SIZE_BYTES; i++) {
        const unsigned char byte = (unsigned char)(array_size >> (8 * i) & 0xFFu);
        od_gguf_put_u8_items(keys, &byte, 1);
    }
    od_gguf_put_u8_items(keys, map->bytes, size);
}

static size_t offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & (1u << 9)) >> 6);
}

// The longest rule, or the shortest one.
static size_t find_rule(const struct od_charsmap *map, const char *text, size_t size, bool shortest,
                        const char **ret_replacement, size_t *ret_size)
{
    size_t found = 0;
    size_t node = 0;
    if (map->unit_count == 0) {
        return 0;
    }
    uint32_t unit = map->units[0];
    for (size_t i = 0; i < size && !(shortest && found > 0); i++) {
        const uint32_t byte = (unsigned char)text[i];
        node ^= offset_of(unit);
        node ^= byte;
        if (node >= map->unit_count) {
            break;
        }
        unit = map->units[node];
        if ((unit & ((1u << 31) | 0xFFu)) != byte) {
            break;
        }
        if ((unit >> 8 & 1u) != 0) {
            const size_t leaf = node ^ offset_of(unit);
            const size_t value = leaf < map->unit_count ? map->units[leaf] & 0x7FFFFFFFu : SIZE_MAX;
            if (value < map->replacements_size) {
                found = i + 1;
                *ret_replacement = map->replacements + value;
                *ret_size = strnlen(*ret_replacement, map->replacements_size - value);
            }
        }
    }
    return found;
}

size_t od_charsmap_longest(const struct od_charsmap *map, const char *text, size_t size,
                           const char **ret_replacement, size_t *ret_size)
{
    return find_rule(map, text, size, false, ret_replacement, ret_size);
}

// Put what a part becomes as a whole; false when no rule fits its start. A rule takes the whole part
// even where it fits only the start, and a NUL ends what rules look at: so does the reference.
static bool put_rule(const struct od_charsmap *map, const char *part, size_t size,
                     struct od_buf *out)
{
    const char *replacement = NULL;
    size_t replacement_size = 0;
    if (find_rule(map, part, strnlen(part, size), true, &replacement, &replacement_size) == 0) {
        return false;
    }
    od_buf_append(out, replacement, replacement_size);
    return true;
}

void od_charsmap_normalize(const struct od_charsmap *map, const char *text, size_t size,
                           struct od_buf *out)
{
    for (size_t at = 0; at < size;) {
        const size_t grapheme = od_unicode_grapheme(text + at, size - at);
        const size_t end = at + grapheme;
        if (grapheme <= GRAPHEME_RULE_BYTES && put_rule(map, text + at, grapheme, out)) {
            at = end;
        }
        while (at < end) {
            uint32_t code;
            const int decoded = od_utf8_decode(text + at, end - at, &code);
            const size_t length = decoded > 0 ? (size_t)decoded : 1;
            if (!put_rule(map, text + at, length, out)) {
                od_buf_append(out, text + at, length);
            }
            at += length;
        }
    }
}
