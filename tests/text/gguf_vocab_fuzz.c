// Any bytes as a GGUF file with a vocabulary; one that is accepted encodes a text, decodes it and is
// written again.

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "fuzz.h"
#include "text/tokenizer.h"

enum { IDS_MAX = 1 << 16, TEXT_MAX_BYTES = 1 << 20 };

static const char sample[] = " ab 12's \xC3\xA9\n\xEF\xAC\x81\xE2\x96\x81!";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_gguf *gguf = NULL;
    struct od_tokenizer *tokenizer = NULL;
    struct od_gguf_keys keys;
    struct od_ids ids;
    struct od_buf text;
    if (od_gguf_parse(data, size, "fuzz", &gguf, &err) != OD_OK) {
        return 0;
    }
    od_ids_init(&ids, IDS_MAX);
    od_buf_init(&text, TEXT_MAX_BYTES);
    od_gguf_keys_init(&keys);
    if (od_tokenizer_of_gguf(gguf, &tokenizer, &err) == OD_OK) {
        if (od_tokenizer_encode(tokenizer, sample, sizeof(sample) - 1, OD_ENCODE_SPECIAL, &ids,
                                &err) == OD_OK &&
            od_tokenizer_decode(tokenizer, ids.data, ids.count, OD_DECODE_PLAIN, &text, &err) !=
                OD_OK &&
            err.status == OD_E_ARGUMENT) {
            __builtin_trap();  // an encoder made an id that is none
        }
        if (od_tokenizer_put_gguf(tokenizer, od_tokenizer_vocab_size(tokenizer), &keys, &err) !=
                OD_OK &&
            err.status == OD_E_ARGUMENT) {
            __builtin_trap();
        }
    }
    od_gguf_keys_release(&keys);
    od_buf_release(&text);
    od_ids_release(&ids);
    od_tokenizer_free(tokenizer);
    od_gguf_close(gguf);
    return 0;
}
