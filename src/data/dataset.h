/**
 * @file
 * Training data: files of rows to token ids with a label mask.
 *
 * A document is one row: prompt and answer, a conversation, or plain text. Its ids are exactly those
 * that the model will be served (one template): BOS once in front where the tokenizer's post-processor
 * adds it, EOS once behind the last answer. `label[i]` says whether id i is learned (as the target of
 * the position before it); the first id of a document is never a target.
 *
 *     prompt and answer     encode(prompt, special) answer EOS     learned: answer and EOS
 *     conversation          the same, turn after turn              learned: what the assistant says,
 *                                                                  with what ends its turn
 *     completion            encode(text, special) EOS              learned: all but the first
 *
 * The prompt of a turn is everything in front of its answer, rendered and encoded as serving does it.
 * Where the ids of an earlier turn are not a prefix of that (a template that leaves earlier thoughts
 * out, a token that grows over a border), the later turns become a document of their own, so that
 * what is learned always stands behind the ids that are served.
 *
 * The answer's ids are those that continue a text: a tokenizer that puts a blank in front of every
 * text (SentencePiece's dummy prefix) must not put one in front of the answer, or the model would
 * learn a blank that no prompt asked for. So such an answer is encoded behind an anchor, one
 * character that does not merge with it, and the anchor's ids are taken off.
 *
 * Documents longer than `sequence_len` are left out; completion is split into pieces of
 * `sequence_len` tokens instead (BOS only in the first, EOS only in the last).
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_DATA_DATASET_H
#define OD_DATA_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

enum {
    OD_DATASET_FILES_MAX = 256,
    OD_DATASET_ROW_MAX_BYTES = 16 << 20,
    OD_DATASET_SEQUENCE_LEN_MAX = 1 << 24,
    OD_DATASET_WEIGHT_MAX = 1000
};
/** Largest data file, unpacked. */
#define OD_DATASET_FILE_MAX_BYTES ((size_t)1 << 32)
/** Most tokens of all documents together. */
#define OD_DATASET_TOKENS_MAX     (INT64_C(1) << 33)

/** How the rows of a file become prompts and answers. */
enum od_dataset_type {
    OD_DATASET_INPUT_OUTPUT,  ///< {"input": ..., "output": ...}; also prompt/response,
                              ///< prompt/completion, question/answer: text as it is; or
                              ///< {"segments": [{"label": true, "text": ...}, ...]}
    OD_DATASET_ALPACA,      ///< {"instruction", "input"?, "output", "system"?} in Alpaca's template
    OD_DATASET_COMPLETION,  ///< {"text": ...} per line, or plain text: every token is learned;
                            ///< plain text is split at lines "<|endoftext|>"
    OD_DATASET_ALPACA_CHAT,  ///< {"question", "answer"}, or as alpaca: "USER: ... ASSISTANT:"
    OD_DATASET_CHAT,         ///< {"messages": [{"role", "content"}, ...]}, or ShareGPT's
                             ///< {"conversations": [{"from", "value"}, ...]}, in a chat template
    OD_DATASET_OASST,        ///< trees of messages, or messages with `parent_id`: each way from a
                             ///< root to a leaf, in a chat template; each answer learned once
    OD_DATASET_OWN,          ///< members and layout as the recipe says
    OD_DATASET_TYPES
};

/** Names of the members of a row; NULL: those of the type. */
struct od_dataset_fields {
    const char *instruction;
    const char *input;
    const char *output;
    const char *system;
    const char *text;      ///< of completion
    const char *messages;  ///< of a chat: the array
    const char *role;
    const char *content;
};

