// A libcuda.so.1 that computes nothing and fails where it is told to: FAKE_CUDA holds words
// NAME=RESULT (a function of the driver and the CUresult that it gives), and `version=N`,
// `capability=N`, `gpus=N`, `lacks=NAME`, `free=BYTES`.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/cuda/driver_api.h"

#pragma GCC diagnostic ignored "-Wunused-parameter"

// The text behind "name=" in FAKE_CUDA, or NULL.
static const char *setting(const char *name)
{
    const size_t size = strlen(name);
    for (const char *at = getenv("FAKE_CUDA"); at && *at;) {
        if (strncmp(at, name, size) == 0 && at[size] == '=') {
            return at + size + 1;
        }
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    return NULL;
}

static long long number(const char *name, long long otherwise)
{
    const char *text = setting(name);
    return text ? strtoll(text, NULL, 10) : otherwise;
}

#define PLAIN(name, arguments)        \
    static int plain_##name arguments \
    {                                 \
        return (int)number(#name, 0); \
    }
OD_CU_FUNCTIONS(PLAIN)

static int special_cuDriverGetVersion(int *version)
{
    *version = (int)number("version", 13000);
    return 0;
}

static int special_cuGetErrorName(int result, const char **name)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "FAKE_ERROR_%d", result);
    *name = text;
    return 0;
}

static int special_cuGetErrorString(int result, const char **text)
{
    *text = "as told";
    return 0;
}

static int special_cuDeviceGetCount(int *count)
{
    *count = (int)number("gpus", 1);
    return (int)number("cuDeviceGetCount", 0);
}

static int special_cuDeviceGetName(char *name, int size, int device)
{
    (void)snprintf(name, (size_t)size, "Fake GPU");
    return 0;
}

static int special_cuDeviceGetAttribute(int *value, int attribute, int device)
{
    const int capability = (int)number("capability", 90);
    *value = attribute == OD_CU_ATTR_CAPABILITY_MAJOR   ? capability / 10
             : attribute == OD_CU_ATTR_CAPABILITY_MINOR ? capability % 10
                                                        : 100;
    return 0;
}

static int special_cuMemGetInfo(size_t *available, size_t *total)
{
    *available = (size_t)number("free", 3000000000LL);
    *total = 80000000000;
    return 0;
}

static int special_cuModuleLoadData(void **module, const void *image)
{
    static char loaded;
    *module = &loaded;
    return (int)number("cuModuleLoadData", 0);
}

__attribute__((visibility("default"))) int cuGetProcAddress_v2(const char *name, void **ret,
                                                               int version, uint64_t flags,
                                                               int *status);

int cuGetProcAddress_v2(const char *name, void **ret, int version, uint64_t flags, int *status)
{
    const char *lacks = setting("lacks");
    *ret = NULL;
    if (version != OD_CU_API || (lacks && strncmp(lacks, name, strlen(name)) == 0)) {
        return OD_CU_NOT_FOUND;
    }
#define GIVE(kind, function)                                         \
    if (strcmp(name, #function) == 0) {                              \
        __typeof__(&kind##_##function) pointer = kind##_##function;  \
        memcpy((void *)ret, (const void *)&pointer, sizeof pointer); \
        return 0;                                                    \
    }
    GIVE(special, cuDriverGetVersion)
    GIVE(special, cuGetErrorName)
    GIVE(special, cuGetErrorString)
    GIVE(special, cuDeviceGetCount)
    GIVE(special, cuDeviceGetName)
    GIVE(special, cuDeviceGetAttribute)
    GIVE(special, cuMemGetInfo)
    GIVE(special, cuModuleLoadData)
#define GIVE_PLAIN(function, arguments) GIVE(plain, function)
    OD_CU_FUNCTIONS(GIVE_PLAIN)
    return OD_CU_NOT_FOUND;
}
