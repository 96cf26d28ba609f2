// Goal: a recipe means what its keys say: defaults, ranges, places in messages, keys without
// effect, keys that are refused; writing and reading it again changes nothing; and the reference
// page is the one that the table makes.
// Method: small recipes in memory, compared member by member.
#include "tune/recipe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "ops/op.h"
#include "support.h"
#include "tune/recipe_table.h"

#define SHORTEST             \
    "base_model: model\n"    \
    "datasets:\n"            \
    "  - path: rows.jsonl\n" \
    "    type: input-output\n"

enum { REFERENCE_MAX_BYTES = 1 << 20 };

static enum od_status parse(const char *text, struct od_recipe *ret, struct od_error *err)
{
    return od_recipe_parse(text, strlen(text), "r.yaml", "/data", ret, err);
}

static void fails(const char *text, enum od_status status, const char *message)
{
    struct od_error err = {0};
    struct od_recipe recipe;
    const enum od_status got = parse(text, &recipe, &err);
    if (got != status || strcmp(err.message, message) != 0) {
        fail_msg("of\n%s\nstatus %d and '%s', not %d and '%s'", text, (int)got, err.message,
                 (int)status, message);
    }
}

static void same_text(const char *a, const char *b)
{
    assert_int_equal(a == NULL, b == NULL);
    if (a && b) {
        assert_string_equal(a, b);
    }
}

static void same_recipe(const struct od_recipe *a, const struct od_recipe *b)
{
    same_text(a->base_model, b->base_model);
    same_text(a->base_config, b->base_config);
    same_text(a->base_tokenizer, b->base_tokenizer);
    same_text(a->optimizer, b->optimizer);
    assert_int_equal(a->method, b->method);
    assert_int_equal(a->lr_scheduler, b->lr_scheduler);
    assert_int_equal(a->lora_target_count, b->lora_target_count);
    for (size_t i = 0; i < a->lora_target_count; i++) {
        assert_string_equal(a->lora_targets[i], b->lora_targets[i]);
    }
    assert_int_equal(a->dataset_count, b->dataset_count);
    for (size_t i = 0; i < a->dataset_count; i++) {
        assert_string_equal(a->datasets[i].path, b->datasets[i].path);
        assert_int_equal(a->datasets[i].type, b->datasets[i].type);
        assert_true(a->datasets[i].weight == b->datasets[i].weight);
    }
    assert_int_equal(a->seed, b->seed);
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        const void *left = (const char *)a + key->offset;
        const void *right = (const char *)b + key->offset;
        if (key->kind == OD_RECIPE_INT) {
            assert_int_equal(*(const int64_t *)left, *(const int64_t *)right);
        } else if (key->kind == OD_RECIPE_NUMBER || key->kind == OD_RECIPE_STEPS) {
            assert_true(*(const double *)left == *(const double *)right);
        } else if (key->kind == OD_RECIPE_DUE) {
            assert_int_equal(*(const enum od_due *)left, *(const enum od_due *)right);
        } else if (key->kind == OD_RECIPE_BOOL) {
            assert_int_equal(*(const bool *)left, *(const bool *)right);
        }
    }
}

// Write, read, compare; then write again: the same bytes.
static void round_trip(const struct od_recipe *recipe)
{
    struct od_error err = {0};
    struct od_buf text;
    struct od_buf again;
    struct od_recipe read = {0};
    od_buf_init(&text, REFERENCE_MAX_BYTES);
    od_buf_init(&again, REFERENCE_MAX_BYTES);
    assert_ok(od_recipe_write(recipe, &text, &err), &err);
    assert_ok(od_recipe_parse(text.bytes, text.size, "again", "/elsewhere", &read, &err), &err);
    same_recipe(recipe, &read);
    assert_int_equal(read.note_count, 0);
    assert_ok(od_recipe_write(&read, &again, &err), &err);
    assert_string_equal(od_buf_text(&text), od_buf_text(&again));
    od_recipe_release(&read);
    od_buf_release(&text);
    od_buf_release(&again);
}

