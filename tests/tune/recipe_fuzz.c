// Goal: no text makes the reader of recipes crash, and what it takes is written and read again as
// the same recipe.
// Method: parse; a recipe that is good is written, parsed and written again: the same bytes.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "fuzz.h"
#include "tune/recipe.h"

enum { WRITTEN_MAX_BYTES = 16 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_recipe recipe = {0};
    struct od_recipe again = {0};
    struct od_buf first;
    struct od_buf second;
    if (od_recipe_parse((const char *)data, size, "r.yaml", "/data", &recipe, &err) != OD_OK) {
        return 0;
    }
    od_buf_init(&first, WRITTEN_MAX_BYTES);
    od_buf_init(&second, WRITTEN_MAX_BYTES);
    if (od_recipe_write(&recipe, &first, &err) != OD_OK ||
        od_recipe_parse(first.bytes, first.size, "again", "/", &again, &err) != OD_OK ||
        od_recipe_write(&again, &second, &err) != OD_OK ||
        strcmp(od_buf_text(&first), od_buf_text(&second)) != 0) {
        __builtin_trap();
    }
    od_recipe_release(&recipe);
    od_recipe_release(&again);
    od_buf_release(&first);
    od_buf_release(&second);
    return 0;
}
