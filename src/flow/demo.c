#include "flow/demo.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/evaluation.h"
#include "eval/http_responder.h"
#include "eval/runner.h"
#include "flow/demo_results.h"
#include "flow/export_check.h"
#include "flow/forecast.h"
#include "flow/report.h"
#include "infer/engine.h"
#include "model/spec.h"
#include "serve/server.h"
#include "tune/recipe.h"
#include "tune/run.h"

enum { EVAL_THREADS = 8, ENGINE_SLOTS = 8, SEQUENCE_LEN_MAX = 512 };

#ifndef OD_EXAMPLES_SOURCE
#define OD_EXAMPLES_SOURCE ""
#endif
#ifndef OD_EXAMPLES_INSTALLED
#define OD_EXAMPLES_INSTALLED ""
#endif

enum od_status od_examples_find(char out[OD_PATH_MAX_BYTES], struct od_error *err)
{
    char beside[OD_PATH_MAX_BYTES] = "";  // stays empty when the program's place is unknown
    char bin[OD_PATH_MAX_BYTES];
    enum od_status status = od_program_dir(bin, NULL);
    if (status == OD_OK) {
        status = od_path_join(beside, bin, "../share/oneday/examples", err);
        if (status != OD_OK) {
            return status;
        }
    }
    const char *const places[] = {getenv("ONEDAY_EXAMPLES"), beside, OD_EXAMPLES_INSTALLED,
                                  OD_EXAMPLES_SOURCE};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char path[OD_PATH_MAX_BYTES];
        if (!places[i] || places[i][0] == '\0') {
            continue;
        }
        status = od_path_join(path, places[i], "toyworld", err);
        if (status != OD_OK) {
            return status;
        }
        if (od_path_is_dir(path)) {
            (void)snprintf(out, OD_PATH_MAX_BYTES, "%s", places[i]);
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_NOT_FOUND,
                   "cannot find the folder 'examples': set ONEDAY_EXAMPLES to where it is");
}

// The demo while it goes on.
struct demo {
    const struct od_demo_options *options;
    struct od_demo_result *result;
    char world[OD_PATH_MAX_BYTES];  // examples/toyworld
    char base[OD_PATH_MAX_BYTES];   // model folder
    char recipe[OD_PATH_MAX_BYTES];
    char conf[OD_PATH_MAX_BYTES];
    char data[OD_PATH_MAX_BYTES];
};

static enum od_status find_parts(struct demo *demo, struct od_error *err)
{
    const struct od_demo_options *options = demo->options;
    char *real = NULL;
    enum od_status status;
    if ((status = od_path_join(demo->world, options->examples, "toyworld", err)) != OD_OK ||
        (status = od_path_join(demo->conf, demo->world, "demo.conf", err)) != OD_OK ||
        (status = od_path_join(demo->data, demo->world, "data", err)) != OD_OK ||
        (status = od_path_join(demo->base, demo->world, "base", err)) != OD_OK ||
        (status = od_path_join(demo->recipe, options->dir, "tune.yaml", err)) != OD_OK ||
        (status = od_path_join(demo->result->run, options->dir, "run", err)) != OD_OK) {
        return status;
    }
    if (options->model) {
        real = realpath(options->model, NULL);
        if (!real) {
            return od_fail(err, OD_E_NOT_FOUND, "there is no model '%s'", options->model);
        }
        (void)snprintf(demo->base, sizeof demo->base, "%s", real);
        free(real);  // realpath's own allocation
    }
    return OD_OK;
}

// A folder of an earlier demo is replaced; any other that is not empty is left alone.
static enum od_status open_dir(const struct demo *demo, struct od_error *err)
{
    const char *dir = demo->options->dir;
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    enum od_status status = OD_OK;
    if (od_path_exists(demo->recipe)) {
        static const char *const parts[] = {"run", "base", "tune.yaml"};
        for (size_t i = 0; status == OD_OK && i < 3; i++) {
            status = od_path_join(path, dir, parts[i], err);
            if (status == OD_OK) {
                status = od_dir_remove(path, err);
            }
        }
    } else if (od_path_exists(dir)) {
        status = od_dir_list(dir, &names, &count, err);
        if (status == OD_OK) {
            od_names_free(names, count);
            if (count > 0) {
                return od_fail(err, OD_E_REFUSED,
                               "'%s' is not empty and holds no earlier demo: name another folder",
                               dir);
            }
        }
    }
    return status == OD_OK ? od_dir_make(dir, err) : status;
}

// The shipped recipe with this model and this place.
static enum od_status write_recipe(const struct demo *demo, struct od_error *err)
{
    char source[OD_PATH_MAX_BYTES];
    char config[OD_PATH_MAX_BYTES];
    struct od_recipe recipe;
    struct od_spec spec;
    struct od_buf text;
    enum od_status status;
    od_buf_init(&text, 1 << 20);
    if ((status = od_path_join(source, demo->world, "tune.yaml", err)) != OD_OK ||
        (status = od_path_join(config, demo->base, "config.json", err)) != OD_OK ||
        (status = od_spec_read(config, &spec, err)) != OD_OK ||
        (status = od_recipe_read(source, &recipe, err)) != OD_OK) {
        return status;
    }
    recipe.base_model = demo->base;
    if (recipe.sequence_len > spec.max_positions) {
        recipe.sequence_len = spec.max_positions;
    }
    if ((status = od_recipe_write(&recipe, &text, err)) == OD_OK) {
        status = od_file_write(demo->recipe, od_buf_text(&text), text.size, err);
    }
    od_buf_release(&text);
    od_recipe_release(&recipe);
    return status;
}

