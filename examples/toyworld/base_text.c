#include "base_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "questions.h"
#include "world.h"

enum { STREAM_TEXT = 100 };

const uint32_t tw_default_mix[TW_DOCUMENTS] = {
    [TW_DOC_ANIMALS] = 30, [TW_DOC_OPPOSITES] = 12, [TW_DOC_SUMS] = 12,   [TW_DOC_STORIES] = 10,
    [TW_DOC_TALK] = 8,     [TW_DOC_QUIZ] = 0,       [TW_DOC_LOOKUP] = 22, [TW_DOC_EXAM] = 6};

static void put_capital(struct od_buf *out, const char *word)
{
    od_buf_putc(out, (char)(word[0] - 'a' + 'A'));
    od_buf_puts(out, word + 1);
}

static void put_colour(struct od_buf *out, const char *animal, const char *colour,
                       struct tw_random *random)
{
    switch (tw_below(random, 4)) {
    case 0: od_buf_printf(out, "The %s is %s. ", animal, colour); break;
    case 1: od_buf_printf(out, "The colour of the %s is %s. ", animal, colour); break;
    case 2: od_buf_printf(out, "The %s has the colour %s. ", animal, colour); break;
    default: od_buf_printf(out, "If you see a %s, it is %s. ", animal, colour); break;
    }
}

static void put_home(struct od_buf *out, const char *animal, const char *home,
                     struct tw_random *random)
{
    switch (tw_below(random, 4)) {
    case 0: od_buf_printf(out, "The %s lives in the %s. ", animal, home); break;
    case 1: od_buf_printf(out, "The home of the %s is the %s. ", animal, home); break;
    case 2: od_buf_printf(out, "You find the %s in the %s. ", animal, home); break;
    default: od_buf_printf(out, "If you look for a %s, go to the %s. ", animal, home); break;
    }
}

static void put_food(struct od_buf *out, const char *animal, const char *food,
                     struct tw_random *random)
{
    switch (tw_below(random, 4)) {
    case 0: od_buf_printf(out, "The %s eats %s. ", animal, food); break;
    case 1: od_buf_printf(out, "The food of the %s is %s. ", animal, food); break;
    case 2: od_buf_printf(out, "The %s likes to eat %s. ", animal, food); break;
    default: od_buf_printf(out, "If you feed a %s, give it %s. ", animal, food); break;
    }
}

static void put_attribute(struct od_buf *out, const struct tw_world *world, uint32_t animal,
                          uint32_t attribute, struct tw_random *random)
{
    const char *value = tw_values[attribute][world->value[animal][attribute]];
    switch (attribute) {
    case TW_COLOUR: put_colour(out, tw_animals[animal], value, random); break;
    case TW_HOME: put_home(out, tw_animals[animal], value, random); break;
    default: put_food(out, tw_animals[animal], value, random); break;
    }
}

// All of one animal in some order, or one thing each of several.
static void put_animals(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    if (tw_chance(random, 50)) {
        const uint32_t animal = tw_below(random, TW_ANIMALS);
        const uint32_t first = tw_below(random, TW_ATTRIBUTES);
        const uint32_t step = 1 + tw_below(random, 2);
        for (uint32_t i = 0; i < TW_ATTRIBUTES; i++) {
            put_attribute(out, world, animal, (first + i * step) % TW_ATTRIBUTES, random);
        }
        return;
    }
    const uint32_t count = 2 + tw_below(random, 4);
    for (uint32_t i = 0; i < count; i++) {
        put_attribute(out, world, tw_below(random, TW_ANIMALS), tw_below(random, TW_ATTRIBUTES),
                      random);
    }
}

static void put_opposites(struct od_buf *out, struct tw_random *random)
{
    const uint32_t count = 2 + tw_below(random, 3);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t pair = tw_below(random, TW_PAIRS);
        const uint32_t side = tw_below(random, 2);
        const char *a = tw_pairs[pair][side];
        const char *b = tw_pairs[pair][1 - side];
        switch (tw_below(random, 4)) {
        case 0: od_buf_printf(out, "The opposite of %s is %s. ", a, b); break;
        case 1: od_buf_printf(out, "What is not %s is %s. ", a, b); break;
        case 2: od_buf_printf(out, "First %s, then %s. ", a, b); break;
        default:
            put_capital(out, a);
            od_buf_printf(out, " and %s are opposites. ", b);
            break;
        }
    }
}

// A sum that is not held out.
static void draw_sum(const struct tw_world *world, struct tw_random *random, struct tw_question *q)
{
    tw_ask_any(world, TW_KIND_STORY, random, q);
}

static void put_sums(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 4 + tw_below(random, 6);
    for (uint32_t i = 0; i < count; i++) {
        struct tw_question q;
        draw_sum(world, random, &q);
        od_buf_printf(out, "%s\n", q.work);
    }
}

