/**
 * @file
 * Shapes of known models, which the benchmarks fill with random weights.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FLOW_BENCH_SHAPES_H
#define OD_FLOW_BENCH_SHAPES_H

#include "base/file.h"
#include "base/status.h"
#include "model/spec.h"

/** The names, for help texts. */
#define OD_BENCH_SHAPES                                                             \
    "llama-2-7b, mistral-7b, llama-3-8b, llama-2-13b, qwen2.5-14b, codellama-34b, " \
    "llama-2-70b, gpt2-1.5b, gpt2-124m, tinyllama-1.1b, llama-160m"

/** The shape of that name, without begin and end tokens; NULL: not known. @memory Static. */
const struct od_spec *od_bench_shape(const char *name);

/**
 * Make a temporary folder that holds a shape's config and a tokenizer, all that an engine with drawn
 * weights reads. `shape` is a name, or a config.json; `tokenizer` a folder, NULL: the byte tokenizer.
 * @memory od_bench_folder_remove, after a failure as well.
 */
enum od_status od_bench_folder_make(const char *shape, const char *tokenizer,
                                    char folder[OD_PATH_MAX_BYTES],
                                    struct od_error *err) OD_MUST_CHECK;
/** Remove it; nothing where `folder` is "". */
void od_bench_folder_remove(const char *folder);

#endif
