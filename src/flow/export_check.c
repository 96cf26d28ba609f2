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
#include "base/text.h"
#include "data/dataset.h"
#include "flow/convert_check.h"
#include "flow/exports.h"
#include "flow/forecast.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "infer/engine.h"
#include "model/spec.h"
#include "ops/op.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { PROMPTS = 8, PROMPT_IDS_MAX = 64, STREAM_PROMPTS = 0x45584348 };

// What a slow processor does in a second: where the time is enough for it, nothing is measured.
static const double SLOW_FLOPS = 5e9;
// Bytes per second that weights are guessed to be read and packed with, and what each of them takes.
static const double READ_BYTES_PER_S = 200e6;
static const double BYTES_PER_WEIGHT = 8.5;
// Of the measured rate of a product, whole passes reach this.
static const double SHARE_OF_RATE = 0.4;

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
    const struct od_export_check_options *options;
    struct od_engine *engine;
    float *logits;  // [PROMPT_IDS_MAX, vocab] of the export
    int64_t longest;
    bool asked;  // the session has given its answers
    struct answer answer[PROMPTS];
    struct od_export_check result;  // of the export that is looked at
};

// An export as it is opened, and how far apart it may be, measured by the largest logit, or by the loss.
struct side {
    const char *model;
    const char *adapter;    // NULL: what the model's folder says
    const char *tokenizer;  // folder; NULL: the one that is opened with the model
    double logit_bound;
    double loss_bound;
    bool losses_only;
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
    for (int i = 0; i < PROMPTS && status == OD_OK && !c->asked; i++) {
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
    c->asked = status == OD_OK;
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

static void judge(struct check *c, const struct side *side)
{
    struct od_export_check *result = &c->result;
    const double apart = fabs(result->loss_trained - result->loss_export);
    const bool logits_differ =
        result->has_logits && !side->losses_only &&
        result->compared.difference_max > side->logit_bound * fmax(result->compared.logit_max, 1.0);
    if (logits_differ || !(apart <= side->loss_bound * fmax(result->loss_trained, 1.0))) {
        decide(result, OD_EXPORT_DIFFERS,
               "the export does not answer as the weights that were trained");
    } else {
        decide(result, OD_EXPORT_SAME, "");
    }
}

// An engine takes the base model's tokenizer with an adapter; the one beside it is for others.
static enum od_status compare_tokenizers(const struct check *c, const struct side *side,
                                         struct od_error *err)
{
    const struct od_session *s = c->session;
    struct od_tokenizer *tokenizer = NULL;
    if (!side->tokenizer) {
        return od_convert_compare_tokenizers(s->tokenizer, od_engine_tokenizer(c->engine), err);
    }
    enum od_status status = od_tokenizer_open(side->tokenizer, &tokenizer, err);
    if (status == OD_OK) {
        od_tokenizer_set_bos_eos(tokenizer, s->spec.bos, s->spec.eos);
        status = od_convert_compare_tokenizers(s->tokenizer, tokenizer, err);
    }
    od_tokenizer_free(tokenizer);
    return status;
}

// An export that cannot be opened or asked is one that differs; `status` says whether it was.
static enum od_status compare(struct check *c, const struct side *side, struct od_error *err)
{
    const struct od_engine_options engine_options = {.threads = c->options->threads,
                                                     .no_vector = c->options->no_vector,
                                                     .adapter = side->adapter,
                                                     .slots = 1,
                                                     .context = c->longest,
                                                     .pass_tokens = c->longest};
    enum od_status status = od_engine_open(side->model, &engine_options, &c->engine, err);
    if (status == OD_OK) {
        status = compare_tokenizers(c, side, err);
    }
    if (status == OD_OK && od_engine_spec(c->engine)->vocab != c->session->spec.vocab) {
        status = od_fail(err, OD_E_FORMAT, "the export has another number of ids");
    }
    return status == OD_OK ? ask_export(c, err) : status;
}

// Seconds that a check takes, by what this machine does now.
static enum od_status measured_s(struct check *c, double flops, double *ret, struct od_error *err)
{
    double rate = 0.0;
    const enum od_status status =
        od_forecast_rate(&c->session->cpu, &c->session->spec, PROMPT_IDS_MAX, &rate, err);
    if (status == OD_OK) {
        *ret = flops / (rate * SHARE_OF_RATE);
    }
    return status;
}

// Say what is missing, and how it is done when it is there.
static void decide_later(struct check *c, const char *why)
{
    c->result.result = OD_EXPORT_NOT_CHECKED;
    (void)snprintf(c->result.why, sizeof c->result.why,
                   "%s; later: oneday tune %.300s/recipe.yaml -o %.300s --resume --check-export",
                   why, c->run_dir, c->run_dir);
}

// Whether it is worth trying; the result says why where it is not.
static enum od_status is_possible(struct check *c, double left_s, bool *ret, struct od_error *err)
{
    const double weights = (double)od_spec_parameters(&c->session->spec);
    const double flops = 2.0 * weights * 2.0 * (double)(PROMPTS * PROMPT_IDS_MAX);
    const double need = weights * BYTES_PER_WEIGHT;
    const double limit_s =
        c->options->all_time ? HUGE_VAL : fmin(left_s, (double)OD_EXPORT_CHECK_TIME_MAX_S);
    const uint64_t given = c->options->memory_max;
    const double free_bytes = (double)(given > 0 ? given : od_memory_available());
    double seconds = flops / SLOW_FLOPS;
    char text[256];
    char first[24];
    char second[24];
    *ret = false;
    if (!c->session->tokenizer) {
        decide(&c->result, OD_EXPORT_NOT_CHECKED, "without a tokenizer an export is not opened");
        return OD_OK;
    }
    if (c->longest < 2) {
        decide(&c->result, OD_EXPORT_NOT_CHECKED, "a pass holds less than two tokens");
        return OD_OK;
    }
    if (free_bytes > 0.0 && need > free_bytes) {
        od_bytes_text(need, first);
        od_bytes_text(free_bytes, second);
        (void)snprintf(text, sizeof text, "opening it needs %s of memory, %s are free", first,
                       second);
        decide_later(c, text);
        return OD_OK;
    }
    if (limit_s > 0.0 && seconds > limit_s) {
        const enum od_status status = measured_s(c, flops, &seconds, err);
        if (status != OD_OK) {
            return status;
        }
        seconds += weights * BYTES_PER_WEIGHT / READ_BYTES_PER_S;
    }
    *ret = seconds <= limit_s;
    if (!*ret) {
        od_seconds_text(seconds, first);
        od_seconds_text((double)OD_EXPORT_CHECK_TIME_MAX_S, second);
        if (left_s < (double)OD_EXPORT_CHECK_TIME_MAX_S) {
            (void)snprintf(text, sizeof text, "budget.time leaves no time, it takes about %s",
                           first);
        } else {
            (void)snprintf(text, sizeof text, "it takes about %s, and may take %s", first, second);
        }
        decide_later(c, text);
    }
    return OD_OK;
}

static void put_members(struct od_json_writer *w, const struct od_export_check *result)
{
    od_json_member_text(w, "result", result_names[result->result]);
    if (result->result != OD_EXPORT_SAME) {
        od_json_member_text(w, "why", result->why);
    }
    if (result->compared.prompts == 0) {
        return;
    }
    od_json_member_int(w, "prompts", result->compared.prompts);
    od_json_member_int(w, "positions", result->compared.positions);
    if (result->has_logits) {
        od_json_key(w, "logits");
        od_json_object_begin(w);
        od_json_member_number(w, "difference_max", result->compared.difference_max);
        od_json_member_number(w, "max", result->compared.logit_max);
        od_json_member_int(w, "same_best", result->compared.same_best);
        od_json_object_end(w);
    }
    od_json_member_number(w, "loss_trained", result->loss_trained);
    od_json_member_number(w, "loss_export", result->loss_export);
}

static enum od_status write_file(const struct od_export_check_context *context, const char *run_dir,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char name[64];
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, /* ascii= */ true);
    od_json_object_begin(&w);
    put_members(&w, &context->check);
    if (context->exports != 0) {
        od_json_key(&w, "exports");
        od_json_array_begin(&w);
        for (int i = 0; i < OD_RECIPE_EXPORTS; i++) {
            if ((context->exports & (1u << i)) != 0) {
                od_export_name(i, name);
                od_json_object_begin(&w);
                od_json_member_text(&w, "name", name);
                put_members(&w, &context->other[i]);
                od_json_object_end(&w);
            }
        }
        od_json_array_end(&w);
    }
    od_json_object_end(&w);
    od_buf_putc(&buf, '\n');
    enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        status = od_path_join(path, run_dir, OD_EXPORT_CHECK_FILE, err);
    }
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&buf), buf.size, err);
    }
    od_buf_release(&buf);
    return status;
}

