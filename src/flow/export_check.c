#include "flow/export_check.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "data/dataset.h"
#include "flow/convert_check.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "model/spec.h"
#include "ops/op.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { PROMPTS = 8, PROMPT_IDS_MAX = 64, STREAM_PROMPTS = 0x45584348 };

// What a slow processor does in a second, to guess whether the time is enough.
static const double SLOW_FLOPS = 5e9;

static const char *const result_names[] = {[OD_EXPORT_NOT_CHECKED] = "not checked",
                                           [OD_EXPORT_SAME] = "same",
                                           [OD_EXPORT_DIFFERS] = "differs"};

// A prompt, and what the session gives for it.
struct answer {
    int64_t count;
    int32_t ids[PROMPT_IDS_MAX];
    float *logits;  // [count, vocab]; NULL on a GPU
    double loss;
};

struct check {
    struct od_session *session;
    const char *run_dir;
    struct od_engine *engine;
    float *logits;  // [PROMPT_IDS_MAX, vocab] of the export
    int64_t longest;
    struct answer answer[PROMPTS];
    struct od_export_check result;
};

static void decide(struct od_export_check *check, enum od_export_result result, const char *why)
{
    check->result = result;
    (void)snprintf(check->why, sizeof check->why, "%s", why);
}

// The beginning of one of eight documents that lie far apart; seeded ids where there are fewer.
static void choose(const struct check *c, int index, struct answer *answer)
{
    const struct od_session *s = c->session;
    const struct od_dataset *data = s->validation.count > 0 ? &s->validation : &s->dataset;
    if (data->count >= PROMPTS) {
        const int64_t document = index * data->count / PROMPTS;
        const int64_t first = data->offset[document];
        const int64_t count = data->offset[document + 1] - first;
        answer->count = count < c->longest ? count : c->longest;
        memcpy(answer->ids, data->ids + first, (size_t)answer->count * sizeof *answer->ids);
    }
    if (answer->count < 2) {
        answer->count = c->longest;
        for (int64_t i = 0; i < answer->count; i++) {
            const uint32_t word =
                od_philox_draw(s->recipe->seed, STREAM_PROMPTS, (uint32_t)index, (uint64_t)i)
                    .word[0];
            answer->ids[i] = (int32_t)(word % (uint32_t)s->spec.vocab);
        }
    }
}

static enum od_status ask_session(struct check *c, struct od_error *err)
{
    enum od_status status = OD_OK;
    const size_t vocab = (size_t)c->session->spec.vocab;
    for (int i = 0; i < PROMPTS && status == OD_OK; i++) {
        struct answer *answer = &c->answer[i];
        choose(c, i, answer);
        if (!c->session->gpu) {
            answer->logits = od_alloc((size_t)answer->count * vocab, sizeof *answer->logits);
            if (!answer->logits) {
                return od_fail(err, OD_E_MEMORY, "no memory for the logits of a prompt");
            }
        }
        status = od_session_prompt(c->session, answer->ids, answer->count, answer->logits,
                                   &answer->loss, err);
    }
    return status;
}

// Mean over the ids behind the first.
static double loss_of(const float *logits, const int32_t *ids, int64_t count, int64_t vocab)
{
    double sum = 0.0;
    for (int64_t row = 0; row + 1 < count; row++) {
        const float *at = logits + row * vocab;
        double most = (double)at[0];
        double total = 0.0;
        for (int64_t i = 1; i < vocab; i++) {
            most = fmax(most, (double)at[i]);
        }
        for (int64_t i = 0; i < vocab; i++) {
            total += exp((double)at[i] - most);
        }
        sum += most + log(total) - (double)at[ids[row + 1]];
    }
    return sum / (double)(count - 1);
}

static enum od_status ask_export(struct check *c, struct od_error *err)
{
    struct od_export_check *result = &c->result;
    const int64_t vocab = c->session->spec.vocab;
    enum od_status status = OD_OK;
    for (int i = 0; i < PROMPTS && status == OD_OK; i++) {
        const struct answer *answer = &c->answer[i];
        status = od_engine_logits(c->engine, answer->ids, answer->count, c->logits, err);
        if (status != OD_OK) {
            return status;
        }
        const float *beside = answer->logits ? answer->logits : c->logits;
        if (!od_convert_compare_logits(beside, c->logits, answer->count, vocab,
                                       &result->compared)) {
            return od_fail(err, OD_E_FORMAT, "a logit of prompt %d is no number", i + 1);
        }
        result->loss_trained += answer->loss / (double)PROMPTS;
        result->loss_export +=
            loss_of(c->logits, answer->ids, answer->count, vocab) / (double)PROMPTS;
    }
    return OD_OK;
}

