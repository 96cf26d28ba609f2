// Goal: conf files of evaluation runs parse to their entries; what breaks the grammar is named.
// Method: the organisers' files with their known counts and sums; small texts by hand.

#include "formats/hocon.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "support.h"

static enum od_status parse(const char *text, struct od_hocon *ret, struct od_error *err)
{
    return od_hocon_parse(text, strlen(text), "x.conf", ret, err);
}

static void reads_entries(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_hocon hocon = {0};
    assert_ok(
        parse("# head\n // more\nentries = [\n"
              "  {description: \"a:b=c,d=#e//f\", priority: 1}\n"
              "  {priority=-2 // why\n description : \"q\\\"\\\\\\n\\u00e9\\ud83c\\udf88/\"},,\n"
              "  {\"description\": \"old\", \"description\": \"new\", priority: 3,\n"
              "   groups: [\"z\", \"a\"\n\"b\",], other: [\"x\"], more: \"y\", n: 7,\n},\n"
              "] # tail",
              &hocon, &err),
        &err);
    assert_int_equal(hocon.count, 3);
    assert_string_equal(hocon.entries[0].description, "a:b=c,d=#e//f");
    assert_int_equal(hocon.entries[0].priority, 1);
    assert_int_equal(hocon.entries[0].line, 4);
    assert_int_equal(hocon.entries[0].column, 3);
    assert_int_equal(hocon.entries[0].group_count, 0);
    assert_string_equal(hocon.entries[1].description, "q\"\\\n\xC3\xA9\xF0\x9F\x8E\x88/");
    assert_int_equal(hocon.entries[1].priority, -2);
    assert_string_equal(hocon.entries[2].description, "new");
    assert_int_equal(hocon.entries[2].group_count, 3);
    assert_string_equal(hocon.entries[2].groups[0], "z");
    assert_string_equal(hocon.entries[2].groups[2], "b");
    od_hocon_release(&hocon);
    assert_ok(parse("entries:[]", &hocon, &err), &err);
    assert_int_equal(hocon.count, 0);
    od_hocon_release(&hocon);
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *message;
    } bad[] = {
        {"", "x.conf:1:1: a key is expected"},
        {"entry: []", "x.conf:1:1: 'entries' is expected"},
        {"entries []", "x.conf:1:9: ':' is expected behind 'entries'"},
        {"entries: {", "x.conf:1:10: '[' is expected"},
        {"entries: [", "x.conf:1:11: ']' is expected"},
        {"entries: [] x", "x.conf:1:13: nothing is expected behind the list"},
        {"entries: [\n{}]", "x.conf:2:2: a key is expected"},
        {"entries: [{priority: 1}]", "x.conf:1:11: the entry has no 'description'"},
        {"entries: [\n\n {description: \"\"}]", "x.conf:3:2: the entry has no 'priority'"},
        {"entries: [{priority 1}]", "x.conf:1:21: ':' is expected behind 'priority'"},
        {"entries: [{priority: \"1\"}]", "x.conf:1:22: 'priority' must be an integer"},
        {"entries: [{priority: [\"1\"]}]", "x.conf:1:22: 'priority' must be an integer"},
        {"entries: [{description: 1}]", "x.conf:1:25: 'description' must be a text"},
        {"entries: [{groups: 1}]", "x.conf:1:20: 'groups' must be a list of texts"},
        {"entries: [{groups: \"a\"}]", "x.conf:1:20: 'groups' must be a list of texts"},
        {"entries: [{groups: [1]}]", "x.conf:1:21: ']' is expected"},
        {"entries: [{groups: [\"a\"\"b\"]}]", "x.conf:1:24: ',' or a new line is expected"},
        {"entries: [{priority: 1 description: \"a\"}]", "x.conf:1:24: ',' or '}' is expected"},
        {"entries: [{priority: 1,, a: 2}]", "x.conf:1:24: a key is expected"},
        {"entries: [{priority: 99999999999999999999}]",
         "x.conf:1:22: a text in quotes, an integer or a list of texts is expected"},
        {"entries: [{priority: one}]",
         "x.conf:1:22: a text in quotes, an integer or a list of texts is expected"},
        {"entries: [{description: \"\xC3\xA9\n\"}]", "x.conf:1:25: the text has no closing '\"'"},
        {"entries: [{description: \"\xC3\xA9\\x\"}]", "x.conf:1:27: unknown escape behind '\\'"},
        {"entries: [{description: \"\\u12\"}]", "x.conf:1:26: \\u needs four hex digits"},
        {"entries: [{description: \"\\u0000\"}]", "x.conf:1:26: \\u0000 stands for no character"},
        {"entries: [{description: \"\\ud800\"}]", "x.conf:1:26: \\ud800 stands for no character"},
        {"entries: [{description: \"a\", priority: 1}{description: \"b\", priority: 1}]",
         "x.conf:1:42: ',' or a new line is expected"},
        {"entries: [\n\xFF", "x.conf:2:1: the byte is no UTF-8"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct od_error err = {0};
        struct od_hocon hocon = {0};
        assert_int_equal(parse(bad[i].text, &hocon, &err), OD_E_FORMAT);
        assert_string_equal(err.message, bad[i].message);
    }
}

