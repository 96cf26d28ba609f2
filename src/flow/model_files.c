#include "flow/model_files.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "formats/dtype.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "formats/safetensors.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "model/weights.h"
#include "ops/gpu_draw.h"
#include "plan/plan.h"
#include "text/byte_tokenizer.h"
#include "text/tokenizer.h"

enum { INSPECT_TOKENS = 256, INSPECT_CONTEXT_MAX = 4096 };

// What was found about a folder, or a GGUF file.
struct found {
    struct od_spec spec;
    struct od_safetensors *st;
    struct od_gguf *gguf;  // the file; NULL for a folder
    struct od_tokenizer *tokenizer;
    size_t type_count[64];
    size_t run_bytes;
};

// One tensor, wherever it lies.
struct seen {
    const char *name;
    const char *type;
    int type_number;
    int rank;
    const int64_t *shape;
};

static size_t tensor_count(const struct found *found)
{
    if (found->gguf) {
        return od_gguf_tensor_count(found->gguf);
    }
    return found->st ? od_safetensors_count(found->st) : 0;
}

static struct seen tensor_at(const struct found *found, size_t index)
{
    if (found->gguf) {
        const struct od_gguf_tensor *tensor = od_gguf_get_tensor(found->gguf, index);
        const struct od_ggml_info *info = od_ggml_info(tensor->type);
        return (struct seen){tensor->name, info ? info->name : "?", (int)(tensor->type & 63),
                             tensor->rank, tensor->shape};
    }
    const struct od_tensor_info *info = od_safetensors_get(found->st, index);
    return (struct seen){info->name, od_dtype_name(info->dtype), (int)info->dtype & 63, info->rank,
                         info->shape};
}

// Open what holds the weights, and read what they are weights of.
static enum od_status open_model(const char *model, struct found *found, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    enum od_status status;
    if (od_gguf_is_path(model)) {
        status = od_gguf_open(model, &found->gguf, err);
        return status == OD_OK ? od_spec_of_gguf(found->gguf, &found->spec, err) : status;
    }
    if ((status = od_path_join(path, model, "config.json", err)) != OD_OK ||
        (status = od_spec_read(path, &found->spec, err)) != OD_OK) {
        return status;
    }
    return od_safetensors_open(model, &found->st, err);
}

static enum od_status look(const char *folder, struct found *found, struct od_error *err)
{
    struct od_program program = {0};
    struct od_plan plan = {0};
    struct od_arrays arrays = {0};
    enum od_status status;
    if ((status = open_model(folder, found, err)) != OD_OK ||
        (status = od_tokenizer_open(folder, &found->tokenizer, err)) != OD_OK) {
        return status;
    }
    od_tokenizer_set_bos_eos(found->tokenizer, found->spec.bos, found->spec.eos);
    for (size_t i = 0; i < tensor_count(found); i++) {
        found->type_count[tensor_at(found, i).type_number]++;
    }
    const int64_t context = found->spec.max_positions < INSPECT_CONTEXT_MAX
                                ? found->spec.max_positions
                                : INSPECT_CONTEXT_MAX;
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = INSPECT_TOKENS,
                                               .threads = 1,
                                               .cache_slots = 1,
                                               .cache_length = context,
                                               .logit_rows = INSPECT_TOKENS};
    if ((status = od_program_build(&found->spec, &options, &program, err)) == OD_OK &&
        (status = od_plan_make(&program, &plan, err)) == OD_OK &&
        (status = od_arrays_make(&plan, &arrays, err)) == OD_OK) {
        found->run_bytes = plan.total_bytes;
        status = od_weights_read(&program, arrays.tensor, folder, err);
    }
    if (status == OD_OK && od_tokenizer_vocab_size(found->tokenizer) > found->spec.vocab) {
        status = od_fail(err, OD_E_FORMAT,
                         "the tokenizer has %d ids, the model only %lld: they do not fit",
                         od_tokenizer_vocab_size(found->tokenizer), (long long)found->spec.vocab);
    }
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
    return status;
}

