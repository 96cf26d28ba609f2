#include "text/phrases.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

enum { FIRST_PHRASES = 16 };

void od_phrases_release(struct od_phrases *phrases)
{
    for (size_t i = 0; i < phrases->count; i++) {
        od_free(phrases->items[i].text);
    }
    od_free(phrases->items);
    *phrases = (struct od_phrases){0};
}

enum od_status od_phrases_add(struct od_phrases *phrases, const char *text, size_t size, int32_t id,
                              struct od_error *err)
{
    if (size == 0) {
        return od_fail(err, OD_E_ARGUMENT, "an empty phrase for id %d", (int)id);
    }
    if (phrases->count == phrases->capacity) {
        const size_t capacity = phrases->capacity == 0 ? FIRST_PHRASES : phrases->capacity * 2;
        struct od_phrase *items = od_realloc(phrases->items, capacity, sizeof(*items));
        if (!items) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu added tokens", capacity);
        }
        phrases->items = items;
        phrases->capacity = capacity;
    }
    char *copy = od_memdup(text, size);
    if (!copy) {
        return od_fail(err, OD_E_MEMORY, "no memory for an added token of %zu bytes", size);
    }
    phrases->items[phrases->count++] = (struct od_phrase){.text = copy, .size = size, .id = id};
    phrases->first[(unsigned char)text[0]] = true;
    return OD_OK;
}

static int compare(const void *a, const void *b)
{
    const struct od_phrase *x = a;
    const struct od_phrase *y = b;
    const int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
    if (order != 0) {
        return order;
    }
    if (x->size != y->size) {
        return x->size < y->size ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

void od_phrases_finish(struct od_phrases *phrases)
{
    if (phrases->count > 0) {
        qsort(phrases->items, phrases->count, sizeof(*phrases->items), compare);
    }
}

// First phrase in [low, high) whose byte at `depth` is `byte` or larger. All of them are longer
// than `depth` and agree before it.
static size_t lower_bound(const struct od_phrases *phrases, size_t low, size_t high, size_t depth,
                          unsigned byte)
{
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if ((unsigned char)phrases->items[middle].text[depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct od_phrase *od_phrases_longest(const struct od_phrases *phrases, const char *text,
                                           size_t size)
{
    const struct od_phrase *found = NULL;
    size_t low = 0;
    size_t high = phrases->count;
    if (size == 0 || !phrases->first[(unsigned char)text[0]]) {
        return NULL;
    }
    for (size_t depth = 0; low < high; depth++) {
        // Phrases that end here come first in the range.
        if (phrases->items[low].size == depth) {
            found = &phrases->items[low];
        }
        while (low < high && phrases->items[low].size == depth) {
            low++;
        }
        if (depth == size) {
            break;
        }
        const unsigned byte = (unsigned char)text[depth];
        low = lower_bound(phrases, low, high, depth, byte);
        high = lower_bound(phrases, low, high, depth, byte + 1);
    }
    return found;
}
