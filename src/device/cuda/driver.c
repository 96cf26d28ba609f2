#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "device/cuda/cuda.h"
#include "device/cuda/cuda_internal.h"
#include "device/cuda/driver_api.h"
#include "device/cuda/driver_internal.h"
#include "device/cuda/images.h"
#include "device/cuda/nvml.h"

enum {
    DRIVER_WANTED = 580,  // nvcc 13's machine code and PTX
    CAPABILITY_MIN = 80,
    OVERLAP_CAPABILITY = 90,  // kernels that begin before the last is done
    TEXT_BYTES = 256,
    SHARED_BYTES_PLAIN = 48 << 10  // a launch may have this much without asking
};

// Errors.

/** What to do about a result; "" when its own words are enough. */
static const char *advice(int result)
{
    switch (result) {
    case OD_CU_OUT_OF_MEMORY: return "; nvidia-smi shows which programs hold memory of the card";
    case OD_CU_NO_DEVICE:
        return "; the driver is here but sees no GPU: look at nvidia-smi and CUDA_VISIBLE_DEVICES";
    case OD_CU_SYSTEM_DRIVER_MISMATCH:
    case OD_CU_COMPAT_NOT_SUPPORTED_ON_DEVICE:
        return "; library and kernel module of the driver differ: restart after an update";
    case OD_CU_SYSTEM_NOT_READY: return "; nvidia-fabricmanager must run on machines with NVSwitch";
    case OD_CU_UNKNOWN: return "; look at nvidia-smi and at dmesg for lines with NVRM";
    case OD_CU_DEVICE_UNAVAILABLE:
        return "; another program holds the GPU for itself, or it is lost: look at nvidia-smi";
    case OD_CU_ECC_UNCORRECTABLE:
    case OD_CU_NVLINK_UNCORRECTABLE:
    case OD_CU_HARDWARE_STACK_ERROR:
        return "; the GPU has a fault: look at dmesg for lines with Xid, reset it or restart the "
               "machine; a run goes on from its last checkpoint with --resume";
    case OD_CU_ILLEGAL_ADDRESS:
    case OD_CU_ILLEGAL_INSTRUCTION:
    case OD_CU_MISALIGNED_ADDRESS:
    case OD_CU_INVALID_ADDRESS_SPACE:
    case OD_CU_INVALID_PC:
    case OD_CU_ASSERT:
    case OD_CU_LAUNCH_TIMEOUT:
    case OD_CU_LAUNCH_FAILED:
        return "; a kernel failed and what lay in the GPU's memory is lost: start again (a run goes "
               "on from its last checkpoint with --resume)";
    default: return "";
    }
}

static enum od_status status_of(int result)
{
    switch (result) {
    case OD_CU_OUT_OF_MEMORY: return OD_E_MEMORY;
    case OD_CU_NO_DEVICE:
    case OD_CU_INVALID_DEVICE: return OD_E_NOT_FOUND;
    case OD_CU_STUB_LIBRARY:
    case OD_CU_NO_BINARY_FOR_GPU:
    case OD_CU_UNSUPPORTED_PTX_VERSION:
    case OD_CU_JIT_COMPILER_NOT_FOUND:
    case OD_CU_SYSTEM_DRIVER_MISMATCH:
    case OD_CU_COMPAT_NOT_SUPPORTED_ON_DEVICE: return OD_E_UNSUPPORTED;
    default: return OD_E_IO;
    }
}

/** "CUDA_ERROR_OUT_OF_MEMORY (out of memory)" and what to do about it. */
static void result_text(const struct od_cu_api *api, int result, char out[TEXT_BYTES * 2])
{
    const char *name = NULL;
    const char *text = NULL;
    if (api->cuGetErrorName(result, &name) != OD_CU_SUCCESS || !name) {
        name = "unknown CUDA error";
    }
    if (api->cuGetErrorString(result, &text) != OD_CU_SUCCESS || !text) {
        text = "no text";
    }
    (void)snprintf(out, 2u * (size_t)TEXT_BYTES, "%s (%d: %s)%s", name, result, text,
                   advice(result));
}

