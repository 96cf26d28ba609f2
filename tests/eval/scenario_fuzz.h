/**
 * @file
 * What the fuzz targets of scenarios share: the input becomes the one file of a data folder, which a
 * run spec then reads.
 *
 * @thread One owner.
 */
#ifndef OD_TESTS_EVAL_SCENARIO_FUZZ_H
#define OD_TESTS_EVAL_SCENARIO_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "eval/instance.h"
#include "eval/run_spec.h"
#include "eval/scenario.h"

/** A data folder with one file. Initialise with `{.name = ..., .below = ...}`. */
struct scenario_fuzz {
    const char *below;               ///< folder of the file, "bbq"
    const char *name;                ///< of the file, "Age.jsonl"
    char folder[OD_PATH_MAX_BYTES];  ///< private: made by the first call
    char parent[OD_PATH_MAX_BYTES];
    char path[OD_PATH_MAX_BYTES];
};

static struct scenario_fuzz *scenario_fuzz_made;  // removed at exit

static void scenario_fuzz_remove(void)
{
    const enum od_status ignored = od_dir_remove(scenario_fuzz_made->folder, NULL);
    (void)ignored;
}

static void scenario_fuzz_make(struct scenario_fuzz *fuzz)
{
    if (od_dir_make_temporary("oneday-fuzz", fuzz->folder, NULL) != OD_OK ||
        od_path_join(fuzz->parent, fuzz->folder, fuzz->below, NULL) != OD_OK ||
        od_dir_make(fuzz->parent, NULL) != OD_OK ||
        od_path_join(fuzz->path, fuzz->parent, fuzz->name, NULL) != OD_OK) {
        abort();
    }
    scenario_fuzz_made = fuzz;
    (void)atexit(scenario_fuzz_remove);
}

static void scenario_fuzz_check(const struct od_instances *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct od_instance *instance = &list->items[i];
        if (!instance->input || !instance->id || instance->reference_count > OD_REFERENCES_MAX) {
            abort();
        }
        for (size_t r = 0; r < instance->reference_count; r++) {
            if (!instance->references[r].text) {
                abort();
            }
        }
    }
}

/** Write the input, make the run spec of `description`, load its instances, check what came. */
static void scenario_fuzz_load(struct scenario_fuzz *fuzz, const char *description,
                               const uint8_t *data, size_t size)
{
    struct od_arena arena;
    struct od_instances list;
    struct od_run_specs specs = {0};
    struct od_error err = {0};
    if (fuzz->folder[0] == '\0') {
        scenario_fuzz_make(fuzz);
    }
    FILE *file = fopen(fuzz->path, "wb");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) {
        abort();
    }
    const struct od_run_options options = {.data = fuzz->folder};
    od_arena_init(&arena, (size_t)64 << 20);
    od_instances_init(&list);
    enum od_status status = od_run_specs_make(description, &options, &arena, &specs, &err);
    if (status == OD_OK) {
        status = specs.items[0].scenario->load(&specs.items[0], fuzz->folder, &list, &err);
    }
    if (status == OD_OK) {
        scenario_fuzz_check(&list);
    } else if (err.message[0] == '\0') {
        abort();
    }
    od_instances_release(&list);
    od_arena_release(&arena);
}

#endif
