// Goal: no template makes the parser or a rendering crash, loop or pass its limits, and the same
// template renders twice to the same text.
// Method: the bytes are the template; it is rendered with a small conversation.
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "fuzz.h"
#include "text/jinja.h"

enum { OUT_MAX_BYTES = 1 << 16, TEMPLATE_MAX_BYTES = 4096 };

static const char variables_text[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"s\"}, {\"role\": \"user\", \"content\": "
    "\" \\u00e9 \"}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"function\": "
    "{\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5, true]}}}]}], \"bos_token\": \"<s>\", "
    "\"eos_token\": \"</s>\", \"add_generation_prompt\": true, \"n\": 3}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_jinja *jinja = NULL;
    json_t *variables = NULL;
    struct od_buf out[2];
    enum od_status status[2];
    if (size > TEMPLATE_MAX_BYTES ||
        od_jinja_parse((const char *)data, size, "t", &jinja, &err) != OD_OK) {
        return 0;
    }
    if (od_json_parse(variables_text, sizeof variables_text - 1, "v", &variables, &err) == OD_OK) {
        for (size_t i = 0; i < 2; i++) {
            od_buf_init(&out[i], OUT_MAX_BYTES);
            status[i] = od_jinja_render(jinja, variables, &out[i], &err);
        }
        if (status[0] != status[1] || out[0].size != out[1].size ||
            memcmp(od_buf_text(&out[0]), od_buf_text(&out[1]), out[0].size) != 0) {
            __builtin_trap();
        }
        od_buf_release(&out[0]);
        od_buf_release(&out[1]);
    }
    json_decref(variables);
    od_jinja_free(jinja);
    return 0;
}
