#include "world.h"

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

const char *const tw_values[TW_ATTRIBUTES][TW_VALUES] = {{"blue", "green", "red", "white"},
                                                         {"cave", "farm", "lake", "wood"},
                                                         {"corn", "fish", "grass", "nuts"}};

const char *const tw_names[TW_NAMES] = {"Tom", "Ann", "Ben", "Sue", "Max", "Eva", "Sam", "Kim",
                                        "Joe", "Lea", "Ted", "Amy", "Dan", "Zoe", "Leo", "Ida"};

const char *const tw_things[TW_THINGS] = {"pens",  "nuts",  "cups",  "hats",  "eggs", "figs",
                                          "toys",  "keys",  "bags",  "pins",  "jars", "maps",
                                          "rings", "coins", "books", "shells"};

static const char consonants[] = "bdfgklmnprstvz";
static const char vowels[] = "aeiou";

enum {
    STREAM_ANIMAL = 1,
    STREAM_SUM,
    STREAM_NAME,
    STREAM_VALUE = 16,
    CONSONANTS = sizeof consonants - 1,
    VOWELS = sizeof vowels - 1,
    NAMES = CONSONANTS * VOWELS * CONSONANTS * VOWELS
};

uint32_t tw_below(struct tw_random *random, uint32_t n)
{
    const struct od_philox draw = od_philox_draw(random->seed, random->stream, 0, random->at++);
    return (uint32_t)(((uint64_t)draw.word[0] * n) >> 32);
}

bool tw_chance(struct tw_random *random, uint32_t percent)
{
    return tw_below(random, 100) < percent;
}

// Mark `held` of `count` places.
static void hold_out(bool *mark, uint32_t count, uint32_t held, uint64_t seed, uint32_t stream)
{
    for (uint32_t i = 0; i < count; i++) {
        mark[i] = od_permute(i, count, seed, stream) < held;
    }
}

void tw_world_init(struct tw_world *world, uint64_t seed)
{
    *world = (struct tw_world){0};
    for (uint32_t i = 0; i < TW_ANIMALS; i++) {
        uint32_t name = (uint32_t)od_permute(i, NAMES, seed, STREAM_NAME);
        world->animal[i][0] = consonants[name % CONSONANTS];
        name /= CONSONANTS;
        world->animal[i][1] = vowels[name % VOWELS];
        name /= VOWELS;
        world->animal[i][2] = consonants[name % CONSONANTS];
        world->animal[i][3] = vowels[name / CONSONANTS];
        // Every value is as frequent as every other, so that guessing one gains nothing.
        for (uint32_t a = 0; a < TW_ATTRIBUTES; a++) {
            world->value[i][a] =
                (uint8_t)(od_permute(i, TW_ANIMALS, seed, STREAM_VALUE + a) % (uint32_t)TW_VALUES);
        }
    }
    hold_out(world->animal_held, TW_ANIMALS, TW_ANIMALS_HELD, seed, STREAM_ANIMAL);
    hold_out(world->sum_held, TW_SUMS, TW_SUMS_HELD, seed, STREAM_SUM);
}

void tw_sum(uint32_t index, int *ret_low, int *ret_b)
{
    uint32_t step = index % TW_STEPS;
    int ones = 0;
    while (step >= (uint32_t)(9 - ones)) {
        step -= (uint32_t)(9 - ones++);
    }
    *ret_low = (1 + (int)(index / TW_STEPS)) * 10 + ones;
    *ret_b = 1 + (int)step;
}
