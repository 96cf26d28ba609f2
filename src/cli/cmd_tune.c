// `oneday tune`: fine-tune or pre-train a model as a recipe says, into a run directory.

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/export_check.h"
#include "flow/exports.h"
#include "flow/report.h"
#include "flow/watch.h"
#include "formats/json.h"
#include "tune/recipe.h"
#include "tune/recipe_table.h"
#include "tune/run.h"

enum { KEYS_MAX_BYTES = 1 << 20 };

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

// runs/NAME for a recipe NAME.yaml.
static void default_run_dir(const char *recipe, char out[OD_PATH_MAX_BYTES])
{
    const char *slash = strrchr(recipe, '/');
    const char *name = slash ? slash + 1 : recipe;
    const char *dot = strrchr(name, '.');
    const int length = dot ? (int)(dot - name) : (int)strlen(name);
    (void)snprintf(out, OD_PATH_MAX_BYTES, "runs/%.*s", length, name);
}

static const char *const end_names[] = {[OD_TUNE_END_STEPS] = "steps",
                                        [OD_TUNE_END_EARLY] = "early_stopping",
                                        [OD_TUNE_END_TIME] = "budget.time"};

static void put_check(struct od_json_writer *w, const struct od_export_check *check)
{
    static const char *const names[] = {[OD_EXPORT_NOT_CHECKED] = "not checked",
                                        [OD_EXPORT_SAME] = "same",
                                        [OD_EXPORT_DIFFERS] = "differs"};
    od_json_member_text(w, "export_check", names[check->result]);
    if (check->result != OD_EXPORT_SAME) {
        od_json_member_text(w, "export_check_why", check->why);
    }
    if (check->has_logits && check->compared.prompts > 0) {
        od_json_member_number(w, "export_logit_difference_max", check->compared.difference_max);
    }
}

// What else was exported, and what its checks said.
static void put_exports(struct od_json_writer *w, const struct od_export_check_context *checks)
{
    char name[64];
    od_json_key(w, "exports");
    od_json_array_begin(w);
    for (int i = 0; i < OD_RECIPE_EXPORTS; i++) {
        if ((checks->exports & (1u << i)) != 0) {
            od_export_name(i, name);
            od_json_object_begin(w);
            od_json_member_text(w, "name", name);
            put_check(w, &checks->other[i]);
            od_json_object_end(w);
        }
    }
    od_json_array_end(w);
}

static enum od_status print_json(const char *run_dir, const struct od_tune_result *result,
                                 const struct od_export_check_context *checks, struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    char hash[OD_XXH_HEX_BYTES];
    od_hash_hex(result->weight_hash, hash);
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "run", run_dir);
    od_json_member_text(&w, "export", result->export_dir);
    od_json_member_int(&w, "steps", result->steps);
    od_json_member_number(&w, "first_loss", result->first_loss);
    od_json_member_number(&w, "last_loss", result->last_loss);
    od_json_member_text(&w, "end", end_names[result->end]);
    if (result->best_step >= 0) {
        od_json_member_number(&w, "eval_loss", result->eval_loss);
        od_json_member_number(&w, "best_eval_loss", result->best_loss);
        od_json_member_int(&w, "best_step", result->best_step);
    }
    od_json_member_int(&w, "exported_step", result->exported_step);
    od_json_member_number(&w, "train_s", result->train_s);
    od_json_member_number(&w, "elapsed_s", result->elapsed_s);
    od_json_member_number(&w, "tokens_per_s", result->tokens_per_s);
    od_json_member_int(&w, "plan_bytes", (int64_t)result->plan_bytes);
    od_json_member_text(&w, "weight_hash", hash);
    od_json_member_bool(&w, "resumed", result->resumed);
    put_check(&w, &checks->check);
    put_exports(&w, checks);
    od_json_object_end(&w);
    const enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        (void)puts(od_buf_text(&buf));
    }
    od_buf_release(&buf);
    return status;
}

