/**
 * @file
 * English text cut into words and marks, as NLTK's word_tokenize cuts it.
 *
 * Sentences first (sentences.h); in each of them a list of replacements puts blanks around quotes,
 * punctuation, brackets, dashes and clitics ("ca n't", "it 's"), and what stands between white space
 * is a word. Only the last period of a sentence is parted from its word. Quotes become `` and ''.
 *
 * @source NLTK 3.8.1, word_tokenize and NLTKWordTokenizer; R. MacIntyre's tokenizer for the Penn
 *         Treebank.
 * @thread Re-entrant: a cutter does not change once it is open and may be shared.
 */
#ifndef OD_EVAL_METRICS_WORDS_H
#define OD_EVAL_METRICS_WORDS_H

#include <stddef.h>

#include "base/status.h"
#include "eval/metrics/tokens.h"

struct od_word_cutter;

/**
 * Open a cutter with the tables of sentences in `folder`; NULL: with tables that know nothing.
 * @memory Gives *ret: od_word_cutter_close.
 * @error  As od_sentence_tables_read.
 */
enum od_status od_word_cutter_open(const char *folder, struct od_word_cutter **ret,
                                   struct od_error *err) OD_MUST_CHECK;
void od_word_cutter_close(struct od_word_cutter *cutter);

/** Append the words of `text`; bytes that are no UTF-8 count as U+FFFD.
 *  @error OD_E_LIMIT, OD_E_MEMORY. */
enum od_status od_words_cut(const struct od_word_cutter *cutter, const char *text, size_t size,
                            struct od_tokens *out, struct od_error *err) OD_MUST_CHECK;

#endif
