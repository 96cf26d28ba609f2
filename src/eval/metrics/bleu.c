#include "eval/metrics/bleu.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "base/status.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/stat.h"
#include "eval/metrics/tokens.h"
#include "eval/metrics/words.h"

static double brevity(size_t gold_count, size_t pred_count)
{
    return pred_count > gold_count ? 1.0 : exp(1.0 - (double)gold_count / (double)pred_count);
}

static enum od_status compare(const struct od_token_pair *pair, size_t order, struct od_number *ret,
                              struct od_error *err)
{
    const size_t groups = pair->right_count >= order ? pair->right_count - order + 1 : 1;
    size_t words = 0;
    size_t common = 0;
    enum od_status status = od_token_pair_common(pair, 1, &words, err);
    if (status == OD_OK) {
        status = od_token_pair_common(pair, order, &common, err);
    }
    if (status != OD_OK) {
        return status;
    }
    if (words == 0) {
        *ret = od_number_int(0);
        return OD_OK;
    }
    const double share = common > 0 ? (double)common / (double)groups : DBL_MIN;
    *ret = od_number_float(brevity(pair->left_count, pair->right_count) * exp(log(share)));
    return OD_OK;
}

enum od_status od_bleu(const struct od_word_cutter *cutter, size_t order, struct od_slice gold,
                       struct od_slice pred, struct od_number *ret, struct od_error *err)
{
    struct od_tokens gold_words;
    struct od_tokens pred_words;
    struct od_token_pair pair = {0};

    od_tokens_init(&gold_words);
    od_tokens_init(&pred_words);
    enum od_status status = od_words_cut(cutter, gold.bytes, gold.size, &gold_words, err);
    if (status == OD_OK) {
        status = od_words_cut(cutter, pred.bytes, pred.size, &pred_words, err);
    }
    if (status == OD_OK) {
        status = od_token_pair_make(&gold_words, &pred_words, &pair, err);
    }
    if (status == OD_OK) {
        status = compare(&pair, order, ret, err);
    }
    od_token_pair_release(&pair);
    od_tokens_release(&pred_words);
    od_tokens_release(&gold_words);
    return status;
}
