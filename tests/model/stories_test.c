// Goal: a real trained model (stories260K) gives the recorded logits, greedy ids and perplexity.
// Method: the inference program on the CPU, fed with the recorded ids; expected.json holds what
// float64 arithmetic on the float32 weights gave.

#include <math.h>
#include <string.h>

#include "formats/json.h"
#include "model/program.h"
#include "model/weights.h"
#include "ops/cpu.h"
#include "plan/plan.h"
#include "support.h"

enum { CONTEXT = 160, VOCAB = 512 };

struct model {
    struct od_cpu cpu;
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
};

static void open_model(struct model *m)
{
    struct od_error err = {0};
    struct od_spec spec;
    const char *folder = test_shared("models/stories260K/hf");
    char config[OD_PATH_MAX_BYTES];
    assert_ok(od_path_join(config, folder, "config.json", &err), &err);
    assert_ok(od_spec_read(config, &spec, &err), &err);
    assert_int_equal(spec.vocab, VOCAB);
    assert_ok(od_cpu_open(2, true, &m->cpu, &err), &err);
    const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                               .tokens = CONTEXT,
                                               .threads = 2,
                                               .cache_slots = 1,
                                               .cache_length = CONTEXT,
                                               .logit_rows = CONTEXT};
    assert_ok(od_program_build(&spec, &options, &m->program, &err), &err);
    assert_ok(od_plan_make(&m->program, &m->plan, &err), &err);
    assert_ok(od_arrays_make(&m->plan, &m->arrays, &err), &err);
    assert_ok(od_weights_read(&m->program, m->arrays.tensor, folder, &err), &err);
    od_spec_rope_table(&spec, CONTEXT, m->arrays.tensor[m->program.io.rope_table]);
}

static void close_model(struct model *m)
{
    od_arrays_release(&m->arrays);
    od_plan_release(&m->plan);
    od_program_release(&m->program);
    od_cpu_close(&m->cpu);
}

// Logits after each of ids [count] at positions start, start + 1, ...
static const float *run(struct model *m, const int32_t *ids, int64_t count, int32_t start)
{
    int32_t positions[CONTEXT];
    int32_t slots[CONTEXT] = {0};
    int32_t rows[CONTEXT];
    for (int32_t i = 0; i < count; i++) {
        positions[i] = start + i;
        rows[i] = i;
    }
    struct od_batch batch = {.tokens = count,
                             .ids = ids,
                             .positions = positions,
                             .cache_slot = slots,
                             .cache_length = CONTEXT,
                             .logit_rows = count,
                             .logit_row = rows};
    for (int32_t i = 0; i < m->program.op_count; i++) {
        od_cpu_run(&m->cpu, &m->program.ops[i], m->arrays.tensor, &batch);
    }
    return m->arrays.tensor[m->program.io.logits];
}

static int64_t read_ids(const json_t *list, int32_t *out)
{
    size_t i;
    const json_t *value;
    json_array_foreach(list, i, value)
    {
        out[i] = (int32_t)json_integer_value(value);
    }
    return (int64_t)json_array_size(list);
}

static double log_prob(const float *logits, int32_t id)
{
    double sum = 0.0;
    for (int i = 0; i < VOCAB; i++) {
        sum += exp((double)logits[i] - (double)logits[id]);
    }
    return -log(sum);
}

static void check_case(struct model *m, const json_t *one)
{
    int32_t ids[CONTEXT];
    int32_t greedy[CONTEXT];
    const int64_t count = read_ids(json_object_get(one, "ids"), ids);
    const int64_t greedy_count = read_ids(json_object_get(one, "greedy_ids"), greedy);
    const json_t *expected = json_object_get(one, "last_logits");
    const json_t *logprobs = json_object_get(one, "prompt_logprobs");
    const float *logits = run(m, ids, count, 0);
    const float *last = logits + (count - 1) * VOCAB;

    for (size_t i = 0; i < json_array_size(logprobs); i++) {
        const double expected_lp = json_real_value(json_array_get(logprobs, i));
        assert_true(fabs(log_prob(logits + i * VOCAB, ids[i + 1]) - expected_lp) < 1e-4);
    }
    for (size_t i = 0; i < VOCAB; i++) {
        const double want = json_number_value(json_array_get(expected, i));
        if (fabs((double)last[i] - want) > 1e-4) {
            fail_msg("logit %zu is %g, expected %g", i, (double)last[i], want);
        }
    }
    for (int64_t g = 0; g < greedy_count; g++) {  // one token at a time, through the cache
        int32_t best = 0;
        for (int32_t i = 1; i < VOCAB; i++) {
            best = last[i] > last[best] ? i : best;
        }
        assert_int_equal(best, greedy[g]);
        last = run(m, &best, 1, (int32_t)(count + g));
    }
}

static void recorded_cases(void **state)
{
    (void)state;
    struct model m;
    struct od_error err = {0};
    json_t *expected = NULL;
    size_t i;
    const json_t *one;
    assert_ok(od_json_read(test_shared("models/stories260K/expected.json"), &expected, &err), &err);
    open_model(&m);
    json_array_foreach(json_object_get(expected, "cases"), i, one)
    {
        check_case(&m, one);
    }
    assert_true(i > 0);
    const json_t *perplexity = json_object_get(expected, "perplexity");
    int32_t ids[CONTEXT];
    const int64_t count = read_ids(json_object_get(perplexity, "ids"), ids);
    const float *logits = run(&m, ids, count, 0);
    double nll = 0.0;
    for (int64_t t = 0; t + 1 < count; t++) {
        nll -= log_prob(logits + t * VOCAB, ids[t + 1]);
    }
    const double want = json_number_value(json_object_get(perplexity, "mean_nll"));
    assert_true(fabs(nll / (double)(count - 1) - want) < 1e-6);
    json_decref(expected);
    close_model(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(recorded_cases)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