static void defaults(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    assert_ok(parse(SHORTEST, &r, &err), &err);
    assert_string_equal(r.base_model, "/data/model");
    assert_null(r.base_config);
    assert_int_equal(r.method, OD_METHOD_FULL);
    assert_int_equal(r.lora_r, 16);
    assert_true(r.lora_alpha == 32.0);
    assert_true(r.lora_dropout == 0.0);
    assert_false(r.lora_rslora);
    assert_int_equal(r.lora_target_count, 7);
    assert_string_equal(r.lora_targets[0], "q_proj");
    assert_string_equal(r.lora_targets[6], "down_proj");
    assert_int_equal(r.dataset_count, 1);
    assert_string_equal(r.datasets[0].path, "/data/rows.jsonl");
    assert_int_equal(r.datasets[0].type, OD_DATASET_INPUT_OUTPUT);
    assert_true(r.datasets[0].weight == 1.0);
    assert_int_equal(r.sequence_len, 2048);
    assert_true(r.sample_packing);
    assert_false(r.train_on_inputs);
    assert_int_equal(r.micro_batch_size, 1);
    assert_int_equal(r.gradient_accumulation_steps, 1);
    assert_true(r.num_epochs == 1.0);
    assert_int_equal(r.max_steps, 0);
    assert_string_equal(r.optimizer, "adamw");
    assert_true(r.learning_rate == 2e-4);
    assert_int_equal(r.lr_scheduler, OD_SCHEDULE_COSINE);
    assert_int_equal(r.warmup_steps, 0);
    assert_true(r.weight_decay == 0.0);
    assert_true(r.adam_beta1 == 0.9);
    assert_true(r.adam_beta2 == 0.999);
    assert_true(r.adam_epsilon == 1e-8);
    assert_true(r.max_grad_norm == 1.0);
    assert_int_equal(r.seed, 42);
    assert_true(r.save_steps == 100.0);
    assert_int_equal(r.save_total_limit, 2);
    assert_int_equal(r.weight_hash_steps, 1);
    assert_int_equal(r.note_count, 0);
    round_trip(&r);
    od_recipe_release(&r);
}

static const char every_key[] =
    "# everything at once\n"
    "base_model: '/models/base: one'\n"
    "adapter: lora\n"
    "r: 8\n"
    "lora_alpha: 12.5\n"
    "lora_dropout: 0.0\n"
    "use_rslora: true\n"
    "target_modules: [q_proj, 'v_proj']\n"
    "datasets:\n"
    "  - {path: ./a b.json, type: alpaca, weight: 2.5}\n"
    "  - path: /texts/c.txt.gz\n"
    "  - path: d.jsonl\n"
    "    type: completion\n"
    "    weight: 0.25\n"
    "sequence_len: 512\n"
    "sample_packing: false\n"
    "train_on_inputs: true\n"
    "micro_batch_size: 4\n"
    "gradient_accumulation_steps: 8\n"
    "num_train_epochs: 0.5\n"
    "max_steps: 7\n"
    "optim: adamw_torch\n"
    "learning_rate: 3.0e-5\n"
    "lr_scheduler_type: constant_with_warmup\n"
    "warmup_steps: 3\n"
    "weight_decay: 0.1\n"
    "adam_beta1: 0.8\n"
    "adam_beta2: 0.95\n"
    "adam_epsilon: 1e-6\n"
    "max_grad_norm: 0.3\n"
    "seed: 9007199254740991\n"
    "save_steps: 0\n"
    "save_total_limit: 5\n"
    "weight_hash_steps: 10\n";

static void all_keys(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    assert_ok(parse(every_key, &r, &err), &err);
    assert_string_equal(r.base_model, "/models/base: one");
    assert_int_equal(r.method, OD_METHOD_LORA);
    assert_int_equal(r.lora_r, 8);
    assert_true(r.lora_alpha == 12.5);
    assert_true(r.lora_rslora);
    assert_int_equal(r.lora_target_count, 2);
    assert_string_equal(r.lora_targets[1], "v_proj");
    assert_int_equal(r.dataset_count, 3);
    assert_string_equal(r.datasets[0].path, "/data/a b.json");
    assert_int_equal(r.datasets[0].type, OD_DATASET_ALPACA);
    assert_true(r.datasets[0].weight == 2.5);
    assert_string_equal(r.datasets[1].path, "/texts/c.txt.gz");
    assert_int_equal(r.datasets[1].type, OD_DATASET_COMPLETION);
    assert_true(r.datasets[2].weight == 0.25);
    assert_int_equal(r.sequence_len, 512);
    assert_false(r.sample_packing);
    assert_true(r.train_on_inputs);
    assert_int_equal(r.micro_batch_size, 4);
    assert_int_equal(r.gradient_accumulation_steps, 8);
    assert_true(r.num_epochs == 0.5);
    assert_int_equal(r.max_steps, 7);
    assert_string_equal(r.optimizer, "adamw");
    assert_true(r.learning_rate == 3e-5);
    assert_int_equal(r.lr_scheduler, OD_SCHEDULE_CONSTANT_WITH_WARMUP);
    assert_int_equal(r.warmup_steps, 3);
    assert_true(r.adam_beta2 == 0.95);
    assert_true(r.adam_epsilon == 1e-6);
    assert_true(r.max_grad_norm == 0.3);
    assert_int_equal(r.seed, 9007199254740991);
    assert_true(r.save_steps == 0.0);
    assert_int_equal(r.note_count, 0);
    round_trip(&r);
    od_recipe_release(&r);
}

