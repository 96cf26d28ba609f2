#include "eval/outputs.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/instance.h"
#include "eval/metrics/evaluate.h"
#include "eval/metrics/stat.h"
#include "eval/perturbations/perturb.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"
#include "formats/json.h"
#include "infer/responder.h"

#define DEFINITION_FOLDER \
    "https://github.com/stanford-crfm/helm/blob/main/src/helm/benchmark/scenarios/"

static void begin(struct od_json_writer *w, struct od_buf *out)
{
    od_json_writer_init(w, out, OD_JSON_INDENT_2, true);
}

static void put_list(struct od_json_writer *w, const char *const *items, size_t count)
{
    od_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        od_json_put_text(w, items[i]);
    }
    od_json_array_end(w);
}

static void put_args(struct od_json_writer *w, const struct od_spec_arg *args, size_t count)
{
    od_json_key(w, "args");
    od_json_object_begin(w);
    for (size_t i = 0; i < count; i++) {
        od_json_key(w, args[i].key);
        if (args[i].text) {
            od_json_put_text(w, args[i].text);
        } else {
            put_list(w, args[i].list, args[i].list_count);
        }
    }
    od_json_object_end(w);
}

static const char *method_name(const struct od_adapter_spec *adapter)
{
    return adapter->method == OD_ADAPT_GENERATION ? "generation" : "multiple_choice_joint";
}

static void put_temperature(struct od_json_writer *w, const struct od_adapter_spec *adapter)
{
    if (adapter->temperature_is_integer) {
        od_json_member_int(w, "temperature", (int64_t)adapter->temperature);
    } else {
        od_json_member_number(w, "temperature", adapter->temperature);
    }
}

static void put_adapter(struct od_json_writer *w, const struct od_adapter_spec *adapter)
{
    od_json_key(w, "adapter_spec");
    od_json_object_begin(w);
    od_json_member_text(w, "method", method_name(adapter));
    od_json_member_text(w, "global_prefix", "");
    od_json_member_text(w, "instructions", adapter->instructions);
    od_json_member_text(w, "input_prefix", adapter->input_prefix);
    od_json_member_text(w, "input_suffix", adapter->input_suffix);
    od_json_member_text(w, "reference_prefix", adapter->reference_prefix);
    od_json_member_text(w, "reference_suffix", adapter->reference_suffix);
    od_json_member_text(w, "output_prefix", adapter->output_prefix);
    od_json_member_text(w, "output_suffix", adapter->output_suffix);
    od_json_member_text(w, "instance_prefix", adapter->instance_prefix);
    od_json_key(w, "substitutions");
    put_list(w, NULL, 0);
    od_json_member_int(w, "max_train_instances", adapter->max_train_instances);
    if (adapter->has_max_eval_instances) {
        od_json_member_int(w, "max_eval_instances", adapter->max_eval_instances);
    }
    od_json_member_int(w, "num_outputs", adapter->num_outputs);
    od_json_member_int(w, "num_train_trials", adapter->num_train_trials);
    od_json_member_bool(w, "sample_train", true);
    od_json_member_text(w, "model", adapter->model);
    put_temperature(w, adapter);
    od_json_member_int(w, "max_tokens", adapter->max_tokens);
    od_json_key(w, "stop_sequences");
    put_list(w, adapter->stop, adapter->stop_count);
    od_json_member_bool(w, "multi_label", false);
    od_json_object_end(w);
}

static void put_null(struct od_json_writer *w, const char *key)
{
    od_json_key(w, key);
    od_json_put_null(w);
}

// {"race": "..."} under `key`.
static void put_race(struct od_json_writer *w, const char *key, const char *race)
{
    od_json_key(w, key);
    od_json_object_begin(w);
    od_json_member_text(w, "race", race);
    od_json_object_end(w);
}

// The arguments that HELM's classes of perturbations are made with.
static void put_perturbation_args(struct od_json_writer *w, enum od_perturbation_kind kind)
{
    od_json_key(w, "args");
    od_json_object_begin(w);
    switch (kind) {
    case OD_PERTURB_MILD_MIX: break;
    case OD_PERTURB_DIALECT:
        od_json_member_number(w, "prob", 1.0);
        od_json_member_text(w, "source_class", "SAE");
        od_json_member_text(w, "target_class", "AAVE");
        put_null(w, "mapping_file_path");
        break;
    case OD_PERTURB_GENDER:
        od_json_member_text(w, "mode", "pronouns");
        od_json_member_number(w, "prob", 1.0);
        od_json_member_text(w, "source_class", "male");
        od_json_member_text(w, "target_class", "female");
        put_null(w, "mapping_file_path");
        put_null(w, "mapping_file_genders");
        od_json_member_bool(w, "bidirectional", false);
        break;
    case OD_PERTURB_PERSON_NAME:
        od_json_member_number(w, "prob", 1.0);
        put_race(w, "source_class", "white_american");
        put_race(w, "target_class", "black_american");
        put_null(w, "name_file_path");
        od_json_member_text(w, "person_name_type", "first_name");
        od_json_member_bool(w, "preserve_gender", true);
        break;
    case OD_PERTURB_COUNT: break;
    }
    od_json_object_end(w);
}

