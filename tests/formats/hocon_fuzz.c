// HOCON: no text breaks the parser; entries that come out are complete.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "formats/hocon.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_hocon hocon = {0};
    if (od_hocon_parse((const char *)data, size, "fuzz", &hocon, &err) == OD_OK) {
        for (size_t i = 0; i < hocon.count; i++) {
            assert(hocon.entries[i].description && hocon.entries[i].line > 0);
            for (size_t k = 0; k < hocon.entries[i].group_count; k++) {
                assert(strlen(hocon.entries[i].groups[k]) <= size);
            }
        }
        od_hocon_release(&hocon);
    }
    return 0;
}
