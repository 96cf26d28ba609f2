#include "base/memory.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/status.h"

enum {
    ARENA_ALIGN = 64,
    ARENA_BLOCK_BYTES = 64 * 1024,
    BUF_FIRST_BYTES = 64,
    LINE_BYTES = 64,
    HUGE_PAGE_BYTES = 1 << 21
};

static atomic_uint_least64_t alloc_count;
static atomic_uint_least64_t alloc_fail_at;  // absolute number of the allocation that fails

// The number behind `key` in a text file of the kernel's; false where there is none ("max").
static bool kernel_number(const char *path, const char *key, uint64_t *ret)
{
    char line[LINE_BYTES];
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        const size_t length = strlen(key);
        char *end = NULL;
        if (strncmp(line, key, length) == 0) {
            const unsigned long long value = strtoull(line + length, &end, 10);
            found = end != line + length;
            *ret = value;
        }
    }
    if (file) {
        (void)fclose(file);  // only read from
    }
    return found;
}

uint64_t od_memory_available(void)
{
    static const char group[] = "/sys/fs/cgroup/";
    uint64_t machine_kib = 0;
    uint64_t most = 0;
    uint64_t used = 0;
    uint64_t cached = 0;
    char path[LINE_BYTES];
    uint64_t available =
        kernel_number("/proc/meminfo", "MemAvailable:", &machine_kib) ? machine_kib * 1024 : 0;
    (void)snprintf(path, sizeof path, "%smemory.max", group);
    if (!kernel_number(path, "", &most)) {
        return available;
    }
    (void)snprintf(path, sizeof path, "%smemory.current", group);
    if (!kernel_number(path, "", &used)) {
        return available;
    }
    (void)snprintf(path, sizeof path, "%smemory.stat", group);
    (void)kernel_number(path, "inactive_file ", &cached);  // given back when it is wanted
    used -= cached < used ? cached : used;
    const uint64_t left = used < most ? most - used : 1;
    return available == 0 || left < available ? left : available;
}

void od_alloc_fail_at(uint64_t n)
{
    atomic_store(&alloc_fail_at, n == 0 ? 0 : atomic_load(&alloc_count) + n);
}

uint64_t od_alloc_count(void)
{
    return atomic_load(&alloc_count);
}

static bool must_fail(void)
{
    const uint64_t number = atomic_fetch_add(&alloc_count, 1) + 1;
    return number == atomic_load(&alloc_fail_at);
}

static void *zeroed(size_t count, size_t size)
{
    size_t bytes;
    return od_size_mul(count, size, &bytes) ? calloc(1, bytes == 0 ? 1 : bytes) : NULL;
}

void *od_alloc(size_t count, size_t size)
{
    return must_fail() ? NULL : zeroed(count, size);
}

void *od_alloc_insist(size_t count, size_t size, bool *refused)
{
    const bool failed = must_fail();
    void *memory = zeroed(count, size);
    *refused = *refused || failed || !memory;
    return memory;
}

void *od_alloc_large(size_t count, size_t size)
{
    size_t bytes;
    if (must_fail() || !od_size_mul(count, size, &bytes)) {
        return NULL;
    }
    const size_t align = bytes < HUGE_PAGE_BYTES ? LINE_BYTES : HUGE_PAGE_BYTES;
    if (!od_size_add(bytes == 0 ? 1 : bytes, align - 1, &bytes)) {
        return NULL;
    }
    bytes &= ~(align - 1);
    void *memory = aligned_alloc(align, bytes);
    if (memory && align == HUGE_PAGE_BYTES) {
        (void)madvise(memory, bytes, MADV_HUGEPAGE);  // refused: plain pages
    }
    return memory;
}

void *od_realloc(void *old, size_t count, size_t size)
{
    size_t bytes;
    if (must_fail() || !od_size_mul(count, size, &bytes)) {
        return NULL;
    }
    return realloc(old, bytes == 0 ? 1 : bytes);
}

