// A line for each answer, in the order in which they came:
//
//     HASH {"key": K, "text": T, "logprob": x, "time": s, "tokens": [[T, x, [[T, x], ...]], ...]}
//
// HASH is XXH3 of everything behind the blank, 16 hexadecimal digits; K is the SHA-256 of the run's
// name, the request's place and the request. A token is its text, its logprob, and the alternatives.
// The first line is of the same shape and says what the file is: {"oneday_answers": 1, "model": M}.
//
// A line whose hash differs, or without a newline at its end, is no line. What stands behind the last
// newline is cut off before anything is appended.
#include "eval/answers.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "infer/responder.h"

enum { FORMAT_VERSION = 1, HASH_BYTES = OD_XXH_HEX_BYTES - 1, FILE_MODE = 0644 };
#define LINE_MAX_BYTES ((size_t)256 << 20)
#define KEY_MAX_BYTES  ((size_t)OD_PROMPT_MAX_BYTES + (1 << 20))
#define SYNC_EVERY_S   1.0
// Another order of sums moves the logprob of a token by less than this, another model by more.
#define SAME_LOGPROB   0.02

// An answer of an earlier process.
struct kept {
    char key[OD_SHA256_HEX_BYTES];
    size_t at;  // of its JSON, in `bytes`
    size_t size;
};

enum trust { TRUST_UNKNOWN, TRUST_SAME, TRUST_OTHER };

struct od_answers {
    char path[OD_PATH_MAX_BYTES];
    int fd;
    size_t header_size;
    char *bytes;  // of the file as it was
    struct kept *kept;
    size_t kept_count;
    pthread_mutex_t trust_lock;  // held while the first answer is asked once more
    enum trust trust;
    size_t found;
    pthread_mutex_t lock;  // for the file
    double synced_s;
};

// ------------------------------------------------------------------ lines

static void append_line(const struct od_buf *json, struct od_buf *out)
{
    char hash[OD_XXH_HEX_BYTES];
    od_hash_hex(od_xxh64(od_buf_text(json), json->size, 0), hash);
    od_buf_printf(out, "%s ", hash);
    od_buf_append(out, od_buf_text(json), json->size);
    od_buf_putc(out, '\n');
}

// The JSON of the line `text` [size], which has no newline; false when it is no line.
static bool check_line(const char *text, size_t size, const char **ret_json, size_t *ret_size)
{
    char hash[OD_XXH_HEX_BYTES];
    if (size < HASH_BYTES + 2 || text[HASH_BYTES] != ' ') {
        return false;
    }
    *ret_json = text + HASH_BYTES + 1;
    *ret_size = size - HASH_BYTES - 1;
    od_hash_hex(od_xxh64(*ret_json, *ret_size, 0), hash);
    return memcmp(hash, text, HASH_BYTES) == 0;
}

static enum od_status write_header(const char *model, struct od_buf *out, struct od_error *err)
{
    struct od_json_writer w;
    struct od_buf json;
    od_buf_init(&json, LINE_MAX_BYTES);
    od_json_writer_init(&w, &json, OD_JSON_LINE, false);
    od_json_object_begin(&w);
    od_json_member_int(&w, "oneday_answers", FORMAT_VERSION);
    od_json_member_text(&w, "model", model);
    od_json_object_end(&w);
    enum od_status status = od_buf_check(&json, err);
    if (status == OD_OK) {
        append_line(&json, out);
        status = od_buf_check(out, err);
    }
    od_buf_release(&json);
    return status;
}

static void write_answer(const char *key, const struct od_process_result *result,
                         struct od_buf *out)
{
    struct od_json_writer w;
    od_json_writer_init(&w, out, OD_JSON_LINE, false);
    od_json_object_begin(&w);
    od_json_member_text(&w, "key", key);
    od_json_key(&w, "text");
    od_json_put_text_n(&w, result->text_size > 0 ? result->text : "", result->text_size);
    od_json_member_number(&w, "logprob", result->logprob);
    od_json_member_number(&w, "time", result->request_time_s);
    od_json_key(&w, "tokens");
    od_json_array_begin(&w);
    for (size_t i = 0; i < result->token_count; i++) {
        const struct od_token_result *token = &result->tokens[i];
        od_json_array_begin(&w);
        od_json_put_text(&w, token->text);
        od_json_put_number(&w, token->logprob);
        od_json_array_begin(&w);
        for (size_t k = 0; k < token->top_count; k++) {
            od_json_array_begin(&w);
            od_json_put_text(&w, token->top[k].text);
            od_json_put_number(&w, token->top[k].logprob);
            od_json_array_end(&w);
        }
        od_json_array_end(&w);
        od_json_array_end(&w);
    }
    od_json_array_end(&w);
    od_json_object_end(&w);
}

