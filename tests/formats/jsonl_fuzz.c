// JSON Lines: the reader comes to the end of any text, also over broken lines.

#include <assert.h>
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "formats/jsonl.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_jsonl lines;
    size_t last = 0;
    od_jsonl_init(&lines, (const char *)data, size, "fuzz");
    lines.max_line_bytes = 1000;
    for (;;) {
        json_t *value = NULL;
        const enum od_status status = od_jsonl_next(&lines, &value, &err);
        if (status == OD_OK && !value) {
            break;
        }
        assert(lines.line > last);
        last = lines.line;
        json_decref(value);
    }
    return 0;
}
