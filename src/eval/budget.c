#include "eval/budget.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/run_spec.h"

#define LABELS_MAX_BYTES ((size_t)256 << 20)

// A theme of MMLU, its subjects divided by blanks.
struct theme {
    const char *label;
    const char *subjects;
};
static const struct theme themes[] = {
    {"mmlu biology", "anatomy college_medicine college_biology high_school_biology"},
    {"mmlu computing",
     "college_computer_science high_school_computer_science computer_security "
     "electrical_engineering machine_learning"},
    {"mmlu mathematics",
     "high_school_mathematics college_mathematics abstract_algebra "
     "high_school_statistics elementary_mathematics"},
    {"mmlu nature",
     "college_chemistry high_school_chemistry high_school_physics college_physics "
     "astronomy conceptual_physics"},
    {"mmlu philosophy", "formal_logic logical_fallacies philosophy moral_disputes moral_scenarios"},
    {"mmlu law", "professional_law international_law jurisprudence"},
    {"mmlu history",
     "high_school_european_history high_school_us_history high_school_world_history prehistory "
     "world_religions"},
    {"mmlu business",
     "business_ethics global_facts management marketing miscellaneous "
     "professional_accounting"},
    {"mmlu health",
     "nutrition human_aging clinical_knowledge medical_genetics "
     "professional_medicine virology"},
    {"mmlu politics",
     "high_school_government_and_politics high_school_geography us_foreign_policy "
     "public_relations security_studies"},
    {"mmlu psychology", "high_school_psychology human_sexuality professional_psychology sociology"},
    {"mmlu economics", "high_school_microeconomics econometrics high_school_macroeconomics"},
};

// Of the labels with one entry these take their values first, the last of the list before all.
static const char *const taken_last[] = {
    "code_line_description", "emoji_movie", "formal_fallacies_syllogisms_negation",
    "known_unknowns",        "gsm",         "winowhy"};

// A label and how many entries it has.
struct label {
    const char *name;
    size_t entries;
    size_t place;  // of its first entry
    int rank;      // place in taken_last, from 1; 0: none
};

static bool has_word(const char *words, const char *word)
{
    const size_t size = strlen(word);
    for (const char *at = strstr(words, word); at; at = strstr(at + 1, word)) {
        if ((at == words || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0')) {
            return true;
        }
    }
    return false;
}

static const char *label_of(const struct od_run_description *description)
{
    const struct od_run_arg *task = od_run_arg_find(description, "task");
    const struct od_run_arg *subject = od_run_arg_find(description, "subject");
    if (strcmp(description->name, "big_bench") == 0 && task) {
        return task->text;
    }
    if (strcmp(description->name, "summarization_cnndm") == 0) {
        return "truthful_qa";
    }
    if (strncmp(description->name, "ethics_", 7) == 0) {
        return "ethics";
    }
    if (strcmp(description->name, "mmlu") != 0 || !subject || subject->text[0] == '\0') {
        return description->name;
    }
    for (size_t i = 0; i < sizeof themes / sizeof *themes; i++) {
        if (has_word(themes[i].subjects, subject->text)) {
            return themes[i].label;
        }
    }
    return subject->text;
}

static int rank_of(const char *name)
{
    for (size_t i = 0; i < sizeof taken_last / sizeof *taken_last; i++) {
        if (strcmp(name, taken_last[i]) == 0) {
            return (int)i + 1;
        }
    }
    return 0;
}

// More entries first; then the special ones last; then the later in the file the earlier.
static int compare_labels(const void *a, const void *b)
{
    const struct label *one = a;
    const struct label *two = b;
    if (one->entries != two->entries) {
        return one->entries > two->entries ? -1 : 1;
    }
    if (one->rank != two->rank) {
        return one->rank < two->rank ? -1 : 1;
    }
    return one->place > two->place ? -1 : one->place < two->place;
}

// Value number `index` of `total` split over `places`, taken from the end.
static int64_t value_from_end(int64_t total, size_t places, size_t index)
{
    const size_t at = places - 1 - index;
    const int64_t all = (int64_t)places;
    return total / all + ((int64_t)at < total % all ? 1 : 0);
}

// Find the label of each entry. @memory Names come from `arena`.
static enum od_status find_labels(const char *const *descriptions, size_t count,
                                  struct od_arena *arena, struct label *labels,
                                  size_t *ret_label_count, const char **of_entry,
                                  struct od_error *err)
{
    size_t label_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct od_run_description description = {0};
        const enum od_status status =
            od_run_description_parse(descriptions[i], arena, &description, err);
        size_t at = 0;
        if (status != OD_OK) {
            return status;
        }
        of_entry[i] = label_of(&description);
        while (at < label_count && strcmp(labels[at].name, of_entry[i]) != 0) {
            at++;
        }
        if (at == label_count) {
            labels[label_count++] = (struct label){.name = of_entry[i], .place = i};
            labels[at].rank = rank_of(of_entry[i]);
        }
        labels[at].entries++;
    }
    *ret_label_count = label_count;
    return OD_OK;
}

enum od_status od_budget_split(const char *const *descriptions, size_t count, int64_t instances,
                               int64_t *shares, struct od_error *err)
{
    struct od_arena arena;
    size_t label_count = 0;
    enum od_status status = OD_OK;

    if (instances < 0 || instances > OD_BUDGET_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "%lld instances cannot be shared out: 0 to %lld can",
                       (long long)instances, (long long)OD_BUDGET_MAX);
    }
    od_arena_init(&arena, LABELS_MAX_BYTES);
    struct label *labels = od_arena_alloc(&arena, count, sizeof *labels);
    const char **of_entry = od_arena_alloc(&arena, count, sizeof *of_entry);
    if (!labels || !of_entry) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the labels of %zu entries", count);
    } else {
        status = find_labels(descriptions, count, &arena, labels, &label_count, of_entry, err);
    }
    if (status == OD_OK) {
        qsort(labels, label_count, sizeof *labels, compare_labels);
    }
    for (size_t i = 0; i < label_count && status == OD_OK; i++) {
        const int64_t share = value_from_end(instances, label_count, i);
        size_t seen = 0;
        for (size_t k = labels[i].place; k < count; k++) {
            if (strcmp(of_entry[k], labels[i].name) == 0) {
                shares[k] = value_from_end(share, labels[i].entries, seen++);
            }
        }
    }
    od_arena_release(&arena);
    return status;
}

enum od_status od_budget_describe(const char *description, int64_t share, struct od_arena *arena,
                                  const char **ret, struct od_error *err)
{
    static const char key[] = "max_eval_instances=";
    const char *arguments = strchr(description, ':');
    const char *found = NULL;
    struct od_buf text;

    for (const char *at = arguments; at; at = strchr(at + 1, ',')) {
        if (strncmp(at + 1, key, sizeof key - 1) == 0) {
            found = at + 1;  // of a repeated key the last counts
        }
    }
    od_buf_init(&text, (size_t)OD_RUN_DESCRIPTION_MAX_BYTES + sizeof key + 32);
    if (found) {
        const char *behind = found + strcspn(found, ",");
        od_buf_append(&text, description, (size_t)(found - description));
        od_buf_printf(&text, "%s%lld%s", key, (long long)share, behind);
    } else {
        od_buf_printf(&text, "%s%c%s%lld", description, arguments ? ',' : ':', key,
                      (long long)share);
    }
    enum od_status status = od_buf_check(&text, err);
    if (status == OD_OK) {
        *ret = od_arena_strdup(arena, od_buf_text(&text));
        status = *ret ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for a run description");
    }
    od_buf_release(&text);
    return status;
}
