// `oneday reproduce`: a run once more, compared line by line.

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "flow/reproduce.h"
#include "formats/json.h"

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number)
{
    (void)number;
    stop_wanted = 1;
}

// "3..8", "3..", "..8" or "5".
static enum od_status read_steps(const char *text, int64_t *first, int64_t *last,
                                 struct od_error *err)
{
    const char *dots = strstr(text, "..");
    const char *second = dots ? dots + 2 : text;
    char *end = NULL;
    *first = dots == text ? 0 : strtoll(text, &end, 10);
    bool ok = dots == text || (end != text && (dots ? end == dots : *end == '\0'));
    *last = *first;
    if (dots) {
        *last = *second == '\0' ? 0 : strtoll(second, &end, 10);
        ok = ok && (*second == '\0' || (end != second && *end == '\0'));
    }
    return ok ? OD_OK
              : od_fail(err, OD_E_ARGUMENT, "--steps wants A..B, A.., ..B or A, not '%.40s'", text);
}

static enum od_status print_json(const struct od_reproduce_result *r, struct od_error *err)
{
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_bool(&w, "agrees", r->agrees);
    od_json_member_int(&w, "from_step", r->from);
    od_json_member_int(&w, "steps", r->steps);
    od_json_member_int(&w, "weight_hashes", r->hashes);
    od_json_member_bool(&w, "same_program", !r->other_program);
    if (!r->agrees) {
        od_json_key(&w, "first_difference");
        od_json_object_begin(&w);
        od_json_member_int(&w, "step", r->step);
        od_json_member_text(&w, "field", r->field);
        od_json_member_text(&w, "logged", r->logged);
        od_json_member_text(&w, "replayed", r->replayed);
        od_json_object_end(&w);
    }
    od_json_object_end(&w);
    const enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        (void)puts(od_buf_text(&buf));
    }
    od_buf_release(&buf);
    return status;
}

static void print_text(const struct od_reproduce_result *r)
{
    if (r->other_program) {
        (void)printf("the run was made by another build of oneday\n");
    }
    if (r->agrees) {
        (void)printf(
            "agrees: %lld step%s from step %lld on, %lld weight hash%s among what was "
            "compared, to the last digit\n",
            (long long)r->steps, od_plural(r->steps), (long long)r->from + 1, (long long)r->hashes,
            r->hashes == 1 ? "" : "es");
    } else {
        (void)printf("differs: step %lld, %s: %s in the log, %s now; %lld steps before agree\n",
                     (long long)r->step, r->field, r->logged, r->replayed, (long long)r->steps);
    }
}

int od_cmd_reproduce(struct od_cli *cli, int argc, char **argv)
{
    const char *steps = NULL;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "steps", "A..B", &steps,
                          "these steps only, from the checkpoint before them", "all"),
    };
    const struct od_command_spec spec = {
        .name = "reproduce",
        .arguments = "RUN [--steps A..B]",
        .summary = "a run once more: does every logged number come out again?",
        .details =
            "Checks the inputs by their digests in lock.json, does the steps again and compares\n"
            "each line of log.jsonl but its timings. Nothing in RUN is changed. Exit code 3 when a\n"
            "number differs (the first one is named) or an input is not what it was.\n"
            "\n"
            "    oneday reproduce runs/mine --steps 100..120",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_cli_device device = {0};
    struct od_reproduce_result result;
    struct od_reproduce_options run = {.allow_vector = !cli->no_vector, .stop = &stop_wanted};
    int exit_code = 0;

    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    enum od_status status = od_cli_device(cli, &device, &err);
    if (status == OD_OK && steps) {
        status = read_steps(steps, &run.first, &run.last, &err);
    }
    const struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    run.run_dir = args.values[0];
    run.on_gpu = device.on_gpu;
    run.as_it_was = device.optional;
    run.gpu = device.gpu;
    run.threads = (int)cli->threads;
    if (status == OD_OK) {
        status = od_reproduce(&run, &result, &err);
    }
    if (status == OD_OK && cli->json) {
        status = print_json(&result, &err);
    } else if (status == OD_OK) {
        print_text(&result);
    }
    if (status != OD_OK) {
        return od_command_fail(&spec, status, &err);
    }
    return result.agrees ? 0 : 3;
}
