#include "eval/scenario.h"

#include <string.h>

static const struct od_scenario *const scenarios[] = {&od_scenario_mmlu, &od_scenario_gsm8k,
                                                      &od_scenario_truthful_qa, &od_scenario_bbq,
                                                      &od_scenario_big_bench};
static const char *const names[] = {"mmlu", "gsm", "truthful_qa", "bbq", "big_bench", NULL};

// Run specs of the challenge's confs that are known and not built.
static const char *const left_out[] = {
    "summarization_cnndm",
    "math",
    "sam_sum",
    "corr2cause",
    "ethics_commonsense",
    "ethics_virtue",
    "ethics_deontology",
    "ethics_justice",
    "ethics_utilitarianism",
    "summarization_xsum",
    "boolq",
    "narrative_qa",
    "natural_qa",
    "quac",
    "hellaswag",
    "openbookqa",
    "msmarco",
    "imdb",
    "civil_comments",
    "raft",
    "babi_qa",
    "synthetic_reasoning",
    "real_toxicity_prompts",
    "lsat_qa",
    "legal_support",
};

const struct od_scenario *od_scenario_find(const char *run_name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        if (strcmp(scenarios[i]->run_name, run_name) == 0) {
            return scenarios[i];
        }
    }
    return NULL;
}

bool od_scenario_is_left_out(const char *run_name)
{
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        if (strcmp(left_out[i], run_name) == 0) {
            return true;
        }
    }
    return false;
}

const char *const *od_scenario_names(void)
{
    return names;
}
