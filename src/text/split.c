#include "text/split.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { FIRST_SPANS = 64 };

void od_split_init(struct od_split *split)
{
    *split = (struct od_split){0};
    od_buf_init(&split->text, OD_SPLIT_MAX_BYTES);
}

void od_split_release(struct od_split *split)
{
    od_buf_release(&split->text);
    od_free(split->spans);
    od_split_init(split);
}

void od_split_reset(struct od_split *split)
{
    od_buf_reset(&split->text);
    split->count = 0;
    split->failed = false;
}

static void push(struct od_split *split, struct od_span span)
{
    if (split->failed) {
        return;
    }
    if (split->count == split->capacity) {
        const size_t capacity = split->capacity == 0 ? FIRST_SPANS : split->capacity * 2;
        struct od_span *spans = od_realloc(split->spans, capacity, sizeof(*spans));
        if (!spans) {
            split->failed = true;
            split->count = 0;
            return;
        }
        split->spans = spans;
        split->capacity = capacity;
    }
    split->spans[split->count++] = span;
}

void od_split_add(struct od_split *split, const char *text, size_t size, int32_t id, bool at_start)
{
    const struct od_span span = {
        .at = split->text.size, .size = size, .id = id, .at_start = at_start};
    if (size > 0) {
        od_buf_append(&split->text, text, size);
        push(split, span);
    }
}

void od_split_keep(struct od_split *split, const char *text, size_t size)
{
    const struct od_span span = {.at = split->text.size, .size = size, .id = -1};
    od_buf_append(&split->text, text, size);
    push(split, span);
}

void od_split_close(struct od_split *split, size_t at, bool at_start)
{
    // A failed text has size 0, which must not look like a span of a huge size.
    const size_t size = split->text.size > at ? split->text.size - at : 0;
    const struct od_span span = {.at = at, .size = size, .id = -1, .at_start = at_start};
    if (size > 0) {
        push(split, span);
    }
}

enum od_status od_split_check(const struct od_split *split, struct od_error *err)
{
    if (split->failed) {
        return od_fail(err, OD_E_MEMORY, "no memory for the parts of a text");
    }
    return od_buf_check(&split->text, err);
}
