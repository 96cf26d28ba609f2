/**
 * @file
 * The part of NVML that this program calls, written down here so that building needs no CUDA.
 * @source nvml.h of CUDA 12.9; tests/device/cuda_abi_test.c compares with the real header where
 *         there is one.
 * @thread No state.
 */
#ifndef OD_DEVICE_CUDA_NVML_API_H
#define OD_DEVICE_CUDA_NVML_API_H

#include <stddef.h>
#include <stdint.h>

enum {
    OD_NVML_SUCCESS = 0,
    OD_NVML_TEMPERATURE_GPU = 0,
    OD_NVML_CLOCK_SM = 1,
    OD_NVML_VERSION_BYTES = 80
};

/** nvmlProcessInfo_t. */
struct od_nvml_process {
    unsigned pid;
    unsigned long long bytes;
    unsigned gpu_instance;
    unsigned compute_instance;
};

/** X(name in the library, arguments): every function gives an nvmlReturn_t. */
#define OD_NVML_FUNCTIONS(X)                                                                \
    X(nvmlInit_v2, (void))                                                                  \
    X(nvmlShutdown, (void))                                                                 \
    X(nvmlSystemGetDriverVersion, (char *version, unsigned size))                           \
    X(nvmlDeviceGetHandleByPciBusId_v2, (const char *id, void **device))                    \
    X(nvmlDeviceGetTotalEnergyConsumption, (void *device, unsigned long long *millijoules)) \
    X(nvmlDeviceGetPowerUsage, (void *device, unsigned *milliwatts))                        \
    X(nvmlDeviceGetTemperature, (void *device, int sensor, unsigned *celsius))              \
    X(nvmlDeviceGetClockInfo, (void *device, int type, unsigned *mhz))                      \
    X(nvmlDeviceGetCurrentClocksThrottleReasons, (void *device, unsigned long long *mask))  \
    X(nvmlDeviceGetComputeRunningProcesses_v3,                                              \
      (void *device, unsigned *count, struct od_nvml_process *processes))

/** The library's functions, under the library's names; NULL: this version has it not. */
struct od_nvml_api {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration
#define OD_NVML_MEMBER(name, arguments) int(*name) arguments;
    OD_NVML_FUNCTIONS(OD_NVML_MEMBER)
#undef OD_NVML_MEMBER
};

#endif
