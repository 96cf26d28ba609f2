/**
 * @file
 * Memory: checked sizes, the one door to the heap, arenas, growing buffers.
 *
 * The heap is reached through od_alloc, od_realloc and od_free, so that tests can make the n-th
 * allocation fail (od_alloc_fail_at). An arena hands out memory that is released all at once; a
 * growing buffer knows its maximum from the start.
 *
 * @thread Re-entrant: distinct objects from distinct threads. od_alloc_fail_at is for tests, set
 *         before other threads exist.
 */
#ifndef OD_BASE_MEMORY_H
#define OD_BASE_MEMORY_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/** a * b; false when it does not fit. `product` is written on success only. */
static inline bool od_size_mul(size_t a, size_t b, size_t *product)
{
    size_t result;
    if (__builtin_mul_overflow(a, b, &result)) {
        return false;
    }
    *product = result;
    return true;
}

/** a + b; false when it does not fit. `sum` is written on success only. */
static inline bool od_size_add(size_t a, size_t b, size_t *sum)
{
    size_t result;
    if (__builtin_add_overflow(a, b, &result)) {
        return false;
    }
    *sum = result;
    return true;
}

/** a * b for dimensions and counts; false when it does not fit or an operand is negative. */
static inline bool od_count_mul(int64_t a, int64_t b, int64_t *product)
{
    int64_t result;
    if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &result)) {
        return false;
    }
    *product = result;
    return true;
}

/** Bytes that the machine, or the group of processes that this one is limited with, has free now; 0 where
 *  neither says it. */
uint64_t od_memory_available(void);

/**
 * `count` * `size` bytes, zeroed; NULL when that overflows, memory is out or a test says so.
 * A request for 0 bytes gives a pointer to nothing that od_free takes.
 * @memory Gives: free with od_free.
 */
void *od_alloc(size_t count, size_t size);

/**
 * Memory for large arrays, not zeroed: aligned to 64 bytes, and from 2 MiB on to 2 MiB and on huge
 * pages where the system grants them. A tile of a matrix lies on as many pages as it has rows; with
 * plain pages their addresses do not stay translated.
 * @memory Gives: free with od_free.
 */
void *od_alloc_large(size_t count, size_t size);

/**
 * For a library that does not survive being refused: as od_alloc, but where a test says that it
 * fails, *refused is set and there is memory all the same. *refused is set for NULL, too.
 */
void *od_alloc_insist(size_t count, size_t size, bool *refused);

/** Resize to `count` * `size` bytes; new bytes are not zeroed. NULL leaves `old` as it was. */
void *od_realloc(void *old, size_t count, size_t size);

/** A copy of a string, or NULL. @memory Gives: free with od_free. */
char *od_strdup(const char *text);

/** A copy of `size` bytes and a NUL behind them, or NULL. @memory Gives: free with od_free. */
char *od_memdup(const void *bytes, size_t size);

/** Release; NULL is allowed. */
void od_free(void *memory);

/** For tests: let the n-th allocation from now fail (1 is the next one), once; 0 turns it off. */
void od_alloc_fail_at(uint64_t n);

/** Allocations (od_alloc and od_realloc) since the program started; tests compare two readings. */
uint64_t od_alloc_count(void);

/** Memory that is handed out in pieces and released all at once. */
struct od_arena {
    struct od_arena_block *first;  ///< private
    size_t used_bytes;             ///< sum of what was handed out
    size_t max_bytes;              ///< hard limit on used_bytes
};

/** An arena that never hands out more than `max_bytes`. Allocates nothing yet. */
void od_arena_init(struct od_arena *arena, size_t max_bytes);

/** Free everything that came from the arena. */
void od_arena_release(struct od_arena *arena);

/** `count` * `size` zeroed bytes, aligned to 64; NULL at the limit or without memory. */
void *od_arena_alloc(struct od_arena *arena, size_t count, size_t size);

/** A copy of `size` bytes with a NUL behind them; NULL at the limit or without memory. */
char *od_arena_memdup(struct od_arena *arena, const void *bytes, size_t size);

/** A copy of a string; NULL at the limit or without memory. */
char *od_arena_strdup(struct od_arena *arena, const char *text);

/**
 * Bytes that grow, always followed by a NUL. After a failed append the buffer is empty and stays
 * so (`failed`), later appends do nothing: check once at the end with od_buf_check.
 */
struct od_buf {
    char *bytes;       ///< NULL while nothing was appended
    size_t size;       ///< bytes in use, without the NUL
    size_t capacity;   ///< private
    size_t max_bytes;  ///< hard limit on `size`
    bool failed;       ///< an append did not succeed
};

/** An empty buffer that never holds more than `max_bytes`. */
void od_buf_init(struct od_buf *buf, size_t max_bytes);
void od_buf_release(struct od_buf *buf);
/** Forget the contents and a failure, keep the memory. */
void od_buf_reset(struct od_buf *buf);
void od_buf_append(struct od_buf *buf, const void *bytes, size_t size);
void od_buf_puts(struct od_buf *buf, const char *text);
void od_buf_putc(struct od_buf *buf, char c);
void od_buf_printf(struct od_buf *buf, const char *format, ...) OD_PRINTF(2, 3);
void od_buf_vprintf(struct od_buf *buf, const char *format, va_list args) OD_PRINTF(2, 0);
/** OD_OK, or why an append failed: OD_E_MEMORY. */
enum od_status od_buf_check(const struct od_buf *buf, struct od_error *err) OD_MUST_CHECK;
/** The text, "" when empty; never NULL. @memory Borrowed from the buffer until its next change. */
const char *od_buf_text(const struct od_buf *buf);
/** Hand the bytes over (never NULL unless the buffer failed) and leave the buffer empty.
 *  @memory Gives: free with od_free. */
char *od_buf_take(struct od_buf *buf);

#endif
