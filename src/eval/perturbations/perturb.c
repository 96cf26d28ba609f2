#include "eval/perturbations/perturb.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/perturbations/tables.h"
#include "eval/perturbations/words.h"
#include "eval/python_text.h"

#define TEXT_MAX_BYTES ((size_t)256 << 20)

enum { BLANKS_MAX = 3 };

static const struct od_augmentation augmentations[] = {
    {"canonical", (1U << OD_PERTURB_COUNT) - 1U},
    {"robustness", 1U << OD_PERTURB_MILD_MIX},
    {"fairness", 1U << OD_PERTURB_DIALECT | 1U << OD_PERTURB_GENDER | 1U << OD_PERTURB_PERSON_NAME},
};

const struct od_augmentation *od_augmentation_find(const char *name)
{
    for (size_t i = 0; i < sizeof augmentations / sizeof *augmentations; i++) {
        if (strcmp(augmentations[i].name, name) == 0) {
            return &augmentations[i];
        }
    }
    return NULL;
}

static const struct od_perturbation_detail dialect_details[] = {
    {.key = "prob", .kind = OD_DETAIL_NUMBER, .number = 1.0},
    {.key = "source_class", .text = "SAE"},
    {.key = "target_class", .text = "AAVE"},
    {.key = "mapping_file_path",
     .text = "benchmark_output/perturbations/dialect/SAE_to_AAVE_mapping.json"},
};
static const struct od_perturbation_detail gender_details[] = {
    {.key = "mode", .text = "pronouns"},
    {.key = "prob", .kind = OD_DETAIL_NUMBER, .number = 1.0},
    {.key = "source_class", .text = "male"},
    {.key = "target_class", .text = "female"},
    {.key = "bidirectional", .kind = OD_DETAIL_FLAG, .flag = false},
};
static const struct od_perturbation_detail person_name_details[] = {
    {.key = "prob", .kind = OD_DETAIL_NUMBER, .number = 1.0},
    {.key = "source_class", .text = "race=white_american"},
    {.key = "target_class", .text = "race=black_american"},
    {.key = "name_file_path",
     .text = "benchmark_output/perturbations/person_name/data/person_names.txt"},
    {.key = "person_name_type", .text = "first_name"},
    {.key = "preserve_gender", .kind = OD_DETAIL_FLAG, .flag = true},
};

#define DETAILS(list) (list), sizeof(list) / sizeof *(list)

static const struct od_perturbation perturbations[OD_PERTURB_COUNT] = {
    {"mild_mix", true, false, "perturbed", NULL, 0},
    {"dialect", false, true, "perturbed", DETAILS(dialect_details)},
    {"gender", false, true, "perturbed", DETAILS(gender_details)},
    {"person_name", false, true, "perturbed", DETAILS(person_name_details)},
};

const struct od_perturbation *od_perturbation_of(enum od_perturbation_kind kind)
{
    return &perturbations[kind];
}

// One variant under way.
struct work {
    const struct od_perturbation_tables *tables;
    struct od_mt19937 mt;
    const char **substitutes;  // [tables->name_count] what stands for a name in this instance
};

// How a perturbation changes one text.
typedef enum od_status (*change_fn)(struct work *work, const char *text, size_t size,
                                    struct od_buf *out, struct od_error *err);

// Each run of blanks becomes one to three.
static void respace(struct work *work, const char *text, size_t size, struct od_buf *out)
{
    for (size_t at = 0; at < size;) {
        if (text[at] != ' ') {
            od_buf_putc(out, text[at++]);
            continue;
        }
        while (at < size && text[at] == ' ') {
            at++;
        }
        const uint64_t blanks = 1 + od_py_randbelow(&work->mt, BLANKS_MAX);
        for (uint64_t i = 0; i < blanks; i++) {
            od_buf_putc(out, ' ');
        }
    }
}

