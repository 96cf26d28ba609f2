#include "flow/convert.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "flow/convert_check.h"
#include "formats/dtype.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "infer/engine.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/op.h"
#include "plan/plan.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"

enum { TEMPLATE_MAX_BYTES = 16 << 20, COPY_MAX_BYTES = 16 << 20 };

// A model that is being converted.
struct source {
    struct od_model_place place;
    struct od_spec spec;
    struct od_program program;
    struct od_tokenizer *tokenizer;
    uint32_t type;
    enum od_quant merge_base;  // how the base is rounded before an adapter is merged
};

static void release(struct source *source)
{
    od_program_release(&source->program);
    od_tokenizer_free(source->tokenizer);
}

// Find the model, and see that the output can be made.
static enum od_status open_source(struct source *source, const char *path,
                                  const struct od_convert_options *options, const char *type,
                                  struct od_error *err)
{
    static const struct od_program_options program_options = {.mode = OD_PROGRAM_INFER,
                                                              .tokens = 1,
                                                              .threads = 1,
                                                              .cache_slots = 1,
                                                              .cache_length = 1,
                                                              .logit_rows = 1};
    char config[OD_PATH_MAX_BYTES];
    if (!od_gguf_type_of(type, &source->type)) {
        return od_fail(err, OD_E_ARGUMENT, "type '%.32s' is not known; f32, f16, bf16, q8_0 are",
                       type);
    }
    if (od_path_exists(options->output)) {
        return od_fail(err, OD_E_REFUSED, "'%s' exists already", options->output);
    }
    enum od_status status = od_model_find(path, options->adapter, &source->place, err);
    if (status == OD_OK && options->name) {
        (void)snprintf(source->place.name, sizeof source->place.name, "%s", options->name);
    }
    if (status == OD_OK && options->base) {
        (void)snprintf(source->place.base, sizeof source->place.base, "%s", options->base);
    }
    const bool file = od_gguf_is_path(source->place.base);
    if (status == OD_OK && file && source->place.adapter[0] == '\0') {
        status =
            od_fail(err, OD_E_UNSUPPORTED, "'%s' is a GGUF file; only model folders are converted",
                    source->place.base);
    }
    if (status == OD_OK) {
        status = od_path_join(config, source->place.base, "config.json", err);
    }
    if (status == OD_OK) {
        status = file ? od_spec_read_gguf(source->place.base, &source->spec, err)
                      : od_spec_read(config, &source->spec, err);
    }
    if (status == OD_OK && source->place.adapter[0] != '\0') {
        status = od_adapter_untie(source->place.adapter, &source->spec, err);
    }
    if (status == OD_OK) {
        status = od_program_build(&source->spec, &program_options, &source->program, err);
    }
    if (status == OD_OK) {
        status = od_tokenizer_open(source->place.base, &source->tokenizer, err);
    }
    if (status == OD_OK) {
        od_tokenizer_set_bos_eos(source->tokenizer, source->spec.bos, source->spec.eos);
    }
    return status;
}

// The template of a chat: a text, or the one named "default" in a list. NULL when there is none.
static const char *template_of(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *one = json_array_get(value, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0) {
            return json_string_value(json_object_get(one, "template"));
        }
    }
    return json_string_value(value);
}

// chat_template.jinja, else chat_template of tokenizer_config.json.
static enum od_status put_template(const char *folder, struct od_gguf_keys *keys,
                                   struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    char *text = NULL;
    size_t size = 0;
    json_t *config = NULL;
    enum od_status status = od_path_join(path, folder, "chat_template.jinja", err);
    if (status == OD_OK && od_path_exists(path)) {
        status = od_file_read(path, TEMPLATE_MAX_BYTES, &text, &size, err);
        if (status == OD_OK) {
            od_gguf_put_text(keys, "tokenizer.chat_template", text);
        }
        od_free(text);
        return status;
    }
    if (status == OD_OK) {
        status = od_path_join(path, folder, "tokenizer_config.json", err);
    }
    if (status == OD_OK && od_path_exists(path)) {
        status = od_json_read(path, &config, err);
    }
    const char *found = template_of(json_object_get(config, "chat_template"));
    if (status == OD_OK && found) {
        od_gguf_put_text(keys, "tokenizer.chat_template", found);
    }
    json_decref(config);
    return status;
}

