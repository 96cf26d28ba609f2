// The checks, in the order in which they run. R11 ... R18 are the requirements that they stand for.

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "formats/json.h"
#include "net/http_client.h"
#include "serve/conformance.h"
#include "serve/conformance_internal.h"

enum {
    TEXT_MAX_BYTES = 16 << 20,
    LONG_ANSWER = 40,
    CLIENTS_MAX = 64,
    SEEDS = 4,
    LONG_PROMPT_WORDS = 40000,
    TOKENIZE_TRIES = 5
};

/** An answer that comes sooner tells nothing about who waits for it. */
static const double BUSY_S_MIN = 0.25;

static const char STORY[] = "Once upon a time, in a village by the sea,";
static const char QUESTION[] =
    "The following are multiple choice questions (with answers) about geography.\n\n"
    "Question: Which of these is a river?\nA. Paris\nB. Nile\nC. Everest\nD. Sahara\nAnswer: B\n\n"
    "Question: Which of these is a city?\nA. Nile\nB. Everest\nC. Paris\nD. Sahara\nAnswer: C\n\n"
    "Question: Which of these is a desert?\nA. Sahara\nB. Nile\nC. Paris\nD. Everest\nAnswer:";

static void release(struct od_buf *a, struct od_buf *b)
{
    od_buf_release(a);
    od_buf_release(b);
}

static void init(struct od_buf *a, struct od_buf *b)
{
    od_buf_init(a, TEXT_MAX_BYTES);
    od_buf_init(b, TEXT_MAX_BYTES);
}

/** A greedy answer with its tokens, or NULL and noted. */
static json_t *greedy(struct od_probe *probe, const char *prompt, int64_t max_new,
                      const char *extra)
{
    struct od_buf body;
    json_t *answer = NULL;
    od_probe_body(&body, prompt, max_new, extra);
    (void)od_probe_process(probe, od_buf_text(&body), &answer);
    od_buf_release(&body);
    return answer;
}

static const char *text_of(const json_t *answer)
{
    const char *text = json_string_value(json_object_get(answer, "text"));
    return text ? text : "";
}

// R11: a whole and finite answer, in a time that can be true.
static void check_form(struct od_probe *probe)
{
    const double start = od_clock_s();
    json_t *answer = greedy(probe, STORY, LONG_ANSWER, "");
    const double took = od_clock_s() - start;
    const double said = json_number_value(json_object_get(answer, "request_time"));
    if (answer && (said < 0.0 || said > took + 0.1)) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: request_time says %.3f s, the answer took %.3f s", said,
                            took);
    }
    json_decref(answer);
}

// R15: log-probabilities are logarithms, belong to their tokens, and add up.
static void check_logprobs(struct od_probe *probe)
{
    json_t *answer = greedy(probe, STORY, LONG_ANSWER, ", \"top_k_per_token\": 3");
    const json_t *tokens = json_object_get(answer, "tokens");
    double sum = 0.0;
    size_t i = 0;
    const json_t *token = NULL;
    size_t positive = 0;
    size_t single = 0;
    json_array_foreach(tokens, i, token)
    {
        const double logprob = json_number_value(json_object_get(token, "logprob"));
        const json_t *top = json_object_get(token, "top_logprob");
        double best = -HUGE_VAL;
        const char *key = NULL;
        const json_t *value = NULL;
        json_object_foreach((json_t *)(uintptr_t)top, key, value)
        {
            best = fmax(best, json_number_value(value));
        }
        sum += logprob;
        positive += logprob > 1e-6;
        single += json_object_size(top) < 2;
        if (json_object_size(top) > 0 && logprob < best - 1e-3) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/process: tokens[%zu].logprob is %g at temperature 0, but an "
                                "alternative has %g: tokens and log-probabilities are not aligned",
                                i, logprob, best);
        }
    }
    const double said = json_number_value(json_object_get(answer, "logprob"));
    if (positive > 0) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: tokens[].logprob is above 0 (%zu of them): these are "
                            "probabilities, not their logarithms",
                            positive);
    } else if (answer && fabs(said - sum) > 1e-3 * (1.0 + fabs(sum))) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: logprob is %g, tokens[].logprob add up to %g", said, sum);
    } else if (json_array_size(tokens) > 0 && single == json_array_size(tokens)) {
        (void)od_probe_note(probe, OD_VERDICT_WARN,
                            "/process: top_k_per_token 3 was asked for, top_logprob lists one");
    }
    json_decref(answer);
}

