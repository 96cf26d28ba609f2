// Goal: variants of instances are HELM's. Method: what HELM's classes make, by the real tables, of
// single texts and of real questions (perturbations.json, by tests/oracle/helm_eval.py; skipped
// where the data folder is absent; runs with small tables are in oracle_test.c), and broken tables.

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/perturbations/perturb.h"
#include "eval/perturbations/tables.h"
#include "eval/perturbations/words.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/json.h"
#include "support.h"

#define ORACLE "tests/golden/oracle/helm"

static json_t *record(void)
{
    struct od_error err = {0};
    json_t *all = NULL;
    assert_ok(od_json_read(test_source(ORACLE "/perturbations.json"), &all, &err), &err);
    return all;
}

static void read_tables(struct od_perturbation_tables *tables, const char *data)
{
    struct od_error err = {0};
    od_perturbation_tables_init(tables);
    assert_ok(od_perturbation_tables_read(tables, data, &err), &err);
}

// Input and references of one case: texts[0] and the others.
static void fill(struct od_instance *instance, struct od_reference *references, const json_t *texts)
{
    *instance = (struct od_instance){.input = json_string_value(json_array_get(texts, 0)),
                                     .references = references,
                                     .reference_count = json_array_size(texts) - 1,
                                     .split = OD_SPLIT_TEST};
    for (size_t i = 0; i < instance->reference_count; i++) {
        references[i] = (struct od_reference){
            .text = json_string_value(json_array_get(texts, i + 1)), .correct = i == 1};
    }
}

static void test_texts(void **state)
{
    (void)state;
    const char *data = test_shared("eval");
    if (!data) {
        skip();
    }
    struct od_perturbation_tables tables;
    json_t *all = record();
    size_t at = 0;
    json_t *row = NULL;
    read_tables(&tables, data);
    json_array_foreach(json_object_get(all, "texts"), at, row)
    {
        struct od_reference references[8];
        struct od_instance instance;
        char id[32];
        (void)snprintf(id, sizeof id, "id%zu", at);
        fill(&instance, references, json_object_get(row, "texts"));
        instance.id = id;
        for (size_t kind = 0; kind < OD_PERTURB_COUNT; kind++) {
            struct od_error err = {0};
            struct od_arena arena;
            struct od_instance found = {0};
            const json_t *expected = json_array_get(json_object_get(row, "variants"), kind);
            od_arena_init(&arena, 1 << 20);
            assert_ok(od_perturb(&tables, (enum od_perturbation_kind)kind, &instance, &arena,
                                 &found, &err),
                      &err);
            assert_string_equal(found.input, json_string_value(json_array_get(expected, 0)));
            assert_int_equal(found.reference_count, json_array_size(expected) - 1);
            for (size_t i = 0; i < found.reference_count; i++) {
                assert_string_equal(found.references[i].text,
                                    json_string_value(json_array_get(expected, i + 1)));
                assert_true(found.references[i].correct == (i == 1));
            }
            od_arena_release(&arena);
        }
    }
    od_perturbation_tables_release(&tables);
    json_decref(all);
}

static void add(struct od_buf *out, const char *text)
{
    od_buf_append(out, text, strlen(text) + 1);
}

static void compare_digests(const struct od_perturbation_tables *tables,
                            const struct od_instances *list, const json_t *row)
{
    for (size_t kind = 0; kind < OD_PERTURB_COUNT; kind++) {
        struct od_error err = {0};
        struct od_arena arena;
        struct od_buf texts;
        char hex[OD_SHA256_HEX_BYTES];
        int64_t changed = 0;
        od_arena_init(&arena, (size_t)1 << 28);
        od_buf_init(&texts, (size_t)1 << 28);
        for (size_t i = 0; i < list->count; i++) {
            struct od_instance found = {0};
            assert_ok(od_perturb(tables, (enum od_perturbation_kind)kind, &list->items[i], &arena,
                                 &found, &err),
                      &err);
            changed += strcmp(found.input, list->items[i].input) != 0;
            add(&texts, found.input);
            for (size_t k = 0; k < found.reference_count; k++) {
                add(&texts, found.references[k].text);
            }
        }
        assert_false(texts.failed);
        od_sha256_hex(texts.bytes, texts.size, hex);
        assert_int_equal(changed,
                         json_integer_value(json_array_get(json_object_get(row, "changed"), kind)));
        assert_string_equal(
            hex, json_string_value(json_array_get(json_object_get(row, "sha256"), kind)));
        od_buf_release(&texts);
        od_arena_release(&arena);
    }
}

