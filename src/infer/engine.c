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
#include "model/weights.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum {
    DEFAULT_SLOTS = 32,
    DEFAULT_PASS_TOKENS = 256,
    DEFAULT_PASS_TOKENS_GPU = 2048,
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

static enum od_status chat(void *context, const struct od_chat *chat, struct od_buf *out,
                           struct od_error *err)
{
    const struct od_engine *engine = context;
    if (!engine->chat_template) {
        return od_fail(err, OD_E_UNSUPPORTED, "%s", engine->chat_error.message);
    }
    return od_chat_template_render(engine->chat_template, chat, engine->tokenizer, out, err);
}

static void write_metrics(void *context, struct od_buf *out)
{
    const struct od_engine_counts counts = od_engine_counts(context);
    const struct {
        const char *name;
        const char *type;
        const char *help;
        int64_t value;
    } rows[] = {
        {"oneday_engine_passes_total", "counter", "Passes over the model.", counts.passes},
        {"oneday_engine_rows_total", "counter", "Tokens that passed through it.", counts.rows},
        {"oneday_engine_reused_tokens_total", "counter",
         "Prompt tokens that were remembered instead.", counts.reused_tokens},
        {"oneday_engine_requests_total", "counter", "Requests that it began.", counts.requests},
        {"oneday_engine_running", "gauge", "Requests that it works on.", counts.running},
        {"oneday_cache_pages", "gauge", "Pages of the key/value cache.", counts.pages},
        {"oneday_cache_pages_free", "gauge", "Pages that hold nothing.", counts.pages_free},
        {"oneday_cache_pages_idle", "gauge", "Pages that hold remembered beginnings only.",
         counts.pages_idle},
        {"oneday_cache_pages_evicted_total", "counter", "Remembered pages that made room.",
         counts.pages_evicted},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        od_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %lld\n", rows[i].name, rows[i].help,
                      rows[i].name, rows[i].type, rows[i].name, (long long)rows[i].value);
    }
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

// The template of conversations. A model without one, or with one that is not understood, answers
// everything but conversations.
static enum od_status open_template(struct od_engine *engine, struct od_error *err)
{
    static const char *const ends[] = {"<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>"};
    const char *named = engine->options.chat_template;
    enum od_status status = OD_E_NOT_FOUND;
    if (named) {
        status = od_chat_template_create(named, &engine->chat_template, err);
        if (status != OD_OK) {
            return status;
        }
    } else if (engine->place.adapter[0] != '\0' && !od_gguf_is_path(engine->place.adapter)) {
        status = od_chat_template_read(engine->place.adapter, &engine->chat_template,
                                       &engine->chat_error);
    }
    if (status == OD_E_NOT_FOUND) {
        status =
            od_chat_template_read(engine->place.base, &engine->chat_template, &engine->chat_error);
    }
    if (status != OD_OK) {
        od_log(OD_LOG_DEBUG, "no conversations: %s", engine->chat_error.message);
    }
    for (size_t i = 0; engine->chat_template && i < sizeof ends / sizeof ends[0]; i++) {
        const int32_t id = od_tokenizer_find(engine->tokenizer, ends[i], strlen(ends[i]));
        if (id >= 0 && od_tokenizer_is_special(engine->tokenizer, id) &&
            engine->stop_id_count < OD_STOP_IDS_MAX) {
            engine->stop_ids[engine->stop_id_count++] = id;
        }
    }
    return OD_OK;
}

// Spec and tokenizer, checked against each other.
static enum od_status open_parts(struct od_engine *engine, const char *path, struct od_error *err)
{
    enum od_status status = od_model_find(path, engine->options.adapter, &engine->place, err);
    if (status == OD_OK) {
        status =
            od_gguf_is_path(engine->place.base) ? open_gguf(engine, err) : open_folder(engine, err);
    }
    if (status == OD_OK && engine->place.adapter[0] != '\0') {
        status = od_adapter_untie(engine->place.adapter, &engine->spec, err);
    }
    for (int64_t i = 0; i < engine->options.adapter_count && status == OD_OK; i++) {
        status = od_adapter_untie(engine->options.adapter_folders[i], &engine->spec, err);
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
    status = read_stop_ids(engine, err);
    return status == OD_OK ? open_template(engine, err) : status;
}

static enum od_status set_limits(struct od_engine *engine, struct od_error *err)
{
    const struct od_engine_options *options = &engine->options;
    const int64_t most = engine->spec.max_positions;
    engine->slot_count = options->slots == 0 ? DEFAULT_SLOTS : options->slots;
    engine->pass_tokens = options->pass_tokens != 0 ? options->pass_tokens
                          : options->on_gpu         ? DEFAULT_PASS_TOKENS_GPU
                                                    : DEFAULT_PASS_TOKENS;
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
    } else if (options->on_gpu) {
        engine->cache_pages = 0;  // what fits
        return OD_OK;
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

// Names of adapters are kept; the folders are needed until the model is open.
static enum od_status keep_names(struct od_engine *engine, struct od_error *err)
{
    const struct od_engine_options *options = &engine->options;
    const size_t count = (size_t)options->adapter_count;
    if (options->adapter_count < 0 || options->adapter_count > OD_ENGINE_ADAPTERS_MAX) {
        return od_fail(err, OD_E_LIMIT, "%lld adapters are more than %d",
                       (long long)options->adapter_count, OD_ENGINE_ADAPTERS_MAX);
    }
    engine->adapter_name = od_alloc(count, sizeof *engine->adapter_name);
    engine->adapter_names = od_alloc(count, sizeof *engine->adapter_names);
    if (!engine->adapter_name || !engine->adapter_names) {
        return od_fail(err, OD_E_MEMORY, "no memory for an engine");
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = options->adapter_names[i];
        const size_t size = strlen(name);
        bool fresh = strcmp(name, engine->place.name) != 0;
        for (size_t j = 0; j < i; j++) {
            fresh = fresh && strcmp(name, engine->adapter_name[j]) != 0;
        }
        if (size < 1 || size > OD_ADAPTER_NAME_MAX_BYTES || !fresh) {
            return od_fail(err, OD_E_ARGUMENT,
                           "'%.200s' is no name for an adapter: it must have 1 to %d bytes and be "
                           "neither another's nor the model's",
                           name, OD_ADAPTER_NAME_MAX_BYTES);
        }
        memcpy(engine->adapter_name[i], name, size + 1);
        engine->adapter_names[i] = engine->adapter_name[i];
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
        (status = keep_names(engine, err)) != OD_OK ||
        (status = set_limits(engine, err)) != OD_OK) {
        od_engine_close(engine);
        return status;
    }
    engine->responder = (struct od_responder){.context = engine,
                                              .process = od_engine_process,
                                              .tokenize = tokenize,
                                              .decode = decode,
                                              .chat = chat,
                                              .write_metrics = write_metrics,
                                              .context_length = engine->context,
                                              .model_name = engine->place.name,
                                              .adapters = engine->adapter_names,
                                              .adapter_count = (size_t)options->adapter_count};
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
    od_free(engine->adapter_names);
    od_free(engine->adapter_name);
    od_chat_template_free(engine->chat_template);
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
