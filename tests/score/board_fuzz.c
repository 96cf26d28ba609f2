// Goal: no table, JSON or CSV, right or wrong, breaks the reader, the formulas or the presentations.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "fuzz.h"
#include "score/board.h"
#include "score/formula.h"
#include "score/noise.h"
#include "score/present.h"

static void show(const struct od_ranking *ranking)
{
    struct od_buf buf;
    od_buf_init(&buf, OD_PRESENT_MAX_BYTES);
    const enum od_status html = od_present_html(ranking, &buf, NULL);
    const enum od_status json = od_present_json(ranking, &buf, NULL);
    const enum od_status csv = od_present_csv(ranking, &buf, NULL);
    const enum od_status latex = od_present_latex(ranking, &buf, NULL);
    if (html != OD_OK || json != OD_OK || csv != OD_OK || latex != OD_OK) {
        __builtin_trap();
    }
    od_buf_release(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"t.csv", "t.json", "t"};
    size_t formula_count = 0;
    const struct od_formula *formulas = od_formulas(&formula_count);
    for (size_t n = 0; n < 3; n++) {
        struct od_board board = {0};
        if (od_board_parse((const char *)data, size, names[n], &board, NULL) != OD_OK) {
            continue;
        }
        for (size_t f = 0; f < formula_count && board.entry_count <= 64; f++) {
            struct od_ranking ranking = {0};
            if (od_rank(&board, &formulas[f], &ranking, NULL) == OD_OK) {
                const bool small = board.entry_count <= 3 && board.metric_count <= 4;
                if (small && od_ranking_add_noise(&ranking, NULL) != OD_OK) {
                    __builtin_trap();
                }
                show(&ranking);
                od_ranking_release(&ranking);
            }
        }
        od_board_release(&board);
    }
    return 0;
}
