#include "base/hash.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <openssl/types.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/memory.h"
#include "base/status.h"

enum { FILE_CHUNK_BYTES = 1 << 20 };

static void hex(const unsigned char *bytes, size_t size, char *out)
{
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        out[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}

void od_sha256_hex(const void *bytes, size_t size, char out[OD_SHA256_HEX_BYTES])
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    (void)SHA256(bytes, size, digest);
    hex(digest, sizeof digest, out);
}

enum od_status od_sha256_file(const char *path, char out[OD_SHA256_HEX_BYTES], struct od_error *err)
{
    enum od_status status = OD_OK;
    unsigned char digest[EVP_MAX_MD_SIZE];
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char *chunk = od_alloc(FILE_CHUNK_BYTES, 1);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        status = od_fail(err, errno == ENOENT ? OD_E_NOT_FOUND : OD_E_IO, "cannot open '%s': %s",
                         path, strerror(errno));
        goto done;
    }
    if (!context || !chunk || EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1) {
        status = od_fail(err, OD_E_MEMORY, "no memory to hash '%s'", path);
        goto done;
    }
    for (;;) {
        const ssize_t got = read(fd, chunk, FILE_CHUNK_BYTES);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            status = od_fail(err, OD_E_IO, "cannot read '%s': %s", path, strerror(errno));
            goto done;
        }
        if (got == 0) {
            break;
        }
        (void)EVP_DigestUpdate(context, chunk, (size_t)got);
    }
    (void)EVP_DigestFinal_ex(context, digest, NULL);
    hex(digest, SHA256_DIGEST_LENGTH, out);

done:
    if (fd >= 0) {
        (void)close(fd);  // only read from
    }
    od_free(chunk);
    EVP_MD_CTX_free(context);
    return status;
}

void od_sha512(const void *bytes, size_t size, unsigned char out[64])
{
    (void)SHA512(bytes, size, out);
}

uint64_t od_xxh64(const void *bytes, size_t size, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, size, seed);
}

uint32_t od_crc32c(const void *bytes, size_t size)
{
    const unsigned char *from = bytes;
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= from[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ ((crc & 1) != 0 ? UINT32_C(0x82f63b78) : 0);
        }
    }
    return ~crc;
}

void od_hash_hex(uint64_t hash, char out[OD_XXH_HEX_BYTES])
{
    (void)snprintf(out, OD_XXH_HEX_BYTES, "%016llx", (unsigned long long)hash);
}
