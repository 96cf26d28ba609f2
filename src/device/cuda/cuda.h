/**
 * @file
 * One NVIDIA GPU: memory, copies, kernels, graphs and time, through the driver that is found at run
 * time. The program links against none of NVIDIA's libraries: the same binary runs without a GPU.
 *
 *     struct od_cuda *cuda = NULL;
 *     status = od_cuda_open(0, &cuda, err);
 *     status = od_cuda_alloc(cuda, bytes, &memory, err);
 *     status = od_cuda_kernel(cuda, "od_add", &kernel, err);
 *     od_cuda_launch(cuda, kernel, (struct od_cuda_grid){.x = 132, .threads = 256}, args);
 *     status = od_cuda_sync(cuda, err);
 *
 * Work is queued on one stream, in order; copies may run beside it. Calls that queue work remember the first failure instead
 * of returning it; od_cuda_sync and od_cuda_check report it. A GPU that falls off during a run is
 * reported there, too.
 *
 * @source CUDA driver API 12.0 and later (cuda.h); declared here, so that building needs no CUDA.
 * @thread One owner: the thread that opened it.
 */
#ifndef OD_DEVICE_CUDA_CUDA_H
#define OD_DEVICE_CUDA_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** An address in the GPU's memory; 0 is none. */
typedef uint64_t od_dev;

/** An open GPU. */
struct od_cuda;
/** A kernel of an image that was loaded. */
struct od_cuda_kernel;
/** A recorded sequence of work. */
struct od_cuda_graph;
/** A point in the stream that has a time. */
struct od_cuda_event;

/** What a GPU is. */
struct od_cuda_info {
    char name[128];      ///< "NVIDIA H200"
    char driver[32];     ///< "580.159.04", or "" when NVML does not say
    char pci[32];        ///< "0000:1B:00.0", for od_nvml_open
    int driver_version;  ///< of the API: 13000
    int capability;      ///< 90 for 9.0
    int multiprocessors;
    size_t memory_bytes;      ///< of the card
    size_t shared_bytes_max;  ///< per block, opt-in
    size_t l2_bytes;
};

/** Number of GPUs that can be used; 0 and a message when there is none (no driver, too old, ...). */
int od_cuda_count(struct od_error *err);

/**
 * Open GPU `ordinal`: primary context, one stream, the kernel images of this program.
 * `ONEDAY_CUDA_PTX=1` compiles the kernels from their PTX form instead of using machine code;
 * cuBLASLt, which has none, is then left aside.
 * @memory Gives: od_cuda_close.
 * @error OD_E_NOT_FOUND: no driver or no such GPU; OD_E_UNSUPPORTED: driver older than 12.0,
 *        capability below 8.0, or a build without kernels. Messages say how to mend it.
 */
enum od_status od_cuda_open(int ordinal, struct od_cuda **ret, struct od_error *err) OD_MUST_CHECK;
void od_cuda_close(struct od_cuda *cuda);
const struct od_cuda_info *od_cuda_info(const struct od_cuda *cuda);
/** Free and total bytes on the card by the driver's own count. */
enum od_status od_cuda_memory(struct od_cuda *cuda, size_t *ret_free, size_t *ret_total,
                              struct od_error *err) OD_MUST_CHECK;
/** Bytes that this process takes on the card (NVML), the context included; 0: not known. */
size_t od_cuda_process_bytes(struct od_cuda *cuda);

/** Joules that the card has taken since the driver was loaded; negative: not known. */
double od_cuda_energy_j(struct od_cuda *cuda);

/** Plain device memory, not cleared. @memory Gives: od_cuda_free.
 *  @error OD_E_MEMORY with what was asked for and what is free (perhaps held by another program). */
enum od_status od_cuda_alloc(struct od_cuda *cuda, size_t bytes, od_dev *ret,
                             struct od_error *err) OD_MUST_CHECK;
void od_cuda_free(struct od_cuda *cuda, od_dev memory);
/** Host memory that the GPU copies from and to directly. @memory Gives: od_cuda_host_free. */
enum od_status od_cuda_host_alloc(struct od_cuda *cuda, size_t bytes, void **ret,
                                  struct od_error *err) OD_MUST_CHECK;
