/**
 * @file
 * Files: read whole, write so that a reader never sees half, folders, paths.
 *
 * A file is written beside its place (`NAME.tmp-PID`), fsync'd, renamed, and the folder fsync'd:
 * after a crash at any moment either the old or the new file is there.
 *
 * @thread Re-entrant. od_file_fail_at is for tests.
 */
#ifndef OD_BASE_FILE_H
#define OD_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { OD_PATH_MAX_BYTES = 4096 };

/**
 * Read a file of at most `max_bytes` into memory, a NUL behind the last byte. Standard errors:
 * OD_E_NOT_FOUND, OD_E_IO, OD_E_LIMIT, OD_E_MEMORY.
 * @memory Gives *ret_bytes: free with od_free.
 */
enum od_status od_file_read(const char *path, size_t max_bytes, char **ret_bytes, size_t *ret_size,
                            struct od_error *err) OD_MUST_CHECK;

/** Replace (or make) the file `path` by `size` bytes, atomically. */
enum od_status od_file_write(const char *path, const void *bytes, size_t size,
                             struct od_error *err) OD_MUST_CHECK;

/** Copy the file `name` from one folder to the other, when it is there; nothing happens when not. */
enum od_status od_file_copy_optional(const char *from, const char *to, const char *name,
                                     size_t max_bytes, struct od_error *err) OD_MUST_CHECK;

/** A file being written; see od_writer_open. Initialise with `{.fd = -1}`. */
struct od_writer {
    int fd;                        ///< private
    char path[OD_PATH_MAX_BYTES];  ///< final name
    char temp[OD_PATH_MAX_BYTES];  ///< name while it is written
};

/** Start a file that appears under `path` only when od_writer_commit succeeds. */
enum od_status od_writer_open(struct od_writer *writer, const char *path,
                              struct od_error *err) OD_MUST_CHECK;
enum od_status od_writer_write(struct od_writer *writer, const void *bytes, size_t size,
                               struct od_error *err) OD_MUST_CHECK;
/**
 * fsync, rename, fsync the folder. On failure the old file stays and nothing else is left behind;
 * when only the sync of the folder failed, the new file is in place.
 */
enum od_status od_writer_commit(struct od_writer *writer, struct od_error *err) OD_MUST_CHECK;
/** Drop what was written; does nothing after a commit. */
void od_writer_abort(struct od_writer *writer);

/** Make a folder and its parents; one that exists is fine. */
enum od_status od_dir_make(const char *path, struct od_error *err) OD_MUST_CHECK;
/** Make a private folder NAME-(six letters) in $TMPDIR, else in /tmp. */
enum od_status od_dir_make_temporary(const char *name, char ret[OD_PATH_MAX_BYTES],
                                     struct od_error *err) OD_MUST_CHECK;
/** Remove a folder with all that is in it (does not follow links); one that is absent is fine. */
enum od_status od_dir_remove(const char *path, struct od_error *err) OD_MUST_CHECK;
/** fsync a folder, so that a rename in it survives a crash. */
enum od_status od_dir_sync(const char *path, struct od_error *err) OD_MUST_CHECK;
/** Names in a folder, without . and .., sorted by bytes. @memory Gives: od_names_free. */
enum od_status od_dir_list(const char *path, char ***ret_names, size_t *ret_count,
                           struct od_error *err) OD_MUST_CHECK;
void od_names_free(char **names, size_t count);

bool od_path_exists(const char *path);
bool od_path_is_dir(const char *path);
/** `folder`/`name` into `out`; OD_E_LIMIT when it is too long. */
enum od_status od_path_join(char out[OD_PATH_MAX_BYTES], const char *folder, const char *name,
                            struct od_error *err) OD_MUST_CHECK;

/** Folder of the running program, links resolved, a slash at its end. @error OD_E_NOT_FOUND without /proc. */
enum od_status od_program_dir(char out[OD_PATH_MAX_BYTES], struct od_error *err) OD_MUST_CHECK;

/** Write all of `bytes` to an open file. `path` names it in messages. @error OD_E_IO, with a part written. */
enum od_status od_fd_write(int fd, const char *path, const void *bytes, size_t size,
                           struct od_error *err) OD_MUST_CHECK;
/** fsync an open file. `path` names it in messages. */
enum od_status od_fd_sync(int fd, const char *path, struct od_error *err) OD_MUST_CHECK;
/** rename(2). */
enum od_status od_path_rename(const char *from, const char *to, struct od_error *err) OD_MUST_CHECK;
/**
 * Put the complete folder `temp` under the name `final`, for good when this returns. What was there goes
 * to `final`.tmp-old and is removed: a crash leaves the old folder, none or the new one under the name,
 * never a part of one.
 */
enum od_status od_dir_replace(const char *temp, const char *final,
                              struct od_error *err) OD_MUST_CHECK;

/** For tests: let the n-th write, fsync, rename or removal from now fail with ENOSPC, a write after half of its
 *  bytes; 0 turns it off. */
void od_file_fail_at(uint64_t n);
/** For tests: as od_file_fail_at, but there the process dies by SIGKILL. */
void od_file_kill_at(uint64_t n);
/** Writes, fsyncs, renames and removals since the program started; tests compare two readings. */
uint64_t od_file_operation_count(void);

#endif