static void put_augmentation(struct od_json_writer *w, const struct od_augmentation *augmentation)
{
    static const char *const classes[OD_PERTURB_COUNT] = {
        "mild_mix_perturbation.MildMixPerturbation", "dialect_perturbation.DialectPerturbation",
        "gender_perturbation.GenderPerturbation",
        "person_name_perturbation.PersonNamePerturbation"};
    static const char *const flags[] = {
        "should_include_original_train", "should_skip_unchanged_train",
        "should_augment_eval_instances", "should_include_original_eval",
        "should_skip_unchanged_eval"};
    od_json_key(w, "data_augmenter_spec");
    od_json_object_begin(w);
    od_json_key(w, "perturbation_specs");
    od_json_array_begin(w);
    for (size_t i = 0; i < OD_PERTURB_COUNT; i++) {
        char class_name[128];
        if (!augmentation || (augmentation->kinds & 1U << i) == 0) {
            continue;
        }
        (void)snprintf(class_name, sizeof class_name, "helm.benchmark.augmentations.%s",
                       classes[i]);
        od_json_object_begin(w);
        od_json_member_text(w, "class_name", class_name);
        put_perturbation_args(w, (enum od_perturbation_kind)i);
        od_json_object_end(w);
    }
    od_json_array_end(w);
    od_json_member_bool(w, "should_augment_train_instances", false);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        od_json_member_bool(w, flags[i], augmentation != NULL);
    }
    od_json_member_int(w, "seeds_per_instance", 1);
    od_json_object_end(w);
}

void od_output_run_spec(const struct od_run_spec *spec, struct od_buf *out)
{
    struct od_json_writer w;
    begin(&w, out);
    od_json_object_begin(&w);
    od_json_member_text(&w, "name", spec->name);
    od_json_key(&w, "scenario_spec");
    od_json_object_begin(&w);
    od_json_member_text(&w, "class_name", spec->scenario->class_name);
    put_args(&w, spec->scenario_args, spec->scenario_arg_count);
    od_json_object_end(&w);
    put_adapter(&w, &spec->adapter);
    od_json_key(&w, "metric_specs");
    od_json_array_begin(&w);
    for (size_t i = 0; i < spec->metric_count; i++) {
        od_json_object_begin(&w);
        od_json_member_text(&w, "class_name", spec->metrics[i].class_name);
        put_args(&w, spec->metrics[i].args, spec->metrics[i].arg_count);
        od_json_object_end(&w);
    }
    od_json_array_end(&w);
    put_augmentation(&w, spec->augmentation);
    od_json_key(&w, "groups");
    put_list(&w, spec->groups, spec->group_count);
    od_json_object_end(&w);
}

void od_output_scenario(const struct od_run_spec *spec, struct od_buf *out)
{
    const struct od_scenario *scenario = spec->scenario;
    struct od_json_writer w;
    char path[256];
    const char *const *tags = spec->description ? spec->tags : scenario->tags;
    size_t count = spec->tag_count;

    while (!spec->description && count < sizeof scenario->tags / sizeof *scenario->tags &&
           scenario->tags[count]) {
        count++;
    }
    (void)snprintf(path, sizeof path, "%s%s", DEFINITION_FOLDER, scenario->file);
    begin(&w, out);
    od_json_object_begin(&w);
    od_json_member_text(&w, "name", scenario->name);
    od_json_member_text(&w, "description",
                        spec->description ? spec->description : scenario->description);
    od_json_key(&w, "tags");
    put_list(&w, tags, count);
    od_json_member_text(&w, "definition_path", path);
    od_json_object_end(&w);
}

static void put_detail(struct od_json_writer *w, const struct od_perturbation_detail *detail)
{
    switch (detail->kind) {
    case OD_DETAIL_TEXT: od_json_member_text(w, detail->key, detail->text); break;
    case OD_DETAIL_NUMBER: od_json_member_number(w, detail->key, detail->number); break;
    case OD_DETAIL_FLAG: od_json_member_bool(w, detail->key, detail->flag); break;
    }
}

static void put_perturbation(struct od_json_writer *w, const struct od_perturbation *perturbation)
{
    if (perturbation) {
        od_json_key(w, "perturbation");
        od_json_object_begin(w);
        od_json_member_text(w, "name", perturbation->name);
        od_json_member_bool(w, "robustness", perturbation->robustness);
        od_json_member_bool(w, "fairness", perturbation->fairness);
        od_json_member_text(w, "computed_on", perturbation->computed_on);
        for (size_t i = 0; i < perturbation->detail_count; i++) {
            put_detail(w, &perturbation->details[i]);
        }
        od_json_object_end(w);
    }
}