static const char more_keys[] =
    "base_model: m\n"
    "adapter: qlora\n"
    "lora_model_dir: first/adapter\n"
    "datasets: [{path: a.txt}]\n"
    "val_set_size: 0.125\n"
    "lr_scheduler: warmup_stable_decay\n"
    "lr_scheduler_kwargs: {num_decay_steps: 20, decay_type: linear, min_lr_ratio: 0.25}\n"
    "warmup_ratio: 0.1\n"
    "noisy_embedding_alpha: 5\n"
    "evaluation_strategy: steps\n"
    "eval_steps: 0.25\n"
    "save_strategy: best\n"
    "saves_per_epoch: 2\n"
    "load_best_model_at_end: true\n"
    "early_stopping_patience: 3\n"
    "special_tokens: {bos_token: '<s>', eos_token: </s>}\n"
    "budget: {time: 90min, vram: 24GB, ram: 64GiB, disk: 1000}\n";

static void more_of_the_keys(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    assert_ok(parse(more_keys, &r, &err), &err);
    assert_int_equal(r.method, OD_METHOD_LORA);
    assert_int_equal(r.quant, OD_QUANT_NF4);
    assert_string_equal(r.lora_model_dir, "/data/first/adapter");
    assert_true(r.val_set_size == 0.125);
    assert_int_equal(r.lr_scheduler, OD_SCHEDULE_WARMUP_STABLE_DECAY);
    assert_int_equal(r.lr_decay_steps, 20);
    assert_int_equal(r.lr_decay, OD_DECAY_LINEAR);
    assert_true(r.lr_min_ratio == 0.25);
    assert_true(r.warmup_ratio == 0.1);
    assert_true(r.neftune_noise_alpha == 5.0);
    assert_int_equal(r.eval_strategy, OD_DUE_STEPS);
    assert_true(r.eval_steps == 0.25);
    assert_int_equal(r.save_strategy, OD_DUE_BEST);
    assert_int_equal(r.saves_per_epoch, 2);
    assert_true(r.load_best_model_at_end);
    assert_int_equal(r.early_stopping_patience, 3);
    assert_string_equal(r.bos_token, "<s>");
    assert_string_equal(r.eos_token, "</s>");
    assert_true(r.budget.time_s == 5400.0);
    assert_int_equal(r.budget.vram_bytes, 24000000000);
    assert_int_equal(r.budget.ram_bytes, 68719476736);
    assert_int_equal(r.budget.disk_bytes, 1000);
    assert_int_equal(r.note_count, 0);
    round_trip(&r);
    od_recipe_release(&r);
}

