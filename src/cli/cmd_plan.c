// `oneday plan`: memory and time of a recipe before anything runs.

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "cli/options.h"
#include "cli/sizes.h"
#include "device/cuda/cuda.h"
#include "flow/forecast.h"
#include "formats/json.h"
#include "model/program.h"
#include "plan/cost.h"
#include "plan/fit.h"
#include "tune/recipe.h"

enum { CARDS_MAX = 16 };

// What is printed: the recipe on this machine, and on one card or on all that are known.
struct plans {
    struct od_forecast forecast;
    struct od_card_forecast card[CARDS_MAX];
    int count;
    bool chosen;             ///< one card was asked for
    struct od_error no_gpu;  ///< why no card computes the recipe, where `count` is 0
};

static void card_json(struct od_json_writer *w, const struct od_card_forecast *f)
{
    od_json_object_begin(w);
    od_json_member_text(w, "card", f->card->name);
    od_json_member_bool(w, "fits", f->fits);
    od_json_member_int(w, "cap_bytes", (int64_t)f->cap_bytes);
    od_json_member_int(w, "bytes", (int64_t)f->bytes);
    od_json_member_int(w, "weights_bytes", (int64_t)f->weight_bytes);
    od_json_member_int(w, "training_bytes", (int64_t)f->training_bytes);
    od_json_member_text(w, "keep", od_keep_name(f->keep));
    od_json_member_int(w, "lean_layers", f->lean_layers);
    od_json_member_bool(w, "embedding_on_host", f->embedding_on_host);
    od_json_member_int(w, "host_bytes", (int64_t)f->host_bytes);
    od_json_member_number(w, "step_seconds", f->step_s);
    od_json_member_number(w, "seconds", f->seconds);
    od_json_member_number(w, "joules", f->joules);
    od_json_object_end(w);
}

