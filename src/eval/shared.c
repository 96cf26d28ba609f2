#include "eval/shared.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/perturbations/tables.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"

void od_shared_init(struct od_shared *shared)
{
    *shared = (struct od_shared){0};
    (void)pthread_mutex_init(&shared->lock, NULL);
    (void)pthread_mutex_init(&shared->tables_lock, NULL);
    od_perturbation_tables_init(&shared->tables);
}

static void free_data(struct od_shared_data *data)
{
    od_instances_release(&data->instances);
    (void)pthread_mutex_destroy(&data->lock);
    od_free(data);
}

// Free what no run uses but `kept`. Under the lock of the list.
static void free_unused(struct od_shared *shared, const struct od_shared_data *kept)
{
    for (struct od_shared_data **at = &shared->first; *at;) {
        struct od_shared_data *data = *at;
        if (data->users == 0 && data != kept) {
            *at = data->next;
            free_data(data);
        } else {
            at = &data->next;
        }
    }
}

void od_shared_release(struct od_shared *shared)
{
    free_unused(shared, NULL);
    od_perturbation_tables_release(&shared->tables);
    (void)pthread_mutex_destroy(&shared->tables_lock);
    (void)pthread_mutex_destroy(&shared->lock);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_arg(const struct od_spec_arg *a, const struct od_spec_arg *b)
{
    bool same =
        same_text(a->key, b->key) && same_text(a->text, b->text) && a->list_count == b->list_count;
    for (size_t i = 0; same && i < a->list_count; i++) {
        same = same_text(a->list[i], b->list[i]);
    }
    return same;
}

// True when both runs load the same instances: these follow from scenario and arguments.
static bool same_data(const struct od_run_spec *a, const struct od_run_spec *b)
{
    bool same = a->scenario == b->scenario && a->scenario_arg_count == b->scenario_arg_count;
    for (size_t i = 0; same && i < a->scenario_arg_count; i++) {
        same = same_arg(&a->scenario_args[i], &b->scenario_args[i]);
    }
    return same;
}

// The data set of `spec`, read or not, with a user more; NULL without memory.
static struct od_shared_data *find_or_add(struct od_shared *shared, const struct od_run_spec *spec)
{
    (void)pthread_mutex_lock(&shared->lock);
    struct od_shared_data *data = shared->first;
    while (data && !same_data(data->spec, spec)) {
        data = data->next;
    }
    if (!data && (data = od_alloc(1, sizeof *data)) != NULL) {
        data->spec = spec;
        (void)pthread_mutex_init(&data->lock, NULL);
        od_instances_init(&data->instances);
        data->next = shared->first;
        shared->first = data;
    }
    if (data) {
        data->users++;
    }
    (void)pthread_mutex_unlock(&shared->lock);
    return data;
}

enum od_status od_shared_data_get(struct od_shared *shared, const struct od_run_spec *spec,
                                  const char *data, struct od_shared_data **ret,
                                  struct od_error *err)
{
    enum od_status status = OD_OK;
    struct od_shared_data *found = find_or_add(shared, spec);
    if (!found) {
        return od_fail(err, OD_E_MEMORY, "no memory for a data set");
    }
    (void)pthread_mutex_lock(&found->lock);
    if (!found->is_read) {
        status = spec->scenario->load(spec, data, &found->instances, err);
        found->is_read = status == OD_OK;
        if (status != OD_OK) {
            od_instances_release(&found->instances);
            od_instances_init(&found->instances);
        }
    }
    (void)pthread_mutex_unlock(&found->lock);
    if (status != OD_OK) {
        od_shared_data_release(shared, found);
        return status;
    }
    *ret = found;
    return OD_OK;
}

void od_shared_data_release(struct od_shared *shared, struct od_shared_data *data)
{
    (void)pthread_mutex_lock(&shared->lock);
    data->users--;
    free_unused(shared, data);
    (void)pthread_mutex_unlock(&shared->lock);
}

enum od_status od_shared_tables_get(struct od_shared *shared, const char *data,
                                    const struct od_perturbation_tables **ret, struct od_error *err)
{
    enum od_status status = OD_OK;
    (void)pthread_mutex_lock(&shared->tables_lock);
    if (!shared->tables_are_read) {
        status = od_perturbation_tables_read(&shared->tables, data, err);
        shared->tables_are_read = status == OD_OK;
        if (status != OD_OK) {
            od_perturbation_tables_release(&shared->tables);
            od_perturbation_tables_init(&shared->tables);
        }
    }
    (void)pthread_mutex_unlock(&shared->tables_lock);
    if (status == OD_OK) {
        *ret = &shared->tables;
    }
    return status;
}
