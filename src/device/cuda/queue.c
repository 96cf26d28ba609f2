// Work on an open GPU: copies, launches, graphs and events, in the order of its stream.

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/driver_api.h"
#include "device/cuda/driver_internal.h"

void od_cuda_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes)
{
    if (bytes > 0) {
        od_cuda_queued(cuda, cuda->api.cuMemcpyHtoDAsync(to, from, bytes, cuda->stream),
                       "copy to the GPU", "");
    }
}

void od_cuda_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes)
{
    if (bytes > 0) {
        od_cuda_queued(cuda, cuda->api.cuMemcpyDtoHAsync(to, from, bytes, cuda->stream),
                       "copy from the GPU", "");
    }
}

// What is queued aside next begins after the work that is queued now.
static void begin_aside(struct od_cuda *cuda)
{
    od_cuda_queued(cuda, cuda->api.cuEventRecord(cuda->work_done, cuda->stream), "record an event",
                   "");
    od_cuda_queued(cuda, cuda->api.cuStreamWaitEvent(cuda->aside, cuda->work_done, 0),
                   "order two streams", "");
}

void od_cuda_aside_upload(struct od_cuda *cuda, od_dev to, const void *from, size_t bytes)
{
    begin_aside(cuda);
    od_cuda_queued(cuda, cuda->api.cuMemcpyHtoDAsync(to, from, bytes, cuda->aside),
                   "copy to the GPU", "");
}

void od_cuda_aside_download(struct od_cuda *cuda, void *to, od_dev from, size_t bytes)
{
    begin_aside(cuda);
    od_cuda_queued(cuda, cuda->api.cuMemcpyDtoHAsync(to, from, bytes, cuda->aside),
                   "copy from the GPU", "");
}

void od_cuda_aside_join(struct od_cuda *cuda)
{
    od_cuda_queued(cuda, cuda->api.cuEventRecord(cuda->copy_done, cuda->aside), "record an event",
                   "");
    od_cuda_queued(cuda, cuda->api.cuStreamWaitEvent(cuda->stream, cuda->copy_done, 0),
                   "order two streams", "");
}

void od_cuda_copy(struct od_cuda *cuda, od_dev to, od_dev from, size_t bytes)
{
    if (bytes > 0) {
        od_cuda_queued(cuda, cuda->api.cuMemcpyDtoDAsync(to, from, bytes, cuda->stream),
                       "copy within the GPU", "");
    }
}

void od_cuda_copy_rows(struct od_cuda *cuda, od_dev to, size_t to_pitch, od_dev from,
                       size_t from_pitch, size_t width, size_t rows)
{
    const struct od_cu_copy_2d copy = {
        .from_kind = OD_CU_MEMORY_DEVICE,
        .from_device = from,
        .from_pitch = from_pitch,
        .to_kind = OD_CU_MEMORY_DEVICE,
        .to_device = to,
        .to_pitch = to_pitch,
        .width = width,
        .rows = rows,
    };
    if (width > 0 && rows > 0) {
        od_cuda_queued(cuda, cuda->api.cuMemcpy2DAsync(&copy, cuda->stream),
                       "copy rows within the GPU", "");
    }
}

void od_cuda_fill(struct od_cuda *cuda, od_dev to, uint8_t value, size_t bytes)
{
    if (bytes > 0) {
        od_cuda_queued(cuda, cuda->api.cuMemsetD8Async(to, value, bytes, cuda->stream),
                       "fill memory", "");
    }
}

void od_cuda_launch(struct od_cuda *cuda, struct od_cuda_kernel *kernel, struct od_cuda_grid grid,
                    void **args)
{
    if (grid.x == 0) {
        return;
    }
    if (grid.shared_bytes > kernel->shared_bytes) {
        const int result = cuda->api.cuFuncSetAttribute(
            kernel->function, OD_CU_FUNC_DYNAMIC_SHARED_BYTES, (int)grid.shared_bytes);
        if (result != OD_CU_SUCCESS) {
            od_cuda_queued(cuda, result, "raise the shared memory of kernel ", kernel->name);
            return;
        }
        kernel->shared_bytes = grid.shared_bytes;
    }
    const struct od_cu_launch_attribute overlap = {.id = OD_CU_LAUNCH_OVERLAPS, .value = {1}};
    const struct od_cu_launch launch = {.grid_x = grid.x,
                                        .grid_y = grid.y ? grid.y : 1,
                                        .grid_z = grid.z ? grid.z : 1,
                                        .block_x = grid.threads,
                                        .block_y = 1,
                                        .block_z = 1,
                                        .shared_bytes = grid.shared_bytes,
                                        .stream = cuda->stream,
                                        .attributes = &overlap,
                                        .attribute_count = grid.overlaps && kernel->can_overlap};
    const int result = cuda->api.cuLaunchKernelEx(&launch, kernel->function, args, NULL);
    od_cuda_queued(cuda, result, "start kernel ", kernel->name);
}

