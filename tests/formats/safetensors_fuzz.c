// safetensors: no file breaks the reader; every tensor of a file that opens can be read.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/dtype.h"
#include "formats/safetensors.h"
#include "fuzz.h"

static void read_tensor(const struct od_safetensors *st, const struct od_tensor_info *info)
{
    struct od_error err = {0};
    char *raw = od_alloc(info->size_bytes, 1);
    float *values = od_alloc((size_t)info->count, sizeof *values);
    if (raw && values) {
        enum od_status status = od_safetensors_read_raw(st, info, raw, &err);
        assert(status == OD_OK);
        status = od_safetensors_read_f32(st, info, values, &err);
        assert(status == (od_dtype_is_float(info->dtype) ? OD_OK : OD_E_UNSUPPORTED));
    }
    od_free(values);
    od_free(raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_safetensors *st = NULL;
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        return 0;
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (od_safetensors_open(path, &st, &err) == OD_OK) {
        for (size_t i = 0; i < od_safetensors_count(st); i++) {
            const struct od_tensor_info *info = od_safetensors_get(st, i);
            assert(od_safetensors_find(st, info->name) == info);
            read_tensor(st, info);
        }
        od_safetensors_close(st);
    }
    (void)close(fd);
    return 0;
}
