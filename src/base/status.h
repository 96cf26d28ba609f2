/**
 * @file
 * How a function says that it failed: a status for the program, a line for the person.
 *
 * A function that can fail returns `enum od_status` and takes `struct od_error *err` last (NULL
 * when nobody wants the line). The lowest level writes the message, levels above put context in
 * front. Messages start in lower case, quote names with '...' and end without a full stop.
 *
 *     if (!file) {
 *         return od_fail(err, OD_E_NOT_FOUND, "cannot open '%s': %s", path, strerror(errno));
 *     }
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_BASE_STATUS_H
#define OD_BASE_STATUS_H

#define OD_MUST_CHECK                  __attribute__((warn_unused_result))
#define OD_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))

enum { OD_ERROR_MESSAGE_BYTES = 1024 };

/** What kind of failure it was. `od_status_exit_code` maps it to the program's exit code. */
enum od_status {
    OD_OK = 0,
    OD_E_ARGUMENT,     ///< the caller's or the user's argument makes no sense
    OD_E_NOT_FOUND,    ///< a file, key or name does not exist
    OD_E_FORMAT,       ///< input that breaks its format
    OD_E_UNSUPPORTED,  ///< valid input that this program cannot handle
    OD_E_LIMIT,        ///< a named maximum is passed
    OD_E_MEMORY,       ///< no memory
    OD_E_IO,           ///< reading, writing or the network failed
    OD_E_REFUSED,      ///< does not fit, breaks a rule, or a digest differs
    OD_E_CANCELLED     ///< asked to stop
};

/** A failure in words. Initialise with `{0}`. */
struct od_error {
    enum od_status status;
    char message[OD_ERROR_MESSAGE_BYTES];
};

/**
 * Record a message and yield `status`, so that failing is one line. A macro, so that compilers and
 * analysers see which constant is returned. Evaluates `status` twice: pass a constant.
 */
#define od_fail(err, status, ...) (od_error_set((err), (status), __VA_ARGS__), (status))

/** Set status and message; a message that is too long is cut. `err` may be NULL. */
void od_error_set(struct od_error *err, enum od_status status, const char *format, ...)
    OD_PRINTF(3, 4);

/** Put "context: " in front of the message; the status stays. `err` may be NULL. */
void od_error_prefix(struct od_error *err, const char *format, ...) OD_PRINTF(2, 3);

/** Exit code of the program: 0 done, 1 failed while running, 2 wrong input, 3 refused. */
int od_status_exit_code(enum od_status status);

#endif
