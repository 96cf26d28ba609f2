// Goal: no text makes the reader of device.json crash.
// Method: parse; what is taken keeps its limits.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "device/cuda/matmul.h"
#include "fuzz.h"
#include "tune/device_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_device_file file = {0};
    if (od_device_parse((const char *)data, size, "device.json", &file, &err) != OD_OK) {
        return 0;
    }
    if (file.count > OD_MATMUL_SHAPES_MAX) {
        __builtin_trap();
    }
    for (size_t i = 0; i < file.count; i++) {
        if (memchr(file.choices[i].shape, '\0', sizeof file.choices[i].shape) == NULL) {
            __builtin_trap();
        }
    }
    od_device_file_release(&file);
    return 0;
}
