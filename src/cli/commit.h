/**
 * @file
 * Which commit this program was built from.
 *
 * @thread No state.
 */
#ifndef OD_CLI_COMMIT_H
#define OD_CLI_COMMIT_H

/** The first digits of its name, or "unknown" outside a repository. */
extern const char od_commit[];

#endif