// R15: the tokens' texts make the text, and are no more than were asked for.
static void check_tokens(struct od_probe *probe)
{
    struct od_buf joined;
    json_t *answer = greedy(probe, STORY, LONG_ANSWER, "");
    const json_t *tokens = json_object_get(answer, "tokens");
    size_t i = 0;
    const json_t *token = NULL;
    od_buf_init(&joined, TEXT_MAX_BYTES);
    json_array_foreach(tokens, i, token)
    {
        od_buf_puts(&joined, json_string_value(json_object_get(token, "text")));
    }
    if (json_array_size(tokens) > LONG_ANSWER) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: %zu tokens where max_new_tokens is %d",
                            json_array_size(tokens), LONG_ANSWER);
    }
    if (answer && json_array_size(tokens) == 0) {
        (void)od_probe_note(probe, OD_VERDICT_SKIP, "the answer is empty");
    } else if (answer && strcmp(od_buf_text(&joined), text_of(answer)) != 0) {
        // Bytes that make no character alone are replaced one by one; blanks may be joined.
        const bool has_holes = strstr(od_buf_text(&joined), "\xef\xbf\xbd") != NULL;
        (void)od_probe_note(probe, has_holes ? OD_VERDICT_WARN : OD_VERDICT_FAIL,
                            "/process: tokens[].text make '%.60s', text is '%.60s'",
                            od_buf_text(&joined), text_of(answer));
    }
    od_buf_release(&joined);
    json_decref(answer);
}

// R15: only an explicit true echoes.
static void check_echo(struct od_probe *probe)
{
    static const char *const EXTRAS[] = {"", ", \"echo_prompt\": null", ", \"echo_prompt\": false"};
    for (size_t i = 0; i < sizeof EXTRAS / sizeof EXTRAS[0]; i++) {
        json_t *answer = greedy(probe, STORY, 4, EXTRAS[i]);
        if (answer && strncmp(text_of(answer), STORY, sizeof STORY - 1) == 0) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/process: text begins with the prompt though %s",
                                i == 0 ? "echo_prompt was not given" : EXTRAS[i] + 2);
        }
        json_decref(answer);
    }
    json_t *answer = greedy(probe, STORY, 4, ", \"echo_prompt\": true");
    if (answer && strncmp(text_of(answer), STORY, sizeof STORY - 1) != 0) {
        (void)od_probe_note(probe, OD_VERDICT_WARN,
                            "/process: echo_prompt is true, text does not begin with the prompt");
    }
    json_decref(answer);
}

/** A piece of `text` to stop at: the end of a character behind its middle, two characters long. */
static bool choose_stop(const char *text, size_t size, char stop[16])
{
    size_t at = size / 2;
    size_t end = 0;
    while (at < size &&
           (((unsigned char)text[at] & 0xC0) == 0x80 || (unsigned char)text[at] < 32)) {
        at++;
    }
    end = at;
    for (int i = 0; i < 2 && end < size; i++) {
        end++;
        while (end < size && ((unsigned char)text[end] & 0xC0) == 0x80) {
            end++;
        }
    }
    if (end - at < 2 || end - at >= 16 || memchr(text + at, '\0', end - at)) {
        return false;
    }
    memcpy(stop, text + at, end - at);
    stop[end - at] = '\0';
    return true;
}

// R13: the answer ends before a stop sequence, also one that lies across tokens.
static void check_stop(struct od_probe *probe)
{
    struct od_buf plain;
    struct od_buf stopped;
    struct od_buf extra;
    struct od_json_writer w;
    char stop[16];
    init(&plain, &stopped);
    od_buf_init(&extra, 1024);
    if (!od_probe_text(probe, STORY, LONG_ANSWER, "", &plain)) {
        goto done;
    }
    if (!choose_stop(od_buf_text(&plain), plain.size, stop)) {
        (void)od_probe_note(probe, OD_VERDICT_SKIP, "the answer is too short to stop in it");
        goto done;
    }
    od_buf_puts(&extra, ", \"stop_sequences\": ");
    od_json_writer_init(&w, &extra, OD_JSON_LINE, /* ascii= */ true);
    od_json_array_begin(&w);
    od_json_put_text(&w, "this is in no answer");
    od_json_put_text(&w, stop);
    od_json_array_end(&w);
    if (od_probe_text(probe, STORY, LONG_ANSWER, od_buf_text(&extra), &stopped)) {
        const char *found = strstr(od_buf_text(&plain), stop);
        const size_t want = found ? (size_t)(found - plain.bytes) : plain.size;
        if (strstr(od_buf_text(&stopped), stop)) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/process: stop_sequences holds '%s', text goes on behind it: "
                                "'%.100s'; the surplus is scored",
                                stop, od_buf_text(&stopped));
        } else if (stopped.size != want ||
                   memcmp(od_buf_text(&stopped), od_buf_text(&plain), want) != 0) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/process: with '%s' in stop_sequences the text is '%.60s' where "
                                "'%.*s' is due",
                                stop, od_buf_text(&stopped), want < 60 ? (int)want : 60,
                                od_buf_text(&plain));
        }
    }
