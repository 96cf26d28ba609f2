// Goal: what is shown is what was ranked; undefined stays undefined; text from outside cannot become
// markup, a terminal command or a spreadsheet's formula; the same board gives the same bytes.
// Method: a small board with every kind of cell, shown in every form; CSV is read back and ranked.

#include "score/present.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/json.h"
#include "score/noise.h"
#include "support.h"

static const char table[] =
    "entry,MMLU - EM,GSM8K - EM,MMLU - # eval,\"odd <b>&\"\"'x\"\n"
    "=cmd,0.5,,10,0.25\n"
    "<script>,0.75,0.1,12,0.5\n"
    "third,0.75,0.00000123,,\n";

static void make(struct od_board *board, struct od_ranking *ranking)
{
    struct od_error err = {0};
    const struct od_formula *formula = NULL;
    assert_ok(od_board_parse(table, strlen(table), "t.csv", board, &err), &err);
    struct od_score_cell *cell = od_board_cell(board, 1, 0);
    cell->items = 240;
    cell->has_interval = true;
    cell->interval = (struct od_interval){.low = 0.6912, .high = 0.8023};
    cell->has_bootstrap = true;
    cell->bootstrap = (struct od_interval){.low = 0.6875, .high = 0.8125};
    assert_ok(od_formula_find("helm", &formula, &err), &err);
    assert_ok(od_rank(board, formula, ranking, &err), &err);
}

static void has(const char *text, const char *words)
{
    if (!strstr(text, words)) {
        fail_msg("'%s' is not in:\n%s", words, text);
    }
}