static void list_tensors_json(const struct found *found, struct od_json_writer *w)
{
    od_json_key(w, "tensors");
    od_json_array_begin(w);
    for (size_t i = 0; i < tensor_count(found); i++) {
        const struct seen tensor = tensor_at(found, i);
        od_json_object_begin(w);
        od_json_member_text(w, "name", tensor.name);
        od_json_member_text(w, "dtype", tensor.type);
        od_json_key(w, "shape");
        od_json_array_begin(w);
        for (int d = 0; d < tensor.rank; d++) {
            od_json_put_int(w, tensor.shape[d]);
        }
        od_json_array_end(w);
        od_json_object_end(w);
    }
    od_json_array_end(w);
}

static void write_json(const struct found *found, bool tensors, bool usable, const char *problem,
                       struct od_buf *out)
{
    const struct od_spec *spec = &found->spec;
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_bool(&w, "usable", usable);
    if (!usable) {
        od_json_member_text(&w, "problem", problem);
    }
    if (spec->vocab > 0) {
        od_json_member_text(&w, "family", spec->family);
        od_json_member_int(&w, "parameters", od_spec_parameters(spec));
        od_json_member_int(&w, "layers", spec->layers);
        od_json_member_int(&w, "hidden_size", spec->channels);
        od_json_member_int(&w, "intermediate_size", spec->ffn);
        od_json_member_int(&w, "heads", spec->heads);
        od_json_member_int(&w, "key_value_heads", spec->kv_heads);
        od_json_member_int(&w, "head_dim", spec->head_dim);
        od_json_member_int(&w, "context", spec->max_positions);
        od_json_member_int(&w, "vocab", spec->vocab);
        od_json_member_bool(&w, "tied", spec->tied);
    }
    if (found->tokenizer) {
        od_json_member_int(&w, "tokenizer_ids", od_tokenizer_vocab_size(found->tokenizer));
    }
    if (found->run_bytes > 0) {
        od_json_member_int(&w, "run_bytes", (int64_t)found->run_bytes);
    }
    if (tensors && tensor_count(found) > 0) {
        list_tensors_json(found, &w);
    }
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
}

static const char *type_name(const struct found *found, int number)
{
    if (!found->gguf) {
        return od_dtype_name((enum od_dtype)number);
    }
    const struct od_ggml_info *info = od_ggml_info((uint32_t)number);
    return info ? info->name : "of another type";
}

static void write_text(const struct found *found, const char *folder, bool tensors,
                       struct od_buf *out)
{
    const struct od_spec *spec = &found->spec;
    char run[24];
    if (spec->vocab == 0) {
        return;
    }
    od_buf_printf(out, "%s: %s, %lld weights\n", folder, spec->family,
                  (long long)od_spec_parameters(spec));
    od_buf_printf(out,
                  "  %lld layers of %lld channels, %d heads of %d (%d for keys and values), "
                  "feed-forward %lld\n",
                  (long long)spec->layers, (long long)spec->channels, spec->heads, spec->head_dim,
                  spec->kv_heads, (long long)spec->ffn);
    od_buf_printf(out, "  context %lld, vocabulary %lld, head %s\n", (long long)spec->max_positions,
                  (long long)spec->vocab, spec->tied ? "tied to the embedding" : "of its own");
    if (tensor_count(found) > 0) {
        od_buf_printf(out, "  %zu tensors in %zu file(s):", tensor_count(found),
                      found->gguf ? 1 : od_safetensors_shard_count(found->st));
        for (int i = 0; i < 64; i++) {
            if (found->type_count[i] > 0) {
                od_buf_printf(out, " %zu %s", found->type_count[i], type_name(found, i));
            }
        }
        od_buf_puts(out, "\n");
    }
    if (found->tokenizer) {
        od_buf_printf(out, "  tokenizer with %d ids, begin %d, end %d\n",
                      od_tokenizer_vocab_size(found->tokenizer), od_tokenizer_bos(found->tokenizer),
                      od_tokenizer_eos(found->tokenizer));
    }
    if (found->run_bytes > 0) {
        od_bytes_text((double)found->run_bytes, run);
        od_buf_printf(out, "  memory to answer one request at full context: %s\n", run);
    }
    for (size_t i = 0; tensors && i < tensor_count(found); i++) {
        const struct seen tensor = tensor_at(found, i);
        od_buf_printf(out, "  %-6s", tensor.type);
        for (int d = 0; d < tensor.rank; d++) {
            od_buf_printf(out, "%s%lld", d == 0 ? "[" : ", ", (long long)tensor.shape[d]);
        }
        od_buf_printf(out, "]  %s\n", tensor.name);
    }
}

