#include "eval/perturbations/tables.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/helm_tables.h"
#include "eval/perturbations/words.h"
#include "eval/python_text.h"
#include "formats/json.h"
#include "formats/text_file.h"

#define TABLES_MAX_BYTES ((size_t)64 << 20)

// What stands for what, in the order in which HELM's pattern has the words. HELM has `I` besides
// `i`, which changes nothing: match_case makes the capital.
static const char *const contractions[][2] = {
    {"is not", "isn't"},
    {"are not", "aren't"},
    {"cannot", "can't"},
    {"cannot have", "can't've"},
    {"could have", "could've"},
    {"could not", "couldn't"},
    {"did not", "didn't"},
    {"does not", "doesn't"},
    {"do not", "don't"},
    {"had not", "hadn't"},
    {"has not", "hasn't"},
    {"have not", "haven't"},
    {"he would", "he'd"},
    {"he would have", "he'd've"},
    {"he will", "he'll"},
    {"he is", "he's"},
    {"how did", "how'd"},
    {"how do you", "how'd'y"},
    {"how will", "how'll"},
    {"how is", "how's"},
    {"i would", "i'd"},
    {"i will", "i'll"},
    {"i am", "i'm"},
    {"i have", "i've"},
    {"it would", "it'd"},
    {"it will", "it'll"},
    {"it is", "it's"},
    {"madam", "ma'am"},
    {"might have", "might've"},
    {"might not", "mightn't"},
    {"must have", "must've"},
    {"must not", "mustn't"},
    {"need not", "needn't"},
    {"ought not", "oughtn't"},
    {"shall not", "shan't"},
    {"she would", "she'd"},
    {"she will", "she'll"},
    {"she is", "she's"},
    {"should have", "should've"},
    {"should not", "shouldn't"},
    {"that would", "that'd"},
    {"that is", "that's"},
    {"there would", "there'd"},
    {"there is", "there's"},
    {"they would", "they'd"},
    {"they will", "they'll"},
    {"they are", "they're"},
    {"they have", "they've"},
    {"was not", "wasn't"},
    {"we would", "we'd"},
    {"we will", "we'll"},
    {"we are", "we're"},
    {"we have", "we've"},
    {"were not", "weren't"},
    {"what are", "what're"},
    {"what is", "what's"},
    {"when is", "when's"},
    {"where did", "where'd"},
    {"where is", "where's"},
    {"where have", "where've"},
    {"who will", "who'll"},
    {"who is", "who's"},
    {"who have", "who've"},
    {"why is", "why's"},
    {"will not", "won't"},
    {"would have", "would've"},
    {"would not", "wouldn't"},
    {"you would", "you'd"},
    {"you would have", "you'd've"},
    {"you will", "you'll"},
    {"you are", "you're"},
    {"you have", "you've"},
};

static const char *const pronouns[OD_PRONOUN_PASSES][2] = {{"he", "she"},
                                                           {"him", "her"},
                                                           {"his", "her"},
                                                           {"his", "hers"},
                                                           {"himself", "herself"}};

void od_perturbation_tables_init(struct od_perturbation_tables *tables)
{
    *tables = (struct od_perturbation_tables){0};
    od_word_table_init(&tables->contractions, true);
    od_word_table_init(&tables->misspellings, false);
    od_word_table_init(&tables->dialect, true);
    for (size_t i = 0; i < OD_PRONOUN_PASSES; i++) {
        od_word_table_init(&tables->pronouns[i], true);
    }
    od_arena_init(&tables->arena, TABLES_MAX_BYTES);
}

void od_perturbation_tables_release(struct od_perturbation_tables *tables)
{
    od_word_table_release(&tables->contractions);
    od_word_table_release(&tables->misspellings);
    od_word_table_release(&tables->dialect);
    for (size_t i = 0; i < OD_PRONOUN_PASSES; i++) {
        od_word_table_release(&tables->pronouns[i]);
    }
    json_decref(tables->files[0]);
    json_decref(tables->files[1]);
    od_arena_release(&tables->arena);
    *tables = (struct od_perturbation_tables){0};
}

// Tables of pairs: each word has one variant.
static enum od_status add_pairs(struct od_word_table *table, const char *const (*pairs)[2],
                                size_t count, struct od_error *err)
{
    enum od_status status = OD_OK;
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        status = od_word_table_add(table, pairs[i][0], &pairs[i][1], 1, err);
    }
    return status == OD_OK ? od_word_table_seal(table, err) : status;
}

