#include "formats/dtype.h"

#include <assert.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
} dtypes[OD_DTYPE_COUNT] = {
    [OD_DTYPE_F64] = {"F64", 8},         [OD_DTYPE_F32] = {"F32", 4},
    [OD_DTYPE_F16] = {"F16", 2},         [OD_DTYPE_BF16] = {"BF16", 2},
    [OD_DTYPE_F8_E4M3] = {"F8_E4M3", 1}, [OD_DTYPE_F8_E5M2] = {"F8_E5M2", 1},
    [OD_DTYPE_I64] = {"I64", 8},         [OD_DTYPE_I32] = {"I32", 4},
    [OD_DTYPE_I16] = {"I16", 2},         [OD_DTYPE_I8] = {"I8", 1},
    [OD_DTYPE_U64] = {"U64", 8},         [OD_DTYPE_U32] = {"U32", 4},
    [OD_DTYPE_U16] = {"U16", 2},         [OD_DTYPE_U8] = {"U8", 1},
    [OD_DTYPE_BOOL] = {"BOOL", 1},
};

size_t od_dtype_size(enum od_dtype dtype)
{
    assert((unsigned)dtype < OD_DTYPE_COUNT);
    return dtypes[dtype].size;
}

const char *od_dtype_name(enum od_dtype dtype)
{
    assert((unsigned)dtype < OD_DTYPE_COUNT);
    return dtypes[dtype].name;
}

bool od_dtype_find(const char *name, enum od_dtype *ret_dtype)
{
    for (int i = 0; i < OD_DTYPE_COUNT; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *ret_dtype = (enum od_dtype)i;
            return true;
        }
    }
    return false;
}

bool od_dtype_is_float(enum od_dtype dtype)
{
    return dtype == OD_DTYPE_F32 || dtype == OD_DTYPE_F16 || dtype == OD_DTYPE_BF16;
}