// {"text": ...} under `key`.
static void put_content(struct od_json_writer *w, const char *key, const char *text)
{
    od_json_key(w, key);
    od_json_object_begin(w);
    od_json_member_text(w, "text", text);
    od_json_object_end(w);
}

static void put_instance(struct od_json_writer *w, const struct od_instance *instance)
{
    od_json_key(w, "instance");
    od_json_object_begin(w);
    put_content(w, "input", instance->input);
    od_json_key(w, "references");
    od_json_array_begin(w);
    for (size_t i = 0; i < instance->reference_count; i++) {
        od_json_object_begin(w);
        put_content(w, "output", instance->references[i].text);
        od_json_key(w, "tags");
        od_json_array_begin(w);
        if (instance->references[i].correct) {
            od_json_put_text(w, "correct");
        }
        for (size_t t = 0; t < instance->references[i].tag_count; t++) {
            od_json_put_text(w, instance->references[i].tags[t]);
        }
        od_json_array_end(w);
        od_json_object_end(w);
    }
    od_json_array_end(w);
    od_json_member_text(w, "split", od_split_name(instance->split));
    od_json_member_text(w, "id", instance->id);
    put_perturbation(w, instance->perturbation);
    od_json_object_end(w);
}

static void put_mapping(struct od_json_writer *w, const struct od_instance *instance)
{
    char letter[5];
    od_json_key(w, "output_mapping");
    od_json_object_begin(w);
    for (size_t i = 0; i < instance->reference_count; i++) {
        od_letter_text(i, letter);
        od_json_member_text(w, letter, instance->references[i].text);
    }
    od_json_object_end(w);
}

static void put_request(struct od_json_writer *w, const struct od_adapter_spec *adapter,
                        const struct od_request_state *state)
{
    const struct od_process_request request = od_request_of(adapter, state);
    const bool joint = adapter->method == OD_ADAPT_MULTIPLE_CHOICE_JOINT;
    od_json_key(w, "request");
    od_json_object_begin(w);
    od_json_member_text(w, "model", adapter->model);
    od_json_member_bool(w, "embedding", false);
    od_json_key(w, "prompt");
    od_json_put_text_n(w, state->prompt, state->prompt_size);
    put_temperature(w, adapter);
    od_json_member_int(w, "num_completions", joint ? 1 : adapter->num_outputs);
    od_json_member_int(w, "top_k_per_token", request.top_logprobs);
    od_json_member_int(w, "max_tokens", adapter->max_tokens);
    od_json_key(w, "stop_sequences");
    put_list(w, request.stop, request.stop_count);
    od_json_member_bool(w, "echo_prompt", false);
    od_json_member_int(w, "top_p", 1);
    od_json_member_int(w, "presence_penalty", 0);
    od_json_member_int(w, "frequency_penalty", 0);
    od_json_object_end(w);
}

static void put_token(struct od_json_writer *w, const struct od_token_result *token)
{
    od_json_object_begin(w);
    od_json_member_text(w, "text", token->text);
    od_json_member_number(w, "logprob", token->logprob);
    od_json_key(w, "top_logprobs");
    od_json_object_begin(w);
    for (size_t i = 0; i < token->top_count; i++) {
        size_t same = 0;  // two tokens can have the same text: the likelier one stands
        while (same < i && strcmp(token->top[same].text, token->top[i].text) != 0) {
            same++;
        }
        if (same == i) {
            od_json_member_number(w, token->top[i].text, token->top[i].logprob);
        }
    }
    od_json_object_end(w);
    od_json_object_end(w);
}

static void put_result(struct od_json_writer *w, const struct od_process_result *result)
{
    od_json_key(w, "result");
    od_json_object_begin(w);
    od_json_member_bool(w, "success", true);
    od_json_key(w, "embedding");
    put_list(w, NULL, 0);
    od_json_key(w, "completions");
    od_json_array_begin(w);
    od_json_object_begin(w);
    od_json_key(w, "text");
    od_json_put_text_n(w, result->text, result->text_size);
    od_json_member_number(w, "logprob", result->logprob);
    od_json_key(w, "tokens");
    od_json_array_begin(w);
    for (size_t i = 0; i < result->token_count; i++) {
        put_token(w, &result->tokens[i]);
    }
    od_json_array_end(w);
    od_json_object_end(w);
    od_json_array_end(w);
    od_json_member_bool(w, "cached", false);
    od_json_member_number(w, "request_time", result->request_time_s);
    od_json_object_end(w);
}

