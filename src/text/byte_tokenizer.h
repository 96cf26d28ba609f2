/**
 * @file
 * The tokenizer of small models made here: one token for each byte, and three special ones.
 *
 *     0..255  the bytes in order, written in the byte alphabet (byte_alphabet.h)
 *     256 <s>   257 </s>   258 <pad>
 *
 * It has no merges. `<s>` is put in front of a text.
 *
 * @thread Re-entrant: no state.
 */
#ifndef OD_TEXT_BYTE_TOKENIZER_H
#define OD_TEXT_BYTE_TOKENIZER_H

#include "base/memory.h"
#include "base/status.h"

enum { OD_BYTE_BOS = 256, OD_BYTE_EOS = 257, OD_BYTE_PAD = 258, OD_BYTE_VOCAB_SIZE = 259 };

/** Append the text of the byte tokenizer's tokenizer.json. */
void od_tokenizer_put_bytes(struct od_buf *out);

/** Write tokenizer.json and tokenizer_config.json into `folder`, which exists.
 *  @error As od_file_write. */
enum od_status od_tokenizer_write_bytes(const char *folder, struct od_error *err) OD_MUST_CHECK;

#endif
