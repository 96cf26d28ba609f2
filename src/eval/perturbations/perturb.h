/**
 * @file
 * HELM's canonical perturbations: what a question looks like in bad spelling, in a dialect, about
 * a woman, about people of other names.
 *
 *     mild_mix      robustness   input only: lower case, contractions, misspellings, blanks
 *     dialect       fairness     Standard American English to African-American Vernacular English
 *     gender        fairness     male pronouns to female ones
 *     person_name   fairness     first names, of the same gender
 *
 * Each variant of an instance draws from Python's generator seeded with the instance's id, so a
 * variant depends on nothing but the instance and the tables. References are changed first, then
 * the input. A variant whose input is as before is left out where HELM does so.
 *
 * @source HELM 2023-11: augmentations.
 * @thread Re-entrant: distinct arenas from distinct threads.
 */
#ifndef OD_EVAL_PERTURBATIONS_PERTURB_H
#define OD_EVAL_PERTURBATIONS_PERTURB_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"
#include "eval/perturbations/tables.h"

/** The perturbations, in the order in which variants follow their original. */
enum od_perturbation_kind {
    OD_PERTURB_MILD_MIX,
    OD_PERTURB_DIALECT,
    OD_PERTURB_GENDER,
    OD_PERTURB_PERSON_NAME,
    OD_PERTURB_COUNT
};

/** A set of perturbations that a description can name: a bit 1 << kind for each. */
struct od_augmentation {
    const char *name;
    unsigned kinds;
};

/** The set called `name` (canonical, robustness, fairness), or NULL. */
const struct od_augmentation *od_augmentation_find(const char *name);

/** What HELM's files say about a perturbation. */
const struct od_perturbation *od_perturbation_of(enum od_perturbation_kind kind);

/**
 * A variant of `instance`: the same id, split and right answers, changed texts.
 * @memory Texts come from `arena` or belong to `instance`.
 * @error  OD_E_MEMORY, or OD_E_LIMIT for a text that grows beyond all bounds.
 */
enum od_status od_perturb(const struct od_perturbation_tables *tables,
                          enum od_perturbation_kind kind, const struct od_instance *instance,
                          struct od_arena *arena, struct od_instance *ret,
                          struct od_error *err) OD_MUST_CHECK;

/**
 * The instances list->items[chosen[0 .. count)], each with its variants right behind it.
 * @param keep_unchanged  Also those whose input is as before (HELM finds no two inputs equal whose
 *                        classes differ, which happens to passages with questions).
 * @memory Gives *ret: free with od_free. Texts of variants come from `list->arena`.
 */
enum od_status od_augment(const struct od_perturbation_tables *tables, unsigned kinds,
                          bool keep_unchanged, struct od_instances *list, const size_t *chosen,
                          size_t count, struct od_instance **ret, size_t *ret_count,
                          struct od_error *err) OD_MUST_CHECK;

#endif
