// Goal: tables are read as they stand, and what is wrong with one is told in one clear line.
// Method: small tables of our own, JSON and CSV, right and wrong.

#include "score/board.h"

#include <stdio.h>
#include <string.h>

#include "support.h"

static enum od_status parse(const char *text, const char *name, struct od_board *board,
                            struct od_error *err)
{
    return od_board_parse(text, strlen(text), name, board, err);
}

// The message is one line and has `words`.
static void refused(const char *text, const char *name, const char *words)
{
    struct od_error err = {0};
    struct od_board board = {0};
    if (parse(text, name, &board, &err) == OD_OK) {
        fail_msg("taken: %s", text);
    }
    assert_null(board.cells);
    assert_null(strchr(err.message, '\n'));
    if (!strstr(err.message, words)) {
        fail_msg("'%s' is not in: %s", words, err.message);
    }
}

static void check_small(const struct od_board *board)
{
    assert_int_equal(board->entry_count, 2);
    assert_int_equal(board->metric_count, 2);
    assert_string_equal(board->entries[0], "one");
    assert_string_equal(board->entries[1], "two, \"2\"");
    assert_string_equal(board->metrics[0].name, "MMLU - EM");
    assert_string_equal(board->metrics[1].name, "sam_sum - Stereotypes (race)");
    assert_int_equal(board->metrics[0].direction, OD_SCORE_HIGHER);
    assert_int_equal(board->metrics[1].direction, OD_SCORE_LOWER);
    assert_string_equal(board->metrics[0].category, "Accuracy");
    assert_string_equal(board->metrics[1].category, "Bias");
    const struct od_score_cell *cell = od_board_cell_const(board, 0, 0);
    assert_true(cell->defined && cell->value == 0.5 && cell->items == -1 && !cell->has_interval);
    cell = od_board_cell_const(board, 0, 1);
    assert_true(!cell->defined);
    assert_string_equal(cell->why, "empty in the table");
    cell = od_board_cell_const(board, 1, 0);
    assert_true(cell->defined && cell->value == 1.0);
    cell = od_board_cell_const(board, 1, 1);
    assert_true(cell->defined && cell->value == -0.25e-3);
    assert_int_equal(board->note_count, 1);
    assert_string_equal(board->notes[0],
                        "1 column left out: results (places, scores, win rates), not metrics");
}

static void both_forms(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    assert_ok(parse("[[\"one\",{\"MMLU - EM\":0.5,\"sam_sum - Stereotypes (race)\":null,"
                    "\"Score\":0.1}],[\"two, \\\"2\\\"\",{\"MMLU - EM\":1,"
                    "\"sam_sum - Stereotypes (race)\":-0.25e-3,\"Score\":\"anything\"}]]",
                    "t.json", &board, &err),
              &err);
    check_small(&board);
    od_board_release(&board);
    assert_ok(parse("\xef\xbb\xbf\r\nname,MMLU - EM,\"sam_sum - Stereotypes (race)\",Score\r\n"
                    "one,0.5,,0.1\r\n\r\n\"two, \"\"2\"\"\",1, -0.25e-3 ,x",
                    "t.csv", &board, &err),
              &err);
    check_small(&board);
    od_board_release(&board);
    // A file without a telling name: its first character decides.
    assert_ok(parse("name,m\nx,0.5\ny,null\n", "table", &board, &err), &err);
    assert_int_equal(board.entry_count, 2);
    assert_false(od_board_cell_const(&board, 1, 0)->defined);
    od_board_release(&board);
}

// A metric that an entry does not mention is undefined, and says so.
static void ragged(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    assert_ok(parse("[[\"a\",{\"x\":1}],[\"b\",{\"y\":2,\"x\":3}]]", "t.json", &board, &err), &err);
    assert_int_equal(board.metric_count, 2);
    assert_string_equal(od_board_cell_const(&board, 0, 1)->why, "not in the table");
    assert_true(od_board_cell_const(&board, 1, 0)->value == 3.0);
    assert_true(od_board_has_values(&board, 1));
    od_board_release(&board);
}