static enum od_status tell_forecast(const struct demo *demo, struct od_error *err)
{
    struct od_recipe recipe;
    struct od_forecast f;
    char memory[24];
    char seconds[24];
    enum od_status status = od_recipe_read(demo->recipe, &recipe, err);
    if (status != OD_OK) {
        return status;
    }
    status =
        od_forecast_make(&recipe, demo->options->threads, demo->options->allow_vector, &f, err);
    if (status == OD_OK) {
        od_bytes_text((double)f.plan.total_bytes, memory);
        od_seconds_text(f.seconds, seconds);
        od_log(OD_LOG_INFO, "  %lld weights, %lld learned; %s of memory; %lld steps, about %s",
               (long long)f.parameters, (long long)f.trained, memory, (long long)f.steps, seconds);
    }
    od_recipe_release(&recipe);
    return status;
}

static enum od_status tune(struct demo *demo, struct od_error *err)
{
    struct od_export_check_context check = {
        .options = {.threads = demo->options->threads, .no_vector = !demo->options->allow_vector}};
    const struct od_tune_options options = {.recipe_path = demo->recipe,
                                            .run_dir = demo->result->run,
                                            .threads = demo->options->threads,
                                            .allow_vector = demo->options->allow_vector,
                                            .stop = demo->options->stop,
                                            .after_export = od_export_check_hook,
                                            .context = &check};
    struct od_tune_result result;
    const enum od_status status = od_tune_run(&options, &result, err);
    if (status == OD_OK) {
        demo->result->first_loss = result.first_loss;
        demo->result->last_loss = result.last_loss;
    }
    return status;
}

// Serve a model on a free port and evaluate it through HTTP.
static enum od_status serve_and_evaluate(const struct demo *demo, const char *model,
                                         const char *output, char suite[OD_PATH_MAX_BYTES],
                                         struct od_error *err)
{
    const struct od_engine_options engine_options = {.threads = demo->options->threads,
                                                     .no_vector = !demo->options->allow_vector,
                                                     .slots = ENGINE_SLOTS};
    struct od_server_options server_options = OD_SERVER_OPTIONS_INIT;
    const struct od_http_options http_options = OD_HTTP_OPTIONS_INIT;
    struct od_eval_config config = OD_EVAL_CONFIG_INIT;
    const struct od_evaluation evaluation = {.conf = demo->conf};
    struct od_evaluation_report report = {0};
    struct od_engine *engine = NULL;
    struct od_server *server = NULL;
    struct od_http_responder *http = NULL;
    char url[64];
    enum od_status status = od_engine_open(model, &engine_options, &engine, err);
    server_options.port = 0;
    if (status == OD_OK) {
        status = od_server_start(od_engine_responder(engine), &server_options, &server, err);
    }
    if (status != OD_OK) {
        goto done;
    }
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", od_server_port(server));
    od_log(OD_LOG_INFO, "  %s at %s", model, url);
    status = od_http_responder_open(url, &http_options, &http, err);
    if (status != OD_OK) {
        goto done;
    }
    (void)od_http_responder_learn_context(http);
    config.responder = od_http_responder_interface(http);
    config.data = demo->data;
    config.output = output;
    config.suite = "demo";
    config.threads = EVAL_THREADS;
    config.show_progress = true;
    status = od_evaluate(&config, &evaluation, &report, err);
    if (status == OD_OK && report.first_failure != OD_OK) {
        status = od_fail(err, OD_E_IO, "an evaluation failed: %s",
                         report.missing.failed_count > 0 ? report.missing.failed[0].reason : "?");
    }
    if (status == OD_OK) {
        status = od_eval_suite_folder(&config, suite, err);
    }
    od_evaluation_report_release(&report);

done:
    od_http_responder_close(http);
    od_server_stop(server);
    od_engine_close(engine);
    return status;
}

static enum od_status evaluate_both(struct demo *demo, struct od_error *err)
{
    char base_out[OD_PATH_MAX_BYTES];
    char tuned_out[OD_PATH_MAX_BYTES];
    enum od_status status;
    if ((status = od_path_join(base_out, demo->options->dir, "base", err)) != OD_OK ||
        (status = od_path_join(tuned_out, demo->result->run, "eval", err)) != OD_OK ||
        (status = serve_and_evaluate(demo, demo->base, base_out, demo->result->base_suite, err)) !=
            OD_OK) {
        return status;
    }
    return serve_and_evaluate(demo, demo->result->run, tuned_out, demo->result->tuned_suite, err);
}

enum od_status od_demo_run(const struct od_demo_options *options, struct od_demo_result *ret,
                           struct od_error *err)
{
    struct od_demo_result result = {0};
    struct demo demo = {.options = options, .result = &result};
    const double start = od_clock_s();
    enum od_status status;

    if ((status = find_parts(&demo, err)) != OD_OK || (status = open_dir(&demo, err)) != OD_OK ||
        (status = write_recipe(&demo, err)) != OD_OK) {
        return status;
    }
    od_log(OD_LOG_INFO, "1. plan");
    if ((status = tell_forecast(&demo, err)) != OD_OK) {
        return status;
    }
    od_log(OD_LOG_INFO, "2. fine-tune '%s' with LoRA", demo.base);
    if ((status = tune(&demo, err)) != OD_OK) {
        return status;
    }
    od_log(OD_LOG_INFO, "3. serve and evaluate, before and after");
    if ((status = evaluate_both(&demo, err)) != OD_OK) {
        return status;
    }
    od_log(OD_LOG_INFO, "4. rank and report");
    if ((status = od_demo_results(&result, err)) != OD_OK ||
        (status = od_report_write(result.run, err)) != OD_OK ||
        (status = od_path_join(result.report, result.run, "report.html", err)) != OD_OK) {
        return status;
    }
    result.seconds = od_clock_s() - start;
    *ret = result;
    return OD_OK;
}