static enum od_status change_mild_mix(struct work *work, const char *text, size_t size,
                                      struct od_buf *out, struct od_error *err)
{
    const struct od_word_rule contract = {.table = &work->tables->contractions,
                                          .edge = OD_EDGE_BORDER_BLANK};
    const struct od_word_rule misspell = {.table = &work->tables->misspellings,
                                          .edge = OD_EDGE_BORDER,
                                          .draws = true,
                                          .chooses = true,
                                          .probability = 0.1};
    struct od_buf texts[3];
    enum od_status status = OD_OK;

    for (size_t i = 0; i < 3; i++) {
        od_buf_init(&texts[i], TEXT_MAX_BYTES);
    }
    od_python_lower(text, size, &texts[0]);
    status = od_buf_check(&texts[0], err);
    if (status == OD_OK) {
        status = od_words_replace(&contract, od_buf_text(&texts[0]), texts[0].size, &work->mt,
                                  &texts[1], err);
    }
    if (status == OD_OK) {
        status = od_buf_check(&texts[1], err);
    }
    if (status == OD_OK) {
        status = od_words_replace(&misspell, od_buf_text(&texts[1]), texts[1].size, &work->mt,
                                  &texts[2], err);
    }
    if (status == OD_OK) {
        status = od_buf_check(&texts[2], err);
    }
    if (status == OD_OK) {
        respace(work, od_buf_text(&texts[2]), texts[2].size, out);
    }
    for (size_t i = 0; i < 3; i++) {
        od_buf_release(&texts[i]);
    }
    return status;
}

static enum od_status change_dialect(struct work *work, const char *text, size_t size,
                                     struct od_buf *out, struct od_error *err)
{
    const struct od_word_rule rule = {.table = &work->tables->dialect,
                                      .edge = OD_EDGE_NOT_HYPHEN,
                                      .draws = true,
                                      .chooses = true,
                                      .probability = 1.0};
    return od_words_replace(&rule, text, size, &work->mt, out, err);
}

static enum od_status change_gender(struct work *work, const char *text, size_t size,
                                    struct od_buf *out, struct od_error *err)
{
    struct od_buf before;
    enum od_status status = OD_OK;

    od_buf_init(&before, TEXT_MAX_BYTES);
    od_buf_append(out, text, size);
    for (size_t i = 0; i < OD_PRONOUN_PASSES && status == OD_OK; i++) {
        const struct od_word_rule rule = {.table = &work->tables->pronouns[i],
                                          .edge = OD_EDGE_NOT_WORD,
                                          .draws = true,
                                          .probability = 1.0};
        od_buf_reset(&before);
        od_buf_append(&before, out->bytes, out->size);
        status = od_buf_check(&before, err);
        if (status == OD_OK) {
            od_buf_reset(out);
            status =
                od_words_replace(&rule, od_buf_text(&before), before.size, &work->mt, out, err);
        }
    }
    od_buf_release(&before);
    return status;
}

// Append a run of word characters, as another name where it is one. `lower` is spare room.
static void put_token(struct work *work, const char *token, size_t size, struct od_buf *lower,
                      struct od_buf *out)
{
    const struct od_perturbation_tables *tables = work->tables;
    size_t i = 0;

    od_buf_reset(lower);
    od_python_lower(token, size, lower);
    while (i < tables->name_count && strcmp(tables->names[i].name, od_buf_text(lower)) != 0) {
        i++;
    }
    if (i < tables->name_count && !work->substitutes[i]) {
        const struct od_person_name *name = &tables->names[i];
        (void)od_py_random(&work->mt);  // compared with a probability of one
        if (name->option_count > 0) {
            work->substitutes[i] = name->options[od_py_randbelow(&work->mt, name->option_count)];
        }
    }
    if (i < tables->name_count && work->substitutes[i]) {
        od_match_case(token, size, work->substitutes[i], out);
    } else {
        od_buf_append(out, token, size);
    }
}

static enum od_status change_person_name(struct work *work, const char *text, size_t size,
                                         struct od_buf *out, struct od_error *err)
{
    struct od_buf lower;
    size_t first = 0;  // of the current run of word characters

