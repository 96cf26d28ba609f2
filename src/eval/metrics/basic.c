#include "eval/metrics/basic.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/metrics/match.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/run_spec.h"
#include "infer/responder.h"

static struct od_stat_name name_of(const char *name, const struct od_instance *instance)
{
    return (struct od_stat_name){name, true, instance->split, instance->perturbation};
}

static void put(struct od_stats *out, const struct od_instance *instance, const char *name,
                struct od_number value)
{
    struct od_stat stat = od_stat_init(name_of(name, instance));
    od_stat_add(&stat, value);
    od_stats_append(out, &stat);
}

static void put_int(struct od_stats *out, const struct od_instance *instance, const char *name,
                    int64_t value)
{
    put(out, instance, name, od_number_int(value));
}

static void put_nothing(struct od_stats *out, const struct od_instance *instance, const char *name)
{
    const struct od_stat stat = od_stat_init(name_of(name, instance));
    od_stats_append(out, &stat);
}

static void put_general(const struct od_adapter_spec *adapter, const struct od_request_state *state,
                        struct od_stats *out)
{
    const struct od_instance *instance = state->instance;
    const struct od_process_result *result = &state->result;

    put_int(out, instance, "num_references", (int64_t)instance->reference_count);
    put_int(out, instance, "num_train_trials", adapter->num_train_trials);
    put_int(out, instance, "num_prompt_tokens", state->num_prompt_tokens);
    put_int(out, instance, "num_completion_tokens", (int64_t)result->token_count);
    put_int(out, instance, "num_output_tokens", (int64_t)result->token_count);
    put_nothing(out, instance, "training_co2_cost");
    put_nothing(out, instance, "training_energy_cost");
    put(out, instance, "inference_runtime", od_number_float(result->request_time_s));
    put_int(out, instance, "batch_size", 1);
    // HELM's client for a model behind HTTP never learns why an answer ended.
    put_int(out, instance, "finish_reason_length", 0);
    put_int(out, instance, "finish_reason_stop", 0);
    put_int(out, instance, "finish_reason_endoftext", 0);
    put_int(out, instance, "finish_reason_unknown", 1);
    put_int(out, instance, "num_train_instances", state->num_train_instances);
    put_int(out, instance, "prompt_truncated", state->prompt_truncated);
}

// The answer that is compared: the text without white space around it; for multiple choice the
// text of the reference whose letter it is, or nothing.
static struct od_slice prediction(const struct od_adapter_spec *adapter,
                                  const struct od_request_state *state)
{
    const struct od_instance *instance = state->instance;
    struct od_slice text = {state->result.text, state->result.text_size};
    char letter[5];

    od_strip(&text.bytes, &text.size);
    if (adapter->method != OD_ADAPT_MULTIPLE_CHOICE_JOINT) {
        return text;
    }
    for (size_t i = 0; i < instance->reference_count; i++) {
        od_letter_text(i, letter);
        if (strlen(letter) == text.size && memcmp(letter, text.bytes, text.size) == 0) {
            return od_slice_of(instance->references[i].text);
        }
    }
    return (struct od_slice){NULL, 0};
}

static enum od_status score(const struct od_basic_metric *metric, const char *name,
                            const struct od_request_state *state, struct od_number *ret,
                            struct od_error *err)
{
    const struct od_instance *instance = state->instance;
    const struct od_slice pred = prediction(metric->adapter, state);
    bool any = false;

    for (size_t i = 0; i < instance->reference_count; i++) {
        struct od_number value = {0.0, true};
        if (!instance->references[i].correct) {
            continue;
        }
        const enum od_status status = od_match(
            name, metric->words, od_slice_of(instance->references[i].text), pred, &value, err);
        if (status != OD_OK) {
            return status;
        }
        if (!any || value.value > ret->value) {
            *ret = value;
        }
        any = true;
    }
    return any ? OD_OK
               : od_fail(err, OD_E_FORMAT, "instance '%s' has no correct reference", instance->id);
}

