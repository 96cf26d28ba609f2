// Writes the toy world's files into a folder: base.txt to pre-train on, tune.jsonl to fine-tune
// on, and evaluation sets in the layouts of MMLU and GSM8K, whose questions stand in neither.
//
//     toyworld DIR [--seed N] [--base-bytes N] [--tune-rows N] [--test-rows N] [--shots N]
//                  [--mix N,N,N,N,N,N,N] [--no-base]
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "base_text.h"
#include "formats/json.h"
#include "questions.h"
#include "world.h"

enum {
    STREAM_TUNE = 200,
    STREAM_TEST = 300,
    STREAM_TRAIN = 400,
    DEV_ROWS = 5,
    VAL_ROWS = 5,
    TRAIN_ROWS = 200,
    SHOTS_MAX = 16,
    NUMBER_MAX = 1 << 28
};

#define TEXT_MAX_BYTES ((size_t)1 << 29)

/** What the command line says. */
struct settings {
    const char *folder;
    int64_t seed;
    int64_t base_bytes;
    int64_t tune_rows;  ///< of each kind
    int64_t test_rows;  ///< of each kind
    int64_t shots;      ///< examples in a prompt of tune.jsonl: 0 .. shots
    uint32_t mix[TW_DOCUMENTS];
    bool no_base;
};

/** The texts that are written, kept for the check at the end. */
struct texts {
    struct od_buf base;
    struct od_buf tune;
};

static enum od_status write_file(const char *folder, const char *name, const struct od_buf *text,
                                 struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = od_buf_check(text, err);
    if (status == OD_OK) {
        status = od_path_join(path, folder, name, err);
    }
    return status == OD_OK ? od_file_write(path, od_buf_text(text), text->size, err) : status;
}

// A row: what HELM sends with 0 to `shots` examples in front, and what is to come.
static void put_tune_row(struct od_buf *out, const struct tw_world *world, enum tw_kind kind,
                         int64_t shots, struct tw_random *random)
{
    struct tw_question q;
    struct od_buf prompt;
    struct od_buf answer;
    struct od_json_writer w;
    od_buf_init(&prompt, TEXT_MAX_BYTES);
    od_buf_init(&answer, TEXT_MAX_BYTES);
    tw_put_instructions(&prompt, kind);
    for (uint32_t left = tw_below(random, (uint32_t)shots + 1); left > 0; left--) {
        tw_ask_any(world, kind, random, &q);
        tw_put_block(&prompt, &q, /* with_answer= */ true);
    }
    tw_ask_any(world, kind, random, &q);
    tw_put_block(&prompt, &q, /* with_answer= */ false);
    tw_put_answer(&answer, &q);
    od_json_writer_init(&w, out, OD_JSON_LINE, /* ascii= */ true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "input", od_buf_text(&prompt));
    od_json_member_text(&w, "output", od_buf_text(&answer));
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
    out->failed = out->failed || prompt.failed || answer.failed;
    od_buf_release(&prompt);
    od_buf_release(&answer);
}

static void put_csv_row(struct od_buf *out, const struct tw_question *q)
{
    od_buf_printf(out, "\"%s\"", q->text);  // no text has a quote inside
    for (uint32_t i = 0; i < TW_CHOICES; i++) {
        od_buf_printf(out, ",%s", q->choice[i]);
    }
    od_buf_printf(out, ",%c\n", 'A' + (int)q->right);
}

static void put_gsm_row(struct od_buf *out, const struct tw_question *q)
{
    char answer[64];
    struct od_json_writer w;
    (void)snprintf(answer, sizeof answer, "%s\n#### %d", q->work, q->result);
    od_json_writer_init(&w, out, OD_JSON_LINE, /* ascii= */ true);
    od_json_object_begin(&w);
    od_json_member_text(&w, "question", q->text);
    od_json_member_text(&w, "answer", answer);
    od_json_object_end(&w);
    od_buf_putc(out, '\n');
}

static void put_row(struct od_buf *out, const struct tw_question *q)
{
    if (q->kind == TW_KIND_STORY) {
        put_gsm_row(out, q);
    } else {
        put_csv_row(out, q);
    }
}

// Does another question of the first `count` have the same text and the same choices?
static bool is_repeated(const struct tw_question *questions, size_t count)
{
    const struct tw_question *last = &questions[count];
    for (size_t i = 0; i < count; i++) {
        bool same = strcmp(questions[i].text, last->text) == 0;
        for (uint32_t k = 0; same && k < TW_CHOICES; k++) {
            same = strcmp(questions[i].choice[k], last->choice[k]) == 0;
        }
        if (same) {
            return true;
        }
    }
    return false;
}

