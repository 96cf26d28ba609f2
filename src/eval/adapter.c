#include "eval/adapter.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "infer/responder.h"
#include "text/tokenizer.h"

void od_request_states_release(struct od_request_states *states)
{
    for (size_t i = 0; i < states->count; i++) {
        od_free(states->items[i].prompt);
        od_process_result_release(&states->items[i].result);
    }
    od_free(states->items);
    *states = (struct od_request_states){0};
}

void od_letter_text(size_t index, char out[5])
{
    const int length = od_utf8_encode((uint32_t)('A' + index), out);
    out[length] = '\0';
}

static void append_references(const struct od_adapter_spec *adapter,
                              const struct od_instance *instance, struct od_buf *out)
{
    char letter[5];
    for (size_t i = 0; i < instance->reference_count; i++) {
        od_letter_text(i, letter);
        for (const char *at = adapter->reference_prefix; *at != '\0'; at++) {
            if (*at == 'A') {
                od_buf_puts(out, letter);
            } else {
                od_buf_putc(out, *at);
            }
        }
        od_buf_puts(out, instance->references[i].text);
        od_buf_puts(out, adapter->reference_suffix);
    }
}

static void append_block(const struct od_adapter_spec *adapter, const struct od_instance *instance,
                         bool with_output, struct od_buf *out)
{
    const bool joint = adapter->method == OD_ADAPT_MULTIPLE_CHOICE_JOINT;
    const size_t right = od_instance_first_correct(instance);
    char letter[5];

    od_buf_puts(out, adapter->input_prefix);
    od_buf_puts(out, instance->input);
    od_buf_puts(out, adapter->input_suffix);
    if (joint) {
        append_references(adapter, instance, out);
    }
    if (!with_output) {
        const size_t size = od_rstrip_size(adapter->output_prefix, strlen(adapter->output_prefix));
        od_buf_append(out, adapter->output_prefix, size);
        return;
    }
    od_buf_puts(out, adapter->output_prefix);
    if (right == instance->reference_count) {
        od_buf_puts(out, "n/a");
    } else if (joint) {
        od_letter_text(right, letter);
        od_buf_puts(out, letter);
    } else {
        od_buf_puts(out, instance->references[right].text);
    }
    od_buf_puts(out, adapter->output_suffix);
}

void od_prompt_build(const struct od_adapter_spec *adapter,
                     const struct od_instance *const *examples, size_t count,
                     const struct od_instance *eval, struct od_buf *out)
{
    if (adapter->instructions[0] != '\0') {
        od_buf_puts(out, adapter->instructions);
        od_buf_puts(out, adapter->instance_prefix);
    }
    for (size_t i = 0; i < count; i++) {
        append_block(adapter, examples[i], true, out);
        od_buf_puts(out, adapter->instance_prefix);
    }
    append_block(adapter, eval, false, out);
}

enum od_status od_token_count(const struct od_responder *responder, const char *text, size_t size,
                              int64_t *ret, struct od_error *err)
{
    struct od_ids ids;
    od_ids_init(&ids, OD_PROMPT_MAX_BYTES);
    enum od_status status =
        responder->tokenize(responder->context, text, size, false, OD_WINDOW_TOKENS, &ids, err);
    if (status == OD_OK) {
        status = od_ids_check(&ids, err);
    }
    if (status == OD_OK) {
        *ret = (int64_t)ids.count;
    } else if (status == OD_E_IO) {
        *ret = 0;
        status = OD_OK;
    }
    od_ids_release(&ids);
    return status;
}

// Cut `text` to at most `max_length` tokens by a way through ids and back; "" when it fails.
static enum od_status cut_by_tokens(const struct od_responder *responder, const struct od_buf *text,
                                    int64_t max_length, struct od_buf *out, struct od_error *err)
{
    struct od_ids ids;
    od_ids_init(&ids, OD_PROMPT_MAX_BYTES);
    enum od_status status = responder->tokenize(responder->context, od_buf_text(text), text->size,
                                                true, max_length, &ids, err);
    if (status == OD_OK) {
        status = od_ids_check(&ids, err);
    } else if (status == OD_E_IO) {
        od_ids_reset(&ids);
        status = OD_OK;
    }
    if (status == OD_OK) {
        status = responder->decode(responder->context, ids.data, ids.count, out, err);
        if (status == OD_OK) {
            status = od_buf_check(out, err);
        } else if (status == OD_E_IO) {
            od_buf_reset(out);
            status = OD_OK;
        }
    }
    od_ids_release(&ids);
    return status;
}

