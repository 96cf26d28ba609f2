// Goal: packs hold every document exactly once, never more than they can, never cut, and are a
// function of (documents, seed, epoch) alone; a micro batch never lets a document see another.
// Method: documents of random lengths (a failing seed is printed), counted and compared.
#include "data/pack.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "data/dataset.h"
#include "support.h"

enum { STREAM_LENGTH = 1, STREAM_LABEL = 2 };

// Documents of the given lengths; ids are 1000 * document + place, labels are drawn.
static void make_documents(struct od_dataset *dataset, const int64_t *length, int64_t count,
                           uint64_t seed)
{
    int64_t tokens = 0;
    for (int64_t i = 0; i < count; i++) {
        tokens += length[i];
    }
    *dataset = (struct od_dataset){.count = count};
    dataset->ids = od_alloc((size_t)tokens, sizeof *dataset->ids);
    dataset->label = od_alloc((size_t)tokens, sizeof *dataset->label);
    dataset->offset = od_alloc((size_t)count + 1, sizeof *dataset->offset);
    assert_non_null(dataset->ids);
    assert_non_null(dataset->label);
    assert_non_null(dataset->offset);
    for (int64_t i = 0; i < count; i++) {
        dataset->offset[i + 1] = dataset->offset[i] + length[i];
        for (int64_t k = 0; k < length[i]; k++) {
            const int64_t at = dataset->offset[i] + k;
            dataset->ids[at] = (int32_t)(1000 * i + k);
            dataset->label[at] =
                k > 0 && (od_philox_draw(seed, STREAM_LABEL, 0, (uint64_t)at).word[0] & 1) != 0;
            dataset->label_count += dataset->label[at];
        }
    }
}

static void free_documents(struct od_dataset *dataset)
{
    od_free(dataset->ids);
    od_free(dataset->label);
    od_free(dataset->offset);
    *dataset = (struct od_dataset){0};
}

static void random_documents(struct od_dataset *dataset, int64_t count, int64_t longest,
                             uint64_t seed)
{
    int64_t *length = od_alloc((size_t)count, sizeof *length);
    assert_non_null(length);
    for (int64_t i = 0; i < count; i++) {
        const uint32_t word = od_philox_draw(seed, STREAM_LENGTH, 0, (uint64_t)i).word[0];
        length[i] = 1 + (int64_t)(word % (uint32_t)longest);
    }
    make_documents(dataset, length, count, seed);
    od_free(length);
}

static int64_t pack_tokens(const struct od_dataset *dataset, const struct od_packs *packs,
                           int64_t pack)
{
    int64_t tokens = 0;
    for (int64_t d = packs->first[pack]; d < packs->first[pack + 1]; d++) {
        tokens += dataset->offset[packs->doc[d] + 1] - dataset->offset[packs->doc[d]];
    }
    return tokens;
}

// Every document once, no pack empty or too full.
static void check_packs(const struct od_dataset *dataset, const struct od_packs *packs,
                        int64_t capacity, uint64_t seed)
{
    unsigned char *seen = od_alloc((size_t)dataset->count, 1);
    int64_t tokens = 0;
    assert_non_null(seen);
    assert_int_equal(packs->first[0], 0);
    assert_int_equal(packs->first[packs->count], dataset->count);
    for (int64_t p = 0; p < packs->count; p++) {
        const int64_t size = pack_tokens(dataset, packs, p);
        if (size < 1 || size > capacity) {
            fail_msg("seed %" PRIu64 ": pack %" PRId64 " has %" PRId64 " of %" PRId64 " tokens",
                     seed, p, size, capacity);
        }
        tokens += size;
    }
    for (int64_t d = 0; d < dataset->count; d++) {
        if (packs->doc[d] < 0 || packs->doc[d] >= dataset->count || seen[packs->doc[d]]++ > 0) {
            fail_msg("seed %" PRIu64 ": document %" PRId64 " comes twice", seed, packs->doc[d]);
        }
    }
    assert_int_equal(tokens, packs->tokens);
    od_free(seen);
}

static bool same_packs(const struct od_packs *a, const struct od_packs *b)
{
    return a->count == b->count && a->tokens == b->tokens &&
           memcmp(a->first, b->first, (size_t)(a->count + 1) * sizeof *a->first) == 0 &&
           memcmp(a->doc, b->doc, (size_t)a->first[a->count] * sizeof *a->doc) == 0;
}

