#include "eval/metrics/numpy.h"

#include <stdbool.h>
#include <stddef.h>

enum { SMALL = 16 };

static void swap(size_t *a, size_t *b)
{
    const size_t kept = *a;
    *a = *b;
    *b = kept;
}

static void insertion_sort(const double *values, size_t *order, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        const size_t place = order[i];
        size_t at = i;
        while (at > 0 && values[place] < values[order[at - 1]]) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = place;
    }
}

// Let `place` sink from node `at` (from 1 on) of a heap with the largest value on top.
static void sink(const double *values, size_t *order, size_t count, size_t at, size_t place)
{
    for (size_t child = 2 * at; child <= count; child = 2 * at) {
        if (child < count && values[order[child - 1]] < values[order[child]]) {
            child++;
        }
        if (!(values[place] < values[order[child - 1]])) {
            break;
        }
        order[at - 1] = order[child - 1];
        at = child;
    }
    order[at - 1] = place;
}

static void heap_sort(const double *values, size_t *order, size_t count)
{
    for (size_t at = count / 2; at > 0; at--) {
        sink(values, order, count, at, order[at - 1]);
    }
    for (size_t left = count; left > 1; left--) {
        const size_t place = order[left - 1];
        order[left - 1] = order[0];
        sink(values, order, left - 1, 1, place);
    }
}

// Partition around the median of three and return the place of the pivot.
static size_t partition(const double *values, size_t *order, size_t count)
{
    const size_t last = count - 1;
    const size_t middle = last / 2;
    if (values[order[middle]] < values[order[0]]) {
        swap(&order[middle], &order[0]);
    }
    if (values[order[last]] < values[order[middle]]) {
        swap(&order[last], &order[middle]);
    }
    if (values[order[middle]] < values[order[0]]) {
        swap(&order[middle], &order[0]);
    }
    const double pivot = values[order[middle]];
    size_t up = 0;
    size_t down = last - 1;
    swap(&order[middle], &order[down]);
    for (;;) {
        do {
            up++;
        } while (values[order[up]] < pivot);
        do {
            down--;
        } while (pivot < values[order[down]]);
        if (up >= down) {
            break;
        }
        swap(&order[up], &order[down]);
    }
    swap(&order[up], &order[last - 1]);
    return up;
}

// The smaller part by recursion, so that its depth is the logarithm of the count. NumPy looks at the depth
// where it begins with a larger part only.
static void sort(const double *values, size_t *order, size_t count, int depth, bool is_larger)
{
    while (count > SMALL && !(is_larger && depth < 0)) {
        const size_t pivot = partition(values, order, count);
        const size_t behind = count - pivot - 1;
        depth--;
        is_larger = true;
        if (pivot < behind) {
            sort(values, order, pivot, depth, false);
            order += pivot + 1;
            count = behind;
        } else {
            sort(values, order + pivot + 1, behind, depth, false);
            count = pivot;
        }
    }
    if (is_larger && depth < 0) {
        heap_sort(values, order, count);
    } else {
        insertion_sort(values, order, count);
    }
}

void od_numpy_argsort(const double *values, size_t count, size_t *order)
{
    int depth = 0;
    for (size_t i = 0; i < count; i++) {
        order[i] = i;
    }
    for (size_t left = count; left > 1; left >>= 1) {
        depth += 2;
    }
    sort(values, order, count, depth, true);
}

double od_numpy_sum(const double *values, size_t count)
{
    enum { BLOCK = 128, LANES = 8 };
    double lane[LANES];
    size_t i = LANES;
    if (count < LANES) {
        double sum = 0.0;
        for (i = 0; i < count; i++) {
            sum += values[i];
        }
        return sum;
    }
    if (count > BLOCK) {
        const size_t half = count / 2 - (count / 2) % LANES;
        return od_numpy_sum(values, half) + od_numpy_sum(values + half, count - half);
    }
    for (size_t k = 0; k < LANES; k++) {
        lane[k] = values[k];
    }
    for (; i + LANES <= count; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            lane[k] += values[i + k];
        }
    }
    double sum =
        ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    for (; i < count; i++) {
        sum += values[i];
    }
    return sum;
}
