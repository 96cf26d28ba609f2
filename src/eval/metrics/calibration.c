#include "eval/metrics/calibration.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/numpy_order.h"

enum { BINS = 10 };

// NumPy's sum: eight running sums for up to 128 numbers, halves above.
static double pairwise_sum(const double *x, size_t n)
{
    enum { BLOCK = 128, LANES = 8 };
    double lane[LANES];
    size_t i = LANES;
    if (n < LANES) {
        double sum = 0.0;
        for (i = 0; i < n; i++) {
            sum += x[i];
        }
        return sum;
    }
    if (n > BLOCK) {
        const size_t half = n / 2 - (n / 2) % LANES;
        return pairwise_sum(x, half) + pairwise_sum(x + half, n - half);
    }
    for (size_t k = 0; k < LANES; k++) {
        lane[k] = x[k];
    }
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            lane[k] += x[i + k];
        }
    }
    double sum =
        ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    for (; i < n; i++) {
        sum += x[i];
    }
    return sum;
}

static int ascending(const void *left, const void *right)
{
    const double a = *(const double *)left;
    const double b = *(const double *)right;
    return (a > b) - (a < b);
}

// Upper edges of bins that hold about equally many of the sorted probabilities.
static size_t equal_edges(const double *sorted, size_t count, double edges[BINS])
{
    const size_t chunks = count < BINS ? count : BINS;
    size_t behind = 0;  // first item of the next chunk
    size_t n = 0;
    for (size_t i = 0; i < chunks; i++) {
        behind += count / chunks + (i < count % chunks ? 1 : 0);
        edges[i] = behind < count ? (sorted[behind - 1] + sorted[behind]) / 2.0 : 1.0;
    }
    qsort(edges, chunks, sizeof *edges, ascending);
    for (size_t i = 0; i < chunks; i++) {
        if (n == 0 || edges[i] > edges[n - 1]) {
            edges[n++] = edges[i];
        }
    }
    return n;
}

// Sum over bins of their share times |mean probability - mean accuracy|. `work` holds 2 * count.
static double bin_error(const struct od_calibration_point *points, size_t count,
                        const double *edges, size_t bins, double *work)
{
    double error = 0.0;
    for (size_t bin = 0; bin < bins; bin++) {
        size_t n = 0;
        for (size_t i = 0; i < count; i++) {
            size_t at = 0;
            while (at < bins - 1 && edges[at] < points[i].probability) {
                at++;
            }
            if (at == bin) {
                work[n] = points[i].probability;
                work[count + n] = points[i].right;
                n++;
            }
        }
        if (n > 0) {
            const double mean = pairwise_sum(work, n) / (double)n;
            const double accuracy = pairwise_sum(work + count, n) / (double)n;
            error += (double)n / (double)count * fabs(mean - accuracy);
        }
    }
    return error;
}

// `work` holds 2 * count.
static void selective(const struct od_calibration_point *points, size_t count, double *work,
                      size_t *order, struct od_calibration *ret)
{
    double *accuracies = work + count;
    int right = 0;
    for (size_t i = 0; i < count; i++) {
        work[i] = -points[i].probability;
    }
    od_numpy_argsort(work, count, order);
    for (size_t i = 0; i < count; i++) {
        right += points[order[i]].right;
        accuracies[i] = (double)right / (double)(i + 1);
    }
    ret->selective_cov_acc_area = pairwise_sum(accuracies, count) / (double)count;
    ret->selective_acc_10 = accuracies[(size_t)(0.1 * (double)count)];
}

enum od_status od_calibration_compute(const struct od_calibration_point *points, size_t count,
                                      struct od_calibration *ret, struct od_error *err)
{
    double edges[BINS];
    double *work = od_alloc(count, 2 * sizeof *work);
    size_t *order = od_alloc(count, sizeof *order);
    enum od_status status = OD_OK;
    size_t bins = 0;

    if (!work || !order) {
        status = od_fail(err, OD_E_MEMORY, "no memory for calibration");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        work[i] = points[i].probability;
    }
    qsort(work, count, sizeof *work, ascending);
    bins = equal_edges(work, count, edges);
    ret->ece_10_bin = bin_error(points, count, edges, bins, work);
    edges[0] = 1.0;
    ret->ece_1_bin = bin_error(points, count, edges, 1, work);
    selective(points, count, work, order, ret);

done:
    od_free(order);
    od_free(work);
    return status;
}