static void bad_json(void **state)
{
    (void)state;
    refused("", "t.json", "'t.json' is empty: no table");
    refused(" \n", "t.json", "'t.json' is empty: no table");
    refused("[]", "t.json", "'t.json': the table has no entries");
    refused("{}", "t.json", "'t.json': is an object, not a list of");
    refused("[[\"a\",{}]]", "t.json", "'t.json': the table has no metrics");
    refused("[[\"a\",{\"Score\":1}]]", "t.json", "the table has no metrics");
    refused("[[\"a\",{\"x\":1}],[\"a\",{\"x\":1}]]", "t.json",
            "'t.json': entry 'a' is there twice");
    refused("[[\"a\",{\"x\":1,\"x\":2}]]", "t.json", "t.json");
    refused("[[\"a\",{\"x\":\"0.5\"}]]", "t.json",
            "'t.json': entry 'a', metric 'x': text where a number or null must stand");
    refused("[[\"a\",{\"x\":true}]]", "t.json", "true or false where a number");
    refused("[[\"a\",{\"x\":NaN}]]", "t.json", "t.json:1:");
    refused("[[\"a\",{\"x\":1e999}]]", "t.json", "t.json");
    refused("[[\"a\"]]", "t.json", "row 1 is not of the form");
    refused("[[1,{}]]", "t.json", "row 1 is not of the form");
    refused("[[\"a\",{\"x\":1}],3]", "t.json", "row 2 is not of the form");
    refused("[[\"\",{\"x\":1}]]", "t.json", "an entry with an empty name");
    refused("[[\"a\\u001b[2J\",{\"x\":1}]]", "t.json", "control character U+001B");
    refused("[[\"a\",{\"x\\u009b\":1}]]", "t.json", "a metric whose name has the control");
    refused("[[\"a\",{\"x\":1}]", "t.json", "t.json:1:");
}

// Columns behind a metric give its intervals and items; one of another metric's is a metric.
static void details(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    assert_ok(
        parse("entry,x,x [high],x [low],x [items],x [bootstrap low],x [bootstrap high],y,x [ low]\n"
              "a,0.5,0.75,0.25,40,0.375,0.625,1,2\n"
              "b,,0.5,0.25,7,,,1,2\n"
              "c,0.5,,,null,,,1,2\n",
              "t.csv", &board, &err),
        &err);
    assert_int_equal(board.metric_count, 3);
    const struct od_score_cell *cell = od_board_cell_const(&board, 0, 0);
    assert_true(cell->has_interval && cell->interval.low == 0.25 && cell->interval.high == 0.75);
    assert_true(cell->has_bootstrap && cell->bootstrap.low == 0.375 &&
                cell->bootstrap.high == 0.625);
    assert_int_equal(cell->items, 40);
    cell = od_board_cell_const(&board, 1, 0);
    assert_true(!cell->defined && !cell->has_interval && !cell->has_bootstrap);
    cell = od_board_cell_const(&board, 2, 0);
    assert_true(cell->defined && !cell->has_interval && !cell->has_bootstrap);
    assert_int_equal(cell->items, -1);
    od_board_release(&board);
    refused("entry,x,x [low],x [high]\na,1,0.5,\n", "t.csv",
            "t.csv:2: entry 'a', metric 'x': an interval needs [low] and [high]");
    refused("entry,x,x [low]\na,1,0.5\n", "t.csv", "an interval needs [low] and [high]");
    refused("entry,x,x [low],x [high]\na,1,0.5,0.4\n", "t.csv", "the lower one first");
    refused("entry,x,x [low],x [low]\na,1,0.5,0.4\n", "t.csv", "an interval needs");
    refused("entry,x,x [items]\na,1,many\n", "t.csv", "'many' is no finite number");
}

