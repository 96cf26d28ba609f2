// Goal: any run description is parsed and expanded, or refused with a message, without a crash.

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/run_spec.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_arena arena;
    struct od_error err = {0};
    struct od_run_specs specs = {0};
    const struct od_run_options options = {.no_augmentation = true};
    char *text = od_memdup(data, size);
    if (!text) {
        return 0;
    }
    od_arena_init(&arena, (size_t)16 << 20);
    const enum od_status status = od_run_specs_make(text, &options, &arena, &specs, &err);
    if (status == OD_OK) {
        for (size_t i = 0; i < specs.count; i++) {
            if (strchr(specs.items[i].name, '/')) {
                abort();  // a name is one folder
            }
        }
    } else if (err.message[0] == '\0') {
        abort();
    }
    od_arena_release(&arena);
    od_free(text);
    return 0;
}
