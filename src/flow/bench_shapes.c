#include "flow/bench_shapes.h"

#include <stddef.h>
#include <string.h>

#include "model/spec.h"
#include "ops/op.h"

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
     .ffn = 4 * (c),                        \
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
