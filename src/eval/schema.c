#include "eval/schema.h"

#include <string.h>

enum {
    ACCURACY = OD_GROUP_ACCURACY,
    GENERAL = ACCURACY | OD_GROUP_EFFICIENCY | OD_GROUP_GENERAL,
    CHOICE = GENERAL | OD_GROUP_CALIBRATION | OD_GROUP_ROBUSTNESS | OD_GROUP_FAIRNESS,
    ETHICS = ACCURACY | OD_GROUP_ROBUSTNESS | OD_GROUP_FAIRNESS,
    SUMMARY = GENERAL | OD_GROUP_SUMMARIZATION | OD_GROUP_BIAS | OD_GROUP_TOXICITY,
};

const struct od_schema_group od_schema_groups[] = {
    {"mmlu", "MMLU", CHOICE, "exact_match", "test", true, true},
    {"truthful_qa", "TruthfulQA", CHOICE, "exact_match", "valid", true, true},
    {"BIG-bench", "BIG-bench", ACCURACY, "exact_match", "test", true, true},
    {"gsm", "GSM8K", GENERAL, "exact_match_indicator", "test", true, true},
    {"corr2cause", "corr2cause", ACCURACY, "exact_match", "valid", true, true},
    {"ethics_justice", "ethics_justice", ETHICS, "exact_match", "valid", true, true},
    {"ethics_commonsense", "ethics_commonsense", ETHICS, "exact_match", "valid", true, true},
    {"ethics_virtue", "ethics_virtue", ETHICS, "exact_match", "valid", true, true},
    {"ethics_deontology", "ethics_deontology", ETHICS, "exact_match", "valid", true, true},
    {"ethics_utilitarianism", "ethics_utilitarianism", ETHICS, "exact_match", "valid", true, true},
    {"math_chain_of_thought", "MATH (chain-of-thoughts)", GENERAL, "math_equiv_chain_of_thought",
     "test", true, true},
    {"math_regular", "MATH", GENERAL, "math_equiv", "test", true, true},
    {"summarization_cnndm", "CNN/DailyMail", SUMMARY, "rouge_2", "test", true, false},
    {"sam_sum", "sam_sum", SUMMARY, "rouge_2", "valid", true, false},
    {"bbq", "BBQ", GENERAL | OD_GROUP_BBQ, "quasi_exact_match", "test", false, true},
};
const size_t od_schema_group_count = sizeof od_schema_groups / sizeof *od_schema_groups;

#define BIAS_NAME(mode, rest) "bias_metric:mode=" mode ",demographic_category=" rest

const struct od_schema_table od_schema_core[] = {
    {OD_GROUP_ACCURACY, "accuracy", "Accuracy", {{NULL, NULL, NULL, OD_HIGHER_IS_BETTER}}, 1},
    {OD_GROUP_CALIBRATION,
     "calibration",
     "Calibration",
     {{"ece_10_bin", "ECE (10-bin)", NULL, OD_LOWER_IS_BETTER}},
     1},
    {OD_GROUP_ROBUSTNESS,
     "robustness",
     "Robustness",
     {{NULL, NULL, "robustness", OD_HIGHER_IS_BETTER}},
     1},
    {OD_GROUP_FAIRNESS, "fairness", "Fairness", {{NULL, NULL, "fairness", OD_HIGHER_IS_BETTER}}, 1},
    {OD_GROUP_EFFICIENCY,
     "efficiency",
     "Efficiency",
     {{"inference_denoised_runtime", "Denoised inference time (s)", NULL, OD_LOWER_IS_BETTER}},
     1},
    {OD_GROUP_GENERAL,
     "general_information",
     "General information",
     {{"num_instances", "# eval", NULL, OD_NO_DIRECTION},
      {"num_train_instances", "# train", NULL, OD_NO_DIRECTION},
      {"prompt_truncated", "truncated", NULL, OD_NO_DIRECTION},
      {"num_prompt_tokens", "# prompt tokens", NULL, OD_NO_DIRECTION},
      {"num_output_tokens", "# output tokens", NULL, OD_NO_DIRECTION},
      {"num_train_trials", "# trials", NULL, OD_NO_DIRECTION}},
     6},
    {OD_GROUP_BIAS,
     "bias",
     "Bias",
     {{BIAS_NAME("associations", "race,target_category=profession"), "Stereotypes (race)", NULL,
       OD_LOWER_IS_BETTER},
      {BIAS_NAME("associations", "gender,target_category=profession"), "Stereotypes (gender)", NULL,
       OD_LOWER_IS_BETTER},
      {BIAS_NAME("representation", "race"), "Representation (race)", NULL, OD_LOWER_IS_BETTER},
      {BIAS_NAME("representation", "gender"), "Representation (gender)", NULL, OD_LOWER_IS_BETTER}},
     4},
    {OD_GROUP_TOXICITY,
     "toxicity",
     "Toxicity",
     {{"toxic_frac", "Toxic fraction", NULL, OD_LOWER_IS_BETTER}},
     1},
    {OD_GROUP_SUMMARIZATION,
     "summarization_metrics",
     "Summarization metrics",
     {{"summarization_coverage", "Coverage", NULL, OD_NO_DIRECTION},
      {"summarization_density", "Density", NULL, OD_NO_DIRECTION},
      {"summarization_compression", "Compression", NULL, OD_NO_DIRECTION}},
     3},
    {OD_GROUP_BBQ,
     "bbq_metrics",
     "BBQ metrics",
     {{"bbq_metric_ambiguous_bias", "BBQ (ambiguous)", NULL, OD_LOWER_IS_BETTER},
      {"bbq_metric_unambiguous_bias", "BBQ (unambiguous)", NULL, OD_LOWER_IS_BETTER}},
     2},
};
const size_t od_schema_core_count = sizeof od_schema_core / sizeof *od_schema_core;

const unsigned od_schema_targeted_order[] = {
    OD_GROUP_ACCURACY,   OD_GROUP_GENERAL,  OD_GROUP_CALIBRATION,
    OD_GROUP_ROBUSTNESS, OD_GROUP_FAIRNESS, OD_GROUP_BIAS,
    OD_GROUP_TOXICITY,   OD_GROUP_BBQ,      OD_GROUP_EFFICIENCY};
const size_t od_schema_targeted_count =
    sizeof od_schema_targeted_order / sizeof *od_schema_targeted_order;

const struct od_schema_table *od_schema_table_of(unsigned bit)
{
    for (size_t i = 0; i < od_schema_core_count; i++) {
        if ((unsigned)od_schema_core[i].bit == bit) {
            return &od_schema_core[i];
        }
    }
    return NULL;
}

const char *od_schema_short_name(const char *metric)
{
    static const struct {
        const char *name;
        const char *short_name;
    } names[] = {{"exact_match", "EM"},
                 {"quasi_exact_match", "EM"},
                 {"exact_match_indicator", "EM"},
                 {"rouge_2", "ROUGE-2"},
                 {"math_equiv", "Equivalent"},
                 {"math_equiv_chain_of_thought", "Equivalent (chain of thought)"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i].name, metric) == 0) {
            return names[i].short_name;
        }
    }
    return metric;
}
