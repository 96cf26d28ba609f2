// GGUF: no file breaks the reader; every value and tensor of a file that opens can be read.

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/ggml.h"
#include "formats/gguf.h"
#include "fuzz.h"

static uint64_t read_value(const struct od_gguf *gguf, const struct od_gguf_value *value)
{
    struct od_error err = {0};
    uint64_t sum = 0;
    int64_t number = 0;
    double real = 0;
    const char *text = NULL;
    bool truth = false;
    sum += (uint64_t)od_gguf_int_or(gguf, value->key, 0, &number, &err);
    sum += (uint64_t)od_gguf_number_or(gguf, value->key, 0, &real, &err);
    sum += (uint64_t)od_gguf_text_or(gguf, value->key, "", &text, &err);
    sum += (uint64_t)od_gguf_bool_or(gguf, value->key, false, &truth, &err);
    if (value->type == OD_GGUF_LIST && value->items == OD_GGUF_TEXT) {
        size_t at = 0;
        size_t size = 0;
        uint64_t count = 0;
        while (od_gguf_next_text(value, &at, &text, &size)) {
            sum += size > 0 ? (unsigned char)text[size - 1] : 0;
            count++;
        }
        assert(count == value->count);
    }
    for (uint64_t i = 0;
         value->type == OD_GGUF_LIST && value->items == OD_GGUF_I32 && i < value->count; i++) {
        sum += (uint64_t)od_gguf_int_at(value, i);
    }
    return sum;
}

static void read_tensor(const struct od_gguf *gguf, const struct od_gguf_tensor *tensor)
{
    struct od_error err = {0};
    float *values = od_alloc((size_t)tensor->count, sizeof *values);
    if (values) {
        const enum od_status status = od_gguf_read_f32(gguf, tensor, values, &err);
        assert(status == (od_ggml_converts(tensor->type) ? OD_OK : OD_E_UNSUPPORTED));
    }
    od_free(values);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    uint64_t sum = 0;
    if (od_gguf_parse(data, size, "fuzz", &gguf, &err) != OD_OK) {
        return 0;
    }
    for (size_t i = 0; i < od_gguf_key_count(gguf); i++) {
        const struct od_gguf_value *value = od_gguf_get(gguf, i);
        assert(od_gguf_find(gguf, value->key) == value);
        sum += read_value(gguf, value);
    }
    for (size_t i = 0; i < od_gguf_tensor_count(gguf); i++) {
        const struct od_gguf_tensor *tensor = od_gguf_get_tensor(gguf, i);
        assert(od_gguf_find_tensor(gguf, tensor->name) == tensor);
        read_tensor(gguf, tensor);
    }
    od_gguf_close(gguf);
    return sum == UINT64_MAX ? 1 : 0;  // the sum is looked at, so that it is made
}
