/**
 * @file
 * The engine's parts: its state, the jobs that it works on, and who does what.
 *
 *     answer.c       a request becomes a job, a job an answer (the caller's thread)
 *     engine_loop.c  opens the model, admits jobs, makes passes (the engine's thread)
 *     machine_*.c    what a pass runs on
 *     schedule.c     which rows go into a pass, and which pages they use
 *     job.c          what logits mean to a job: the next token, the end
 *
 * @thread See each member.
 */
#ifndef OD_INFER_ENGINE_INTERNAL_H
#define OD_INFER_ENGINE_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "infer/engine.h"
#include "infer/machine.h"
#include "infer/pages.h"
#include "infer/responder.h"
#include "infer/sampler.h"
#include "model/spec.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum { OD_STOP_IDS_MAX = 16 };

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
    int32_t adapter;    ///< number, -1: none
    float *all_logits;  ///< od_engine_logits: every row is copied here
    double *token_s;    ///< od_engine_time: when each token came; then no id ends it
    double *cpu_s;      ///< od_engine_time: processor time of the process then
    // Owned by the engine's thread until `done`.
    int64_t slot;
    int64_t done_count;   ///< positions in the cache
    int64_t logits_next;  ///< the first position whose logits are still to be used
    int64_t page_count;   ///< pages that it has
    int64_t tree_count;   ///< those at the front that are in the tree
    int64_t promised;     ///< pages that it may still take
    int32_t *ids;         ///< prompt and answer [prompt_count + max_new]
    int64_t count;
    struct od_job_token *tokens;  ///< echoed prompt and answer, room for both
    int64_t token_count;
    struct od_candidate *top_room;
    struct od_buf text;  ///< raw bytes of the answer
    int64_t answer_count;
    enum od_finish finish;
    bool stopped;  ///< no token comes any more
    enum od_status status;
    struct od_error error;
    // Under the engine's lock.
    pthread_cond_t changed;  ///< `done`, or more is `published`
    int64_t published;       ///< tokens of the answer that the caller may read
    bool done;
};

struct od_engine {
    // Set when it opens, then read only.
    struct od_model_place place;
    struct od_engine_options options;
    struct od_spec spec;
    struct od_tokenizer *tokenizer;
    char (*adapter_name)[OD_ADAPTER_NAME_MAX_BYTES + 1];
    const char **adapter_names;              ///< the same, for the responder
    struct od_chat_template *chat_template;  ///< NULL: `chat_error` says why
    struct od_error chat_error;
    struct od_responder responder;
    int64_t context;
    int64_t pass_tokens;
    int64_t slot_count;
    int64_t cache_pages;
    int64_t table_pages;  ///< pages of one sequence at most
    int32_t stop_ids[OD_STOP_IDS_MAX];
    int64_t stop_id_count;
    // Owned by the engine's thread.
    struct od_machine *machine;  ///< what passes run on
    int32_t *row_adapter;        ///< of struct od_pass: [pass_tokens]
    struct od_pages pages;
    int32_t *page_table;                          ///< [slots, table_pages]
    int32_t *logit_room;                          ///< of struct od_pass: [3, pass_tokens]
    struct od_job *slots[OD_ENGINE_SLOTS_MAX];    ///< NULL: free
    struct od_job *running[OD_ENGINE_SLOTS_MAX];  ///< in the order in which they came
    int64_t running_count;
    struct od_candidate *scratch;  ///< [vocab]
    struct od_error run_error;     ///< why the machine failed; OD_OK: it works
    // Under `lock`.
    pthread_mutex_t lock;
    pthread_cond_t changed;  ///< a job came, opening is over, or the end
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

/** The responder's process. `context` is the engine. */
enum od_status od_engine_process(void *context, const struct od_process_request *request,
                                 struct od_process_result *result, struct od_error *err);

/** How many bytes at the end of an answer's text may still become part of a stop string, or of a
 *  character, and are not passed on yet. */
size_t od_answer_held_back(const char *bytes, size_t size, const char *const *stop,
                           size_t stop_count);

/** Called without the lock while a job is worked on, with how many tokens of its answer may be read. */
typedef void (*od_progress_fn)(void *context, int64_t published);
/** Under the lock: put a job at the end of the queue. @error OD_E_CANCELLED: the engine is closing. */
enum od_status od_engine_queue(struct od_engine *engine, struct od_job *job,
                               struct od_error *err) OD_MUST_CHECK;
/** Queue a job and wait until it is done. */
enum od_status od_engine_submit(struct od_engine *engine, struct od_job *job,
                                od_progress_fn progress, void *context, struct od_error *err);
/** Room for what a job makes, off the engine's thread: a pass allocates nothing. */
bool od_job_make_room(struct od_job *job, struct od_arena *arena);

/** Give a job a slot and promise it its pages; false: there is no room yet. */
bool od_schedule_admit(struct od_engine *engine, struct od_job *job);
/** Choose the rows and logits of the next pass. */
void od_schedule_collect(struct od_engine *engine, struct od_pass *pass);
/** Rows of the pass are in the cache: share the pages that became complete. */
void od_schedule_settle(struct od_engine *engine, const struct od_pass *pass);
/** Take slot and pages from a job; what it computed stays in the tree. */
void od_schedule_release(struct od_engine *engine, struct od_job *job);

/** Take the logits after the newest token of a job: choose the next token or finish. */
void od_job_advance(struct od_engine *engine, struct od_job *job, const float *logits);
/** Note the log-probability of the prompt token that follows these logits (echo). */
void od_job_echo(struct od_engine *engine, struct od_job *job, const float *logits,
                 int64_t position);

#endif