// What keys say together.
static void together(void **state)
{
    (void)state;
    fails(SHORTEST "eval_steps: 5\nevals_per_epoch: 2\n", OD_E_FORMAT,
          "r.yaml:6:1: 'eval_steps' and 'evals_per_epoch' are both there: keep one");
    fails(SHORTEST "save_steps: 5\nsaves_per_epoch: 2\n", OD_E_FORMAT,
          "r.yaml:6:1: 'save_steps' and 'saves_per_epoch' are both there: keep one");
    fails(SHORTEST "warmup_steps: 5\nwarmup_ratio: 0.2\n", OD_E_FORMAT,
          "r.yaml:6:1: 'warmup_steps' and 'warmup_ratio' are both there: keep one");
    fails(SHORTEST "val_set_size: 5\ntest_datasets: [{path: a.txt}]\n", OD_E_FORMAT,
          "r.yaml:6:1: 'val_set_size' and 'test_datasets' are both there: keep one");
    fails(SHORTEST "load_best_model_at_end: true\n", OD_E_FORMAT,
          "r.yaml:5:25: 'load_best_model_at_end' needs evaluations: set 'val_set_size' or "
          "'test_datasets'");
    fails(SHORTEST "val_set_size: 3\neval_strategy: no\nearly_stopping_patience: 2\n", OD_E_FORMAT,
          "r.yaml:7:26: 'early_stopping_patience' needs evaluations: 'eval_strategy' is no");
    fails(SHORTEST "eval_steps: 2.5\n", OD_E_FORMAT,
          "r.yaml:5:13: 'eval_steps' is 2.5: a number of steps is whole, a share of them below 1");
    fails(SHORTEST "eval_strategy: best\n", OD_E_FORMAT,
          "r.yaml:5:16: unknown eval_strategy 'best': it must be steps, epoch or no");
    fails(SHORTEST "lr_scheduler: warmup_stable_decay\n", OD_E_FORMAT,
          "r.yaml:5:15: 'warmup_stable_decay' needs lr_scheduler_kwargs: {num_decay_steps: N}");
    fails(SHORTEST "lr_scheduler_kwargs: {gama: 0.5}\n", OD_E_FORMAT,
          "r.yaml:5:23: unknown key of lr_scheduler_kwargs 'gama': did you mean 'gamma'?");
    fails(SHORTEST "cosine_constant_lr_ratio: 0.5\n", OD_E_FORMAT,
          "r.yaml:5:27: 'cosine_constant_lr_ratio' needs 'cosine_min_lr_ratio', the rate that "
          "stays");
    fails(SHORTEST "budget: {time: soon}\n", OD_E_FORMAT,
          "r.yaml:5:16: 'time' is soon: write a time such as 24h, 90min or 45s");
    fails(SHORTEST "budget: {vram: much}\n", OD_E_FORMAT,
          "r.yaml:5:16: 'vram' is much: write a size such as 24GB, 800MB or 16GiB");
    fails(SHORTEST "test_datasets: []\n", OD_E_FORMAT,
          "r.yaml:5:16: 'test_datasets' must list 1 to 256 files");
}

static void pre_training(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    assert_ok(parse("base_model: {config: config.json, tokenizer: .}\n"
                    "datasets: [{path: base.txt}]\n"
                    "lora_target_linear: true\n",
                    &r, &err),
              &err);
    assert_null(r.base_model);
    assert_string_equal(r.base_config, "/data/config.json");
    assert_string_equal(r.base_tokenizer, "/data/.");
    assert_int_equal(r.datasets[0].type, OD_DATASET_COMPLETION);
    assert_int_equal(r.note_count, 1);
    assert_string_equal(r.notes[0],
                        "key 'lora_target_linear' has no effect without 'adapter: lora'");
    round_trip(&r);
    od_recipe_release(&r);
    fails("base_model: {config: c.json, tokenizer: t}\nadapter: lora\ndatasets: [{path: a.txt}]\n",
          OD_E_FORMAT, "r.yaml:2:10: an adapter needs a base model with weights, not random ones");
    fails("base_model: {config: c.json}\ndatasets: [{path: a.txt}]\n", OD_E_FORMAT,
          "r.yaml:1:13: 'base_model' needs 'config' and 'tokenizer'");
    fails("base_model: {konfig: c.json}\n", OD_E_FORMAT,
          "r.yaml:1:14: unknown key of base_model 'konfig': did you mean 'config'?");
}

