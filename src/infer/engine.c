#include "infer/engine.h"

#include <jansson.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "infer/engine_internal.h"
#include "infer/pages.h"
#include "infer/responder.h"
#include "model/gguf_model.h"
#include "model/spec.h"
#include "text/tokenizer.h"

enum {
    DEFAULT_SLOTS = 32,
    DEFAULT_PASS_TOKENS = 256,
    DEFAULT_CONTEXT_MAX = 4096,
    DEFAULT_CACHE_CONTEXTS = 8,
    PAGES_MAX = 1 << 24
};

static enum od_status tokenize(void *context, const char *text, size_t size, bool truncation,
                               int64_t max_length, struct od_ids *out, struct od_error *err)
{
    const struct od_engine *engine = context;
    const size_t before = out->count;
    const enum od_status status =
        od_tokenizer_encode(engine->tokenizer, text, size, OD_ENCODE_SPECIAL, out, err);
    if (status == OD_OK && truncation && max_length >= 0 &&
        out->count - before > (size_t)max_length) {
        out->count = before + (size_t)max_length;
    }
    return status;
}

static enum od_status decode(void *context, const int32_t *ids, size_t count, struct od_buf *out,
                             struct od_error *err)
{
    const struct od_engine *engine = context;
    return od_tokenizer_decode(engine->tokenizer, ids, count, OD_DECODE_SKIP_SPECIAL, out, err);
}

// Spec and tokenizer out of one GGUF file.
static enum od_status open_gguf(struct od_engine *engine, struct od_error *err)
{
    struct od_gguf *gguf = NULL;
    enum od_status status = od_gguf_open(engine->place.base, &gguf, err);
    if (status == OD_OK) {
        status = od_spec_of_gguf(gguf, &engine->spec, err);
    }
    if (status == OD_OK) {
        status = od_tokenizer_of_gguf(gguf, &engine->tokenizer, err);
    }
    od_gguf_close(gguf);
    return status;
}

static enum od_status open_folder(struct od_engine *engine, struct od_error *err)
{
    char config[OD_PATH_MAX_BYTES];
    enum od_status status = od_path_join(config, engine->place.base, "config.json", err);
    if (status == OD_OK) {
        status = od_spec_read(config, &engine->spec, err);
    }
    return status == OD_OK ? od_tokenizer_open(engine->place.base, &engine->tokenizer, err)
                           : status;
}

static void add_stop_id(struct od_engine *engine, const json_t *id)
{
    if (json_is_integer(id) && json_integer_value(id) >= 0 &&
        json_integer_value(id) < engine->spec.vocab && engine->stop_id_count < OD_STOP_IDS_MAX) {
        engine->stop_ids[engine->stop_id_count++] = (int32_t)json_integer_value(id);
    }
}

// Further ids that end an answer: `eos_token_id` of generation_config.json, one or a list.
static enum od_status read_stop_ids(struct od_engine *engine, struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    json_t *config = NULL;
    if (od_gguf_is_path(engine->place.base)) {
        return OD_OK;
    }
    enum od_status status = od_path_join(path, engine->place.base, "generation_config.json", err);
    if (status != OD_OK || !od_path_exists(path)) {
        return status;
    }
    status = od_json_read(path, &config, err);
    if (status == OD_OK) {
        const json_t *ids = json_object_get(config, "eos_token_id");
        add_stop_id(engine, ids);
        for (size_t i = 0; i < json_array_size(ids); i++) {
            add_stop_id(engine, json_array_get(ids, i));
        }
    }
    json_decref(config);
    return status;
}

