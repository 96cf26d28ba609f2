/**
 * @file
 * The tables that HELM's canonical perturbations read, from the folder `helm` inside of the folder
 * of the data or beside it:
 *
 *     correct_to_misspelling.json   {"word": ["misspelling", ...], ...}, order of keys counts
 *     SAE_to_AAVE_mapping.json      {"word": ["variant", ...], ...}, keys in lower case
 *     person_names.txt              a line a name: NAME,first_name|last_name[,CATEGORY,VALUE]...
 *
 * Contractions and pronouns are part of the program.
 *
 * @source HELM 2023-11: augmentations.
 * @thread Re-entrant: tables do not change once they are read and may be shared.
 */
#ifndef OD_EVAL_PERTURBATIONS_TABLES_H
#define OD_EVAL_PERTURBATIONS_TABLES_H

#include <jansson.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/perturbations/words.h"

enum { OD_PERSON_NAMES_MAX = 1 << 12, OD_PRONOUN_PASSES = 5 };

/** A first name that is replaced. */
struct od_person_name {
    const char *name;            ///< lower case
    const char *const *options;  ///< what may stand for it, in file order
    size_t option_count;         ///< 0: it is left as it is
};

/** All tables. Initialise with od_perturbation_tables_init. */
struct od_perturbation_tables {
    struct od_word_table contractions;
    struct od_word_table misspellings;
    struct od_word_table dialect;
    struct od_word_table pronouns[OD_PRONOUN_PASSES];  ///< one word each, applied in turn
    struct od_person_name *names;
    size_t name_count;
    json_t *files[2];       ///< private: hold the words
    struct od_arena arena;  ///< private
};
void od_perturbation_tables_init(struct od_perturbation_tables *tables);
void od_perturbation_tables_release(struct od_perturbation_tables *tables);

/**
 * Read the tables for the data in the folder `data`.
 * @error OD_E_NOT_FOUND when a file is missing; OD_E_FORMAT and OD_E_LIMIT with file and place.
 */
enum od_status od_perturbation_tables_read(struct od_perturbation_tables *tables, const char *data,
                                           struct od_error *err) OD_MUST_CHECK;

/** Read the names in `text` [size] as those of the file `path` (in messages). */
enum od_status od_person_names_parse(struct od_perturbation_tables *tables, const char *text,
                                     size_t size, const char *path,
                                     struct od_error *err) OD_MUST_CHECK;

#endif
