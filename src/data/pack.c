// Best fit over a window: the documents of a window go in from the longest to the shortest, each
// into the open pack that it fills best. Which packs have `r` tokens of room left is a list for
// each r; two levels of bits find the smallest r that has any:
//
//     room      0    1    2    3   ...   capacity
//     head     [-]  [4]  [-]  [9]  ...  [-]           first open pack with that room, or -1
//     word     bit r of word[r / 64] is set when head[r] >= 0
//     summary  bit w of summary[w / 64] is set when word[w] != 0
#include "data/pack.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "data/dataset.h"

enum { WORD_BITS = 64 };

/** Streams of the seeded orders, so that packs are not visited in the order of documents. */
#define DOCUMENT_ORDER UINT64_C(0x646F63756D656E74)
#define PACK_ORDER     UINT64_C(0x7061636B6F726465)

/** A document of the window. */
struct candidate {
    int64_t length;
    int64_t place;  ///< in the seeded order
    int64_t doc;
};

/** Open packs by the room that they have. */
struct room_index {
    int64_t *head;      ///< [capacity + 1]
    uint64_t *word;     ///< [words]
    uint64_t *summary;  ///< [summaries]
    size_t words;
    size_t summaries;
};

/** Everything while packs are made; one `release` at the end. */
struct packer {
    const struct od_dataset *dataset;
    int64_t capacity;
    struct candidate *window;  ///< [OD_PACK_WINDOW]
    int64_t *pack_of;          ///< [count] pack of the document at a place of the order
    int64_t *doc_at;           ///< [count] document at a place, sorted within its window
    int64_t *next;             ///< [count] next open pack with the same room
    int64_t *size;             ///< [count] documents in a pack
    int64_t pack_count;
    struct room_index room;
};

static void packer_release(struct packer *packer)
{
    od_free(packer->window);
    od_free(packer->pack_of);
    od_free(packer->doc_at);
    od_free(packer->next);
    od_free(packer->size);
    od_free(packer->room.head);
    od_free(packer->room.word);
    od_free(packer->room.summary);
}

static bool packer_init(struct packer *packer, const struct od_dataset *dataset, int64_t capacity)
{
    const size_t count = (size_t)dataset->count;
    const size_t rooms = (size_t)capacity + 1;
    const size_t words = rooms / WORD_BITS + 1;
    const size_t summaries = words / WORD_BITS + 1;
    *packer = (struct packer){
        .dataset = dataset,
        .capacity = capacity,
        .window = od_alloc(OD_PACK_WINDOW, sizeof(struct candidate)),
        .pack_of = od_alloc(count, sizeof(int64_t)),
        .doc_at = od_alloc(count, sizeof(int64_t)),
        .next = od_alloc(count, sizeof(int64_t)),
        .size = od_alloc(count, sizeof(int64_t)),
        .room = {.head = od_alloc(rooms, sizeof(int64_t)),
                 .word = od_alloc(words, sizeof(uint64_t)),
                 .summary = od_alloc(summaries, sizeof(uint64_t)),
                 .words = words,
                 .summaries = summaries},
    };
    return packer->window && packer->pack_of && packer->doc_at && packer->next && packer->size &&
           packer->room.head && packer->room.word && packer->room.summary;
}

static void room_clear(struct room_index *room, int64_t capacity)
{
    for (int64_t r = 0; r <= capacity; r++) {
        room->head[r] = -1;
    }
    memset(room->word, 0, room->words * sizeof *room->word);
    memset(room->summary, 0, room->summaries * sizeof *room->summary);
}

static void room_push(struct packer *packer, int64_t room, int64_t pack)
{
    struct room_index *index = &packer->room;
    const size_t word = (size_t)room / WORD_BITS;
    packer->next[pack] = index->head[room];
    index->head[room] = pack;
    index->word[word] |= UINT64_C(1) << ((size_t)room % WORD_BITS);
    index->summary[word / WORD_BITS] |= UINT64_C(1) << (word % WORD_BITS);
}

static int64_t room_pop(struct packer *packer, int64_t room)
{
    struct room_index *index = &packer->room;
    const int64_t pack = index->head[room];
    index->head[room] = packer->next[pack];
    if (index->head[room] < 0) {
        const size_t word = (size_t)room / WORD_BITS;
        index->word[word] &= ~(UINT64_C(1) << ((size_t)room % WORD_BITS));
        if (index->word[word] == 0) {
            index->summary[word / WORD_BITS] &= ~(UINT64_C(1) << (word % WORD_BITS));
        }
    }
    return pack;
}

