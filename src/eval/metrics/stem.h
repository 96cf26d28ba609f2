/**
 * @file
 * Stems of English words: Porter's algorithm with the changes that NLTK makes to it by default.
 *
 * NLTK's changes: a dozen irregular words; words of one or two letters stay; "ties" becomes "tie" and
 * "tied" "tie"; a final y becomes i behind any consonant that is not the first letter; "alli" is taken
 * off first and step 2 done again; "fulli" and "logi" are suffixes of step 2; a vowel and a consonant
 * alone count as a short ending.
 *
 * @source M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980; NLTK 3.8.1,
 *         documentation of PorterStemmer.
 * @thread Re-entrant: no state outside the arguments.
 */
#ifndef OD_EVAL_METRICS_STEM_H
#define OD_EVAL_METRICS_STEM_H

#include <stddef.h>

/**
 * Put the stem of `word` [size] in its place and return its size, at most `size`.
 * @param word Characters a-z and 0-9; a digit counts as a consonant.
 */
size_t od_stem(char *word, size_t size);

#endif
