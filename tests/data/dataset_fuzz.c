// Goal: no bytes in a data file make the reader of rows crash, loop or read beyond its text.
// Method: the first byte chooses layout and type, the rest is the file. Every row is read; lines
// never go back (but in trees, whose order is their own), and what is lent is valid UTF-8 (a NUL may
// be in it).
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "data/dataset.h"
#include "data/rows.h"
#include "fuzz.h"
#include "text/chat_template.h"

static bool is_valid(const char *text, size_t size)
{
    return od_utf8_invalid_at(text, size) == size;
}

static void check_row(const struct od_row *row, int64_t line)
{
    if (row->line < line || (row->text && !is_valid(row->text, row->text_size))) {
        __builtin_trap();
    }
    for (size_t i = 0; i < row->turn_count; i++) {
        const struct od_turn *turn = &row->turns[i];
        if (!is_valid(turn->prompt, turn->prompt_size) ||
            !is_valid(turn->answer, turn->answer_size) || turn->answer_size == 0) {
            __builtin_trap();
        }
    }
}

static void read_all(struct od_rows *rows, bool ordered)
{
    struct od_error err = {0};
    int64_t line = 0;
    for (;;) {
        struct od_row row = {0};
        bool more = false;
        if (od_rows_next(rows, &row, &more, &err) != OD_OK || !more) {
            return;
        }
        check_row(&row, ordered ? line : 0);
        line = row.line;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"a.jsonl", "a.json", "a.txt.gz", "a.csv", "a.tsv.xz"};
    static struct od_rows rows;
    struct od_error err = {0};
    struct od_chat_template *chat_template = NULL;
    if (size < 1) {
        return 0;
    }
    // The first three layouts and types keep their numbers in the corpus.
    const unsigned choice = data[0];
    const unsigned layout = choice < 9 ? choice % 3 : choice % 5;
    const unsigned type = choice < 9 ? choice / 3 : choice / 5 % OD_DATASET_TYPES;
    const struct od_dataset_spec spec = {.path = names[layout],
                                         .type = (enum od_dataset_type)type,
                                         .columns = choice > 128 ? "instruction,output" : NULL,
                                         .format = choice > 192 ? "{instruction}: {input}" : NULL,
                                         .chat_template = "chatml"};
    char *text = od_memdup(data + 1, size - 1);
    if (!text || od_dataset_template(&spec, NULL, &chat_template, &err) != OD_OK) {
        od_free(text);
        return 0;
    }
    const struct od_rows_options options = {.spec = &spec, .chat_template = chat_template};
    if (od_rows_init(&rows, &options, text, size - 1, &err) == OD_OK) {
        read_all(&rows, spec.type != OD_DATASET_OASST);
        od_rows_release(&rows);
    }
    od_chat_template_free(chat_template);
    return 0;
}