static const char *copy_text(struct od_arena *arena, const json_t *text)
{
    return json_is_string(text)
               ? od_arena_memdup(arena, json_string_value(text), json_string_length(text))
               : NULL;
}

// One token; false when it has not the shape, or without memory.
static bool read_token(const json_t *item, struct od_arena *arena, struct od_token_result *out)
{
    const json_t *top = json_array_get(item, 2);
    const size_t count = json_array_size(top);
    *out = (struct od_token_result){.text = copy_text(arena, json_array_get(item, 0)),
                                    .logprob = json_number_value(json_array_get(item, 1)),
                                    .top = od_arena_alloc(arena, count, sizeof *out->top),
                                    .top_count = count,
                                    .id = -1};
    if (!out->text || !out->top) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *pair = json_array_get(top, i);
        out->top[i] = (struct od_top_logprob){copy_text(arena, json_array_get(pair, 0)),
                                              json_number_value(json_array_get(pair, 1))};
        if (!out->top[i].text) {
            return false;
        }
    }
    return true;
}

// False when the answer cannot be read: it is asked again then.
static bool read_answer(const struct od_answers *answers, const struct kept *kept,
                        struct od_process_result *result)
{
    json_t *value = NULL;
    if (od_json_parse(answers->bytes + kept->at, kept->size, answers->path, &value, NULL) !=
        OD_OK) {
        return false;
    }
    const json_t *text = json_object_get(value, "text");
    const json_t *tokens = json_object_get(value, "tokens");
    const size_t count = json_array_size(tokens);
    result->text = copy_text(&result->arena, text);
    result->text_size = json_string_length(text);
    result->logprob = json_number_value(json_object_get(value, "logprob"));
    result->request_time_s = json_number_value(json_object_get(value, "time"));
    result->tokens = od_arena_alloc(&result->arena, count, sizeof *result->tokens);
    bool good = result->text && result->tokens;
    for (size_t i = 0; i < count && good; i++) {
        good = read_token(json_array_get(tokens, i), &result->arena, &result->tokens[i]);
    }
    result->token_count = good ? count : 0;
    json_decref(value);
    if (!good) {
        od_process_result_release(result);
        od_process_result_init(result);
    }
    return good;
}

// ------------------------------------------------------------------ keys

static enum od_status digest(const struct od_answer_place *place,
                             const struct od_process_request *request,
                             char key[OD_SHA256_HEX_BYTES], struct od_error *err)
{
    struct od_buf text;
    od_buf_init(&text, KEY_MAX_BYTES);
    od_buf_printf(&text, "%s\n%zu\n%lld %.17g %.17g %lld %lld %d\n", place->run, place->index,
                  (long long)request->max_new_tokens, request->temperature, request->top_p,
                  (long long)request->top_k, (long long)request->top_logprobs,
                  (int)request->echo_prompt);
    for (size_t i = 0; i < request->stop_count; i++) {
        od_buf_printf(&text, "%zu ", strlen(request->stop[i]));
        od_buf_puts(&text, request->stop[i]);
    }
    od_buf_putc(&text, '\n');
    od_buf_append(&text, request->prompt, request->prompt_size);
    const enum od_status status = od_buf_check(&text, err);
    if (status == OD_OK) {
        od_sha256_hex(od_buf_text(&text), text.size, key);
    }
    od_buf_release(&text);
    return status;
}

// Equal keys: the later in the file first.
static int compare_kept(const void *a, const void *b)
{
    const struct kept *one = a;
    const struct kept *two = b;
    const int order = strcmp(one->key, two->key);
    return order != 0 ? order : (one->at < two->at) - (one->at > two->at);
}

