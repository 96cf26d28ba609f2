// Goal: YaRN in GGUF files means what it means in config.json, with the keys that files have, and comes back
// from files that are written here; what cannot be computed or said is refused.
// Method: files of keys without weights, whose meaning is calculated by hand. That llama.cpp computes the
// same with such a file is flow/convert_llama_cpp_test.

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "model/gguf_model.h"
#include "model/spec.h"
#include "support.h"

enum { CHANNELS = 64, VOCAB = 5 };

/** A key of the scaling; a text where there is one. */
struct scaling_key {
    const char *name;
    double number;
    const char *text;
};

static void put_shape(struct od_gguf_keys *keys)
{
    od_gguf_put_text(keys, "general.architecture", "llama");
    od_gguf_put_u32(keys, "llama.block_count", 1);
    od_gguf_put_u32(keys, "llama.context_length", 4096);
    od_gguf_put_u32(keys, "llama.embedding_length", CHANNELS);
    od_gguf_put_u32(keys, "llama.feed_forward_length", 8);
    od_gguf_put_u32(keys, "llama.attention.head_count", 2);
}

// Facts of a file with these keys.
static enum od_status facts_of_keys(const struct od_gguf_keys *keys, struct od_spec *ret,
                                    struct od_error *err)
{
    struct od_gguf_writer *writer = NULL;
    char path[OD_PATH_MAX_BYTES];
    const struct od_gguf_out table = {
        .name = "token_embd.weight", .type = 0, .rank = 2, .shape = {VOCAB, CHANNELS}};
    const float values[VOCAB * CHANNELS] = {0};
    assert_ok(od_path_join(path, test_folder(), "x.gguf", err), err);
    assert_ok(od_gguf_create(path, keys, &table, 1, &writer, err), err);
    assert_ok(od_gguf_put(writer, values, (int64_t)VOCAB * CHANNELS, err), err);
    assert_ok(od_gguf_commit(writer, err), err);
    return od_spec_read_gguf(path, ret, err);
}

static enum od_status facts_of(const struct scaling_key *more, size_t count, struct od_spec *ret,
                               struct od_error *err)
{
    struct od_gguf_keys keys;
    od_gguf_keys_init(&keys);
    put_shape(&keys);
    for (size_t i = 0; i < count; i++) {
        char key[96];
        (void)snprintf(key, sizeof key, "llama.rope.scaling.%s", more[i].name);
        if (more[i].text) {
            od_gguf_put_text(&keys, key, more[i].text);
        } else {
            od_gguf_put_f32(&keys, key, (float)more[i].number);
        }
    }
    const enum od_status status = facts_of_keys(&keys, ret, err);
    od_gguf_keys_release(&keys);
    return status;
}

enum { MORE = 2 };

