/**
 * @file
 * What the two evaluations of the demo say, kind by kind, and what the report shows of them.
 *
 * @thread One owner.
 */
#ifndef OD_FLOW_DEMO_RESULTS_H
#define OD_FLOW_DEMO_RESULTS_H

#include "base/status.h"
#include "flow/demo.h"

/**
 * Read both suites, fill `result`'s kinds, and write eval/board.json and samples.jsonl into the run
 * directory. @error OD_E_FORMAT when the suites hold no run in common.
 */
enum od_status od_demo_results(struct od_demo_result *result, struct od_error *err) OD_MUST_CHECK;

#endif