done:
    od_buf_release(&extra);
    release(&plain, &stopped);
}

// R13: what HELM's client sends beyond the schema, and what it may send one day.
static void check_unknown(struct od_probe *probe)
{
    json_t *answer =
        greedy(probe, STORY, 2,
               ", \"echo_prompt\": false, \"top_k_per_token\": 5, \"stop_sequences\": []"
               ", \"num_samples\": 1, \"a_field_of_tomorrow\": {\"x\": [1]}");
    json_decref(answer);
}

// R14: an answer of one token is a letter, not a blank.
static void check_one_token(struct od_probe *probe)
{
    json_t *answer = greedy(probe, QUESTION, 1, ", \"top_k_per_token\": 5");
    const char *text = text_of(answer);
    size_t size = strlen(text);
    if (answer && json_array_size(json_object_get(answer, "tokens")) > 1) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: max_new_tokens is 1, %zu tokens came",
                            json_array_size(json_object_get(answer, "tokens")));
    }
    od_strip(&text, &size);
    if (answer && size == 0) {
        (void)od_probe_note(probe, OD_VERDICT_WARN,
                            "/process: the one token behind 'Answer:' is blank ('%.8s'): multiple "
                            "choice is scored 0; skip blank tokens in front of an answer",
                            text_of(answer));
    }
    json_decref(answer);
}

// Greedy answers repeat; temperature 1e-7 is greedy and overflows nothing.
static void check_greedy(struct od_probe *probe)
{
    struct od_buf first;
    struct od_buf second;
    init(&first, &second);
    if (od_probe_text(probe, STORY, LONG_ANSWER, "", &first) &&
        od_probe_text(probe, STORY, LONG_ANSWER, ", \"seed\": 5", &second) &&
        strcmp(od_buf_text(&first), od_buf_text(&second)) != 0) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: two answers at temperature 1e-7 differ: '%.60s' and '%.60s'",
                            od_buf_text(&first), od_buf_text(&second));
    }
    release(&first, &second);
}

// R15: a seed repeats, another gives another answer.
static void check_seed(struct od_probe *probe)
{
    struct od_buf texts[SEEDS + 1];
    int different = 0;
    bool good = true;
    for (int i = 0; i <= SEEDS; i++) {
        char body[256];
        json_t *answer = NULL;
        od_buf_init(&texts[i], TEXT_MAX_BYTES);
        (void)snprintf(body, sizeof body,
                       "{\"prompt\": \"%s\", \"temperature\": 1.0, \"max_new_tokens\": %d, "
                       "\"top_k\": 200, \"seed\": %d}",
                       STORY, LONG_ANSWER, i == SEEDS ? 1 : i + 1);
        good = good && od_probe_process(probe, body, &answer);
        od_buf_puts(&texts[i], text_of(answer));
        json_decref(answer);
    }
    for (int i = 1; i < SEEDS; i++) {
        different += strcmp(od_buf_text(&texts[0]), od_buf_text(&texts[i])) != 0;
    }
    if (good && strcmp(od_buf_text(&texts[0]), od_buf_text(&texts[SEEDS])) != 0) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/process: seed 1 gives '%.60s' and then '%.60s'",
                            od_buf_text(&texts[0]), od_buf_text(&texts[SEEDS]));
    } else if (good && different == 0) {
        (void)od_probe_note(probe, OD_VERDICT_WARN,
                            "/process: %d seeds at temperature 1 give the same text: is seed or "
                            "temperature ignored?",
                            SEEDS);
    }
    for (int i = 0; i <= SEEDS; i++) {
        od_buf_release(&texts[i]);
    }
}

