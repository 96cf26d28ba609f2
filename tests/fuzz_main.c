// Runs a fuzz target over the files of a folder, each also cut short at every 1/16 of its length.

#include <stdio.h>

#include "base/file.h"
#include "fuzz.h"

enum { CORPUS_FILE_MAX_BYTES = 16 << 20, CUTS = 16 };

int main(int argc, char **argv)
{
    char **names = NULL;
    size_t count = 0;
    struct od_error err = {0};
    if (argc != 2) {
        (void)fprintf(stderr, "usage: %s CORPUS\n", argv[0]);
        return 2;
    }
    if (od_dir_list(argv[1], &names, &count, &err) != OD_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    for (size_t i = 0; i < count; i++) {
        char path[OD_PATH_MAX_BYTES];
        char *bytes = NULL;
        size_t size = 0;
        if (od_path_join(path, argv[1], names[i], &err) != OD_OK ||
            od_file_read(path, CORPUS_FILE_MAX_BYTES, &bytes, &size, &err) != OD_OK) {
            (void)fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        for (size_t cut = 0; cut <= CUTS; cut++) {
            const size_t part = size / CUTS * cut + (cut == CUTS ? size % CUTS : 0);
            char *copy = od_memdup(bytes, part);  // exact size, so that a sanitizer sees overreads
            if (copy) {
                (void)LLVMFuzzerTestOneInput((const uint8_t *)copy, part);
            }
            od_free(copy);
        }
        od_free(bytes);
    }
    od_names_free(names, count);
    (void)printf("%zu corpus files, %d cuts each\n", count, CUTS + 1);
    return count > 0 ? 0 : 1;
}
