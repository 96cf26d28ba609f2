// Goal: what TensorBoard shows of a run is what its log says, also of a run that was killed and went on,
// and writing it changes nothing else.
// Method: tiny runs, whole and killed; a reader of event files that drops what a restart makes void, as
// TensorBoard does (tests/oracle/tensorboard_events.py recorded that), beside log.jsonl.

#include "tune/run_board.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "support.h"
#include "tune/run.h"
#include "tune/run_world.h"

enum { CURVE_MAX = 256, TAG_BYTES = 64, FILE_MAX_BYTES = 1 << 20, STEPS = 12 };

/** One point of one curve. */
struct point {
    char tag[TAG_BYTES];
    int64_t step;
    float value;
};

struct curves {
    struct point points[CURVE_MAX];
    int count;
};

/** Bytes that are read from the front. */
struct reader {
    const unsigned char *at;
    const unsigned char *end;
};

static uint64_t take_number(struct reader *r, int bytes)
{
    uint64_t value = 0;
    assert_true(r->end - r->at >= bytes);
    for (int i = 0; i < bytes; i++) {
        value |= (uint64_t)*r->at++ << (8 * i);
    }
    return value;
}

static uint64_t take_varint(struct reader *r)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert_true(r->at < r->end && shift < 64);
        value |= (uint64_t)(*r->at & 0x7F) << shift;
        if ((*r->at++ & 0x80) == 0) {
            return value;
        }
    }
}

static struct reader take_bytes(struct reader *r)
{
    const uint64_t size = take_varint(r);
    assert_true(size <= (uint64_t)(r->end - r->at));
    const struct reader part = {r->at, r->at + size};
    r->at += size;
    return part;
}

static void take_value(struct reader part, int64_t step, struct curves *curves)
{
    struct point *point = &curves->points[curves->count++];
    assert_true(curves->count < CURVE_MAX);
    assert_true(take_varint(&part) == (1 << 3 | 2));
    const struct reader tag = take_bytes(&part);
    (void)snprintf(point->tag, sizeof point->tag, "%.*s", (int)(tag.end - tag.at),
                   (const char *)tag.at);
    assert_true(take_varint(&part) == (2 << 3 | 5));
    const uint32_t bits = (uint32_t)take_number(&part, 4);
    memcpy(&point->value, &bits, sizeof bits);
    point->step = step;
    assert_true(part.at == part.end);
}

static void drop_from(struct curves *curves, int64_t step)
{
    int kept = 0;
    for (int i = 0; i < curves->count; i++) {
        if (curves->points[i].step < step) {
            curves->points[kept++] = curves->points[i];
        }
    }
    curves->count = kept;
}

static void take_event(struct reader event, struct curves *curves)
{
    int64_t step = 0;
    while (event.at < event.end) {
        const uint64_t key = take_varint(&event);
        if (key == (1 << 3 | 1)) {
            (void)take_number(&event, 8);
        } else if (key == (2 << 3 | 0)) {
            step = (int64_t)take_varint(&event);
        } else if (key == (3 << 3 | 2)) {
            (void)take_bytes(&event);
        } else if (key == (7 << 3 | 2)) {
            (void)take_bytes(&event);
            drop_from(curves, step);
        } else {
            assert_true(key == (5 << 3 | 2));
            struct reader summary = take_bytes(&event);
            while (summary.at < summary.end) {
                assert_true(take_varint(&summary) == (1 << 3 | 2));
                take_value(take_bytes(&summary), step, curves);
            }
        }
    }
}

static uint32_t unmasked(uint64_t crc)
{
    const uint32_t turned = (uint32_t)crc - UINT32_C(0xa282ead8);
    return turned << 15 | turned >> 17;
}

// A file's records; one that is cut off at the end of the file is what a kill leaves.
static void take_file(const char *path, struct curves *curves)
{
    struct od_error err = {0};
    char *bytes = NULL;
    size_t size = 0;
    assert_ok(od_file_read(path, FILE_MAX_BYTES, &bytes, &size, &err), &err);
    struct reader r = {(const unsigned char *)bytes, (const unsigned char *)bytes + size};
    while (r.end - r.at >= 12) {
        const unsigned char *head = r.at;
        const uint64_t length = take_number(&r, 8);
        assert_true(unmasked(take_number(&r, 4)) == od_crc32c(head, 8));
        if (length + 4 > (uint64_t)(r.end - r.at)) {
            break;
        }
        const struct reader event = {r.at, r.at + length};
        r.at += length;
        assert_true(unmasked(take_number(&r, 4)) == od_crc32c(event.at, length));
        take_event(event, curves);
    }
    od_free(bytes);
}

