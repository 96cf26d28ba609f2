/**
 * @file
 * A card that is none: the functions of device/cuda/cuda.h over this processor's memory. Its kernels are
 * what a test says (soft_kernel_of).
 *
 * @thread One owner for each card.
 */
#ifndef OD_TESTS_DEVICE_SOFT_CUDA_H
#define OD_TESTS_DEVICE_SOFT_CUDA_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/cuda_internal.h"

enum { CARD_BYTES = 1 << 30, KERNELS_MAX = 128 };

typedef void (*soft_fn)(struct od_cuda_grid grid, void **args);
/** The kernel of a name; NULL: it is never launched. Whoever includes this file defines it. */
static soft_fn soft_kernel_of(const char *name);
struct od_cuda_kernel {
    char name[48];
    soft_fn run;  // NULL: never launched here
};
struct od_cuda_event {
    int nothing;
};
struct od_cuda {
    struct od_cuda_info info;
    struct od_cuda_kernel kernels[KERNELS_MAX];
    int kernel_count;
};

#define ARG(type, index) (*(type *)args[index])

static inline void *at(od_dev address)
{
    return (void *)(uintptr_t)address;
}

static inline float wide(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint16_t narrow(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

// The functions of cuda.h.

/** What the next card that is opened says of itself. */
static int soft_capability = 90;

int od_cuda_count(struct od_error *err)
{
    (void)err;
    return 1;
}

enum od_status od_cuda_open(int ordinal, struct od_cuda **ret, struct od_error *err)
{
    (void)ordinal;
    (void)err;
    *ret = calloc(1, sizeof **ret);
    if (!*ret) {
        abort();
    }
    // Two of them: few enough that rows are left whole, many enough that some are split.
    (*ret)->info = (struct od_cuda_info){.name = "soft",
                                         .driver_version = 12000,
                                         .capability = soft_capability,
                                         .multiprocessors = 2};
    return OD_OK;
}

void od_cuda_close(struct od_cuda *cuda)
{
    free(cuda);
}

const struct od_cuda_info *od_cuda_info(const struct od_cuda *cuda)
{
    return &cuda->info;
}

enum od_status od_cuda_memory(struct od_cuda *cuda, size_t *ret_free, size_t *ret_total,
                              struct od_error *err)
{
    (void)cuda;
    (void)err;
    *ret_free = CARD_BYTES;
    *ret_total = CARD_BYTES;
    return OD_OK;
}

size_t od_cuda_process_bytes(struct od_cuda *cuda)
{
    (void)cuda;
    return 0;
}

enum od_status od_cuda_alloc(struct od_cuda *cuda, size_t bytes, od_dev *ret, struct od_error *err)
{
    (void)cuda;
    (void)err;
    void *memory = aligned_alloc(4096, (bytes + 4095u) & ~(size_t)4095u);
    if (!memory) {
        abort();
    }
    *ret = (od_dev)(uintptr_t)memory;
    return OD_OK;
}

void od_cuda_free(struct od_cuda *cuda, od_dev memory)
{
    (void)cuda;
    free(at(memory));
}

enum od_status od_cuda_host_alloc(struct od_cuda *cuda, size_t bytes, void **ret,
                                  struct od_error *err)
{
    od_dev memory = 0;
    const enum od_status status = od_cuda_alloc(cuda, bytes, &memory, err);
    *ret = at(memory);
    return status;
}

void od_cuda_host_free(struct od_cuda *cuda, void *memory)
{
    (void)cuda;
    free(memory);
}

void od_cuda_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes)
{
    (void)cuda;
    memcpy(at(to), from, bytes);
}

void od_cuda_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes)
{
    (void)cuda;
    memcpy(to, at(from), bytes);
}

void od_cuda_copy(struct od_cuda *cuda, od_dev to, od_dev from, size_t bytes)
{
    (void)cuda;
    memcpy(at(to), at(from), bytes);
}

void od_cuda_copy_rows(struct od_cuda *cuda, od_dev to, size_t to_pitch, od_dev from,
                       size_t from_pitch, size_t width, size_t rows)
{
    (void)cuda;
    for (size_t i = 0; i < rows; i++) {
        memcpy(at(to + i * to_pitch), at(from + i * from_pitch), width);
    }
}

