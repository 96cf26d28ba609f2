// Goal: a model that a GPU makes has the bytes of the one that the CPU makes.
// Method: draws of many seeds, places and odd lengths against od_normal_pair, every bit; then
// whole model folders of the same seed from both.

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda_gpu.h"
#include "flow/model_files.h"
#include "formats/safetensors.h"
#include "ops/gpu_draw.h"
#include "support.h"

enum { MOST = 100000 };

static void draws_have_the_same_bits(void **state)
{
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    struct od_error err = {0};
    struct od_gpu_draw *draw = NULL;
    float *got = od_alloc(MOST, sizeof *got);
    assert_non_null(got);
    assert_ok(od_gpu_draw_open(0, MOST, &draw, &err), &err);
    for (uint32_t i = 0; i < 40; i++) {
        const struct od_philox d = od_philox_draw(test_seed(), 23, 0, i);
        const struct od_gpu_draw_range range = {
            .seed = (uint64_t)d.word[0] << 32 | d.word[1],
            .stream = i,
            .step = d.word[2] % 1000u,
            .first = i % 2 == 0 ? 0 : (int64_t)d.word[3] * 2 * 3,  // past 32 bits, too
            .count = i == 0 ? MOST : 1 + (int64_t)(d.word[2] % MOST),
            .deviation = i % 3 == 0 ? 1.0 : 0.02};
        assert_ok(od_gpu_draw(draw, &range, got, &err), &err);
        for (int64_t j = 0; j < range.count; j++) {
            double pair[2];
            od_normal_pair(od_philox_draw(range.seed, range.stream, range.step,
                                          (uint64_t)(range.first + j - j % 2)),
                           &pair[0], &pair[1]);
            const float want = (float)(pair[j % 2] * range.deviation);
            uint32_t bits;
            uint32_t want_bits;
            memcpy(&bits, &got[j], sizeof bits);
            memcpy(&want_bits, &want, sizeof want_bits);
            if (bits != want_bits) {
                fail_msg("seed %llu, element %lld: %a, CPU %a", (unsigned long long)test_seed(),
                         (long long)(range.first + j), (double)got[j], (double)want);
            }
        }
    }
    od_gpu_draw_close(draw);
    od_free(got);
}

static char *read_weights(const char *folder, size_t *ret_size)
{
    char path[OD_PATH_MAX_BYTES];
    char *bytes = NULL;
    struct od_error err = {0};
    assert_ok(od_path_join(path, folder, OD_SAFETENSORS_FILE, &err), &err);
    assert_ok(od_file_read(path, (size_t)1 << 24, &bytes, ret_size, &err), &err);
    return bytes;
}

static void folders_have_the_same_bytes(void **state)
{
    static const char config[] =
        "{\"model_type\": \"llama\", \"vocab_size\": 301, \"hidden_size\": 96,\n"
        "\"intermediate_size\": 200, \"num_hidden_layers\": 3, \"num_attention_heads\": 4,\n"
        "\"num_key_value_heads\": 2, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-05,\n"
        "\"initializer_range\": 0.02, \"hidden_act\": \"silu\", \"tie_word_embeddings\": false}\n";
    (void)state;
    if (!have_gpu()) {
        skip();
    }
    char path[OD_PATH_MAX_BYTES];
    char folder[2][OD_PATH_MAX_BYTES];
    char *bytes[2];
    size_t size[2];
    struct od_error err = {0};
    assert_ok(od_path_join(path, test_folder(), "config.json", &err), &err);
    assert_ok(od_file_write(path, config, strlen(config), &err), &err);
    for (int i = 0; i < 2; i++) {
        assert_ok(od_path_join(folder[i], test_folder(), i == 0 ? "cpu" : "gpu", &err), &err);
        const struct od_model_init init = {
            .config = path, .output = folder[i], .seed = 17, .threads = 2, .on_gpu = i == 1};
        assert_ok(od_model_make(&init, &err), &err);
        bytes[i] = read_weights(folder[i], &size[i]);
    }
    assert_true(size[0] > 200000);
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(bytes[0], bytes[1], size[0]);
    od_free(bytes[0]);
    od_free(bytes[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_have_the_same_bits),
        cmocka_unit_test(folders_have_the_same_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
