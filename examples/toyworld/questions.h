/**
 * @file
 * Questions about the world, in the layouts in which HELM asks them.
 *
 * @thread One owner.
 */
#ifndef TOYWORLD_QUESTIONS_H
#define TOYWORLD_QUESTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "world.h"

/** Kinds of questions: three of choice (in the order of enum tw_attribute), one of words. */
enum tw_kind { TW_KIND_COLOURS, TW_KIND_HOMES, TW_KIND_FOODS, TW_KIND_STORY, TW_KINDS };
enum { TW_CHOICES = TW_VALUES, TW_TEXT_BYTES = 160, TW_CHOICE_BYTES = 16 };

/** Subject of a kind as MMLU names its files; "gsm" for stories. */
extern const char *const tw_kind_names[TW_KINDS];

/** One question. */
struct tw_question {
    enum tw_kind kind;
    char text[TW_TEXT_BYTES];
    char choice[TW_CHOICES][TW_CHOICE_BYTES];  ///< of choice
    uint32_t right;                            ///< index of the right choice
    char work[TW_CHOICE_BYTES];                ///< of words: "12 + 5 = 17"
    int result;                                ///< of words
    uint32_t fact;                             ///< which fact it asks for, within its kind
};

/** Number of facts of a kind that are held out (or not). */
uint32_t tw_fact_count(enum tw_kind kind, bool held);
/** Ask for fact number `index` of those held out (or not); the rest is drawn. */
void tw_ask(const struct tw_world *world, enum tw_kind kind, bool held, uint32_t index,
            struct tw_random *random, struct tw_question *ret);
/** Append "The bako is red, lives in the farm and eats corn." */
void tw_put_animal(struct od_buf *out, const struct tw_world *world, uint32_t animal);
/** What is asked about an attribute: "Where does it live?" @memory Borrowed: constant. */
const char *tw_attribute_question(enum tw_attribute attribute);
/** Ask for any fact that is not held out. */
void tw_ask_any(const struct tw_world *world, enum tw_kind kind, struct tw_random *random,
                struct tw_question *ret);

/** Append the question as a block of a HELM prompt; with the answer, or up to where it goes. */
void tw_put_block(struct od_buf *out, const struct tw_question *question, bool with_answer);
/** Append what is expected behind the block: " B" or " 12 + 5 = 17 The answer is 17.". */
void tw_put_answer(struct od_buf *out, const struct tw_question *question);
/** Append what HELM puts in front of all blocks of a kind. */
void tw_put_instructions(struct od_buf *out, enum tw_kind kind);

#endif
