/**
 * @file
 * Checkpoints: the whole state of a session in a folder that is there whole or not at all.
 *
 * @thread One owner.
 */
#ifndef OD_TUNE_CHECKPOINT_H
#define OD_TUNE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "tune/session.h"

/** What a checkpoint says beside weights and moments. */
struct od_checkpoint_state {
    struct od_place place;
    double train_s;    ///< spent so far, all restarts together
    double elapsed_s;  ///< of all processes of the run together, see tune/budget.h
    bool out_of_time;  ///< the budget's time was over: no step follows
    double first_loss;
    double eval_loss;      ///< the newest
    double best_loss;      ///< the lowest evaluation loss
    int64_t best_step;     ///< where it was; -1: no evaluation yet
    int64_t worse;         ///< evaluations since, none of them better
    uint64_t weight_hash;  ///< of the trained weights
    char inputs[65];       ///< SHA-256 over what must be equal to go on: recipe, data, base weights
};

/** Write `folder`/step-N; older ones beyond `keep` are removed (0 keeps all), but not that of step
 *  `protect` (-1: none). */
enum od_status od_checkpoint_write(const struct od_session *session, const char *folder,
                                   const struct od_checkpoint_state *state, int64_t keep,
                                   int64_t protect, struct od_error *err) OD_MUST_CHECK;

/** As od_checkpoint_write, of what od_session_fetch has brought to the host: the card is left alone. */
enum od_status od_checkpoint_write_fetched(const struct od_session *session, const char *folder,
                                           const struct od_checkpoint_state *state, int64_t keep,
                                           int64_t protect, struct od_error *err) OD_MUST_CHECK;

/**
 * Restore the newest checkpoint in `folder` whose manifest verifies into `session`. *ret_found is
 * false when there is none. Broken ones are passed over with a warning.
 * @error OD_E_REFUSED when `inputs` differs.
 */
enum od_status od_checkpoint_read(struct od_session *session, const char *folder,
                                  const char *inputs, struct od_checkpoint_state *ret,
                                  bool *ret_found, struct od_error *err) OD_MUST_CHECK;

/** As od_checkpoint_read, of those before step `before`. */
enum od_status od_checkpoint_read_before(struct od_session *session, const char *folder,
                                         int64_t before, const char *inputs,
                                         struct od_checkpoint_state *ret, bool *ret_found,
                                         struct od_error *err) OD_MUST_CHECK;
/** Bring the trained weights of `folder`/step-`step` into `session`, moments and place apart: for an
 *  export. @error OD_E_FORMAT when its manifest does not verify. */
enum od_status od_checkpoint_weights(struct od_session *session, const char *folder, int64_t step,
                                     struct od_error *err) OD_MUST_CHECK;

/** Step of the newest good checkpoint, or -1: for messages, without reading weights. */
int64_t od_checkpoint_newest(const char *folder);

#endif
