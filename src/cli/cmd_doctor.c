// `oneday doctor`: what this machine has, what works, what is missing and how to get it.

#include <curl/curl.h>
#include <dlfcn.h>
#include <event2/event.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "cli/options.h"
#include "device/cuda/cuda.h"
#include "device/cuda/images.h"
#include "flow/gpu_check.h"
#include "formats/json.h"
#include "net/ca_bundle.h"

enum {
    FACTS_MAX = 128,
    VALUE_MAX_BYTES = 512,
    LINE_MAX_BYTES = 1024,
    OUTPUT_MAX_BYTES = 1 << 18,
    GPUS_MAX = 8
};
static const double KIB = 1024.0;
/** The demo with its tests in parallel needs about this much. */
static const double MEMORY_ADVISED_BYTES = 1e9;
static const double DISK_ADVISED_BYTES = 1e9;
/** A card with less free than this share is used by someone else, too. */
static const double MEMORY_FREE_SHARE = 0.9;
/** H100 and H200. */
enum { TESTED_CAPABILITY = 90 };

/** One thing that was found out. `advice`: what to do about it; NULL when all is well. */
struct fact {
    const char *group;
    const char *name;
    char value[VALUE_MAX_BYTES];
    const char *advice;
};

struct facts {
    struct fact items[FACTS_MAX];
    size_t count;
};

OD_PRINTF(5, 6)
static void add(struct facts *facts, const char *group, const char *name, const char *advice,
                const char *format, ...)
{
    va_list args;
    if (facts->count == FACTS_MAX) {
        return;
    }
    struct fact *fact = &facts->items[facts->count++];
    *fact = (struct fact){.group = group, .name = name, .advice = advice};
    va_start(args, format);
    (void)vsnprintf(fact->value, sizeof fact->value, format, args);
    va_end(args);
}

/** Value behind "key<blanks>:" in a file such as /proc/cpuinfo; false when there is none. */
static bool find_line(const char *path, const char *key, char out[LINE_MAX_BYTES])
{
    char line[LINE_MAX_BYTES];
    bool found = false;
    const size_t key_size = strlen(key);
    FILE *file = fopen(path, "re");
    if (!file) {
        return false;
    }
    while (!found && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, key_size) == 0) {
            const char *at = line + key_size + strspn(line + key_size, " \t");
            if (*at == ':') {
                at++;
                at += strspn(at, " \t");
                (void)snprintf(out, LINE_MAX_BYTES, "%.*s", (int)strcspn(at, "\n"), at);
                found = true;
            }
        }
    }
    (void)fclose(file);  // only read from
    return found;
}

/** A line of /proc/meminfo in bytes; 0 when unknown. */
static double memory_bytes(const char *key)
{
    char text[LINE_MAX_BYTES];
    int64_t kib = 0;
    if (!find_line("/proc/meminfo", key, text)) {
        return 0.0;
    }
    text[strcspn(text, " ")] = '\0';
    return od_parse_int(text, &kib) ? (double)kib * KIB : 0.0;
}

static void add_processor(struct facts *facts, bool no_vector)
{
    char model[LINE_MAX_BYTES] = "unknown";
    cpu_set_t set;
    CPU_ZERO(&set);
    const int usable = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    if (!find_line("/proc/cpuinfo", "model name", model)) {
        (void)find_line("/proc/cpuinfo", "Processor", model);
    }
    add(facts, "processor", "model", NULL, "%.180s", model);
    add(facts, "processor", "usable", NULL, "%d", usable);
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") != 0;
    add(facts, "processor", "avx2_fma", avx2 ? NULL : "works without, several times slower", "%s",
        avx2 ? "yes" : "no");
    add(facts, "processor", "avx512f", NULL, "%s", avx512 ? "yes" : "no");
#else
    add(facts, "processor", "avx2_fma", "works without, several times slower", "no");
#endif
    if (no_vector) {
        add(facts, "processor", "ONEDAY_NO_AVX2", "unset it to compute with vectors", "1");
    }
}

static void add_machine(struct facts *facts)
{
    char text[24];
    struct utsname system;
    struct statvfs disk;
    if (uname(&system) == 0) {
        add(facts, "system", "kernel", NULL, "%.60s %.60s %.40s", system.sysname, system.release,
            system.machine);
    }
    const double total = memory_bytes("MemTotal");
    const double available = memory_bytes("MemAvailable");
    od_bytes_text(total, text);
    add(facts, "system", "memory_total", NULL, "%s", text);
    od_bytes_text(available, text);
    add(facts, "system", "memory_available",
        available < MEMORY_ADVISED_BYTES ? "close other programs; the demo wants 1 GB" : NULL, "%s",
        text);
    if (statvfs(".", &disk) == 0) {
        const double left = (double)disk.f_bavail * (double)disk.f_frsize;
        od_bytes_text(left, text);
        add(facts, "system", "disk_free_here",
            left < DISK_ADVISED_BYTES ? "free some space; build and demo want 1 GB" : NULL, "%s",
            text);
    }
}