static void judge(struct check *c)
{
    const struct od_session *s = c->session;
    struct od_export_check *result = &c->result;
    const bool quantised = s->recipe->quant != OD_QUANT_NONE;
    const double logit_bound = s->recipe->method == OD_METHOD_LORA ? 0.001 : 0.05;
    const double loss_bound = quantised ? 0.15 : s->gpu ? 0.03 : logit_bound;
    const double apart = fabs(result->loss_trained - result->loss_export);
    const bool logits_differ =
        result->has_logits && !quantised &&
        result->compared.difference_max > logit_bound * fmax(result->compared.logit_max, 1.0);
    if (logits_differ || !(apart <= loss_bound * fmax(result->loss_trained, 1.0))) {
        decide(result, OD_EXPORT_DIFFERS,
               "the export does not answer as the weights that were trained");
    } else {
        decide(result, OD_EXPORT_SAME, "");
    }
}

// An engine takes the base model's tokenizer with an adapter; the one beside it is for others.
static enum od_status compare_tokenizers(const struct check *c, struct od_error *err)
{
    const struct od_session *s = c->session;
    char folder[OD_PATH_MAX_BYTES];
    struct od_tokenizer *tokenizer = NULL;
    if (s->recipe->base_model && od_gguf_is_path(s->recipe->base_model)) {
        // Nothing lies beside an adapter on such a file, which has the tokenizer.
        return od_convert_compare_tokenizers(s->tokenizer, od_engine_tokenizer(c->engine), err);
    }
    enum od_status status = od_path_join(
        folder, c->run_dir, s->recipe->method == OD_METHOD_LORA ? "adapter" : "model", err);
    if (status == OD_OK) {
        status = od_tokenizer_open(folder, &tokenizer, err);
    }
    if (status == OD_OK) {
        od_tokenizer_set_bos_eos(tokenizer, s->spec.bos, s->spec.eos);
        status = od_convert_compare_tokenizers(s->tokenizer, tokenizer, err);
    }
    od_tokenizer_free(tokenizer);
    return status;
}

// An export that cannot be opened or asked is one that differs; `status` says whether it was.
static enum od_status compare(struct check *c, const struct od_export_check_options *options,
                              struct od_error *err)
{
    const struct od_engine_options engine_options = {.threads = options->threads,
                                                     .no_vector = options->no_vector,
                                                     .slots = 1,
                                                     .context = c->longest,
                                                     .pass_tokens = c->longest};
    enum od_status status = od_engine_open(c->run_dir, &engine_options, &c->engine, err);
    if (status == OD_OK) {
        status = compare_tokenizers(c, err);
    }
    if (status == OD_OK && od_engine_spec(c->engine)->vocab != c->session->spec.vocab) {
        status = od_fail(err, OD_E_FORMAT, "the export has another number of ids");
    }
    return status == OD_OK ? ask_export(c, err) : status;
}

// Why it is not worth trying; NULL: it is.
static const char *reason_against(const struct check *c, double left_s, int64_t weights_max,
                                  char out[128])
{
    const double weights = (double)od_spec_parameters(&c->session->spec);
    const double passes = 2.0 * (double)(PROMPTS * PROMPT_IDS_MAX);
    if (!c->session->tokenizer) {
        return "without a tokenizer an export is not opened";
    }
    if (c->longest < 2) {
        return "a pass holds less than two tokens";
    }
    if (weights > (double)weights_max) {
        (void)snprintf(out, 128, "its model has %.0f weights; above %lld it is not opened", weights,
                       (long long)weights_max);
        return out;
    }
    return left_s < 2.0 * weights * passes / SLOW_FLOPS ? "budget.time leaves no time" : NULL;
}