static void json(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    struct od_buf first;
    struct od_buf second;
    json_t *root = NULL;
    make(&board, &ranking);
    od_buf_init(&first, OD_PRESENT_MAX_BYTES);
    od_buf_init(&second, OD_PRESENT_MAX_BYTES);
    assert_ok(od_present_json(&ranking, &first, &err), &err);
    assert_ok(od_present_json(&ranking, &second, &err), &err);
    assert_string_equal(od_buf_text(&first), od_buf_text(&second));
    assert_ok(od_json_parse(first.bytes, first.size, "out", &root, &err), &err);
    assert_string_equal(json_string_value(json_object_get(root, "formula")), "helm");
    const json_t *best = json_array_get(json_object_get(root, "entries"), 0);
    assert_string_equal(json_string_value(json_object_get(best, "name")), "<script>");
    const json_t *mmlu = json_object_get(json_object_get(best, "metrics"), "MMLU - EM");
    assert_true(json_number_value(json_object_get(mmlu, "value")) == 0.75);
    assert_int_equal(json_integer_value(json_object_get(mmlu, "items")), 240);
    assert_true(json_number_value(json_object_get(mmlu, "low")) == 0.6912);
    assert_true(json_number_value(json_object_get(json_object_get(mmlu, "bootstrap"), "high")) ==
                0.8125);
    assert_int_equal(json_integer_value(json_object_get(best, "measured")), 3);
    // An entry without GSM8K: null with a reason, and no win rate.
    for (size_t i = 0; i < 3; i++) {
        const json_t *entry = json_array_get(json_object_get(root, "entries"), i);
        if (strcmp(json_string_value(json_object_get(entry, "name")), "=cmd") == 0) {
            const json_t *gsm = json_object_get(json_object_get(entry, "metrics"), "GSM8K - EM");
            assert_true(json_is_null(json_object_get(gsm, "value")));
            assert_true(json_is_null(json_object_get(gsm, "win_rate")));
            assert_string_equal(json_string_value(json_object_get(gsm, "why")),
                                "empty in the table");
        }
    }
    json_decref(root);
    od_buf_release(&first);
    od_buf_release(&second);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

static void csv_comes_back(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_board again = {0};
    struct od_ranking ranking = {0};
    struct od_ranking ranked_again = {0};
    struct od_buf buf;
    make(&board, &ranking);
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    assert_ok(od_present_csv(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "\r\n'=cmd,");
    has(od_buf_text(&buf), ",\"odd <b>&\"\"'x\"");
    assert_ok(od_board_parse(buf.bytes, buf.size, "out.csv", &again, &err), &err);
    assert_int_equal(again.entry_count, 3);
    assert_int_equal(again.metric_count, 4);
    assert_ok(od_rank(&again, ranking.formula, &ranked_again, &err), &err);
    for (size_t i = 0; i < 3; i++) {
        const size_t old = ranking.order[i];
        const size_t new = ranked_again.order[i];
        assert_int_equal(new, i);  // it was written best first
        assert_int_equal(ranking.scores[old].defined, ranked_again.scores[new].defined);
        for (size_t m = 0; m < 3; m++) {
            const size_t metric = od_board_find_metric(&again, board.metrics[m].name, 0);
            const struct od_score_cell *a = od_board_cell_const(&board, old, m);
            const struct od_score_cell *b = od_board_cell_const(&again, new, metric);
            assert_int_equal(a->defined, b->defined);
            assert_true(a->value == b->value);
            assert_int_equal(a->has_interval, b->has_interval);
            assert_true(!a->has_interval || a->interval.high == b->interval.high);
            assert_int_equal(a->has_bootstrap, b->has_bootstrap);
            assert_true(!a->has_bootstrap || a->bootstrap.low == b->bootstrap.low);
            assert_true(!a->has_interval || a->items == b->items);
        }
    }
    od_buf_release(&buf);
    od_ranking_release(&ranked_again);
    od_ranking_release(&ranking);
    od_board_release(&again);
    od_board_release(&board);
}

static void page(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    struct od_buf buf;
    make(&board, &ranking);
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    assert_ok(od_present_html(&ranking, &buf, &err), &err);
    const char *text = od_buf_text(&buf);
    assert_null(strstr(text, "<script"));
    assert_null(strstr(text, "http"));  // nothing is fetched
    has(text, "&lt;script&gt;");
    has(text, "odd &lt;b&gt;&amp;&quot;&#39;x");
    has(text, "<td class=\"num\">–<sup>a</sup></td>");
    has(text, "<sup>a</sup> empty in the table");
    has(text,
        "<small>0.691 to 0.802</small><small>b 0.688 to 0.812</small>"
        "<small>240 items</small>");
    has(text, "1.23e-06");
    od_buf_release(&buf);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

static void terminal(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    char *bytes = NULL;
    size_t size = 0;
    make(&board, &ranking);
    FILE *to = open_memstream(&bytes, &size);
    assert_non_null(to);
    assert_ok(od_present_text(&ranking, to, &err), &err);
    assert_int_equal(fclose(to), 0);
    has(bytes, "rank  entry     measured  Mean win rate  Accuracy");
    has(bytes, "=cmd      2 of 3");
    has(bytes, "0.7500 [0.691, 0.802] n=240");
    has(bytes, "\n– =cmd without GSM8K - EM: empty in the table\n");
    has(bytes, "Not every entry has all 3 metrics");
    free(bytes);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

static void latex(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    struct od_buf buf;
    make(&board, &ranking);
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    assert_ok(od_present_latex(&ranking, &buf, &err), &err);
    const char *text = od_buf_text(&buf);
    has(text,
        "\\begin{tabular}{lrrrr}\n\\hline\nEntry & Rank & Measured & Mean win rate & Accuracy "
        "\\\\\n");
    has(text, "=cmd & 3 & 2/3 & ");
    has(text,
        "\n\\textless{}script\\textgreater{} & \\textbf{0.7500} {\\footnotesize [0.691, 0.802]} & \\textbf{0.1000} & \\textbf{0.5000} \\\\\n");
    has(text, "odd \\textless{}b\\textgreater{}\\&\"'x");
    has(text, "\n=cmd & 0.5000 & -- & 0.2500 \\\\\n");
    has(text, "\n% undefined: =cmd, GSM8K - EM: empty in the table\n");
    od_buf_release(&buf);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// Places within noise stand in every form, and CSV with them is read back without them.
static void noise(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_board again = {0};
    struct od_ranking ranking = {0};
    struct od_buf buf;
    char *bytes = NULL;
    size_t size = 0;
    make(&board, &ranking);
    assert_ok(od_ranking_add_noise(&ranking, &err), &err);
    assert_int_equal(ranking.draw_count, OD_NOISE_DRAWS);
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    assert_ok(od_present_json(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "\"rank_within_noise\": 1,");
    od_buf_reset(&buf);
    assert_ok(od_present_html(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "Within noise</th>");
    has(od_buf_text(&buf), "<td class=\"num\">1<small>1 to 1</small></td>");
    od_buf_reset(&buf);
    assert_ok(od_present_latex(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "& 1 (1--1) &");
    od_buf_reset(&buf);
    FILE *to = open_memstream(&bytes, &size);
    assert_non_null(to);
    assert_ok(od_present_text(&ranking, to, &err), &err);
    assert_int_equal(fclose(to), 0);
    has(bytes, "rank  within noise  entry");
    has(bytes, "1 (1 to 1)");
    assert_ok(od_present_csv(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "entry,rank,rank within noise,rank low,rank high,");
    assert_ok(od_board_parse(buf.bytes, buf.size, "out.csv", &again, &err), &err);
    assert_int_equal(again.metric_count, 4);
    free(bytes);
    od_buf_release(&buf);
    od_ranking_release(&ranking);
    od_board_release(&again);
    od_board_release(&board);
}

// Who shares a place within noise is told by a sign and stands between two lines; an entry without a
// score has no place; what is near the best value is framed.
static void ties(void **state)
{
    (void)state;
    static const char tied[] =
        "entry,x,x [low],x [high],y\n"
        "a,0.6,0.5,0.7,1\nb,0.59,0.49,0.69,1\nc,0.1,0.05,0.15,1\nd,,,,1\n";
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    const struct od_formula *formula = NULL;
    struct od_buf buf;
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(od_board_parse(tied, strlen(tied), "t.csv", &board, &err), &err);
    assert_ok(od_formula_find("site-2023", &formula, &err), &err);
    assert_ok(od_rank(&board, formula, &ranking, &err), &err);
    assert_ok(od_ranking_add_noise(&ranking, &err), &err);
    FILE *to = open_memstream(&bytes, &size);
    assert_non_null(to);
    assert_ok(od_present_text(&ranking, to, &err), &err);
    assert_int_equal(fclose(to), 0);
    has(bytes, "\n   1  =1 (1 to 2)   a ");
    has(bytes, "\n   2  =1 (1 to 2)   b ");
    has(bytes, "\n   3  3 (3 to 3)    c ");
    has(bytes, "\n   –  –             d      1 of 2         – ");
    free(bytes);
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    assert_ok(od_present_html(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "<tbody>\n<tr><th scope=\"row\" class=\"pin\">c</th>");
    has(od_buf_text(&buf), "</tr>\n<tr><th scope=\"row\" class=\"pin\">b</th>");
    has(od_buf_text(&buf), "<td class=\"num\">=1<small>1 to 2</small></td>");
    has(od_buf_text(&buf), "<td class=\"num best\">0.6000<small>");
    has(od_buf_text(&buf), "<td class=\"num near\">0.5900<small>");
    has(od_buf_text(&buf), "<td class=\"num\">0.1000<small>");
    od_buf_reset(&buf);
    assert_ok(od_present_json(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "\"rank\": null,");
    od_buf_reset(&buf);
    assert_ok(od_present_csv(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "\r\nd,,,,,1,");
    od_buf_release(&buf);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

// What the formula counted as 0 or 1000 is shown as undefined, and the count is told.
static void counted(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_board board = {0};
    struct od_ranking ranking = {0};
    const struct od_formula *formula = NULL;
    struct od_buf buf;
    static const char open[] =
        "entry,MMLU - EM,TruthfulQA - EM,BBQ - EM,GSM8K - EM,BIG-bench - EM,"
        "MMLU - EM (Robustness),TruthfulQA - EM (Robustness),MMLU - EM (Fairness),"
        "TruthfulQA - EM (Fairness)\na,1,1,1,,1,1,1,1,1\nb,0,0,0,,0,0,0,0,0\n";
    assert_ok(od_board_parse(open, strlen(open), "t.csv", &board, &err), &err);
    assert_ok(od_formula_find("open-2023", &formula, &err), &err);
    assert_false(od_formula_fits(formula, &board));
    assert_ok(od_rank(&board, formula, &ranking, &err), &err);
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    assert_ok(od_present_html(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "2 undefined values: formula &#39;open-2023&#39; counts each as 0");
    has(od_buf_text(&buf), "–<sup>a</sup>");
    od_buf_reset(&buf);
    assert_ok(od_present_json(&ranking, &buf, &err), &err);
    has(od_buf_text(&buf), "\"undefined_counted\": 2");
    od_buf_release(&buf);
    od_ranking_release(&ranking);
    od_board_release(&board);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json),     cmocka_unit_test(csv_comes_back), cmocka_unit_test(page),
        cmocka_unit_test(terminal), cmocka_unit_test(counted),        cmocka_unit_test(latex),
        cmocka_unit_test(noise),    cmocka_unit_test(ties),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