enum od_status od_cuda_fail_with(const struct od_cu_api *api, int result, struct od_error *err,
                                 const char *what)
{
    char text[TEXT_BYTES * 2];
    result_text(api, result, text);
    od_error_set(err, status_of(result), "%s: %s", what, text);
    return status_of(result);
}

void od_cuda_fault(struct od_cuda *cuda, enum od_status status, const char *format, ...)
{
    char text[OD_ERROR_MESSAGE_BYTES];
    va_list args;
    if (cuda->fault.status != OD_OK) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    od_error_set(&cuda->fault, status, "%s", text);
}

void od_cuda_queued(struct od_cuda *cuda, int result, const char *what, const char *name)
{
    char text[TEXT_BYTES * 2];
    if (result != OD_CU_SUCCESS && cuda->fault.status == OD_OK) {
        result_text(&cuda->api, result, text);
        od_cuda_fault(cuda, status_of(result), "cannot %s%s on %s: %s", what, name, cuda->info.name,
                      text);
    }
}

// The driver.

bool od_cuda_wants_ptx(void)
{
    const char *ptx = getenv("ONEDAY_CUDA_PTX");
    return ptx && strcmp(ptx, "1") == 0;
}

/** Find the driver and its functions and start it. */
static enum od_status api_load(struct od_cu_api *api, int *ret_version, struct od_error *err)
{
    od_cu_find find = NULL;
    int version = 0;
    // Kernels of libraries that never run stay out of memory. The user's own setting wins.
    (void)setenv("CUDA_MODULE_LOADING", "LAZY", /* overwrite= */ 0);
    if (od_cuda_wants_ptx()) {
        // The driver's own switch; it reads it when it starts.
        (void)setenv("CUDA_FORCE_PTX_JIT", "1", /* overwrite= */ 1);
    }
    // Never unloaded: the driver keeps threads of its own.
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library) {
        const char *why = dlerror();
        const bool absent = why && strstr(why, "No such file");
        return absent || !why
                   ? od_fail(err, OD_E_NOT_FOUND,
                             "no NVIDIA driver: libcuda.so.1 was not found (install the driver, "
                             "%d or newer; in a container pass the GPU through)",
                             DRIVER_WANTED)
                   : od_fail(err, OD_E_NOT_FOUND,
                             "no NVIDIA driver: libcuda.so.1 does not load: %s", why);
    }
    void *symbol = dlsym(library, "cuGetProcAddress_v2");
    memcpy((void *)&find, (const void *)&symbol, sizeof find);
    if (!find) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "the NVIDIA driver is older than CUDA 12.0: install version %d or newer",
                       DRIVER_WANTED);
    }
#define FIND(name, arguments)                                                   \
    if (find(#name, &symbol, OD_CU_API, 0, NULL) != OD_CU_SUCCESS || !symbol) { \
        return od_fail(err, OD_E_UNSUPPORTED,                                   \
                       "the NVIDIA driver has no " #name                        \
                       " of CUDA 12.0: install version %d or "                  \
                       "newer",                                                 \
                       DRIVER_WANTED);                                          \
    }                                                                           \
    memcpy((void *)&api->name, (const void *)&symbol, sizeof symbol);
    OD_CU_FUNCTIONS(FIND)
#undef FIND
    (void)dlclose(library);  // stays loaded, as asked for above
    int result = api->cuDriverGetVersion(&version);
    if (result != OD_CU_SUCCESS) {
        return od_cuda_fail_with(api, result, err, "cannot ask the NVIDIA driver for its version");
    }
    if (version < OD_CU_API) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "the NVIDIA driver offers CUDA %d.%d, this program needs 12.0: install "
                       "version %d or newer",
                       version / 1000, version % 1000 / 10, DRIVER_WANTED);
    }
    result = api->cuInit(0);
    if (result != OD_CU_SUCCESS) {
        return od_cuda_fail_with(api, result, err, "cannot start the NVIDIA driver");
    }
    *ret_version = version;
    return OD_OK;
}

