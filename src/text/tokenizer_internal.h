/**
 * @file
 * What the files of this room share about a tokenizer.
 *
 * @thread See tokenizer.h.
 */
#ifndef OD_TEXT_TOKENIZER_INTERNAL_H
#define OD_TEXT_TOKENIZER_INTERNAL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "formats/gguf.h"
#include "text/bpe.h"
#include "text/charsmap.h"
#include "text/pairs.h"
#include "text/phrases.h"
#include "text/steps.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/vocab.h"

enum { OD_TEMPLATE_IDS_MAX = 256 };

/** How a SentencePiece model treats text. */
struct od_spm {
    float *scores;           ///< [vocab.count]
    struct od_pairs joints;  ///< see od_bpe_find_joints_spm
    int32_t unknown_id;
    bool has_unused;
    bool byte_fallback;
    bool add_dummy_prefix;
    bool remove_extra_whitespaces;
    bool escape_whitespaces;
    char *unknown_text;           ///< what the unknown piece leaves when it is decoded
    struct od_charsmap charsmap;  ///< the normalisation rules
};

enum { OD_WORDPIECE_PREFIX_BYTES = 32 };

/** How a WordPiece model cuts words. */
struct od_wordpiece {
    int32_t unknown_id;
    int64_t chars_max;                       ///< a longer word is unknown
    char prefix[OD_WORDPIECE_PREFIX_BYTES];  ///< of pieces that do not begin a word
    size_t prefix_size;
};

/** A tokenizer of either kind. */
struct od_tokenizer {
    struct od_vocab vocab;
    bool is_spm;
    struct od_spm spm;  ///< when is_spm
    bool is_unigram;    ///< `unigram` encodes, not byte-pair encoding
    struct od_unigram unigram;
    bool is_wordpiece;  ///< `wordpiece` encodes
    struct od_wordpiece wordpiece;
    struct od_bpe bpe;  ///< when not is_spm, as all that follows up to `bos`
    struct od_steps normalizers;
    struct od_steps pre_tokenizers;
    struct od_steps decoders;
    bool has_decoder;  ///< without one, tokens are joined by blanks
    /** Added tokens looked for before normalization (user-defined pieces when is_spm). */
    struct od_phrases phrases;
    struct od_phrases normalized_phrases;     ///< added tokens looked for after normalization
    int32_t before_ids[OD_TEMPLATE_IDS_MAX];  ///< what stands in front with OD_ENCODE_SPECIAL
    size_t before_count;
    int32_t after_ids[OD_TEMPLATE_IDS_MAX];
    size_t after_count;
    int32_t bos;
    int32_t eos;
    char digest[OD_SHA256_HEX_BYTES];
};

/** Steps out of tokenizer.json; `where` stands in messages. Null or absent adds nothing. */
enum od_status od_steps_read_normalizers(const json_t *value, const char *where,
                                         struct od_steps *steps,
                                         struct od_error *err) OD_MUST_CHECK;
enum od_status od_steps_read_pre_tokenizers(const json_t *value, const char *where,
                                            struct od_steps *steps,
                                            struct od_error *err) OD_MUST_CHECK;
enum od_status od_steps_read_decoders(const json_t *value, const char *where,
                                      struct od_steps *steps, struct od_error *err) OD_MUST_CHECK;

/** The unigram model of a tokenizer.json, and one word encoded with it. */
enum od_status od_tokenizer_read_unigram(struct od_tokenizer *tokenizer, const json_t *model,
                                         const char *where, struct od_error *err) OD_MUST_CHECK;
enum od_status od_unigram_encode(const struct od_tokenizer *tokenizer, const char *word,
                                 size_t size, struct od_unigram_work *work, struct od_ids *out,
                                 struct od_error *err) OD_MUST_CHECK;

/** The WordPiece model of a tokenizer.json, whose vocabulary is read already; and one word encoded
 *  with it. @memory `scratch` is work space. */
enum od_status od_tokenizer_read_wordpiece(struct od_tokenizer *tokenizer, const json_t *model,
                                           const char *where, struct od_error *err) OD_MUST_CHECK;
enum od_status od_wordpiece_encode(const struct od_tokenizer *tokenizer, const char *word,
                                   size_t size, struct od_buf *scratch, struct od_ids *out,
                                   struct od_error *err) OD_MUST_CHECK;

/** Fill an empty tokenizer from the tree of a tokenizer.json, as od_tokenizer_fill_json. */
enum od_status od_tokenizer_fill_tree(struct od_tokenizer *tokenizer, const json_t *root,
                                      const char *name, struct od_error *err) OD_MUST_CHECK;

/** Fill an empty tokenizer from the keys of a GGUF file; digest, bos and eos, too. */
enum od_status od_tokenizer_fill_gguf(struct od_tokenizer *tokenizer, const struct od_gguf *gguf,
                                      struct od_error *err) OD_MUST_CHECK;

/** Fill an empty tokenizer from vocab.json and merges.txt of a folder; digest, bos and eos, too. */
enum od_status od_tokenizer_fill_files(struct od_tokenizer *tokenizer, const char *folder,
                                       struct od_error *err) OD_MUST_CHECK;

/** Read a JSON file of a folder that may be absent: *ret is NULL then. @memory Gives: json_decref. */
enum od_status od_tokenizer_read_optional(const char *folder, const char *name, json_t **ret,
                                          struct od_error *err) OD_MUST_CHECK;

/** Fill an empty tokenizer; on failure it is in a state that od_tokenizer_free takes. */
enum od_status od_tokenizer_fill_json(struct od_tokenizer *tokenizer, const char *bytes,
                                      size_t size, const char *name,
                                      struct od_error *err) OD_MUST_CHECK;
enum od_status od_tokenizer_fill_spm(struct od_tokenizer *tokenizer, const char *bytes, size_t size,
                                     const char *name, struct od_error *err) OD_MUST_CHECK;

/** Build a SentencePiece model: `count` pieces, each once, then the rest of `spm` and `is_unigram`
 *  are set, then it is finished. `type` counts as enum od_piece_kind; `name` stands in messages. */
enum od_status od_spm_begin(struct od_tokenizer *tokenizer, int64_t count, const char *name,
                            struct od_error *err) OD_MUST_CHECK;
enum od_status od_spm_add(struct od_tokenizer *tokenizer, int64_t id, const char *text, size_t size,
                          float score, uint64_t type, const char *name,
                          struct od_error *err) OD_MUST_CHECK;
enum od_status od_spm_finish(struct od_tokenizer *tokenizer, const char *name,
                             struct od_error *err) OD_MUST_CHECK;

/** Encode and decode with a SentencePiece model; `text` is valid UTF-8. */
enum od_status od_spm_encode(const struct od_tokenizer *tokenizer, const char *text, size_t size,
                             struct od_ids *out, struct od_error *err) OD_MUST_CHECK;
enum od_status od_spm_decode(const struct od_tokenizer *tokenizer, const int32_t *ids, size_t count,
                             unsigned flags, struct od_buf *out,
                             struct od_error *err) OD_MUST_CHECK;
/** Encode and decode with a tokenizer.json; `text` is valid UTF-8. */
enum od_status od_pipeline_encode(const struct od_tokenizer *tokenizer, const char *text,
                                  size_t size, unsigned flags, struct od_ids *out,
                                  struct od_error *err) OD_MUST_CHECK;
enum od_status od_pipeline_decode(const struct od_tokenizer *tokenizer, const int32_t *ids,
                                  size_t count, unsigned flags, struct od_buf *out,
                                  struct od_error *err) OD_MUST_CHECK;

#endif