// The first set bit from `from` on in bits[0..count), or -1.
static int64_t next_bit(const uint64_t *bits, size_t count, size_t from)
{
    size_t word = from / WORD_BITS;
    if (word >= count) {
        return -1;
    }
    uint64_t rest = bits[word] & (UINT64_MAX << (from % WORD_BITS));
    while (rest == 0) {
        if (++word == count) {
            return -1;
        }
        rest = bits[word];
    }
    return (int64_t)(word * WORD_BITS) + __builtin_ctzll(rest);
}

// The smallest room of at least `length` that an open pack has, or -1.
static int64_t room_find(const struct room_index *room, int64_t length)
{
    const size_t from = (size_t)length;
    const size_t first = from / WORD_BITS;
    const uint64_t rest = room->word[first] & (UINT64_MAX << (from % WORD_BITS));
    if (rest != 0) {
        return (int64_t)(first * WORD_BITS) + __builtin_ctzll(rest);
    }
    const int64_t word = next_bit(room->summary, room->summaries, first + 1);
    return word < 0 ? -1 : word * WORD_BITS + __builtin_ctzll(room->word[word]);
}

static int longest_first(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    if (left->length != right->length) {
        return left->length > right->length ? -1 : 1;
    }
    return left->place < right->place ? -1 : 1;
}

// Put the documents at places [first, first + count) of the order into new packs.
static void pack_window(struct packer *packer, int64_t first, int64_t count)
{
    room_clear(&packer->room, packer->capacity);
    qsort(packer->window, (size_t)count, sizeof *packer->window, longest_first);
    for (int64_t i = 0; i < count; i++) {
        const struct candidate *c = &packer->window[i];
        int64_t room = room_find(&packer->room, c->length);
        int64_t pack = 0;
        if (room < 0) {
            pack = packer->pack_count++;
            room = packer->capacity;
        } else {
            pack = room_pop(packer, room);
        }
        if (room > c->length) {
            room_push(packer, room - c->length, pack);
        }
        packer->doc_at[first + i] = c->doc;
        packer->pack_of[first + i] = pack;
        packer->size[pack]++;
    }
}

static void assign_packs(struct packer *packer, bool packing, uint64_t seed, uint32_t epoch)
{
    const struct od_dataset *dataset = packer->dataset;
    const int64_t count = dataset->count;
    for (int64_t first = 0; first < count; first += OD_PACK_WINDOW) {
        const int64_t rest = count - first;
        const int64_t part = rest < OD_PACK_WINDOW ? rest : OD_PACK_WINDOW;
        for (int64_t i = 0; i < part; i++) {
            const int64_t doc = (int64_t)od_permute((uint64_t)(first + i), (uint64_t)count,
                                                    seed ^ DOCUMENT_ORDER, epoch);
            packer->window[i] = (struct candidate){
                .length = dataset->offset[doc + 1] - dataset->offset[doc],
                .place = first + i,
                .doc = doc,
            };
            if (!packing) {
                packer->doc_at[first + i] = doc;
                packer->pack_of[first + i] = packer->pack_count;
                packer->size[packer->pack_count++] = 1;
            }
        }
        if (packing) {
            pack_window(packer, first, part);
        }
    }
}

// Lay the packs out in the order in which they are visited: packer->next becomes, for each pack,
// where its next document goes.
static void lay_out(struct packer *packer, struct od_packs *packs, bool packing, uint64_t seed,
                    uint32_t epoch)
{
    const int64_t count = packer->pack_count;
    int64_t at = 0;
    for (int64_t p = 0; p < count; p++) {
        // Without packing the documents are in a seeded order already.
        const int64_t pack =
            packing ? (int64_t)od_permute((uint64_t)p, (uint64_t)count, seed ^ PACK_ORDER, epoch)
                    : p;
        packs->first[p] = at;
        packer->next[pack] = at;
        at += packer->size[pack];
    }
    packs->first[count] = at;
    for (int64_t i = 0; i < packer->dataset->count; i++) {
        packs->doc[packer->next[packer->pack_of[i]]++] = packer->doc_at[i];
    }
    assert(at == packer->dataset->count);
}

static enum od_status check_documents(const struct od_dataset *dataset, int64_t capacity,
                                      struct od_error *err)
{
    if (capacity < 1 || capacity > OD_PACK_CAPACITY_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "a pack of %lld tokens: it must hold 1 to %d",
                       (long long)capacity, (int)OD_PACK_CAPACITY_MAX);
    }
    if (dataset->count < 1) {
        return od_fail(err, OD_E_ARGUMENT, "there are no documents to pack");
    }
    for (int64_t i = 0; i < dataset->count; i++) {
        const int64_t length = dataset->offset[i + 1] - dataset->offset[i];
        if (length < 1) {
            return od_fail(err, OD_E_ARGUMENT, "document %lld is empty", (long long)i);
        }
        if (length > capacity) {
            return od_fail(err, OD_E_LIMIT,
                           "document %lld has %lld tokens, a pack holds %lld: raise sequence_len "
                           "or shorten the document",
                           (long long)i, (long long)length, (long long)capacity);
        }
    }
    return OD_OK;
}

