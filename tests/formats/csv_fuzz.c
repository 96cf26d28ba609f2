// CSV: any text of UTF-8 without NUL parses, and its fields written in quotes parse to the same.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/csv.h"
#include "fuzz.h"

static void write_rows(const struct od_csv *csv, char delimiter, struct od_buf *out)
{
    for (size_t i = 0; i < csv->count; i++) {
        for (size_t k = 0; k < csv->rows[i].count; k++) {
            const struct od_csv_field *field = &csv->rows[i].fields[k];
            if (k > 0) {
                od_buf_putc(out, delimiter);
            }
            od_buf_putc(out, '"');
            for (size_t c = 0; c < field->size; c++) {
                if (field->text[c] == '"') {
                    od_buf_putc(out, '"');
                }
                od_buf_putc(out, field->text[c]);
            }
            od_buf_putc(out, '"');
        }
        od_buf_putc(out, '\n');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_csv csv = {0};
    struct od_csv again = {0};
    struct od_buf buf;
    const char delimiter = size > 0 && data[0] == '\t' ? '\t' : ',';
    if (od_csv_parse((const char *)data, size, delimiter, "fuzz", &csv, &err) != OD_OK) {
        return 0;
    }
    od_buf_init(&buf, 64 << 20);
    write_rows(&csv, delimiter, &buf);
    if (od_buf_check(&buf, &err) == OD_OK) {
        const enum od_status status =
            od_csv_parse(od_buf_text(&buf), buf.size, delimiter, "again", &again, &err);
        assert(status == OD_OK);
        assert(again.count == csv.count);
        for (size_t i = 0; i < csv.count; i++) {
            assert(again.rows[i].count == csv.rows[i].count);
            for (size_t k = 0; k < csv.rows[i].count; k++) {
                assert(strcmp(again.rows[i].fields[k].text, csv.rows[i].fields[k].text) == 0);
            }
        }
    }
    od_csv_release(&again);
    od_csv_release(&csv);
    od_buf_release(&buf);
    return 0;
}
