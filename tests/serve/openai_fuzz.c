// Goal: no body brings the readers of OpenAI's API and of /score down; every refusal is JSON, and what is
// read keeps to its limits.
// Method: the first byte chooses the endpoint; the responder is a stand-in without a model.

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "formats/json.h"
#include "fuzz.h"
#include "infer/responder.h"
#include "serve/fields.h"
#include "serve/openai.h"
#include "serve/score.h"
#include "serve/stand_in.h"

static void check_detail(const struct od_buf *detail)
{
    json_t *root = NULL;
    struct od_buf error;
    if (od_json_parse(od_buf_text(detail), detail->size, "detail", &root, NULL) != OD_OK ||
        json_array_size(json_object_get(root, "detail")) == 0) {
        __builtin_trap();
    }
    json_decref(root);
    od_buf_init(&error, OD_DETAIL_MAX_BYTES);
    od_openai_write_detail(&error, detail);
    root = NULL;
    if (od_json_parse(od_buf_text(&error), error.size, "error", &root, NULL) != OD_OK ||
        !json_is_string(json_object_get(json_object_get(root, "error"), "message"))) {
        __builtin_trap();
    }
    json_decref(root);
    od_buf_release(&error);
}

static void check_part(const struct od_process_request *part)
{
    if (part->max_new_tokens < 0 || !(part->temperature >= 0.0) || !(part->top_p >= 0.0) ||
        !(part->top_p <= 1.0) || part->top_logprobs < 1 ||
        part->top_logprobs > OD_TOP_LOGPROBS_MAX || part->stop_count > OD_STOP_COUNT_MAX ||
        strlen(part->prompt) > part->prompt_size) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 4096) {
        return 0;
    }
    const char *bytes = (const char *)data + 1;
    struct stand_in stand_in;
    struct od_openai_request openai = {0};
    struct od_score_request score = {0};
    struct od_body body;
    struct od_buf detail;
    stand_in_init(&stand_in);
    od_body_init(&body);
    od_buf_init(&detail, OD_DETAIL_MAX_BYTES);
    const enum od_status status =
        data[0] % 3 == 0 ? od_completions_read(&body, bytes, size - 1, &openai, &detail, NULL)
        : data[0] % 3 == 1
            ? od_chat_read(&body, &stand_in.responder, bytes, size - 1, &openai, &detail, NULL)
            : od_score_read(&body, &stand_in.responder, bytes, size - 1, &score, &detail, NULL);
    if (status == OD_E_FORMAT) {
        check_detail(&detail);
    }
    if (status == OD_OK &&
        (openai.part_count > OD_OPENAI_PARTS_MAX || score.part_count > OD_SCORE_COMPLETIONS_MAX ||
         openai.part_count + score.part_count < 1)) {
        __builtin_trap();
    }
    for (size_t i = 0; status == OD_OK && i < openai.part_count; i++) {
        check_part(&openai.parts[i]);
    }
    for (size_t i = 0; status == OD_OK && i < score.part_count; i++) {
        check_part(&score.parts[i]);
    }
    od_body_release(&body);
    od_buf_release(&detail);
    return 0;
}