static enum od_status write_model(const struct source *source, const char *output,
                                  struct od_error *err)
{
    struct od_gguf_keys keys;
    od_gguf_keys_init(&keys);
    enum od_status status =
        od_spec_put_gguf(&source->spec, source->place.name, source->type, &keys, err);
    if (status == OD_OK) {
        status = od_tokenizer_put_gguf(source->tokenizer, source->spec.vocab, &keys, err);
    }
    if (status == OD_OK) {
        status = put_template(source->place.base, &keys, err);
    }
    if (status == OD_OK) {
        status = od_weights_write_gguf(&source->program, source->place.base, output, source->type,
                                       &keys, err);
    }
    od_gguf_keys_release(&keys);
    return status;
}

static void report(const struct source *source, const char *what,
                   const struct od_convert_options *options, const struct od_convert_check *check,
                   struct od_buf *out)
{
    const char *type = od_ggml_info(source->type)->name;
    if (!options->json) {
        od_buf_printf(out, "%s: %s, %s\n", options->output, what, type);
        if (!options->no_check) {
            od_buf_printf(out,
                          "opened again: %d prompts, %lld positions: logits differ by at most %.3g "
                          "(they reach to %.3g), the best token is the same at %lld\n",
                          check->prompts, (long long)check->positions, check->difference_max,
                          check->logit_max, (long long)check->same_best);
        }
        return;
    }
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, /* ascii= */ false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "output", options->output);
    od_json_member_text(&w, "what", what);
    od_json_member_text(&w, "type", type);
    od_json_member_text(&w, "base", source->place.base);
    if (source->place.adapter[0] != '\0') {
        od_json_member_text(&w, "adapter", source->place.adapter);
    }
    if (!options->no_check) {
        od_json_key(&w, "check");
        od_json_object_begin(&w);
        od_json_member_int(&w, "prompts", check->prompts);
        od_json_member_int(&w, "positions", check->positions);
        od_json_member_number(&w, "difference_max", check->difference_max);
        od_json_member_number(&w, "logit_max", check->logit_max);
        od_json_member_int(&w, "same_best", check->same_best);
        od_json_object_end(&w);
    }
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
}

// Open what was written and compare it with what it was made from.
static enum od_status check_and_report(const struct source *source, const char *what,
                                       const char *output, const char *output_adapter,
                                       const struct od_convert_options *options, struct od_buf *out,
                                       struct od_error *err)
{
    const char *adapter = source->place.adapter[0] == '\0' ? NULL : source->place.adapter;
    const struct od_convert_side from = {source->place.base, adapter};
    const struct od_convert_side to = {output, output_adapter};
    struct od_convert_check check = {0};
    enum od_status status = OD_OK;
    if (!options->no_check) {
        status = od_convert_compare(&from, &to, options->threads, &check, err);
        if (status != OD_OK) {
            od_error_prefix(err, "'%s' was written and cannot be compared", options->output);
        }
    }
    if (status == OD_OK) {
        report(source, what, options, &check, out);
        status = od_buf_check(out, err);
    }
    return status;
}

