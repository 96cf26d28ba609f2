/**
 * @file
 * Models from one form to another: a model or an adapter as a GGUF file, an adapter merged into its
 * base model. What was written is opened again and compared with what it was made from, by logits on
 * eight prompts.
 *
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_FLOW_CONVERT_H
#define OD_FLOW_CONVERT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** What a conversion is asked for. */
struct od_convert_options {
    const char *type;     ///< f32, f16, bf16, q8_0; NULL: f16, for an adapter f32
    const char *output;   ///< file or folder to write; it must not exist
    const char *name;     ///< of the model, in a GGUF file; NULL: its folder's
    const char *adapter;  ///< adapter folder to use with a model folder; NULL: none, or the run's
    const char *base;     ///< base model in place of the one that the adapter names; NULL: that one
    /** What an adapter is merged into: "w16", the base's own weights; "dequant", those that 4-bit
     *  training sees (NF4); "dequant8", those of 8-bit training; "dequant-fp8", those of fp8. NULL:
     *  w16, and a run that trained on a quantised base is refused until it is said. */
    const char *merge_base;
    int threads;    ///< 0: all processors
    bool no_check;  ///< leave the comparison out
    bool json;      ///< report as one JSON object
};

/**
 * Write a model folder, or the adapter of a run or of an adapter folder, as a GGUF file. `out` gets
 * the report.
 * @error OD_E_REFUSED when the output exists; what makes the model unfit for the format.
 */
enum od_status od_convert_gguf(const char *path, const struct od_convert_options *options,
                               struct od_buf *out, struct od_error *err) OD_MUST_CHECK;

/**
 * Write the base model of a run or an adapter folder with the adapter merged in, as a model folder:
 * config.json and the tokenizer's files of the base, one safetensors file of `type` (bf16 when NULL;
 * not q8_0).
 */
enum od_status od_convert_merge(const char *path, const struct od_convert_options *options,
                                struct od_buf *out, struct od_error *err) OD_MUST_CHECK;

#endif