enum od_status od_basic_score(const struct od_basic_metric *metric, const char *name,
                              const struct od_request_state *state, struct od_arena *arena,
                              struct od_stats *out, struct od_error *err)
{
    char at_k[128];
    struct od_number value = {0.0, true};
    const int64_t outputs = metric->adapter->num_outputs;
    if (od_match_needs_words(name) && !metric->words) {
        return OD_OK;
    }
    const enum od_status status = score(metric, name, state, &value, err);
    if (status != OD_OK) {
        return status;
    }
    put(out, state->instance, name, value);
    if (outputs != 1) {  // one answer comes back, so the best of k is that one
        (void)snprintf(at_k, sizeof at_k, "%s@%lld", name, (long long)outputs);
        const char *kept = od_arena_strdup(arena, at_k);
        if (!kept) {
            return od_fail(err, OD_E_MEMORY, "no memory for the name of a statistic");
        }
        put(out, state->instance, kept, value);
    }
    return OD_OK;
}

// UTF-8 length of a token's text; the form bytes:\x99 counts the bytes that it stands for.
static int64_t token_bytes(const char *text)
{
    static const char mark[] = "bytes:";
    int64_t count = 0;
    if (strncmp(text, mark, sizeof mark - 1) != 0) {
        return (int64_t)strlen(text);
    }
    for (const char *at = strstr(text, "\\x"); at; at = strstr(at + 2, "\\x")) {
        count++;
    }
    return count;
}

enum od_status od_basic_evaluate(const struct od_basic_metric *metric,
                                 const struct od_request_state *state, struct od_arena *arena,
                                 struct od_stats *out, struct od_error *err)
{
    const struct od_process_result *result = &state->result;
    struct od_number logprob = od_number_int(0);
    int64_t bytes = 0;

    put_general(metric->adapter, state, out);
    if (state->instance->reference_count > 0) {
        put(out, state->instance, "max_prob", od_number_float(exp(result->logprob)));
    }
    for (size_t i = 0; i < metric->name_count; i++) {
        const enum od_status status =
            od_basic_score(metric, metric->names[i], state, arena, out, err);
        if (status != OD_OK) {
            return status;
        }
    }
    for (size_t i = 0; i < result->token_count; i++) {
        logprob = od_number_float(logprob.value + result->tokens[i].logprob);
        bytes += token_bytes(result->tokens[i].text);
    }
    put(out, state->instance, "logprob", logprob);
    put_int(out, state->instance, "num_perplexity_tokens", (int64_t)result->token_count);
    put_int(out, state->instance, "num_bytes", bytes);
    return od_stats_check(out, err);
}

static double sum_of(const struct od_stats *stats, struct od_stat_name context, const char *name)
{
    context.name = name;
    const struct od_stat *stat = od_stats_find(stats, &context);
    return stat ? stat->sum.value : 0.0;
}

static void derive(struct od_stats *stats, struct od_stat_name context, const char *name,
                   double value)
{
    context.name = name;
    struct od_stat stat = od_stat_init(context);
    od_stat_add(&stat, od_number_float(value));
    od_stats_merge(stats, &stat);
}

void od_basic_derive(struct od_stats *stats, struct od_stat_name context)
{
    const double e = 2.718281828459045;  // Python's math.e: the base of pow, as HELM has it
    const double ln2 = log(2.0);
    const double logprob = sum_of(stats, context, "logprob");
    const double tokens = sum_of(stats, context, "num_perplexity_tokens");
    const double bytes = sum_of(stats, context, "num_bytes");
    if (tokens > 0.0) {
        derive(stats, context, "perplexity", pow(e, -logprob / tokens));
    }
    if (bytes > 0.0) {
        derive(stats, context, "bits_per_byte", -logprob / bytes / ln2);
        derive(stats, context, "logprob_per_byte", logprob / bytes);
    }
}
