// Goal: no log and no board.json, right or wrong, breaks the report's readers and charts or the live page.

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "flow/chart.h"
#include "flow/live_log.h"
#include "flow/report.h"
#include "flow/report_internal.h"
#include "flow/report_log.h"
#include "flow/watch_page.h"
#include "formats/json.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct od_report_log log = {0};
    struct od_buf out;
    json_t *board = NULL;
    od_buf_init(&out, OD_REPORT_MAX_BYTES);
    if (od_report_log_parse(text, size, &log, NULL) == OD_OK && log.count > 0) {
        const size_t stride = sizeof log.steps[0] / sizeof(double);
        const struct od_chart_series series = {.x = &log.steps[0].step,
                                               .y = &log.steps[0].loss,
                                               .x_stride = stride,
                                               .y_stride = stride,
                                               .count = log.count,
                                               .style = 1};
        const struct od_chart chart = {.id = "c",
                                       .title = "t",
                                       .description = "d",
                                       .x_name = "x",
                                       .y_name = "y",
                                       .series = &series,
                                       .series_count = 1};
        od_chart_lines(&out, &chart);
        const struct od_live_log live = {.log = log, .exists = true, .changed_s = 1e9};
        const struct od_watch_length length = {.epochs = 2.5, .budget_s = 60.0};
        const enum od_status ignored = od_watch_put_live(&out, &live, &length, 1e9, NULL);
        (void)ignored;
    }
    od_report_log_release(&log);
    if (od_json_parse(text, size, "board", &board, NULL) == OD_OK) {
        const enum od_status ignored = od_report_scores(&out, board, NULL);
        (void)ignored;
    }
    json_decref(board);
    od_buf_release(&out);
    return 0;
}
