// Goal: any table of TruthfulQA is read, or refused with a message, without a crash.

#include <stddef.h>
#include <stdint.h>

#include "fuzz.h"
#include "scenario_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct scenario_fuzz fuzz = {.below = "truthfulqa", .name = "TruthfulQA.csv"};
    scenario_fuzz_load(&fuzz, "truthful_qa:task=mc_single", data, size);
    return 0;
}
