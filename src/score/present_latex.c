#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/interval.h"
#include "base/memory.h"
#include "base/status.h"
#include "score/board.h"
#include "score/formula.h"
#include "score/present.h"
#include "score/present_internal.h"

enum { NOTES_MAX_BYTES = 1 << 14 };

/** What stands for a character that LaTeX takes for a command. */
struct escape {
    char character;
    const char *text;
};

static const struct escape escapes[] = {
    {'&', "\\&"},
    {'%', "\\%"},
    {'$', "\\$"},
    {'#', "\\#"},
    {'_', "\\_"},
    {'{', "\\{"},
    {'}', "\\}"},
    {'~', "\\textasciitilde{}"},
    {'^', "\\textasciicircum{}"},
    {'\\', "\\textbackslash{}"},
    {'<', "\\textless{}"},
    {'>', "\\textgreater{}"},
    {'|', "\\textbar{}"},
};

static void put_text(struct od_buf *out, const char *text)
{
    for (const char *c = text; *c; c++) {
        const char *instead = NULL;
        for (size_t i = 0; i < sizeof escapes / sizeof escapes[0]; i++) {
            instead = escapes[i].character == *c ? escapes[i].text : instead;
        }
        if (instead) {
            od_buf_puts(out, instead);
        } else {
            od_buf_putc(out, *c);
        }
    }
}

static void put_maybe(struct od_buf *out, bool defined, double value)
{
    char text[OD_SHORT_NUMBER_BYTES] = "--";
    if (defined) {
        od_present_number(value, text);
    }
    od_buf_printf(out, " & %s", text);
}

// " & 1", with noise " & 1 & $=$1 (1--3)"; "--" without a score.
static void put_places(const struct od_ranking *ranking, size_t entry, struct od_buf *out)
{
    const bool noise = ranking->draw_count > 0;
    if (!od_present_is_ranked(ranking, entry)) {
        od_buf_puts(out, noise ? " & -- & --" : " & --");
        return;
    }
    od_buf_printf(out, " & %zu", ranking->places[entry]);
    if (noise) {
        od_buf_printf(out, " & %s%zu (%zu--%zu)", od_present_is_tied(ranking, entry) ? "$=$" : "",
                      ranking->noise_places[entry], ranking->places_low[entry],
                      ranking->places_high[entry]);
    }
}

static void put_interval(const struct od_interval *interval, struct od_buf *out)
{
    od_buf_printf(out, " {\\footnotesize [%.3f, %.3f]}", interval->low, interval->high);
}

static void head_cell(struct od_buf *out, const char *text)
{
    od_buf_puts(out, " & ");
    put_text(out, text);
}

static void open_tabular(struct od_buf *out, size_t numbers)
{
    od_buf_puts(out, "\\begin{tabular}{l");
    for (size_t i = 0; i < numbers; i++) {
        od_buf_putc(out, 'r');
    }
    od_buf_puts(out, "}\n\\hline\nEntry");
}

static void end_row(struct od_buf *out, bool head)
{
    od_buf_puts(out, head ? " \\\\\n\\hline\n" : " \\\\\n");
}

static void put_ranking(const struct od_ranking *ranking, struct od_buf *out)
{
    const size_t scores = ranking->formula->score_count;
    const bool noise = ranking->draw_count > 0;
    const bool gaps = od_present_has_gaps(ranking);
    open_tabular(out, 1 + (noise ? (size_t)1 : 0) + (gaps ? (size_t)1 : 0) + scores +
                          ranking->group_count);
    head_cell(out, "Rank");
    if (noise) {
        head_cell(out, "Within noise");
    }
    if (gaps) {
        head_cell(out, "Measured");
    }
    for (size_t s = 0; s < scores; s++) {
        head_cell(out, ranking->formula->scores[s]);
    }
    for (size_t g = 0; g < ranking->group_count; g++) {
        head_cell(out, ranking->groups[g]);
    }
    end_row(out, /* head= */ true);
    for (size_t i = 0; i < ranking->board->entry_count; i++) {
        const size_t entry = ranking->order[i];
        put_text(out, ranking->board->entries[entry]);
        put_places(ranking, entry, out);
        if (gaps) {
            od_buf_printf(out, " & %zu/%zu", od_present_measured(ranking, entry),
                          ranking->metric_count);
        }
        for (size_t s = 0; s < scores; s++) {
            const struct od_maybe *score = &ranking->scores[entry * scores + s];
            put_maybe(out, score->defined, score->value);
            if (noise && score->defined) {
                put_interval(&ranking->score_intervals[entry * scores + s], out);
            }
        }
        for (size_t g = 0; g < ranking->group_count; g++) {
            const struct od_maybe *value = &ranking->group_values[entry * ranking->group_count + g];
            put_maybe(out, value->defined, value->value);
        }
        end_row(out, /* head= */ false);
    }
    od_buf_puts(out, "\\hline\n\\end{tabular}\n");
}

