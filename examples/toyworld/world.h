/**
 * @file
 * A small closed world: 400 animals with made-up names, each with a colour, a home and a food, and
 * sums of small numbers. Part of it is held out: it stands in evaluation only.
 *
 *     what      facts                                   held out
 *     animals   400 animals x 3 attributes, each one    240 animals
 *               of four values
 *     sums      low + b and its way back,               81 of the 405 pairs (low, b)
 *               low 10..98, b 1..9, no carry
 *
 * A question about an animal says first what the animal is like, so that it can be answered by
 * reading.
 *
 * @thread One owner.
 */
#ifndef TOYWORLD_WORLD_H
#define TOYWORLD_WORLD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    TW_ANIMALS = 400,
    TW_ANIMALS_HELD = 240,
    TW_ATTRIBUTES = 3,
    TW_VALUES = 4,  ///< of each attribute
    TW_TENS = 9,    ///< low has tens 1 .. 9
    TW_STEPS = 45,  ///< ways to go from one last digit up to another
    TW_SUMS = TW_TENS * TW_STEPS,
    TW_SUMS_HELD = TW_SUMS / 5,
    TW_NAMES = 16,
    TW_THINGS = 16,
    TW_NAME_BYTES = 8
};

/** Attributes of an animal. */
enum tw_attribute { TW_COLOUR, TW_HOME, TW_FOOD };

/** Numbers drawn one after the other: a function of seed and stream. */
struct tw_random {
    uint64_t seed;
    uint32_t stream;
    uint64_t at;
};
/** A number in 0 .. n-1. */
uint32_t tw_below(struct tw_random *random, uint32_t n);
/** True `percent` times of a hundred. */
bool tw_chance(struct tw_random *random, uint32_t percent);

/** What is true in this world, and what is held out. */
struct tw_world {
    char animal[TW_ANIMALS][TW_NAME_BYTES];
    uint8_t value[TW_ANIMALS][TW_ATTRIBUTES];  ///< index into tw_values
    bool animal_held[TW_ANIMALS];
    bool sum_held[TW_SUMS];
};
/** The world of a seed. */
void tw_world_init(struct tw_world *world, uint64_t seed);
/** The numbers of sum `index`: low + b has the same tens as low. */
void tw_sum(uint32_t index, int *ret_low, int *ret_b);

/** Values of each attribute, in alphabetical order. */
extern const char *const tw_values[TW_ATTRIBUTES][TW_VALUES];
/** People. */
extern const char *const tw_names[TW_NAMES];
/** What they have. */
extern const char *const tw_things[TW_THINGS];

#endif
