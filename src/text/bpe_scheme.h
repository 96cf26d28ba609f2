/**
 * @file
 * Byte-level BPE whose files hold only a vocabulary and merges: how each family cuts text, written
 * as the tree of a tokenizer.json, which the rest of the room reads.
 *
 * @source The published tokenizer.json of the families; llama.cpp's names of pre-tokenizers.
 * @thread Re-entrant: no state.
 */
#ifndef OD_TEXT_BPE_SCHEME_H
#define OD_TEXT_BPE_SCHEME_H

#include <jansson.h>
#include <stdbool.h>

/** How a family of tokenizers cuts text. */
struct od_bpe_scheme {
    const char *pre;             ///< value of tokenizer.ggml.pre
    const char *family;          ///< value of config.json's model_type, or NULL
    const char *class_name;      ///< tokenizer_class without a trailing "Fast", or NULL
    const char *pattern;         ///< words; NULL: those of GPT-2
    bool compose;                ///< text is brought into NFC first
    bool whole_words;            ///< a word that is a piece needs no merging
    bool around;                 ///< cls and sep stand around a text
    const char *specials[8];     ///< special tokens that its class has of itself, up to NULL
    const char *lstrip_special;  ///< the one of them that takes the blanks before it, or NULL
};

/** The scheme with this name in the member that is looked at, or NULL. */
const struct od_bpe_scheme *od_bpe_scheme_of_pre(const char *pre);
const struct od_bpe_scheme *od_bpe_scheme_of_family(const char *family);
/** "Fast" at the end of a class's name is not looked at. */
const struct od_bpe_scheme *od_bpe_scheme_of_class(const char *class_name);
/** The first scheme that cuts text so, or NULL; `pattern` NULL means GPT-2's words. */
const struct od_bpe_scheme *od_bpe_scheme_of_steps(const char *pattern, bool compose,
                                                   bool whole_words);
/** Classes that are known, in one line for a message. */
const char *od_bpe_scheme_classes(void);

/**
 * The tree of a tokenizer.json. Added tokens and what stands around a text are the caller's to add.
 * @param vocab         {piece: id}; the tree takes a reference.
 * @param merges        ["a b"]; the tree takes a reference.
 * @param prefix_space  A blank goes in front of a text that has none.
 * @return NULL without memory. @memory Gives: json_decref.
 */
json_t *od_bpe_scheme_tree(const struct od_bpe_scheme *scheme, json_t *vocab, json_t *merges,
                           bool prefix_space);

#endif