static size_t without_last_character(const char *text, size_t size)
{
    do {
        size--;
    } while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80);
    return size;
}

static enum od_status truncate_prompt(const struct od_adapter_spec *adapter,
                                      const struct od_responder *responder, int64_t window,
                                      struct od_buf *prompt, bool *ret_truncated,
                                      int64_t *ret_tokens, struct od_error *err)
{
    struct od_buf cut;
    int64_t tokens = 0;
    od_buf_init(&cut, OD_PROMPT_MAX_BYTES);
    enum od_status status =
        cut_by_tokens(responder, prompt, window - adapter->max_tokens, &cut, err);
    size_t size = cut.size;

    while (status == OD_OK) {
        status = od_token_count(responder, od_buf_text(&cut), size, &tokens, err);
        if (status != OD_OK || tokens + adapter->max_tokens <= window || size == 0) {
            break;
        }
        size = without_last_character(cut.bytes, size);
    }
    if (status == OD_OK &&
        od_utf8_count(od_buf_text(&cut), size) < od_utf8_count(od_buf_text(prompt), prompt->size)) {
        *ret_truncated = true;
        if (size > 0) {  // HELM marks an empty text as truncated and sends the full one
            od_buf_reset(prompt);
            od_buf_append(prompt, cut.bytes, size);
            status = od_buf_check(prompt, err);
        }
    }
    if (status == OD_OK && size > 0 && size == prompt->size &&
        memcmp(cut.bytes, prompt->bytes, size) == 0) {
        *ret_tokens = tokens;  // of the very text that is sent
    }
    od_buf_release(&cut);
    return status;
}

enum od_status od_prompt_fit(const struct od_adapter_spec *adapter,
                             const struct od_responder *responder, int64_t window,
                             const struct od_instance *const *examples, size_t count,
                             struct od_request_state *state, struct od_error *err)
{
    struct od_buf prompt;
    bool truncated = false;
    bool fits = false;
    int64_t tokens = 0;
    enum od_status status = OD_OK;

    od_buf_init(&prompt, OD_PROMPT_MAX_BYTES);
    for (;;) {
        od_buf_reset(&prompt);
        od_prompt_build(adapter, examples, count, state->instance, &prompt);
        status = od_buf_check(&prompt, err);
        if (status != OD_OK || count == 0) {
            break;
        }
        status = od_token_count(responder, od_buf_text(&prompt), prompt.size, &tokens, err);
        fits = status == OD_OK && tokens + adapter->max_tokens <= window;
        if (status != OD_OK || fits) {
            break;
        }
        count--;
    }
    if (status == OD_OK && !fits) {
        tokens = 0;
        status = truncate_prompt(adapter, responder, window, &prompt, &truncated, &tokens, err);
    }
    if (status == OD_OK) {
        state->prompt_size = prompt.size;
        state->prompt = od_buf_take(&prompt);
        state->num_train_instances = (int64_t)count;
        state->prompt_truncated = truncated;
        state->num_prompt_tokens = tokens;
    }
    od_buf_release(&prompt);
    return status;
}

struct od_process_request od_request_of(const struct od_adapter_spec *adapter,
                                        const struct od_request_state *state)
{
    const bool joint = adapter->method == OD_ADAPT_MULTIPLE_CHOICE_JOINT;
    struct od_process_request request = OD_PROCESS_REQUEST_INIT;
    request.prompt = state->prompt;
    request.prompt_size = state->prompt_size;
    request.max_new_tokens = adapter->max_tokens;
    request.temperature = fpclassify(adapter->temperature) == FP_ZERO ? 1e-7 : adapter->temperature;
    request.top_p = 1.0;
    // HELM's top_k_per_token: how many alternatives a token lists, no limit on what is drawn.
    request.top_logprobs = joint ? adapter->num_outputs : 1;
    if (!joint) {
        request.stop = adapter->stop;
        request.stop_count = adapter->stop_count;
    }
    return request;
}
