// Goal: no path brings down the reader of percent-escapes, and it reads what another one reads: what stands
// between percent signs as it is, behind each of them a byte that strtoul knows, too.
// Method: the bytes as a path; a reader that is written in another way; and back, all of it escaped.

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "fuzz.h"
#include "net/http_parse.h"

enum { SIZE_MAX_BYTES = 4096 };

/** The same by strtoul; false for what is no path. */
static bool read_slowly(const char *text, struct od_buf *out)
{
    const char *rest = text;
    for (const char *sign = strchr(rest, '%'); sign; sign = strchr(rest, '%')) {
        od_buf_append(out, rest, (size_t)(sign - rest));
        if (!isxdigit((unsigned char)sign[1]) || !isxdigit((unsigned char)sign[2])) {
            return false;
        }
        const char digits[] = {sign[1], sign[2], '\0'};
        const unsigned long byte = strtoul(digits, NULL, 16);
        if (byte == 0) {
            return false;
        }
        od_buf_putc(out, (char)(unsigned char)byte);
        rest = sign + 3;
    }
    od_buf_puts(out, rest);
    return true;
}

static void must_be(bool same)
{
    if (!same) {
        __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[SIZE_MAX_BYTES + 1] = "";
    struct od_buf read;
    struct od_buf slow;
    struct od_buf escaped;
    if (size > SIZE_MAX_BYTES) {
        return 0;
    }
    memcpy(text, data, size);
    od_buf_init(&read, SIZE_MAX_BYTES + 1);
    od_buf_init(&slow, SIZE_MAX_BYTES + 1);
    od_buf_init(&escaped, 3 * SIZE_MAX_BYTES + 1);
    const bool good = od_http_unescape(text, &read);
    must_be(good == read_slowly(text, &slow));
    if (good) {
        must_be(strcmp(od_buf_text(&read), od_buf_text(&slow)) == 0);
        for (size_t i = 0; i < read.size; i++) {
            od_buf_printf(&escaped, i % 2 == 0 ? "%%%02x" : "%%%02X", (unsigned char)read.bytes[i]);
        }
        od_buf_reset(&slow);
        must_be(od_http_unescape(od_buf_text(&escaped), &slow));
        must_be(strcmp(od_buf_text(&read), od_buf_text(&slow)) == 0);
    }
    od_buf_release(&read);
    od_buf_release(&slow);
    od_buf_release(&escaped);
    return 0;
}
