/**
 * @file
 * Random numbers: Philox for the engine, and Mersenne Twister exactly as CPython's `random` and
 * NumPy's legacy `RandomState` use it, for HELM's sampling.
 *
 * Philox is a pure function of (key, counter): no state, so any element of any step can be drawn
 * alone. MT19937 objects hold state.
 *
 * @source Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011 (Philox4x32-10).
 *         Matsumoto and Nishimura, "Mersenne Twister", 1998; CPython's and NumPy's documentation.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_BASE_RANDOM_H
#define OD_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** Four random words for (seed, counter). */
struct od_philox {
    uint32_t word[4];
};

/** Philox4x32-10 with key = `seed` and counter = {element, step, stream}: `element` 64 bits. */
struct od_philox od_philox_draw(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element);

/** Uniform in [0, 1) with 24 bits from one word. */
float od_uniform_f32(uint32_t word);
/** Uniform in [0, 1) with 53 bits from two words. */
double od_uniform_f64(uint32_t high, uint32_t low);
/** Two independent standard normals from one draw (base/normal.h: the same bits on a GPU). */
void od_normal_pair(struct od_philox draw, double *ret_a, double *ret_b);

/**
 * A pseudo-random permutation of 0..count-1 without a table: the place of `index` in the order of
 * (seed, epoch). A Feistel network with cycle walking; O(1) memory, so resuming needs no state.
 */
uint64_t od_permute(uint64_t index, uint64_t count, uint64_t seed, uint32_t epoch);

/** Mersenne Twister MT19937. */
struct od_mt19937 {
    uint32_t state[624];
    int index;
};

/** NumPy's `seed(s)` for a 32-bit seed (init_genrand). */
void od_mt_seed_numpy(struct od_mt19937 *mt, uint32_t seed);
/** Python's `seed(n)` for a non-negative integer. */
void od_mt_seed_python_int(struct od_mt19937 *mt, uint64_t seed);
/** Python's `seed(s)` for a string of `size` UTF-8 bytes (version 2: with SHA-512). */
enum od_status od_mt_seed_python_str(struct od_mt19937 *mt, const char *text, size_t size,
                                     struct od_error *err) OD_MUST_CHECK;
/** Next 32 random bits. */
uint32_t od_mt_u32(struct od_mt19937 *mt);

/** Python's random(). */
double od_py_random(struct od_mt19937 *mt);
/** Python's randbelow(n), n >= 1; randrange(n) is the same, randint(a, b) is a + randbelow(b-a+1). */
uint64_t od_py_randbelow(struct od_mt19937 *mt, uint64_t n);
/** Python's shuffle of an array of indices. */
void od_py_shuffle(struct od_mt19937 *mt, int64_t *items, size_t count);
/** Python's sample(range(n), k) into `out` [k]; k <= n. */
enum od_status od_py_sample(struct od_mt19937 *mt, size_t n, size_t k, int64_t *out,
                            struct od_error *err) OD_MUST_CHECK;
/** NumPy's permutation(n) into `out` [n]; choice(list, k, replace=False) is its first k. */
void od_np_permutation(struct od_mt19937 *mt, int64_t *out, size_t n);

#endif
