// Goal: no bytes in a data file make the reader of rows crash, loop or read beyond its text.
// Method: the first byte chooses layout and type, the rest is the file. Every row is read; lines
// never go back, and what is lent is valid UTF-8 (a NUL may be in it).
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "fuzz.h"

static void check_row(const struct od_row *row, int64_t line)
{
    if (row->line < line || !row->answer ||
        od_utf8_invalid_at(row->answer, row->answer_size) != row->answer_size ||
        (row->prompt && od_utf8_invalid_at(row->prompt, row->prompt_size) != row->prompt_size)) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.jsonl", "a.json", "a.txt.gz"};
    struct od_error err = {0};
    struct od_rows rows = {0};
    if (size < 1) {
        return 0;
    }
    char *text = od_memdup(data + 1, size - 1);
    if (!text) {
        return 0;
    }
    const enum od_dataset_type type = (enum od_dataset_type)(data[0] / 3 % 3);
    if (od_rows_init(&rows, names[data[0] % 3], type, text, size - 1, &err) != OD_OK) {
        return 0;
    }
    bool more = true;
    int64_t line = 0;
    while (more) {
        struct od_row row = {0};
        if (od_rows_next(&rows, &row, &more, &err) != OD_OK) {
            break;
        }
        if (more) {
            check_row(&row, line);
            line = row.line;
        }
    }
    od_rows_release(&rows);
    return 0;
}
