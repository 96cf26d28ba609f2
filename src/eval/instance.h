/**
 * @file
 * What a scenario yields: instances with references, as HELM knows them.
 *
 * @source HELM 2023-11: scenarios.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_EVAL_INSTANCE_H
#define OD_EVAL_INSTANCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

enum {
    OD_INSTANCES_MAX = 1 << 20,
    OD_REFERENCES_MAX = 1024,
};
/** Text of all instances of one scenario. */
#define OD_INSTANCES_MAX_BYTES ((size_t)1 << 30)

/** Which part of a data set an instance comes from. Valid and test are evaluated. */
enum od_split { OD_SPLIT_TRAIN, OD_SPLIT_VALID, OD_SPLIT_TEST };

/** HELM's word for a split: train, valid, test. */
const char *od_split_name(enum od_split split);

/** What kind of value a detail of a perturbation has. */
enum od_detail_kind { OD_DETAIL_TEXT, OD_DETAIL_NUMBER, OD_DETAIL_FLAG };

/** A setting of a perturbation, written to HELM's files. */
struct od_perturbation_detail {
    const char *key;
    enum od_detail_kind kind;
    const char *text;
    double number;
    bool flag;
};

/** How an instance was changed, or what a statistic was computed on. Compared by value. */
struct od_perturbation {
    const char *name;
    bool robustness;
    bool fairness;
    const char *computed_on;                       ///< perturbed, original or worst
    const struct od_perturbation_detail *details;  ///< follow from `name`, so they are not compared
    size_t detail_count;
};

/** True when both are NULL or all fields are equal. */
bool od_perturbation_same(const struct od_perturbation *a, const struct od_perturbation *b);

/** A possible answer. */
struct od_reference {
    const char *text;
    bool correct;             ///< its tags contain `correct`
    const char *const *tags;  ///< tags behind `correct`; NULL when there are none
    size_t tag_count;
};

/** A question with its answers. */
struct od_instance {
    const char *input;
    struct od_reference *references;
    size_t reference_count;
    enum od_split split;
    const char *id;                              ///< id0, id1, ... over all splits
    const struct od_perturbation *perturbation;  ///< NULL: as the data set has it
};

/** Index of the first correct reference, or `reference_count` when there is none. */
size_t od_instance_first_correct(const struct od_instance *instance);

/** A growing list of instances; all text hangs off its arena. */
struct od_instances {
    struct od_instance *items;
    size_t count;
    size_t capacity;  ///< private
    struct od_arena arena;
};
void od_instances_init(struct od_instances *list);
void od_instances_release(struct od_instances *list);

/**
 * Append an instance with a copy of `input` and room for `reference_count` references, whose text
 * the caller fills from `list->arena`. The id is "id" and the position in the list.
 * @memory Borrows `input`; *ret is lent until the next call.
 * @error  OD_E_LIMIT past OD_INSTANCES_MAX, OD_REFERENCES_MAX or OD_INSTANCES_MAX_BYTES;
 *         OD_E_MEMORY.
 */
enum od_status od_instances_add(struct od_instances *list, const char *input, enum od_split split,
                                size_t reference_count, struct od_instance **ret,
                                struct od_error *err) OD_MUST_CHECK;

#endif
