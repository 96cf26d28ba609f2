// Goal: neither a file of names nor a question can break the perturbations, and a variant of valid
// UTF-8 is valid UTF-8.
// Method: the first line of the input is a question, the rest a file of names.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/instance.h"
#include "eval/perturbations/perturb.h"
#include "eval/perturbations/tables.h"
#include "eval/perturbations/words.h"
#include "fuzz.h"

// Small tables: words that overlap, with blanks and in two alphabets.
static void fill(struct od_word_table *table)
{
    static const char *const variants[] = {"x", "Yy", "\u00df"};
    static const char *const words[] = {"the", "they", "a", "a little", "\u00e9t\u00e9", "b", "w/"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (od_word_table_add(table, words[i], variants, 3, NULL) != OD_OK) {
            __builtin_trap();
        }
    }
    if (od_word_table_seal(table, NULL) != OD_OK) {
        __builtin_trap();
    }
}

static void change(const struct od_perturbation_tables *tables, const char *text)
{
    struct od_reference reference = {.text = text, .correct = true};
    const struct od_instance instance = {
        .input = text, .references = &reference, .reference_count = 1, .id = "id7"};
    const bool valid = od_utf8_invalid_at(text, strlen(text)) == strlen(text);
    for (int kind = 0; kind < OD_PERTURB_COUNT; kind++) {
        struct od_arena arena;
        struct od_instance found = {0};
        od_arena_init(&arena, (size_t)1 << 26);
        if (od_perturb(tables, (enum od_perturbation_kind)kind, &instance, &arena, &found, NULL) ==
                OD_OK &&
            valid && od_utf8_invalid_at(found.input, strlen(found.input)) != strlen(found.input)) {
            __builtin_trap();
        }
        od_arena_release(&arena);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    const size_t line = end ? (size_t)(end - data) : size;
    struct od_perturbation_tables tables;
    struct od_buf text;

    od_perturbation_tables_init(&tables);
    od_buf_init(&text, (size_t)1 << 20);
    fill(&tables.contractions);
    fill(&tables.misspellings);
    fill(&tables.dialect);
    for (size_t i = 0; i < OD_PRONOUN_PASSES; i++) {
        fill(&tables.pronouns[i]);
    }
    od_buf_append(&text, data, line);
    const char *names = end ? (const char *)end + 1 : "";
    if (od_person_names_parse(&tables, names, end ? size - line - 1 : 0, "names", NULL) == OD_OK &&
        !text.failed) {
        change(&tables, od_buf_text(&text));
    }
    od_buf_release(&text);
    od_perturbation_tables_release(&tables);
    return 0;
}
