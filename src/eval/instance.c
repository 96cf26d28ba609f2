#include "eval/instance.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

const char *od_split_name(enum od_split split)
{
    static const char *const names[] = {"train", "valid", "test"};
    return names[split];
}

bool od_perturbation_same(const struct od_perturbation *a, const struct od_perturbation *b)
{
    if (!a || !b) {
        return a == b;
    }
    return a == b || (a->robustness == b->robustness && a->fairness == b->fairness &&
                      strcmp(a->name, b->name) == 0 && strcmp(a->computed_on, b->computed_on) == 0);
}

size_t od_instance_first_correct(const struct od_instance *instance)
{
    size_t i = 0;
    while (i < instance->reference_count && !instance->references[i].correct) {
        i++;
    }
    return i;
}

void od_instances_init(struct od_instances *list)
{
    *list = (struct od_instances){0};
    od_arena_init(&list->arena, OD_INSTANCES_MAX_BYTES);
}

void od_instances_release(struct od_instances *list)
{
    od_free(list->items);
    od_arena_release(&list->arena);
    *list = (struct od_instances){0};
}

enum od_status od_instances_add(struct od_instances *list, const char *input, enum od_split split,
                                size_t reference_count, struct od_instance **ret,
                                struct od_error *err)
{
    enum { FIRST = 256 };
    char id[32];
    if (list->count >= OD_INSTANCES_MAX || reference_count > OD_REFERENCES_MAX) {
        return od_fail(err, OD_E_LIMIT, "more than %d instances or %d references", OD_INSTANCES_MAX,
                       OD_REFERENCES_MAX);
    }
    if (list->count == list->capacity) {
        const size_t capacity = list->capacity == 0 ? FIRST : list->capacity * 2;
        struct od_instance *items = od_realloc(list->items, capacity, sizeof *items);
        if (!items) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu instances", capacity);
        }
        list->items = items;
        list->capacity = capacity;
    }
    (void)snprintf(id, sizeof id, "id%zu", list->count);
    struct od_instance *instance = &list->items[list->count];
    *instance = (struct od_instance){
        .input = od_arena_strdup(&list->arena, input),
        .references = od_arena_alloc(&list->arena, reference_count, sizeof *instance->references),
        .reference_count = reference_count,
        .split = split,
        .id = od_arena_strdup(&list->arena, id)};
    if (!instance->input || !instance->references || !instance->id) {
        return od_fail(err, OD_E_MEMORY, "no memory for the text of the instances");
    }
    list->count++;
    *ret = instance;
    return OD_OK;
}
