/**
 * @file
 * Compressed streams, unpacked piece by piece: gzip, Zstandard and xz, told by their first bytes.
 *
 *     struct od_unpacker *unpacker = NULL;
 *     status = od_unpacker_create(od_packing_of(bytes, size), path, take, &context, &unpacker, err);
 *     while (... more bytes ...) {
 *         status = od_unpacker_push(unpacker, bytes, size, err);
 *     }
 *     status = od_unpacker_finish(unpacker, err);
 *     od_unpacker_free(unpacker);
 *
 * Several members (gzip), frames (Zstandard) or streams (xz) behind one another are one text. A
 * stream that grows by more than OD_UNPACK_RATIO_MAX is a bomb and refused, as soon as it is larger
 * than OD_UNPACK_FREE_BYTES; the memory of a decoder is limited, too.
 *
 * @source RFC 1952; RFC 8878; the .xz file format, version 1.1.0.
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_FORMATS_UNPACK_H
#define OD_FORMATS_UNPACK_H

#include <stddef.h>

#include "base/status.h"

/** Limits on what is unpacked. */
enum {
    OD_UNPACK_RATIO_MAX = 2000,          ///< unpacked bytes for each packed one
    OD_UNPACK_FREE_BYTES = 16 << 20,     ///< up to here any ratio is fine
    OD_UNPACK_MEMORY_BYTES = 256 << 20,  ///< of an xz decoder
    OD_UNPACK_WINDOW_LOG_MAX = 27        ///< of a Zstandard frame: 128 MiB
};

/** How bytes are packed. */
enum od_packing { OD_PACKING_NONE, OD_PACKING_GZIP, OD_PACKING_ZSTD, OD_PACKING_XZ };

/** What the first bytes of a file say. */
enum od_packing od_packing_of(const unsigned char *bytes, size_t size);

/** Takes a piece of what was unpacked; a status other than OD_OK ends the unpacking. */
typedef enum od_status (*od_unpack_sink)(void *context, const void *bytes, size_t size,
                                         struct od_error *err);

/** A stream in the middle of being unpacked. */
struct od_unpacker;

/**
 * Start a stream. `path` stands in messages.
 * @memory Keeps `path` and `context`. Gives: od_unpacker_free.
 */
enum od_status od_unpacker_create(enum od_packing packing, const char *path, od_unpack_sink sink,
                                  void *context, struct od_unpacker **ret,
                                  struct od_error *err) OD_MUST_CHECK;
/** Unpack the next `size` bytes into the sink. @error OD_E_FORMAT, OD_E_LIMIT, OD_E_MEMORY. */
enum od_status od_unpacker_push(struct od_unpacker *unpacker, const void *bytes, size_t size,
                                struct od_error *err) OD_MUST_CHECK;
/** The stream ends here: OD_E_FORMAT when it is not complete. */
enum od_status od_unpacker_finish(struct od_unpacker *unpacker, struct od_error *err) OD_MUST_CHECK;
/** NULL is allowed. */
void od_unpacker_free(struct od_unpacker *unpacker);

#endif
