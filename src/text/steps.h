/**
 * @file
 * The chain of steps that a tokenizer.json describes: normalizers change a text, pre-tokenizers cut
 * it, decoders put it together again. Nested sequences are flattened when they are read.
 *
 * @thread Re-entrant: finished steps may be used by many threads.
 */
#ifndef OD_TEXT_STEPS_H
#define OD_TEXT_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/charsmap.h"
#include "text/regex.h"
#include "text/split.h"

enum { OD_STEPS_MAX = 64, OD_STEP_TEXT_MAX_BYTES = 64 * 1024 };

/** What a step does. */
enum od_step_kind {
    // normalizers
    OD_STEP_NFC,
    OD_STEP_NFD,
    OD_STEP_NFKC,
    OD_STEP_NFKD,
    OD_STEP_LOWERCASE,
    OD_STEP_STRIP,          ///< white space: `left`, `right`
    OD_STEP_STRIP_ACCENTS,  ///< marks of all three categories
    OD_STEP_PREPEND,        ///< `text` in front of what is not empty
    OD_STEP_PRECOMPILED,    ///< `charsmap`
    OD_STEP_BERT,           ///< `clean`, `ideographs`, `accents`, `lower`
    OD_STEP_REPLACE,        ///< `pattern` or `regex` by `text`; a decoder, too
    // pre-tokenizers
    OD_STEP_BYTE_LEVEL,        ///< `prefix_space`, `use_regex`; a decoder, too
    OD_STEP_SPLIT,             ///< at `pattern` or `regex`: `behavior`, `invert`
    OD_STEP_METASPACE,         ///< `text` for blanks, `prepend`, `split`; a decoder, too
    OD_STEP_DIGITS,            ///< `individual`
    OD_STEP_WHITESPACE,        ///< words, and runs of neither words nor white space
    OD_STEP_WHITESPACE_SPLIT,  ///< at white space
    OD_STEP_PUNCTUATION,       ///< `behavior`
    OD_STEP_BERT_WORDS,        ///< at white space, punctuation by itself
    // decoders
    OD_STEP_BYTE_FALLBACK,
    OD_STEP_FUSE,
    OD_STEP_WORDPIECE,   ///< tokens without `text` in front follow a blank; `clean`
    OD_STEP_STRIP_TOKEN  ///< up to `left` times `text` at the start, `right` times at the end
};

/** What happens to the parts that match when a text is cut. */
enum od_split_behavior {
    OD_SPLIT_REMOVED,
    OD_SPLIT_ISOLATED,
    OD_SPLIT_MERGED_WITH_PREVIOUS,
    OD_SPLIT_MERGED_WITH_NEXT,
    OD_SPLIT_CONTIGUOUS
};

/** When Metaspace puts its mark in front. */
enum od_prepend { OD_PREPEND_ALWAYS, OD_PREPEND_FIRST, OD_PREPEND_NEVER };

/** One step; which members count depends on `kind`. */
struct od_step {
    enum od_step_kind kind;
    char *text;  ///< owned, may be NULL
    size_t text_size;
    char *pattern;  ///< owned literal pattern, may be NULL
    size_t pattern_size;
    struct od_regex *regex;  ///< owned, may be NULL
    char *regex_text;        ///< owned: what `regex` was compiled from, where the file says it
    struct od_charsmap charsmap;
    enum od_split_behavior behavior;
    enum od_prepend prepend;
    bool invert;
    bool prefix_space;
    bool use_regex;
    bool individual;
    bool split;
    bool clean;
    bool ideographs;
    bool accents;
    bool lower;
    int64_t left;
    int64_t right;
};

/** A chain. Initialise with {0}. */
struct od_steps {
    struct od_step items[OD_STEPS_MAX];
    size_t count;
};

void od_steps_release(struct od_steps *steps);

/**
 * Run normalizers over a text. The result lies in `a` or in `b`, or is `text` itself when there is
 * no step.
 * @memory Borrows `text`, which must not lie in `a` or `b`; fills `a` and `b`.
 */
enum od_status od_steps_normalize(const struct od_steps *steps, const char *text, size_t size,
                                  struct od_buf *a, struct od_buf *b, struct od_match *match,
                                  const char **ret_text, size_t *ret_size,
                                  struct od_error *err) OD_MUST_CHECK;

/** Append `text` with what OD_STEP_REPLACE does to it. @memory Borrows all; fills `out`. */
enum od_status od_step_replace(const struct od_step *step, const char *text, size_t size,
                               struct od_match *match, struct od_buf *out,
                               struct od_error *err) OD_MUST_CHECK;

/**
 * Run pre-tokenizers over the spans without token. `*split` and `*other` change places as needed;
 * the result is in `*split`.
 */
enum od_status od_steps_cut(const struct od_steps *steps, struct od_split **split,
                            struct od_split **other, struct od_match *match,
                            struct od_error *err) OD_MUST_CHECK;

/**
 * Run decoders over the texts of tokens and append the result.
 * @param tokens  Texts of the tokens as spans; emptied and used as work space.
 * @param raw     Bytes stay as they are, and what is stripped from the start of a text stays.
 */
enum od_status od_steps_decode(const struct od_steps *steps, struct od_split *tokens, bool raw,
                               struct od_buf *out, struct od_error *err) OD_MUST_CHECK;

#endif