int od_cuda_count(struct od_error *err)
{
    struct od_cu_api api = {0};
    int version = 0;
    int count = 0;
    if (api_load(&api, &version, err)) {
        return 0;
    }
    const int result = api.cuDeviceGetCount(&count);
    if (result != OD_CU_SUCCESS) {
        (void)od_cuda_fail_with(&api, result, err, "cannot count the GPUs");
        return 0;
    }
    if (count == 0) {
        od_error_set(err, OD_E_NOT_FOUND, "the NVIDIA driver sees no GPU");
    }
    return count;
}

/** Fill cuda->info. */
static enum od_status read_info(struct od_cuda *cuda, int version, struct od_error *err)
{
    const struct od_cu_api *api = &cuda->api;
    struct od_cuda_info *info = &cuda->info;
    int major = 0;
    int minor = 0;
    int shared = 0;
    int l2 = 0;
    info->driver_version = version;
    const struct {
        int attribute;
        int *to;
    } wanted[] = {
        {OD_CU_ATTR_CAPABILITY_MAJOR, &major},
        {OD_CU_ATTR_CAPABILITY_MINOR, &minor},
        {OD_CU_ATTR_MULTIPROCESSORS, &info->multiprocessors},
        {OD_CU_ATTR_SHARED_BYTES_OPTIN, &shared},
        {OD_CU_ATTR_L2_BYTES, &l2},
    };
    int result = api->cuDeviceGetName(info->name, (int)sizeof info->name, cuda->device);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0] && result == OD_CU_SUCCESS; i++) {
        result = api->cuDeviceGetAttribute(wanted[i].to, wanted[i].attribute, cuda->device);
    }
    if (result == OD_CU_SUCCESS) {
        result = api->cuDeviceTotalMem(&info->memory_bytes, cuda->device);
    }
    if (result != OD_CU_SUCCESS) {
        return od_cuda_fail_with(api, result, err, "cannot ask the GPU what it is");
    }
    info->capability = major * 10 + minor;
    info->shared_bytes_max = (size_t)shared;
    info->l2_bytes = (size_t)l2;
    if (info->capability < CAPABILITY_MIN) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "%s has capability %d.%d, this program needs 8.0 (A100, RTX 30 or newer)",
                       info->name, major, minor);
    }
    return OD_OK;
}

/** Hand one image of kernels to the driver. */
static enum od_status load_image(struct od_cuda *cuda, uint64_t i, struct od_error *err)
{
    char text[TEXT_BYTES * 2];
    const int result = cuda->api.cuModuleLoadData(&cuda->modules[i], od_cuda_images[i].begin);
    if (result == OD_CU_SUCCESS) {
        return OD_OK;
    }
    cuda->modules[i] = NULL;
    result_text(&cuda->api, result, text);
    if (result == OD_CU_NO_BINARY_FOR_GPU || result == OD_CU_UNSUPPORTED_PTX_VERSION ||
        result == OD_CU_INVALID_IMAGE || result == OD_CU_INVALID_PTX ||
        result == OD_CU_JIT_COMPILER_NOT_FOUND || result == OD_CU_JIT_COMPILATION_DISABLED) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "%s (capability %d.%d, driver %s, CUDA %d.%d) cannot run the kernels of "
                       "this build (%s): '%s': %s; install driver %d or newer, or build with "
                       "-Dgpu_arch=sm_%d",
                       cuda->info.name, cuda->info.capability / 10, cuda->info.capability % 10,
                       cuda->info.driver, cuda->info.driver_version / 1000,
                       cuda->info.driver_version % 1000 / 10, od_cuda_image_archs,
                       od_cuda_images[i].name, text, DRIVER_WANTED, cuda->info.capability);
    }
    od_error_set(err, status_of(result), "cannot load the kernels of '%s': %s",
                 od_cuda_images[i].name, text);
    return status_of(result);
}