static int take_folder(const char *world, const char *name, struct curves *curves)
{
    struct od_error err = {0};
    char dir[OD_PATH_MAX_BYTES];
    char board[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
    char **names = NULL;
    size_t count = 0;
    world_join(dir, world, name);
    world_join(board, dir, "tensorboard");
    assert_ok(od_dir_list(board, &names, &count, &err), &err);
    curves->count = 0;
    for (size_t i = 0; i < count; i++) {
        world_join(path, board, names[i]);
        take_file(path, curves);
    }
    od_names_free(names, count);
    return (int)count;
}

// The only point of a curve at a step.
static float value_at(const struct curves *curves, const char *tag, int64_t step)
{
    int found = -1;
    for (int i = 0; i < curves->count; i++) {
        if (curves->points[i].step == step && strcmp(curves->points[i].tag, tag) == 0) {
            assert_int_equal(found, -1);
            found = i;
        }
    }
    if (found < 0) {
        fail_msg("no %s at step %lld", tag, (long long)step);
    }
    return curves->points[found].value;
}

// Every number of the log is a point, and there are no others.
static void assert_as_log(const char *world, const char *name, const struct curves *curves)
{
    static const struct {
        const char *key;
        const char *tag;
    } pairs[] = {{"loss", "train/loss"},
                 {"lr", "train/learning_rate"},
                 {"grad_norm", "train/grad_norm"},
                 {"epoch", "train/epoch"},
                 {"eval_loss", "eval/loss"}};
    char *log = world_log_of(world, name);
    int points = 0;
    for (char *line = log; *line != '\0';) {
        struct od_error err = {0};
        json_t *values = NULL;
        char *end = strchr(line, '\n');
        *end = '}';  // where the line's times were cut off
        assert_ok(od_json_parse(line, (size_t)(end - line) + 1, "line", &values, &err), &err);
        const int64_t step = json_integer_value(json_object_get(values, "step"));
        const bool evaluation = json_object_get(values, "eval_loss") != NULL;
        for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
            const json_t *value = json_object_get(values, pairs[i].key);
            if (value && !(evaluation && strcmp(pairs[i].key, "epoch") == 0)) {
                assert_true(value_at(curves, pairs[i].tag, step) ==
                            (float)json_number_value(value));
                points++;
            }
        }
        if (!evaluation) {
            assert_true(value_at(curves, "train/tokens_per_second", step) > 0.0F);
            points++;
        }
        json_decref(values);
        line = end + 1;
    }
    assert_int_equal(points, curves->count);
    od_free(log);
}

static const char more[] = "val_set_size: 0.1\neval_steps: 3\n";

static void same_as_the_log(void **state)
{
    (void)state;
    struct curves curves;
    struct od_tune_result alone;
    struct od_tune_result result;
    struct od_error err = {0};
    char text[1024];
    char path[OD_PATH_MAX_BYTES];
    const char *world = world_make(world_lora, more);
    assert_ok(world_run(world, "alone", false, 1, true, &alone, &err), &err);
    world_join(path, world, "alone/tensorboard");
    assert_false(od_path_exists(path));
    (void)snprintf(
        text, sizeof text,
        "%smax_steps: 12\nlearning_rate: 0.003\nsave_steps: 2\n%suse_tensorboard: true\n",
        world_lora, more);
    world_recipe(world, text);
    assert_ok(world_run(world, "board", false, 1, true, &result, &err), &err);
    assert_true(result.weight_hash == alone.weight_hash);
    assert_int_equal(take_folder(world, "board", &curves), 1);
    assert_as_log(world, "board", &curves);
    assert_true(value_at(&curves, "eval/loss", STEPS) == (float)result.eval_loss);
}

static void killed_and_gone_on(void **state)
{
    (void)state;
    struct curves curves;
    char text[1024];
    const char *world = world_make(world_lora, more);
    (void)snprintf(
        text, sizeof text,
        "%smax_steps: 12\nlearning_rate: 0.003\nsave_steps: 4\n%suse_tensorboard: true\n",
        world_lora, more);
    world_recipe(world, text);
    for (int lines = 2; lines < 14; lines += 3) {
        struct od_tune_result result;
        struct od_error err = {0};
        char name[32];
        (void)snprintf(name, sizeof name, "killed-%d", lines);
        world_run_and_kill(world, name, false, lines);
        world_run_and_kill(world, name, true, lines + 2);
        assert_ok(world_run(world, name, true, 1, true, &result, &err), &err);
        // The second process may be killed before it begins its file.
        assert_in_range(take_folder(world, name, &curves), 2, 3);
        assert_as_log(world, name, &curves);
    }
}

// A run that loses the file goes on; one that cannot begin it does not start.
static void not_writable(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_run_board board = {.file = {.fd = -1}};
    const struct od_eval_report evaluation = {.loss = 1.5};
    const char *folder = test_folder();
    char path[OD_PATH_MAX_BYTES];
    assert_ok(od_run_board_open(&board, folder, 0, &err), &err);
    const int fd = board.file.fd;
    od_run_board_evaluation(&board, 1, &evaluation);
    assert_true(board.file.fd == fd);
    od_run_board_close(&board);
    od_run_board_evaluation(&board, 2, &evaluation);  // does nothing
    assert_true(board.file.fd < 0);

    // A full disk: the file ends in half a record, and what stands before it is still read.
    struct curves curves = {.count = 0};
    assert_ok(od_run_board_open(&board, folder, 0, &err), &err);
    (void)snprintf(path, sizeof path, "%s", board.file.path);
    od_run_board_evaluation(&board, 3, &evaluation);
    od_file_fail_at(1);
    od_run_board_evaluation(&board, 4, &evaluation);
    od_file_fail_at(0);
    assert_true(board.file.fd < 0);
    take_file(path, &curves);
    assert_int_equal(curves.count, 1);
    assert_true(value_at(&curves, "eval/loss", 3) == 1.5F);

    world_join(path, folder, "run");
    assert_ok(od_dir_make(path, &err), &err);
    world_put(path, "tensorboard", "a file");
    assert_int_equal(od_run_board_open(&board, path, 0, &err), OD_E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(same_as_the_log),
                                       cmocka_unit_test(killed_and_gone_on),
                                       cmocka_unit_test(not_writable)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