static enum od_status write_file(const struct check *c, struct od_error *err)
{
    const struct od_export_check *result = &c->result;
    char path[OD_PATH_MAX_BYTES];
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, /* ascii= */ true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "result", result_names[result->result]);
    if (result->result != OD_EXPORT_SAME) {
        od_json_member_text(&w, "why", result->why);
    }
    if (result->compared.prompts > 0) {
        od_json_member_int(&w, "prompts", result->compared.prompts);
        od_json_member_int(&w, "positions", result->compared.positions);
        if (result->has_logits) {
            od_json_key(&w, "logits");
            od_json_object_begin(&w);
            od_json_member_number(&w, "difference_max", result->compared.difference_max);
            od_json_member_number(&w, "max", result->compared.logit_max);
            od_json_member_int(&w, "same_best", result->compared.same_best);
            od_json_object_end(&w);
        }
        od_json_member_number(&w, "loss_trained", result->loss_trained);
        od_json_member_number(&w, "loss_export", result->loss_export);
    }
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        status = od_path_join(path, c->run_dir, OD_EXPORT_CHECK_FILE, err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

static enum od_status run_check(struct check *c, const struct od_export_check_options *options,
                                struct od_error *err)
{
    struct od_error why = {0};
    c->result.has_logits = !c->session->gpu;
    c->logits = od_alloc((size_t)(PROMPT_IDS_MAX * c->session->spec.vocab), sizeof *c->logits);
    if (!c->logits) {
        return od_fail(err, OD_E_MEMORY, "no memory for the logits of a prompt");
    }
    enum od_status status = ask_session(c, err);
    if (status != OD_OK) {
        return status;
    }
    status = compare(c, options, &why);
    if (status == OD_E_MEMORY) {
        return od_fail(err, status, "%s", why.message);
    }
    if (status == OD_OK) {
        judge(c);
    } else {
        c->result.compared = (struct od_convert_check){0};
        decide(&c->result, OD_EXPORT_DIFFERS, why.message);
    }
    return OD_OK;
}

enum od_status od_export_check(struct od_session *session, const char *run_dir, double left_s,
                               const struct od_export_check_options *options,
                               struct od_export_check *ret, struct od_error *err)
{
    struct check c = {.session = session, .run_dir = run_dir};
    char text[128];
    enum od_status status = OD_OK;
    const int64_t most = od_session_prompt_max(session);
    c.longest = most < PROMPT_IDS_MAX ? most : PROMPT_IDS_MAX;
    const char *against = reason_against(
        &c, left_s, options->weights_max > 0 ? options->weights_max : OD_EXPORT_CHECK_WEIGHTS_MAX,
        text);
    if (against) {
        decide(&c.result, OD_EXPORT_NOT_CHECKED, against);
    } else {
        status = run_check(&c, options, err);
    }
    if (status == OD_OK) {
        status = write_file(&c, err);
    }
    if (status == OD_OK && c.result.result == OD_EXPORT_DIFFERS) {
        od_log(OD_LOG_WARNING, "export of '%s': %s", run_dir, c.result.why);
    }
    od_engine_close(c.engine);
    for (int i = 0; i < PROMPTS; i++) {
        od_free(c.answer[i].logits);
    }
    od_free(c.logits);
    if (status == OD_OK) {
        *ret = c.result;
    }
    return status;
}

enum od_status od_export_check_hook(void *context, struct od_session *session, const char *run_dir,
                                    double left_s, struct od_error *err)
{
    struct od_export_check_context *at = context;
    return od_export_check(session, run_dir, left_s, &at->options, &at->check, err);
}

enum od_status od_export_check_read(const char *path, struct od_export_check *ret,
                                    struct od_error *err)
{
    struct od_export_check check = {0};
    json_t *json = NULL;
    const char *name;
    enum od_status status = od_json_read(path, &json, err);
    if (status == OD_OK) {
        status = od_json_text(json, "result", path, &name, err);
    }
    if (status != OD_OK) {
        json_decref(json);
        return status;
    }
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, result_names[i]) == 0) {
            check.result = (enum od_export_result)i;
        }
    }
    const char *why = json_string_value(json_object_get(json, "why"));
    const json_t *logits = json_object_get(json, "logits");
    decide(&check, check.result, why ? why : "");
    check.has_logits = logits != NULL;
    check.compared.prompts = (int)json_integer_value(json_object_get(json, "prompts"));
    check.compared.positions = json_integer_value(json_object_get(json, "positions"));
    check.compared.difference_max = json_number_value(json_object_get(logits, "difference_max"));
    check.compared.logit_max = json_number_value(json_object_get(logits, "max"));
    check.compared.same_best = json_integer_value(json_object_get(logits, "same_best"));
    check.loss_trained = json_number_value(json_object_get(json, "loss_trained"));
    check.loss_export = json_number_value(json_object_get(json, "loss_export"));
    json_decref(json);
    *ret = check;
    return OD_OK;
}

void od_export_check_text(const struct od_export_check *check, struct od_buf *out)
{
    if (check->result == OD_EXPORT_NOT_CHECKED) {
        od_buf_printf(out, "the export was not opened again: %s", check->why);
        return;
    }
    od_buf_puts(out, "the export was opened again and ");
    od_buf_puts(out, check->result == OD_EXPORT_SAME ? "answers as what was trained" : "DIFFERS: ");
    od_buf_puts(out, check->why);
    if (check->compared.prompts == 0) {
        return;
    }
    od_buf_printf(out, " (%d prompts, %lld positions", check->compared.prompts,
                  (long long)check->compared.positions);
    if (check->has_logits) {
        od_buf_printf(out,
                      "; logits differ by at most %.3g of %.3g, the best token is the same at %lld",
                      check->compared.difference_max, check->compared.logit_max,
                      (long long)check->compared.same_best);
    }
    od_buf_printf(out, "; losses %.4f and %.4f)", check->loss_trained, check->loss_export);
}
