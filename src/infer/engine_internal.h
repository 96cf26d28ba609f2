/**
 * @file
 * The engine's parts: its state, the jobs that it works on, and the text of a growing answer.
 * @thread See each member.
 */
#ifndef OD_INFER_ENGINE_INTERNAL_H
#define OD_INFER_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "infer/engine.h"
#include "infer/sampler.h"
#include "model/program.h"
#include "ops/cpu.h"
#include "plan/plan.h"

/** What is known about one token of a sequence. */
struct od_job_token {
    int32_t id;
    double logprob;
    double log_sum;            ///< log-probability = logit - this
    struct od_candidate *top;  ///< [top_count]
    int64_t top_count;
    size_t text_end;  ///< end of its raw bytes in the job's text
};

/** One request while it is worked on. Made by the calling thread, on its stack. */
struct od_job {
    struct od_job *next;  ///< in the queue
    // Set by the caller, then read only.
    const struct od_process_request *request;
    const int32_t *prompt;
    int64_t prompt_count;
    int64_t max_new;
    float *all_logits;  ///< od_engine_logits: every row is copied here
    // Owned by the engine's thread until `done`.
    int64_t slot;
    int64_t done_count;  ///< positions in the cache
    int32_t *ids;        ///< prompt and answer [prompt_count + max_new]
    int64_t count;
    struct od_job_token *tokens;  ///< echoed prompt and answer, room for both
    int64_t token_count;
    struct od_candidate *top_room;
    struct od_buf text;  ///< raw bytes of the answer
    int64_t answer_count;
    enum od_finish finish;
    bool stopped;  ///< a stop string appeared; the text is cut
    enum od_status status;
    struct od_error error;
    bool done;  ///< under the engine's lock
};

struct od_slot_state {
    struct od_job *job;  ///< NULL: free
    int32_t *ids;        ///< what the cache holds [context]
    int64_t count;
    uint64_t used_at;  ///< pass number; the least recent is taken first
};

struct od_engine {
    // Set when it opens, then read only.
    struct od_model_place place;
    struct od_engine_options options;
    struct od_spec spec;
    struct od_tokenizer *tokenizer;
    struct od_responder responder;
    int64_t context;
    int64_t pass_tokens;
    int64_t slot_count;
    // Owned by the engine's thread.
    struct od_cpu cpu;
    struct od_program program;
    struct od_plan plan;
    struct od_arrays arrays;
    float **packed;  ///< packed weights by tensor number
    float *packed_memory;
    struct od_slot_state slots[OD_ENGINE_SLOTS_MAX];
    struct od_candidate *scratch;  ///< [vocab]
    uint64_t pass_number;
    // Under `lock`.
    pthread_mutex_t lock;
    pthread_cond_t changed;  ///< a job came, a job is done, or the end
    struct od_job *first;
    struct od_job *last;
    bool stop;
    bool ready;  ///< opening is over, with `open_status`
    enum od_status open_status;
    struct od_error open_error;
    struct od_engine_counts counts;
    pthread_t thread;
    bool thread_started;
};

/** The engine's thread: opens the model, then passes until the end. `argument` is the engine. */
void *od_engine_main(void *argument);

/** Queue a job and wait until it is done. */
enum od_status od_engine_submit(struct od_engine *engine, struct od_job *job, struct od_error *err);

/** Take the logits after the newest token of a job: choose the next token or finish. */
void od_job_advance(struct od_engine *engine, struct od_job *job, const float *logits);
/** Note the log-probability of the prompt token that follows these logits (echo). */
void od_job_echo(struct od_engine *engine, struct od_job *job, const float *logits,
                 int64_t position);

#endif
