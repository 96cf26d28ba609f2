#include <stdint.h>

#include "base/random.h"
#include "base/threads.h"
#include "ops/adamw/adamw_8bit.h"
#include "ops/adamw/rounding.h"
#include "ops/cpu.h"
#include "ops/kernels.h"

enum { ELEMENT_GRAIN = 4096 };

struct squares {
    struct od_cpu *cpu;
    const float *x;
    int64_t count;
    double *partials;
};

static void square_chunks(void *context, int64_t first, int64_t last, int thread)
{
    const struct squares *work = context;
    (void)thread;
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t at = chunk * OD_NORM_CHUNK;
        const int64_t left = work->count - at;
        work->partials[chunk] = work->cpu->kernels->sum_squares(
            work->x + at, left < OD_NORM_CHUNK ? left : OD_NORM_CHUNK);
    }
}

double od_cpu_sum_squares(struct od_cpu *cpu, const float *x, int64_t count, double *partials)
{
    struct squares work = {cpu, x, count, partials};
    const int64_t chunks = (count + OD_NORM_CHUNK - 1) / OD_NORM_CHUNK;
    double sum = 0.0;
    od_pool_run(cpu->pool, chunks, 1, square_chunks, &work);
    for (int64_t i = 0; i < chunks; i++) {
        sum += partials[i];
    }
    return sum;
}

struct adamw {
    struct od_cpu *cpu;
    float *w;
    float *m;
    float *v;
    const float *g;
    const struct od_adamw_step *step;
};

static void adamw_elements(void *context, int64_t first, int64_t last, int thread)
{
    const struct adamw *work = context;
    (void)thread;
    work->cpu->kernels->adamw(work->w, work->m, work->v, work->g, work->step, first, last);
}

void od_cpu_adamw(struct od_cpu *cpu, float *w, float *m, float *v, const float *g, int64_t count,
                  const struct od_adamw_step *step)
{
    struct adamw work = {cpu, w, m, v, g, step};
    od_pool_run(cpu->pool, count, ELEMENT_GRAIN, adamw_elements, &work);
}

struct rounded {
    float *w;
    const struct od_rounding *rounding;
};

static void round_elements(void *context, int64_t first, int64_t last, int thread)
{
    enum { EACH = 8 };  // a draw's
    const struct rounded *work = context;
    const struct od_rounding *r = work->rounding;
    (void)thread;
    for (int64_t i = first; i < last;) {
        uint64_t element = r->index + (uint64_t)i;
        const struct od_philox draw =
            od_philox_draw(r->seed, OD_STREAM_ROUNDING, r->step, element / EACH);
        do {
            const uint32_t word = draw.word[element % EACH / 2];
            const uint32_t half = element % 2 == 0 ? word & 0xFFFFu : word >> 16;
            work->w[i] = od_round_by_chance(work->w[i], half);
            i++;
            element++;
        } while (i < last && element % EACH != 0);
    }
}

void od_cpu_round(struct od_cpu *cpu, float *w, int64_t count, const struct od_rounding *rounding)
{
    struct rounded work = {w, rounding};
    od_pool_run(cpu->pool, count, ELEMENT_GRAIN, round_elements, &work);
}

struct adamw_8bit {
    const struct od_adamw_8bit *tensor;
    const struct od_adamw_maps *maps;
    const struct od_adamw_step *step;
};

static void adamw_8bit_blocks(void *context, int64_t first, int64_t last, int thread)
{
    const struct adamw_8bit *work = context;
    (void)thread;
    od_adamw_8bit_step(work->tensor, work->maps, work->step, first, last);
}

void od_cpu_adamw_8bit(struct od_cpu *cpu, const struct od_adamw_8bit *tensor,
                       const struct od_adamw_maps *maps, const struct od_adamw_step *step)
{
    struct adamw_8bit work = {tensor, maps, step};
    od_pool_run(cpu->pool, od_adamw_8bit_blocks(tensor->count), ELEMENT_GRAIN / OD_ADAMW_8BIT_BLOCK,
                adamw_8bit_blocks, &work);
}