// The stream.

enum od_status od_cuda_check(struct od_cuda *cuda, struct od_error *err)
{
    const enum od_status status = cuda->fault.status;
    if (status != OD_OK) {
        od_error_set(err, status, "%s", cuda->fault.message);
        cuda->fault = (struct od_error){0};
    }
    return status;
}

enum od_status od_cuda_sync(struct od_cuda *cuda, struct od_error *err)
{
    od_cuda_queued(cuda, cuda->api.cuStreamSynchronize(cuda->stream), "finish the work", "");
    return od_cuda_check(cuda, err);
}

enum od_status od_cuda_graph_begin(struct od_cuda *cuda, struct od_error *err)
{
    const int result = cuda->api.cuStreamBeginCapture(cuda->stream, OD_CU_CAPTURE_RELAXED);
    if (result != OD_CU_SUCCESS) {
        return od_cuda_fail_with(&cuda->api, result, err, "cannot record a graph");
    }
    cuda->is_recording = true;
    return OD_OK;
}

enum od_status od_cuda_graph_end(struct od_cuda *cuda, struct od_cuda_graph **ret,
                                 struct od_error *err)
{
    enum od_status status = OD_OK;
    void *recorded = NULL;
    struct od_cuda_graph *graph = NULL;
    int result = cuda->api.cuStreamEndCapture(cuda->stream, &recorded);
    cuda->is_recording = false;
    // What went wrong while recording explains more than the recording that it spoilt.
    status = od_cuda_check(cuda, err);
    if (status) {
        goto done;
    }
    if (result != OD_CU_SUCCESS) {
        status = od_cuda_fail_with(&cuda->api, result, err, "cannot finish recording a graph");
        goto done;
    }
    graph = od_alloc(1, sizeof *graph);
    if (!graph) {
        status = od_fail(err, OD_E_MEMORY, "cannot hold a graph");
        goto done;
    }
    *graph = (struct od_cuda_graph){0};
    result = cuda->api.cuGraphInstantiateWithFlags(&graph->exec, recorded, 0);
    if (result != OD_CU_SUCCESS) {
        status =
            od_cuda_fail_with(&cuda->api, result, err, "cannot make a graph of what was recorded");
        goto done;
    }
    *ret = graph;
    graph = NULL;  // ownership moved to *ret

done:
    od_free(graph);
    if (recorded) {
        (void)cuda->api.cuGraphDestroy(recorded);
    }
    return status;
}

void od_cuda_graph_launch(struct od_cuda *cuda, struct od_cuda_graph *graph)
{
    od_cuda_queued(cuda, cuda->api.cuGraphLaunch(graph->exec, cuda->stream), "start a graph", "");
}

void od_cuda_graph_free(struct od_cuda *cuda, struct od_cuda_graph *graph)
{
    if (graph) {
        od_cuda_queued(cuda, cuda->api.cuGraphExecDestroy(graph->exec), "free a graph", "");
        od_free(graph);
    }
}

// Time.

enum od_status od_cuda_event_create(struct od_cuda *cuda, struct od_cuda_event **ret,
                                    struct od_error *err)
{
    struct od_cuda_event *event = od_alloc(1, sizeof *event);
    if (!event) {
        return od_fail(err, OD_E_MEMORY, "cannot hold an event");
    }
    *event = (struct od_cuda_event){0};
    const int result = cuda->api.cuEventCreate(&event->event, OD_CU_EVENT_BLOCKING_SYNC);
    if (result != OD_CU_SUCCESS) {
        od_free(event);
        return od_cuda_fail_with(&cuda->api, result, err, "cannot make an event");
    }
    *ret = event;
    return OD_OK;
}

void od_cuda_event_free(struct od_cuda *cuda, struct od_cuda_event *event)
{
    if (event) {
        od_cuda_queued(cuda, cuda->api.cuEventDestroy(event->event), "free an event", "");
        od_free(event);
    }
}

void od_cuda_event_record(struct od_cuda *cuda, struct od_cuda_event *event)
{
    od_cuda_queued(cuda, cuda->api.cuEventRecord(event->event, cuda->stream), "record an event",
                   "");
}

enum od_status od_cuda_event_wait(struct od_cuda *cuda, struct od_cuda_event *event,
                                  struct od_error *err)
{
    od_cuda_queued(cuda, cuda->api.cuEventSynchronize(event->event), "wait for the work", "");
    return od_cuda_check(cuda, err);
}

double od_cuda_event_ms(struct od_cuda *cuda, struct od_cuda_event *first,
                        struct od_cuda_event *last)
{
    float ms = 0.0F;
    od_cuda_queued(cuda, cuda->api.cuEventElapsedTime(&ms, first->event, last->event),
                   "read a time", "");
    return (double)ms;
}