static enum od_status run_check(struct check *c, const struct side *side, struct od_error *err)
{
    struct od_error why = {0};
    c->result.has_logits = !c->session->gpu;
    if (!c->logits) {
        c->logits = od_alloc((size_t)(PROMPT_IDS_MAX * c->session->spec.vocab), sizeof *c->logits);
    }
    if (!c->logits) {
        return od_fail(err, OD_E_MEMORY, "no memory for the logits of a prompt");
    }
    enum od_status status = ask_session(c, err);
    if (status != OD_OK) {
        return status;
    }
    status = compare(c, side, &why);
    od_engine_close(c->engine);
    c->engine = NULL;
    if (status == OD_E_MEMORY) {
        return od_fail(err, status, "%s", why.message);
    }
    if (status == OD_OK) {
        judge(c, side);
    } else {
        c->result.compared = (struct od_convert_check){0};
        decide(&c->result, OD_EXPORT_DIFFERS, why.message);
    }
    return OD_OK;
}

// One export; `name` stands in the warning.
static enum od_status check_side(struct check *c, const char *name, const struct side *side,
                                 double left_s, struct od_export_check *ret, struct od_error *err)
{
    bool possible = false;
    c->result = (struct od_export_check){0};
    enum od_status status = is_possible(c, left_s, &possible, err);
    if (status == OD_OK && possible) {
        status = run_check(c, side, err);
    }
    if (status == OD_OK && c->result.result == OD_EXPORT_DIFFERS) {
        od_log(OD_LOG_WARNING, "%s of '%s': %s", name, c->run_dir, c->result.why);
    }
    if (status == OD_OK) {
        *ret = c->result;
    }
    return status;
}