/** Hand the program's kernels to the driver, but for those that few models need. */
static enum od_status load_images(struct od_cuda *cuda, struct od_error *err)
{
    enum od_status status = OD_OK;
    if (od_cuda_image_count == 0) {
        return od_fail(err, OD_E_UNSUPPORTED,
                       "this build has no CUDA kernels: build it where nvcc is, or with "
                       "-Dgpu_kernels=FOLDER");
    }
    cuda->modules = od_alloc(od_cuda_image_count, sizeof *cuda->modules);
    if (!cuda->modules) {
        return od_fail(err, OD_E_MEMORY, "cannot hold a table of %u images",
                       (unsigned)od_cuda_image_count);
    }
    for (uint64_t i = 0; i < od_cuda_image_count && status == OD_OK; i++) {
        status = od_cuda_images[i].is_on_demand ? OD_OK : load_image(cuda, i, err);
    }
    return status;
}

enum od_status od_cuda_open(int ordinal, struct od_cuda **ret, struct od_error *err)
{
    enum od_status status = OD_OK;
    void *context = NULL;
    int version = 0;
    int count = 0;
    int result = OD_CU_SUCCESS;
    struct od_cuda *cuda = od_alloc(1, sizeof *cuda);
    if (!cuda) {
        return od_fail(err, OD_E_MEMORY, "cannot hold a GPU's state");
    }
    *cuda = (struct od_cuda){.device = -1};
    const struct od_cu_api *api = &cuda->api;
    status = api_load(&cuda->api, &version, err);
    if (status) {
        goto done;
    }
    result = api->cuDeviceGetCount(&count);
    if (result != OD_CU_SUCCESS) {
        status = od_cuda_fail_with(api, result, err, "cannot count the GPUs");
        goto done;
    }
    if (ordinal < 0 || ordinal >= count) {
        status = od_fail(err, OD_E_NOT_FOUND, "no GPU %d: this machine has %d", ordinal, count);
        goto done;
    }
    result = api->cuDeviceGet(&cuda->device, ordinal);
    if (result != OD_CU_SUCCESS) {
        status = od_cuda_fail_with(api, result, err, "cannot take the GPU");
        goto done;
    }
    status = read_info(cuda, version, err);
    if (status) {
        goto done;
    }
    if (api->cuDeviceGetPCIBusId(cuda->info.pci, (int)sizeof cuda->info.pci, cuda->device) ==
        OD_CU_SUCCESS) {
        cuda->nvml = od_nvml_open(cuda->info.pci);
        (void)snprintf(cuda->info.driver, sizeof cuda->info.driver, "%.31s",
                       od_nvml_driver(cuda->nvml));
    }
    result = api->cuDevicePrimaryCtxRetain(&context, cuda->device);
    if (result == OD_CU_SUCCESS) {
        cuda->has_context = true;
        result = api->cuCtxSetCurrent(context);
    }
    if (result == OD_CU_SUCCESS) {
        result = api->cuStreamCreate(&cuda->stream, OD_CU_STREAM_NON_BLOCKING);
    }
    if (result == OD_CU_SUCCESS) {
        result = api->cuStreamCreate(&cuda->aside, OD_CU_STREAM_NON_BLOCKING);
    }
    if (result == OD_CU_SUCCESS) {
        result = api->cuEventCreate(&cuda->work_done, OD_CU_EVENT_NO_TIME);
    }
    if (result == OD_CU_SUCCESS) {
        result = api->cuEventCreate(&cuda->copy_done, OD_CU_EVENT_NO_TIME);
    }
    if (result != OD_CU_SUCCESS) {
        status = od_cuda_fail_with(api, result, err, "cannot start work on the GPU");
        goto done;
    }
    status = load_images(cuda, err);
    if (status) {
        goto done;
    }
    *ret = cuda;
    cuda = NULL;  // ownership moved to *ret

done:
    od_cuda_close(cuda);
    return status;
}