// Spec and tokenizer, checked against each other.
static enum od_status open_parts(struct od_engine *engine, const char *path, struct od_error *err)
{
    enum od_status status = od_model_find(path, engine->options.adapter, &engine->place, err);
    if (status == OD_OK) {
        status =
            od_gguf_is_path(engine->place.base) ? open_gguf(engine, err) : open_folder(engine, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (od_tokenizer_vocab_size(engine->tokenizer) > engine->spec.vocab) {
        return od_fail(err, OD_E_FORMAT,
                       "the tokenizer of '%s' has %d ids, the model only %lld: they do not fit",
                       engine->place.base, od_tokenizer_vocab_size(engine->tokenizer),
                       (long long)engine->spec.vocab);
    }
    od_tokenizer_set_bos_eos(engine->tokenizer, engine->spec.bos, engine->spec.eos);
    return read_stop_ids(engine, err);
}

static enum od_status set_limits(struct od_engine *engine, struct od_error *err)
{
    const struct od_engine_options *options = &engine->options;
    const int64_t most = engine->spec.max_positions;
    engine->slot_count = options->slots == 0 ? DEFAULT_SLOTS : options->slots;
    engine->pass_tokens = options->pass_tokens == 0 ? DEFAULT_PASS_TOKENS : options->pass_tokens;
    engine->context = options->context != 0        ? options->context
                      : most < DEFAULT_CONTEXT_MAX ? most
                                                   : DEFAULT_CONTEXT_MAX;
    if (engine->slot_count < 1 || engine->slot_count > OD_ENGINE_SLOTS_MAX) {
        return od_fail(err, OD_E_ARGUMENT, "slots must be 1 to %d", OD_ENGINE_SLOTS_MAX);
    }
    if (engine->context < 2 || engine->context > most) {
        return od_fail(err, OD_E_ARGUMENT, "the context must be 2 to %lld, the model's",
                       (long long)most);
    }
    if (engine->pass_tokens < engine->slot_count) {
        engine->pass_tokens = engine->slot_count;  // every sequence moves in every pass
    }
    const int64_t contexts =
        engine->slot_count < DEFAULT_CACHE_CONTEXTS ? engine->slot_count : DEFAULT_CACHE_CONTEXTS;
    engine->table_pages = (engine->context + OD_PAGE_ROWS - 1) / OD_PAGE_ROWS;
    engine->cache_pages = engine->table_pages * contexts;
    if (options->cache_tokens != 0) {
        engine->cache_pages = options->cache_tokens / OD_PAGE_ROWS;
    }
    if (engine->cache_pages < engine->table_pages || engine->cache_pages > PAGES_MAX) {
        return od_fail(err, OD_E_ARGUMENT,
                       "a cache of %lld positions is not between one context of %lld and %lld",
                       (long long)options->cache_tokens,
                       (long long)(engine->table_pages * OD_PAGE_ROWS),
                       (long long)PAGES_MAX * OD_PAGE_ROWS);
    }
    return OD_OK;
}

enum od_status od_engine_open(const char *path, const struct od_engine_options *options,
                              struct od_engine **ret, struct od_error *err)
{
    struct od_engine *engine = od_alloc(1, sizeof *engine);
    enum od_status status;
    if (!engine) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    engine->options = *options;
    (void)pthread_mutex_init(&engine->lock, NULL);
    (void)pthread_cond_init(&engine->changed, NULL);
    if ((status = open_parts(engine, path, err)) != OD_OK ||
        (status = set_limits(engine, err)) != OD_OK) {
        od_engine_close(engine);
        return status;
    }
    engine->responder = (struct od_responder){.context = engine,
                                              .process = od_engine_process,
                                              .tokenize = tokenize,
                                              .decode = decode,
                                              .context_length = engine->context,
                                              .model_name = engine->place.name};
    const int error = pthread_create(&engine->thread, NULL, od_engine_main, engine);
    if (error != 0) {
        od_engine_close(engine);
        return od_fail(err, OD_E_MEMORY, "cannot start a thread: %s", strerror(error));
    }
    engine->thread_started = true;
    pthread_mutex_lock(&engine->lock);
    while (!engine->ready) {
        pthread_cond_wait(&engine->changed, &engine->lock);
    }
    status = engine->open_status;
    pthread_mutex_unlock(&engine->lock);
    if (status != OD_OK) {
        if (err) {
            *err = engine->open_error;
        }
        od_engine_close(engine);
        return status;
    }
    *ret = engine;
    return OD_OK;
}

void od_engine_close(struct od_engine *engine)
{
    if (!engine) {
        return;
    }
    if (engine->thread_started) {
        pthread_mutex_lock(&engine->lock);
        engine->stop = true;
        pthread_cond_broadcast(&engine->changed);
        pthread_mutex_unlock(&engine->lock);
        (void)pthread_join(engine->thread, NULL);
    }
    od_tokenizer_free(engine->tokenizer);
    (void)pthread_cond_destroy(&engine->changed);
    (void)pthread_mutex_destroy(&engine->lock);
    od_free(engine);
}

const struct od_responder *od_engine_responder(struct od_engine *engine)
{
    return &engine->responder;
}

const struct od_spec *od_engine_spec(const struct od_engine *engine)
{
    return &engine->spec;
}

const struct od_tokenizer *od_engine_tokenizer(const struct od_engine *engine)
{
    return engine->tokenizer;
}

struct od_engine_counts od_engine_counts(struct od_engine *engine)
{
    // The engine's thread changes counts while it runs a pass; between passes of a quiet engine the
    // lock makes them visible.
    pthread_mutex_lock(&engine->lock);
    const struct od_engine_counts counts = engine->counts;
    pthread_mutex_unlock(&engine->lock);
    return counts;
}

enum od_status od_engine_logits(struct od_engine *engine, const int32_t *ids, int64_t count,
                                float *logits, struct od_error *err)
{
    const struct od_process_request request = {.prompt = "", .top_logprobs = 1, .top_p = 1.0};
    struct od_job job = {.request = &request,
                         .prompt = ids,
                         .prompt_count = count,
                         .all_logits = logits,
                         .finish = OD_FINISH_UNKNOWN};
    struct od_arena arena;
    enum od_status status = OD_OK;
    if (count < 1 || count > engine->context) {
        return od_fail(err, OD_E_ARGUMENT, "%lld tokens do not fit the context of %lld",
                       (long long)count, (long long)engine->context);
    }
    od_arena_init(&arena, (size_t)1 << 30);
    if (!od_job_make_room(&job, &arena)) {
        status = od_fail(err, OD_E_MEMORY, "no memory for a request");
    }
    if (status == OD_OK) {
        status = od_engine_submit(engine, &job, NULL, NULL, err);
    }
    od_arena_release(&arena);
    return status;
}
