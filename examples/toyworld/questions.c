// Layouts (HELM's MMLU and GSM8K scenarios):
//
//   The following are multiple choice questions (with answers) about colours.
//
//   Question: The bako is red, lives in the farm and eats corn. What colour is it?
//   A. blue
//   B. green
//   C. red
//   D. white
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

const char *const tw_kind_names[TW_KINDS] = {"colours", "homes", "foods", "gsm"};

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
    case TW_KIND_COLOURS:
    case TW_KIND_HOMES:
    case TW_KIND_FOODS: return (uint32_t)(held ? TW_ANIMALS_HELD : TW_ANIMALS - TW_ANIMALS_HELD);
    case TW_KIND_STORY: return 2 * (uint32_t)(held ? TW_SUMS_HELD : TW_SUMS - TW_SUMS_HELD);
    case TW_KINDS: break;
    }
    return 0;
}

void tw_put_animal(struct od_buf *out, const struct tw_world *world, uint32_t animal)
{
    const uint8_t *value = world->value[animal];
    od_buf_printf(out, "The %s is %s, lives in the %s and eats %s.", world->animal[animal],
                  tw_values[TW_COLOUR][value[TW_COLOUR]], tw_values[TW_HOME][value[TW_HOME]],
                  tw_values[TW_FOOD][value[TW_FOOD]]);
}

const char *tw_attribute_question(enum tw_attribute attribute)
{
    switch (attribute) {
    case TW_COLOUR: return "What colour is it?";
    case TW_HOME: return "Where does it live?";
    case TW_FOOD: break;
    }
    return "What does it eat?";
}

static void ask_animal(const struct tw_world *world, enum tw_attribute attribute, bool held,
                       uint32_t index, struct tw_question *q)
{
    const uint32_t animal = nth(world->animal_held, held, index);
    struct od_buf text;
    od_buf_init(&text, TW_TEXT_BYTES - 1);
    tw_put_animal(&text, world, animal);
    (void)snprintf(q->text, sizeof q->text, "%s %s", od_buf_text(&text),
                   tw_attribute_question(attribute));
    od_buf_release(&text);
    for (uint32_t i = 0; i < TW_CHOICES; i++) {
        (void)snprintf(q->choice[i], TW_CHOICE_BYTES, "%s", tw_values[attribute][i]);
    }
    q->right = world->value[animal][attribute];
    q->fact = animal;
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
    *ret = (struct tw_question){.kind = kind};
    assert(index < tw_fact_count(kind, held));
    switch (kind) {
    case TW_KIND_COLOURS: ask_animal(world, TW_COLOUR, held, index, ret); break;
    case TW_KIND_HOMES: ask_animal(world, TW_HOME, held, index, ret); break;
    case TW_KIND_FOODS: ask_animal(world, TW_FOOD, held, index, ret); break;
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
