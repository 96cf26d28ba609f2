#include "base/random.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/normal.h"
#include "base/status.h"

enum { MT_N = 624, MT_M = 397, FEISTEL_ROUNDS = 6, PY_SEED_TEXT_MAX_BYTES = 1 << 20 };

struct od_philox od_philox_draw(uint64_t seed, uint32_t stream, uint32_t step, uint64_t element)
{
    uint32_t key0 = (uint32_t)seed;
    uint32_t key1 = (uint32_t)(seed >> 32);
    uint32_t c[4] = {(uint32_t)element, (uint32_t)(element >> 32), step, stream};
    for (int round = 0; round < 10; round++) {
        const uint64_t product0 = (uint64_t)0xD2511F53u * c[0];
        const uint64_t product1 = (uint64_t)0xCD9E8D57u * c[2];
        const uint32_t next0 = (uint32_t)(product1 >> 32) ^ c[1] ^ key0;
        const uint32_t next2 = (uint32_t)(product0 >> 32) ^ c[3] ^ key1;
        c[1] = (uint32_t)product1;
        c[3] = (uint32_t)product0;
        c[0] = next0;
        c[2] = next2;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return (struct od_philox){{c[0], c[1], c[2], c[3]}};
}

float od_uniform_f32(uint32_t word)
{
    return (float)(word >> 8) * 0x1p-24F;
}

double od_uniform_f64(uint32_t high, uint32_t low)
{
    return od_normal_uniform(high, low);
}

void od_normal_pair(struct od_philox draw, double *ret_a, double *ret_b)
{
    od_normal_of_words(draw.word, ret_a, ret_b);
}

uint64_t od_permute(uint64_t index, uint64_t count, uint64_t seed, uint32_t epoch)
{
    uint32_t half_bits = 1;
    while (half_bits < 32 && (UINT64_C(1) << (2 * half_bits)) < count) {
        half_bits++;
    }
    const uint32_t mask = (uint32_t)((UINT64_C(1) << half_bits) - 1);
    uint64_t at = index;
    do {
        uint32_t left = (uint32_t)(at >> half_bits) & mask;
        uint32_t right = (uint32_t)at & mask;
        for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
            const uint32_t mixed = od_philox_draw(seed, 0x5045524DU + round, epoch, right).word[0];
            const uint32_t next = (left ^ mixed) & mask;
            left = right;
            right = next;
        }
        at = ((uint64_t)left << half_bits) | right;
    } while (at >= count);
    return at;
}

void od_mt_seed_numpy(struct od_mt19937 *mt, uint32_t seed)
{
    mt->state[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++) {
        const uint32_t last = mt->state[i - 1];
        mt->state[i] = 1812433253u * (last ^ (last >> 30)) + i;
    }
    mt->index = MT_N;
}

static void seed_by_array(struct od_mt19937 *mt, const uint32_t *key, size_t length)
{
    uint32_t *state = mt->state;
    size_t i = 1;
    size_t j = 0;

    od_mt_seed_numpy(mt, 19650218u);
    for (size_t k = length > MT_N ? length : MT_N; k > 0; k--) {
        const uint32_t last = state[i - 1];
        state[i] = (state[i] ^ ((last ^ (last >> 30)) * 1664525u)) + key[j] + (uint32_t)j;
        i++;
        j++;
        if (i >= MT_N) {
            state[0] = state[MT_N - 1];
            i = 1;
        }
        if (j >= length) {
            j = 0;
        }
    }
    for (size_t k = MT_N - 1; k > 0; k--) {
        const uint32_t last = state[i - 1];
        state[i] = (state[i] ^ ((last ^ (last >> 30)) * 1566083941u)) - (uint32_t)i;
        i++;
        if (i >= MT_N) {
            state[0] = state[MT_N - 1];
            i = 1;
        }
    }
    state[0] = 0x80000000u;
    mt->index = MT_N;
}

void od_mt_seed_python_int(struct od_mt19937 *mt, uint64_t seed)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    seed_by_array(mt, key, key[1] != 0 ? 2 : 1);
}

enum od_status od_mt_seed_python_str(struct od_mt19937 *mt, const char *text, size_t size,
                                     struct od_error *err)
{
    enum { DIGEST_BYTES = 64 };
    if (size > PY_SEED_TEXT_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "seed text of %zu bytes is too long", size);
    }
    const size_t total = size + DIGEST_BYTES;
    unsigned char *bytes = od_alloc(total, 1);
    uint32_t *key = od_alloc(total / 4 + 1, sizeof *key);
    enum od_status status = OD_OK;
    size_t words = 1;

    if (!bytes || !key) {
        status = od_fail(err, OD_E_MEMORY, "no memory to seed a random generator");
        goto done;
    }
    memcpy(bytes, text, size);
    od_sha512(text, size, bytes + size);
    // One big-endian integer; key words are its 32-bit digits, least significant first.
    for (size_t i = 0; i < total; i++) {
        const size_t from_end = total - 1 - i;
        key[from_end / 4] |= (uint32_t)bytes[i] << (8 * (from_end % 4));
    }
    for (size_t i = 0; i < total / 4 + 1; i++) {
        if (key[i] != 0) {
            words = i + 1;
        }
    }
    seed_by_array(mt, key, words);

