/**
 * @file
 * The part of the CUDA driver's interface that this program calls: numbers, one struct, and the
 * shapes of functions, written down here so that building needs no CUDA. Functions are asked for
 * by their plain name and the version OD_CU_API, which settles which form of each is meant. (The
 * header may give a plain name to another function: cuGraphInstantiate is there
 * cuGraphInstantiateWithFlags, while the driver still knows the old one by it.)
 *
 * @source cuda.h of CUDA 13.0, at API version 12.0; tests/device/cuda_abi_test.c compares every
 *         number and offset with the real header where there is one.
 * @thread No state.
 */
#ifndef OD_DEVICE_CUDA_DRIVER_API_H
#define OD_DEVICE_CUDA_DRIVER_API_H

#include <stddef.h>
#include <stdint.h>

/** The version of the interface that is asked for: 12.0. */
enum { OD_CU_API = 12000 };

/** CUresult: those that get words of their own. */
enum {
    OD_CU_SUCCESS = 0,
    OD_CU_INVALID_VALUE = 1,
    OD_CU_OUT_OF_MEMORY = 2,
    OD_CU_STUB_LIBRARY = 34,
    OD_CU_DEVICE_UNAVAILABLE = 46,
    OD_CU_NO_DEVICE = 100,
    OD_CU_INVALID_DEVICE = 101,
    OD_CU_INVALID_IMAGE = 200,
    OD_CU_NO_BINARY_FOR_GPU = 209,
    OD_CU_ECC_UNCORRECTABLE = 214,
    OD_CU_INVALID_PTX = 218,
    OD_CU_NVLINK_UNCORRECTABLE = 220,
    OD_CU_JIT_COMPILER_NOT_FOUND = 221,
    OD_CU_UNSUPPORTED_PTX_VERSION = 222,
    OD_CU_JIT_COMPILATION_DISABLED = 223,
    OD_CU_NOT_FOUND = 500,
    OD_CU_ILLEGAL_ADDRESS = 700,
    OD_CU_LAUNCH_OUT_OF_RESOURCES = 701,
    OD_CU_LAUNCH_TIMEOUT = 702,
    OD_CU_ASSERT = 710,
    OD_CU_HARDWARE_STACK_ERROR = 714,
    OD_CU_ILLEGAL_INSTRUCTION = 715,
    OD_CU_MISALIGNED_ADDRESS = 716,
    OD_CU_INVALID_ADDRESS_SPACE = 717,
    OD_CU_INVALID_PC = 718,
    OD_CU_LAUNCH_FAILED = 719,
    OD_CU_SYSTEM_NOT_READY = 802,
    OD_CU_SYSTEM_DRIVER_MISMATCH = 803,
    OD_CU_COMPAT_NOT_SUPPORTED_ON_DEVICE = 804,
    OD_CU_UNKNOWN = 999
};

/** CUdevice_attribute. */
enum {
    OD_CU_ATTR_MULTIPROCESSORS = 16,
    OD_CU_ATTR_L2_BYTES = 38,
    OD_CU_ATTR_CAPABILITY_MAJOR = 75,
    OD_CU_ATTR_CAPABILITY_MINOR = 76,
    OD_CU_ATTR_SHARED_BYTES_OPTIN = 97
};

/** CUfunction_attribute, CUstream_flags, CUevent_flags, CUstreamCaptureMode, CUmemorytype. */
enum {
    OD_CU_FUNC_PTX_VERSION = 5,
    OD_CU_FUNC_DYNAMIC_SHARED_BYTES = 8,
    OD_CU_STREAM_NON_BLOCKING = 1,
    OD_CU_EVENT_BLOCKING_SYNC = 1,
    OD_CU_EVENT_NO_TIME = 2,
    OD_CU_CAPTURE_RELAXED = 2,
    OD_CU_MEMORY_DEVICE = 2,
    OD_CU_LAUNCH_OVERLAPS = 6  ///< CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
};

/** CUDA_MEMCPY2D. */
struct od_cu_copy_2d {
    size_t from_x;
    size_t from_y;
    int from_kind;
    const void *from_host;
    uint64_t from_device;
    void *from_array;
    size_t from_pitch;
    size_t to_x;
    size_t to_y;
    int to_kind;
    void *to_host;
    uint64_t to_device;
    void *to_array;
    size_t to_pitch;
    size_t width;
    size_t rows;
};

/** CUlaunchAttribute: of the many attributes the one that is used. */
struct od_cu_launch_attribute {
    int id;
    int pad;
    int value[16];  ///< a union of 64 bytes
};