enum od_status od_packs_make(const struct od_dataset *dataset, int64_t capacity, bool packing,
                             uint64_t seed, uint32_t epoch, struct od_packs *ret,
                             struct od_error *err)
{
    struct od_packs packs = {0};
    struct packer packer = {0};
    enum od_status status = check_documents(dataset, capacity, err);
    if (status != OD_OK) {
        return status;
    }
    if (!packer_init(&packer, dataset, capacity)) {
        status = od_fail(err, OD_E_MEMORY, "no memory to pack %lld documents",
                         (long long)dataset->count);
        goto done;
    }
    assign_packs(&packer, packing, seed, epoch);
    packs.count = packer.pack_count;
    packs.tokens = dataset->offset[dataset->count] - dataset->offset[0];
    packs.first = od_alloc((size_t)packs.count + 1, sizeof *packs.first);
    packs.doc = od_alloc((size_t)dataset->count, sizeof *packs.doc);
    if (!packs.first || !packs.doc) {
        status = od_fail(err, OD_E_MEMORY, "no memory for %lld packs", (long long)packs.count);
        goto done;
    }
    lay_out(&packer, &packs, packing, seed, epoch);
    *ret = packs;
    packs = (struct od_packs){0};  // ownership moved to *ret

done:
    od_packs_release(&packs);
    packer_release(&packer);
    return status;
}

void od_packs_release(struct od_packs *packs)
{
    od_free(packs->first);
    od_free(packs->doc);
    *packs = (struct od_packs){0};
}

void od_micro_batch_reset(struct od_micro_batch *batch)
{
    batch->tokens = 0;
    batch->segments = 0;
    batch->label_count = 0;
    batch->segment_start[0] = 0;
}

static void append_document(struct od_micro_batch *batch, const struct od_dataset *dataset,
                            int64_t doc)
{
    const int64_t from = dataset->offset[doc];
    const int64_t length = dataset->offset[doc + 1] - from;
    const int64_t at = batch->tokens;
    for (int64_t i = 0; i < length; i++) {
        const bool learned = i + 1 < length && dataset->label[from + i + 1] != 0;
        batch->ids[at + i] = dataset->ids[from + i];
        batch->positions[at + i] = (int32_t)i;
        batch->targets[at + i] = learned ? dataset->ids[from + i + 1] : -1;
        batch->label_count += learned;
    }
    batch->tokens += length;
    batch->segments++;
    batch->segment_start[batch->segments] = (int32_t)batch->tokens;
}

enum od_status od_micro_batch_add(struct od_micro_batch *batch, int64_t capacity,
                                  const struct od_dataset *dataset, const struct od_packs *packs,
                                  int64_t pack, struct od_error *err)
{
    if (pack < 0 || pack >= packs->count) {
        return od_fail(err, OD_E_ARGUMENT, "there is no pack %lld: there are %lld", (long long)pack,
                       (long long)packs->count);
    }
    if (capacity > INT32_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "a batch of %lld tokens is too large",
                       (long long)capacity);
    }
    int64_t tokens = batch->tokens;
    for (int64_t d = packs->first[pack]; d < packs->first[pack + 1]; d++) {
        tokens += dataset->offset[packs->doc[d] + 1] - dataset->offset[packs->doc[d]];
    }
    if (tokens > capacity) {
        return od_fail(err, OD_E_LIMIT, "pack %lld makes a batch of %lld tokens, it holds %lld",
                       (long long)pack, (long long)tokens, (long long)capacity);
    }
    for (int64_t d = packs->first[pack]; d < packs->first[pack + 1]; d++) {
        append_document(batch, dataset, packs->doc[d]);
    }
    return OD_OK;
}

int64_t od_packs_label_count(const struct od_dataset *dataset, const struct od_packs *packs,
                             int64_t pack)
{
    int64_t count = 0;
    assert(pack >= 0 && pack < packs->count);
    for (int64_t d = packs->first[pack]; d < packs->first[pack + 1]; d++) {
        const int64_t doc = packs->doc[d];
        for (int64_t i = dataset->offset[doc] + 1; i < dataset->offset[doc + 1]; i++) {
            count += dataset->label[i] != 0;
        }
    }
    return count;
}
