// What happens to one request when logits arrive: the next token, its log-probabilities, the text so
// far, and whether the answer ends.

#include <stdint.h>
#include <string.h>

#include "base/log.h"
#include "base/random.h"
#include "base/status.h"
#include "infer/engine_internal.h"
#include "infer/responder.h"
#include "infer/sampler.h"
#include "text/tokenizer.h"

enum { STREAM_SAMPLE = 0x53414D50 };

// Log-probability and alternatives of `id` under these logits, into a fresh token of the job.
static struct od_job_token *note_token(struct od_engine *engine, struct od_job *job,
                                       const float *logits, int32_t id)
{
    const int64_t vocab = engine->spec.vocab;
    const double log_sum = od_log_sum_exp(logits, vocab);
    struct od_job_token *token = &job->tokens[job->token_count];
    *token = (struct od_job_token){
        .id = id, .logprob = (double)logits[id] - log_sum, .log_sum = log_sum};
    token->top = job->top_room + job->token_count * job->request->top_logprobs;
    token->top_count = od_top_candidates(logits, vocab, job->request->top_logprobs, token->top);
    job->token_count++;
    return token;
}

void od_job_echo(struct od_engine *engine, struct od_job *job, const float *logits,
                 int64_t position)
{
    if (position + 1 < job->prompt_count) {
        (void)note_token(engine, job, logits, job->prompt[position + 1]);
    }
}

// Cut the text at the first stop string that appears in its last `fresh` bytes or across them.
static bool find_stop(struct od_job *job, size_t fresh)
{
    size_t best = job->text.size + 1;
    for (size_t i = 0; i < job->request->stop_count; i++) {
        const char *stop = job->request->stop[i];
        const size_t length = strlen(stop);
        if (length == 0 || length > job->text.size) {
            continue;
        }
        const size_t reach = fresh + length - 1;
        const size_t start = job->text.size > reach ? job->text.size - reach : 0;
        const char *found = memmem(job->text.bytes + start, job->text.size - start, stop, length);
        if (found && (size_t)(found - job->text.bytes) < best) {
            best = (size_t)(found - job->text.bytes);
        }
    }
    if (best > job->text.size) {
        return false;
    }
    job->text.size = best;
    job->text.bytes[best] = '\0';
    return true;
}

static void finish(struct od_job *job, enum od_finish how)
{
    job->finish = how;
    job->stopped = true;
}

static bool is_end(const struct od_engine *engine, int32_t id)
{
    for (int64_t i = 0; i < engine->stop_id_count; i++) {
        if (engine->stop_ids[i] == id) {
            return true;
        }
    }
    return id == od_tokenizer_eos(engine->tokenizer);
}

void od_job_advance(struct od_engine *engine, struct od_job *job, const float *logits)
{
    const struct od_process_request *request = job->request;
    if (job->answer_count >= job->max_new) {
        finish(job, OD_FINISH_LENGTH);
        return;
    }
    const struct od_philox draw =
        od_philox_draw(request->seed, STREAM_SAMPLE, (uint32_t)job->answer_count, request->sample);
    const struct od_sampling sampling = {.temperature = request->temperature,
                                         .top_k = request->top_k,
                                         .top_p = request->top_p,
                                         .min_p = request->min_p};
    const int32_t id = od_sample(logits, engine->spec.vocab, &sampling,
                                 od_uniform_f64(draw.word[0], draw.word[1]), engine->scratch);
    if (!job->token_s && is_end(engine, id)) {
        finish(job, OD_FINISH_EOS);
        return;
    }
    struct od_job_token *token = note_token(engine, job, logits, id);
    const size_t before = job->text.size;
    job->ids[job->count++] = id;
    job->answer_count++;
    // An id that the tokenizer does not know (padding of the vocabulary) has no text.
    if (id < od_tokenizer_vocab_size(engine->tokenizer)) {
        job->status =
            od_tokenizer_decode(engine->tokenizer, &id, 1, OD_DECODE_RAW | OD_DECODE_SKIP_SPECIAL,
                                &job->text, &job->error);
    }
    if (job->status == OD_OK && job->text.failed) {
        job->status = od_fail(&job->error, OD_E_MEMORY, "no memory for an answer");
    }
    if (job->status != OD_OK) {
        job->stopped = true;
        return;
    }
    token->text_end = job->text.size;
    if (job->token_s) {
        job->token_s[job->answer_count - 1] = od_clock_s();
        job->cpu_s[job->answer_count - 1] = od_processor_s();
    }
    if (find_stop(job, job->text.size - before)) {
        finish(job, OD_FINISH_STOP);
    } else if (job->answer_count >= job->max_new) {
        finish(job, OD_FINISH_LENGTH);
    }
}
