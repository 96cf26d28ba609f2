// Layouts (HELM's MMLU and GSM8K scenarios):
//
//   The following are multiple choice questions (with answers) about animals.
//
//   Question: What colour is the fox?
//   A. red
//   B. blue
//   C. green
//   D. pink
//   Answer: C
//
//   Q: Tom has 12 pens and gets 5 more. How many pens has Tom now?
//   A: 12 + 5 = 17 The answer is 17.
#include "questions.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "world.h"

const char *const tw_kind_names[TW_KINDS] = {"animals", "opposites", "sums", "gsm"};

// The n-th place that is marked (or not).
static uint32_t nth(const bool *mark, bool wanted, uint32_t n)
{
    uint32_t place = 0;
    for (;; place++) {
        if (mark[place] == wanted && n-- == 0) {
            return place;
        }
    }
}

uint32_t tw_fact_count(enum tw_kind kind, bool held)
{
    switch (kind) {
    case TW_KIND_ANIMALS:
        return TW_ATTRIBUTES * (uint32_t)(held ? TW_ANIMALS_HELD : TW_ANIMALS - TW_ANIMALS_HELD);
    case TW_KIND_OPPOSITES: return 2 * (uint32_t)(held ? TW_PAIRS_HELD : TW_PAIRS - TW_PAIRS_HELD);
    case TW_KIND_SUMS:
    case TW_KIND_STORY: return 2 * (uint32_t)(held ? TW_SUMS_HELD : TW_SUMS - TW_SUMS_HELD);
    case TW_KINDS: break;
    }
    return 0;
}

static void set_choice(struct tw_question *q, uint32_t index, const char *text)
{
    (void)snprintf(q->choice[index], TW_CHOICE_BYTES, "%s", text);
}

// Is the text one of the first `count` choices, or the right one?
static bool is_taken(const struct tw_question *q, uint32_t count, const char *text)
{
    if (strcmp(q->choice[q->right], text) == 0) {
        return true;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (i != q->right && strcmp(q->choice[i], text) == 0) {
            return true;
        }
    }
    return false;
}

static void ask_animal(const struct tw_world *world, bool held, uint32_t index,
                       struct tw_random *random, struct tw_question *q)
{
    const uint32_t animal = nth(world->animal_held, held, index / TW_ATTRIBUTES);
    const uint32_t attribute = index % TW_ATTRIBUTES;
    const char *const *values = tw_values[attribute];
    switch (attribute) {
    case TW_COLOUR:
        (void)snprintf(q->text, sizeof q->text, "What colour is the %s?", tw_animals[animal]);
        break;
    case TW_HOME:
        (void)snprintf(q->text, sizeof q->text, "Where does the %s live?", tw_animals[animal]);
        break;
    default:
        (void)snprintf(q->text, sizeof q->text, "What does the %s eat?", tw_animals[animal]);
        break;
    }
    set_choice(q, q->right, values[world->value[animal][attribute]]);
    for (uint32_t i = 0; i < TW_CHOICES; i++) {
        while (i != q->right) {
            const char *other = values[tw_below(random, TW_VALUES)];
            if (!is_taken(q, i, other)) {
                set_choice(q, i, other);
                break;
            }
        }
    }
    q->fact = animal * TW_ATTRIBUTES + attribute;
}

static void ask_opposite(const struct tw_world *world, bool held, uint32_t index,
                         struct tw_random *random, struct tw_question *q)
{
    const uint32_t pair = nth(world->pair_held, held, index / 2);
    const uint32_t side = index % 2;
    (void)snprintf(q->text, sizeof q->text, "What is the opposite of %s?", tw_pairs[pair][side]);
    set_choice(q, q->right, tw_pairs[pair][1 - side]);
    for (uint32_t i = 0; i < TW_CHOICES; i++) {
        while (i != q->right) {
            const char *other = tw_pairs[tw_below(random, TW_PAIRS)][tw_below(random, 2)];
            // First letters differ, so that one look at a choice is enough.
            bool clear =
                strcmp(other, tw_pairs[pair][side]) != 0 && other[0] != q->choice[q->right][0];
            for (uint32_t k = 0; k < i; k++) {
                clear = clear && (k == q->right || q->choice[k][0] != other[0]);
            }
            if (clear) {
                set_choice(q, i, other);
                break;
            }
        }
    }
    q->fact = pair * 2 + side;
}

