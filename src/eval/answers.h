/**
 * @file
 * Answers kept in a file as they come, so that an evaluation that was killed goes on where it was.
 *
 * An answer is found again by a digest of the run's name, the place of the request in it, and the
 * whole request: when entries, data or settings change, requests that are the same keep their
 * answers and all others are asked. The file names the model that answered; answers of another one
 * are dropped. Since a server can change its model behind its URL, the first answer that is found
 * again is asked once more: when the new one differs, all kept answers are dropped, too.
 *
 * The format is at the top of answers.c. A line is in the file before the answer is used, so a killed
 * process loses nothing; the file is synced once a second, so a machine that loses power loses the
 * answers of that second. A torn last line is cut off.
 *
 * @thread Locked: any thread; one lock for the file, one that is held while the first answer is asked
 *         once more (taken before the other).
 */
#ifndef OD_EVAL_ANSWERS_H
#define OD_EVAL_ANSWERS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "infer/responder.h"

/** Its name in a suite's folder. */
#define OD_ANSWERS_FILE      "answers_oneday.log"
/** Largest file of kept answers that is read. */
#define OD_ANSWERS_MAX_BYTES ((size_t)2 << 30)

/** Which request of an evaluation. */
struct od_answer_place {
    const char *run;  ///< name
    size_t index;     ///< of the request, in request order
};

struct od_answers;

/**
 * Open the file `path`, or make it, for answers of `model`.
 * @memory Gives: od_answers_close. Keeps nothing of the arguments.
 * @error  OD_E_REFUSED while another process has it open; OD_E_IO, OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_answers_open(const char *path, const char *model, struct od_answers **ret,
                               struct od_error *err) OD_MUST_CHECK;
/** How many answers of an earlier process are there to be found. */
size_t od_answers_kept(const struct od_answers *answers);
/** How many of them were found so far. */
size_t od_answers_found(const struct od_answers *answers);

/**
 * Look for the answer of an earlier process. The first one that is found is asked once more.
 * @param result    Initialised; filled when *ret_found.
 * @error What the responder fails with when it is asked; OD_E_IO, OD_E_MEMORY.
 */
enum od_status od_answers_find(struct od_answers *answers, const struct od_responder *responder,
                               const struct od_answer_place *place,
                               const struct od_process_request *request,
                               struct od_process_result *result, bool *ret_found,
                               struct od_error *err) OD_MUST_CHECK;
/**
 * Append an answer. One with a number that is not finite is passed over: it will be asked again.
 * @error OD_E_IO when the file cannot be written; OD_E_MEMORY.
 */
enum od_status od_answers_keep(struct od_answers *answers, const struct od_answer_place *place,
                               const struct od_process_request *request,
                               const struct od_process_result *result,
                               struct od_error *err) OD_MUST_CHECK;

/** Close the file and leave it, for a later process. NULL is fine. */
void od_answers_close(struct od_answers *answers);
/** Close the file and remove it: everything is done. */
enum od_status od_answers_finish(struct od_answers *answers, struct od_error *err) OD_MUST_CHECK;

#endif
