/**
 * @file
 * The table of scenarios: what each is called, how a run spec is made of its arguments, and how
 * its data is read. One file per scenario under scenarios/; a new one adds a row in scenario.c.
 *
 * @source HELM 2023-11: scenarios.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_SCENARIO_H
#define OD_EVAL_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/instance.h"

struct od_run_description;
struct od_run_spec;

/** A scenario. */
struct od_scenario {
    const char *run_name;     ///< in a description: mmlu, gsm
    const char *name;         ///< HELM's scenario.name
    const char *class_name;   ///< HELM's class, written to run_spec.json
    const char *description;  ///< written to scenario.json
    const char *tags[4];      ///< written to scenario.json, NULL behind the last
    const char *file;         ///< name of HELM's file, written to scenario.json
    bool final_number;        ///< also score the last number of an answer
    bool keeps_unchanged;     ///< variants whose input is as before are asked, too
    /** Fill name, scenario arguments, adapter, metrics and groups from a description. `data` is
     *  where the data lies, for a scenario that says there how it wants to be asked. */
    enum od_status (*specify)(const struct od_run_description *description, const char *data,
                              struct od_arena *arena, struct od_run_spec *spec,
                              struct od_error *err);
    /** Append the instances of `spec` from the folder `data`, in HELM's order. */
    enum od_status (*load)(const struct od_run_spec *spec, const char *data,
                           struct od_instances *list, struct od_error *err);
};

/** The scenario of a description's name, or NULL. */
const struct od_scenario *od_scenario_find(const char *run_name);
/** True for a scenario of the 2023 challenge that this version leaves out. */
bool od_scenario_is_left_out(const char *run_name);
/** Names of the scenarios that can be run, NULL behind the last. */
const char *const *od_scenario_names(void);

// The rows, one per file under scenarios/.
extern const struct od_scenario od_scenario_mmlu;
extern const struct od_scenario od_scenario_gsm8k;
extern const struct od_scenario od_scenario_truthful_qa;
extern const struct od_scenario od_scenario_bbq;
extern const struct od_scenario od_scenario_big_bench;

#endif
