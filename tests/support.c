#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SLOTS = 8, FOLDERS_MAX = 512 };

static char *slot(void)
{
    static char paths[SLOTS][OD_PATH_MAX_BYTES];
    static int next;
    next = (next + 1) % SLOTS;
    return paths[next];
}

static const char *source_root(void)
{
    const char *root = getenv("ONEDAY_SOURCE");
    return root ? root : ".";
}

const char *test_source(const char *name)
{
    char *path = slot();
    (void)snprintf(path, OD_PATH_MAX_BYTES, "%s/%s", source_root(), name);
    return path;
}

const char *test_binary(void)
{
    const char *binary = getenv("ONEDAY_BINARY");
    return binary ? binary : "./oneday";
}

const char *test_shared(const char *name)
{
    char *path = slot();
    const char *shared = getenv("ONEDAY_SHARED");
    const char *require = getenv("ONEDAY_REQUIRE_SHARED");
    if (shared) {
        (void)snprintf(path, OD_PATH_MAX_BYTES, "%s/data/%s", shared, name);
    } else {
        (void)snprintf(path, OD_PATH_MAX_BYTES, "%s/../shared/data/%s", source_root(), name);
    }
    if (!od_path_exists(path)) {
        if (require && strcmp(require, "1") == 0) {
            fail_msg("shared data is required and '%s' is absent", path);
        }
        (void)printf("# no '%s': set ONEDAY_SHARED to the folder that has data/\n", path);
        skip();
    }
    return path;
}

static char folders[FOLDERS_MAX][OD_PATH_MAX_BYTES];
static int folder_count;

static void remove_folders(void)
{
    for (int i = 0; i < folder_count; i++) {
        const enum od_status ignored = od_dir_remove(folders[i], NULL);
        (void)ignored;
    }
}

const char *test_folder(void)
{
    struct od_error err = {0};
    if (folder_count == 0) {
        (void)atexit(remove_folders);
    }
    if (folder_count == FOLDERS_MAX) {
        fail_msg("too many temporary folders");
    }
    char *path = folders[folder_count];
    if (od_dir_make_temporary("oneday-test", path, &err) != OD_OK) {
        fail_msg("%s", err.message);
    }
    folder_count++;
    return path;
}

uint64_t test_seed(void)
{
    static uint64_t seed;
    if (seed == 0) {
        const char *given = getenv("OD_SEED");
        seed = given ? strtoull(given, NULL, 10) : (uint64_t)getpid() * 2654435761u + 1u;
        (void)printf("# OD_SEED=%llu\n", (unsigned long long)seed);
    }
    return seed;
}
