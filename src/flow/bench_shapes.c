#include "flow/bench_shapes.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "model/spec.h"
#include "ops/op.h"
#include "text/byte_tokenizer.h"
#include "text/tokenizer.h"

#define LLAMA(v, c, f, l, h, g, d, s) \
    {.family = "llama",               \
     .vocab = (v),                    \
     .channels = (c),                 \
     .ffn = (f),                      \
     .layers = (l),                   \
     .heads = (h),                    \
     .kv_heads = (g),                 \
     .head_dim = (d),                 \
     .max_positions = (s),            \
     .norm_eps = 1e-5F,               \
     .rope_theta = 10000.0,           \
     .init_std = 0.02,                \
     .tied = false,                   \
     .bos = -1,                       \
     .eos = -1}

#define GPT2(c, l, h)                       \
    {.family = "gpt2",                      \
     .vocab = 50257,                        \
     .channels = (c),                       \
     .ffn = INT64_C(4) * (c),               \
     .layers = (l),                         \
     .heads = (h),                          \
     .kv_heads = (h),                       \
     .head_dim = 64,                        \
     .max_positions = 1024,                 \
     .norm_eps = 1e-5F,                     \
     .layer_norm = true,                    \
     .learned_positions = true,             \
     .plain_mlp = true,                     \
     .activation = OD_ACTIVATION_GELU_TANH, \
     .qkv_bias = true,                      \
     .out_bias = true,                      \
     .mlp_bias = true,                      \
     .init_std = 0.02,                      \
     .tied = true,                          \
     .bos = -1,                             \
     .eos = -1}

static const struct {
    const char *name;
    struct od_spec spec;
} shapes[] = {
    {"llama-2-7b", LLAMA(32000, 4096, 11008, 32, 32, 32, 128, 4096)},
    {"mistral-7b", LLAMA(32000, 4096, 14336, 32, 32, 8, 128, 32768)},
    {"llama-2-13b", LLAMA(32000, 5120, 13824, 40, 40, 40, 128, 4096)},
    {"codellama-34b", LLAMA(32016, 8192, 22016, 48, 64, 8, 128, 16384)},
    {"llama-2-70b", LLAMA(32000, 8192, 28672, 80, 64, 8, 128, 4096)},
    {"llama-3-8b", LLAMA(128256, 4096, 14336, 32, 32, 8, 128, 131072)},
    {"qwen2.5-14b",
     {.family = "qwen2",
      .vocab = 152064,
      .channels = 5120,
      .ffn = 13824,
      .layers = 48,
      .heads = 40,
      .kv_heads = 8,
      .head_dim = 128,
      .max_positions = 32768,
      .norm_eps = 1e-6F,
      .rope_theta = 1e6,
      .qkv_bias = true,
      .init_std = 0.02,
      .bos = -1,
      .eos = -1}},
    {"gpt2-1.5b", GPT2(1600, 48, 25)},
    {"gpt2-124m", GPT2(768, 12, 12)},
    {"tinyllama-1.1b", LLAMA(32000, 2048, 5632, 22, 32, 4, 64, 2048)},
    {"llama-160m", LLAMA(32000, 768, 3072, 12, 12, 12, 64, 2048)},
};

const struct od_spec *od_bench_shape(const char *name)
{
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (strcmp(name, shapes[i].name) == 0) {
            return &shapes[i].spec;
        }
    }
    return NULL;
}

static enum od_status read_shape(const char *shape, struct od_spec *ret, struct od_error *err)
{
    static const char ending[] = ".json";
    const struct od_spec *known = od_bench_shape(shape);
    const size_t size = strlen(shape);
    if (known) {
        *ret = *known;
        return OD_OK;
    }
    if (size >= sizeof ending && strcmp(shape + size - sizeof ending + 1, ending) == 0) {
        return od_spec_read(shape, ret, err);
    }
    return od_fail(err, OD_E_ARGUMENT,
                   "shape '%.60s' is no config.json and none of " OD_BENCH_SHAPES, shape);
}

enum od_status od_bench_folder_make(const char *shape, const char *tokenizer,
                                    char folder[OD_PATH_MAX_BYTES], struct od_error *err)
{
    struct od_spec spec;
    struct od_buf text;
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = read_shape(shape, &spec, err);
    folder[0] = '\0';
    if (status != OD_OK) {
        return status;
    }
    if ((status = od_dir_make_temporary("oneday-bench", folder, err)) != OD_OK) {
        return status;
    }
    od_buf_init(&text, 1 << 20);
    if ((status = od_spec_write(&spec, &text, err)) == OD_OK &&
        (status = od_path_join(path, folder, "config.json", err)) == OD_OK &&
        (status = od_file_write(path, od_buf_text(&text), text.size, err)) == OD_OK) {
        status = tokenizer ? od_tokenizer_copy(tokenizer, folder, err)
                           : od_tokenizer_write_bytes(folder, err);
    }
    od_buf_release(&text);
    return status;
}

void od_bench_folder_remove(const char *folder)
{
    if (folder[0] != '\0') {
        const enum od_status removed = od_dir_remove(folder, NULL);
        (void)removed;  // a left-over folder in /tmp is no failure of the measurement
    }
}