done:
    od_free(key);
    od_free(bytes);
    return status;
}

static void twist(uint32_t *state)
{
    for (int i = 0; i < MT_N; i++) {
        const uint32_t y = (state[i] & 0x80000000u) | (state[(i + 1) % MT_N] & 0x7FFFFFFFu);
        state[i] = state[(i + MT_M) % MT_N] ^ (y >> 1) ^ ((y & 1u) != 0 ? 0x9908B0DFu : 0u);
    }
}

uint32_t od_mt_u32(struct od_mt19937 *mt)
{
    if (mt->index >= MT_N) {
        twist(mt->state);
        mt->index = 0;
    }
    uint32_t y = mt->state[mt->index++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    y ^= y >> 18;
    return y;
}

double od_py_random(struct od_mt19937 *mt)
{
    const uint32_t a = od_mt_u32(mt) >> 5;
    const uint32_t b = od_mt_u32(mt) >> 6;
    return ((double)a * 67108864.0 + (double)b) / 9007199254740992.0;
}

static uint64_t getrandbits(struct od_mt19937 *mt, int bits)
{
    uint64_t value = 0;
    for (int shift = 0; bits > 0; shift += 32, bits -= 32) {
        uint32_t word = od_mt_u32(mt);
        if (bits < 32) {
            word >>= 32 - bits;
        }
        value |= (uint64_t)word << shift;
    }
    return value;
}

uint64_t od_py_randbelow(struct od_mt19937 *mt, uint64_t n)
{
    int bits = 0;
    while (bits < 64 && (n >> bits) != 0) {
        bits++;
    }
    uint64_t value;
    do {
        value = getrandbits(mt, bits);
    } while (value >= n);
    return value;
}

void od_py_shuffle(struct od_mt19937 *mt, int64_t *items, size_t count)
{
    for (size_t i = count; i-- > 1;) {
        const size_t j = (size_t)od_py_randbelow(mt, i + 1);
        const int64_t swap = items[i];
        items[i] = items[j];
        items[j] = swap;
    }
}

enum od_status od_py_sample(struct od_mt19937 *mt, size_t n, size_t k, int64_t *out,
                            struct od_error *err)
{
    size_t set_size = 21;
    if (k > n) {
        return od_fail(err, OD_E_ARGUMENT, "cannot sample %zu of %zu items", k, n);
    }
    if (k > 5) {
        set_size += (size_t)pow(4.0, ceil(log((double)k * 3.0) / log(4.0)));
    }
    if (n <= set_size) {
        int64_t *pool = od_alloc(n, sizeof *pool);
        if (!pool) {
            return od_fail(err, OD_E_MEMORY, "no memory to sample");
        }
        for (size_t i = 0; i < n; i++) {
            pool[i] = (int64_t)i;
        }
        for (size_t i = 0; i < k; i++) {
            const size_t j = (size_t)od_py_randbelow(mt, n - i);
            out[i] = pool[j];
            pool[j] = pool[n - i - 1];
        }
        od_free(pool);
        return OD_OK;
    }
    unsigned char *taken = od_alloc(n, 1);
    if (!taken) {
        return od_fail(err, OD_E_MEMORY, "no memory to sample");
    }
    for (size_t i = 0; i < k; i++) {
        size_t j;
        do {
            j = (size_t)od_py_randbelow(mt, n);
        } while (taken[j] != 0);
        taken[j] = 1;
        out[i] = (int64_t)j;
    }
    od_free(taken);
    return OD_OK;
}

static uint32_t np_interval(struct od_mt19937 *mt, uint32_t max)
{
    uint32_t mask = max;
    if (max == 0) {
        return 0;
    }
    for (int shift = 1; shift < 32; shift *= 2) {
        mask |= mask >> shift;
    }
    uint32_t value;
    do {
        value = od_mt_u32(mt) & mask;
    } while (value > max);
    return value;
}

void od_np_permutation(struct od_mt19937 *mt, int64_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (int64_t)i;
    }
    for (size_t i = n; i-- > 1;) {
        const size_t j = np_interval(mt, (uint32_t)i);
        const int64_t swap = out[i];
        out[i] = out[j];
        out[j] = swap;
    }
}