enum od_status od_convert_gguf(const char *path, const struct od_convert_options *options,
                               struct od_buf *out, struct od_error *err)
{
    struct source source = {0};
    const bool file = od_gguf_is_path(options->output);
    enum od_status status = OD_OK;
    if (!file) {
        return od_fail(err, OD_E_ARGUMENT, "the output '%s' must end in .gguf", options->output);
    }
    // Which type is the default depends on what is found; both hold f16.
    status = open_source(&source, path, options, options->type ? options->type : "f16", err);
    const bool adapter = source.place.adapter[0] != '\0';
    if (status == OD_OK && adapter && !options->type) {
        source.type = OD_GGML_F32;
    }
    if (status == OD_OK) {
        status = adapter ? od_adapter_write_gguf(&source.program, source.place.adapter,
                                                 options->output, source.type, err)
                         : write_model(&source, options->output, err);
    }
    if (status == OD_OK) {
        status = check_and_report(&source, adapter ? "adapter" : "model",
                                  adapter ? source.place.base : options->output,
                                  adapter ? options->output : NULL, options, out, err);
    }
    release(&source);
    return status;
}

// How the base was kept in training, when `path` is a run that says so.
static enum od_status trained_on(const char *path, enum od_quant *ret, struct od_error *err)
{
    struct od_recipe recipe;
    char file[OD_PATH_MAX_BYTES];
    enum od_status status = od_path_join(file, path, "recipe.yaml", err);
    if (status != OD_OK || !od_path_exists(file)) {
        *ret = OD_QUANT_NONE;
        return status;
    }
    status = od_recipe_read(file, &recipe, err);
    if (status == OD_OK) {
        *ret = recipe.quant;
        od_recipe_release(&recipe);
    }
    return status;
}

static enum od_status choose_base(const char *path, const char *merge_base, enum od_quant *ret,
                                  struct od_error *err)
{
    // In the order of enum od_quant.
    static const char *const names[] = {"w16", "dequant", "dequant8", "dequant-fp8"};
    static const enum od_quant quants[] = {OD_QUANT_NONE, OD_QUANT_NF4, OD_QUANT_INT8,
                                           OD_QUANT_E4M3};
    for (int i = 0; i < 4 && merge_base; i++) {
        if (strcmp(merge_base, names[i]) == 0) {
            *ret = quants[i];
            return OD_OK;
        }
    }
    if (merge_base) {
        return od_fail(
            err, OD_E_ARGUMENT,
            "--merge-base '%.32s' is not known; w16, dequant, dequant8 and dequant-fp8 are",
            merge_base);
    }
    const enum od_status status = trained_on(path, ret, err);
    if (status == OD_OK && *ret != OD_QUANT_NONE) {
        return od_fail(err, OD_E_REFUSED,
                       "'%s' was trained on a quantised base: say what its adapter is merged into, "
                       "--merge-base w16 (the base's own weights) or --merge-base %s (what it was "
                       "trained on)",
                       path, names[*ret]);
    }
    return status;
}

// Read the base, add the adapter, write one file of weights.
static enum od_status write_merged(const struct source *source, const char *folder, int threads,
                                   struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_plan plan = {0};
    struct od_arrays arrays = {0};
    struct od_pool *pool = NULL;
    const struct od_program *program = &source->program;
    const enum od_dtype dtype = source->type == OD_GGML_F32   ? OD_DTYPE_F32
                                : source->type == OD_GGML_F16 ? OD_DTYPE_F16
                                                              : OD_DTYPE_BF16;
    enum od_status status = od_pool_create(threads, &pool, err);
    if (status == OD_OK) {
        status = od_plan_make(program, &plan, err);
    }
    if (status == OD_OK) {
        status = od_arrays_make(&plan, &arrays, err);
    }
    if (status == OD_OK) {
        status = od_weights_read(program, arrays.tensor, source->place.base, err);
    }
    if (status == OD_OK && source->merge_base != OD_QUANT_NONE) {
        status = od_weights_round(pool, program, source->merge_base, arrays.tensor, err);
    }
    if (status == OD_OK) {
        status = od_adapter_merge(pool, program, arrays.tensor, source->place.adapter, err);
    }
    if (status == OD_OK) {
        status = od_path_join(path, folder, OD_SAFETENSORS_FILE, err);
    }
    if (status == OD_OK) {
        status = od_parts_write(program->weights, program->weight_count, arrays.tensor, path, dtype,
                                err);
    }
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_pool_free(pool);
    return status;
}