/** CUlaunchConfig. */
struct od_cu_launch {
    unsigned grid_x;
    unsigned grid_y;
    unsigned grid_z;
    unsigned block_x;
    unsigned block_y;
    unsigned block_z;
    unsigned shared_bytes;
    void *stream;
    const struct od_cu_launch_attribute *attributes;
    unsigned attribute_count;
};

/** cuGetProcAddress_v2: the one name that is looked up in the library itself. */
typedef int (*od_cu_find)(const char *name, void **ret, int version, uint64_t flags, int *status);

/** X(name in the driver, arguments): every function gives a CUresult. Handles are void *. */
#define OD_CU_FUNCTIONS(X)                                                               \
    X(cuInit, (unsigned flags))                                                          \
    X(cuDriverGetVersion, (int *version))                                                \
    X(cuGetErrorName, (int result, const char **name))                                   \
    X(cuGetErrorString, (int result, const char **text))                                 \
    X(cuDeviceGetCount, (int *count))                                                    \
    X(cuDeviceGet, (int *device, int ordinal))                                           \
    X(cuDeviceGetName, (char *name, int size, int device))                               \
    X(cuDeviceGetAttribute, (int *value, int attribute, int device))                     \
    X(cuDeviceTotalMem, (size_t *bytes, int device))                                     \
    X(cuDeviceGetPCIBusId, (char *id, int size, int device))                             \
    X(cuDevicePrimaryCtxRetain, (void **context, int device))                            \
    X(cuDevicePrimaryCtxRelease, (int device))                                           \
    X(cuCtxSetCurrent, (void *context))                                                  \
    X(cuMemGetInfo, (size_t *available, size_t *total))                                  \
    X(cuMemAlloc, (uint64_t *memory, size_t bytes))                                      \
    X(cuMemFree, (uint64_t memory))                                                      \
    X(cuMemHostAlloc, (void **memory, size_t bytes, unsigned flags))                     \
    X(cuMemFreeHost, (void *memory))                                                     \
    X(cuMemcpyHtoDAsync, (uint64_t to, const void *from, size_t bytes, void *stream))    \
    X(cuMemcpyDtoHAsync, (void *to, uint64_t from, size_t bytes, void *stream))          \
    X(cuMemcpyDtoDAsync, (uint64_t to, uint64_t from, size_t bytes, void *stream))       \
    X(cuMemcpy2DAsync, (const struct od_cu_copy_2d *copy, void *stream))                 \
    X(cuMemsetD8Async, (uint64_t to, unsigned char value, size_t count, void *stream))   \
    X(cuModuleLoadData, (void **module, const void *image))                              \
    X(cuModuleUnload, (void *module))                                                    \
    X(cuModuleGetFunction, (void **function, void *module, const char *name))            \
    X(cuFuncGetAttribute, (int *value, int attribute, void *function))                   \
    X(cuFuncSetAttribute, (void *function, int attribute, int value))                    \
    X(cuLaunchKernelEx,                                                                  \
      (const struct od_cu_launch *launch, void *function, void **args, void **extra))    \
    X(cuStreamCreate, (void **stream, unsigned flags))                                   \
    X(cuStreamDestroy, (void *stream))                                                   \
    X(cuStreamSynchronize, (void *stream))                                               \
    X(cuStreamWaitEvent, (void *stream, void *event, unsigned flags))                    \
    X(cuStreamBeginCapture, (void *stream, int mode))                                    \
    X(cuStreamEndCapture, (void *stream, void **graph))                                  \
    X(cuGraphInstantiateWithFlags, (void **exec, void *graph, unsigned long long flags)) \
    X(cuGraphDestroy, (void *graph))                                                     \
    X(cuGraphLaunch, (void *exec, void *stream))                                         \
    X(cuGraphExecDestroy, (void *exec))                                                  \
    X(cuEventCreate, (void **event, unsigned flags))                                     \
    X(cuEventRecord, (void *event, void *stream))                                        \
    X(cuEventSynchronize, (void *event))                                                 \
    X(cuEventElapsedTime, (float *ms, void *first, void *last))                          \
    X(cuEventDestroy, (void *event))

/** The driver's functions, under the driver's names. */
struct od_cu_api {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration
#define OD_CU_MEMBER(name, arguments) int(*name) arguments;
    OD_CU_FUNCTIONS(OD_CU_MEMBER)
#undef OD_CU_MEMBER
};

#endif
