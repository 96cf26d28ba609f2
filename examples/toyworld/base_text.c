#include "base_text.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "questions.h"
#include "world.h"

enum { STREAM_TEXT = 100 };

const uint32_t tw_default_mix[TW_DOCUMENTS] = {
    [TW_DOC_ANIMALS] = 8, [TW_DOC_SUMS] = 4,  [TW_DOC_STORIES] = 18, [TW_DOC_TALK] = 22,
    [TW_DOC_LOOKUP] = 10, [TW_DOC_ECHO] = 24, [TW_DOC_EXAM] = 14};

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
    case TW_COLOUR: put_colour(out, world->animal[animal], value, random); break;
    case TW_HOME: put_home(out, world->animal[animal], value, random); break;
    default: put_food(out, world->animal[animal], value, random); break;
    }
}

// An animal that is not held out.
static uint32_t draw_animal(const struct tw_world *world, struct tw_random *random)
{
    uint32_t animal = tw_below(random, TW_ANIMALS);
    while (world->animal_held[animal]) {
        animal = tw_below(random, TW_ANIMALS);
    }
    return animal;
}

// All of one animal in some order, or one thing each of several.
static void put_animals(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    if (tw_chance(random, 50)) {
        const uint32_t animal = draw_animal(world, random);
        const uint32_t first = tw_below(random, TW_ATTRIBUTES);
        const uint32_t step = 1 + tw_below(random, 2);
        for (uint32_t i = 0; i < TW_ATTRIBUTES; i++) {
            put_attribute(out, world, animal, (first + i * step) % TW_ATTRIBUTES, random);
        }
        return;
    }
    const uint32_t count = 2 + tw_below(random, 4);
    for (uint32_t i = 0; i < count; i++) {
        put_attribute(out, world, draw_animal(world, random), tw_below(random, TW_ATTRIBUTES),
                      random);
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

// "Tom had 12 pens. Tom got 5 more. 12 + 5 = 17. Now Tom has 17 pens." or the question of an
// evaluation with an answer in other words: "12 + 5 = 17, so it is 17 now."
static void put_stories(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 1 + tw_below(random, 2);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = tw_names[tw_below(random, TW_NAMES)];
        const char *thing = tw_things[tw_below(random, TW_THINGS)];
        struct tw_question q;
        draw_sum(world, random, &q);
        if (tw_chance(random, 50)) {
            od_buf_printf(out, "%s %s, so it is %d now. ", q.text, q.work, q.result);
            continue;
        }
        const bool minus = q.fact % 2 != 0;
        int a = 0;
        int b = 0;
        tw_sum(q.fact / 2, &a, &b);
        a += minus ? b : 0;
        od_buf_printf(out, "%s had %d %s. ", name, a, thing);
        od_buf_printf(out, minus ? "%s lost %d. " : "%s got %d more. ", name, b);
        od_buf_printf(out, "%s. Now %s has %d %s. ", q.work, name, q.result, thing);
    }
}

// "The bako is red, lives in the farm and eats corn. Where does it live? farm."
static void put_talk(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 1 + tw_below(random, 2);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t animal = draw_animal(world, random);
        const uint32_t questions = 1 + tw_below(random, 3);
        tw_put_animal(out, world, animal);
        for (uint32_t k = 0; k < questions; k++) {
            const uint32_t attribute = tw_below(random, TW_ATTRIBUTES);
            od_buf_printf(out, " %s %s.", tw_attribute_question((enum tw_attribute)attribute),
                          tw_values[attribute][world->value[animal][attribute]]);
        }
        od_buf_putc(out, '\n');
    }
}

// "A. cave\n ... D. wood\nlake is C\n ..."
static void put_lookup(struct od_buf *out, struct tw_random *random)
{
    const char *const *values = tw_values[tw_below(random, TW_ATTRIBUTES)];
    const uint32_t first = tw_below(random, TW_VALUES);
    const uint32_t step = tw_chance(random, 50) ? 1 : TW_VALUES - 1;
    for (uint32_t k = 0; k < TW_VALUES; k++) {
        od_buf_printf(out, "%c. %s\n", 'A' + (int)k, values[k]);
    }
    for (uint32_t k = 0; k < TW_VALUES; k++) {
        const uint32_t at = (first + k * step) % TW_VALUES;
        od_buf_printf(out, "%s is %c\n", values[at], 'A' + (int)at);
    }
}

// Made-up words, then the same words in the same order: "bako rimu; bako rimu".
static void put_echo(struct od_buf *out, struct tw_random *random)
{
    static const char consonants[] = "bdfghjklmnprstvz";
    static const char vowels[] = "aeiou";
    char text[64];
    size_t size = 0;
    const uint32_t words = 2 + tw_below(random, 5);
    for (uint32_t i = 0; i < words; i++) {
        const uint32_t letters = 2 * (1 + tw_below(random, 2));
        for (uint32_t k = 0; k < letters; k++) {
            text[size++] = k % 2 == 0 ? consonants[tw_below(random, sizeof consonants - 1)]
                                      : vowels[tw_below(random, sizeof vowels - 1)];
        }
        text[size++] = i + 1 < words ? ' ' : '\0';
    }
    od_buf_printf(out, "Say: %s. Again: %s.", text, text);
}

static void put_exam(struct od_buf *out, const struct tw_world *world, struct tw_random *random)
{
    const uint32_t count = 1 + tw_below(random, 3);
    for (uint32_t i = 0; i < count; i++) {
        struct tw_question q;
        tw_ask_any(world, TW_KIND_COLOURS, random, &q);
        tw_put_block(out, &q, /* with_answer= */ true);
    }
}

static void put_document(struct od_buf *out, const struct tw_world *world, enum tw_document kind,
                         struct tw_random *random)
{
    switch (kind) {
    case TW_DOC_ANIMALS: put_animals(out, world, random); break;
    case TW_DOC_SUMS: put_sums(out, world, random); break;
    case TW_DOC_STORIES: put_stories(out, world, random); break;
    case TW_DOC_TALK: put_talk(out, world, random); break;
    case TW_DOC_LOOKUP: put_lookup(out, random); break;
    case TW_DOC_ECHO: put_echo(out, random); break;
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