static enum od_status check_main(struct check *c, double left_s, struct od_export_check *ret,
                                 struct od_error *err)
{
    const struct od_session *s = c->session;
    const bool lora = s->recipe->method == OD_METHOD_LORA;
    const bool quantised = s->recipe->quant != OD_QUANT_NONE;
    // Nothing lies beside an adapter on a GGUF file, which has the tokenizer.
    const bool file = s->recipe->base_model && od_gguf_is_path(s->recipe->base_model);
    char folder[OD_PATH_MAX_BYTES];
    struct side side = {.model = c->run_dir,
                        .tokenizer = file ? NULL : folder,
                        .logit_bound = lora ? 0.001 : 0.05,
                        .losses_only = quantised};
    side.loss_bound = quantised ? 0.15 : s->gpu ? 0.03 : side.logit_bound;
    const enum od_status status = od_path_join(folder, c->run_dir, lora ? "adapter" : "model", err);
    return status == OD_OK ? check_side(c, "export", &side, left_s, ret, err) : status;
}

static enum od_status check_other(struct check *c, int index, double left_s,
                                  struct od_export_check *ret, struct od_error *err)
{
    const struct od_recipe *recipe = c->session->recipe;
    const unsigned bit = 1u << index;
    const bool decoded = recipe->merge_base && strcmp(recipe->merge_base, "dequant") == 0;
    struct od_export_place place;
    char name[64];
    const enum od_status status = od_export_find(c->session, c->run_dir, index, &place, err);
    struct side side = {.model = place.model,
                        .adapter = place.adapter[0] == '\0' ? NULL : place.adapter,
                        .logit_bound = bit == OD_RECIPE_ADAPTER_GGUF ? 0.001
                                       : bit == OD_RECIPE_GGUF_Q8_0  ? 0.15
                                                                     : 0.05,
                        .losses_only = recipe->quant != OD_QUANT_NONE &&
                                       (!decoded || bit == OD_RECIPE_ADAPTER_GGUF)};
    side.loss_bound = side.losses_only  ? 0.15
                      : c->session->gpu ? fmax(0.03, side.logit_bound)
                                        : side.logit_bound;
    od_export_name(index, name);
    return status == OD_OK ? check_side(c, name, &side, left_s, ret, err) : status;
}

