/**
 * @file
 * Generation in this process: a loaded model that answers many requests at a time.
 *
 * One thread owns the model. Requests wait in a queue until the key/value cache has room for all that
 * they may become; every pass takes a row of each sequence that generates and as many prompt rows
 * as fit (continuous batching). The cache is made of pages that prompts with the same beginning
 * share, whether they come one after another or at the same time (infer/pages.h). With each position
 * it keeps what the head reads, so that log-probabilities of a remembered prompt cost one product.
 * Every row's numbers are the same whatever shares its pass and whatever was remembered. All memory
 * is taken when the engine opens.
 *
 * @thread od_engine_process, tokenize and decode: any thread. open and close: one owner.
 */
#ifndef OD_INFER_ENGINE_H
#define OD_INFER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "infer/responder.h"
#include "model/spec.h"
#include "text/tokenizer.h"

enum { OD_ENGINE_SLOTS_MAX = 256, OD_ENGINE_ADAPTERS_MAX = 64, OD_ADAPTER_NAME_MAX_BYTES = 128 };

/** Where weights come from. Drawn ones are for measurements: the folder then holds config.json and a
 *  tokenizer only. */
enum od_engine_weights {
    OD_ENGINE_WEIGHTS_READ,
    OD_ENGINE_WEIGHTS_DRAWN,       ///< as od_weights_init draws them from seed 1
    OD_ENGINE_WEIGHTS_DRAWN_BF16,  ///< the same, rounded to bf16
};

/** Settings; zero means the default in brackets. */
struct od_engine_options {
    int threads;           ///< [all processors]
    bool no_vector;        ///< leave AVX2 off (same bits)
    int64_t slots;         ///< sequences at a time, at most OD_ENGINE_SLOTS_MAX [32]
    int64_t context;       ///< positions per sequence [the model's, at most 4096]
    int64_t cache_tokens;  ///< positions of all sequences together [8 contexts, or one per slot; on
                           ///< a GPU what fits, at most two for each slot]
    int64_t pass_tokens;   ///< rows per pass [256; 2048 on a GPU]
    const char *adapter;   ///< adapter folder or GGUF file to merge; NULL: none, or the run's
    /** Adapter folders or GGUF files that stay apart, and the names by which requests choose them
     *  [adapter_count]. */
    const char *const *adapter_names;
    const char *const *adapter_folders;
    int64_t adapter_count;
    bool no_prefix_reuse;  ///< compute every prompt from its start
    /** Of conversations: see od_chat_template_create [the adapter's, or the model's] */
    const char *chat_template;
    enum od_engine_weights weights;
    bool on_gpu;         ///< run the model on a GPU; what it keeps there is bf16
    int gpu;             ///< which one
    uint64_t max_bytes;  ///< GPU: what this process may take of the card [what is free]
    bool no_library;     ///< GPU: leave cuBLASLt aside
    /** GPU: take the fastest products and attention, whose bits depend on how many rows a pass has and
     *  on how prompts are cut. An answer then depends on what runs beside it. */
    bool not_batch_invariant;
};

struct od_engine;

/**
 * Open a model folder, a GGUF file, or a run directory (its model/, or its adapter/ on the base
 * model that it names). @memory Gives: od_engine_close.
 */
enum od_status od_engine_open(const char *path, const struct od_engine_options *options,
                              struct od_engine **ret, struct od_error *err) OD_MUST_CHECK;
/** Requests in flight end with OD_E_CANCELLED. */
void od_engine_close(struct od_engine *engine);

/** The engine as a responder. @memory Borrowed from the engine. */
const struct od_responder *od_engine_responder(struct od_engine *engine);

const struct od_spec *od_engine_spec(const struct od_engine *engine);
const struct od_tokenizer *od_engine_tokenizer(const struct od_engine *engine);

/** What it did so far; for tests and /metrics. */
struct od_engine_counts {
    int64_t passes;
    int64_t rows;           ///< computed
    int64_t reused_tokens;  ///< prompt tokens that were not computed again
    int64_t requests;
    int64_t running;  ///< requests that are worked on now
    int64_t pages;    ///< of the cache, OD_PAGE_ROWS positions each
    int64_t pages_free;
    int64_t pages_idle;  ///< remembered, and used by no request
    int64_t pages_evicted;
    uint64_t pass_allocations;  ///< of the whole process during passes; 0 with one caller
};
struct od_engine_counts od_engine_counts(struct od_engine *engine);

/**
 * Logits after each token of `ids` [count]: [count, vocab], in one sequence of its own.
 * For tests and measurements; count must fit the context.
 */
enum od_status od_engine_logits(struct od_engine *engine, const int32_t *ids, int64_t count,
                                float *logits, struct od_error *err) OD_MUST_CHECK;

/** One sequence whose time is taken. */
struct od_engine_timing {
    const int32_t *ids;  ///< prompt [count]
    int64_t count;
    int64_t new_count;   ///< greedy tokens after it; none of them ends the sequence
    double start_s;      ///< od_clock_s when it was asked for
    double start_cpu_s;  ///< processor time of the process then
    double *token_s;     ///< [new_count] od_clock_s when each token was there
    double *cpu_s;       ///< [new_count] processor time of the process then
};
/** Run sequences that begin together and take their times, on the engine's thread, so that nobody is
 *  woken for them. Any thread. */
enum od_status od_engine_time(struct od_engine *engine, struct od_engine_timing *timings,
                              int64_t count, struct od_error *err) OD_MUST_CHECK;

/** What a pass reads whatever its rows: weights of linear layers and head, as they lie in memory.
 *  @memory Borrowed from the engine; NULL where it lies with a device. */
const void *od_engine_weights(const struct od_engine *engine, size_t *ret_bytes);
/** Threads of the engine's pool. */
int od_engine_threads(const struct od_engine *engine);

/** Where the base weights, the adapter and the name of `path` are (model folder, GGUF file or
 *  run). */
struct od_model_place {
    char base[OD_PATH_MAX_BYTES];
    char adapter[OD_PATH_MAX_BYTES];  ///< "" for none
    char name[256];
};
enum od_status od_model_find(const char *path, const char *adapter, struct od_model_place *ret,
                             struct od_error *err) OD_MUST_CHECK;

#endif