static void organisers_files(void **state)
{
    (void)state;
    // Entries and the sum of max_eval_instances over them; 0 where the file has none.
    static const struct {
        const char *file;
        size_t entries;
        long instances;
    } files[] = {
        {"confs/run_specs.conf", 30, 0},
        {"confs/run_specs_full_coarse_600_budget.conf", 88, 600},
        {"confs/run_specs_open_100_budget.conf", 87, 100},
        {"confs/run_specs_open_2000_budget.conf", 87, 2000},
        {"confs/run_specs_closed_100_budget.conf", 22, 100},
        {"confs/run_specs_closed_5000_budget.conf", 22, 5000},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct od_error err = {0};
        struct od_hocon hocon = {0};
        long sum = 0;
        assert_ok(od_hocon_read(test_shared(files[i].file), &hocon, &err), &err);
        assert_int_equal(hocon.count, files[i].entries);
        for (size_t k = 0; k < hocon.count; k++) {
            const char *description = hocon.entries[k].description;
            const char *found = strstr(description, "max_eval_instances=");
            sum += found ? strtol(found + strlen("max_eval_instances="), NULL, 10) : 0;
            assert_int_equal(hocon.entries[k].priority, 1);
            assert_non_null(strstr(description, "model=neurips/local"));
        }
        assert_int_equal(sum, files[i].instances);
        od_hocon_release(&hocon);
    }
}

static void limits_and_faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_hocon hocon = {0};
    struct od_buf buf;
    od_buf_init(&buf, 64 << 20);
    od_buf_puts(&buf, "entries:[");
    for (int i = 0; i < OD_HOCON_ENTRIES_MAX; i++) {
        od_buf_puts(&buf, "{description:\"a\",priority:1},");
    }
    const size_t size = buf.size;
    od_buf_puts(&buf, "]");
    assert_ok(parse(od_buf_text(&buf), &hocon, &err), &err);
    assert_int_equal(hocon.count, OD_HOCON_ENTRIES_MAX);
    od_hocon_release(&hocon);
    assert_int_equal(buf.size, size + 1);
    buf.bytes[size] = '{';
    assert_int_equal(parse(od_buf_text(&buf), &hocon, &err), OD_E_LIMIT);
    od_buf_reset(&buf);
    od_buf_puts(&buf, "entries:[{groups:[");
    for (int i = 0; i <= OD_HOCON_GROUPS_MAX; i++) {
        od_buf_puts(&buf, "\"g\",");
    }
    assert_int_equal(parse(od_buf_text(&buf), &hocon, &err), OD_E_LIMIT);
    od_buf_reset(&buf);
    for (int i = 0; i < 300; i++) {
        od_buf_puts(&buf, "k");
    }
    assert_int_equal(parse(od_buf_text(&buf), &hocon, &err), OD_E_LIMIT);
    od_buf_reset(&buf);
    od_buf_puts(&buf, "entries:[");
    for (int i = 0; i < 70; i++) {
        od_buf_puts(&buf, "{description:\"a\\n\",priority:1,groups:[\"a\"]},");
    }
    od_buf_puts(&buf, "]");
    enum od_status status = OD_E_MEMORY;
    uint64_t n = 0;
    while (status != OD_OK) {
        od_alloc_fail_at(++n);
        status = parse(od_buf_text(&buf), &hocon, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        od_hocon_release(&hocon);
    }
    assert_true(n > 4);
    od_buf_release(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_entries),
        cmocka_unit_test(refuses),
        cmocka_unit_test(organisers_files),
        cmocka_unit_test(limits_and_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
