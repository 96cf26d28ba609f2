#include "text/vocab.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "text/tokenizer.h"

enum { FIRST_SLOTS = 1024, FIRST_PIECES = 512 };

#define VOCAB_TEXT_MAX_BYTES ((size_t)1 << 30)

void od_vocab_init(struct od_vocab *vocab)
{
    *vocab = (struct od_vocab){0};
    od_buf_init(&vocab->text, VOCAB_TEXT_MAX_BYTES);
}

void od_vocab_release(struct od_vocab *vocab)
{
    od_buf_release(&vocab->text);
    od_free(vocab->pieces);
    od_free(vocab->slots);
    od_vocab_init(vocab);
}

const char *od_vocab_text(const struct od_vocab *vocab, int32_t id, size_t *ret_size)
{
    const struct od_piece *piece = &vocab->pieces[id];
    *ret_size = piece->size;
    return od_buf_text(&vocab->text) + piece->at;
}

// The slot where the text is, or the empty one where it would go. The table is never full.
static uint32_t find_slot(const struct od_vocab *vocab, const char *text, size_t size)
{
    uint32_t slot = (uint32_t)od_xxh64(text, size, 0) & vocab->slot_mask;
    while (vocab->slots[slot] >= 0) {
        size_t have_size;
        const char *have = od_vocab_text(vocab, vocab->slots[slot], &have_size);
        if (have_size == size && memcmp(have, text, size) == 0) {
            break;
        }
        slot = (slot + 1) & vocab->slot_mask;
    }
    return slot;
}

int32_t od_vocab_find(const struct od_vocab *vocab, const char *text, size_t size)
{
    if (!vocab->slots || size > vocab->size_max) {
        return -1;
    }
    return vocab->slots[find_slot(vocab, text, size)];
}

// Keep the table at most half full.
static enum od_status grow_slots(struct od_vocab *vocab, struct od_error *err)
{
    const size_t have = vocab->slots ? (size_t)vocab->slot_mask + 1 : 0;
    if ((vocab->entries + 1) * 2 <= have) {
        return OD_OK;
    }
    const size_t count = have == 0 ? FIRST_SLOTS : have * 2;
    int32_t *slots = od_alloc(count, sizeof(*slots));
    if (!slots) {
        return od_fail(err, OD_E_MEMORY, "no memory for a table of %zu pieces", count);
    }
    memset(slots, 0xFF, count * sizeof(*slots));
    od_free(vocab->slots);
    vocab->slots = slots;
    vocab->slot_mask = (uint32_t)count - 1;
    for (int32_t id = 0; id < vocab->count; id++) {
        if (vocab->pieces[id].kind != OD_PIECE_NONE) {
            size_t size;
            const char *text = od_vocab_text(vocab, id, &size);
            slots[find_slot(vocab, text, size)] = id;
        }
    }
    return OD_OK;
}

static enum od_status grow_pieces(struct od_vocab *vocab, int32_t id, struct od_error *err)
{
    if (id < vocab->capacity) {
        return OD_OK;
    }
    int32_t capacity = vocab->capacity < FIRST_PIECES ? FIRST_PIECES : vocab->capacity;
    while (capacity <= id) {
        capacity *= 2;  // at most OD_TOKENIZER_VOCAB_MAX * 2
    }
    struct od_piece *pieces = od_realloc(vocab->pieces, (size_t)capacity, sizeof(*pieces));
    if (!pieces) {
        return od_fail(err, OD_E_MEMORY, "no memory for %d pieces", (int)capacity);
    }
    memset(pieces + vocab->capacity, 0,
           (size_t)(capacity - vocab->capacity) * sizeof(struct od_piece));
    vocab->pieces = pieces;
    vocab->capacity = capacity;
    return OD_OK;
}

enum od_status od_vocab_add(struct od_vocab *vocab, int64_t id, const char *text, size_t size,
                            enum od_piece_kind kind, struct od_error *err)
{
    if (id < 0 || id >= OD_TOKENIZER_VOCAB_MAX) {
        return od_fail(err, OD_E_LIMIT, "id %lld of piece '%.*s' is outside 0..%d", (long long)id,
                       size > 64 ? 64 : (int)size, text, OD_TOKENIZER_VOCAB_MAX - 1);
    }
    if (size > OD_TOKENIZER_PIECE_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "piece %lld has %zu bytes, more than %d", (long long)id,
                       size, (int)OD_TOKENIZER_PIECE_MAX_BYTES);
    }
    const int32_t index = (int32_t)id;
    enum od_status status = grow_pieces(vocab, index, err);
    if (status == OD_OK) {
        status = grow_slots(vocab, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (vocab->pieces[index].kind != OD_PIECE_NONE) {
        return od_fail(err, OD_E_FORMAT, "two pieces have id %d", (int)index);
    }
    const uint32_t slot = find_slot(vocab, text, size);
    if (vocab->slots[slot] >= 0) {
        return od_fail(err, OD_E_FORMAT, "pieces %d and %d are the same text '%.*s'",
                       (int)vocab->slots[slot], (int)index, size > 64 ? 64 : (int)size, text);
    }
    const uint32_t at = (uint32_t)vocab->text.size;  // below VOCAB_TEXT_MAX_BYTES
    od_buf_append(&vocab->text, text, size);
    status = od_buf_check(&vocab->text, err);
    if (status != OD_OK) {
        return status;
    }
    vocab->pieces[index] =
        (struct od_piece){.at = at, .size = (uint32_t)size, .kind = (uint8_t)kind};
    vocab->slots[slot] = index;
    vocab->entries++;
    vocab->count = index >= vocab->count ? index + 1 : vocab->count;
    vocab->size_max = size > vocab->size_max ? size : vocab->size_max;
    return OD_OK;
}
