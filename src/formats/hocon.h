/**
 * @file
 * Lists of evaluation runs: the part of HOCON that HELM's conf files use.
 *
 *     entries: [
 *       # comment
 *       {description: "mmlu:model=neurips/local,subject=anatomy", priority: 1}
 *       {description: "...", priority: 1, groups: ["a", "b"]},
 *     ]
 *
 * @source HOCON (Human-Optimized Config Object Notation), as far as formats/hocon.c states it.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FORMATS_HOCON_H
#define OD_FORMATS_HOCON_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** Limits on what is read. */
enum { OD_HOCON_MAX_BYTES = 16 << 20, OD_HOCON_ENTRIES_MAX = 65536, OD_HOCON_GROUPS_MAX = 1024 };

/** One entry. */
struct od_hocon_entry {
    const char *description;
    int64_t priority;
    const char **groups;  ///< [group_count]
    size_t group_count;
    size_t line;  ///< where its '{' stands, from 1
    size_t column;
};

/** A parsed file. */
struct od_hocon {
    struct od_hocon_entry *entries;  ///< [count], in the order of the file
    size_t count;
    struct od_arena arena;  ///< private: the texts
};

/**
 * Parse a text; `name` stands in messages. In an object the last of equal keys wins, unknown keys
 * are passed over, description and priority must be there.
 * @memory Gives *ret: od_hocon_release. Nothing points into `text` afterwards.
 * @error  OD_E_FORMAT "NAME:line:column: what", OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_hocon_parse(const char *text, size_t size, const char *name, struct od_hocon *ret,
                              struct od_error *err) OD_MUST_CHECK;
/** Read and parse a file. @memory As od_hocon_parse. */
enum od_status od_hocon_read(const char *path, struct od_hocon *ret,
                             struct od_error *err) OD_MUST_CHECK;
/** Free everything; a zeroed object is fine. */
void od_hocon_release(struct od_hocon *hocon);

#endif
