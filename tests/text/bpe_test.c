// Random merge rules: the heap against a loop that looks for the best pair of the whole word each
// time, with and without cutting words where nothing can meet.

#include "text/bpe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "support.h"
#include "text/pairs.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { RULES = 60, WORDS = 40, WORD_MAX = 200, PIECE_MAX = 24, IDS_MAX = 1 << 20, TABLE = 512 };

// Merges as a list, for the loop.
struct rule {
    int32_t left;
    int32_t right;
    int32_t id;
};

struct rules {
    struct od_vocab vocab;
    struct od_bpe bpe;
    struct rule list[RULES];
    size_t count;
};

static void add_piece(struct rules *rules, const char *text, size_t size)
{
    struct od_error err = {0};
    assert_ok(od_vocab_add(&rules->vocab, rules->vocab.count, text, size, OD_PIECE_NORMAL, &err),
              &err);
}

static bool has_pair(const struct rules *rules, int32_t left, int32_t right)
{
    for (size_t i = 0; i < rules->count; i++) {
        if (rules->list[i].left == left && rules->list[i].right == right) {
            return true;
        }
    }
    return false;
}

// Random merges over a few letters; some pieces come from more than one merge.
static void make_rules(struct rules *rules, struct od_mt19937 *mt)
{
    static const char *const letters[] = {"a", "b", "c", "\xC3\xA9", "<0x64>", "?"};
    struct od_error err = {0};
    *rules = (struct rules){0};
    od_vocab_init(&rules->vocab);
    od_bpe_init(&rules->bpe, &rules->vocab);
    for (size_t i = 0; i < sizeof(letters) / sizeof(letters[0]); i++) {
        add_piece(rules, letters[i], strlen(letters[i]));
    }
    rules->bpe.byte_fallback = true;
    rules->bpe.unknown_id = 5;
    assert_ok(od_bpe_reserve(&rules->bpe, RULES, &err), &err);
    const size_t want = 1 + (size_t)od_py_randbelow(mt, RULES);
    for (size_t tries = 0; tries < (size_t)RULES * 4 && rules->count < want; tries++) {
        char text[2 * PIECE_MAX];
        size_t left_size;
        size_t right_size;
        const int32_t left = (int32_t)od_py_randbelow(mt, (uint64_t)rules->vocab.count);
        const int32_t right = (int32_t)od_py_randbelow(mt, (uint64_t)rules->vocab.count);
        const char *left_text = od_vocab_text(&rules->vocab, left, &left_size);
        const char *right_text = od_vocab_text(&rules->vocab, right, &right_size);
        if (left_size + right_size > PIECE_MAX || has_pair(rules, left, right)) {
            continue;
        }
        memcpy(text, left_text, left_size);
        memcpy(text + left_size, right_text, right_size);
        if (od_vocab_find(&rules->vocab, text, left_size + right_size) < 0) {
            add_piece(rules, text, left_size + right_size);
        }
        const int32_t id = od_vocab_find(&rules->vocab, text, left_size + right_size);
        od_bpe_add_merge(&rules->bpe, left, right, (uint32_t)rules->count, id);
        rules->list[rules->count++] = (struct rule){left, right, id};
    }
    assert_ok(od_bpe_finish(&rules->bpe, &err), &err);
}

// Ids of the characters. As in the reference, an unknown character waits until a known one or
// another unknown one comes, and bytes overtake it.
static size_t letters_of(const struct rules *rules, const char *word, size_t size, int32_t *ids)
{
    size_t count = 0;
    bool waits = false;
    for (size_t i = 0; i < size; i++) {
        const int32_t id = od_vocab_find(&rules->vocab, &word[i], 1);
        if (word[i] == 'd') {
            ids[count++] = 4;  // its byte piece
            continue;
        }
        if (waits) {
            ids[count++] = 5;
        }
        waits = id < 0;
        if (id >= 0) {
            ids[count++] = id;
        }
    }
    if (waits) {
        ids[count++] = 5;
    }
    return count;
}

// The definition: of all neighbours that have a rule, join the leftmost of the lowest rank.
static size_t merge_slowly(const struct rules *rules, const char *word, size_t size, int32_t *ids)
{
    size_t count = letters_of(rules, word, size, ids);
    for (;;) {
        size_t best = RULES;
        size_t at = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            for (size_t j = 0; j < best && j < rules->count; j++) {
                if (rules->list[j].left == ids[i] && rules->list[j].right == ids[i + 1]) {
                    best = j;
                    at = i;
                }
            }
        }
        if (best == RULES) {
            return count;
        }
        ids[at] = rules->list[best].id;
        memmove(&ids[at + 1], &ids[at + 2], (count - at - 2) * sizeof(*ids));
        count--;
    }
}