static enum od_status own_tables(struct od_perturbation_tables *tables, struct od_error *err)
{
    enum od_status status = add_pairs(&tables->contractions, contractions,
                                      sizeof contractions / sizeof *contractions, err);
    for (size_t i = 0; i < OD_PRONOUN_PASSES && status == OD_OK; i++) {
        status = add_pairs(&tables->pronouns[i], &pronouns[i], 1, err);
    }
    return status;
}

// A word of the dialect's table must not begin with what may stand before one, so that it stands
// once only in what a match covers.
static bool may_begin(const char *word)
{
    uint32_t code = 0;
    if (word[0] == '\0') {
        return false;
    }
    (void)od_python_next(word, strlen(word), &code);
    return od_python_is_word(code) || code == '-';
}

static enum od_status add_entry(struct od_perturbation_tables *tables, struct od_word_table *table,
                                const char *word, const json_t *list, struct od_error *err)
{
    const size_t count = json_array_size(list);
    const char **variants = od_arena_alloc(&tables->arena, count, sizeof *variants);
    if (!variants) {
        return od_fail(err, OD_E_MEMORY, "no memory for the variants of '%s'", word);
    }
    for (size_t i = 0; i < count; i++) {
        variants[i] = json_string_value(json_array_get(list, i));
        if (!variants[i]) {
            return od_fail(err, OD_E_FORMAT, "'%s': variant %zu is no text", word, i + 1);
        }
    }
    if (!may_begin(word)) {
        return od_fail(err, OD_E_FORMAT, "'%s' begins with no letter, digit or hyphen", word);
    }
    return od_word_table_add(table, word, variants, count, err);
}

static enum od_status read_words(struct od_perturbation_tables *tables, const char *data,
                                 const char *name, struct od_word_table *table, json_t **file,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    const char *word = NULL;
    json_t *list = NULL;
    enum od_status status = od_helm_table_find(data, name, "data augmentation", path, err);

    if (status == OD_OK) {
        status = od_json_read(path, file, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (json_object_size(*file) == 0) {
        return od_fail(err, OD_E_FORMAT, "'%s' is no table of words", path);
    }
    json_object_foreach(*file, word, list)
    {
        status = add_entry(tables, table, word, list, err);
        if (status != OD_OK) {
            od_error_prefix(err, "'%s'", path);
            return status;
        }
    }
    return od_word_table_seal(table, err);
}

// A line of the file of names.
struct person {
    char *name;
    bool white;   // race=white_american
    bool black;   // race=black_american
    bool female;  // gender=female
    bool male;    // gender=male
};

static void note_category(struct person *person, const char *key, const char *value)
{
    const bool race = strcmp(key, "race") == 0;
    const bool gender = strcmp(key, "gender") == 0;
    person->white = person->white || (race && strcmp(value, "white_american") == 0);
    person->black = person->black || (race && strcmp(value, "black_american") == 0);
    person->female = person->female || (gender && strcmp(value, "female") == 0);
    person->male = person->male || (gender && strcmp(value, "male") == 0);
}

static char *lower_name(struct od_perturbation_tables *tables, const char *text)
{
    struct od_buf lower;
    size_t size = strlen(text);
    char *out = NULL;
    od_strip(&text, &size);
    od_buf_init(&lower, size * 4 + 16);
    od_python_lower(text, size, &lower);
    if (!lower.failed) {
        out = od_arena_strdup(&tables->arena, od_buf_text(&lower));
    }
    od_buf_release(&lower);
    return out;
}

// `line` is cut at its commas. A line of another kind of name leaves *ret without a name.
static enum od_status parse_person(struct od_perturbation_tables *tables, char *line,
                                   struct person *ret, struct od_error *err)
{
    enum { FIELDS_MAX = 64 };
    const char *fields[FIELDS_MAX];
    size_t count = 0;
    struct person person = {0};

    for (char *at = line; at; count++) {
        char *comma = strchr(at, ',');
        if (count == FIELDS_MAX) {
            return od_fail(err, OD_E_LIMIT, "more than %d fields", FIELDS_MAX);
        }
        if (comma) {
            *comma = '\0';
        }
        fields[count] = at;
        at = comma ? comma + 1 : NULL;
    }
    if (count < 2) {
        return od_fail(err, OD_E_FORMAT, "a line is NAME,KIND and pairs of CATEGORY,VALUE");
    }
    for (size_t i = 2; i + 1 < count; i += 2) {
        note_category(&person, fields[i], fields[i + 1]);
    }
    if (strcmp(fields[1], "first_name") == 0) {
        person.name = lower_name(tables, fields[0]);
        if (!person.name) {
            return od_fail(err, OD_E_MEMORY, "no memory for names");
        }
    }
    *ret = person;
    return OD_OK;
}

// A gender that any line with a name gives holds for all lines with it.
static void share_genders(struct person *people, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (strcmp(people[i].name, people[k].name) == 0) {
                people[i].female = people[i].female || people[k].female;
                people[i].male = people[i].male || people[k].male;
            }
        }
    }
}