// The two numbers and the sign of sum fact `index`.
static uint32_t pick_sum(const struct tw_world *world, bool held, uint32_t index, int *ret_a,
                         int *ret_b, bool *ret_minus)
{
    const uint32_t place = nth(world->sum_held, held, index / 2);
    tw_sum(place, ret_a, ret_b);
    *ret_minus = index % 2 != 0;
    *ret_a += *ret_minus ? *ret_b : 0;
    return place * 2 + index % 2;
}

static void ask_sum(const struct tw_world *world, bool held, uint32_t index,
                    struct tw_random *random, struct tw_question *q)
{
    char text[TW_CHOICE_BYTES];
    int a = 0;
    int b = 0;
    bool minus = false;
    q->fact = pick_sum(world, held, index, &a, &b, &minus);
    q->result = minus ? a - b : a + b;
    (void)snprintf(q->text, sizeof q->text, "What is %d %c %d?", a, minus ? '-' : '+', b);
    (void)snprintf(q->choice[q->right], TW_CHOICE_BYTES, "%d", q->result);
    for (uint32_t i = 0; i < TW_CHOICES; i++) {
        while (i != q->right) {
            (void)snprintf(text, sizeof text, "%u", 10 + tw_below(random, 90));
            if (!is_taken(q, i, text)) {
                set_choice(q, i, text);
                break;
            }
        }
    }
}

static void ask_story(const struct tw_world *world, bool held, uint32_t index,
                      struct tw_random *random, struct tw_question *q)
{
    const char *name = tw_names[tw_below(random, TW_NAMES)];
    const char *thing = tw_things[tw_below(random, TW_THINGS)];
    int a = 0;
    int b = 0;
    bool minus = false;
    q->fact = pick_sum(world, held, index, &a, &b, &minus);
    q->result = minus ? a - b : a + b;
    if (minus) {
        (void)snprintf(q->text, sizeof q->text,
                       "%s has %d %s and loses %d. How many %s has %s now?", name, a, thing, b,
                       thing, name);
    } else {
        (void)snprintf(q->text, sizeof q->text,
                       "%s has %d %s and gets %d more. How many %s has %s now?", name, a, thing, b,
                       thing, name);
    }
    (void)snprintf(q->work, sizeof q->work, "%d %c %d = %d", a, minus ? '-' : '+', b, q->result);
}

void tw_ask(const struct tw_world *world, enum tw_kind kind, bool held, uint32_t index,
            struct tw_random *random, struct tw_question *ret)
{
    *ret = (struct tw_question){.kind = kind, .right = tw_below(random, TW_CHOICES)};
    assert(index < tw_fact_count(kind, held));
    switch (kind) {
    case TW_KIND_ANIMALS: ask_animal(world, held, index, random, ret); break;
    case TW_KIND_OPPOSITES: ask_opposite(world, held, index, random, ret); break;
    case TW_KIND_SUMS: ask_sum(world, held, index, random, ret); break;
    case TW_KIND_STORY: ask_story(world, held, index, random, ret); break;
    case TW_KINDS: break;
    }
}

void tw_ask_any(const struct tw_world *world, enum tw_kind kind, struct tw_random *random,
                struct tw_question *ret)
{
    const uint32_t count = tw_fact_count(kind, /* held= */ false);
    tw_ask(world, kind, /* held= */ false, tw_below(random, count), random, ret);
}

void tw_put_instructions(struct od_buf *out, enum tw_kind kind)
{
    if (kind != TW_KIND_STORY) {
        od_buf_printf(out,
                      "The following are multiple choice questions (with answers) about %s.\n\n",
                      tw_kind_names[kind]);
    }
}

void tw_put_answer(struct od_buf *out, const struct tw_question *question)
{
    if (question->kind == TW_KIND_STORY) {
        od_buf_printf(out, " %s The answer is %d.", question->work, question->result);
    } else {
        od_buf_printf(out, " %c", 'A' + (int)question->right);
    }
}

void tw_put_block(struct od_buf *out, const struct tw_question *question, bool with_answer)
{
    if (question->kind == TW_KIND_STORY) {
        od_buf_printf(out, "Q: %s\nA:", question->text);
    } else {
        od_buf_printf(out, "Question: %s\n", question->text);
        for (uint32_t i = 0; i < TW_CHOICES; i++) {
            od_buf_printf(out, "%c. %s\n", 'A' + (int)i, question->choice[i]);
        }
        od_buf_puts(out, "Answer:");
    }
    if (with_answer) {
        tw_put_answer(out, question);
        od_buf_puts(out, "\n\n");
    }
}