static void places(void **state)
{
    (void)state;
    fails(SHORTEST "lora_rank: 8\n", OD_E_FORMAT,
          "r.yaml:5:1: unknown key 'lora_rank': did you mean 'lora_r'?");
    fails(SHORTEST "learning_rat: 8\n", OD_E_FORMAT,
          "r.yaml:5:1: unknown key 'learning_rat': did you mean 'learning_rate'?");
    fails(SHORTEST "micro_batch_size: 0\n", OD_E_FORMAT,
          "r.yaml:5:19: 'micro_batch_size' is 0: it must be 1 to 65536");
    fails(SHORTEST "micro_batch_size: 65537\n", OD_E_FORMAT,
          "r.yaml:5:19: 'micro_batch_size' is 65537: it must be 1 to 65536");
    fails(SHORTEST "learning_rate: 0\n", OD_E_FORMAT,
          "r.yaml:5:16: 'learning_rate' is 0: it must be above 0.0 and at most 100.0");
    fails(SHORTEST "weight_decay: -0.1\n", OD_E_FORMAT,
          "r.yaml:5:15: 'weight_decay' is -0.1: it must be at least 0.0 and at most 10.0");
    fails(SHORTEST "weight_decay: .nan\n", OD_E_FORMAT,
          "r.yaml:5:15: 'weight_decay' is .nan: it must be at least 0.0 and at most 10.0");
    fails(SHORTEST "seed: -1\n", OD_E_FORMAT,
          "r.yaml:5:7: 'seed' is -1: it must be 0 to 9007199254740991");
    fails("datasets: [{path: a.txt}]\n", OD_E_FORMAT, "r.yaml:1:1: 'base_model' is missing");
    fails("base_model: a\n", OD_E_FORMAT, "r.yaml:1:1: 'datasets' is missing");
    fails("base_model: a\ndatasets: []\n", OD_E_FORMAT,
          "r.yaml:2:11: 'datasets' must list 1 to 256 files");
    fails("base_model: ''\n", OD_E_FORMAT, "r.yaml:1:13: 'base_model' is empty: give a path");
    fails(SHORTEST "lora_r: 4\nr: 5\n", OD_E_FORMAT,
          "r.yaml:6:1: 'r' is 'lora_r', which is there, too");
    fails(SHORTEST "lora_target_modules: [q_proj, q_proj]\n", OD_E_FORMAT,
          "r.yaml:5:31: 'q_proj' is there twice");
    fails(SHORTEST "lora_target_modules: []\n", OD_E_FORMAT,
          "r.yaml:5:22: 'lora_target_modules' must have 1 to 16 names");
}

static void same_spec(const struct od_dataset_spec *a, const struct od_dataset_spec *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->max_rows, b->max_rows);
    same_text(a->columns, b->columns);
    same_text(a->fields.instruction, b->fields.instruction);
    same_text(a->fields.input, b->fields.input);
    same_text(a->fields.output, b->fields.output);
    same_text(a->fields.system, b->fields.system);
    same_text(a->fields.text, b->fields.text);
    same_text(a->fields.messages, b->fields.messages);
    same_text(a->fields.role, b->fields.role);
    same_text(a->fields.content, b->fields.content);
    same_text(a->format, b->format);
    same_text(a->no_input_format, b->no_input_format);
    same_text(a->system_format, b->system_format);
    same_text(a->system_prompt, b->system_prompt);
    same_text(a->chat_template, b->chat_template);
}

static const char all_data_keys[] =
    "base_model: m\n"
    "chat_template: llama-3\n"
    "datasets:\n"
    "  - path: a.json\n"
    "    type:\n"
    "      field_instruction: q\n"
    "      field_input: c\n"
    "      field_output: a\n"
    "      field_system: s\n"
    "      format: \"Q: {instruction}\\nC: {input}\\n\"\n"
    "      no_input_format: '{instruction}:'\n"
    "      system_format: '<{system}>'\n"
    "      system_prompt: be brief\n"
    "  - {path: b.jsonl, type: sharegpt, conversation: chatml, max_rows: 10}\n"
    "  - path: c.jsonl\n"
    "    type: chat_template\n"
    "    field_messages: talk\n"
    "    message_property_mappings: {role: who, content: what}\n"
    "    roles: {user: [human], assistant: [gpt, model]}\n"
    "    roles_to_train: [assistant]\n"
    "  - {path: d.jsonl, type: oasst, chat_template: tokenizer_default}\n"
    "  - {path: e.csv, type: input_output, columns: 'x,y', field_input: x, field_output: y}\n"
    "  - {path: f.jsonl.zst, type: completion, field: body}\n"
    "  - {path: g.txt.xz}\n"
    "  - {path: h.jsonl, type: dolly}\n"
    "  - path: i.jsonl\n"
    "    type: chat_template\n"
    "    chat_template: jinja\n"
    "    chat_template_jinja: \"{% for m in messages %}\\n{{ m }}{% endfor %}\"\n";

