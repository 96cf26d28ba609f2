/**
 * @file
 * The algorithm of each matrix product of a run on a GPU: kept in the run's device.json, and for
 * the card in the user's cache.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_RUN_ALGORITHMS_H
#define OD_TUNE_RUN_ALGORITHMS_H

#include <stdbool.h>

#include "base/status.h"
#include "tune/session.h"

/**
 * On a GPU: the run's own algorithms when it goes on, else those that this card is known by; what is
 * new is measured, except in a run that goes on. Nothing to do on the CPU.
 */
enum od_status od_run_choose_algorithms(struct od_session *session, const char *run_dir,
                                        bool resume, struct od_error *err) OD_MUST_CHECK;

#endif
