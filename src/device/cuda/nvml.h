/**
 * @file
 * What the card says of itself through NVML: energy, power, temperature, throttling, memory. Every
 * reading is optional: without NVML all are "not known".
 *
 * @source NVML (nvml.h), libnvidia-ml.so.1, found at run time.
 * @thread One owner.
 */
#ifndef OD_DEVICE_CUDA_NVML_H
#define OD_DEVICE_CUDA_NVML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct od_nvml;

/** One reading; a negative number is not known. */
struct od_nvml_reading {
    double energy_j;  ///< since the driver was loaded
    double power_w;
    double temperature_c;
    double clock_mhz;      ///< of the multiprocessors
    double throttle;       ///< bit mask of reasons (nvmlClocksEventReason*), 0: none
    double process_bytes;  ///< taken by this process on the card
};

/** `pci_bus_id` as the driver gives it ("0000:1B:00.0"). NULL when NVML is not there.
 *  @memory Gives: od_nvml_close. */
struct od_nvml *od_nvml_open(const char *pci_bus_id);
void od_nvml_close(struct od_nvml *nvml);
struct od_nvml_reading od_nvml_read(struct od_nvml *nvml);
/** "580.159.04"; "" when not known. */
const char *od_nvml_driver(const struct od_nvml *nvml);

#endif