// R12: what is decoded is what was encoded, and encoding it again gives no more tokens.
static void check_decode(struct od_probe *probe)
{
    static const char *const TEXTS[] = {
        "The quick brown fox jumps over the lazy dog.",
        "Question: 2 + 2 = ?\nA. 3\nB. 4\nAnswer:",
        "na\xc3\xafve caf\xc3\xa9, \xe4\xbd\xa0\xe5\xa5\xbd, \xf0\x9f\x99\x82, \xce\xb1\xce\xb2\xce\xb3",
        "  two blanks in front and two behind  ",
        "def f(x):\n    return x * 2\n\n\n# end",
    };
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) {
        json_t *ids = od_probe_ids(probe, TEXTS[i], /* truncation= */ false, 2048);
        json_t *text = ids ? od_probe_decode(probe, ids) : NULL;
        json_t *again =
            text ? od_probe_ids(probe, json_string_value(text), /* truncation= */ false, 2048)
                 : NULL;
        if (text && strcmp(json_string_value(text), TEXTS[i]) != 0) {
            const bool only_blanks = TEXTS[i][0] == ' ';
            (void)od_probe_note(probe, only_blanks ? OD_VERDICT_WARN : OD_VERDICT_FAIL,
                                "/decode of /tokenize of '%.60s' is '%.80s'", TEXTS[i],
                                json_string_value(text));
        }
        if (again && json_array_size(again) > json_array_size(ids)) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/tokenize of /decode grows from %zu to %zu tokens on '%.60s': "
                                "leave special tokens out of /decode",
                                json_array_size(ids), json_array_size(again), TEXTS[i]);
        }
        json_decref(again);
        json_decref(text);
        json_decref(ids);
    }
}

// R15: truncation and max_length are honoured, and only together.
static void check_truncation(struct od_probe *probe)
{
    json_t *all = od_probe_ids(probe, STORY, /* truncation= */ false, 2);
    json_t *cut = od_probe_ids(probe, STORY, /* truncation= */ true, 5);
    if (all && json_array_size(all) <= 5) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/tokenize: truncation is false, yet only %zu tokens came",
                            json_array_size(all));
    }
    if (cut && json_array_size(cut) > 5) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/tokenize: truncation is true and max_length 5, yet %zu tokens came: "
                            "HELM then cuts one character at a time",
                            json_array_size(cut));
    }
    for (size_t i = 0; all && i < json_array_size(cut) && i < json_array_size(all); i++) {
        if (json_integer_value(json_array_get(cut, i)) !=
                json_integer_value(json_array_get(all, i)) &&
            i + 1 < json_array_size(cut)) {  // a closing special token may be last
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/tokenize: tokens[%zu] of the cut text is another", i);
            break;
        }
    }
    json_decref(cut);
    json_decref(all);
}

// What is wrong is said with 422 and where it is.
static void check_wrong_bodies(struct od_probe *probe)
{
    static const struct {
        const char *path;
        const char *body;
    } BODIES[] = {{"/process", "{}"},
                  {"/process", "{\"prompt\": \"a\", \"max_new_tokens\": \"many\"}"},
                  {"/tokenize", "{\"truncation\": true}"},
                  {"/decode", "{\"tokens\": \"none\"}"},
                  {"/process", "{\"prompt\": "}};
    for (size_t i = 0; i < sizeof BODIES / sizeof BODIES[0]; i++) {
        json_t *answer = NULL;
        if (!od_probe_ask(probe, BODIES[i].path, BODIES[i].body, 422, &answer)) {
            continue;
        }
        const json_t *detail = json_array_get(json_object_get(answer, "detail"), 0);
        if (!json_is_array(json_object_get(detail, "loc")) ||
            !json_is_string(json_object_get(detail, "msg")) ||
            !json_is_string(json_object_get(detail, "type"))) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "POST %s %s: a 422 needs detail: a list of loc, msg and type",
                                BODIES[i].path, BODIES[i].body);
        }
        json_decref(answer);
    }
}

