// Goal: no body brings the readers down, and every refusal is JSON that says where.
// Method: the first byte chooses the endpoint; a refusal is parsed again.

#include <string.h>

#include "base/memory.h"
#include "formats/json.h"
#include "fuzz.h"
#include "infer/responder.h"
#include "serve/endpoints.h"
#include "serve/fields.h"

static void check_detail(const struct od_buf *detail)
{
    json_t *root = NULL;
    if (od_json_parse(od_buf_text(detail), detail->size, "detail", &root, NULL) != OD_OK ||
        json_array_size(json_object_get(root, "detail")) == 0) {
        __builtin_trap();
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const char *bytes = (const char *)data + 1;
    struct od_process_request process;
    size_t samples = 0;
    struct od_tokenize_request tokenize;
    struct od_decode_request decode;
    struct od_body body;
    struct od_buf detail;
    od_body_init(&body);
    od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
    const enum od_status status =
        data[0] % 3 == 0
            ? od_process_read(&body, bytes, size - 1, &process, &samples, &detail, NULL)
        : data[0] % 3 == 1 ? od_tokenize_read(&body, bytes, size - 1, &tokenize, &detail, NULL)
                           : od_decode_read(&body, bytes, size - 1, &decode, &detail, NULL);
    if (status == OD_E_FORMAT) {
        check_detail(&detail);
    } else if (status == OD_OK && data[0] % 3 == 0) {
        if (process.max_new_tokens < 0 || process.temperature < 0.0 || process.top_logprobs < 1 ||
            strlen(process.prompt) > process.prompt_size || samples < 1 ||
            samples > OD_PROCESS_SAMPLES_MAX || process.stop_count > OD_STOP_COUNT_MAX) {
            __builtin_trap();
        }
    }
    od_body_release(&body);
    od_buf_release(&detail);
    return 0;
}