void od_cuda_close(struct od_cuda *cuda)
{
    if (!cuda) {
        return;
    }
    if (cuda->stream) {
        (void)cuda->api.cuStreamSynchronize(cuda->stream);
        (void)cuda->api.cuStreamDestroy(cuda->stream);
    }
    if (cuda->aside) {
        (void)cuda->api.cuStreamDestroy(cuda->aside);
    }
    if (cuda->work_done) {
        (void)cuda->api.cuEventDestroy(cuda->work_done);
    }
    if (cuda->copy_done) {
        (void)cuda->api.cuEventDestroy(cuda->copy_done);
    }
    for (uint64_t i = 0; cuda->modules && i < od_cuda_image_count; i++) {
        if (cuda->modules[i]) {
            (void)cuda->api.cuModuleUnload(cuda->modules[i]);
        }
    }
    while (cuda->kernels) {
        struct od_cuda_kernel *next = cuda->kernels->next;
        od_free(cuda->kernels);
        cuda->kernels = next;
    }
    if (cuda->has_context) {
        (void)cuda->api.cuDevicePrimaryCtxRelease(cuda->device);
    }
    od_nvml_close(cuda->nvml);
    od_free((void *)cuda->modules);
    od_free(cuda);
}

const struct od_cuda_info *od_cuda_info(const struct od_cuda *cuda)
{
    return &cuda->info;
}

bool od_cuda_is_recording(const struct od_cuda *cuda)
{
    return cuda->is_recording;
}

void *od_cuda_stream(struct od_cuda *cuda)
{
    return cuda->stream;
}

// Memory.

enum od_status od_cuda_memory(struct od_cuda *cuda, size_t *ret_free, size_t *ret_total,
                              struct od_error *err)
{
    size_t available = 0;
    size_t total = 0;
    const int result = cuda->api.cuMemGetInfo(&available, &total);
    if (result != OD_CU_SUCCESS) {
        return od_cuda_fail_with(&cuda->api, result, err, "cannot ask the GPU for its free memory");
    }
    *ret_free = available;
    *ret_total = total;
    return OD_OK;
}

double od_cuda_energy_j(struct od_cuda *cuda)
{
    return cuda->nvml ? od_nvml_read(cuda->nvml).energy_j : -1.0;
}

size_t od_cuda_process_bytes(struct od_cuda *cuda)
{
    const double bytes = od_nvml_read(cuda->nvml).process_bytes;
    return bytes > 0.0 ? (size_t)bytes : 0;
}

enum od_status od_cuda_alloc(struct od_cuda *cuda, size_t bytes, od_dev *ret, struct od_error *err)
{
    size_t available = 0;
    size_t total = 0;
    char asked[24];
    char left[24];
    char all[24];
    od_dev memory = 0;
    const int result = cuda->api.cuMemAlloc(&memory, bytes);
    if (result == OD_CU_SUCCESS) {
        *ret = memory;
        return OD_OK;
    }
    if (result != OD_CU_OUT_OF_MEMORY) {
        return od_cuda_fail_with(&cuda->api, result, err, "cannot take memory of the GPU");
    }
    od_bytes_text((double)bytes, asked);
    if (cuda->api.cuMemGetInfo(&available, &total) != OD_CU_SUCCESS) {
        return od_fail(err, OD_E_MEMORY, "cannot take %s of %s", asked, cuda->info.name);
    }
    od_bytes_text((double)available, left);
    od_bytes_text((double)total, all);
    return od_fail(err, OD_E_MEMORY,
                   "cannot take %s of %s: %s of %s are free (nvidia-smi shows whether another "
                   "program holds memory there)",
                   asked, cuda->info.name, left, all);
}