void od_cuda_fill(struct od_cuda *cuda, od_dev to, uint8_t value, size_t bytes)
{
    (void)cuda;
    memset(at(to), value, bytes);
}

enum od_status od_cuda_kernel(struct od_cuda *cuda, const char *name, struct od_cuda_kernel **ret,
                              struct od_error *err)
{
    (void)err;
    for (int i = 0; i < cuda->kernel_count; i++) {
        if (strcmp(cuda->kernels[i].name, name) == 0) {
            *ret = &cuda->kernels[i];
            return OD_OK;
        }
    }
    struct od_cuda_kernel *kernel = &cuda->kernels[cuda->kernel_count++];
    (void)snprintf(kernel->name, sizeof kernel->name, "%s", name);
    kernel->run = soft_kernel_of(name);
    *ret = kernel;
    return OD_OK;
}

void od_cuda_launch(struct od_cuda *cuda, struct od_cuda_kernel *kernel, struct od_cuda_grid grid,
                    void **args)
{
    (void)cuda;
    grid.y = grid.y == 0 ? 1 : grid.y;
    grid.z = grid.z == 0 ? 1 : grid.z;
    if (!kernel->run) {
        (void)fprintf(stderr, "kernel '%s' is not expected here\n", kernel->name);
        abort();
    }
    if (grid.x > 0) {
        kernel->run(grid, args);
    }
}

/** The card falls off: from now on nothing that is waited for succeeds. */
static bool soft_is_gone;

enum od_status od_cuda_sync(struct od_cuda *cuda, struct od_error *err)
{
    (void)cuda;
    return soft_is_gone ? od_fail(err, OD_E_IO, "the card is gone") : OD_OK;
}

enum od_status od_cuda_event_create(struct od_cuda *cuda, struct od_cuda_event **ret,
                                    struct od_error *err)
{
    (void)cuda;
    (void)err;
    *ret = calloc(1, sizeof **ret);
    return OD_OK;
}

void od_cuda_event_free(struct od_cuda *cuda, struct od_cuda_event *event)
{
    (void)cuda;
    free(event);
}

void od_cuda_event_record(struct od_cuda *cuda, struct od_cuda_event *event)
{
    (void)cuda;
    (void)event;
}

enum od_status od_cuda_event_wait(struct od_cuda *cuda, struct od_cuda_event *event,
                                  struct od_error *err)
{
    (void)cuda;
    (void)event;
    (void)err;
    return OD_OK;
}

void od_cuda_fault(struct od_cuda *cuda, enum od_status status, const char *format, ...)
{
    va_list list;
    (void)cuda;
    (void)status;
    va_start(list, format);
    (void)vfprintf(stderr, format, list);
    va_end(list);
    abort();
}

bool od_cuda_wants_ptx(void)
{
    return true;  // no library either
}

bool od_cuda_is_recording(const struct od_cuda *cuda)
{
    (void)cuda;
    return false;
}

// Asked for by code that is linked and never runs here.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define NOT_HERE(signature) \
    signature               \
    {                       \
        abort();            \
    }
NOT_HERE(void od_cuda_aside_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes))
NOT_HERE(void od_cuda_aside_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes))
NOT_HERE(void od_cuda_aside_join(struct od_cuda *cuda))
NOT_HERE(enum od_status od_cuda_check(struct od_cuda *cuda, struct od_error *err))
NOT_HERE(enum od_status od_cuda_graph_begin(struct od_cuda *cuda, struct od_error *err))
NOT_HERE(enum od_status od_cuda_graph_end(struct od_cuda *cuda, struct od_cuda_graph **ret,
                                          struct od_error *err))
NOT_HERE(void od_cuda_graph_launch(struct od_cuda *cuda, struct od_cuda_graph *graph))
NOT_HERE(void od_cuda_graph_free(struct od_cuda *cuda, struct od_cuda_graph *graph))
NOT_HERE(double od_cuda_event_ms(struct od_cuda *cuda, struct od_cuda_event *first,
                                 struct od_cuda_event *last))
NOT_HERE(void *od_cuda_stream(struct od_cuda *cuda))
NOT_HERE(double od_cuda_energy_j(struct od_cuda *cuda))
NOT_HERE(int od_cuda_kernel_ptx(const struct od_cuda *cuda, const struct od_cuda_kernel *kernel))

#pragma GCC diagnostic pop

#endif