static enum od_status check_all(struct check *c, struct od_export_check_context *context,
                                double left_s, struct od_error *err)
{
    const double start = od_clock_s();
    enum od_status status = check_main(c, left_s, &context->check, err);
    for (int i = 0; i < OD_RECIPE_EXPORTS && status == OD_OK; i++) {
        if ((context->exports & (1u << i)) != 0) {
            status = check_other(c, i, left_s - (od_clock_s() - start), &context->other[i], err);
        }
    }
    return status == OD_OK ? write_file(context, c->run_dir, err) : status;
}

enum od_status od_export_check_hook(void *context, struct od_session *session, const char *run_dir,
                                    double left_s, struct od_error *err)
{
    struct od_export_check_context *at = context;
    struct check c = {.session = session, .run_dir = run_dir, .options = &at->options};
    const double start = od_clock_s();
    const int64_t most = od_session_prompt_max(session);
    c.longest = most < PROMPT_IDS_MAX ? most : PROMPT_IDS_MAX;
    at->exports = session->recipe->exports;
    enum od_status status = od_exports_make(session, run_dir, at->options.threads, err);
    if (status == OD_OK) {
        status = check_all(&c, at, left_s - (od_clock_s() - start), err);
    }
    for (int i = 0; i < PROMPTS; i++) {
        od_free(c.answer[i].logits);
    }
    od_free(c.logits);
    return status;
}

static enum od_status read_members(const json_t *json, const char *path,
                                   struct od_export_check *ret, struct od_error *err)
{
    struct od_export_check check = {0};
    const char *name;
    const enum od_status status = od_json_text(json, "result", path, &name, err);
    if (status != OD_OK) {
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
    *ret = check;
    return OD_OK;
}

enum od_status od_export_check_read(const char *path, struct od_export_check_context *ret,
                                    struct od_error *err)
{
    struct od_export_check_context context = {0};
    json_t *json = NULL;
    enum od_status status = od_json_read(path, &json, err);
    if (status == OD_OK) {
        status = read_members(json, path, &context.check, err);
    }
    const json_t *exports = json_object_get(json, "exports");
    for (size_t i = 0; i < json_array_size(exports) && status == OD_OK; i++) {
        const json_t *one = json_array_get(exports, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        for (int index = 0; index < OD_RECIPE_EXPORTS && name && status == OD_OK; index++) {
            char known[64];
            od_export_name(index, known);
            if (strcmp(name, known) == 0) {
                context.exports |= 1u << index;
                status = read_members(one, path, &context.other[index], err);
            }
        }
    }
    json_decref(json);
    if (status == OD_OK) {
        *ret = context;
    }
    return status;
}

void od_export_check_text(const char *name, const struct od_export_check *check, struct od_buf *out)
{
    if (check->result == OD_EXPORT_NOT_CHECKED) {
        od_buf_printf(out, "%s was not opened again: %s", name, check->why);
        return;
    }
    od_buf_printf(out, "%s was opened again and ", name);
    od_buf_puts(out, check->result == OD_EXPORT_SAME ? "answers as what was trained" : "DIFFERS: ");
    od_buf_puts(out, check->why);
    if (check->compared.prompts == 0) {
        return;
    }
    od_buf_printf(out, " (%d prompt%s, %lld positions", check->compared.prompts,
                  od_plural(check->compared.prompts), (long long)check->compared.positions);
    if (check->has_logits) {
        od_buf_printf(out,
                      "; logits differ by at most %.3g of %.3g, the best token is the same at %lld",
                      check->compared.difference_max, check->compared.logit_max,
                      (long long)check->compared.same_best);
    }
    od_buf_printf(out, "; losses %.4f and %.4f)", check->loss_trained, check->loss_export);
}
