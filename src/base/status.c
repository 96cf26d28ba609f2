#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void od_error_set(struct od_error *err, enum od_status status, const char *format, ...)
{
    va_list args;

    if (!err) {
        return;
    }
    err->status = status;
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
}

void od_error_prefix(struct od_error *err, const char *format, ...)
{
    char old[OD_ERROR_MESSAGE_BYTES];
    size_t used;
    va_list args;

    if (!err) {
        return;
    }
    memcpy(old, err->message, sizeof old);
    va_start(args, format);
    (void)vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    used = strlen(err->message);
    (void)snprintf(err->message + used, sizeof err->message - used, ": %s", old);
}

int od_status_exit_code(enum od_status status)
{
    switch (status) {
    case OD_OK: return 0;
    case OD_E_ARGUMENT:
    case OD_E_NOT_FOUND:
    case OD_E_FORMAT:
    case OD_E_UNSUPPORTED: return 2;
    case OD_E_REFUSED: return 3;
    case OD_E_LIMIT:
    case OD_E_MEMORY:
    case OD_E_IO:
    case OD_E_CANCELLED: return 1;
    }
    return 1;
}
