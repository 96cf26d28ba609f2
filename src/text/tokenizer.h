/**
 * @file
 * Text to token ids and back, as the model's own files say.
 *
 *     struct od_tokenizer *tokenizer = NULL;
 *     struct od_ids ids;
 *     od_ids_init(&ids, LIMIT);
 *     od_tokenizer_open(folder, &tokenizer, err);
 *     od_tokenizer_encode(tokenizer, text, size, OD_ENCODE_SPECIAL, &ids, err);
 *
 * Ids equal those of Hugging Face's tokenizers (for tokenizer.json) and of sentencepiece (for
 * tokenizer.model) on the recorded cases.
 *
 * @thread Locked by nothing: an opened tokenizer is never changed, so any number of threads may
 *         encode and decode with it.
 */
#ifndef OD_TEXT_TOKENIZER_H
#define OD_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"

enum { OD_TOKENIZER_VOCAB_MAX = 1 << 21, OD_TOKENIZER_PIECE_MAX_BYTES = 1 << 16 };

/** Token ids that grow. Like od_buf: after a failed push it is empty and stays so. */
struct od_ids {
    int32_t *data;
    size_t count;
    size_t capacity;   ///< private
    size_t max_count;  ///< hard limit
    bool failed;
};
void od_ids_init(struct od_ids *ids, size_t max_count);
void od_ids_release(struct od_ids *ids);
void od_ids_reset(struct od_ids *ids);
void od_ids_push(struct od_ids *ids, int32_t id);
enum od_status od_ids_check(const struct od_ids *ids, struct od_error *err) OD_MUST_CHECK;

struct od_tokenizer;

/** Copy the files that make the tokenizer of a model folder, those of them that are there. */
enum od_status od_tokenizer_copy(const char *from, const char *to,
                                 struct od_error *err) OD_MUST_CHECK;

/** Open the tokenizer of a model folder: tokenizer.json, else tokenizer.model, else vocab.json with
 *  merges.txt (byte-level BPE of the classes GPT2Tokenizer, Qwen2Tokenizer and RobertaTokenizer).
 *  tokenizer_config.json adds bos/eos when it is there. Or that of a GGUF file, by its ending.
 *  @memory Gives: od_tokenizer_free. */
enum od_status od_tokenizer_open(const char *folder, struct od_tokenizer **ret,
                                 struct od_error *err) OD_MUST_CHECK;
/** Open one tokenizer.json (gzip allowed). */
enum od_status od_tokenizer_open_json(const char *path, struct od_tokenizer **ret,
                                      struct od_error *err) OD_MUST_CHECK;
/** Open one SentencePiece .model of type BPE or unigram (gzip allowed); others OD_E_UNSUPPORTED. */
enum od_status od_tokenizer_open_spm(const char *path, struct od_tokenizer **ret,
                                     struct od_error *err) OD_MUST_CHECK;
/** Open the vocabulary of a GGUF file. */
enum od_status od_tokenizer_open_gguf(const char *path, struct od_tokenizer **ret,
                                      struct od_error *err) OD_MUST_CHECK;
/** The vocabulary in an open GGUF file (tokenizer.ggml.model llama, gpt2 or t5).
 *  @error OD_E_NOT_FOUND when it has none. @memory Borrows `gguf`. */
enum od_status od_tokenizer_of_gguf(const struct od_gguf *gguf, struct od_tokenizer **ret,
                                    struct od_error *err) OD_MUST_CHECK;
/**
 * Put a tokenizer under the keys tokenizer.ggml.* of a GGUF file.
 * @param rows  Rows of the model's embedding: what the tokenizer lacks of them are unused pieces.
 * @error OD_E_UNSUPPORTED for one that these keys cannot describe, OD_E_ARGUMENT for too few rows.
 */
enum od_status od_tokenizer_put_gguf(const struct od_tokenizer *tokenizer, int64_t rows,
                                     struct od_gguf_keys *keys, struct od_error *err) OD_MUST_CHECK;
/** From bytes in memory; `name` stands in messages (for tests and fuzzing). */
enum od_status od_tokenizer_parse_json(const char *bytes, size_t size, const char *name,
                                       struct od_tokenizer **ret,
                                       struct od_error *err) OD_MUST_CHECK;
enum od_status od_tokenizer_parse_spm(const char *bytes, size_t size, const char *name,
                                      struct od_tokenizer **ret,
                                      struct od_error *err) OD_MUST_CHECK;
void od_tokenizer_free(struct od_tokenizer *tokenizer);

/** Largest id + 1 (added tokens included). */
int32_t od_tokenizer_vocab_size(const struct od_tokenizer *tokenizer);
/** Id, or -1 when there is none. */
int32_t od_tokenizer_bos(const struct od_tokenizer *tokenizer);
int32_t od_tokenizer_eos(const struct od_tokenizer *tokenizer);
/** Set bos/eos from outside (config.json, generation_config.json) where the tokenizer's own files
 *  name none. Call before other threads use it. */
void od_tokenizer_set_bos_eos(struct od_tokenizer *tokenizer, int32_t bos, int32_t eos);
/** Id of a piece or added token written exactly so, or -1. */
int32_t od_tokenizer_find(const struct od_tokenizer *tokenizer, const char *piece, size_t size);
/** True for an added token that is marked special (or a control piece of a .model). */
bool od_tokenizer_is_special(const struct od_tokenizer *tokenizer, int32_t id);

enum od_encode_flags {
    OD_ENCODE_PLAIN = 0,
    OD_ENCODE_SPECIAL = 1 << 0,  ///< add what the post-processor adds (BOS ...)
    /** Text that looks like a special added token stays text. Added tokens that are not special
     *  (GPT-NeoX's runs of blanks) are found all the same: a model has learnt such text so. */
    OD_ENCODE_NO_ADDED = 1 << 1,
};

/**
 * Append the ids of `text` to `out`. Invalid UTF-8 is read as U+FFFD. Cost is n log n at most for n
 * bytes, also without a blank in them.
 * @error OD_E_MEMORY (also when `out` is full), OD_E_LIMIT for a text over 1 GiB or a pattern of the
 *        file that gives up; `out` is then as it was, or empty when it is what failed.
 */
enum od_status od_tokenizer_encode(const struct od_tokenizer *tokenizer, const char *text,
                                   size_t size, unsigned flags, struct od_ids *out,
                                   struct od_error *err) OD_MUST_CHECK;

enum od_decode_flags {
    OD_DECODE_PLAIN = 0,
    OD_DECODE_SKIP_SPECIAL = 1 << 0,  ///< special tokens leave no text
    OD_DECODE_RAW =
        1 << 1,  ///< bytes as they are: no U+FFFD for cut sequences, and no stripping of
                 ///< the first blank: the text of ids in the middle of a text
};

/** Append the text of `ids` [count] to `out`; an id outside the vocabulary is OD_E_ARGUMENT, an id
 *  inside that no piece has leaves no text. */
enum od_status od_tokenizer_decode(const struct od_tokenizer *tokenizer, const int32_t *ids,
                                   size_t count, unsigned flags, struct od_buf *out,
                                   struct od_error *err) OD_MUST_CHECK;

/** Digest of the tokenizer's file, for lock.json: SHA-256 hex. @memory Borrowed. */
const char *od_tokenizer_digest(const struct od_tokenizer *tokenizer);

#endif