/** One entry of a recipe's `datasets`. */
struct od_dataset_spec {
    const char *path;  ///< .jsonl, .json (array), .csv, .tsv, .txt; each may end in .gz, .zst, .xz
    enum od_dataset_type type;
    double weight;        ///< repeats (2.0) or a seeded share (0.5) of the rows; 1 by default
    int64_t max_rows;     ///< a seeded choice of at most so many documents; 0: all of them
    const char *columns;  ///< "question,answer": of a .csv or .tsv file whose first row is data
    struct od_dataset_fields fields;
    const char *format;           ///< OD_DATASET_OWN: "{instruction} {input} "
    const char *no_input_format;  ///< OD_DATASET_OWN: "{instruction} "
    const char *system_format;    ///< OD_DATASET_OWN: "{system}"
    const char *system_prompt;    ///< OD_DATASET_OWN: where a row has no system text
    const char
        *chat_template;  ///< name or Jinja text; NULL or "tokenizer_default": the model's own
};

/** What became of the rows of one file. */
struct od_dataset_counts {
    int64_t rows;          ///< read
    int64_t kept;          ///< of these: became documents (before `weight`)
    int64_t too_long;      ///< longer than sequence_len tokens: left out (or split, completion)
    int64_t empty;         ///< no answer, no text or nothing to learn: left out
    int64_t invalid_utf8;  ///< rows with invalid bytes (read as U+FFFD)
    int64_t split;         ///< conversations that became several documents
    int64_t documents;     ///< what they became: pieces of long texts, repeats and shares counted
    int64_t tokens;        ///< in those documents
};

/** All documents, in file order, before shuffling. */
struct od_dataset {
    int32_t *ids;         ///< [offset[count]]
    uint8_t *label;       ///< [offset[count]] 0 or 1
    int64_t *offset;      ///< [count + 1]
    int64_t count;        ///< documents
    int64_t label_count;  ///< sum of label
    size_t file_count;
    struct od_dataset_counts counts[OD_DATASET_FILES_MAX];   ///< per spec
    char digest[OD_DATASET_FILES_MAX][OD_SHA256_HEX_BYTES];  ///< per spec: SHA-256 of the file
};

/** Settings that hold for all files. */
struct od_dataset_options {
    int64_t sequence_len;      ///< tokens; longest document
    bool train_on_inputs;      ///< learn the prompt, too
    uint64_t seed;             ///< for shares of rows
    const char *model_folder;  ///< where the model's own chat template is; NULL: it has none
};

/**
 * Read and tokenise. Broken rows are errors "file:line: what"; an empty result is OD_E_FORMAT.
 * @memory Borrows everything; gives: od_dataset_release.
 * @error  OD_E_FORMAT, OD_E_LIMIT, OD_E_NOT_FOUND, OD_E_IO, OD_E_MEMORY; OD_E_UNSUPPORTED for other
 *         kinds of files; OD_E_ARGUMENT for a weight or sequence_len outside its range.
 */
enum od_status od_dataset_load(const struct od_dataset_spec *specs, size_t spec_count,
                               const struct od_tokenizer *tokenizer,
                               const struct od_dataset_options *options, struct od_dataset *ret,
                               struct od_error *err) OD_MUST_CHECK;
/** Free and clear; one that is all zero is fine. */
void od_dataset_release(struct od_dataset *dataset);

/**
 * The file itself: `path`, or with the ending of a compression behind it. @memory Fills ret_path [size].
 * @error OD_E_NOT_FOUND, with what to do about a name of a data set that lies elsewhere.
 */
enum od_status od_dataset_find(const char *path, char *ret_path, size_t size,
                               struct od_error *err) OD_MUST_CHECK;

/**
 * The chat template that a file needs: the one that it names, else the model's own. *ret is NULL for a
 * file that is no conversation. @memory Gives *ret: od_chat_template_free.
 */
enum od_status od_dataset_template(const struct od_dataset_spec *spec, const char *model_folder,
                                   struct od_chat_template **ret,
                                   struct od_error *err) OD_MUST_CHECK;

/** A role under the name that templates know: human and prompter are user, gpt is assistant. */
const char *od_role_name(const char *role);

/** Names of the types as recipes write them; a layout of one's own is a mapping, {}. */
extern const char *const od_dataset_type_names[OD_DATASET_TYPES];

/** The text of a prompt in Alpaca's template; `input` may be NULL or "". Also used when serving. */
void od_alpaca_prompt(struct od_buf *out, const char *instruction, const char *input);

#endif
