/**
 * @file
 * Where NVIDIA's libraries lie on a machine. They are never part of this program; it looks, in this
 * order, in the folders of $ONEDAY_CUDA_LIBS (separated by colons), where the loader looks, in
 * ../lib beside the program, in CUDA's own folders and in those of Python's packages.
 * @thread Re-entrant; reads the environment.
 */
#ifndef OD_DEVICE_CUDA_LIBRARY_H
#define OD_DEVICE_CUDA_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

/** Try one file (a path, or a plain name for the loader); true ends the search. */
typedef bool (*od_library_try)(void *context, const char *path);

/** Offer the places of each of `names` [count], in order, until one is taken. True: one was. */
bool od_library_search(const char *const *names, size_t count, od_library_try attempt,
                       void *context);

#endif
