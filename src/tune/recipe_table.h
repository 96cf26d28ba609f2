/**
 * @file
 * The keys that a recipe may have: name, type, range, default, what it does. One table drives
 * reading, writing and the reference page.
 *
 * @thread Re-entrant: constant data.
 */
#ifndef OD_TUNE_RECIPE_TABLE_H
#define OD_TUNE_RECIPE_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"

/** What the value of a key is. */
enum od_recipe_kind {
    // Simple values, kept at `offset`.
    OD_RECIPE_INT,       ///< int64_t
    OD_RECIPE_NUMBER,    ///< double
    OD_RECIPE_STEPS,     ///< double: a whole number of steps, or a share of them below 1
    OD_RECIPE_BOOL,      ///< bool
    OD_RECIPE_SEED,      ///< uint64_t
    OD_RECIPE_PATH,      ///< const char *
    OD_RECIPE_DUE,       ///< enum od_due
    OD_RECIPE_TEXT,      ///< const char *
    OD_RECIPE_TEMPLATE,  ///< const char *: the name of a chat template
    // Values with a reader of their own.
    OD_RECIPE_BASE_MODEL,
    OD_RECIPE_ADAPTER,
    OD_RECIPE_LOAD_IN_4BIT,
    OD_RECIPE_LOAD_IN_8BIT,
    OD_RECIPE_FP8,
    OD_RECIPE_TARGETS,
    OD_RECIPE_TARGET_LINEAR,
    OD_RECIPE_LAYERS,
    OD_RECIPE_SAVED,
    OD_RECIPE_WEIGHTS,
    OD_RECIPE_DATASETS,
    OD_RECIPE_TEST_DATASETS,
    OD_RECIPE_OPTIMIZER,
    OD_RECIPE_SCHEDULER,
    OD_RECIPE_SCHEDULER_KWARGS,
    OD_RECIPE_SPECIAL_TOKENS,
    OD_RECIPE_EXPORT,
    OD_RECIPE_BUDGET,
    // Keys of a data file.
    OD_RECIPE_DATA_PATH,
    OD_RECIPE_DATA_TYPE,
    OD_RECIPE_DATA_WEIGHT,
    OD_RECIPE_DATA_SPLIT,
    OD_RECIPE_DATA_TEXT,      ///< const char *, kept at `offset` in struct od_dataset_spec
    OD_RECIPE_DATA_TEMPLATE,  ///< the same: the name of a chat template
    OD_RECIPE_DATA_MAX_ROWS,
    OD_RECIPE_DATA_MAPPINGS,        ///< names of the members of a message
    OD_RECIPE_DATA_ROLES,           ///< names of roles: those that are known
    OD_RECIPE_DATA_ROLES_TO_TRAIN,  ///< the assistant
    // Known keys of axolotl and PEFT that have no place here.
    OD_RECIPE_NO_EFFECT,  ///< results are the same without: a note, `help` says why
    OD_RECIPE_REFUSED     ///< would change the result: only empty values and `fallback` are taken
};
enum { OD_RECIPE_KIND_COUNT = OD_RECIPE_REFUSED + 1 };

/** One key. */
struct od_recipe_key {
    const char *name;
    const char *alias;  ///< PEFT's or the trainer's name for the same, or NULL
    enum od_recipe_kind kind;
    size_t offset;         ///< in struct od_recipe, or of a data file in struct od_dataset_spec
    double min;            ///< of a number
    double max;            ///< of a number
    bool above;            ///< `min` itself is not allowed
    bool lora;             ///< means something only with `adapter: lora`
    const char *fallback;  ///< value when the key is absent; NULL: none
    const char *type;      ///< in words, where kind and range do not say it
    const char *help;      ///< one sentence without a full stop
};

/** The table, in the order in which a recipe is written. */
extern const struct od_recipe_key od_recipe_keys[];
/** How many keys the table has. */
extern const size_t od_recipe_key_count;

/** Keys of an entry of `datasets`. */
extern const struct od_recipe_key od_recipe_data_keys[];
/** How many. */
extern const size_t od_recipe_data_key_count;

/** The key with this name or alias, or NULL. @memory Borrowed: constant. */
const struct od_recipe_key *od_recipe_key_find(const char *name);
const struct od_recipe_key *od_recipe_data_key_find(const char *name);
/** The known key nearest to `name`, or NULL; of those equally near, one that is honoured. */
const char *od_recipe_key_nearest(const char *name);
const char *od_recipe_data_key_nearest(const char *name);

/** Append the reference page of all keys, in Markdown. */
void od_recipe_reference(struct od_buf *out);
/** Append all keys as one JSON document: name, class (honoured, no_effect, refused), type, default,
 *  what it does. */
void od_recipe_reference_json(struct od_buf *out);

#endif
