// Goal: any task of BIG-bench gives a run spec and instances, or is refused with a message, without a
// crash.

#include <stddef.h>
#include <stdint.h>

#include "fuzz.h"
#include "scenario_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scenario_fuzz fuzz = {.below = "bigbench/t", .name = "task.json"};
    scenario_fuzz_load(&fuzz, "big_bench:task=t,subtask=", data, size);
    return 0;
}