static void data_keys(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    struct od_recipe again = {0};
    struct od_buf out;
    assert_ok(parse(all_data_keys, &r, &err), &err);
    assert_int_equal(r.dataset_count, 9);
    assert_int_equal(r.datasets[0].type, OD_DATASET_OWN);
    assert_string_equal(r.datasets[0].format, "Q: {instruction}\nC: {input}\n");
    assert_string_equal(r.datasets[0].fields.system, "s");
    assert_null(r.datasets[0].chat_template);
    assert_int_equal(r.datasets[1].type, OD_DATASET_CHAT);
    assert_string_equal(r.datasets[1].chat_template, "chatml");
    assert_int_equal(r.datasets[1].max_rows, 10);
    assert_string_equal(r.datasets[2].chat_template, "llama-3");
    assert_string_equal(r.datasets[2].fields.role, "who");
    assert_string_equal(r.datasets[2].fields.content, "what");
    assert_string_equal(r.datasets[3].chat_template, "tokenizer_default");
    assert_int_equal(r.datasets[3].type, OD_DATASET_OASST);
    assert_string_equal(r.datasets[4].columns, "x,y");
    assert_string_equal(r.datasets[5].fields.text, "body");
    assert_int_equal(r.datasets[6].type, OD_DATASET_COMPLETION);
    assert_int_equal(r.datasets[7].type, OD_DATASET_ALPACA);
    assert_string_equal(r.datasets[8].chat_template,
                        "{% for m in messages %}\n{{ m }}{% endfor %}");
    assert_int_equal(r.note_count, 0);
    od_buf_init(&out, 1 << 20);
    assert_ok(od_recipe_write(&r, &out, &err), &err);
    assert_ok(parse(od_buf_text(&out), &again, &err), &err);
    for (size_t i = 0; i < r.dataset_count; i++) {
        same_spec(&r.datasets[i], &again.datasets[i]);
    }
    round_trip(&r);
    od_buf_release(&out);
    od_recipe_release(&again);
    od_recipe_release(&r);
}

static void broken_data_keys(void **state)
{
    (void)state;
    fails("base_model: m\nchat_template: chatlm\ndatasets:\n  - {path: a.jsonl, type: alpaca}\n",
          OD_E_NOT_FOUND,
          "r.yaml:2:16: there is no chat template 'chatlm': it must be chatml, llama2, llama3, "
          "mistral, zephyr, vicuna, alpaca, tokenizer_default (the model's own) or a Jinja text");
    fails("base_model: m\nchat_template: jinja\ndatasets:\n  - {path: a.jsonl, type: sharegpt}\n",
          OD_E_FORMAT, "r.yaml:1:1: 'chat_template: jinja' needs 'chat_template_jinja'");
    fails("datasets:\n  - {path: a.jsonl, type: alpaca, max_rows: -1}\n", OD_E_FORMAT,
          "r.yaml:2:45: 'max_rows' is -1: it must be at least 0");
    fails("datasets:\n  - {path: a.jsonl, type: {formt: x}}\n", OD_E_FORMAT,
          "r.yaml:2:28: unknown key of a layout 'formt': did you mean 'format'?");
    fails("datasets:\n  - {path: a.jsonl, type: sharegpt, roles: {user: [me]}}\n", OD_E_UNSUPPORTED,
          "r.yaml:2:52: 'user' is not supported: 'me' is no name of the user");
    fails("datasets:\n  - {path: a.jsonl, type: pygmalion}\n", OD_E_UNSUPPORTED,
          "r.yaml:2:27: the type of data 'pygmalion' is not built yet: it must be input-output, "
          "alpaca, alpaca_chat, chat_template, oasst, completion or a mapping");
}

static void places_in_datasets(void **state)
{
    (void)state;
    fails("datasets:\n  - path: a.jsonl\n    type: alpacca\n", OD_E_FORMAT,
          "r.yaml:3:11: unknown type of data 'alpacca': did you mean 'alpaca'?");
    fails("datasets:\n  - path: a.jsonl\n    type: zz\n", OD_E_FORMAT,
          "r.yaml:3:11: unknown type of data 'zz': it must be input-output, alpaca, alpaca_chat, "
          "chat_template, oasst, completion or a mapping");
    fails("datasets:\n  - path: a.jsonl\n", OD_E_FORMAT,
          "r.yaml:2:5: a data file needs 'type': input-output, alpaca, alpaca_chat, chat_template, "
          "oasst, completion or a mapping");
    fails("datasets:\n  - type: alpaca\n", OD_E_FORMAT, "r.yaml:2:5: a data file needs 'path'");
    fails("datasets:\n  - path: a.txt\n    weigth: 2\n", OD_E_FORMAT,
          "r.yaml:3:5: unknown key of a data file 'weigth': did you mean 'weight'?");
    fails("datasets:\n  - path: a.txt\n    weight: 0\n", OD_E_FORMAT,
          "r.yaml:3:13: 'weight' is 0: it must be above 0 and at most 1000");
}