static enum od_status copy_rest(const char *from, const char *to, struct od_error *err)
{
    static const char *const names[] = {"config.json", "generation_config.json"};
    enum od_status status = od_tokenizer_copy(from, to, err);
    for (int i = 0; i < 2 && status == OD_OK; i++) {
        status = od_file_copy_optional(from, to, names[i], COPY_MAX_BYTES, err);
    }
    return status;
}

// A model that has got a head of its own says so.
static enum od_status untie_config(const char *folder, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    json_t *config = NULL;
    struct od_buf text;
    struct od_json_writer w;
    enum od_status status = od_path_join(path, folder, "config.json", err);
    if (status == OD_OK) {
        status = od_json_read(path, &config, err);
    }
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&text, COPY_MAX_BYTES);
    od_json_writer_init(&w, &text, OD_JSON_INDENT_2, true);
    if (json_object_set_new(config, "tie_word_embeddings", json_false()) == 0) {
        od_json_put_value(&w, config);
        od_buf_putc(&text, '\n');
        status = od_buf_check(&text, err);
    } else {
        status = od_fail(err, OD_E_FORMAT, "'%s' is no object", path);
    }
    if (status == OD_OK) {
        status = od_file_write(path, od_buf_text(&text), text.size, err);
    }
    od_buf_release(&text);
    json_decref(config);
    return status;
}

// The folder appears under its name when it is complete.
static enum od_status make_folder(const struct source *source, const char *output, int threads,
                                  struct od_error *err)
{
    char temp[OD_PATH_MAX_BYTES];
    const int size = snprintf(temp, sizeof temp, "%s.tmp", output);
    if (size < 0 || (size_t)size >= sizeof temp) {
        return od_fail(err, OD_E_LIMIT, "the name '%.100s...' is too long", output);
    }
    enum od_status status = od_dir_remove(temp, err);
    if (status == OD_OK) {
        status = od_dir_make(temp, err);
    }
    if (status == OD_OK) {
        status = write_merged(source, temp, threads, err);
    }
    if (status == OD_OK) {
        status = copy_rest(source->place.base, temp, err);
    }
    if (status == OD_OK && source->spec.head_copied) {
        status = untie_config(temp, err);
    }
    if (status == OD_OK) {
        status = od_dir_replace(temp, output, err);
    }
    if (status != OD_OK) {
        (void)!od_dir_remove(temp, NULL);
    }
    return status;
}

enum od_status od_convert_merge(const char *path, const struct od_convert_options *options,
                                struct od_buf *out, struct od_error *err)
{
    struct source source = {0};
    enum od_status status =
        open_source(&source, path, options, options->type ? options->type : "bf16", err);
    if (status == OD_OK && source.type == OD_GGML_Q8_0) {
        status = od_fail(err, OD_E_ARGUMENT, "merged weights are f32, f16 or bf16, not q8_0");
    }
    if (status == OD_OK && source.place.adapter[0] == '\0') {
        status = od_fail(err, OD_E_ARGUMENT,
                         "'%s' has no adapter to merge; give a run or an adapter folder, or a "
                         "model with --adapter",
                         path);
    }
    if (status == OD_OK && od_gguf_is_path(source.place.base)) {
        status = od_fail(err, OD_E_UNSUPPORTED,
                         "the base model '%s' is a GGUF file, into which nothing is merged: give "
                         "its model folder with --base, or serve both together",
                         source.place.base);
    }
    if (status == OD_OK) {
        status = choose_base(path, options->merge_base, &source.merge_base, err);
    }
    if (status == OD_OK) {
        status = make_folder(&source, options->output, options->threads, err);
    }
    if (status == OD_OK) {
        status =
            check_and_report(&source, "merged model", options->output, NULL, options, out, err);
    }
    release(&source);
    return status;
}