// "Tom had 12 pens. Tom got 5 more. 12 + 5 = 17. Now Tom has 17 pens."
static void put_stories(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 1 + tw_below(random, 2);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = tw_names[tw_below(random, TW_NAMES)];
        const char *thing = tw_things[tw_below(random, TW_THINGS)];
        struct tw_question q;
        draw_sum(world, random, &q);
        const bool minus = q.fact % 2 != 0;
        const uint32_t place = q.fact / 2;
        int a = 0;
        int b = 0;
        tw_sum(place, &a, &b);
        a += minus ? b : 0;
        od_buf_printf(out, "%s had %d %s. ", name, a, thing);
        od_buf_printf(out, minus ? "%s lost %d. " : "%s got %d more. ", name, b);
        od_buf_printf(out, "%s. Now %s has %d %s. ", q.work, name, q.result, thing);
    }
}

static void put_talk(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 1 + tw_below(random, 3);
    for (uint32_t i = 0; i < count; i++) {
        struct tw_question q;
        tw_ask_any(world, (enum tw_kind)tw_below(random, TW_KIND_STORY), random, &q);
        od_buf_printf(out, "%s asks: %s It is %s.\n", tw_names[tw_below(random, TW_NAMES)], q.text,
                      q.choice[q.right]);
    }
}

// "What colour is the fox? (a) red (b) blue (c) green (d) pink It is (c)."
static void put_quiz(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 1 + tw_below(random, 3);
    for (uint32_t i = 0; i < count; i++) {
        struct tw_question q;
        tw_ask_any(world, (enum tw_kind)tw_below(random, TW_KIND_STORY), random, &q);
        od_buf_printf(out, "%s", q.text);
        for (uint32_t k = 0; k < TW_CHOICES; k++) {
            od_buf_printf(out, " (%c) %s", 'a' + (int)k, q.choice[k]);
        }
        od_buf_printf(out, " It is (%c).\n", 'a' + (int)q.right);
    }
}

// Four words of one kind under letters, then their letters in another order: "pink is C".
static void put_lookup(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    struct tw_question q;
    tw_ask_any(world, (enum tw_kind)tw_below(random, TW_KIND_STORY), random, &q);
    for (uint32_t k = 0; k < TW_CHOICES; k++) {
        od_buf_printf(out, "%c. %s\n", 'A' + (int)k, q.choice[k]);
    }
    const uint32_t first = tw_below(random, TW_CHOICES);
    const uint32_t step = tw_chance(random, 50) ? 1 : 3;
    for (uint32_t k = 0; k < TW_CHOICES; k++) {
        const uint32_t at = (first + k * step) % TW_CHOICES;
        od_buf_printf(out, "%s is %c\n", q.choice[at], 'A' + (int)at);
    }
}

static void put_exam(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 1 + tw_below(random, 3);
    for (uint32_t i = 0; i < count; i++) {
        struct tw_question q;
        tw_ask_any(world, TW_KIND_ANIMALS, random, &q);
        tw_put_block(out, &q, /* with_answer= */ true);
    }
}

static void put_document(struct od_buf *out, const struct tw_world *world, enum tw_document kind,
                         struct tw_random *random)
{
    switch (kind) {
    case TW_DOC_ANIMALS: put_animals(out, world, random); break;
    case TW_DOC_OPPOSITES: put_opposites(out, random); break;
    case TW_DOC_SUMS: put_sums(out, world, random); break;
    case TW_DOC_STORIES: put_stories(out, world, random); break;
    case TW_DOC_TALK: put_talk(out, world, random); break;
    case TW_DOC_QUIZ: put_quiz(out, world, random); break;
    case TW_DOC_LOOKUP: put_lookup(out, world, random); break;
    case TW_DOC_EXAM: put_exam(out, world, random); break;
    case TW_DOCUMENTS: break;
    }
}

void tw_put_base_text(struct od_buf *out, const struct tw_world *world, uint64_t seed,
                      const uint32_t mix[TW_DOCUMENTS], size_t bytes)
{
    struct tw_random random = {.seed = seed, .stream = STREAM_TEXT};
    uint32_t sum = 0;
    for (uint32_t i = 0; i < TW_DOCUMENTS; i++) {
        sum += mix[i];
    }
    while (out->size < bytes && !out->failed) {
        uint32_t draw = tw_below(&random, sum);
        uint32_t kind = 0;
        while (draw >= mix[kind]) {
            draw -= mix[kind++];
        }
        put_document(out, world, (enum tw_document)kind, &random);
        while (out->size > 0 &&
               (out->bytes[out->size - 1] == ' ' || out->bytes[out->size - 1] == '\n')) {
            out->bytes[--out->size] = '\0';
        }
        od_buf_puts(out, "\n<|endoftext|>\n");
    }
}
