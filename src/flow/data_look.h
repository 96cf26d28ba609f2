/**
 * @file
 * What `oneday data` prints: data files, or those of a recipe, looked at with a model's tokenizer.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FLOW_DATA_LOOK_H
#define OD_FLOW_DATA_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "text/tokenizer.h"
#include "tune/recipe.h"

/** What is said beside the files; of no meaning for a recipe, which says it all. */
struct od_look_options {
    const char *type;           ///< name; NULL: seen in the first row
    const char *tokenizer;      ///< model folder; NULL: none
    const char *chat_template;  ///< name or Jinja text; NULL: the model's own
    const char *columns;  ///< names of the columns of a table without names; NULL: it has them
    int64_t sequence_len;
};

/** Files that are looked at. Everything is private. */
struct od_look {
    struct od_recipe recipe;        ///< all zero without one
    struct od_dataset_spec *specs;  ///< [count]
    size_t count;
    bool guess_type;
    struct od_tokenizer *tokenizer;  ///< NULL: none
    struct od_dataset_options options;
};

/**
 * Open one recipe (a file that ends in .yaml or .yml) or `count` data files.
 * @memory Keeps `paths` and what `options` points to. Gives: od_look_close.
 */
enum od_status od_look_open(const char *const *paths, size_t count,
                            const struct od_look_options *options, struct od_look *ret,
                            struct od_error *err) OD_MUST_CHECK;
/** One that is all zero is fine. */
void od_look_close(struct od_look *look);

/** Describe every file: rows, members, what becomes documents, lengths in tokens. */
enum od_status od_look_inspect(const struct od_look *look, bool json, struct od_buf *out,
                               struct od_error *err) OD_MUST_CHECK;

/** Show the ids, texts and labels of a row, and whether serving makes the same ids of its prompts.
 *  `colour`: for a terminal, as running text. @error OD_E_ARGUMENT without a tokenizer. */
enum od_status od_look_preview(const struct od_look *look, int64_t file, int64_t row, bool json,
                               bool colour, struct od_buf *out, struct od_error *err) OD_MUST_CHECK;

#endif
