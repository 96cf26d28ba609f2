/**
 * @file
 * What the runs of an evaluation share, so that it is read once: instances of a data set, which runs
 * with other numbers of examples ask, too, and the tables of perturbations.
 *
 * Instances are held while a run uses them; of those that none uses the last ones stay, since runs of
 * the same data follow each other.
 *
 * @thread Locked: one lock for the list, one for each data set and one for the tables, never two at
 *         the same time.
 */
#ifndef OD_EVAL_SHARED_H
#define OD_EVAL_SHARED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "eval/instance.h"
#include "eval/perturbations/tables.h"
#include "eval/run_spec.h"

/** A data set. */
struct od_shared_data {
    const struct od_run_spec *spec;  ///< of the run that it was first read for
    size_t users;                    ///< under the lock of the list
    struct od_shared_data *next;     ///< likewise
    pthread_mutex_t lock;            ///< for what follows while it is read, and for its arena
    bool is_read;
    struct od_instances instances;
};

/** Initialise with od_shared_init. */
struct od_shared {
    pthread_mutex_t lock;  ///< for the list
    struct od_shared_data *first;
    pthread_mutex_t tables_lock;
    bool tables_are_read;
    struct od_perturbation_tables tables;
};
void od_shared_init(struct od_shared *shared);
/** Free everything, when no run uses anything any more. */
void od_shared_release(struct od_shared *shared);

/**
 * The instances of a run's data set below the folder `data`.
 * @memory Shares *ret: od_shared_data_release. Keeps `spec`, which outlives `shared`.
 * @error  What reading fails with; another run tries again.
 */
enum od_status od_shared_data_get(struct od_shared *shared, const struct od_run_spec *spec,
                                  const char *data, struct od_shared_data **ret,
                                  struct od_error *err) OD_MUST_CHECK;
void od_shared_data_release(struct od_shared *shared, struct od_shared_data *data);

/** The tables of the folder `data`. @memory Borrowed from `shared`. */
enum od_status od_shared_tables_get(struct od_shared *shared, const char *data,
                                    const struct od_perturbation_tables **ret,
                                    struct od_error *err) OD_MUST_CHECK;

#endif