static void print_check(const char *name, const struct od_export_check *check)
{
    struct od_buf checked;
    od_buf_init(&checked, 1 << 12);
    od_export_check_text(name, check, &checked);
    (void)fputs("checked ", stdout);
    (void)od_words_print(stdout, od_buf_text(&checked), checked.size, strlen("checked "),
                         strlen("checked "));
    (void)fputc('\n', stdout);
    od_buf_release(&checked);
}

static void print_text(const char *run_dir, const struct od_tune_result *result,
                       const struct od_export_check_context *checks)
{
    char name[64];
    char seconds[24];
    char hash[OD_XXH_HEX_BYTES];
    od_seconds_text(result->train_s, seconds);
    od_hash_hex(result->weight_hash, hash);
    (void)printf("%lld step%s in %s (%.0f tokens/s): loss %.4f -> %.4f, weights %s\n",
                 (long long)result->steps, od_plural(result->steps), seconds, result->tokens_per_s,
                 result->first_loss, result->last_loss, hash);
    if (result->end != OD_TUNE_END_STEPS) {
        (void)printf("ended   after %lld of %lld steps by %s\n", (long long)result->steps,
                     (long long)result->total_steps,
                     result->end == OD_TUNE_END_TIME ? "budget.time" : "early_stopping_patience");
    }
    if (result->best_step >= 0) {
        (void)printf("best    evaluation loss %.4f at step %lld, last %.4f; exported: step %lld\n",
                     result->best_loss, (long long)result->best_step, result->eval_loss,
                     (long long)result->exported_step);
    }
    (void)printf("run     %s\n", run_dir);
    (void)printf("weights %s\n", result->export_dir);
    print_check("the export", &checks->check);
    for (int i = 0; i < OD_RECIPE_EXPORTS; i++) {
        if ((checks->exports & (1u << i)) != 0) {
            od_export_name(i, name);
            print_check(name, &checks->other[i]);
        }
    }
    (void)printf("report  %s/report.html\n", run_dir);
    (void)fflush(stdout);  // in this order where both go to one place
    od_log(OD_LOG_INFO, "next: oneday chat %s, oneday serve %s, oneday reproduce %s", run_dir,
           run_dir, run_dir);
}

static enum od_status print_keys(bool json, struct od_error *err)
{
    struct od_buf buf;
    od_buf_init(&buf, KEYS_MAX_BYTES);
    if (json) {
        od_recipe_reference_json(&buf);
        od_buf_putc(&buf, '\n');
    } else {
        od_recipe_reference(&buf);
    }
    const enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        (void)fputs(od_buf_text(&buf), stdout);
    }
    od_buf_release(&buf);
    return status;
}

// The live page, before anything else is done: an address that cannot be had ends the command.
static enum od_status open_page(const char *address_text, const char *run_dir,
                                struct od_watch **ret, struct od_error *err)
{
    struct od_cli_address address;
    char url[OD_CLI_URL_BYTES];
    enum od_status status = od_address_read(address_text, &address, err);
    if (status != OD_OK) {
        od_error_prefix(err, "--watch");
        return status;
    }
    const struct od_watch_options options = {
        .run_dir = run_dir, .host = address.host, .port = address.port};
    status = od_watch_open(&options, ret, err);
    if (status == OD_OK) {
        address.port = od_watch_port(*ret);
        od_address_url(&address, url);
        od_log(OD_LOG_INFO, "live page: %s", url);
    }
    return status;
}