static void refused_and_unused(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    fails(SHORTEST "adapter: loro\n", OD_E_FORMAT,
          "r.yaml:5:10: unknown adapter 'loro': did you mean 'lora'?");
    fails(SHORTEST "load_in_4bit: true\n", OD_E_FORMAT,
          "r.yaml:5:15: 'load_in_4bit' is for frozen weights: it needs 'adapter: qlora'");
    fails(SHORTEST "adapter: qlora\nload_in_8bit: true\n", OD_E_FORMAT,
          "r.yaml:6:15: weights in 4 bits and in 8 bits: choose one of them");
    fails(SHORTEST "fp8: true\n", OD_E_FORMAT,
          "r.yaml:5:6: 'fp8' is for frozen weights: it needs 'adapter: lora'");
    fails(SHORTEST "adapter: qlora\nfp8: true\n", OD_E_FORMAT,
          "r.yaml:6:6: 'fp8' goes with 'adapter: lora', not with weights in 4 bits or as 8-bit "
          "integers: choose one of them");
    fails(SHORTEST "adapter: lora\nfp8: true\nload_in_8bit: true\n", OD_E_FORMAT,
          "r.yaml:6:6: 'fp8' goes with 'adapter: lora', not with weights in 4 bits or as 8-bit "
          "integers: choose one of them");
    fails(SHORTEST "adapter: lora\nload_in_4bit: true\nfp8: true\n", OD_E_FORMAT,
          "r.yaml:7:6: 'fp8' goes with 'adapter: lora', not with weights in 4 bits or as 8-bit "
          "integers: choose one of them");
    fails(SHORTEST "peft_use_dora: true\n", OD_E_UNSUPPORTED,
          "r.yaml:5:16: 'peft_use_dora' is not supported: not built yet");
    fails(SHORTEST "lora_dropout: 1.0\n", OD_E_ARGUMENT,
          "r.yaml:5:15: 'lora_dropout' must be below 1");
    fails(SHORTEST "optimizer: lion_8bit\n", OD_E_UNSUPPORTED,
          "r.yaml:5:12: the optimizer 'lion_8bit' is not built yet: 'adamw' is");
    fails(SHORTEST "lr_scheduler: polynomial\n", OD_E_UNSUPPORTED,
          "r.yaml:5:15: the lr_scheduler 'polynomial' is not built yet: 'cosine' is");
    fails(SHORTEST "lr_scheduler: cosin\n", OD_E_FORMAT,
          "r.yaml:5:15: unknown lr_scheduler 'cosin': did you mean 'cosine'?");
    assert_ok(parse(SHORTEST "adapter: lora\nfp8: true\n", &r, &err), &err);
    assert_int_equal(r.quant, OD_QUANT_E4M3);
    od_recipe_release(&r);
    assert_ok(parse(SHORTEST "load_in_4bit: false\nval_set_size: 0.0\nspecial_tokens:\n"
                             "neftune_noise_alpha:\nfsdp: []\nwandb_project:\n"
                             "flash_attention: true\nadapter:\nseed: null\n",
                    &r, &err),
              &err);
    assert_int_equal(r.note_count, 2);
    assert_string_equal(r.notes[0], "key 'fsdp' has no effect here: training runs on one device");
    assert_string_equal(r.notes[1],
                        "key 'flash_attention' has no effect here: it changes speed "
                        "or memory, not the result");
    assert_int_equal(r.seed, 42);
    od_recipe_release(&r);
}

// Every key without effect is taken and noted; the notes never overflow.
static void many_notes(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    struct od_buf text;
    size_t count = 0;
    od_buf_init(&text, REFERENCE_MAX_BYTES);
    od_buf_puts(&text, SHORTEST);
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        if (od_recipe_keys[i].kind == OD_RECIPE_NO_EFFECT) {
            od_buf_printf(&text, "%s: 1\n", od_recipe_keys[i].name);
            count++;
        } else if (od_recipe_keys[i].kind == OD_RECIPE_REFUSED) {
            od_buf_printf(&text, "%s: %s\n", od_recipe_keys[i].name, od_recipe_keys[i].fallback);
        }
    }
    assert_ok(parse(od_buf_text(&text), &r, &err), &err);
    assert_true(count > 64);
    char last[64];
    (void)snprintf(last, sizeof last, "%zu more keys have no effect here", count - 63);
    assert_int_equal(r.note_count, 64);
    assert_string_equal(r.notes[63], last);
    od_recipe_release(&r);
    od_buf_release(&text);
}

