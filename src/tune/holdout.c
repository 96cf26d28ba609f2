#include "tune/holdout.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "data/dataset.h"

/** Key of the seeded order whose first documents are held out. */
#define HOLDOUT_ORDER UINT64_C(0x686F6C646F7574)

/** A document as its contents. Two that differ have different hashes but for a chance of 2^-64,
 *  in which case both land on the same side. */
struct twin {
    uint64_t hash;
    int64_t doc;
};

enum side { SIDE_TRAIN, SIDE_HELD, SIDE_DROPPED };

static int by_hash(const void *a, const void *b)
{
    const struct twin *left = a;
    const struct twin *right = b;
    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    return left->doc < right->doc ? -1 : 1;
}

static uint64_t content_hash(const struct od_dataset *data, int64_t doc)
{
    const int64_t from = data->offset[doc];
    const size_t size = (size_t)(data->offset[doc + 1] - from);
    const uint64_t ids = od_xxh64(data->ids + from, size * sizeof *data->ids, size);
    return od_xxh64(data->label + from, size, ids);
}

// first[d]: the first document with the contents of d. Returns how many are first.
static int64_t find_twins(const struct od_dataset *data, struct twin *twins, int64_t *first)
{
    int64_t distinct = 0;
    for (int64_t d = 0; d < data->count; d++) {
        twins[d] = (struct twin){.hash = content_hash(data, d), .doc = d};
    }
    qsort(twins, (size_t)data->count, sizeof *twins, by_hash);
    for (int64_t i = 0; i < data->count; i++) {
        const bool same = i > 0 && twins[i].hash == twins[i - 1].hash;
        first[twins[i].doc] = same ? first[twins[i - 1].doc] : twins[i].doc;
        distinct += !same;
    }
    return distinct;
}

// Of the distinct documents, in the order of the data, those with the first `wanted` places.
static void choose(const struct od_dataset *data, const int64_t *first, int64_t distinct,
                   int64_t wanted, uint64_t seed, enum side *side)
{
    int64_t number = 0;
    for (int64_t d = 0; d < data->count; d++) {
        if (first[d] == d) {
            const uint64_t place =
                od_permute((uint64_t)number++, (uint64_t)distinct, seed ^ HOLDOUT_ORDER, 0);
            side[d] = place < (uint64_t)wanted ? SIDE_HELD : SIDE_TRAIN;
        } else {
            side[d] = side[first[d]] == SIDE_TRAIN ? SIDE_TRAIN : SIDE_DROPPED;
        }
    }
}

static void append(struct od_dataset *to, const struct od_dataset *from, int64_t doc)
{
    const int64_t start = from->offset[doc];
    const size_t size = (size_t)(from->offset[doc + 1] - start);
    const int64_t at = to->offset[to->count];
    memmove(to->ids + at, from->ids + start, size * sizeof *to->ids);
    memmove(to->label + at, from->label + start, size);
    for (size_t i = 0; i < size; i++) {
        to->label_count += to->label[at + (int64_t)i];
    }
    to->count++;
    to->offset[to->count] = at + (int64_t)size;
}

static enum od_status make_room(const struct od_dataset *data, const enum side *side,
                                struct od_dataset *ret, struct od_error *err)
{
    int64_t count = 0;
    int64_t tokens = 0;
    for (int64_t d = 0; d < data->count; d++) {
        if (side[d] == SIDE_HELD) {
            count++;
            tokens += data->offset[d + 1] - data->offset[d];
        }
    }
    ret->ids = od_alloc((size_t)tokens + 1, sizeof *ret->ids);
    ret->label = od_alloc((size_t)tokens + 1, sizeof *ret->label);
    ret->offset = od_alloc((size_t)count + 1, sizeof *ret->offset);
    return ret->ids && ret->label && ret->offset
               ? OD_OK
               : od_fail(err, OD_E_MEMORY, "no memory for %lld held-out documents",
                         (long long)count);
}

// Copy what is held out, then close the gaps in what is left.
static void move(struct od_dataset *data, const enum side *side, struct od_dataset *held)
{
    const int64_t count = data->count;
    struct od_dataset left = *data;
    for (int64_t d = 0; d < count; d++) {
        if (side[d] == SIDE_HELD) {
            append(held, data, d);
        }
    }
    left.count = 0;
    left.label_count = 0;
    for (int64_t d = 0; d < count; d++) {
        if (side[d] == SIDE_TRAIN) {
            append(&left, data, d);  // never in front of what is read later
        }
    }
    *data = left;
}

enum od_status od_holdout_take(struct od_dataset *data, double size, uint64_t seed,
                               struct od_dataset *ret, struct od_error *err)
{
    struct od_dataset held = {0};
    enum od_status status = OD_OK;
    const size_t count = (size_t)data->count;
    struct twin *twins = od_alloc(count + 1, sizeof *twins);
    int64_t *first = od_alloc(count + 1, sizeof *first);
    enum side *side = od_alloc(count + 1, sizeof *side);
    int64_t distinct = 0;
    double wanted = 0.0;
    if (!twins || !first || !side) {
        status = od_fail(err, OD_E_MEMORY, "no memory to hold out documents");
        goto done;
    }
    distinct = find_twins(data, twins, first);
    wanted = size < 1.0 ? ceil(size * (double)distinct) : floor(size);
    if (!(wanted < (double)distinct)) {
        status = od_fail(err, OD_E_REFUSED,
                         "'val_set_size' is %g, but there are %lld different documents: nothing "
                         "would be left to train on",
                         size, (long long)distinct);
        goto done;
    }
    choose(data, first, distinct, (int64_t)wanted, seed, side);
    status = make_room(data, side, &held, err);
    if (status != OD_OK) {
        goto done;
    }
    move(data, side, &held);
    *ret = held;
    held = (struct od_dataset){0};  // ownership moved to *ret

done:
    od_dataset_release(&held);
    od_free(side);
    od_free(first);
    od_free(twins);
    return status;
}
