/**
 * @file
 * Digests: SHA-256 for the identity of files, SHA-512 for Python's string seeds, XXH3 for speed, CRC-32C
 * for formats that have one.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_BASE_HASH_H
#define OD_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { OD_SHA256_HEX_BYTES = 65, OD_XXH_HEX_BYTES = 17 };

/** SHA-256 of a piece of memory as 64 lower-case hex digits and a NUL. */
void od_sha256_hex(const void *bytes, size_t size, char out[OD_SHA256_HEX_BYTES]);
/** SHA-256 of a file's contents, read in pieces. */
enum od_status od_sha256_file(const char *path, char out[OD_SHA256_HEX_BYTES],
                              struct od_error *err) OD_MUST_CHECK;
/** SHA-512, 64 raw bytes. */
void od_sha512(const void *bytes, size_t size, unsigned char out[64]);
/** XXH3 64-bit hash, chained: pass the last result as `seed` (0 first). */
uint64_t od_xxh64(const void *bytes, size_t size, uint64_t seed);
/** CRC-32C (Castagnoli; reflected polynomial 0x82f63b78), bit by bit: for small records.
 *  @source RFC 3720, appendix B.4. */
uint32_t od_crc32c(const void *bytes, size_t size);
/** A 64-bit hash as 16 lower-case hex digits and a NUL. */
void od_hash_hex(uint64_t hash, char out[OD_XXH_HEX_BYTES]);

#endif
