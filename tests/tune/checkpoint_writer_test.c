// Goal: a checkpoint that is written beside the steps has the bytes of one that is written at once; a
// second one waits for the first; what fails is told when it is settled, and leaves no checkpoint.
// Method: a tiny model on processors, whose weights rest while a checkpoint is written.

#include "tune/checkpoint_writer.h"

#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "support.h"
#include "tune/checkpoint.h"
#include "tune/recipe.h"
#include "tune/session.h"

static const char config[] =
    "{\"model_type\": \"llama\", \"vocab_size\": 64, \"hidden_size\": 32,\n"
    "\"intermediate_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 2,\n"
    "\"num_key_value_heads\": 2, \"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-05,\n"
    "\"rope_theta\": 10000.0, \"initializer_range\": 0.05, \"hidden_act\": \"silu\",\n"
    "\"tie_word_embeddings\": true}\n";

static const char *const files[] = {"trained.safetensors", "optimizer.safetensors", "state.json",
                                    "manifest.json"};

struct bench {
    char config_path[OD_PATH_MAX_BYTES];
    struct od_recipe recipe;
    struct od_session session;
    struct od_checkpoint_state state;
};

static void documents(struct od_dataset *ret)
{
    enum { COUNT = 8, LENGTH = 16 };
    struct od_dataset data = {.count = COUNT};
    data.offset = od_alloc(COUNT + 1, sizeof *data.offset);
    data.ids = od_alloc((size_t)COUNT * LENGTH, sizeof *data.ids);
    data.label = od_alloc((size_t)COUNT * LENGTH, sizeof *data.label);
    assert_true(data.offset && data.ids && data.label);
    for (int i = 0; i < COUNT * LENGTH; i++) {
        data.ids[i] = i * 7 % 64;
        data.label[i] = i % LENGTH != 0;
        data.label_count += data.label[i];
    }
    for (int i = 0; i <= COUNT; i++) {
        data.offset[i] = (int64_t)i * LENGTH;
    }
    *ret = data;
}

static void begin(struct bench *b, const char *folder)
{
    struct od_error err = {0};
    struct od_dataset data;
    assert_ok(od_path_join(b->config_path, folder, "config.json", &err), &err);
    assert_ok(od_file_write(b->config_path, config, sizeof config - 1, &err), &err);
    b->recipe = (struct od_recipe){.base_config = b->config_path,
                                   .method = OD_METHOD_FULL,
                                   .sequence_len = 32,
                                   .sample_packing = true,
                                   .micro_batch_size = 1,
                                   .gradient_accumulation_steps = 1,
                                   .max_steps = 10,
                                   .learning_rate = 1e-2,
                                   .lr_scheduler = OD_SCHEDULE_CONSTANT,
                                   .adam_beta1 = 0.9,
                                   .adam_beta2 = 0.999,
                                   .adam_epsilon = 1e-8,
                                   .max_grad_norm = 1.0,
                                   .seed = 3};
    documents(&data);
    const struct od_session_options options = {.threads = 1, .dataset = &data};
    assert_ok(od_session_open(&b->recipe, &options, &b->session, &err), &err);
    b->state = (struct od_checkpoint_state){.best_step = -1};
}

static void step(struct bench *b)
{
    struct od_error err = {0};
    struct od_step_report report;
    assert_ok(od_session_step(&b->session, &report, &err), &err);
    b->state.place = b->session.place;
    b->state.weight_hash = od_session_weight_hash(&b->session);
}

static void digest(const char *folder, const char *name, const char *file,
                   char ret[OD_SHA256_HEX_BYTES])
{
    char path[OD_PATH_MAX_BYTES];
    char inner[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    assert_ok(od_path_join(inner, folder, name, &err), &err);
    assert_ok(od_path_join(path, inner, file, &err), &err);
    assert_ok(od_sha256_file(path, ret, &err), &err);
}

static void same_bytes(void **state)
{
    (void)state;
    struct bench b;
    struct od_error err = {0};
    struct od_checkpoint_writer *writer = NULL;
    const char *beside = test_folder();
    const char *at_once = test_folder();
    double seconds = -1.0;
    begin(&b, test_folder());
    assert_true(od_checkpoint_is_done(writer));
    assert_ok(od_checkpoint_settle(&writer, &seconds, &err), &err);
    assert_true(seconds == 0.0);
    step(&b);
    assert_ok(od_checkpoint_write(&b.session, at_once, &b.state, 0, -1, &err), &err);
    assert_ok(od_checkpoint_begin(&writer, &b.session, beside, &b.state, 0, -1, &err), &err);
    assert_ok(od_checkpoint_settle(&writer, &seconds, &err), &err);
    assert_true(!writer && seconds > 0.0);
    step(&b);
    // Begun over one that may still be on its way.
    assert_ok(od_checkpoint_write(&b.session, at_once, &b.state, 0, -1, &err), &err);
    assert_ok(od_checkpoint_begin(&writer, &b.session, beside, &b.state, 0, -1, &err), &err);
    assert_ok(od_checkpoint_begin(&writer, &b.session, beside, &b.state, 0, -1, &err), &err);
    assert_ok(od_checkpoint_settle(&writer, NULL, &err), &err);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        for (int s = 1; s <= 2; s++) {
            char one[OD_SHA256_HEX_BYTES];
            char other[OD_SHA256_HEX_BYTES];
            digest(beside, s == 1 ? "step-1" : "step-2", files[i], one);
            digest(at_once, s == 1 ? "step-1" : "step-2", files[i], other);
            assert_string_equal(one, other);
        }
    }
    od_session_close(&b.session);
}

static void failures_are_told(void **state)
{
    (void)state;
    struct bench b;
    struct od_error err = {0};
    struct od_checkpoint_writer *writer = NULL;
    const char *folder = test_folder();
    begin(&b, test_folder());
    step(&b);
    for (uint64_t n = 1;; n++) {
        od_file_fail_at(n);
        enum od_status status =
            od_checkpoint_begin(&writer, &b.session, folder, &b.state, 0, -1, &err);
        if (status == OD_OK) {
            status = od_checkpoint_settle(&writer, NULL, &err);
        }
        od_file_fail_at(0);
        if (status == OD_OK) {
            assert_true(n > 8);
            break;
        }
        assert_true(err.message[0] != '\0' && !writer);
    }
    assert_int_equal(od_checkpoint_newest(folder), 1);
    od_session_close(&b.session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bytes),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