void od_output_scenario_state(const struct od_run_spec *spec,
                              const struct od_request_states *states, struct od_buf *out)
{
    struct od_json_writer w;
    begin(&w, out);
    od_json_object_begin(&w);
    put_adapter(&w, &spec->adapter);
    od_json_key(&w, "request_states");
    od_json_array_begin(&w);
    for (size_t i = 0; i < states->count; i++) {
        const struct od_request_state *state = &states->items[i];
        od_json_object_begin(&w);
        put_instance(&w, state->instance);
        od_json_member_int(&w, "train_trial_index", state->trial);
        if (spec->adapter.method == OD_ADAPT_MULTIPLE_CHOICE_JOINT) {
            put_mapping(&w, state->instance);
        }
        put_request(&w, &spec->adapter, state);
        put_result(&w, &state->result);
        od_json_member_int(&w, "num_train_instances", state->num_train_instances);
        od_json_member_bool(&w, "prompt_truncated", state->prompt_truncated);
        od_json_member_int(&w, "num_conditioning_tokens", 0);
        od_json_object_end(&w);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
}

static void put_number(struct od_json_writer *w, const char *key, struct od_number number)
{
    if (number.integer) {
        od_json_member_int(w, key, (int64_t)number.value);
    } else {
        od_json_member_number(w, key, number.value);
    }
}

static void put_stats(struct od_json_writer *w, const struct od_stat *stats, size_t count)
{
    od_json_array_begin(w);
    for (size_t i = 0; i < count; i++) {
        const struct od_stat *stat = &stats[i];
        if (isnan(stat->sum.value)) {
            continue;
        }
        od_json_object_begin(w);
        od_json_key(w, "name");
        od_json_object_begin(w);
        od_json_member_text(w, "name", stat->name.name);
        if (stat->name.has_split) {
            od_json_member_text(w, "split", od_split_name(stat->name.split));
        }
        put_perturbation(w, stat->name.perturbation);
        od_json_object_end(w);
        od_json_member_int(w, "count", stat->count);
        put_number(w, "sum", stat->sum);
        put_number(w, "sum_squared", stat->sum_squared);
        if (stat->count > 0) {
            put_number(w, "min", stat->min);
            put_number(w, "max", stat->max);
            od_json_member_number(w, "mean", stat->mean);
            put_number(w, "variance", stat->variance);
            od_json_member_number(w, "stddev", stat->stddev);
        }
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

void od_output_stats(const struct od_metrics_result *metrics, struct od_buf *out)
{
    struct od_json_writer w;
    begin(&w, out);
    put_stats(&w, metrics->aggregated.items, metrics->aggregated.count);
}

void od_output_instance_stats(const struct od_metrics_result *metrics, struct od_buf *out)
{
    struct od_json_writer w;
    begin(&w, out);
    od_json_array_begin(&w);
    for (size_t i = 0; i < metrics->count; i++) {
        const struct od_instance_stats *item = &metrics->items[i];
        od_json_object_begin(&w);
        od_json_member_text(&w, "instance_id", item->instance->id);
        put_perturbation(&w, item->instance->perturbation);
        od_json_member_int(&w, "train_trial_index", item->trial);
        od_json_key(&w, "stats");
        put_stats(&w, item->stats, item->count);
        od_json_object_end(&w);
    }
    od_json_array_end(&w);
}

static const char *const file_names[] = {"run_spec.json", "scenario.json", "scenario_state.json",
                                         "stats.json", "per_instance_stats.json"};

bool od_outputs_complete(const char *folder)
{
    char path[OD_PATH_MAX_BYTES];
    for (size_t i = 0; i < sizeof file_names / sizeof *file_names; i++) {
        if (od_path_join(path, folder, file_names[i], NULL) != OD_OK || !od_path_exists(path)) {
            return false;
        }
    }
    return true;
}

enum od_status od_outputs_write(const char *folder, const struct od_run_spec *spec,
                                const struct od_request_states *states,
                                const struct od_metrics_result *metrics, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_buf buf;
    enum od_status status = OD_OK;

    od_buf_init(&buf, OD_OUTPUT_MAX_BYTES);
    for (size_t i = 0; i < sizeof file_names / sizeof *file_names && status == OD_OK; i++) {
        od_buf_reset(&buf);
        switch (i) {
        case 0: od_output_run_spec(spec, &buf); break;
        case 1: od_output_scenario(spec, &buf); break;
        case 2: od_output_scenario_state(spec, states, &buf); break;
        case 3: od_output_stats(metrics, &buf); break;
        default: od_output_instance_stats(metrics, &buf); break;
        }
        status = od_buf_check(&buf, err);
        if (status == OD_OK) {
            status = od_path_join(path, folder, file_names[i], err);
        }
        if (status == OD_OK) {
            status = od_file_write(path, buf.bytes, buf.size, err);
        }
    }
    od_buf_release(&buf);
    return status;
}
