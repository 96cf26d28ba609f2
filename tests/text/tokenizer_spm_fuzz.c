// Any bytes as a SentencePiece model; one that is accepted encodes and decodes a text.

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "fuzz.h"
#include "text/tokenizer.h"

enum { IDS_MAX = 1 << 16, TEXT_MAX_BYTES = 1 << 20 };

static const char sample[] = " ab 12's \xC3\xA9\n\xEF\xAC\x81\xE2\x96\x81!";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_tokenizer *tokenizer = NULL;
    struct od_ids ids;
    struct od_buf text;
    if (od_tokenizer_parse_spm((const char *)data, size, "fuzz", &tokenizer, &err) != OD_OK) {
        return 0;
    }
    od_ids_init(&ids, IDS_MAX);
    od_buf_init(&text, TEXT_MAX_BYTES);
    if (od_tokenizer_encode(tokenizer, sample, sizeof(sample) - 1, OD_ENCODE_SPECIAL, &ids, &err) ==
            OD_OK &&
        od_tokenizer_decode(tokenizer, ids.data, ids.count, OD_DECODE_PLAIN, &text, &err) !=
            OD_OK &&
        err.status == OD_E_ARGUMENT) {
        __builtin_trap();  // an encoder made an id that is none
    }
    od_buf_release(&text);
    od_ids_release(&ids);
    od_tokenizer_free(tokenizer);
    return 0;
}