static void add_library(struct facts *facts, const char *name, const struct od_gpu_library *library,
                        const char *advice)
{
    if (library->path[0] == '\0') {
        add(facts, "gpu", name, advice, "absent");
    } else {
        add(facts, "gpu", name, NULL, "%d.%d.%d, %.400s", library->major, library->minor,
            library->patch, library->path);
    }
}

/** What a trial on a GPU that was opened says. */
static void add_trial(struct facts *facts, const char *group, struct od_cuda *cuda)
{
    struct od_error err = {0};
    struct od_gpu_trial trial;
    if (od_gpu_try(cuda, &trial, &err)) {
        add(facts, group, "trial", "the GPU, its driver or its memory has a fault", "%.500s",
            err.message);
        return;
    }
    add(facts, group, "probe", NULL, "a kernel ran and its results have the processor's bits");
    add(facts, group, "product",
        trial.products_right ? NULL : "do not train on it: the products are wrong",
        "%s; %s within %.1e, own kernel within %.1e of exact sums",
        trial.products_right ? "right" : "WRONG", trial.library, trial.library_error,
        trial.own_error);
}

static void add_one_gpu(struct facts *facts, const char *group, int ordinal)
{
    struct od_error err = {0};
    struct od_cuda *cuda = NULL;
    size_t left = 0;
    size_t total = 0;
    char left_text[24];
    char total_text[24];
    if (od_cuda_open(ordinal, &cuda, &err)) {
        add(facts, group, "usable", "the GPU cannot be used as it is", "no: %.480s", err.message);
        return;
    }
    const struct od_cuda_info *info = od_cuda_info(cuda);
    add(facts, group, "name", NULL, "%s", info->name);
    add(facts, group, "driver", NULL, "%s, CUDA %d.%d", info->driver[0] ? info->driver : "unknown",
        info->driver_version / 1000, info->driver_version % 1000 / 10);
    add(facts, group, "capability", NULL, "%d.%d, %s", info->capability / 10, info->capability % 10,
        info->capability == TESTED_CAPABILITY
            ? "tested"
            : "untested: nobody has run this program on such a card yet");
    add(facts, group, "multiprocessors", NULL, "%d", info->multiprocessors);
    if (od_cuda_memory(cuda, &left, &total, &err)) {
        add(facts, group, "memory", "the driver does not answer", "%.480s", err.message);
    } else {
        od_bytes_text((double)left, left_text);
        od_bytes_text((double)total, total_text);
        add(facts, group, "memory",
            (double)left < (double)total * MEMORY_FREE_SHARE
                ? "another program holds memory of the card: nvidia-smi names it"
                : NULL,
            "%s free of %s", left_text, total_text);
    }
    add_trial(facts, group, cuda);
    od_cuda_close(cuda);
}

static void add_gpu(struct facts *facts)
{
    static const char *const groups[GPUS_MAX] = {"gpu_0", "gpu_1", "gpu_2", "gpu_3",
                                                 "gpu_4", "gpu_5", "gpu_6", "gpu_7"};
    struct od_error err = {0};
    struct od_gpu_library library;
    const int count = od_cuda_count(&err);
    if (count > 0) {
        add(facts, "gpu", "found", NULL, "%d", count);
    } else {
        add(facts, "gpu", "found", NULL, "none: %.480s", err.message);
    }
    if (od_cuda_image_count > 0) {
        add(facts, "gpu", "kernels", NULL, "%u images for %.400s", (unsigned)od_cuda_image_count,
            od_cuda_image_archs);
    } else {
        add(facts, "gpu", "kernels",
            count > 0 ? "build the program where nvcc is, or with -Dgpu_kernels=FOLDER" : NULL,
            "none in this build");
    }
    od_gpu_find_cublas(&library);
    add_library(facts, "cuBLASLt", &library,
                count > 0 ? "install NVIDIA's cuBLAS 12 or 13 (pip install nvidia-cublas will do), "
                            "or name its folder in ONEDAY_CUDA_LIBS; without it products are slower"
                          : NULL);
    od_gpu_find_cudnn(&library);
    add_library(facts, "cuDNN", &library, NULL);
    void *nvml = dlopen("libnvidia-ml.so.1", RTLD_LAZY | RTLD_LOCAL);
    add(facts, "gpu", "NVML",
        count > 0 && !nvml ? "energy and clocks of the GPU stay unknown" : NULL, "%s",
        nvml ? "found" : "absent");
    if (nvml) {
        (void)dlclose(nvml);
    }
    // What computes: the rest of the program says it with --device.
    add(facts, "gpu", "engine", NULL, "training; serving and evaluation compute on the CPU");
    for (int i = 0; i < count && i < GPUS_MAX; i++) {
        if (od_cuda_image_count > 0) {
            add_one_gpu(facts, groups[i], i);
        }
    }
}