static void every_document_once(void **state)
{
    (void)state;
    struct od_error err = {0};
    for (uint64_t round = 0; round < 300; round++) {
        const uint64_t seed = test_seed() + round;
        const struct od_philox draw = od_philox_draw(seed, 0, 0, 0);
        const int64_t longest = 1 + draw.word[0] % 300;
        const int64_t capacity = longest + draw.word[1] % 600;
        struct od_dataset dataset;
        struct od_packs packs = {0};
        struct od_packs again = {0};
        random_documents(&dataset, 1 + draw.word[2] % 400, longest, seed);
        const bool packing = draw.word[3] % 8 != 0;
        assert_ok(od_packs_make(&dataset, capacity, packing, seed, 3, &packs, &err), &err);
        check_packs(&dataset, &packs, capacity, seed);
        if (!packing) {
            assert_int_equal(packs.count, dataset.count);
        }
        assert_ok(od_packs_make(&dataset, capacity, packing, seed, 3, &again, &err), &err);
        assert_true(same_packs(&packs, &again));
        od_packs_release(&packs);
        od_packs_release(&again);
        free_documents(&dataset);
    }
}

static void orders_differ(void **state)
{
    (void)state;
    struct od_error err = {0};
    for (int packing = 0; packing < 2; packing++) {
        struct od_dataset dataset;
        struct od_packs first = {0};
        struct od_packs epoch = {0};
        struct od_packs seed = {0};
        random_documents(&dataset, 500, 40, 9);
        assert_ok(od_packs_make(&dataset, 64, packing != 0, 5, 0, &first, &err), &err);
        assert_ok(od_packs_make(&dataset, 64, packing != 0, 5, 1, &epoch, &err), &err);
        assert_ok(od_packs_make(&dataset, 64, packing != 0, 6, 0, &seed, &err), &err);
        assert_false(same_packs(&first, &epoch));
        assert_false(same_packs(&first, &seed));
        od_packs_release(&first);
        od_packs_release(&epoch);
        od_packs_release(&seed);
        free_documents(&dataset);
    }
}

static void short_documents_fill(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_dataset dataset;
    struct od_packs packs = {0};
    random_documents(&dataset, 70000, 500, 4);  // more than one window
    assert_true(dataset.count > OD_PACK_WINDOW);
    assert_ok(od_packs_make(&dataset, 2048, true, 1, 0, &packs, &err), &err);
    check_packs(&dataset, &packs, 2048, 4);
    const double fill = (double)packs.tokens / ((double)packs.count * 2048.0);
    (void)printf("# fill %.5f in %lld packs\n", fill, (long long)packs.count);
    assert_true(fill >= 0.995);
    od_packs_release(&packs);
    free_documents(&dataset);
}

// Four documents that fill two packs only when each goes where it fits best.
static void best_fit(void **state)
{
    (void)state;
    struct od_error err = {0};
    static const int64_t lengths[] = {7, 6, 4, 3};
    struct od_dataset dataset;
    make_documents(&dataset, lengths, 4, 0);
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct od_packs packs = {0};
        assert_ok(od_packs_make(&dataset, 10, true, seed, 0, &packs, &err), &err);
        assert_int_equal(packs.count, 2);
        od_packs_release(&packs);
    }
    free_documents(&dataset);
}

static void what_does_not_fit(void **state)
{
    (void)state;
    struct od_error err = {0};
    static const int64_t lengths[] = {3, 9, 2};
    static const int64_t hole[] = {3, 0, 2};
    struct od_dataset dataset;
    struct od_packs packs = {0};
    make_documents(&dataset, lengths, 3, 0);
    assert_int_equal(od_packs_make(&dataset, 8, true, 0, 0, &packs, &err), OD_E_LIMIT);
    assert_string_equal(err.message,
                        "document 1 has 9 tokens, a pack holds 8: raise sequence_len "
                        "or shorten the document");
    assert_int_equal(od_packs_make(&dataset, 0, true, 0, 0, &packs, &err), OD_E_ARGUMENT);
    assert_int_equal(
        od_packs_make(&dataset, (int64_t)OD_PACK_CAPACITY_MAX + 1, true, 0, 0, &packs, &err),
        OD_E_ARGUMENT);
    free_documents(&dataset);
    make_documents(&dataset, hole, 3, 0);
    assert_int_equal(od_packs_make(&dataset, 8, true, 0, 0, &packs, &err), OD_E_ARGUMENT);
    dataset.count = 0;
    assert_int_equal(od_packs_make(&dataset, 8, true, 0, 0, &packs, &err), OD_E_ARGUMENT);
    assert_null(packs.first);
    free_documents(&dataset);
}

static void without_memory(void **state)
{
    (void)state;
    struct od_error err = {0};
    static const int64_t lengths[] = {3, 5, 2};
    struct od_dataset dataset;
    struct od_packs packs = {0};
    make_documents(&dataset, lengths, 3, 0);
    uint64_t failures = 0;
    for (uint64_t n = 1;; n++) {
        od_alloc_fail_at(n);
        const enum od_status status = od_packs_make(&dataset, 8, true, 0, 0, &packs, &err);
        od_alloc_fail_at(0);
        if (status == OD_OK) {
            break;
        }
        assert_int_equal(status, OD_E_MEMORY);
        assert_null(packs.first);
        failures++;
    }
    assert_int_equal(failures, 10);
    od_packs_release(&packs);
    free_documents(&dataset);
}

