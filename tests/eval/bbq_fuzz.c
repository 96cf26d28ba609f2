// Goal: any file of BBQ is read, or refused with a message, without a crash.

#include <stddef.h>
#include <stdint.h>

#include "fuzz.h"
#include "scenario_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scenario_fuzz fuzz = {.below = "bbq", .name = "Age.jsonl"};
    scenario_fuzz_load(&fuzz, "bbq:subject=Age", data, size);
    return 0;
}