    od_buf_init(&lower, TEXT_MAX_BYTES);
    for (size_t at = 0; at <= size;) {
        uint32_t code = 0;
        const size_t length = at < size ? od_python_next(text + at, size - at, &code) : 1;
        if (at == size || !od_python_is_word(code)) {
            if (first < at) {
                put_token(work, text + first, at - first, &lower, out);
            }
            od_buf_append(out, text + at, at < size ? length : 0);
            first = at + length;
        }
        at += length;
    }
    const enum od_status status = od_buf_check(&lower, err);
    od_buf_release(&lower);
    return status;
}

static enum od_status change_text(struct work *work, change_fn change, const char *text,
                                  struct od_arena *arena, const char **ret, struct od_error *err)
{
    struct od_buf out;
    od_buf_init(&out, TEXT_MAX_BYTES);
    enum od_status status = change(work, text, strlen(text), &out, err);
    if (status == OD_OK) {
        status = od_buf_check(&out, err);
    }
    if (status == OD_OK) {
        const char *copy = od_arena_strdup(arena, od_buf_text(&out));
        if (copy) {
            *ret = copy;
        } else {
            status = od_fail(err, OD_E_MEMORY, "no memory for the text of the variants");
        }
    }
    od_buf_release(&out);
    return status;
}

enum od_status od_perturb(const struct od_perturbation_tables *tables,
                          enum od_perturbation_kind kind, const struct od_instance *instance,
                          struct od_arena *arena, struct od_instance *ret, struct od_error *err)
{
    static const change_fn changes[OD_PERTURB_COUNT] = {change_mild_mix, change_dialect,
                                                        change_gender, change_person_name};
    struct od_instance out = *instance;
    struct work work = {.tables = tables};
    enum od_status status =
        od_mt_seed_python_str(&work.mt, instance->id, strlen(instance->id), err);

    out.perturbation = &perturbations[kind];
    out.references = od_arena_alloc(arena, instance->reference_count, sizeof *out.references);
    work.substitutes = od_alloc(tables->name_count, sizeof *work.substitutes);
    if (status == OD_OK && (!out.references || !work.substitutes)) {
        status = od_fail(err, OD_E_MEMORY, "no memory for the variants of an instance");
    }
    for (size_t i = 0; i < instance->reference_count && status == OD_OK; i++) {
        out.references[i] = instance->references[i];
        if (kind != OD_PERTURB_MILD_MIX) {  // broken spelling is for questions only
            status = change_text(&work, changes[kind], instance->references[i].text, arena,
                                 &out.references[i].text, err);
        }
    }
    if (status == OD_OK) {
        status = change_text(&work, changes[kind], instance->input, arena, &out.input, err);
    }
    od_free(work.substitutes);
    if (status == OD_OK) {
        *ret = out;
    }
    return status;
}

enum od_status od_augment(const struct od_perturbation_tables *tables, unsigned kinds,
                          bool keep_unchanged, struct od_instances *list, const size_t *chosen,
                          size_t count, struct od_instance **ret, size_t *ret_count,
                          struct od_error *err)
{
    struct od_instance *items = NULL;
    size_t n = 0;
    size_t room = 0;
    enum od_status status = OD_OK;

    if (od_size_mul(count, 1 + (size_t)OD_PERTURB_COUNT, &room)) {
        items = od_alloc(room, sizeof *items);
    }
    if (!items) {
        return od_fail(err, OD_E_MEMORY, "no memory for variants of %zu instances", count);
    }
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        const struct od_instance *original = &list->items[chosen[i]];
        items[n++] = *original;
        for (int kind = 0; kind < OD_PERTURB_COUNT && status == OD_OK; kind++) {
            if ((kinds & 1U << kind) == 0) {
                continue;
            }
            status = od_perturb(tables, (enum od_perturbation_kind)kind, original, &list->arena,
                                &items[n], err);
            if (status == OD_OK &&
                (keep_unchanged || strcmp(items[n].input, original->input) != 0)) {
                n++;
            }
        }
    }
    if (status != OD_OK) {
        od_free(items);
        return status;
    }
    *ret = items;
    *ret_count = n;
    return OD_OK;
}
