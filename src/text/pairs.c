#include "text/pairs.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

#define EMPTY UINT64_MAX

enum { FIRST_SLOTS = 256 };

void od_pairs_release(struct od_pairs *pairs)
{
    od_free(pairs->slots);
    *pairs = (struct od_pairs){0};
}

static size_t find_slot(const struct od_pairs *pairs, uint64_t pair)
{
    uint64_t hash = pair * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    size_t slot = (size_t)hash & pairs->mask;
    while (pairs->slots[slot] != EMPTY && pairs->slots[slot] != pair) {
        slot = (slot + 1) & pairs->mask;
    }
    return slot;
}

static enum od_status grow(struct od_pairs *pairs, struct od_error *err)
{
    const size_t have = pairs->slots ? pairs->mask + 1 : 0;
    if ((pairs->count + 1) * 2 <= have) {
        return OD_OK;
    }
    struct od_pairs larger = {.count = pairs->count};
    const size_t slots = have == 0 ? FIRST_SLOTS : have * 2;
    larger.mask = slots - 1;
    larger.slots = od_alloc(slots, sizeof(*larger.slots));
    if (!larger.slots) {
        return od_fail(err, OD_E_MEMORY, "no memory for %zu pairs of symbols", slots);
    }
    memset(larger.slots, 0xFF, slots * sizeof(*larger.slots));
    for (size_t i = 0; i < have; i++) {
        if (pairs->slots[i] != EMPTY) {
            larger.slots[find_slot(&larger, pairs->slots[i])] = pairs->slots[i];
        }
    }
    od_free(pairs->slots);
    *pairs = larger;
    return OD_OK;
}

enum od_status od_pairs_add(struct od_pairs *pairs, uint32_t a, uint32_t b, struct od_error *err)
{
    const uint64_t pair = (uint64_t)a << 32 | b;
    const enum od_status status = grow(pairs, err);
    if (status != OD_OK) {
        return status;
    }
    const size_t slot = find_slot(pairs, pair);
    pairs->count += pairs->slots[slot] == EMPTY;
    pairs->slots[slot] = pair;
    return OD_OK;
}

bool od_pairs_have(const struct od_pairs *pairs, uint32_t a, uint32_t b)
{
    const uint64_t pair = (uint64_t)a << 32 | b;
    return pairs->slots && pairs->slots[find_slot(pairs, pair)] == pair;
}