static void add_network(struct facts *facts)
{
    char path[OD_PATH_MAX_BYTES];
    const bool found = od_ca_bundle_find(getenv("SSL_CERT_FILE"), "/", path);
    add(facts, "network", "certificates",
        found && od_path_exists(path)
            ? NULL
            : "for https: install 'ca-certificates', or name a file in SSL_CERT_FILE",
        "%.180s", found ? path : "absent");
}

static void add_libraries(struct facts *facts)
{
    char pcre2[64] = "unknown";
    const unsigned xxhash = XXH_versionNumber();
    (void)pcre2_config(PCRE2_CONFIG_VERSION, NULL);
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof pcre2) {
        (void)pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    }
    add(facts, "libraries", "jansson", NULL, "%s", jansson_version_str());
    add(facts, "libraries", "libcurl", NULL, "%s", curl_version_info(CURLVERSION_NOW)->version);
    add(facts, "libraries", "libevent", NULL, "%s", event_get_version());
    add(facts, "libraries", "libyaml", NULL, "%s", yaml_get_version_string());
    add(facts, "libraries", "openssl", NULL, "%s", OpenSSL_version(OPENSSL_VERSION_STRING));
    add(facts, "libraries", "pcre2", NULL, "%s", pcre2);
    add(facts, "libraries", "utf8proc", NULL, "%s", utf8proc_version());
    add(facts, "libraries", "xxhash", NULL, "%u.%u.%u", xxhash / 10000, xxhash / 100 % 100,
        xxhash % 100);
    add(facts, "libraries", "zlib", NULL, "%s", zlibVersion());
}

static enum od_status print_json(const struct facts *facts, struct od_error *err)
{
    struct od_buf out;
    struct od_json_writer writer;
    const char *group = NULL;
    od_buf_init(&out, OUTPUT_MAX_BYTES);
    od_json_writer_init(&writer, &out, OD_JSON_INDENT_2, false);
    od_json_object_begin(&writer);
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        if (!group || strcmp(group, fact->group) != 0) {
            if (group) {
                od_json_object_end(&writer);
            }
            group = fact->group;
            od_json_key(&writer, group);
            od_json_object_begin(&writer);
        }
        od_json_member_text(&writer, fact->name, fact->value);
    }
    if (group) {
        od_json_object_end(&writer);
    }
    od_json_key(&writer, "advice");
    od_json_array_begin(&writer);
    for (size_t i = 0; i < facts->count; i++) {
        if (facts->items[i].advice) {
            char text[LINE_MAX_BYTES];
            (void)snprintf(text, sizeof text, "%s: %s", facts->items[i].name,
                           facts->items[i].advice);
            od_json_put_text(&writer, text);
        }
    }
    od_json_array_end(&writer);
    od_json_object_end(&writer);
    const enum od_status status = od_buf_check(&out, err);
    if (!status) {
        (void)printf("%s\n", od_buf_text(&out));
    }
    od_buf_release(&out);
    return status;
}

static void print_text(const struct facts *facts)
{
    bool all_well = true;
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        const bool first = i == 0 || strcmp(fact->group, facts->items[i - 1].group) != 0;
        (void)printf("%-10s %-18s %s\n", first ? fact->group : "", fact->name, fact->value);
        all_well = all_well && !fact->advice;
    }
    (void)puts(all_well ? "\nEverything that the program needs is here." : "\nWorth a look:");
    for (size_t i = 0; i < facts->count; i++) {
        const struct fact *fact = &facts->items[i];
        if (fact->advice) {
            (void)printf("  %s is %s: %s\n", fact->name, fact->value, fact->advice);
        }
    }
}

int od_cmd_doctor(struct od_cli *cli, int argc, char **argv)
{
    const struct od_command_spec spec = {
        .name = "doctor",
        .arguments = "[--json]",
        .summary = "what this machine has, and what is missing",
        .details =
            "Lists the processor, memory, disk, GPUs and the libraries that the program runs\n"
            "with, then what is worth mending and how. On each GPU a kernel and two matrix\n"
            "products are tried and compared with the processor's results.",
    };
    struct od_args args;
    struct od_error err = {0};
    struct facts facts = {.count = 0};
    int exit_code = 0;
    if (!od_command_parse(cli, &spec, argc, argv, &args, &exit_code)) {
        return exit_code;
    }
    add(&facts, "program", "version", NULL, "%s", ONEDAY_VERSION);
    add_processor(&facts, cli->no_vector);
    add_machine(&facts);
    add_gpu(&facts);
    add_network(&facts);
    add_libraries(&facts);
    if (!cli->json) {
        print_text(&facts);
        return 0;
    }
    const enum od_status status = print_json(&facts, &err);
    return status ? od_command_fail(&spec, status, &err) : 0;
}
