#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "cli/options.h"
#include "score/board.h"
#include "score/formula.h"
#include "score/noise.h"
#include "score/present.h"
#include "score/suite.h"

/** What the command line asks for. */
struct request {
    const char *table;
    const char *formula;
    const char *html;
    const char *csv;
    const char *latex;
    bool json;
};

typedef enum od_status presenter(const struct od_ranking *ranking, struct od_buf *out,
                                 struct od_error *err);

static enum od_status write_file(const struct od_ranking *ranking, presenter *present,
                                 const char *path, struct od_error *err)
{
    struct od_buf buf;
    if (!path) {
        return OD_OK;
    }
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    enum od_status status = present(ranking, &buf, err);
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    if (status == OD_OK) {
        od_log(OD_LOG_INFO, "wrote %s", path);
    }
    od_buf_release(&buf);
    return status;
}

static enum od_status print_json(const struct od_ranking *ranking, struct od_error *err)
{
    struct od_buf buf;
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    const enum od_status status = od_present_json(ranking, &buf, err);
    if (status == OD_OK) {
        (void)fwrite(od_buf_text(&buf), 1, buf.size, stdout);
    }
    od_buf_release(&buf);
    return status;
}

// The formula that was asked for; else the one of the final round if its metrics are there.
static enum od_status choose_formula(const char *name, const struct od_board *board,
                                     const struct od_formula **ret, struct od_error *err)
{
    const enum od_status status = od_formula_find(name ? name : "final-2023", ret, err);
    if (status != OD_OK || name || od_formula_fits(*ret, board)) {
        return status;
    }
    return od_formula_find("helm", ret, err);
}

static enum od_status rank_and_show(const struct request *request, const struct od_board *board,
                                    struct od_error *err)
{
    const struct od_formula *formula = NULL;
    struct od_ranking ranking = {0};
    enum od_status status = choose_formula(request->formula, board, &formula, err);
    if (status == OD_OK) {
        status = od_rank(board, formula, &ranking, err);
    }
    if (status != OD_OK) {
        return status;
    }
    status = od_ranking_add_noise(&ranking, err);
    if (status != OD_OK) {
        od_ranking_release(&ranking);
        return status;
    }
    status = write_file(&ranking, od_present_html, request->html, err);
    if (status == OD_OK) {
        status = write_file(&ranking, od_present_csv, request->csv, err);
    }
    if (status == OD_OK) {
        status = write_file(&ranking, od_present_latex, request->latex, err);
    }
    if (status == OD_OK) {
        status = request->json ? print_json(&ranking, err) : od_present_text(&ranking, stdout, err);
    }
    od_ranking_release(&ranking);
    return status;
}

static const char details[] =
    "Ranks evaluated suites (folders that `oneday eval` wrote, or run directories with one suite), or\n"
    "a table of metrics: JSON [[\"entry\", {\"metric\": number or null}], ...] or CSV with the entry in\n"
    "the first column and the metrics in the header.\n"
    "\n"
    "Formulas: final-2023, hidden-2023, open-2023, bot-2023 (as the challenge of 2023 ranked),\n"
    "site-2023, proposal-2023 (as its site announced) and helm (HELM's mean win rate). Without --formula it is final-2023 when all of its metrics are there, else helm.\n"
    "\n"
    "A value that was not measured is shown as undefined with its reason, also where the formula has\n"
    "to count it as 0 or 1000. Where the values have intervals, entries that differ by no more than\n"
    "noise share a place in the column 'within noise'.";

int od_cmd_score(struct od_cli *cli, int argc, char **argv)
{
    struct request request = {0};
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('t', "table", "FILE", &request.table,
                          "a table of metrics (JSON or CSV) instead of suites", NULL),
        OD_OPTION_TEXT_OF(
            'f', "formula", "NAME", &request.formula,
            "final-2023, hidden-2023, open-2023, bot-2023, site-2023, proposal-2023 or "
            "helm",
            NULL),
        OD_OPTION_TEXT_OF(0, "html", "FILE", &request.html, "write the board as a page", NULL),
        OD_OPTION_TEXT_OF(0, "csv", "FILE", &request.csv, "write the board as CSV", NULL),
        OD_OPTION_TEXT_OF(0, "latex", "FILE", &request.latex, "write the board as LaTeX tables",
                          NULL),
    };
    const struct od_command_spec spec = {
        .name = "score",
        .arguments =
            "DIR...|--table FILE [--formula NAME] [--html FILE] [--csv FILE] [--latex FILE]",
        .summary = "rank suites or a table of metrics",
        .details = details,
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 0,
        .max_args = -1};
    struct od_args args = {0};
    struct od_error err = {0};
    struct od_board board = {0};
    const struct od_formula *formula = NULL;
    enum od_status status = OD_OK;
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    request.json = cli->json;
    if (request.table ? args.count > 0 : args.count == 0) {
        status = od_fail(&err, OD_E_ARGUMENT,
                         "give suites or --table FILE, %s; see 'oneday score --help'",
                         request.table ? "not both" : "one of them");
        return od_command_fail(&spec, status, &err);
    }
    if (request.formula) {  // a wrong name is told before anything is read
        status = od_formula_find(request.formula, &formula, &err);
    }
    if (status == OD_OK) {
        status = request.table ? od_board_read(request.table, &board, &err)
                               : od_board_read_suites((const char *const *)args.values,
                                                      (size_t)args.count, &board, &err);
    }
    if (status == OD_OK) {
        status = rank_and_show(&request, &board, &err);
    }
    od_board_release(&board);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}