static void check_word(struct rules *rules, const char *word, size_t size, struct od_bpe_work *work)
{
    struct od_error err = {0};
    struct od_ids ids;
    int32_t want[WORD_MAX];
    const bool has_joints = rules->bpe.has_joints;
    const size_t count = merge_slowly(rules, word, size, want);
    od_ids_init(&ids, IDS_MAX);
    for (int i = 0; i < 2; i++) {
        rules->bpe.has_joints = has_joints && i == 0;
        od_ids_reset(&ids);
        assert_ok(od_bpe_encode(&rules->bpe, word, size, work, &ids, &err), &err);
        assert_int_equal(ids.count, count);
        assert_memory_equal(ids.data, want, count * sizeof(*want));
    }
    rules->bpe.has_joints = has_joints;
    od_ids_release(&ids);
}

static void test_random_rules(void **state)
{
    (void)state;
    struct od_mt19937 mt;
    struct od_bpe_work work = {0};
    size_t with_joints = 0;
    const uint64_t seed = test_seed();
    od_mt_seed_python_int(&mt, seed);
    for (int i = 0; i < TABLE; i++) {
        struct rules rules;
        make_rules(&rules, &mt);
        with_joints += rules.bpe.has_joints;
        for (int j = 0; j < WORDS / 8; j++) {
            char word[WORD_MAX];
            const size_t size = 1 + (size_t)od_py_randbelow(&mt, WORD_MAX - 1);
            for (size_t k = 0; k < size; k++) {
                word[k] = "aaabbccdz"[od_py_randbelow(&mt, 9)];
            }
            check_word(&rules, word, size, &work);
        }
        od_bpe_release(&rules.bpe);
        od_vocab_release(&rules.vocab);
    }
    assert_true(with_joints > TABLE / 4);
    od_bpe_work_release(&work);
}

// A byte piece that merges make as well ends in two ways, so nothing may be cut: "<0x64>" and "b"
// are joined although '>' and "b" never meet.
static void test_byte_piece_is_made(void **state)
{
    (void)state;
    static const char *const pieces[] = {"<",  "0",   "x",    "6",     "4",      ">",      "b",
                                         "<0", "<0x", "<0x6", "<0x64", "<0x64>", "<0x64>b"};
    static const int32_t merges[][3] = {{0, 1, 7},  {7, 2, 8},   {8, 3, 9},
                                        {9, 4, 10}, {10, 5, 11}, {11, 6, 12}};
    enum { REPEATS = 40 };
    struct od_error err = {0};
    struct rules rules = {0};
    struct od_bpe_work work = {0};
    struct od_ids ids;
    char word[2 * REPEATS];
    od_vocab_init(&rules.vocab);
    od_bpe_init(&rules.bpe, &rules.vocab);
    od_ids_init(&ids, IDS_MAX);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        add_piece(&rules, pieces[i], strlen(pieces[i]));
    }
    rules.bpe.byte_fallback = true;
    assert_ok(od_bpe_reserve(&rules.bpe, RULES, &err), &err);
    for (size_t i = 0; i < sizeof(merges) / sizeof(merges[0]); i++) {
        od_bpe_add_merge(&rules.bpe, merges[i][0], merges[i][1], (uint32_t)i, merges[i][2]);
    }
    assert_ok(od_bpe_finish(&rules.bpe, &err), &err);
    for (size_t i = 0; i < sizeof(word); i++) {
        word[i] = i % 2 == 0 ? 'd' : 'b';
    }
    assert_ok(od_bpe_encode(&rules.bpe, word, sizeof(word), &work, &ids, &err), &err);
    assert_int_equal(ids.count, REPEATS);
    assert_int_equal(ids.data[REPEATS - 1], 12);
    od_ids_release(&ids);
    od_bpe_work_release(&work);
    od_bpe_release(&rules.bpe);
    od_vocab_release(&rules.vocab);
}

static void test_pairs(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_pairs pairs = {0};
    assert_false(od_pairs_have(&pairs, 1, 2));
    for (uint32_t i = 0; i < 5000; i++) {
        assert_ok(od_pairs_add(&pairs, i % 100, i / 100 * 3, &err), &err);
        assert_ok(od_pairs_add(&pairs, i % 100, i / 100 * 3, &err), &err);
    }
    assert_int_equal(pairs.count, 5000);
    for (uint32_t i = 0; i < 100; i++) {
        for (uint32_t j = 0; j < 160; j++) {
            assert_int_equal(od_pairs_have(&pairs, i, j), j % 3 == 0 && j < 150);
        }
    }
    od_pairs_release(&pairs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_rules),
        cmocka_unit_test(test_byte_piece_is_made),
        cmocka_unit_test(test_pairs),
    };
    return cmocka_run_group_tests_name("bpe", tests, NULL, NULL);
}