enum od_status od_model_inspect(const char *folder, bool tensors, bool json, struct od_buf *out,
                                struct od_error *err)
{
    struct found found = {0};
    struct od_error problem = {0};
    enum od_status status = look(folder, &found, &problem);
    if (json) {
        write_json(&found, tensors, status == OD_OK, problem.message, out);
    } else {
        write_text(&found, folder, tensors, out);
    }
    od_tokenizer_free(found.tokenizer);
    od_safetensors_close(found.st);
    od_gguf_close(found.gguf);
    if (status != OD_OK && err) {
        *err = problem;
        return status;
    }
    return status == OD_OK ? od_buf_check(out, err) : status;
}

// The card that draws, or NULL for the CPU.
static enum od_status open_draw(const struct od_model_init *init, struct od_gpu_draw **ret,
                                struct od_error *err)
{
    struct od_error why = {0};
    enum od_status status = OD_OK;
    if (init->on_gpu) {
        status = od_gpu_draw_open(init->gpu, OD_WEIGHTS_INIT_PIECE, ret, &why);
    }
    if (status != OD_OK && init->gpu_optional) {
        od_log(OD_LOG_INFO, "on the CPU: %s", why.message);
        return OD_OK;
    }
    if (status != OD_OK && err) {
        *err = why;
    }
    return status;
}

enum od_status od_model_make(const struct od_model_init *init, struct od_error *err)
{
    struct od_spec spec;
    struct od_program program = {0};
    struct od_pool *pool = NULL;
    struct od_gpu_draw *draw = NULL;
    struct od_buf text;
    char path[OD_PATH_MAX_BYTES];
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = 1,
                                               .threads = 1,
                                               .cache_slots = 1,
                                               .cache_length = 1,
                                               .logit_rows = 1};
    const char *output = init->output;
    enum od_status status;
    od_buf_init(&text, 1 << 20);
    if (od_path_exists(output)) {
        return od_fail(err, OD_E_REFUSED, "'%s' exists already", output);
    }
    if ((status = od_spec_read(init->config, &spec, err)) != OD_OK ||
        (status = od_program_build(&spec, &options, &program, err)) != OD_OK ||
        (status = od_pool_create(init->threads, &pool, err)) != OD_OK ||
        (status = open_draw(init, &draw, err)) != OD_OK ||
        (status = od_dir_make(output, err)) != OD_OK ||
        (status = od_spec_write(&spec, &text, err)) != OD_OK ||
        (status = od_path_join(path, output, "config.json", err)) != OD_OK ||
        (status = od_file_write(path, od_buf_text(&text), text.size, err)) != OD_OK ||
        (status = init->tokenizer ? od_tokenizer_copy(init->tokenizer, output, err)
                                  : od_tokenizer_write_bytes(output, err)) != OD_OK ||
        (status = od_path_join(path, output, OD_SAFETENSORS_FILE, err)) != OD_OK) {
        goto done;
    }
    status = od_weights_init_file(pool, draw, &program, init->seed, path, err);

done:
    od_gpu_draw_close(draw);
    od_buf_release(&text);
    od_pool_free(pool);
    od_program_release(&program);
    return status;
}

enum od_status od_model_init(const char *config, const char *tokenizer, uint64_t seed, int threads,
                             const char *output, struct od_error *err)
{
    const struct od_model_init init = {.config = config,
                                       .tokenizer = tokenizer,
                                       .output = output,
                                       .seed = seed,
                                       .threads = threads};
    return od_model_make(&init, err);
}
