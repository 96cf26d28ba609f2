#include "eval/sampling.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "eval/instance.h"

enum od_status od_sample_eval(const struct od_instances *list, bool has_max, int64_t max_instances,
                              size_t **ret, size_t *ret_count, struct od_error *err)
{
    size_t *pool = od_alloc(list->count, sizeof *pool);
    size_t *chosen = NULL;
    int64_t *order = NULL;
    size_t count = 0;
    enum od_status status = OD_OK;
    struct od_mt19937 mt;

    if (!pool) {
        return od_fail(err, OD_E_MEMORY, "no memory to choose instances");
    }
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].split != OD_SPLIT_TRAIN) {
            pool[count++] = i;
        }
    }
    if (!has_max || count <= (size_t)max_instances) {
        *ret = pool;
        *ret_count = count;
        return OD_OK;
    }
    chosen = od_alloc((size_t)max_instances, sizeof *chosen);
    order = od_alloc(count, sizeof *order);
    if (!chosen || !order) {
        status = od_fail(err, OD_E_MEMORY, "no memory to choose instances");
        goto done;
    }
    od_mt_seed_numpy(&mt, 0);
    od_np_permutation(&mt, order, count);
    for (size_t i = 0; i < (size_t)max_instances; i++) {
        chosen[i] = pool[order[i]];
    }
    *ret = chosen;
    *ret_count = (size_t)max_instances;
    chosen = NULL;

done:
    od_free(order);
    od_free(chosen);
    od_free(pool);
    return status;
}

// A train instance with its label; `place` keeps data order within a label.
struct labelled {
    const char *label;
    size_t place;
};

// The instances of one label: items[first .. first + count) of the sorted list.
struct group {
    size_t first;
    size_t count;  // left to draw
    size_t size;   // at the start
};

static int by_label(const void *left, const void *right)
{
    const struct labelled *a = left;
    const struct labelled *b = right;
    const int order = strcmp(a->label, b->label);  // bytes of UTF-8 sort as code points
    if (order != 0) {
        return order;
    }
    return (a->place > b->place) - (a->place < b->place);
}

// What is drawn from, in the order of HELM's steps.
struct draw {
    struct labelled *items;
    size_t item_count;
    struct group *groups;
    size_t group_count;
    int64_t *order;  // of the groups
    size_t *unlabelled;
    size_t unlabelled_count;
    struct od_mt19937 mt;
};

static void collect(struct draw *draw, const struct od_instances *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct od_instance *instance = &list->items[i];
        const size_t right = od_instance_first_correct(instance);
        if (instance->split != OD_SPLIT_TRAIN) {
            continue;
        }
        if (right < instance->reference_count) {
            draw->items[draw->item_count++] =
                (struct labelled){instance->references[right].text, i};
        } else {
            draw->unlabelled[draw->unlabelled_count++] = i;
        }
    }
    qsort(draw->items, draw->item_count, sizeof *draw->items, by_label);
    for (size_t i = 0; i < draw->item_count; i++) {
        if (i == 0 || strcmp(draw->items[i - 1].label, draw->items[i].label) != 0) {
            draw->groups[draw->group_count++] = (struct group){i, 0, 0};
        }
        draw->groups[draw->group_count - 1].count++;
        draw->groups[draw->group_count - 1].size++;
    }
}

static size_t next_size_below(const struct draw *draw, size_t limit)
{
    size_t best = 0;
    for (size_t i = 0; i < draw->group_count; i++) {
        if (draw->groups[i].size < limit && draw->groups[i].size > best) {
            best = draw->groups[i].size;
        }
    }
    return best;
}

// Labels from the most frequent on; those of one frequency are shuffled among themselves.
static void order_labels(struct draw *draw)
{
    size_t done = 0;
    for (size_t size = next_size_below(draw, SIZE_MAX); size > 0;
         size = next_size_below(draw, size)) {
        const size_t first = done;
        for (size_t i = 0; i < draw->group_count; i++) {
            if (draw->groups[i].size == size) {
                draw->order[done++] = (int64_t)i;
            }
        }
        od_py_shuffle(&draw->mt, draw->order + first, done - first);
    }
}

static size_t pop(struct draw *draw, struct group *group)
{
    const size_t at = (size_t)od_py_randbelow(&draw->mt, group->count);
    struct labelled *items = draw->items + group->first;
    const size_t place = items[at].place;
    memmove(&items[at], &items[at + 1], (group->count - at - 1) * sizeof *items);
    group->count--;
    return place;
}

static enum od_status draw_examples(struct draw *draw, size_t want, size_t *chosen,
                                    struct od_error *err)
{
    size_t got = 0;
    for (size_t turn = 0; got < want && got < draw->item_count; turn++) {
        struct group *group = &draw->groups[draw->order[turn % draw->group_count]];
        if (draw->items[group->first].label[0] == '\0') {
            break;  // HELM takes an empty label for the end of the labels
        }
        if (group->count > 0) {
            chosen[got++] = pop(draw, group);
        }
    }
    int64_t *rest = od_alloc(want - got, sizeof *rest);
    if (!rest) {
        return od_fail(err, OD_E_MEMORY, "no memory to choose examples");
    }
    const enum od_status status =
        od_py_sample(&draw->mt, draw->unlabelled_count, want - got, rest, err);
    for (size_t i = 0; status == OD_OK && got < want; i++) {
        chosen[got++] = draw->unlabelled[rest[i]];
    }
    od_free(rest);
    return status;
}

enum od_status od_sample_examples(const struct od_instances *list, int64_t max_examples,
                                  int64_t trial, size_t **ret, size_t *ret_count,
                                  struct od_error *err)
{
    struct draw draw = {0};
    size_t *chosen = NULL;
    size_t want = 0;
    enum od_status status = OD_OK;

    draw.items = od_alloc(list->count, sizeof *draw.items);
    draw.groups = od_alloc(list->count, sizeof *draw.groups);
    draw.order = od_alloc(list->count, sizeof *draw.order);
    draw.unlabelled = od_alloc(list->count, sizeof *draw.unlabelled);
    if (!draw.items || !draw.groups || !draw.order || !draw.unlabelled) {
        status = od_fail(err, OD_E_MEMORY, "no memory to choose examples");
        goto done;
    }
    collect(&draw, list);
    want = draw.item_count + draw.unlabelled_count;
    if (want > (size_t)max_examples) {
        want = (size_t)max_examples;
    }
    chosen = od_alloc(want, sizeof *chosen);
    if (!chosen) {
        status = od_fail(err, OD_E_MEMORY, "no memory to choose examples");
        goto done;
    }
    od_mt_seed_python_int(&draw.mt, (uint64_t)trial);
    order_labels(&draw);
    status = draw_examples(&draw, want, chosen, err);
    if (status == OD_OK) {
        *ret = chosen;
        *ret_count = want;
        chosen = NULL;
    }

done:
    od_free(chosen);
    od_free(draw.unlabelled);
    od_free(draw.order);
    od_free(draw.groups);
    od_free(draw.items);
    return status;
}
