// Which symbols may meet inside a piece that merges make: elsewhere a word can be cut.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "text/bpe.h"
#include "text/bpe_internal.h"
#include "text/pairs.h"
#include "text/vocab.h"

// First and last symbol of a piece that merges make; -1 where none does.
struct ends {
    int32_t first;
    int32_t last;
};

// A merge and the size of what it makes.
struct sized_merge {
    const struct od_bpe_merge *merge;
    uint32_t size;
};

static int compare(const void *a, const void *b)
{
    const struct sized_merge *x = a;
    const struct sized_merge *y = b;
    return x->size < y->size ? -1 : x->size > y->size;
}

// Every merge, those of short pieces first.
static struct sized_merge *sorted_merges(const struct od_bpe *bpe, size_t *ret_count)
{
    const size_t slots = (size_t)bpe->merge_mask + 1;
    struct sized_merge *list = od_alloc(slots, sizeof(*list));
    size_t count = 0;
    for (size_t i = 0; list && i < slots; i++) {
        const struct od_bpe_merge *merge = &bpe->merges[i];
        if (merge->pair != OD_BPE_NO_PAIR) {
            list[count++] =
                (struct sized_merge){.merge = merge, .size = bpe->vocab->pieces[merge->id].size};
        }
    }
    if (count > 0) {
        qsort(list, count, sizeof(*list), compare);
    }
    *ret_count = count;
    return list;
}

static int32_t or_itself(int32_t end, int32_t id)
{
    return end >= 0 ? end : id;
}

// Follow one merge; false when a piece begins or ends in two ways, so that its ends say nothing.
static bool follow(const struct od_bpe *bpe, struct ends *ends, const struct od_bpe_merge *merge,
                   uint32_t *ret_left, uint32_t *ret_right)
{
    const int32_t left = (int32_t)(merge->pair >> 32);
    const int32_t right = (int32_t)(merge->pair & UINT32_MAX);
    const struct od_piece *pieces = bpe->vocab->pieces;
    const struct ends made = {.first = or_itself(ends[left].first, left),
                              .last = or_itself(ends[right].last, right)};
    struct ends *known = &ends[merge->id];
    *ret_left = (uint32_t)or_itself(ends[left].last, left);
    *ret_right = (uint32_t)or_itself(ends[right].first, right);
    if (pieces[left].size == 0 || pieces[right].size == 0 ||
        (known->first >= 0 && (known->first != made.first || known->last != made.last))) {
        return false;
    }
    *known = made;
    return true;
}

// Bytes and the unknown piece are symbols; when merges make them, too, they have two kinds of ends.
static bool symbols_are_made(const struct od_bpe *bpe, const struct ends *ends)
{
    bool made = bpe->unknown_id >= 0 && ends[bpe->unknown_id].first >= 0;
    for (int i = 0; i < 256; i++) {
        made = made || (bpe->byte_ids[i] >= 0 && ends[bpe->byte_ids[i]].first >= 0);
    }
    return made;
}

enum od_status od_bpe_find_joints(struct od_bpe *bpe, struct od_error *err)
{
    enum od_status status = OD_OK;
    size_t count = 0;
    bool clear = true;
    if (!bpe->merges || bpe->prefix || bpe->suffix) {
        return OD_OK;
    }
    struct ends *ends = od_alloc((size_t)bpe->vocab->count, sizeof(*ends));
    struct sized_merge *list = sorted_merges(bpe, &count);
    if (!ends || !list) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the order of the merges");
        goto done;
    }
    memset(ends, 0xFF, (size_t)bpe->vocab->count * sizeof(*ends));
    for (size_t i = 0; i < count && clear && status == OD_OK; i++) {
        uint32_t left = 0;
        uint32_t right = 0;
        clear = follow(bpe, ends, list[i].merge, &left, &right);
        status = od_pairs_add(&bpe->joints, left, right, err);
    }
    bpe->has_joints = status == OD_OK && clear && !symbols_are_made(bpe, ends);

done:
    od_free(ends);
    od_free(list);
    return status;
}

enum od_status od_bpe_find_joints_spm(const struct od_vocab *vocab, struct od_pairs *joints,
                                      struct od_error *err)
{
    enum od_status status = OD_OK;
    for (int32_t id = 0; id < vocab->count && status == OD_OK; id++) {
        const uint8_t kind = vocab->pieces[id].kind;
        if (kind != OD_PIECE_NORMAL && kind != OD_PIECE_USER && kind != OD_PIECE_UNUSED) {
            continue;
        }
        size_t size;
        const char *text = od_vocab_text(vocab, id, &size);
        uint32_t before = 0;
        for (size_t at = 0; at < size && status == OD_OK;) {
            uint32_t code = 0;
            const int length = od_utf8_decode(text + at, size - at, &code);
            if (at > 0) {
                status = od_pairs_add(joints, before, code, err);
            }
            before = code;
            at += length > 0 ? (size_t)length : 1;
        }
    }
    return status;
}
