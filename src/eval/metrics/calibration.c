#include "eval/metrics/calibration.h"

#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/numpy.h"

enum { BINS = 10 };

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
            const double mean = od_numpy_sum(work, n) / (double)n;
            const double accuracy = od_numpy_sum(work + count, n) / (double)n;
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
    ret->selective_cov_acc_area = od_numpy_sum(accuracies, count) / (double)count;
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
