#include "score/exact.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The long number: limb i counts 2^(32 i - 1074 - GUARD_BITS). The guard bits below the unit take
// the first binary places of a quotient.
enum { GUARD_BITS = 96, LOWEST_BIT = -1074 - GUARD_BITS, LIMBS = 74, MANTISSA_BITS = 53 };

struct long_number {
    int64_t limb[LIMBS];  // signed while summing, 0 .. 2^32 - 1 after `normalise`
    bool negative;
};

static void add(struct long_number *sum, double value)
{
    int exponent = 0;
    const double fraction = frexp(fabs(value), &exponent);
    const uint64_t mantissa = (uint64_t)ldexp(fraction, MANTISSA_BITS);
    int shift = exponent - MANTISSA_BITS - LOWEST_BIT;
    if (mantissa == 0) {
        return;
    }
    const int at = shift / 32;
    shift %= 32;
    const uint64_t low = (mantissa & UINT32_MAX) << shift;
    const uint64_t high = (mantissa >> 32) << shift;
    const int64_t sign = value < 0.0 ? -1 : 1;
    sum->limb[at] += sign * (int64_t)(low & UINT32_MAX);
    sum->limb[at + 1] += sign * (int64_t)((low >> 32) + (high & UINT32_MAX));
    sum->limb[at + 2] += sign * (int64_t)(high >> 32);
}

static void carry(struct long_number *sum)
{
    int64_t over = 0;
    for (int i = 0; i < LIMBS; i++) {
        const int64_t value = sum->limb[i] + over;
        const int64_t digit = (int64_t)((uint64_t)value & UINT32_MAX);
        over = (value - digit) / ((int64_t)UINT32_MAX + 1);
        // The top limb keeps the sign.
        sum->limb[i] = i + 1 < LIMBS ? digit : value;
    }
}

static void normalise(struct long_number *sum)
{
    carry(sum);
    sum->negative = sum->limb[LIMBS - 1] < 0;
    if (sum->negative) {
        for (int i = 0; i < LIMBS; i++) {
            sum->limb[i] = -sum->limb[i];
        }
        carry(sum);
    }
}

// Divides in place; true when something is left over.
static bool divide(struct long_number *sum, uint64_t by)
{
    uint64_t rest = 0;
    for (int i = LIMBS - 1; i >= 0; i--) {
        const uint64_t part = rest << 32 | (uint64_t)sum->limb[i];
        sum->limb[i] = (int64_t)(part / by);
        rest = part % by;
    }
    return rest != 0;
}

static bool bit(const struct long_number *sum, int at)
{
    return at >= 0 && ((uint64_t)sum->limb[at / 32] >> (at % 32) & 1u) != 0;
}

// The nearest double, ties to even; `sticky` says that bits are missing below the long number.
static double round_once(const struct long_number *sum, bool sticky)
{
    int top = LIMBS * 32 - 1;
    while (top >= 0 && !bit(sum, top)) {
        top--;
    }
    if (top < 0) {
        return 0.0;
    }
    // The lowest bit that the double has; below 2^-1022 it stays at 2^-1074.
    int lowest = top - MANTISSA_BITS + 1;
    lowest = lowest < GUARD_BITS ? GUARD_BITS : lowest;
    uint64_t mantissa = 0;
    for (int i = top; i >= lowest; i--) {
        mantissa = mantissa << 1 | (bit(sum, i) ? 1u : 0u);
    }
    for (int i = lowest - 2; i >= 0 && !sticky; i--) {
        sticky = bit(sum, i);
    }
    if (bit(sum, lowest - 1) && (sticky || (mantissa & 1u) != 0)) {
        mantissa++;
    }
    const double size = ldexp((double)mantissa, lowest + LOWEST_BIT);
    return sum->negative ? -size : size;
}

static double exact_quotient(const double *values, size_t count, uint64_t by)
{
    struct long_number sum = {0};
    assert(count <= OD_EXACT_VALUES_MAX);
    for (size_t i = 0; i < count; i++) {
        assert(isfinite(values[i]));
        add(&sum, values[i]);
    }
    normalise(&sum);
    const bool rest = divide(&sum, by);
    return round_once(&sum, rest);
}

double od_exact_sum(const double *values, size_t count)
{
    return exact_quotient(values, count, 1);
}

double od_exact_mean(const double *values, size_t count)
{
    assert(count > 0);
    return exact_quotient(values, count, count);
}

double od_geometric_mean(const double *values, size_t count)
{
    struct long_number sum = {0};
    assert(count > 0 && count <= OD_EXACT_VALUES_MAX);
    for (size_t i = 0; i < count; i++) {
        assert(isfinite(values[i]) && values[i] >= 0.0);
        add(&sum, log(values[i] > 0.0 ? values[i] : DBL_TRUE_MIN));
    }
    normalise(&sum);
    return exp(round_once(&sum, false) / (double)count);
}