void od_cuda_host_free(struct od_cuda *cuda, void *memory);

// Queued on the stream. Host memory must stay until the stream has passed the copy.
void od_cuda_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes);
void od_cuda_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes);
void od_cuda_copy(struct od_cuda *cuda, od_dev to, od_dev from, size_t bytes);
/** Rows of `width` bytes between pitches, on the device. */
void od_cuda_copy_rows(struct od_cuda *cuda, od_dev to, size_t to_pitch, od_dev from,
                       size_t from_pitch, size_t width, size_t rows);
void od_cuda_fill(struct od_cuda *cuda, od_dev to, uint8_t value, size_t bytes);

// Copies beside the work: each begins when the work that was queued before it is done, and runs while
// work that is queued later does. Pinned host memory. What is queued behind a join waits for them.
void od_cuda_aside_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes);
void od_cuda_aside_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes);
void od_cuda_aside_join(struct od_cuda *cuda);

/** The kernel of that name in the images. @memory Lends: lives as long as `cuda`. */
enum od_status od_cuda_kernel(struct od_cuda *cuda, const char *name, struct od_cuda_kernel **ret,
                              struct od_error *err) OD_MUST_CHECK;
/** The virtual architecture that a kernel was compiled by way of (80 for compute_80); 0: unknown.
 *  Machine code for this very GPU has the GPU's own capability. */
int od_cuda_kernel_ptx(const struct od_cuda *cuda, const struct od_cuda_kernel *kernel);
/** Blocks, threads per block and dynamic shared memory of a launch. y, z: 0 counts as 1. */
struct od_cuda_grid {
    unsigned x;
    unsigned y;
    unsigned z;
    unsigned threads;
    unsigned shared_bytes;  ///< above 48 KiB the kernel's limit is raised once
    /// May begin before the kernel in front of it is done, where the card and the kernel's code can
    /// (9.0): the kernel waits by itself (overlap.cuh).
    bool overlaps;
};
/** Launch: `args` holds pointers to the arguments, in order. A grid of 0 blocks does nothing. */
void od_cuda_launch(struct od_cuda *cuda, struct od_cuda_kernel *kernel, struct od_cuda_grid grid,
                    void **args);

/** Wait for all queued work. @error The first failure since the last check. */
enum od_status od_cuda_sync(struct od_cuda *cuda, struct od_error *err) OD_MUST_CHECK;
/** The first failure of queuing since the last check, without waiting. */
enum od_status od_cuda_check(struct od_cuda *cuda, struct od_error *err) OD_MUST_CHECK;

/** Record what is queued between begin and end instead of running it. @memory Gives. */
enum od_status od_cuda_graph_begin(struct od_cuda *cuda, struct od_error *err) OD_MUST_CHECK;
enum od_status od_cuda_graph_end(struct od_cuda *cuda, struct od_cuda_graph **ret,
                                 struct od_error *err) OD_MUST_CHECK;
void od_cuda_graph_launch(struct od_cuda *cuda, struct od_cuda_graph *graph);
void od_cuda_graph_free(struct od_cuda *cuda, struct od_cuda_graph *graph);

/** @memory Gives: od_cuda_event_free. */
enum od_status od_cuda_event_create(struct od_cuda *cuda, struct od_cuda_event **ret,
                                    struct od_error *err) OD_MUST_CHECK;
void od_cuda_event_free(struct od_cuda *cuda, struct od_cuda_event *event);
void od_cuda_event_record(struct od_cuda *cuda, struct od_cuda_event *event);
/** Wait until the stream has passed it. */
enum od_status od_cuda_event_wait(struct od_cuda *cuda, struct od_cuda_event *event,
                                  struct od_error *err) OD_MUST_CHECK;
/** Milliseconds between two events that have passed. */
double od_cuda_event_ms(struct od_cuda *cuda, struct od_cuda_event *first,
                        struct od_cuda_event *last);

/** The driver's stream handle, for libraries (cuBLASLt). */
void *od_cuda_stream(struct od_cuda *cuda);

#endif
