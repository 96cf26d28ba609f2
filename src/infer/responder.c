#include "infer/responder.h"

#include <stddef.h>

#include "base/memory.h"

void od_process_result_init(struct od_process_result *result)
{
    *result = (struct od_process_result){.text = "", .finish = OD_FINISH_UNKNOWN};
    od_arena_init(&result->arena, (size_t)1 << 30);
}

void od_process_result_release(struct od_process_result *result)
{
    od_arena_release(&result->arena);
    od_process_result_init(result);
}
