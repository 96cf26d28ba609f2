// Text files: no packed file breaks the reader, and none gives more than the limit.

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/text_file.h"
#include "fuzz.h"

enum { LIMIT_BYTES = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    char *text = NULL;
    size_t text_size = 0;
    char path[64];
    const int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size) {
        return 0;
    }
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (od_text_read(path, LIMIT_BYTES, &text, &text_size, &err) == OD_OK) {
        assert(text_size <= LIMIT_BYTES && text[text_size] == '\0');
        od_free(text);
    }
    (void)close(fd);
    return 0;
}
