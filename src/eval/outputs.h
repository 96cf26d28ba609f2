/**
 * @file
 * The five files of a run, byte for byte as HELM writes them.
 *
 * In this order: run_spec.json, scenario.json, scenario_state.json, stats.json,
 * per_instance_stats.json. Python's json.dumps(indent=2), ASCII, no newline at the end; fields that
 * are null are left out, except inside argument objects.
 *
 * @source HELM 2023-11: output files.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_OUTPUTS_H
#define OD_EVAL_OUTPUTS_H

#include <stdbool.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/adapter.h"
#include "eval/metrics/evaluate.h"
#include "eval/run_spec.h"

/** Largest file that is written. */
#define OD_OUTPUT_MAX_BYTES ((size_t)4 << 30)

/** Append the text of run_spec.json. */
void od_output_run_spec(const struct od_run_spec *spec, struct od_buf *out);
/** Append the text of scenario.json. */
void od_output_scenario(const struct od_run_spec *spec, struct od_buf *out);
/** Append the text of scenario_state.json. */
void od_output_scenario_state(const struct od_run_spec *spec,
                              const struct od_request_states *states, struct od_buf *out);
/** Append the text of stats.json; statistics whose sum is NaN are left out. */
void od_output_stats(const struct od_metrics_result *metrics, struct od_buf *out);
/** Append the text of per_instance_stats.json. */
void od_output_instance_stats(const struct od_metrics_result *metrics, struct od_buf *out);

/** True when the folder has all five files. */
bool od_outputs_complete(const char *folder);

/** Write the five files into `folder`, which exists. A folder is complete only when all are in. */
enum od_status od_outputs_write(const char *folder, const struct od_run_spec *spec,
                                const struct od_request_states *states,
                                const struct od_metrics_result *metrics,
                                struct od_error *err) OD_MUST_CHECK;

#endif