static void put_metrics(const struct od_ranking *ranking, struct od_buf *out)
{
    const struct od_board *board = ranking->board;
    open_tabular(out, ranking->metric_count);
    for (size_t at = 0; at < ranking->metric_count; at++) {
        head_cell(out, board->metrics[ranking->metrics[at]].name);
    }
    end_row(out, /* head= */ true);
    for (size_t i = 0; i < board->entry_count; i++) {
        const size_t entry = ranking->order[i];
        put_text(out, board->entries[entry]);
        for (size_t at = 0; at < ranking->metric_count; at++) {
            const size_t metric = ranking->metrics[at];
            const struct od_score_cell *cell = od_board_cell_const(board, entry, metric);
            const bool best = od_present_is_best(board, entry, metric);
            char text[OD_SHORT_NUMBER_BYTES] = "--";
            if (cell->defined) {
                od_present_number(cell->value, text);
            }
            od_buf_printf(out, best ? " & \\textbf{%s}" : " & %s", text);
            if (cell->has_interval || cell->has_bootstrap) {
                put_interval(cell->has_interval ? &cell->interval : &cell->bootstrap, out);
            }
        }
        end_row(out, /* head= */ false);
    }
    od_buf_puts(out, "\\hline\n\\end{tabular}\n");
}

// Names have no control characters, reasons from outside had them taken out: a comment is one line.
static void put_reasons(const struct od_ranking *ranking, struct od_buf *out)
{
    const struct od_board *board = ranking->board;
    for (size_t i = 0; i < board->entry_count; i++) {
        for (size_t at = 0; at < ranking->metric_count; at++) {
            const size_t entry = ranking->order[i];
            const struct od_score_cell *cell =
                od_board_cell_const(board, entry, ranking->metrics[at]);
            if (!cell->defined) {
                od_buf_printf(out, "%% undefined: %s, %s: %s\n", board->entries[entry],
                              board->metrics[ranking->metrics[at]].name, cell->why);
            }
        }
    }
}

// Each line of a text as a comment.
static void put_comments(const char *text, struct od_buf *out)
{
    while (*text) {
        const size_t size = strcspn(text, "\n");
        od_buf_puts(out, "% ");
        od_buf_append(out, text, size);
        od_buf_putc(out, '\n');
        text += size + (text[size] == '\n' ? 1 : 0);
    }
}

enum od_status od_present_latex(const struct od_ranking *ranking, struct od_buf *out,
                                struct od_error *err)
{
    struct od_buf notes;
    od_buf_init(&notes, NOTES_MAX_BYTES);
    od_buf_printf(out, "%% Ranking by %s: %s\n", ranking->formula->name, ranking->formula->summary);
    put_ranking(ranking, out);
    od_present_counted(ranking, &notes);
    od_present_noise(ranking, &notes);
    put_comments(od_buf_text(&notes), out);
    od_buf_release(&notes);
    od_buf_puts(out,
                "\n% What was measured; the best value of each metric is bold, in [ ] stand 95 % "
                "intervals.\n");
    put_metrics(ranking, out);
    put_reasons(ranking, out);
    return od_buf_check(out, err);
}
