/**
 * @file
 * Shared by the files that read a recipe.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_RECIPE_INTERNAL_H
#define OD_TUNE_RECIPE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "formats/yaml.h"
#include "tune/recipe.h"
#include "tune/recipe_table.h"

/** A recipe in the middle of being read. */
struct od_recipe_reader {
    struct od_recipe *recipe;
    const char *folder;  ///< that relative paths start from
    bool target_linear;  ///< lora_target_linear: true
    bool load_in_4bit;   ///< as the key says, adapter: qlora apart
    bool load_in_8bit;
    bool fp8;
    double min_lr;      ///< lr_scheduler_kwargs: min_lr; 0: absent
    size_t more_notes;  ///< notes that found no room
};

/** Names of the values, in the order of their enums. */
extern const char *const od_recipe_schedule_names[OD_SCHEDULE_COUNT];
extern const char *const od_recipe_decay_names[OD_DECAY_COUNT];
extern const char *const od_recipe_due_names[OD_DUE_COUNT];

/** The member of a recipe that a key stands for. */
static inline void *od_recipe_slot(struct od_recipe *recipe, const struct od_recipe_key *key)
{
    return (char *)recipe + key->offset;
}
static inline const void *od_recipe_const_slot(const struct od_recipe *recipe,
                                               const struct od_recipe_key *key)
{
    return (const char *)recipe + key->offset;
}

/** Fail with `status` and "NAME:line:column: " in front of the message. */
enum od_status od_recipe_fail(const struct od_yaml_node *node, enum od_status status,
                              struct od_error *err, const char *format, ...) OD_PRINTF(4, 5);
/** Fail for an unknown name, with the nearest of those that are known unless it is NULL. */
enum od_status od_recipe_fail_unknown(const struct od_yaml_node *at, const char *what,
                                      const char *name, const char *nearest, struct od_error *err);
/** Keep a text in the recipe's arena. */
enum od_status od_recipe_keep(struct od_recipe_reader *r, const char *text, const char **ret,
                              struct od_error *err) OD_MUST_CHECK;
/** Note what has no effect; the last place of the notes is for the number of those without room. */
enum od_status od_recipe_note(struct od_recipe_reader *r, struct od_error *err, const char *format,
                              ...) OD_PRINTF(3, 4) OD_MUST_CHECK;
/** Keep a path, made absolute. */
enum od_status od_recipe_read_path(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   const char **ret, struct od_error *err) OD_MUST_CHECK;

/** Keep a text; and one that must name a chat template, be Jinja text or `jinja`. */
enum od_status od_recipe_read_text(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                   const char **ret, struct od_error *err) OD_MUST_CHECK;
enum od_status od_recipe_read_template(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                       const char **ret, struct od_error *err) OD_MUST_CHECK;
/** Conversations whose file names no template take the recipe's. */
enum od_status od_recipe_set_templates(const struct od_yaml_node *root, struct od_recipe *recipe,
                                       struct od_error *err) OD_MUST_CHECK;

/** Read a list of data files, see recipe_data.c. */
enum od_status od_recipe_read_datasets(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                       struct od_dataset_spec specs[OD_DATASET_FILES_MAX],
                                       size_t *ret_count, struct od_error *err) OD_MUST_CHECK;
/** Append a list of data files under its key. */
void od_recipe_put_datasets(const char *key, const struct od_dataset_spec *specs, size_t count,
                            struct od_buf *out);

/** Read the value of a key into the recipe. */
enum od_status od_recipe_read_value(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                    const struct od_recipe_key *key,
                                    struct od_error *err) OD_MUST_CHECK;
/** The same for a key without effect (a note) or one that is refused. */
enum od_status od_recipe_read_unused(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                     const struct od_recipe_key *key,
                                     struct od_error *err) OD_MUST_CHECK;
/** The value of `export:`. */
enum od_status od_recipe_read_exports(struct od_recipe_reader *r, const struct od_yaml_node *node,
                                      struct od_error *err) OD_MUST_CHECK;
/** Once all keys are read: exports that the recipe's run can have. */
enum od_status od_recipe_check_exports(const struct od_recipe *recipe,
                                       const struct od_yaml_node *root,
                                       struct od_error *err) OD_MUST_CHECK;
/** lora_target_modules: all seven linear layers of a block. */
void od_recipe_target_all(struct od_recipe *recipe);
/** The same besides the layers that the recipe names. */
void od_recipe_target_linear(struct od_recipe *recipe);

#endif