// The table itself: unique names, every honoured number inside its own range.
static void table_is_sound(void **state)
{
    (void)state;
    for (size_t i = 0; i < od_recipe_key_count; i++) {
        const struct od_recipe_key *key = &od_recipe_keys[i];
        assert_ptr_equal(od_recipe_key_find(key->name), key);
        assert_non_null(key->help);
        if (key->alias) {
            assert_ptr_equal(od_recipe_key_find(key->alias), key);
        }
        if (key->kind == OD_RECIPE_REFUSED) {
            assert_non_null(key->fallback);
        }
    }
    assert_null(od_recipe_key_find("nothing"));
}

static void from_a_file(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_recipe r = {0};
    char path[OD_PATH_MAX_BYTES];
    char model[OD_PATH_MAX_BYTES];
    const char *folder = test_folder();
    assert_ok(od_path_join(path, folder, "recipe.yaml", &err), &err);
    assert_ok(od_path_join(model, folder, "model", &err), &err);
    assert_ok(od_file_write(path, SHORTEST, strlen(SHORTEST), &err), &err);
    assert_ok(od_recipe_read(path, &r, &err), &err);
    assert_string_equal(r.base_model, model);
    od_recipe_release(&r);
    assert_int_equal(od_recipe_read(folder, &r, &err), OD_E_IO);
    assert_int_equal(od_recipe_read("/nowhere/r.yaml", &r, &err), OD_E_NOT_FOUND);
    char *large = od_alloc(OD_RECIPE_MAX_BYTES + 1, 1);
    assert_non_null(large);
    memset(large, '\n', OD_RECIPE_MAX_BYTES + 1);
    assert_int_equal(od_recipe_parse(large, OD_RECIPE_MAX_BYTES + 1, "r", "", &r, &err),
                     OD_E_LIMIT);
    od_free(large);
}

static void without_memory(void **state)
{
    (void)state;
    struct od_error err = {0};
    uint64_t failures = 0;
    for (uint64_t n = 1;; n++) {
        struct od_recipe r = {0};
        od_alloc_fail_at(n);
        const enum od_status status = parse(every_key, &r, &err);
        od_alloc_fail_at(0);
        if (status == OD_OK) {
            od_recipe_release(&r);
            break;
        }
        assert_int_equal(status, OD_E_MEMORY);
        failures++;
    }
    assert_true(failures >= 3);
}

static void reference_page(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_buf text;
    char *page = NULL;
    size_t size = 0;
    const char *path = test_source("docs/reference/recipe.md");
    const char *update = getenv("OD_UPDATE");
    od_buf_init(&text, REFERENCE_MAX_BYTES);
    od_recipe_reference(&text);
    assert_ok(od_buf_check(&text, &err), &err);
    if (update && strcmp(update, "1") == 0) {
        assert_ok(od_file_write(path, text.bytes, text.size, &err), &err);
    }
    assert_ok(od_file_read(path, REFERENCE_MAX_BYTES, &page, &size, &err), &err);
    if (size != text.size || memcmp(page, text.bytes, size) != 0) {
        fail_msg("'%s' is not what the table says: run this test with OD_UPDATE=1", path);
    }
    od_free(page);
    od_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),           cmocka_unit_test(all_keys),
        cmocka_unit_test(more_of_the_keys),   cmocka_unit_test(together),
        cmocka_unit_test(pre_training),       cmocka_unit_test(places),
        cmocka_unit_test(data_keys),          cmocka_unit_test(broken_data_keys),
        cmocka_unit_test(places_in_datasets), cmocka_unit_test(refused_and_unused),
        cmocka_unit_test(many_notes),         cmocka_unit_test(table_is_sound),
        cmocka_unit_test(from_a_file),        cmocka_unit_test(without_memory),
        cmocka_unit_test(reference_page),
    };
    return cmocka_run_group_tests_name("tune/recipe", tests, NULL, NULL);
}