// Strange input is refused or answered; it is no failure of the server.
static void check_strange(struct od_probe *probe)
{
    static const char *const BODIES[] = {
        "{\"prompt\": \"a\\u0000b\", \"max_new_tokens\": 1}",
        "{\"prompt\": \"\\ud800\", \"max_new_tokens\": 1}",
        "{\"prompt\": \"\", \"max_new_tokens\": 1}",
        "{\"prompt\": \"a\", \"max_new_tokens\": 0}",
        "{\"prompt\": \"a\", \"max_new_tokens\": 1, \"temperature\": 0}",
        "{\"prompt\": \"a\", \"max_new_tokens\": 1, \"seed\": null, \"stop_sequences\": [\"\"]}",
    };
    for (size_t i = 0; i < sizeof BODIES / sizeof BODIES[0]; i++) {
        const int code = od_probe_status(probe, "/process", BODIES[i]);
        if (code >= 500) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL, "POST /process %s: status %d", BODIES[i],
                                code);
        }
    }
}

// A prompt beyond the window is refused or cut, in time, and the server lives on.
static void check_long_prompt(struct od_probe *probe)
{
    struct od_buf prompt;
    struct od_buf body;
    od_buf_init(&prompt, TEXT_MAX_BYTES);
    for (int i = 0; i < LONG_PROMPT_WORDS; i++) {
        od_buf_puts(&prompt, "word ");
    }
    od_probe_body(&body, od_buf_text(&prompt), 1, "");
    const int code = od_probe_status(probe, "/process", od_buf_text(&body));
    if (code >= 500) {
        (void)od_probe_note(probe, OD_VERDICT_WARN,
                            "/process: a prompt of %d words is answered with status %d instead of "
                            "422 or a cut prompt",
                            LONG_PROMPT_WORDS, code);
    }
    json_t *answer = greedy(probe, STORY, 2, "");
    json_decref(answer);
    od_buf_release(&body);
    od_buf_release(&prompt);
}

/** A client of the check of concurrency. */
struct client {
    pthread_t thread;
    struct od_probe probe;
    struct od_check_result result;
    char prompt[128];
    int64_t max_new;
    struct od_buf alone;
    struct od_buf crowd;
    bool good;
    atomic_bool done;
};

static void *ask_in_crowd(void *context)
{
    struct client *client = context;
    client->good =
        od_probe_text(&client->probe, client->prompt, client->max_new, "", &client->crowd);
    atomic_store(&client->done, true);
    return NULL;
}

/** All clients at the same time; the seconds it took, or -1 when a thread could not start. */
static double run_crowd(struct client *clients, size_t count)
{
    size_t started = 0;
    const double start = od_clock_s();
    for (; started < count; started++) {
        if (pthread_create(&clients[started].thread, NULL, ask_in_crowd, &clients[started]) != 0) {
            break;
        }
    }
    for (size_t i = 0; i < started; i++) {
        (void)pthread_join(clients[i].thread, NULL);
    }
    return started == count ? od_clock_s() - start : -1.0;
}

// R17: many at a time get what each gets alone, and sooner than one after another.
static void check_concurrency(struct od_probe *probe)
{
    struct client *clients = NULL;
    const int64_t wanted = probe->options->clients;
    const size_t count = wanted < 2 ? 2 : wanted > CLIENTS_MAX ? CLIENTS_MAX : (size_t)wanted;
    struct od_error err = {0};
    double alone_s = 0.0;
    clients = od_alloc(count, sizeof *clients);
    for (size_t i = 0; clients && i < count; i++) {
        struct client *client = &clients[i];
        client->probe = *probe;
        client->probe.client = NULL;
        client->probe.result = &client->result;
        client->max_new = 8 + (int64_t)(i % 4) * 8;
        init(&client->alone, &client->crowd);
        (void)snprintf(client->prompt, sizeof client->prompt, "%s there lived %zu fishermen and",
                       STORY, i + 2);
        const double start = od_clock_s();
        client->good =
            od_probe_text(probe, client->prompt, client->max_new, "", &client->alone) &&
            od_http_client_open(probe->url, probe->options->key, probe->options->ca_bundle,
                                &client->probe.client, &err) == OD_OK;
        alone_s += od_clock_s() - start;
    }
    const double crowd_s = clients ? run_crowd(clients, count) : -1.0;
    for (size_t i = 0; clients && i < count; i++) {
        struct client *client = &clients[i];
        if (!client->good) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL, "%zu requests at a time: %.300s", count,
                                client->result.message);
        } else if (strcmp(od_buf_text(&client->alone), od_buf_text(&client->crowd)) != 0) {
            (void)od_probe_note(probe, OD_VERDICT_FAIL,
                                "/process: '%.60s' is answered with '%.60s' alone and '%.60s' "
                                "beside %zu others",
                                client->prompt, od_buf_text(&client->alone),
                                od_buf_text(&client->crowd), count - 1);
        }
        od_http_client_close(client->probe.client);
        release(&client->alone, &client->crowd);
    }
    if (crowd_s > 0.95 * alone_s && alone_s > 0.5) {
        (void)od_probe_note(probe, OD_VERDICT_WARN,
                            "/process: %zu requests take %.2f s at the same time and %.2f s one "
                            "after another: they are not batched",
                            count, crowd_s, alone_s);
    }
    od_free(clients);
}