static const struct kept *find(const struct od_answers *answers, const char *key)
{
    size_t low = 0;
    size_t high = answers->kept_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (strcmp(answers->kept[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < answers->kept_count && strcmp(answers->kept[low].key, key) == 0
               ? &answers->kept[low]
               : NULL;
}

// ------------------------------------------------------------------ opening

// The key at the start of the line's JSON, which write_answer put there; NULL: another one.
static const char *key_of(const char *json, size_t size)
{
    static const char start[] = "{\"key\": \"";
    const size_t behind = sizeof start - 1 + OD_SHA256_HEX_BYTES - 1;
    return size > behind && memcmp(json, start, sizeof start - 1) == 0 && json[behind] == '"'
               ? json + sizeof start - 1
               : NULL;
}

// List the answers in `bytes` behind the header, up to the last newline. Gives its end.
static enum od_status index_lines(struct od_answers *answers, size_t size, size_t *ret_end,
                                  struct od_error *err)
{
    size_t lines = 0;
    size_t bad = 0;
    size_t at = answers->header_size;
    for (size_t i = at; i < size; i++) {
        lines += answers->bytes[i] == '\n';
    }
    answers->kept = od_alloc(lines, sizeof *answers->kept);
    if (!answers->kept) {
        return od_fail(err, OD_E_MEMORY, "no memory for %zu answers", lines);
    }
    for (size_t i = 0; i < lines; i++) {
        const char *line = answers->bytes + at;
        const size_t length = (size_t)((const char *)memchr(line, '\n', size - at) - line);
        const char *json = NULL;
        size_t json_size = 0;
        const char *key =
            check_line(line, length, &json, &json_size) ? key_of(json, json_size) : NULL;
        if (key) {
            struct kept *kept = &answers->kept[answers->kept_count++];
            memcpy(kept->key, key, OD_SHA256_HEX_BYTES - 1);
            kept->key[OD_SHA256_HEX_BYTES - 1] = '\0';
            kept->at = (size_t)(json - answers->bytes);
            kept->size = json_size;
        }
        bad += !key;
        at += length + 1;
    }
    if (bad > 0 || at < size) {
        od_log(OD_LOG_WARNING, "'%s': %zu broken lines are passed over", answers->path,
               bad + (at < size));
    }
    qsort(answers->kept, answers->kept_count, sizeof *answers->kept, compare_kept);
    *ret_end = at;
    return OD_OK;
}

static enum od_status cut(const struct od_answers *answers, size_t size, struct od_error *err)
{
    if (ftruncate(answers->fd, (off_t)size) != 0) {
        return od_fail(err, OD_E_IO, "cannot cut '%s': %s", answers->path, strerror(errno));
    }
    return OD_OK;
}

// Read what is there, or write the first line.
static enum od_status start(struct od_answers *answers, const char *model, struct od_error *err)
{
    struct od_buf header;
    size_t size = 0;
    size_t end = 0;
    enum od_status status =
        od_file_read(answers->path, OD_ANSWERS_MAX_BYTES, &answers->bytes, &size, err);

    if (status != OD_OK) {
        od_error_prefix(err, "answers of an evaluation that was interrupted");
        return status;
    }
    od_buf_init(&header, LINE_MAX_BYTES);
    status = write_header(model, &header, err);
    answers->header_size = header.size;
    if (status == OD_OK && size >= header.size &&
        memcmp(answers->bytes, header.bytes, header.size) == 0) {
        status = index_lines(answers, size, &end, err);
        if (status == OD_OK) {
            status = cut(answers, end, err);
        }
    } else if (status == OD_OK) {
        if (size > 0) {
            od_log(OD_LOG_WARNING,
                   "'%s' holds no answers of '%s': the evaluation that was interrupted had another "
                   "model, so all is asked anew",
                   answers->path, model);
        }
        status = cut(answers, 0, err);
        if (status == OD_OK) {
            status = od_fd_write(answers->fd, answers->path, header.bytes, header.size, err);
        }
    }
    od_buf_release(&header);
    return status;
}

enum od_status od_answers_open(const char *path, const char *model, struct od_answers **ret,
                               struct od_error *err)
{
    struct od_answers *answers = od_alloc(1, sizeof *answers);
    enum od_status status = OD_OK;
    if (!answers) {
        return od_fail(err, OD_E_MEMORY, "no memory for answers");
    }
    (void)pthread_mutex_init(&answers->lock, NULL);
    (void)pthread_mutex_init(&answers->trust_lock, NULL);
    const size_t size = strlen(path);
    memcpy(answers->path, path, size < OD_PATH_MAX_BYTES ? size : OD_PATH_MAX_BYTES - 1);
    answers->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
    if (answers->fd < 0) {
        status = od_fail(err, OD_E_IO, "cannot open '%s': %s", path, strerror(errno));
    } else if (flock(answers->fd, LOCK_EX | LOCK_NB) != 0) {
        status = od_fail(err, OD_E_REFUSED,
                         "another process writes '%s': an evaluation into this suite is under way",
                         path);
    } else {
        status = start(answers, model, err);
    }
    if (status != OD_OK) {
        od_answers_close(answers);
        return status;
    }
    answers->synced_s = od_clock_s();
    *ret = answers;
    return OD_OK;
}

size_t od_answers_kept(const struct od_answers *answers)
{
    return answers->kept_count;
}

size_t od_answers_found(const struct od_answers *answers)
{
    return answers->found;
}

// ------------------------------------------------------------------ asking

static bool same_answer(const struct od_process_result *a, const struct od_process_result *b)
{
    const double room = SAME_LOGPROB * (double)(a->token_count + 1);
    return a->text_size == b->text_size && memcmp(a->text, b->text, a->text_size) == 0 &&
           a->token_count == b->token_count && fabs(a->logprob - b->logprob) <= room;
}

// Ask once more what `kept` is the answer to, and see whether the same model is there.
static enum od_status compare(struct od_answers *answers, const struct od_responder *responder,
                              const struct od_process_request *request,
                              const struct od_process_result *kept, struct od_error *err)
{
    struct od_process_result now;
    od_process_result_init(&now);
    enum od_status status = responder->process(responder->context, request, &now, err);
    if (status == OD_OK && same_answer(&now, kept)) {
        answers->trust = TRUST_SAME;
        od_log(OD_LOG_INFO, "going on with %zu answers of an evaluation that was interrupted",
               answers->kept_count);
    } else if (status == OD_OK) {
        answers->trust = TRUST_OTHER;
        od_log(OD_LOG_WARNING,
               "'%s': the model answers otherwise than when the evaluation was interrupted, so all "
               "is asked anew",
               answers->path);
        (void)pthread_mutex_lock(&answers->lock);
        status = cut(answers, answers->header_size, err);
        (void)pthread_mutex_unlock(&answers->lock);
    }
    od_process_result_release(&now);
    return status;
}

enum od_status od_answers_find(struct od_answers *answers, const struct od_responder *responder,
                               const struct od_answer_place *place,
                               const struct od_process_request *request,
                               struct od_process_result *result, bool *ret_found,
                               struct od_error *err)
{
    char key[OD_SHA256_HEX_BYTES];
    enum od_status status = OD_OK;
    *ret_found = false;
    if (answers->kept_count == 0 || (status = digest(place, request, key, err)) != OD_OK) {
        return status;
    }
    const struct kept *kept = find(answers, key);
    if (!kept || !read_answer(answers, kept, result)) {
        return OD_OK;
    }
    (void)pthread_mutex_lock(&answers->trust_lock);
    if (answers->trust == TRUST_UNKNOWN) {
        status = compare(answers, responder, request, result, err);
    }
    *ret_found = status == OD_OK && answers->trust == TRUST_SAME;
    answers->found += *ret_found;
    (void)pthread_mutex_unlock(&answers->trust_lock);
    if (!*ret_found) {
        od_process_result_release(result);
        od_process_result_init(result);
    }
    return status;
}

// JSON has no word for what is not finite: such an answer is asked again.
static bool can_be_kept(const struct od_process_result *result)
{
    bool finite = isfinite(result->logprob) && isfinite(result->request_time_s);
    for (size_t i = 0; i < result->token_count; i++) {
        finite = finite && isfinite(result->tokens[i].logprob);
        for (size_t k = 0; k < result->tokens[i].top_count; k++) {
            finite = finite && isfinite(result->tokens[i].top[k].logprob);
        }
    }
    return finite;
}

enum od_status od_answers_keep(struct od_answers *answers, const struct od_answer_place *place,
                               const struct od_process_request *request,
                               const struct od_process_result *result, struct od_error *err)
{
    char key[OD_SHA256_HEX_BYTES];
    struct od_buf json;
    struct od_buf line;
    if (!can_be_kept(result)) {
        return OD_OK;
    }
    enum od_status status = digest(place, request, key, err);
    if (status != OD_OK) {
        return status;
    }
    od_buf_init(&json, LINE_MAX_BYTES);
    od_buf_init(&line, LINE_MAX_BYTES + 64);
    write_answer(key, result, &json);
    status = od_buf_check(&json, err);
    if (status == OD_OK) {
        append_line(&json, &line);
        status = od_buf_check(&line, err);
    }
    if (status == OD_OK) {
        (void)pthread_mutex_lock(&answers->lock);
        status = od_fd_write(answers->fd, answers->path, line.bytes, line.size, err);
        if (status == OD_OK && od_clock_s() - answers->synced_s >= SYNC_EVERY_S) {
            status = od_fd_sync(answers->fd, answers->path, err);
            answers->synced_s = od_clock_s();
        }
        (void)pthread_mutex_unlock(&answers->lock);
    }
    od_buf_release(&line);
    od_buf_release(&json);
    return status;
}

// ------------------------------------------------------------------ closing

void od_answers_close(struct od_answers *answers)
{
    if (!answers) {
        return;
    }
    if (answers->fd >= 0) {
        (void)fsync(answers->fd);
        (void)close(answers->fd);
    }
    (void)pthread_mutex_destroy(&answers->lock);
    (void)pthread_mutex_destroy(&answers->trust_lock);
    od_free(answers->kept);
    od_free(answers->bytes);
    od_free(answers);
}

enum od_status od_answers_finish(struct od_answers *answers, struct od_error *err)
{
    enum od_status status = OD_OK;
    if (unlink(answers->path) != 0) {
        status = od_fail(err, OD_E_IO, "cannot remove '%s': %s", answers->path, strerror(errno));
    }
    od_answers_close(answers);
    return status;
}