static enum od_status print_json(const struct plans *plans, struct od_error *err)
{
    const struct od_forecast *f = &plans->forecast;
    struct od_buf buf;
    struct od_json_writer w;
    od_buf_init(&buf, 1 << 16);
    od_json_writer_init(&w, &buf, OD_JSON_INDENT_2, false);
    od_json_object_begin(&w);
    od_json_member_int(&w, "parameters", f->parameters);
    od_json_member_int(&w, "trained", f->trained);
    od_json_member_int(&w, "plan_bytes", (int64_t)f->plan.total_bytes);
    od_json_member_int(&w, "weights_bytes", (int64_t)f->weight_bytes);
    od_json_member_int(&w, "training_bytes", (int64_t)f->training_bytes);
    od_json_member_int(&w, "activation_bytes", (int64_t)f->activation_bytes);
    od_json_member_int(&w, "steps", f->steps);
    od_json_member_int(&w, "tokens", f->tokens);
    od_json_member_number(&w, "gflops_measured", f->flops_per_s * 1e-9);
    od_json_member_number(&w, "seconds", f->seconds);
    od_json_key(&w, "cards");
    od_json_array_begin(&w);
    for (int i = 0; i < plans->count; i++) {
        card_json(&w, &plans->card[i]);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
    const enum od_status status = od_buf_check(&buf, err);
    if (status == OD_OK) {
        (void)puts(od_buf_text(&buf));
    }
    od_buf_release(&buf);
    return status;
}

static void row(const char *what, double bytes)
{
    char text[24];
    od_bytes_text(bytes, text);
    (void)printf("  %-28s %10s\n", what, text);
}

static void print_model(const struct od_forecast *f)
{
    (void)printf("model: %lld weights, %lld trained\n", (long long)f->parameters,
                 (long long)f->trained);
}

static void print_cpu(const struct od_forecast *f)
{
    char seconds[24];
    (void)printf("memory on this machine's processors, all of it taken before the first step\n");
    row("weights", (double)f->weight_bytes);
    row("gradients, moments, adapter", (double)f->training_bytes);
    row("activations and scratch", (double)f->activation_bytes);
    row("total", (double)f->plan.total_bytes);
    od_seconds_text(f->seconds, seconds);
    (void)printf("time: %lld step%s, %lld tokens, about %s at the %.0f GFLOP/s measured now\n",
                 (long long)f->steps, od_plural(f->steps), (long long)f->tokens, seconds,
                 f->flops_per_s * 1e-9);
}

static const char *kept(const struct od_card_forecast *f)
{
    static char text[96];
    if (f->keep == OD_KEEP_ALL && f->lean_layers == 0) {
        return "everything";
    }
    if (f->lean_layers == 0) {
        (void)snprintf(text, sizeof text, "%s", od_keep_name(f->keep));
    } else {
        char first[24] = "";
        if (f->lean_layers > 1) {
            (void)snprintf(first, sizeof first, "%lld ", (long long)f->lean_layers);
        }
        (void)snprintf(text, sizeof text, "%s; the first %sof %lld layers: %s",
                       f->keep == OD_KEEP_ALL ? "everything" : od_keep_name(f->keep), first,
                       (long long)f->layers, od_keep_name((enum od_keep)((int)f->keep + 1)));
    }
    return text;
}

static void print_card(const struct od_forecast *forecast, const struct od_card_forecast *f)
{
    char seconds[24];
    (void)printf("memory on the %s, by the driver's count\n", f->card->title);
    row("weights", (double)f->weight_bytes);
    row("gradients, moments, adapter", (double)f->training_bytes);
    row("activations and scratch", (double)(f->bytes - f->weight_bytes - f->training_bytes));
    row("total", (double)f->bytes);
    row("may take", (double)f->cap_bytes);
    if (f->host_bytes > 0) {
        row("beside it, in the host", (double)f->host_bytes);
    }
    (void)printf("layers keep for the backward pass: %s%s\n", kept(f),
                 f->embedding_on_host ? "; the embedding lies with the host" : "");
    const bool in_wh = f->joules < 3.6e5;
    od_seconds_text(f->seconds, seconds);
    (void)printf("time: %lld step%s, %lld tokens, about %s (%.3g s a step), %.3g %s%s\n",
                 (long long)forecast->steps, od_plural(forecast->steps),
                 (long long)forecast->tokens, seconds, f->step_s,
                 f->joules / (in_wh ? 3600.0 : 3.6e6), in_wh ? "Wh" : "kWh",
                 f->card->measured ? "" : "; rates from published figures, not measured");
}

// Words of the table that need an explanation where they stand there.
static void explain_cards(const struct od_recipe *recipe, const struct plans *plans)
{
    struct od_error why = {0};
    bool some_keep = false;
    for (int i = 0; i < plans->count; i++) {
        const struct od_card_forecast *f = &plans->card[i];
        some_keep = some_keep || f->fits;
        if (!f->has_kernels && why.message[0] == '\0') {
            const enum od_status refused =
                od_forecast_card_check(recipe, &plans->forecast, f, 0.0, &why);
            (void)refused;  // its message is what is wanted
        }
    }
    if (why.message[0] != '\0') {
        (void)printf("no kernel: %s\n", why.message);
    }
    if (some_keep) {
        (void)puts("layers keep: what a layer holds for its backward pass; the rest is made anew");
    }
}

static void print_cards(const struct od_recipe *recipe, const struct plans *plans)
{
    if (plans->count == 0) {
        (void)printf("on a GPU: %s\n", plans->no_gpu.message);
        return;
    }
    (void)printf("on a GPU\n  %-12s %10s %10s  %-10s %10s\n", "card", "has", "takes", "layers keep",
                 "time");
    for (int i = 0; i < plans->count; i++) {
        const struct od_card_forecast *f = &plans->card[i];
        char has[24];
        char takes[24];
        char seconds[24];
        od_bytes_text((double)f->cap_bytes, has);
        od_bytes_text((double)f->bytes, takes);
        od_seconds_text(f->seconds, seconds);
        (void)printf("  %-12s %10s %10s  %-11s %10s\n", f->card->name, has, takes,
                     f->fits ? od_keep_name(f->keep) : "-",
                     f->fits          ? seconds
                     : f->has_kernels ? "too small"
                                      : "no kernel");
    }
    explain_cards(recipe, plans);
}

// The card of this machine, as far as it is one that is known.
static enum od_status card_here(int gpu, const struct od_card **ret, struct od_error *err)
{
    struct od_cuda *cuda = NULL;
    const enum od_status status = od_cuda_open(gpu, &cuda, err);
    if (status != OD_OK) {
        return status;
    }
    const struct od_card *found = od_card_titled(od_cuda_info(cuda)->name);
    const enum od_status result =
        found ? OD_OK
              : od_fail(err, OD_E_UNSUPPORTED, "nothing is known of the %s: give --card",
                        od_cuda_info(cuda)->name);
    od_cuda_close(cuda);
    *ret = found;
    return result;
}

// The card that is meant: by name, this machine's, or the first in the list that has the memory.
static enum od_status choose(const struct od_cli_device *device, const char *name,
                             uint64_t cap_bytes, const struct od_card **ret, struct od_error *err)
{
    *ret = NULL;
    if (name) {
        *ret = od_card_find(name);
        return *ret ? OD_OK
                    : od_fail(err, OD_E_ARGUMENT,
                              "card '%.60s' is not known: oneday plan --help lists them", name);
    }
    if (device->on_gpu) {
        return card_here(device->gpu, ret, err);
    }
    for (const struct od_card *card = od_cards(); cap_bytes > 0 && card->name && !*ret; card++) {
        *ret = card->bytes >= cap_bytes ? card : NULL;
    }
    return cap_bytes > 0 && !*ret ? od_fail(err, OD_E_ARGUMENT,
                                            "no card that is known has so much memory: give --card")
                                  : OD_OK;
}

static enum od_status make_plans(const struct od_recipe *recipe, const struct od_card *card,
                                 uint64_t cap_bytes, struct plans *plans, struct od_error *err)
{
    enum od_status status = OD_OK;
    plans->chosen = card != NULL;
    for (const struct od_card *one = card ? card : od_cards();
         status == OD_OK && one->name && plans->count < (card ? 1 : CARDS_MAX); one++) {
        status = od_forecast_card(recipe, &plans->forecast, one, cap_bytes,
                                  &plans->card[plans->count], err);
        if (!card && status == OD_E_UNSUPPORTED) {
            return OD_OK;  // no card runs this: what the processors do is told
        }
        plans->count++;
    }
    if (status == OD_E_REFUSED && !card && err) {  // what is computed on no card is no failure here
        plans->no_gpu = *err;
        plans->count = 0;
        return OD_OK;
    }
    return status;
}

static void print_text(const struct od_recipe *recipe, const struct plans *plans)
{
    print_model(&plans->forecast);
    if (plans->chosen) {
        print_card(&plans->forecast, &plans->card[0]);
    } else {
        print_cpu(&plans->forecast);
        if (plans->count > 0) {
            print_cards(recipe, plans);
        }
    }
}

int od_cmd_plan(struct od_cli *cli, int argc, char **argv)
{
    const char *memory = NULL;
    const char *time = NULL;
    const char *card_name = NULL;
    const char *vram = NULL;
    struct od_option options[] = {
        OD_OPTION_TEXT_OF(0, "memory", "SIZE", &memory, "what the run may take, such as 8GB",
                          "the recipe's budget, else no cap"),
        OD_OPTION_TEXT_OF(0, "card", "NAME", &card_name,
                          "plan for this card: h200, h100, a100-40gb, a100-80gb, rtx-4090, "
                          "rtx-3090, l4",
                          "this machine's"),
        OD_OPTION_TEXT_OF(0, "vram", "SIZE", &vram, "what the run may take of a card, such as 24GB",
                          "the recipe's budget, else all of it"),
        OD_OPTION_TEXT_OF(0, "time", "TIME", &time, "how long it may take, such as 24h or 90min",
                          "the recipe's budget, else no cap"),
    };
    const struct od_command_spec spec = {
        .name = "plan",
        .arguments = "RECIPE [--card NAME] [--vram SIZE] [--memory SIZE] [--time TIME]",
        .summary = "memory and time of a recipe before anything runs",
        .details =
            "Exit code 3 when it does not fit, with the nearest change that does. Without a card it\n"
            "plans for this machine's processors and lists what the known cards would do; no GPU is\n"
            "needed for that. A card's time comes from the program's operations and the card's rates.\n"
            "\n"
            "    oneday plan recipe.yaml --card rtx-4090 --vram 24GB --time 24h",
        .options = options,
        .option_count = OD_COUNT_OF(options),
        .min_args = 1,
        .max_args = 1};
    struct od_args args;
    struct od_error err = {0};
    struct od_recipe recipe;
    struct plans plans = {0};
    struct od_cli_device device = {0};
    const struct od_card *card = NULL;
    int exit_code = 0;
    uint64_t max_bytes = 0;
    uint64_t cap_bytes = 0;
    double max_seconds = 0.0;

    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    enum od_status status = od_cli_device(cli, &device, &err);
    if (status == OD_OK && memory) {
        status = od_size_read(memory, &max_bytes, &err);
    }
    if (status == OD_OK && vram) {
        status = od_size_read(vram, &cap_bytes, &err);
    }
    if (status == OD_OK && time) {
        status = od_time_read(time, &max_seconds, &err);
    }
    if (status != OD_OK || (status = od_recipe_read(args.values[0], &recipe, &err)) != OD_OK) {
        return od_command_fail(&spec, status, &err);
    }
    // What the command line does not say, the recipe's budget may.
    max_bytes = memory ? max_bytes : recipe.budget.ram_bytes;
    cap_bytes = vram ? cap_bytes : recipe.budget.vram_bytes;
    max_seconds = time ? max_seconds : recipe.budget.time_s;
    status = choose(&device, card_name, cap_bytes, &card, &err);
    if (status == OD_OK) {
        status =
            od_forecast_make(&recipe, (int)cli->threads, !cli->no_vector, &plans.forecast, &err);
    }
    if (status == OD_OK) {
        status = make_plans(&recipe, card, cap_bytes, &plans, &err);
    }
    if (status == OD_OK && cli->json) {
        status = print_json(&plans, &err);
    } else if (status == OD_OK) {
        print_text(&recipe, &plans);
    }
    if (status == OD_OK) {
        status = card ? od_forecast_card_check(&recipe, &plans.forecast, &plans.card[0],
                                               max_seconds, &err)
                      : od_forecast_check(&recipe, &plans.forecast, max_bytes, max_seconds, &err);
    }
    if (status == OD_OK && !cli->json) {
        (void)fflush(stdout);  // in this order where both go to one place
        od_log(OD_LOG_INFO, "it fits; next: oneday tune %s", args.values[0]);
    }
    od_recipe_release(&recipe);
    return status == OD_OK ? 0 : od_command_fail(&spec, status, &err);
}
