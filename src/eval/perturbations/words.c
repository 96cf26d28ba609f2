#include "eval/perturbations/words.h"

#include <stdint.h>
#include <string.h>
#include <utf8proc.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/python_text.h"

enum { BUCKETS = 4096, NO_CODE = 0x110000 };

void od_word_table_init(struct od_word_table *table, bool caseless)
{
    *table = (struct od_word_table){.caseless = caseless};
}

void od_word_table_release(struct od_word_table *table)
{
    od_free(table->next);
    od_free(table->buckets);
    od_free(table->items);
    *table = (struct od_word_table){0};
}

// What a character is compared as.
static uint32_t fold(bool caseless, uint32_t code)
{
    enum { CAPITAL_I_DOT = 0x130 };
    if (!caseless || code == CAPITAL_I_DOT) {
        return code;
    }
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

enum od_status od_word_table_add(struct od_word_table *table, const char *word,
                                 const char *const *variants, size_t variant_count,
                                 struct od_error *err)
{
    enum { FIRST = 64 };
    const size_t size = strlen(word);
    if (size == 0 || variant_count == 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' is empty or has nothing to stand for it", word);
    }
    if (table->count == OD_WORDS_MAX || variant_count > OD_WORD_VARIANTS_MAX) {
        return od_fail(err, OD_E_LIMIT, "'%s': more than %d words, or %d for one", word,
                       OD_WORDS_MAX, OD_WORD_VARIANTS_MAX);
    }
    if (table->count == table->capacity) {
        const size_t capacity = table->capacity == 0 ? FIRST : table->capacity * 2;
        struct od_word *items = od_realloc(table->items, capacity, sizeof *items);
        if (!items) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu words", capacity);
        }
        table->items = items;
        table->capacity = capacity;
    }
    struct od_word *item = &table->items[table->count];
    *item = (struct od_word){.variants = variants, .variant_count = variant_count};
    for (size_t at = 0; at < size; item->count++) {
        uint32_t code = 0;
        if (item->count == OD_WORD_CODES_MAX) {
            return od_fail(err, OD_E_LIMIT, "'%s' has more than %d characters", word,
                           OD_WORD_CODES_MAX);
        }
        at += od_python_next(word + at, size - at, &code);
        item->codes[item->count] = fold(table->caseless, code);
    }
    table->count++;
    return OD_OK;
}

// Words of one character have a bucket of their own, whatever follows them.
static size_t bucket_of(uint32_t first, uint32_t second)
{
    return (first * 31U + second) % BUCKETS;
}

static size_t bucket_of_word(const struct od_word *word)
{
    return bucket_of(word->codes[0], word->count > 1 ? word->codes[1] : NO_CODE);
}

enum od_status od_word_table_seal(struct od_word_table *table, struct od_error *err)
{
    table->buckets = od_alloc(BUCKETS, sizeof *table->buckets);
    table->next = od_alloc(table->count, sizeof *table->next);
    if (!table->buckets || !table->next) {
        return od_fail(err, OD_E_MEMORY, "no memory for a table of %zu words", table->count);
    }
    memset(table->buckets, 0, BUCKETS * sizeof *table->buckets);
    for (size_t i = table->count; i > 0; i--) {  // backwards, so that chains run forwards
        size_t *head = &table->buckets[bucket_of_word(&table->items[i - 1])];
        table->next[i - 1] = *head;
        *head = i;
    }
    return OD_OK;
}

// A text as code points.
struct passage {
    const char *text;
    size_t count;
    uint32_t *codes;   // [count]
    uint32_t *folded;  // [count]
    size_t *at;        // [count + 1] offsets in `text`
};

static void passage_release(struct passage *passage)
{
    od_free(passage->codes);
    od_free(passage->folded);
    od_free(passage->at);
}

static enum od_status passage_init(struct passage *passage, bool caseless, const char *text,
                                   size_t size, struct od_error *err)
{
    *passage = (struct passage){.text = text,
                                .codes = od_alloc(size + 1, sizeof *passage->codes),
                                .folded = od_alloc(size + 1, sizeof *passage->folded),
                                .at = od_alloc(size + 1, sizeof *passage->at)};
    if (!passage->codes || !passage->folded || !passage->at) {
        passage_release(passage);
        return od_fail(err, OD_E_MEMORY, "no memory for a text of %zu bytes", size);
    }
    size_t at = 0;
    while (at < size) {
        uint32_t code = 0;
        passage->at[passage->count] = at;
        at += od_python_next(text + at, size - at, &code);
        passage->codes[passage->count] = code;
        passage->folded[passage->count] = fold(caseless, code);
        passage->count++;
    }
    passage->at[passage->count] = size;
    return OD_OK;
}

