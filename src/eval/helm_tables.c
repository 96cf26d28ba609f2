#include "eval/helm_tables.h"

#include <stddef.h>
#include <stdio.h>

#include "base/file.h"
#include "base/status.h"

enum od_status od_helm_table_find(const char *data, const char *name, const char *what,
                                  char ret_path[OD_PATH_MAX_BYTES], struct od_error *err)
{
    static const char *const folders[] = {"helm", "../helm"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const int written =
            snprintf(ret_path, OD_PATH_MAX_BYTES, "%s/%s/%s", data, folders[i], name);
        if (written < 0 || written >= OD_PATH_MAX_BYTES) {
            return od_fail(err, OD_E_LIMIT, "the path of '%s' is too long", name);
        }
        if (od_path_exists(ret_path)) {
            return OD_OK;
        }
    }
    return od_fail(err, OD_E_NOT_FOUND, "%s needs the table '%s' in '%s/helm' or beside '%s'", what,
                   name, data, data);
}
