// Values of a GGUF file by type.

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "formats/gguf.h"
#include "formats/gguf_internal.h"
#include "formats/half.h"

// An integer of a type that holds one; false for other types, and for what int64_t cannot hold.
static bool integer(enum od_gguf_type type, const unsigned char *bytes, int64_t *ret)
{
    switch (type) {
    case OD_GGUF_U8: *ret = bytes[0]; return true;
    case OD_GGUF_I8: *ret = bytes[0] < 0x80 ? bytes[0] : bytes[0] - 0x100; return true;
    case OD_GGUF_U16: *ret = (int64_t)od_gguf_number(bytes, 2); return true;
    case OD_GGUF_I16: *ret = (int16_t)(uint16_t)od_gguf_number(bytes, 2); return true;
    case OD_GGUF_U32: *ret = (int64_t)od_gguf_number(bytes, 4); return true;
    case OD_GGUF_I32: *ret = (int32_t)(uint32_t)od_gguf_number(bytes, 4); return true;
    case OD_GGUF_U64: *ret = (int64_t)od_gguf_number(bytes, 8); return bytes[7] < 0x80;
    case OD_GGUF_I64: *ret = (int64_t)od_gguf_number(bytes, 8); return true;
    case OD_GGUF_F32:
    case OD_GGUF_F64:
    case OD_GGUF_BOOL:
    case OD_GGUF_TEXT:
    case OD_GGUF_LIST: break;
    }
    return false;
}

static enum od_status wrong_type(const struct od_gguf *gguf, const char *key, const char *want,
                                 struct od_error *err)
{
    return od_fail(err, OD_E_FORMAT, "'%s': the value of '%s' is no %s", od_gguf_name(gguf), key,
                   want);
}

enum od_status od_gguf_int_or(const struct od_gguf *gguf, const char *key, int64_t fallback,
                              int64_t *ret, struct od_error *err)
{
    const struct od_gguf_value *value = od_gguf_find(gguf, key);
    int64_t number = fallback;
    if (value && !integer(value->type, value->bytes, &number)) {
        return wrong_type(gguf, key, "integer", err);
    }
    *ret = number;
    return OD_OK;
}

enum od_status od_gguf_number_or(const struct od_gguf *gguf, const char *key, double fallback,
                                 double *ret, struct od_error *err)
{
    const struct od_gguf_value *value = od_gguf_find(gguf, key);
    int64_t number;
    if (!value) {
        *ret = fallback;
    } else if (value->type == OD_GGUF_F32) {
        *ret = (double)od_f32_from_bits((uint32_t)od_gguf_number(value->bytes, 4));
    } else if (value->type == OD_GGUF_F64) {
        const uint64_t bits = od_gguf_number(value->bytes, 8);
        memcpy(ret, &bits, sizeof *ret);
    } else if (integer(value->type, value->bytes, &number)) {
        *ret = (double)number;
    } else {
        return wrong_type(gguf, key, "number", err);
    }
    return OD_OK;
}

enum od_status od_gguf_bool_or(const struct od_gguf *gguf, const char *key, bool fallback,
                               bool *ret, struct od_error *err)
{
    const struct od_gguf_value *value = od_gguf_find(gguf, key);
    if (value && value->type != OD_GGUF_BOOL) {
        return wrong_type(gguf, key, "truth value", err);
    }
    *ret = value ? value->bytes[0] != 0 : fallback;
    return OD_OK;
}

enum od_status od_gguf_text_or(const struct od_gguf *gguf, const char *key, const char *fallback,
                               const char **ret, struct od_error *err)
{
    const struct od_gguf_value *value = od_gguf_find(gguf, key);
    if (value && (!value->text || strlen(value->text) != value->size - 8)) {
        return wrong_type(gguf, key, "text without NUL", err);
    }
    *ret = value ? value->text : fallback;
    return OD_OK;
}

enum od_status od_gguf_list(const struct od_gguf *gguf, const char *key, enum od_gguf_type items,
                            const struct od_gguf_value **ret, struct od_error *err)
{
    const struct od_gguf_value *value = od_gguf_find(gguf, key);
    if (value && (value->type != OD_GGUF_LIST || value->items != items)) {
        return od_fail(err, OD_E_FORMAT, "'%s': the value of '%s' is no list of values of type %d",
                       od_gguf_name(gguf), key, (int)items);
    }
    *ret = value;
    return OD_OK;
}

bool od_gguf_next_text(const struct od_gguf_value *list, size_t *at, const char **ret_text,
                       size_t *ret_size)
{
    if (*at >= list->size) {
        return false;
    }
    const size_t size = (size_t)od_gguf_number(list->bytes + *at, 8);
    *ret_text = (const char *)list->bytes + *at + 8;
    *ret_size = size;
    *at += 8 + size;
    return true;
}

int64_t od_gguf_int_at(const struct od_gguf_value *list, uint64_t index)
{
    const uint64_t bits = od_gguf_number(list->bytes + 4 * index, 4);
    return list->items == OD_GGUF_I32 ? (int32_t)(uint32_t)bits : (int64_t)bits;
}

float od_gguf_f32_at(const struct od_gguf_value *list, uint64_t index)
{
    return od_f32_from_bits((uint32_t)od_gguf_number(list->bytes + 4 * index, 4));
}