void od_cuda_free(struct od_cuda *cuda, od_dev memory)
{
    if (memory) {
        od_cuda_queued(cuda, cuda->api.cuMemFree(memory), "free memory", "");
    }
}

enum od_status od_cuda_host_alloc(struct od_cuda *cuda, size_t bytes, void **ret,
                                  struct od_error *err)
{
    char asked[24];
    void *memory = NULL;
    const int result = cuda->api.cuMemHostAlloc(&memory, bytes, 0);
    if (result == OD_CU_SUCCESS) {
        *ret = memory;
        return OD_OK;
    }
    if (result == OD_CU_OUT_OF_MEMORY) {
        od_bytes_text((double)bytes, asked);
        return od_fail(err, OD_E_MEMORY,
                       "cannot pin %s of this machine's memory for the GPU (ulimit -l, free)",
                       asked);
    }
    return od_cuda_fail_with(&cuda->api, result, err, "cannot pin memory for the GPU");
}

void od_cuda_host_free(struct od_cuda *cuda, void *memory)
{
    if (memory) {
        od_cuda_queued(cuda, cuda->api.cuMemFreeHost(memory), "free pinned memory", "");
    }
}

// Kernels.

/** od_NAME or od_NAME_...: a kernel of the image NAME. */
static bool is_kernel_of(const char *kernel, const char *image)
{
    static const char prefix[] = "od_";
    const size_t size = strlen(image);
    const char *rest = kernel + sizeof prefix - 1;
    return strncmp(kernel, prefix, sizeof prefix - 1) == 0 && strncmp(rest, image, size) == 0 &&
           (rest[size] == '_' || rest[size] == '\0');
}

enum od_status od_cuda_kernel(struct od_cuda *cuda, const char *name, struct od_cuda_kernel **ret,
                              struct od_error *err)
{
    void *function = NULL;
    int result = OD_CU_NOT_FOUND;
    for (struct od_cuda_kernel *known = cuda->kernels; known; known = known->next) {
        if (strcmp(known->name, name) == 0) {
            *ret = known;
            return OD_OK;
        }
    }
    for (uint64_t i = 0; i < od_cuda_image_count && result == OD_CU_NOT_FOUND; i++) {
        if (!cuda->modules[i] && is_kernel_of(name, od_cuda_images[i].name)) {
            const enum od_status status = load_image(cuda, i, err);
            if (status != OD_OK) {
                return status;
            }
        }
        if (cuda->modules[i]) {
            result = cuda->api.cuModuleGetFunction(&function, cuda->modules[i], name);
        }
    }
    if (result == OD_CU_NOT_FOUND || strlen(name) >= OD_CUDA_KERNEL_NAME_BYTES) {
        return od_fail(err, OD_E_NOT_FOUND, "this build has no kernel '%s'", name);
    }
    if (result != OD_CU_SUCCESS) {
        return od_cuda_fail_with(&cuda->api, result, err, "cannot load a kernel");
    }
    struct od_cuda_kernel *kernel = od_alloc(1, sizeof *kernel);
    if (!kernel) {
        return od_fail(err, OD_E_MEMORY, "cannot hold kernel '%s'", name);
    }
    *kernel = (struct od_cuda_kernel){
        .function = function, .shared_bytes = SHARED_BYTES_PLAIN, .next = cuda->kernels};
    (void)snprintf(kernel->name, sizeof kernel->name, "%s", name);
    kernel->can_overlap = cuda->info.capability >= OVERLAP_CAPABILITY &&
                          od_cuda_kernel_ptx(cuda, kernel) >= OVERLAP_CAPABILITY;
    cuda->kernels = kernel;
    *ret = kernel;
    return OD_OK;
}

int od_cuda_kernel_ptx(const struct od_cuda *cuda, const struct od_cuda_kernel *kernel)
{
    int version = 0;
    return cuda->api.cuFuncGetAttribute(&version, OD_CU_FUNC_PTX_VERSION, kernel->function) ==
                   OD_CU_SUCCESS
               ? version
               : 0;
}