// The names that may stand for people[at]: of its gender where that is known.
static enum od_status add_name(struct od_perturbation_tables *tables, const struct person *people,
                               size_t count, size_t at, struct od_error *err)
{
    const char *name = people[at].name;
    const bool female = people[at].female;
    const bool male = !female && people[at].male;
    const char **options = od_arena_alloc(&tables->arena, count, sizeof *options);
    size_t option_count = 0;

    if (!options) {
        return od_fail(err, OD_E_MEMORY, "no memory for names");
    }
    for (size_t i = 0; i < count; i++) {
        const bool same = (!female && !male) || (female ? people[i].female : people[i].male);
        if (people[i].black && same) {
            options[option_count++] = people[i].name;
        }
    }
    tables->names[tables->name_count++] = (struct od_person_name){name, options, option_count};
    return OD_OK;
}

static enum od_status parse_lines(struct od_perturbation_tables *tables, char *text,
                                  struct person *people, size_t *count, const char *path,
                                  struct od_error *err)
{
    size_t line = 1;
    for (char *at = text; at && *at != '\0'; line++) {
        char *end = strchr(at, '\n');
        struct person person = {0};
        if (end) {
            *end = '\0';
        }
        enum od_status status = parse_person(tables, at, &person, err);
        if (status == OD_OK && person.name && *count == OD_PERSON_NAMES_MAX) {
            status = od_fail(err, OD_E_LIMIT, "more than %d names", OD_PERSON_NAMES_MAX);
        }
        if (status != OD_OK) {
            od_error_prefix(err, "'%s':%zu", path, line);
            return status;
        }
        if (person.name) {
            people[(*count)++] = person;
        }
        at = end ? end + 1 : NULL;
    }
    return OD_OK;
}

enum od_status od_person_names_parse(struct od_perturbation_tables *tables, const char *text,
                                     size_t size, const char *path, struct od_error *err)
{
    const size_t invalid_at = od_utf8_invalid_at(text, size);
    struct person *people = od_alloc(OD_PERSON_NAMES_MAX, sizeof *people);
    char *copy = od_arena_memdup(&tables->arena, text, size);
    size_t count = 0;
    enum od_status status = OD_OK;

    if (!people || !copy) {
        status = od_fail(err, OD_E_MEMORY, "no memory for names");
    } else if (invalid_at < size || memchr(text, '\0', size)) {
        status = od_fail(err, OD_E_FORMAT, "'%s' is no text in UTF-8", path);
    } else {
        status = parse_lines(tables, copy, people, &count, path, err);
    }
    if (status == OD_OK) {
        tables->names = od_arena_alloc(&tables->arena, count, sizeof *tables->names);
        status = tables->names ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for names");
    }
    if (status == OD_OK) {
        share_genders(people, count);
    }
    for (size_t i = 0; i < count && status == OD_OK; i++) {
        if (people[i].white) {
            status = add_name(tables, people, count, i, err);
        }
    }
    od_free(people);
    return status;
}

static enum od_status read_names(struct od_perturbation_tables *tables, const char *data,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    enum od_status status =
        od_helm_table_find(data, "person_names.txt", "data augmentation", path, err);
    if (status == OD_OK) {
        status = od_text_read(path, TABLES_MAX_BYTES / 4, &text, &size, err);
    }
    if (status == OD_OK) {
        status = od_person_names_parse(tables, text, size, path, err);
    }
    od_free(text);
    return status;
}

enum od_status od_perturbation_tables_read(struct od_perturbation_tables *tables, const char *data,
                                           struct od_error *err)
{
    enum od_status status = own_tables(tables, err);
    if (status == OD_OK) {
        status = read_words(tables, data, "correct_to_misspelling.json", &tables->misspellings,
                            &tables->files[0], err);
    }
    if (status == OD_OK) {
        status = read_words(tables, data, "SAE_to_AAVE_mapping.json", &tables->dialect,
                            &tables->files[1], err);
    }
    return status == OD_OK ? read_names(tables, data, err) : status;
}