// Beside the kind and a factor of 8, of which ln(8) / 10 = 0.2079442.
static void test_keys(void **state)
{
    (void)state;
    static const struct {
        struct scaling_key more[MORE];
        double want[4];  // original, fast, slow, attention
    } cases[] = {
        {{{"original_context_length", 512, NULL}, {"finetuned", 1, NULL}}, {512, 32, 1, 1.2079442}},
        // llama.cpp, too, takes the context where the key is absent.
        {{{"attn_factor", 0.5, NULL}, {"yarn_ext_factor", 1, NULL}}, {4096, 32, 1, 0.6039721}},
        {{{"yarn_beta_fast", 16, NULL}, {"yarn_beta_slow", 2, NULL}}, {4096, 16, 2, 1.2079442}},
        // 1.2079442 / (1 + 0.25 * 0.2079442)
        {{{"yarn_log_multiplier", 0.25, NULL}, {"attn_factor", 1, NULL}}, {4096, 32, 1, 1.1482509}},
        {{{"yarn_log_multiplier", 1, NULL}, {"attn_factor", 1.5, NULL}}, {4096, 32, 1, 1.5}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct od_spec spec = {0};
        struct od_error err = {0};
        const struct scaling_key keys[] = {
            {"type", 0, "yarn"}, {"factor", 8, NULL}, cases[i].more[0], cases[i].more[1]};
        assert_ok(facts_of(keys, sizeof keys / sizeof keys[0], &spec, &err), &err);
        assert_int_equal(spec.rope_scaling, OD_ROPE_YARN);
        assert_false(spec.rope_between);
        const double have[] = {spec.rope_original, spec.rope_fast, spec.rope_slow,
                               spec.rope_attention};
        for (int j = 0; j < 4; j++) {
            if (!(fabs(have[j] - cases[i].want[j]) < 1e-6)) {
                fail_msg("case %zu: number %d is %.9g, not %.9g", i, j, have[j], cases[i].want[j]);
            }
        }
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        struct scaling_key more[MORE];
        enum od_status status;
        const char *part;
    } cases[] = {
        {{{"factor", 0, NULL}, {"attn_factor", 1, NULL}}, OD_E_UNSUPPORTED, "'yarn' with factor 0"},
        {{{"factor", (double)INFINITY, NULL}, {"attn_factor", 1, NULL}}, OD_E_UNSUPPORTED, "inf"},
        {{{"factor", 2, NULL}, {"attn_factor", 0, NULL}}, OD_E_FORMAT, "attn_factor' 0"},
        {{{"factor", 2, NULL}, {"attn_factor", (double)NAN, NULL}}, OD_E_FORMAT, "attn_factor"},
        {{{"factor", 2, NULL}, {"yarn_beta_fast", -1, NULL}}, OD_E_FORMAT, "yarn_beta_fast' -1"},
        {{{"factor", 2, NULL}, {"yarn_beta_fast", 0.5, NULL}}, OD_E_FORMAT, "beta_fast 0.5"},
        {{{"factor", 2, NULL}, {"yarn_log_multiplier", -1, NULL}}, OD_E_FORMAT, "multiplier' -1"},
        {{{"factor", 2, NULL}, {"yarn_ext_factor", 0.5, NULL}},
         OD_E_UNSUPPORTED,
         "ext_factor' 0.5"},
        {{{"factor", 2, NULL}, {"yarn_attn_factor", 2, NULL}}, OD_E_UNSUPPORTED, "attn_factor' 2"},
        {{{"factor", 2, NULL}, {"original_context_length", 1e-4, NULL}}, OD_E_FORMAT, "context of"},
        {{{"factor", 2, NULL}, {"original_context_length", 0, "x"}}, OD_E_FORMAT, "original_con"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct od_spec spec = {0};
        struct od_error err = {0};
        const struct scaling_key keys[] = {{"type", 0, "yarn"}, cases[i].more[0], cases[i].more[1]};
        const enum od_status status = facts_of(keys, sizeof keys / sizeof keys[0], &spec, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].part)) {
            fail_msg("case %zu gives %d '%s'", i, (int)status, err.message);
        }
    }
}

// Facts to keys and back.
static void test_written(void **state)
{
    (void)state;
    struct od_spec spec = {.family = "llama",
                           .vocab = VOCAB,
                           .channels = CHANNELS,
                           .ffn = 8,
                           .layers = 1,
                           .heads = 2,
                           .kv_heads = 2,
                           .head_dim = CHANNELS / 2,
                           .max_positions = 4096,
                           .norm_eps = 1e-5F,
                           .rope_theta = 10000.0,
                           .rope_scaling = OD_ROPE_YARN,
                           .rope_factor = 4,
                           .rope_original = 1024,
                           .rope_fast = 24,
                           .rope_slow = 1.5,
                           .rope_attention = 0.75,
                           .tied = true,
                           .bos = -1,
                           .eos = -1};
    struct od_spec back = {0};
    struct od_error err = {0};
    for (int usual = 0; usual < 2; usual++) {
        struct od_gguf_keys keys;
        if (usual) {
            spec.rope_fast = 32;
            spec.rope_slow = 1;
            spec.rope_attention = 1 + 0.1 * log(4);
        }
        od_gguf_keys_init(&keys);
        assert_ok(od_spec_put_gguf(&spec, "x", 0, &keys, &err), &err);
        assert_ok(facts_of_keys(&keys, &back, &err), &err);
        od_gguf_keys_release(&keys);
        assert_int_equal(back.rope_scaling, OD_ROPE_YARN);
        assert_true(fabs(back.rope_attention / spec.rope_attention - 1) < 1e-7);
        for (int64_t i = 0; i < spec.head_dim / 2; i++) {
            const double ratio =
                od_spec_rope_frequency(&back, i) / od_spec_rope_frequency(&spec, i);
            assert_true(fabs(ratio - 1) < 1e-7);
        }
    }
    struct od_gguf_keys keys;
    spec.rope_between = true;
    od_gguf_keys_init(&keys);
    assert_int_equal(od_spec_put_gguf(&spec, "x", 0, &keys, &err), OD_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "'truncate'"));
    od_gguf_keys_release(&keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_keys), cmocka_unit_test(test_refused),
                                       cmocka_unit_test(test_written)};
    return cmocka_run_group_tests_name("model/gguf_yarn", tests, NULL, NULL);
}
