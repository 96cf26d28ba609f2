// Any bytes as the GGUF file of a model: the facts are read, and for a small one the weights.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "formats/gguf.h"
#include "fuzz.h"
#include "model/gguf_model.h"
#include "model/program.h"
#include "model/spec.h"
#include "plan/plan.h"

enum { CHANNELS_MAX = 64, LAYERS_MAX = 4, POSITIONS_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct od_program_options options = {.mode = OD_PROGRAM_INFER,
                                                      .tokens = 1,
                                                      .threads = 1,
                                                      .cache_slots = 1,
                                                      .cache_length = 1,
                                                      .logit_rows = 1};
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    struct od_spec spec;
    struct od_program program = {0};
    struct od_plan plan = {0};
    struct od_arrays arrays = {0};
    bool built = od_gguf_parse(data, size, "fuzz", &gguf, &err) == OD_OK &&
                 od_spec_of_gguf(gguf, &spec, &err) == OD_OK && spec.channels <= CHANNELS_MAX &&
                 spec.ffn <= CHANNELS_MAX && spec.layers <= LAYERS_MAX &&
                 spec.max_positions <= POSITIONS_MAX &&
                 spec.heads * spec.head_dim <= CHANNELS_MAX &&
                 od_program_build(&spec, &options, &program, &err) == OD_OK &&
                 od_plan_make(&program, &plan, &err) == OD_OK &&
                 od_arrays_make(&plan, &arrays, &err) == OD_OK;
    if (built && od_weights_read_gguf(&program, arrays.tensor, gguf, &err) != OD_OK &&
        err.message[0] == '\0') {
        __builtin_trap();
    }
    od_arrays_release(&arrays);
    od_plan_release(&plan);
    od_program_release(&program);
    od_gguf_close(gguf);
    return 0;
}