/** A micro batch of 64 tokens with its memory. */
struct batch_memory {
    struct od_micro_batch batch;
    int32_t ids[64];
    int32_t positions[64];
    int32_t targets[64];
    int32_t segment_start[65];
};

static void batch_init(struct batch_memory *m)
{
    m->batch = (struct od_micro_batch){.ids = m->ids,
                                       .positions = m->positions,
                                       .targets = m->targets,
                                       .segment_start = m->segment_start};
    od_micro_batch_reset(&m->batch);
}

// Everything of one batch by hand: two documents {10, 11, 12} and {20, 21}, all but 11 learned.
static void batch_by_hand(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct batch_memory m;
    int32_t ids[] = {10, 11, 12, 20, 21};
    uint8_t label[] = {1, 0, 1, 1, 1};  // a label on a first token counts for nothing
    int64_t offset[] = {0, 3, 5};
    int64_t first[] = {0, 2};
    int64_t doc[] = {0, 1};
    const struct od_dataset dataset = {.ids = ids, .label = label, .offset = offset, .count = 2};
    const struct od_packs packs = {.count = 1, .first = first, .doc = doc, .tokens = 5};
    batch_init(&m);
    assert_ok(od_micro_batch_add(&m.batch, 64, &dataset, &packs, 0, &err), &err);
    static const int32_t want_positions[] = {0, 1, 2, 0, 1};
    static const int32_t want_targets[] = {-1, 12, -1, 21, -1};
    static const int32_t want_segments[] = {0, 3, 5};
    assert_int_equal(m.batch.tokens, 5);
    assert_int_equal(m.batch.segments, 2);
    assert_int_equal(m.batch.label_count, 2);
    assert_int_equal(od_packs_label_count(&dataset, &packs, 0), 2);
    assert_memory_equal(m.ids, ids, sizeof ids);
    assert_memory_equal(m.positions, want_positions, sizeof want_positions);
    assert_memory_equal(m.targets, want_targets, sizeof want_targets);
    assert_memory_equal(m.segment_start, want_segments, sizeof want_segments);
}

// Targets are the next id of the same document; what does not fit leaves the batch as it was.
static void batches_of_random_packs(void **state)
{
    (void)state;
    struct od_error err = {0};
    for (uint64_t round = 0; round < 50; round++) {
        const uint64_t seed = test_seed() + round;
        struct od_dataset dataset;
        struct od_packs packs = {0};
        struct batch_memory m;
        int64_t labels = 0;
        random_documents(&dataset, 60, 20, seed);
        assert_ok(od_packs_make(&dataset, 32, true, seed, 0, &packs, &err), &err);
        for (int64_t p = 0; p + 1 < packs.count; p += 2) {
            batch_init(&m);
            assert_ok(od_micro_batch_add(&m.batch, 64, &dataset, &packs, p, &err), &err);
            labels += m.batch.label_count;
            assert_int_equal(m.batch.label_count, od_packs_label_count(&dataset, &packs, p));
            const int64_t tokens = m.batch.tokens;
            assert_int_equal(od_micro_batch_add(&m.batch, tokens, &dataset, &packs, p + 1, &err),
                             OD_E_LIMIT);
            assert_int_equal(m.batch.tokens, tokens);
            assert_ok(od_micro_batch_add(&m.batch, 64, &dataset, &packs, p + 1, &err), &err);
            labels += od_packs_label_count(&dataset, &packs, p + 1);
            for (int64_t s = 0; s < m.batch.segments; s++) {
                const int32_t end = m.segment_start[s + 1];
                for (int32_t i = m.segment_start[s]; i < end; i++) {
                    assert_int_equal(m.positions[i], i - m.segment_start[s]);
                    assert_true(m.targets[i] == -1 ||
                                (i + 1 < end && m.targets[i] == m.ids[i + 1]));
                    assert_int_equal(m.ids[i] % 1000, m.positions[i]);
                }
            }
        }
        if (packs.count % 2 == 1) {
            labels += od_packs_label_count(&dataset, &packs, packs.count - 1);
        }
        assert_int_equal(labels, dataset.label_count);
        assert_int_equal(od_micro_batch_add(&m.batch, 64, &dataset, &packs, packs.count, &err),
                         OD_E_ARGUMENT);
        od_packs_release(&packs);
        free_documents(&dataset);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_document_once),  cmocka_unit_test(orders_differ),
        cmocka_unit_test(short_documents_fill), cmocka_unit_test(best_fit),
        cmocka_unit_test(what_does_not_fit),    cmocka_unit_test(without_memory),
        cmocka_unit_test(batch_by_hand),        cmocka_unit_test(batches_of_random_packs),
    };
    return cmocka_run_group_tests_name("data/pack", tests, NULL, NULL);
}
