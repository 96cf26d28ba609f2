#include "device/cuda/nvml.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "device/cuda/nvml_api.h"

enum { PROCESSES_MAX = 256 };
static const double MILLI = 1e-3;

struct od_nvml {
    void *library;
    struct od_nvml_api api;
    void *device;
    char driver[OD_NVML_VERSION_BYTES];
};

/** Functions that a version of the library lacks stay NULL. */
static void find_functions(void *library, struct od_nvml_api *api)
{
#define FIND(name, arguments)                                             \
    do {                                                                  \
        void *symbol = dlsym(library, #name);                             \
        _Static_assert(sizeof symbol == sizeof api->name, "");            \
        memcpy((void *)&api->name, (const void *)&symbol, sizeof symbol); \
    } while (0);
    OD_NVML_FUNCTIONS(FIND)
#undef FIND
}

struct od_nvml *od_nvml_open(const char *pci_bus_id)
{
    struct od_nvml *nvml = NULL;
    bool started = false;
    void *library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        return NULL;
    }
    nvml = od_alloc(1, sizeof *nvml);
    if (!nvml) {
        goto fail;
    }
    *nvml = (struct od_nvml){.library = library};
    find_functions(library, &nvml->api);
    if (!nvml->api.nvmlInit_v2 || !nvml->api.nvmlShutdown ||
        !nvml->api.nvmlDeviceGetHandleByPciBusId_v2 || nvml->api.nvmlInit_v2() != OD_NVML_SUCCESS) {
        goto fail;
    }
    started = true;
    if (nvml->api.nvmlDeviceGetHandleByPciBusId_v2(pci_bus_id, &nvml->device) != OD_NVML_SUCCESS) {
        goto fail;
    }
    if (!nvml->api.nvmlSystemGetDriverVersion ||
        nvml->api.nvmlSystemGetDriverVersion(nvml->driver, sizeof nvml->driver) !=
            OD_NVML_SUCCESS) {
        nvml->driver[0] = '\0';
    }
    return nvml;

fail:
    if (started) {
        (void)nvml->api.nvmlShutdown();
    }
    od_free(nvml);
    (void)dlclose(library);
    return NULL;
}

void od_nvml_close(struct od_nvml *nvml)
{
    if (nvml) {
        (void)nvml->api.nvmlShutdown();
        (void)dlclose(nvml->library);
        od_free(nvml);
    }
}

/** What this process takes; -1 when the library's process numbers are those of another name space. */
static double process_bytes(struct od_nvml *nvml)
{
    struct od_nvml_process processes[PROCESSES_MAX];
    unsigned count = PROCESSES_MAX;
    const unsigned self = (unsigned)getpid();
    if (!nvml->api.nvmlDeviceGetComputeRunningProcesses_v3 ||
        nvml->api.nvmlDeviceGetComputeRunningProcesses_v3(nvml->device, &count, processes) !=
            OD_NVML_SUCCESS) {
        return -1.0;
    }
    for (unsigned i = 0; i < count && i < PROCESSES_MAX; i++) {
        // All ones stands for "not available".
        if (processes[i].pid == self && processes[i].bytes != ~0ULL) {
            return (double)processes[i].bytes;
        }
    }
    return -1.0;
}

struct od_nvml_reading od_nvml_read(struct od_nvml *nvml)
{
    struct od_nvml_reading reading = {-1.0, -1.0, -1.0, -1.0, -1.0, -1.0};
    unsigned long long wide = 0;
    unsigned narrow = 0;
    if (!nvml) {
        return reading;
    }
    const struct od_nvml_api *api = &nvml->api;
    if (api->nvmlDeviceGetTotalEnergyConsumption &&
        api->nvmlDeviceGetTotalEnergyConsumption(nvml->device, &wide) == OD_NVML_SUCCESS) {
        reading.energy_j = (double)wide * MILLI;
    }
    if (api->nvmlDeviceGetPowerUsage &&
        api->nvmlDeviceGetPowerUsage(nvml->device, &narrow) == OD_NVML_SUCCESS) {
        reading.power_w = (double)narrow * MILLI;
    }
    if (api->nvmlDeviceGetTemperature &&
        api->nvmlDeviceGetTemperature(nvml->device, OD_NVML_TEMPERATURE_GPU, &narrow) ==
            OD_NVML_SUCCESS) {
        reading.temperature_c = narrow;
    }
    if (api->nvmlDeviceGetClockInfo &&
        api->nvmlDeviceGetClockInfo(nvml->device, OD_NVML_CLOCK_SM, &narrow) == OD_NVML_SUCCESS) {
        reading.clock_mhz = narrow;
    }
    if (api->nvmlDeviceGetCurrentClocksThrottleReasons &&
        api->nvmlDeviceGetCurrentClocksThrottleReasons(nvml->device, &wide) == OD_NVML_SUCCESS) {
        reading.throttle = (double)wide;
    }
    reading.process_bytes = process_bytes(nvml);
    return reading;
}

const char *od_nvml_driver(const struct od_nvml *nvml)
{
    return nvml ? nvml->driver : "";
}