int od_cmd_tune(struct od_cli *cli, int argc, char **argv)
{
    const char *output = NULL;
    const char *memory = NULL;
    const char *vram = NULL;
    const char *watch = NULL;
    bool resume = false;
    bool keys = false;
    bool tensorboard = false;
    bool check_export = false;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF('o', "output", "RUN", &output, "run directory",
                          "runs/NAME for NAME.yaml"),
        OD_OPTION_FLAG_OF(0, "resume", &resume, "go on from the newest checkpoint of the run"),
        OD_OPTION_FLAG_OF(0, "check-export", &check_export,
                          "check what is exported however long it takes, whatever budget.time "
                          "leaves; with --resume, of a finished run, too"),
        OD_OPTION_FLAG_OF(0, "keys", &keys, "print what keys a recipe may have, and leave"),
        OD_OPTION_TEXT_OF(0, "memory", "SIZE", &memory,
                          "refuse a plan that needs more, such as 8GB",
                          "the recipe's budget, else no cap"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &vram,
                          "on a GPU: refuse when the process would take more of the card",
                          "the recipe's budget, else what is free"),
        OD_OPTION_TEXT_OF(0, "watch", "[HOST:]PORT", &watch,
                          "show the run as a live page in a browser; HOST is 127.0.0.1 unless said",
                          "no page"),
        OD_OPTION_FLAG_OF(0, "tensorboard", &tensorboard,
                          "write the curves for TensorBoard, too, into RUN/tensorboard"),
    };
    const struct od_command_spec spec = {
        .name = "tune",
        .arguments = "RECIPE [-o RUN] [--resume] [--watch [HOST:]PORT] | --keys",
        .summary = "fine-tune or pre-train a model as a recipe says",
        .details =
            "Memory is planned before any data is read: what fits at the start fits until the end.\n"
            "Ctrl-C or SIGTERM saves at the next step and leaves; --resume goes on with the same\n"
            "bits, after a kill -9, too. --watch 8081 shows curves, speed and end time at\n"
            "http://127.0.0.1:8081/ as long as the run lasts.\n"
            "\n"
            "    oneday tune examples/toyworld/tune.yaml -o runs/mine",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 0,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    int exit_code = 0;
    char run_dir[OD_PATH_MAX_BYTES];
    struct od_tune_result result;
    struct od_cli_device device = {0};
    struct od_watch *page = NULL;
    uint64_t max_bytes = 0;

    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    if (keys) {
        const enum od_status printed = print_keys(cli->json, &err);
        return printed == OD_OK ? 0 : od_command_fail(&spec, printed, &err);
    }
    if (args.count == 0) {
        (void)od_fail(&err, OD_E_ARGUMENT, "an argument is missing; usage: oneday tune %s",
                      spec.arguments);
        return od_command_fail(&spec, OD_E_ARGUMENT, &err);
    }
    enum od_status status = od_cli_device(cli, &device, &err);
    const char *cap = device.on_gpu ? vram : memory;
    if (status == OD_OK && cap) {
        status = od_size_read(cap, &max_bytes, &err);
    }
    if (status != OD_OK) {
        return od_command_fail(&spec, status, &err);
    }
    if (output) {
        (void)snprintf(run_dir, sizeof run_dir, "%s", output);
    } else {
        default_run_dir(args.values[0], run_dir);
    }
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    struct od_export_check_context check = {.options = {.threads = (int)cli->threads,
                                                        .no_vector = cli->no_vector,
                                                        .all_time = check_export}};
    const struct od_tune_options run_options = {.recipe_path = args.values[0],
                                                .run_dir = run_dir,
                                                .resume = resume,
                                                .tensorboard = tensorboard,
                                                .on_gpu = device.on_gpu,
                                                .gpu_optional = device.optional,
                                                .gpu = device.gpu,
                                                .threads = (int)cli->threads,
                                                .allow_vector = !cli->no_vector,
                                                .max_bytes = max_bytes,
                                                .stop = &stop_wanted,
                                                .after_export = od_export_check_hook,
                                                .context = &check};
    status = watch ? open_page(watch, run_dir, &page, &err) : OD_OK;
    if (status == OD_OK) {
        status = od_tune_run(&run_options, &result, &err);
    }
    od_watch_close(page);
    if (status == OD_OK) {
        status = od_report_write(run_dir, &err);
    }
    if (status == OD_OK && cli->json) {
        status = print_json(run_dir, &result, &check, &err);
    } else if (status == OD_OK) {
        print_text(run_dir, &result, &check);
    }
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}