// Held-out facts in a drawn order, again and again with other choices until there are enough.
static enum od_status ask_tests(const struct settings *s, const struct tw_world *world,
                                enum tw_kind kind, struct tw_question **ret, struct od_error *err)
{
    struct tw_random random = {.seed = (uint64_t)s->seed, .stream = STREAM_TEST + (uint32_t)kind};
    const uint32_t facts = tw_fact_count(kind, /* held= */ true);
    const size_t count = (size_t)s->test_rows;
    struct tw_question *questions = od_alloc(count, sizeof *questions);
    if (kind != TW_KIND_STORY && count > facts) {
        od_free(questions);
        return od_fail(err, OD_E_ARGUMENT, "at most %u rows: so many animals are held out", facts);
    }
    if (!questions) {
        return od_fail(err, OD_E_MEMORY, "no memory for %zu questions", count);
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t fact = (uint32_t)od_permute(i % facts, facts, random.seed, random.stream);
        // A sum may be asked again with other people; a fact about an animal is asked once.
        do {
            tw_ask(world, kind, /* held= */ true, fact, &random, &questions[i]);
        } while (kind == TW_KIND_STORY && is_repeated(questions, i));
    }
    *ret = questions;
    return OD_OK;
}

// No question of evaluation, and no held-out sum, may stand in a text for training.
static enum od_status check_apart(const struct tw_question *questions, size_t count,
                                  const struct texts *texts, struct od_error *err)
{
    const struct od_buf *const all[] = {&texts->base, &texts->tune};
    for (size_t i = 0; i < count; i++) {
        const char *const needles[] = {questions[i].text,
                                       questions[i].work[0] ? questions[i].work : NULL};
        for (size_t k = 0; k < 4; k++) {
            const struct od_buf *text = all[k / 2];
            const char *needle = needles[k % 2];
            if (needle && text->size > 0 &&
                memmem(text->bytes, text->size, needle, strlen(needle))) {
                return od_fail(err, OD_E_REFUSED, "'%s' of evaluation stands in a training text",
                               needle);
            }
        }
    }
    return OD_OK;
}

static enum od_status write_rows(const struct settings *s, const struct tw_world *world,
                                 enum tw_kind kind, const char *name, int64_t rows,
                                 struct od_error *err)
{
    struct tw_random random = {.seed = (uint64_t)s->seed,
                               .stream = STREAM_TRAIN + (uint32_t)kind * 16 + (uint32_t)rows % 16};
    struct od_buf text;
    od_buf_init(&text, TEXT_MAX_BYTES);
    random.stream += name[0] == 'v' ? 1 : 0;
    for (int64_t i = 0; i < rows; i++) {
        struct tw_question q;
        tw_ask_any(world, kind, &random, &q);
        put_row(&text, &q);
    }
    char path[OD_PATH_MAX_BYTES];
    if (kind == TW_KIND_STORY) {
        (void)snprintf(path, sizeof path, "data/gsm8k/%s.jsonl", name);
    } else {
        (void)snprintf(path, sizeof path, "data/mmlu/data/%s/%s_%s.csv", name, tw_kind_names[kind],
                       name);
    }
    const enum od_status status = write_file(s->folder, path, &text, err);
    od_buf_release(&text);
    return status;
}

static enum od_status write_tests(const struct settings *s, const struct tw_world *world,
                                  enum tw_kind kind, const struct texts *texts,
                                  struct od_error *err)
{
    char path[OD_PATH_MAX_BYTES];
    struct tw_question *questions = NULL;
    struct od_buf text;
    od_buf_init(&text, TEXT_MAX_BYTES);
    enum od_status status = ask_tests(s, world, kind, &questions, err);
    if (status == OD_OK) {
        status = check_apart(questions, (size_t)s->test_rows, texts, err);
    }
    if (status == OD_OK) {
        for (int64_t i = 0; i < s->test_rows; i++) {
            put_row(&text, &questions[i]);
        }
        if (kind == TW_KIND_STORY) {
            (void)snprintf(path, sizeof path, "data/gsm8k/test.jsonl");
        } else {
            (void)snprintf(path, sizeof path, "data/mmlu/data/test/%s_test.csv",
                           tw_kind_names[kind]);
        }
        status = write_file(s->folder, path, &text, err);
    }
    od_buf_release(&text);
    od_free(questions);
    return status;
}

static enum od_status write_training(const struct settings *s, const struct tw_world *world,
                                     struct texts *texts, struct od_error *err)
{
    struct tw_random random = {.seed = (uint64_t)s->seed, .stream = STREAM_TUNE};
    enum od_status status = OD_OK;
    tw_put_base_text(&texts->base, world, (uint64_t)s->seed, s->mix, (size_t)s->base_bytes);
    for (int64_t i = 0; i < s->tune_rows * TW_KINDS; i++) {
        put_tune_row(&texts->tune, world, (enum tw_kind)(i % TW_KINDS), s->shots, &random);
    }
    if (!s->no_base) {
        status = write_file(s->folder, "base.txt", &texts->base, err);
    }
    return status == OD_OK ? write_file(s->folder, "tune.jsonl", &texts->tune, err) : status;
}

