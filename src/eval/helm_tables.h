/**
 * @file
 * Where the tables are that HELM or NLTK come with and this program does not: in the folder `helm`
 * inside of the folder of the data or beside it.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_HELM_TABLES_H
#define OD_EVAL_HELM_TABLES_H

#include "base/file.h"
#include "base/status.h"

/** The folder of NLTK's tables of sentences. */
#define OD_HELM_SENTENCES "punkt_tab/english"

/**
 * Write the path of the table `name` (a file or a folder) for the data in the folder `data`.
 * @param what  What needs it, for the message.
 * @error OD_E_NOT_FOUND when it is in neither place, OD_E_LIMIT for a path that is too long.
 */
enum od_status od_helm_table_find(const char *data, const char *name, const char *what,
                                  char ret_path[OD_PATH_MAX_BYTES],
                                  struct od_error *err) OD_MUST_CHECK;

#endif
