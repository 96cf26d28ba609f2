// JSON: whatever parses is written and parses again to the same value.

#include <assert.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "fuzz.h"

static void check_style(const json_t *value, enum od_json_style style, bool ascii)
{
    struct od_error err = {0};
    struct od_buf buf;
    struct od_json_writer w;
    json_t *again = NULL;
    od_buf_init(&buf, 64 << 20);
    od_json_writer_init(&w, &buf, style, ascii);
    od_json_put_value(&w, value);
    if (od_buf_check(&buf, &err) == OD_OK) {
        const enum od_status status = od_json_parse(buf.bytes, buf.size, "again", &again, &err);
        assert(status == OD_OK);
        assert(json_equal(value, again));
        json_decref(again);
    }
    od_buf_release(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    json_t *value = NULL;
    if (od_json_parse((const char *)data, size, "fuzz", &value, &err) == OD_OK) {
        check_style(value, OD_JSON_COMPACT, true);
        check_style(value, OD_JSON_INDENT_2, false);
        json_decref(value);
    }
    return 0;
}
