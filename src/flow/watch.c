#include "flow/watch.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "flow/live_log.h"
#include "flow/watch_page.h"
#include "net/http_parse.h"
#include "net/http_server.h"
#include "tune/recipe.h"

enum {
    PAGE_MAX_BYTES = 4 << 20,
    BODY_MAX_BYTES = 1 << 10,  // nobody sends any
    CONNECTIONS_MAX = 32,
    STOP_MS_MAX = 500,
    NICENESS = 10
};
// What was made is sent again for a while: so long that making it takes a twentieth of the time at most,
// but never for longer than a person waits.
static const double FRESH_S_MIN = 0.5;
static const double FRESH_S_MAX = 10.0;
static const double FRESH_PER_COST = 20.0;

struct od_watch {
    struct od_http_server *server;
    char run_dir[OD_PATH_MAX_BYTES];
    // Touched by the server's thread only.
    struct od_live_log live;
    struct od_watch_length length;
    bool length_known;
    bool priority_set;
    double fresh_until_s;  // how long `part` will do, on od_clock_s
    struct od_buf part;
};

// The run comes first: Linux keeps a priority for each thread.
static void step_back(struct od_watch *watch)
{
    if (!watch->priority_set && setpriority(PRIO_PROCESS, 0, NICENESS) != 0) {
        od_log(OD_LOG_DEBUG, "the live page has the priority of the run");
    }
    watch->priority_set = true;
}

// How long the run will be, once it has written its recipe down.
static void find_length(struct od_watch *watch)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_recipe *recipe = NULL;
    if (watch->length_known || od_path_join(path, watch->run_dir, "recipe.yaml", NULL) != OD_OK ||
        !od_path_exists(path)) {
        return;
    }
    recipe = od_alloc(1, sizeof *recipe);  // large for a stack
    if (recipe && od_recipe_read(path, recipe, NULL) == OD_OK) {
        watch->length = (struct od_watch_length){.max_steps = recipe->max_steps,
                                                 .epochs = recipe->num_epochs,
                                                 .budget_s = recipe->budget.time_s};
        od_recipe_release(recipe);
    }
    od_free(recipe);
    watch->length_known = true;
}

static enum od_status make_part(struct od_watch *watch, struct od_error *err)
{
    enum od_status status = od_live_log_update(&watch->live, err);
    od_buf_release(&watch->part);
    od_buf_init(&watch->part, PAGE_MAX_BYTES);
    if (watch->live.log.count > 0) {
        find_length(watch);
    }
    if (status == OD_OK) {
        status =
            od_watch_put_live(&watch->part, &watch->live, &watch->length, (double)time(NULL), err);
    }
    return status == OD_OK ? od_buf_check(&watch->part, err) : status;
}

static enum od_status refresh(struct od_watch *watch, struct od_error *err)
{
    const double start_s = od_clock_s();
    if (start_s < watch->fresh_until_s) {
        return OD_OK;
    }
    const enum od_status status = make_part(watch, err);
    const double end_s = od_clock_s();
    const double fresh_s = fmax((end_s - start_s) * FRESH_PER_COST, FRESH_S_MIN);
    watch->fresh_until_s = status == OD_OK ? end_s + fmin(fresh_s, FRESH_S_MAX) : 0.0;
    return status;
}

static void answer(struct od_watch *watch, const struct od_http_request *request,
                   struct od_http_response *response)
{
    struct od_error err = {0};
    const bool page = strcmp(request->path, "/") == 0;
    response->content_type = "text/plain; charset=utf-8";
    if (!page && strcmp(request->path, "/live") != 0) {
        response->code = 404;
        od_buf_puts(&response->body, "not found: the page is at /\n");
        return;
    }
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0) {
        response->code = 405;
        response->allow = "GET, HEAD";
        od_buf_puts(&response->body, "this page is only read\n");
        return;
    }
    if (refresh(watch, &err) != OD_OK) {
        response->code = 500;
        od_buf_printf(&response->body, "%s\n", err.message);
        return;
    }
    response->content_type = "text/html; charset=utf-8";
    if (page) {
        od_watch_put_page(&response->body, watch->run_dir, od_buf_text(&watch->part));
    } else {
        od_buf_append(&response->body, watch->part.bytes, watch->part.size);
    }
}

static void handle(void *context, struct od_http_exchange *exchange)
{
    struct od_watch *watch = context;
    struct od_http_response response = {.code = 200};
    od_buf_init(&response.body, 2 * (size_t)PAGE_MAX_BYTES);
    step_back(watch);
    answer(watch, od_http_exchange_request(exchange), &response);
    od_http_respond(exchange, &response);
}

enum od_status od_watch_open(const struct od_watch_options *options, struct od_watch **ret,
                             struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct od_http_options http = OD_HTTP_OPTIONS_INIT;
    struct od_watch *watch = od_alloc(1, sizeof *watch);
    if (!watch) {
        return od_fail(err, OD_E_MEMORY, "no memory for a live page");
    }
    *watch = (struct od_watch){.server = NULL};
    od_buf_init(&watch->part, PAGE_MAX_BYTES);
    (void)snprintf(watch->run_dir, sizeof watch->run_dir, "%s", options->run_dir);
    http.host = options->host;
    http.port = options->port;
    http.handler = handle;
    http.context = watch;
    http.limits.body_max_bytes = BODY_MAX_BYTES;
    http.connections_max = CONNECTIONS_MAX;
    enum od_status status = od_path_join(path, options->run_dir, "log.jsonl", err);
    if (status == OD_OK) {
        status = od_live_log_init(&watch->live, path, err);
    }
    if (status == OD_OK) {
        status = od_http_server_create(&http, &watch->server, err);
    }
    if (status != OD_OK) {
        od_error_prefix(err, "live page");
        od_watch_close(watch);
        return status;
    }
    *ret = watch;
    return OD_OK;
}

int od_watch_port(const struct od_watch *watch)
{
    return od_http_server_port(watch->server);
}

void od_watch_close(struct od_watch *watch)
{
    if (!watch) {
        return;
    }
    od_http_server_stop(watch->server, STOP_MS_MAX);
    od_live_log_release(&watch->live);
    od_buf_release(&watch->part);
    od_free(watch);
}