static void bad_csv(void **state)
{
    (void)state;
    refused("\xef\xbb\xbf\r\n", "t.csv", "'t.csv' is empty: no table");
    refused("entry,x\n", "t.csv", "'t.csv': the table has no entries");
    refused("entry\na\n", "t.csv", "'t.csv': the table has no metrics");
    refused("entry,x\na,1\na,2\n", "t.csv", "t.csv:3: entry 'a' is there twice");
    refused("entry,x,x\na,1,2\n", "t.csv", "t.csv:1: metric 'x' is there twice");
    refused("entry,x\na,0.5f\n", "t.csv",
            "t.csv:2: entry 'a', metric 'x': '0.5f' is no finite number");
    refused("entry,x\na,nan\n", "t.csv", "'nan' is no finite number");
    refused("entry,x\na,inf\n", "t.csv", "'inf' is no finite number");
    refused("entry,x\na,1e999\n", "t.csv", "'1e999' is no finite number");
    refused("entry,x\na,0x10\n", "t.csv", "'0x10' is no finite number");
    refused("entry,x,y\na,1\n", "t.csv", "t.csv:2: 2 fields under a header of 3");
    refused("entry,x\n\na,1,2\n", "t.csv", "t.csv:3: 3 fields under a header of 2");
    refused("entry,x\n\"a,1\n", "t.csv", "t.csv:2: 1 fields under a header of 2");
    refused("entry,x\n\xff,1\n", "t.csv", "t.csv:2: the line is no UTF-8");
    refused("entry,x\na\x1b,1\n", "t.csv", "control character U+001B");
    refused("entry,x\n,1\n", "t.csv", "t.csv:2: an entry with an empty name");
    struct od_error err = {0};
    struct od_board board = {0};
    const char with_nul[] = "entry,x\na\0b,1\n";
    assert_int_equal(od_board_parse(with_nul, sizeof with_nul - 1, "t.csv", &board, &err),
                     OD_E_FORMAT);
    assert_non_null(strstr(err.message, "t.csv:2: the line holds a NUL"));
}

static void limits(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_buf text;
    for (int more = 0; more < 2; more++) {
        od_buf_init(&text, 1 << 20);
        od_buf_puts(&text, "entry,x\n");
        for (int i = 0; i < OD_BOARD_ENTRIES_MAX + more; i++) {
            od_buf_printf(&text, "e%d,1\n", i);
        }
        const enum od_status status = parse(od_buf_text(&text), "t.csv", &board, &err);
        assert_int_equal(status, more ? OD_E_LIMIT : OD_OK);
        od_board_release(&board);
        od_buf_reset(&text);
        od_buf_puts(&text, "entry");
        for (int i = 0; i < OD_BOARD_METRICS_MAX + more; i++) {
            od_buf_printf(&text, ",m%d", i);
        }
        od_buf_puts(&text, "\na");
        for (int i = 0; i < OD_BOARD_METRICS_MAX + more; i++) {
            od_buf_puts(&text, ",1");
        }
        assert_int_equal(parse(od_buf_text(&text), "t.csv", &board, &err),
                         more ? OD_E_LIMIT : OD_OK);
        od_board_release(&board);
        od_buf_release(&text);
    }
    char name[OD_BOARD_NAME_MAX_BYTES + 64];
    for (size_t more = 0; more < 2; more++) {
        memset(name, 'n', sizeof name);
        (void)snprintf(name + OD_BOARD_NAME_MAX_BYTES + more, 32, ",1\n");
        od_buf_init(&text, 4096);
        od_buf_printf(&text, "entry,x\n%s", name);
        assert_int_equal(parse(od_buf_text(&text), "t.csv", &board, &err),
                         more ? OD_E_LIMIT : OD_OK);
        od_board_release(&board);
        od_buf_release(&text);
    }
}

// Every allocation that fails leads to OD_E_MEMORY, not to a crash or a leak.
static void no_memory(void **state)
{
    (void)state;
    static const char *const texts[] = {"entry,x,Score\na,1,2\nb,,3\n",
                                        "[[\"a\",{\"x\":1,\"Score\":2}],[\"b\",{\"x\":null}]]"};
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t n = 1;; n++) {
            struct od_error err = {0};
            struct od_board board = {0};
            od_alloc_fail_at(n);
            const enum od_status status = parse(texts[i], "t", &board, &err);
            od_alloc_fail_at(0);
            if (status == OD_OK) {
                od_board_release(&board);
                assert_true(n > 3);
                break;
            }
            assert_true(n < 1000);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_forms), cmocka_unit_test(ragged),  cmocka_unit_test(bad_json),
        cmocka_unit_test(bad_csv),    cmocka_unit_test(details), cmocka_unit_test(limits),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
