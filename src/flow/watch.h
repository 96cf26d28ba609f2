/**
 * @file
 * A live page of a run over HTTP: loss, learning rate, speed, end time, evaluations, power and
 * memory of a GPU, from the files that the run writes anyway.
 *
 *     GET /        the page
 *     GET /live    the part of it that changes
 *
 * The run itself knows nothing of it. A request reads what log.jsonl got since the last one, on the
 * server's own thread and with a lower priority than the run's; nothing is done while nobody looks.
 *
 * @thread open and close: one owner.
 */
#ifndef OD_FLOW_WATCH_H
#define OD_FLOW_WATCH_H

#include "base/status.h"

struct od_watch;

/** What to watch, and where to listen. */
struct od_watch_options {
    const char *run_dir;  ///< need not exist yet
    const char *host;     ///< name or address
    int port;             ///< 0: any that is free
};

/**
 * Listen and answer until od_watch_close.
 * @memory Gives: od_watch_close. Copies `options`.
 * @error  OD_E_IO when the address cannot be listened on, OD_E_NOT_FOUND for an unknown host,
 *         OD_E_MEMORY, OD_E_LIMIT.
 */
enum od_status od_watch_open(const struct od_watch_options *options, struct od_watch **ret,
                             struct od_error *err) OD_MUST_CHECK;

/** The port that is listened on. */
int od_watch_port(const struct od_watch *watch);

/** NULL is allowed. @memory Takes `watch`. */
void od_watch_close(struct od_watch *watch);

#endif