/** /tokenize again and again until another client has its long answer. */
static void ask_beside(struct od_probe *probe, struct client *busy)
{
    double worst = 0.0;
    const double start = od_clock_s();
    if (pthread_create(&busy->thread, NULL, ask_in_crowd, busy) != 0) {
        (void)od_probe_note(probe, OD_VERDICT_SKIP, "cannot start a thread");
        return;
    }
    for (int i = 0; i < TOKENIZE_TRIES || !atomic_load(&busy->done); i++) {
        const struct timespec pause = {.tv_nsec = 2000000};
        (void)nanosleep(&pause, NULL);
        const double before = od_clock_s();
        json_t *ids = od_probe_ids(probe, STORY, /* truncation= */ false, 2048);
        worst = fmax(worst, od_clock_s() - before);
        json_decref(ids);
    }
    (void)pthread_join(busy->thread, NULL);
    const double took = od_clock_s() - start;
    if (took < BUSY_S_MIN) {
        (void)od_probe_note(probe, OD_VERDICT_SKIP, "the answer came in %.2f s, too soon to tell",
                            took);
    } else if (worst > 0.5 * took) {
        (void)od_probe_note(probe, OD_VERDICT_FAIL,
                            "/tokenize took %.2f s beside an answer of %.2f s: it waits for the "
                            "model; HELM calls it for every prompt",
                            worst, took);
    }
}

// R17: /tokenize does not wait for the model.
static void check_tokenize_busy(struct od_probe *probe)
{
    struct client busy = {.probe = *probe, .max_new = 256};
    struct od_error err = {0};
    busy.probe.result = &busy.result;
    busy.probe.client = NULL;
    init(&busy.alone, &busy.crowd);
    (void)snprintf(busy.prompt, sizeof busy.prompt, "%s", STORY);
    if (od_http_client_open(probe->url, probe->options->key, probe->options->ca_bundle,
                            &busy.probe.client, &err) == OD_OK) {
        ask_beside(probe, &busy);
    } else {
        (void)od_probe_note(probe, OD_VERDICT_SKIP, "%s", err.message);
    }
    od_http_client_close(busy.probe.client);
    release(&busy.alone, &busy.crowd);
}

const struct od_check od_checks[] = {
    {"form", "a whole answer with finite numbers (R11)", check_form},
    {"logprobs", "log-probabilities belong to their tokens and add up (R15)", check_logprobs},
    {"logprobs-again", "a second pass gives the same log-probabilities (R15)", od_check_again},
    {"tokens", "the tokens' texts make the text (R15)", check_tokens},
    {"echo", "only an explicit true gives the prompt back (R15)", check_echo},
    {"stop-sequences", "the answer ends before a stop sequence (R13)", check_stop},
    {"unknown-fields", "what HELM sends beyond the schema is taken (R13)", check_unknown},
    {"one-token", "an answer of one token is a letter, not a blank (R14)", check_one_token},
    {"greedy", "answers at temperature 1e-7 repeat", check_greedy},
    {"seed", "a seed repeats, another one differs (R15)", check_seed},
    {"cuts", "top_p and top_k limit what is drawn from (R13)", od_check_cuts},
    {"samples", "num_samples gives several, each its own (R15)", od_check_samples},
    {"decode", "what is decoded is what was encoded (R12)", check_decode},
    {"truncation", "truncation and max_length are honoured (R15)", check_truncation},
    {"wrong-bodies", "wrong bodies are told with 422 and where (R11)", check_wrong_bodies},
    {"strange-input", "NUL, lone surrogates and empty prompts do not break it", check_strange},
    {"long-prompt", "a prompt beyond the window is refused or cut", check_long_prompt},
    {"concurrency", "many at a time get what each gets alone (R17)", check_concurrency},
    {"tokenize-busy", "/tokenize does not wait for the model (R17)", check_tokenize_busy},
};
const size_t od_check_count = sizeof od_checks / sizeof od_checks[0];