static enum od_status write_world(const struct settings *s, struct texts *texts,
                                  struct od_error *err)
{
    static const char *const folders[] = {"data/mmlu/data/dev", "data/mmlu/data/val",
                                          "data/mmlu/data/test", "data/gsm8k"};
    struct tw_world *world = od_alloc(1, sizeof *world);
    char path[OD_PATH_MAX_BYTES];
    enum od_status status = world ? OD_OK : od_fail(err, OD_E_MEMORY, "no memory for the world");
    for (size_t i = 0; status == OD_OK && i < sizeof folders / sizeof folders[0]; i++) {
        status = od_path_join(path, s->folder, folders[i], err);
        if (status == OD_OK) {
            status = od_dir_make(path, err);
        }
    }
    if (status == OD_OK) {
        tw_world_init(world, (uint64_t)s->seed);
        status = write_training(s, world, texts, err);
    }
    for (uint32_t k = 0; status == OD_OK && k < TW_KINDS; k++) {
        const enum tw_kind kind = (enum tw_kind)k;
        if (kind == TW_KIND_STORY) {
            status = write_rows(s, world, kind, "train", TRAIN_ROWS, err);
        } else {
            status = write_rows(s, world, kind, "dev", DEV_ROWS, err);
            if (status == OD_OK) {
                status = write_rows(s, world, kind, "val", VAL_ROWS, err);
            }
        }
        if (status == OD_OK) {
            status = write_tests(s, world, kind, texts, err);
        }
    }
    od_free(world);
    return status;
}

static bool read_mix(const char *text, uint32_t mix[TW_DOCUMENTS])
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < TW_DOCUMENTS; i++) {
        char *end = NULL;
        const unsigned long value = strtoul(text, &end, 10);
        if (end == text || value > 1000 || *end != (i + 1 < TW_DOCUMENTS ? ',' : '\0')) {
            return false;
        }
        mix[i] = (uint32_t)value;
        sum += mix[i];
        text = end + 1;
    }
    return sum > 0;
}

static bool read_arguments(int argc, char **argv, struct settings *s)
{
    struct {
        const char *name;
        int64_t *value;
        int64_t min;
        int64_t max;
    } const numbers[] = {{"--seed", &s->seed, 0, NUMBER_MAX},
                         {"--base-bytes", &s->base_bytes, 0, NUMBER_MAX},
                         {"--tune-rows", &s->tune_rows, 1, NUMBER_MAX},
                         {"--test-rows", &s->test_rows, 1, 2000},
                         {"--shots", &s->shots, 0, SHOTS_MAX}};
    for (int i = 1; i < argc; i++) {
        bool known = false;
        if (argv[i][0] != '-' && !s->folder) {
            s->folder = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--no-base") == 0) {
            s->no_base = true;
            continue;
        }
        if (strcmp(argv[i], "--mix") == 0 && i + 1 < argc && read_mix(argv[i + 1], s->mix)) {
            i++;
            continue;
        }
        for (size_t k = 0; !known && k < sizeof numbers / sizeof numbers[0]; k++) {
            known = i + 1 < argc && strcmp(argv[i], numbers[k].name) == 0 &&
                    od_parse_int(argv[i + 1], numbers[k].value) &&
                    *numbers[k].value >= numbers[k].min && *numbers[k].value <= numbers[k].max;
        }
        if (!known) {
            (void)fprintf(stderr, "toyworld: cannot use '%s'\n", argv[i]);
            return false;
        }
        i++;
    }
    return s->folder != NULL;
}

int main(int argc, char **argv)
{
    struct od_error err = {0};
    struct texts texts;
    struct settings s = {
        .seed = 1, .base_bytes = 5000000, .tune_rows = 700, .test_rows = 240, .shots = 1};
    memcpy(s.mix, tw_default_mix, sizeof s.mix);
    if (!read_arguments(argc, argv, &s)) {
        (void)fprintf(stderr,
                      "usage: toyworld DIR [--seed N] [--base-bytes N] [--tune-rows N] "
                      "[--test-rows N] [--shots N] [--mix N,N,N,N,N,N,N] [--no-base]\n");
        return 2;
    }
    od_buf_init(&texts.base, TEXT_MAX_BYTES);
    od_buf_init(&texts.tune, TEXT_MAX_BYTES);
    const enum od_status status = write_world(&s, &texts, &err);
    if (status != OD_OK) {
        (void)fprintf(stderr, "toyworld: %s\n", err.message);
    }
    od_buf_release(&texts.base);
    od_buf_release(&texts.tune);
    return od_status_exit_code(status);
}