char *od_memdup(const void *bytes, size_t size)
{
    char *copy = size == SIZE_MAX ? NULL : od_alloc(size + 1, 1);
    if (copy && size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

char *od_strdup(const char *text)
{
    return od_memdup(text, strlen(text));
}

void od_free(void *memory)
{
    free(memory);
}

struct od_arena_block {
    struct od_arena_block *next;
    size_t used;
    size_t capacity;
    unsigned char *bytes;  // aligned to ARENA_ALIGN inside the same allocation
};

void od_arena_init(struct od_arena *arena, size_t max_bytes)
{
    *arena = (struct od_arena){.max_bytes = max_bytes};
}

void od_arena_release(struct od_arena *arena)
{
    struct od_arena_block *block = arena->first;
    while (block) {
        struct od_arena_block *next = block->next;
        od_free(block);
        block = next;
    }
    *arena = (struct od_arena){.max_bytes = arena->max_bytes};
}

static struct od_arena_block *arena_block(size_t capacity)
{
    const size_t head = sizeof(struct od_arena_block) + ARENA_ALIGN;
    size_t bytes;
    if (!od_size_add(capacity, head, &bytes)) {
        return NULL;
    }
    struct od_arena_block *block = od_alloc(1, bytes);
    if (block) {
        const uintptr_t after = (uintptr_t)(block + 1);
        const uintptr_t aligned = (after + ARENA_ALIGN - 1) & ~(uintptr_t)(ARENA_ALIGN - 1);
        block->bytes = (unsigned char *)block + (aligned - (uintptr_t)block);
        block->capacity = capacity;
    }
    return block;
}

void *od_arena_alloc(struct od_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (!od_size_mul(count, size, &bytes) || !od_size_add(bytes, ARENA_ALIGN - 1, &bytes)) {
        return NULL;
    }
    bytes &= ~(size_t)(ARENA_ALIGN - 1);
    if (bytes > arena->max_bytes - arena->used_bytes) {
        return NULL;
    }
    struct od_arena_block *block = arena->first;
    if (!block || bytes > block->capacity - block->used) {
        struct od_arena_block *fresh =
            arena_block(bytes > ARENA_BLOCK_BYTES / 4 ? bytes : ARENA_BLOCK_BYTES);
        if (!fresh) {
            return NULL;
        }
        if (block && bytes > ARENA_BLOCK_BYTES / 4) {
            fresh->next = block->next;  // a large piece must not hide the room left in front
            block->next = fresh;
        } else {
            fresh->next = block;
            arena->first = fresh;
        }
        block = fresh;
    }
    void *memory = block->bytes + block->used;
    block->used += bytes;
    arena->used_bytes += bytes;
    return memory;
}

char *od_arena_memdup(struct od_arena *arena, const void *bytes, size_t size)
{
    char *copy = size == SIZE_MAX ? NULL : od_arena_alloc(arena, size + 1, 1);
    if (copy && size > 0) {
        memcpy(copy, bytes, size);
    }
    return copy;
}

char *od_arena_strdup(struct od_arena *arena, const char *text)
{
    return od_arena_memdup(arena, text, strlen(text));
}

void od_buf_init(struct od_buf *buf, size_t max_bytes)
{
    *buf = (struct od_buf){.max_bytes = max_bytes};
}

void od_buf_release(struct od_buf *buf)
{
    od_free(buf->bytes);
    *buf = (struct od_buf){.max_bytes = buf->max_bytes};
}

void od_buf_reset(struct od_buf *buf)
{
    buf->size = 0;
    buf->failed = false;
    if (buf->bytes) {
        buf->bytes[0] = '\0';
    }
}

static void buf_fail(struct od_buf *buf)
{
    od_buf_release(buf);
    buf->failed = true;
}

static bool buf_reserve(struct od_buf *buf, size_t more)
{
    size_t need;
    if (buf->failed) {
        return false;
    }
    if (!od_size_add(buf->size, more, &need) || need > buf->max_bytes || need == SIZE_MAX) {
        buf_fail(buf);
        return false;
    }
    if (need + 1 > buf->capacity) {
        size_t capacity = buf->capacity < BUF_FIRST_BYTES ? BUF_FIRST_BYTES : buf->capacity;
        while (capacity < need + 1) {
            capacity = capacity > SIZE_MAX / 2 ? need + 1 : capacity * 2;
        }
        char *bytes = od_realloc(buf->bytes, capacity, 1);
        if (!bytes) {
            buf_fail(buf);
            return false;
        }
        buf->bytes = bytes;
        buf->capacity = capacity;
    }
    return true;
}

void od_buf_append(struct od_buf *buf, const void *bytes, size_t size)
{
    if (!buf_reserve(buf, size)) {
        return;
    }
    if (size > 0) {
        memcpy(buf->bytes + buf->size, bytes, size);
    }
    buf->size += size;
    buf->bytes[buf->size] = '\0';
}

void od_buf_puts(struct od_buf *buf, const char *text)
{
    od_buf_append(buf, text, strlen(text));
}

void od_buf_putc(struct od_buf *buf, char c)
{
    od_buf_append(buf, &c, 1);
}

void od_buf_vprintf(struct od_buf *buf, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) {
        buf_fail(buf);
    } else if (buf_reserve(buf, (size_t)length)) {
        (void)vsnprintf(buf->bytes + buf->size, (size_t)length + 1, format, again);
        buf->size += (size_t)length;
    }
    va_end(again);
}

void od_buf_printf(struct od_buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    od_buf_vprintf(buf, format, args);
    va_end(args);
}

enum od_status od_buf_check(const struct od_buf *buf, struct od_error *err)
{
    if (buf->failed) {
        return od_fail(err, OD_E_MEMORY, "cannot hold text of this size (limit %zu bytes)",
                       buf->max_bytes);
    }
    return OD_OK;
}

const char *od_buf_text(const struct od_buf *buf)
{
    return buf->bytes ? buf->bytes : "";
}

char *od_buf_take(struct od_buf *buf)
{
    char *bytes = buf->bytes;
    if (!bytes && !buf->failed) {
        bytes = od_alloc(1, 1);
    }
    *buf = (struct od_buf){.max_bytes = buf->max_bytes};
    return bytes;
}