// Python's `\b` before character `at`.
static bool is_border(const struct passage *passage, size_t at)
{
    const bool before = at > 0 && od_python_is_word(passage->codes[at - 1]);
    const bool behind = at < passage->count && od_python_is_word(passage->codes[at]);
    return before != behind;
}

static bool is_neighbour(const struct passage *passage, size_t at, enum od_word_edge edge)
{
    return at < passage->count && !od_python_is_word(passage->codes[at]) &&
           (edge == OD_EDGE_NOT_WORD || passage->codes[at] != '-');
}

static bool has_neighbours(enum od_word_edge edge)
{
    return edge == OD_EDGE_NOT_WORD || edge == OD_EDGE_NOT_HYPHEN;
}

// Whether a word may start at character `at`.
static bool may_start(const struct passage *passage, size_t at, enum od_word_edge edge)
{
    return has_neighbours(edge) ? at > 0 && is_neighbour(passage, at - 1, edge)
                                : is_border(passage, at);
}

static bool may_end(const struct passage *passage, size_t at, enum od_word_edge edge)
{
    if (has_neighbours(edge)) {
        return is_neighbour(passage, at, edge);
    }
    return is_border(passage, at) &&
           (edge == OD_EDGE_BORDER || (at < passage->count && passage->codes[at] == ' '));
}

static bool fits(const struct passage *passage, size_t at, const struct od_word *word,
                 enum od_word_edge edge)
{
    return word->count <= passage->count - at &&
           memcmp(passage->folded + at, word->codes, word->count * sizeof *word->codes) == 0 &&
           may_end(passage, at + word->count, edge);
}

// The first word of the table that stands at character `at`, or NULL.
static const struct od_word *find(const struct od_word_rule *rule, const struct passage *passage,
                                  size_t at)
{
    const struct od_word_table *table = rule->table;
    const uint32_t second = at + 1 < passage->count ? passage->folded[at + 1] : NO_CODE;
    size_t one = table->buckets[bucket_of(passage->folded[at], NO_CODE)];
    size_t two = second == NO_CODE ? 0 : table->buckets[bucket_of(passage->folded[at], second)];
    if (one == two) {
        two = 0;
    }
    while (one > 0 || two > 0) {
        const bool from_one = two == 0 || (one > 0 && one < two);
        size_t *head = from_one ? &one : &two;
        const struct od_word *word = &table->items[*head - 1];
        *head = table->next[*head - 1];
        if (fits(passage, at, word, rule->edge)) {
            return word;
        }
    }
    return NULL;
}

void od_match_case(const char *source, size_t source_size, const char *target, struct od_buf *out)
{
    bool lower = true;
    bool upper = true;
    bool capital = false;
    for (size_t at = 0; at < source_size;) {
        uint32_t code = 0;
        const size_t length = od_python_next(source + at, source_size - at, &code);
        lower = lower && od_python_is_lower(code);
        upper = upper && od_python_is_upper(code);
        capital = capital || (at == 0 && od_python_is_upper(code));
        at += length;
    }
    if (lower) {
        od_python_lower(target, strlen(target), out);
    } else if (upper) {
        od_python_upper(target, strlen(target), out);
    } else if (capital) {
        od_python_capitalize(target, strlen(target), out);
    } else {
        od_buf_puts(out, target);
    }
}

static void put_word(const struct od_word_rule *rule, const struct od_word *word,
                     const char *source, size_t size, struct od_mt19937 *mt, struct od_buf *out)
{
    size_t chosen = 0;
    if (rule->draws && !(od_py_random(mt) < rule->probability)) {
        od_buf_append(out, source, size);
        return;
    }
    if (rule->chooses) {
        chosen = (size_t)od_py_randbelow(mt, word->variant_count);
    }
    od_match_case(source, size, word->variants[chosen], out);
}

enum od_status od_words_replace(const struct od_word_rule *rule, const char *text, size_t size,
                                struct od_mt19937 *mt, struct od_buf *out, struct od_error *err)
{
    struct passage passage = {0};
    size_t free_from = 0;  // characters before it belong to an earlier match
    const size_t before = has_neighbours(rule->edge) ? 1 : 0;
    const size_t behind = rule->edge == OD_EDGE_BORDER ? 0 : 1;
    const enum od_status status = passage_init(&passage, rule->table->caseless, text, size, err);

    if (status != OD_OK) {
        return status;
    }
    for (size_t at = 0; at < passage.count;) {
        const struct od_word *word = at >= free_from + before && may_start(&passage, at, rule->edge)
                                         ? find(rule, &passage, at)
                                         : NULL;
        const size_t end = word ? at + word->count : at + 1;
        const char *source = text + passage.at[at];
        if (word) {
            put_word(rule, word, source, passage.at[end] - passage.at[at], mt, out);
            free_from = end + behind;
        } else {
            od_buf_append(out, source, passage.at[end] - passage.at[at]);
        }
        at = end;
    }
    passage_release(&passage);
    return OD_OK;
}
