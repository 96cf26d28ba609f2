#include "flow/bench_session.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "data/dataset.h"
#include "model/program.h"
#include "model/spec.h"
#include "tune/recipe.h"
#include "tune/session.h"

enum { STEPS_AHEAD = 4, TARGETS = 7 };

static enum od_status random_documents(const struct od_bench_work *work, int64_t vocab,
                                       struct od_dataset *ret, struct od_error *err)
{
    struct od_dataset data = {0};
    const int64_t documents = work->documents * work->accumulation * STEPS_AHEAD;
    const int64_t count = documents * work->document;
    data.ids = od_alloc((size_t)count, sizeof *data.ids);
    data.label = od_alloc((size_t)count, sizeof *data.label);
    data.offset = od_alloc((size_t)documents + 1, sizeof *data.offset);
    if (!data.ids || !data.label || !data.offset) {
        od_dataset_release(&data);
        return od_fail(err, OD_E_MEMORY, "no memory for documents");
    }
    for (int64_t i = 0; i < count; i++) {
        data.ids[i] = (int32_t)(od_philox_draw(1, 2, 3, (uint64_t)i).word[0] % (uint32_t)vocab);
        data.label[i] = i % work->document > 0;
        data.label_count += data.label[i];
    }
    for (int64_t d = 0; d <= documents; d++) {
        data.offset[d] = d * work->document;
    }
    data.count = documents;
    *ret = data;
    return OD_OK;
}

// The config as a recipe names it: a file.
static enum od_status write_config(const struct od_spec *spec, struct od_bench_session *bench,
                                   struct od_error *err)
{
    struct od_buf text;
    enum od_status status = od_dir_make_temporary("oneday-bench", bench->folder, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&text, 1 << 20);
    status = od_spec_write(spec, &text, err);
    if (status == OD_OK) {
        status = od_path_join(bench->config, bench->folder, "config.json", err);
    }
    if (status == OD_OK) {
        status = od_file_write(bench->config, od_buf_text(&text), text.size, err);
    }
    od_buf_release(&text);
    return status;
}

enum od_status od_bench_session_open(const struct od_spec *spec, const struct od_bench_work *work,
                                     struct od_session_options options,
                                     struct od_bench_session *ret, struct od_error *err)
{
    struct od_dataset data = {0};
    *ret = (struct od_bench_session){0};
    enum od_status status = write_config(spec, ret, err);
    if (status == OD_OK) {
        status = random_documents(work, spec->vocab, &data, err);
    }
    if (status == OD_OK) {
        ret->recipe = (struct od_recipe){.base_config = ret->config,
                                         .method = work->lora ? OD_METHOD_LORA : OD_METHOD_FULL,
                                         .quant = work->quant,
                                         .lora_r = work->rank > 0 ? work->rank : 16,
                                         .lora_alpha = 32.0,
                                         .lora_target_count = work->lora ? TARGETS : 0,
                                         .sequence_len = work->document,
                                         .sample_packing = true,
                                         .micro_batch_size = work->documents,
                                         .gradient_accumulation_steps = work->accumulation,
                                         .max_steps = INT32_MAX,
                                         .learning_rate = 1e-4,
                                         .lr_scheduler = OD_SCHEDULE_CONSTANT,
                                         .adam_beta1 = 0.9,
                                         .adam_beta2 = 0.999,
                                         .adam_epsilon = 1e-8,
                                         .max_grad_norm = 1.0,
                                         .seed = 1};
        for (int i = 0; i < TARGETS; i++) {
            ret->recipe.lora_targets[i] = od_target_name(i);
        }
        options.dataset = &data;
        status = od_session_open(&ret->recipe, &options, &ret->session, err);
    }
    if (status != OD_OK) {
        od_dataset_release(&data);
        od_bench_session_close(ret);
    }
    return status;
}

void od_bench_session_close(struct od_bench_session *bench)
{
    od_session_close(&bench->session);
    if (bench->folder[0] != '\0') {
        const enum od_status removed = od_dir_remove(bench->folder, NULL);
        (void)removed;  // a left-over folder in /tmp is no failure of the measurement
    }
    *bench = (struct od_bench_session){0};
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

void od_bench_sort(double *values, size_t count)
{
    qsort(values, count, sizeof *values, ascending);
}
