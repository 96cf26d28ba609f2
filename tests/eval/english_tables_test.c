// Goal: with NLTK's English tables and HELM's lists of words, cuts, ROUGE, BLEU and biases are what HELM's
// packages compute.
// Method: as text_metrics_test.c; the tables are not ours to ship, and are read from the folder helm/ in
// $ONEDAY_HELM_TABLES, else in or beside the shared data's eval/.

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "eval/helm_tables.h"
#include "eval/metrics/bias.h"
#include "eval/metrics/match.h"
#include "eval/metrics/sentences.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/stem.h"
#include "eval/metrics/tokens.h"
#include "eval/metrics/words.h"
#include "eval/run_spec.h"
#include "eval/text_records.h"
#include "formats/csv.h"
#include "formats/json.h"
#include "formats/text_file.h"
#include "support.h"

static const char *place_of_tables(void)
{
    const char *place = getenv("ONEDAY_HELM_TABLES");
    return place ? place : test_shared("eval");
}

static void test_english_tables(void **state)
{
    (void)state;
    const char *eval = test_shared("eval");
    char folder[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    if (od_helm_table_find(place_of_tables(), OD_HELM_SENTENCES, "the test", folder, &err) !=
        OD_OK) {
        (void)printf("# skipped: %s\n", err.message);
        skip();
    }
    json_t *all = record(ORACLE "/text-english.json");
    check_cuts(all, folder);
    check_all_scores(all, folder);
    check_real_scores(all, folder, eval);
    check_documents(all, folder, test_shared("corpora/openstax.txt.xz"));
    json_decref(all);
}

static void test_real_bias_words(void **state)
{
    (void)state;
    char folder[OD_PATH_MAX_BYTES];
    char words[OD_PATH_MAX_BYTES];
    struct od_error err = {0};
    if (od_helm_table_find(place_of_tables(), OD_HELM_SENTENCES, "the test", folder, &err) !=
            OD_OK ||
        od_helm_table_find(place_of_tables(), OD_BIAS_WORDS_FILE, "the test", words, &err) !=
            OD_OK) {
        (void)printf("# skipped: %s\n", err.message);
        skip();
    }
    json_t *all = record(ORACLE "/text-english.json");
    check_biases(all, folder, words);
    json_decref(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_english_tables),
                                       cmocka_unit_test(test_real_bias_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
