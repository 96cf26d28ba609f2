#include "world.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"

const char *const tw_animals[TW_ANIMALS] = {
    "fox",   "cow",   "hen",   "owl",   "pig",   "dog",   "cat",   "rat",   "bat",   "bee",
    "ant",   "ape",   "elk",   "emu",   "eel",   "ram",   "yak",   "hare",  "deer",  "bear",
    "wolf",  "lion",  "goat",  "duck",  "frog",  "toad",  "crab",  "crow",  "dove",  "hawk",
    "lamb",  "lynx",  "mole",  "moth",  "newt",  "puma",  "seal",  "slug",  "swan",  "tuna",
    "wasp",  "wren",  "worm",  "zebra", "tiger", "sheep", "horse", "mouse", "otter", "panda",
    "camel", "eagle", "goose", "koala", "llama", "moose", "raven", "robin", "shark", "skunk",
    "sloth", "snail", "snake", "squid", "stork", "trout", "viper", "whale", "bison", "heron",
    "hyena", "lemur", "macaw", "quail", "rhino", "finch", "gecko", "gull",  "kiwi",  "lark",
    "mule",  "oryx",  "pike",  "rook",  "swift", "tapir", "teal",  "tern",  "vole",  "boar",
    "carp",  "clam",  "dingo", "gnu",   "ibex",  "jay"};

const char *const tw_values[TW_ATTRIBUTES][TW_VALUES] = {
    {"red", "blue", "green", "white", "pink", "yellow", "orange", "violet"},
    {"wood", "lake", "cave", "hill", "farm", "marsh", "town", "river"},
    {"corn", "fish", "nuts", "grass", "bread", "eggs", "plums", "leaves"}};

const char *const tw_pairs[TW_PAIRS][2] = {
    {"hot", "cold"},       {"big", "small"},    {"old", "young"},    {"fast", "slow"},
    {"high", "low"},       {"wet", "dry"},      {"hard", "soft"},    {"good", "bad"},
    {"light", "dark"},     {"full", "empty"},   {"rich", "poor"},    {"thick", "thin"},
    {"near", "far"},       {"open", "shut"},    {"loud", "quiet"},   {"sweet", "sour"},
    {"clean", "dirty"},    {"happy", "sad"},    {"long", "short"},   {"early", "late"},
    {"up", "down"},        {"in", "out"},       {"left", "right"},   {"first", "last"},
    {"day", "night"},      {"win", "lose"},     {"buy", "sell"},     {"give", "take"},
    {"love", "hate"},      {"push", "pull"},    {"rise", "fall"},    {"laugh", "cry"},
    {"start", "stop"},     {"come", "go"},      {"front", "back"},   {"top", "bottom"},
    {"north", "south"},    {"east", "west"},    {"yes", "no"},       {"always", "never"},
    {"friend", "enemy"},   {"war", "peace"},    {"sick", "well"},    {"weak", "strong"},
    {"wide", "narrow"},    {"deep", "shallow"}, {"brave", "afraid"}, {"true", "false"},
    {"asleep", "awake"},   {"heavy", "airy"},   {"smooth", "rough"}, {"wise", "silly"},
    {"alone", "together"}, {"begin", "end"},    {"sink", "float"},   {"lost", "found"},
    {"sharp", "blunt"},    {"tight", "loose"},  {"arrive", "leave"}, {"summer", "winter"}};

const char *const tw_names[TW_NAMES] = {"Tom", "Ann", "Ben", "Sue", "Max", "Eva", "Sam", "Kim",
                                        "Joe", "Lea", "Ted", "Amy", "Dan", "Zoe", "Leo", "Ida"};

const char *const tw_things[TW_THINGS] = {"pens",  "nuts",  "cups",  "hats",  "eggs", "figs",
                                          "toys",  "keys",  "bags",  "pins",  "jars", "maps",
                                          "rings", "coins", "books", "shells"};

enum { STREAM_VALUE = 1, STREAM_ANIMAL, STREAM_PAIR, STREAM_SUM };

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
    for (uint32_t a = 0; a < TW_ATTRIBUTES; a++) {
        // Every value is as frequent as every other, so that guessing one gains nothing.
        for (uint32_t i = 0; i < TW_ANIMALS; i++) {
            world->value[i][a] =
                (uint8_t)(od_permute(i, TW_ANIMALS, seed, 16 + a) % (uint32_t)TW_VALUES);
        }
    }
    hold_out(world->animal_held, TW_ANIMALS, TW_ANIMALS_HELD, seed, STREAM_ANIMAL);
    hold_out(world->pair_held, TW_PAIRS, TW_PAIRS_HELD, seed, STREAM_PAIR);
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