static void test_real_questions(void **state)
{
    (void)state;
    const char *data = test_shared("eval");
    if (!data) {
        skip();
    }
    struct od_perturbation_tables tables;
    json_t *all = record();
    size_t at = 0;
    json_t *row = NULL;
    read_tables(&tables, data);
    json_array_foreach(json_object_get(all, "digests"), at, row)
    {
        struct od_error err = {0};
        struct od_arena arena;
        struct od_run_specs specs = {0};
        struct od_instances list;
        const struct od_run_options options = {0};
        char description[128];
        od_arena_init(&arena, 1 << 20);
        od_instances_init(&list);
        (void)snprintf(description, sizeof description, "mmlu:subject=%s",
                       json_string_value(json_object_get(row, "subject")));
        assert_ok(od_run_specs_make(description, &options, &arena, &specs, &err), &err);
        assert_ok(specs.items[0].scenario->load(&specs.items[0], data, &list, &err), &err);
        assert_int_equal(list.count, json_integer_value(json_object_get(row, "instances")));
        compare_digests(&tables, &list, row);
        od_instances_release(&list);
        od_arena_release(&arena);
    }
    od_perturbation_tables_release(&tables);
    json_decref(all);
}

// The first word of the table that fits with its surroundings is taken, not the longest.
static void test_order_decides(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_word_table table;
    struct od_mt19937 mt;
    struct od_buf out;
    static const char *const one[] = {"ONE"};
    static const char *const two[] = {"TWO"};
    od_word_table_init(&table, false);
    assert_ok(od_word_table_add(&table, "they", one, 1, &err), &err);
    assert_ok(od_word_table_add(&table, "they're", two, 1, &err), &err);
    assert_ok(od_word_table_add(&table, "a", one, 1, &err), &err);
    assert_ok(od_word_table_seal(&table, &err), &err);
    od_mt_seed_numpy(&mt, 0);
    od_buf_init(&out, 1 << 10);
    const struct od_word_rule rule = {.table = &table, .edge = OD_EDGE_BORDER};
    const char *text = "they're theyre a_ (a) They";
    assert_ok(od_words_replace(&rule, text, strlen(text), &mt, &out, &err), &err);
    assert_string_equal(od_buf_text(&out), "one're theyre a_ (one) They");
    od_buf_release(&out);
    od_word_table_release(&table);
}

static void write_table(const char *folder, const char *name, const char *text)
{
    struct od_error err = {0};
    char path[OD_PATH_MAX_BYTES];
    (void)snprintf(path, sizeof path, "%s/helm/%s", folder, name);
    assert_ok(od_file_write(path, text, strlen(text), &err), &err);
}

// With these three files, reading fails with `status` and says `words`.
static void assert_broken(const char *spelling, const char *dialect, const char *names,
                          enum od_status status, const char *words)
{
    struct od_error err = {0};
    struct od_perturbation_tables tables;
    char folder[OD_PATH_MAX_BYTES];
    const char *data = test_folder();
    (void)snprintf(folder, sizeof folder, "%s/helm", data);
    assert_ok(od_dir_make(folder, &err), &err);
    if (spelling) {
        write_table(data, "correct_to_misspelling.json", spelling);
    }
    write_table(data, "SAE_to_AAVE_mapping.json", dialect);
    write_table(data, "person_names.txt", names);
    od_perturbation_tables_init(&tables);
    assert_int_equal(od_perturbation_tables_read(&tables, data, &err), status);
    if (words && !strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
    od_perturbation_tables_release(&tables);
}

static void test_broken_tables(void **state)
{
    (void)state;
    static const char good[] = "{\"a\": [\"b\"]}";
    static const char names[] = "ann,first_name,race,white_american\n";
    assert_broken(good, good, names, OD_OK, NULL);
    assert_broken(good, good, "", OD_OK, NULL);
    assert_broken(NULL, good, names, OD_E_NOT_FOUND, "correct_to_misspelling.json");
    assert_broken("[]", good, names, OD_E_FORMAT, "no table of words");
    assert_broken("{", good, names, OD_E_FORMAT, "misspelling.json");
    assert_broken("{\"a\": []}", good, names, OD_E_FORMAT, "'a'");
    assert_broken("{\"a\": \"b\"}", good, names, OD_E_FORMAT, "'a'");
    assert_broken("{\"\": [\"b\"]}", good, names, OD_E_FORMAT, "begins with");
    assert_broken(good, "{\"a\": [1]}", names, OD_E_FORMAT, "variant 1");
    assert_broken(good, "{\"'a\": [\"b\"]}", names, OD_E_FORMAT, "begins with");
    assert_broken(good, good, "ann,first_name\nbob\n", OD_E_FORMAT, "names.txt':2");
    assert_broken(good, good, "\xff,first_name\n", OD_E_FORMAT, "UTF-8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_real_questions),
        cmocka_unit_test(test_order_decides),
        cmocka_unit_test(test_broken_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
