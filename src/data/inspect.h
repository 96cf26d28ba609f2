/**
 * @file
 * Looking at data before anything is trained on it: what a file holds, and what becomes of one row.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_DATA_INSPECT_H
#define OD_DATA_INSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "data/dataset.h"
#include "text/tokenizer.h"

enum { OD_REPORT_MEMBERS_MAX = 64, OD_REPORT_NAME_BYTES = 64 };

/** A member of the rows of a file. */
struct od_report_member {
    char name[OD_REPORT_NAME_BYTES];  ///< cut when it is longer
    int64_t count;                    ///< rows that have it
    int64_t empty;      ///< of these: null, or a text, list or object without anything
    int64_t bytes_max;  ///< longest text
    char kind[16];      ///< "text", "number", "bool", "list", "object", "mixed"
};

/** What a file holds. */
struct od_data_report {
    enum od_dataset_type type;
    bool type_known;  ///< given, or seen in the first row; the rest of this struct needs it not
    int64_t rows;
    int64_t duplicates;    ///< rows that are equal to an earlier one
    int64_t invalid_utf8;  ///< rows with bytes that are read as U+FFFD
    size_t member_count;
    struct od_report_member members[OD_REPORT_MEMBERS_MAX];  ///< in the order in which they appear
    bool counted;  ///< the rows were read as `type`: what follows is known
    struct od_dataset_counts counts;
    int64_t label_count;  ///< ids that are learned; with a tokenizer
    int64_t *lengths;     ///< [length_count] tokens of the documents, ascending; with a tokenizer
    int64_t length_count;
};

/** How a file is looked at. */
struct od_inspect_options {
    bool guess_type;                       ///< spec->type counts for nothing
    const struct od_tokenizer *tokenizer;  ///< NULL: nothing is said about tokens
    struct od_dataset_options dataset;
};

/**
 * Read a file twice: as it is, and as its type when that is known.
 * @memory Gives: od_data_report_release.
 * @error  As od_dataset_load, but that there is nothing to learn is no error.
 */
enum od_status od_data_inspect(const struct od_dataset_spec *spec,
                               const struct od_inspect_options *options, struct od_data_report *ret,
                               struct od_error *err) OD_MUST_CHECK;
void od_data_report_release(struct od_data_report *report);

/** One document of a row. */
struct od_preview_document {
    int32_t *ids;    ///< [count]
    uint8_t *label;  ///< [count]
    size_t count;
};

/** What becomes of a row. */
struct od_preview {
    int64_t line;                           ///< in the file
    bool is_text;                           ///< completion: there is no prompt
    struct od_preview_document *documents;  ///< [count]
    size_t count;                           ///< 0: nothing to learn
    size_t turns;                           ///< prompts with an answer
    size_t
        agreeing;  ///< of these: a document starts with the ids that serving makes of the prompt,
                   ///< and is learned from there on
    size_t doubled_bos;  ///< documents that start with BOS twice
    size_t without_eos;  ///< documents that do not end with EOS
};

/**
 * The documents of row `index` (from 0), before anything is left out for its length.
 * @memory Gives: od_preview_release.
 * @error  OD_E_NOT_FOUND when there are fewer rows; as od_dataset_load.
 */
enum od_status od_data_preview(const struct od_dataset_spec *spec,
                               const struct od_tokenizer *tokenizer,
                               const struct od_dataset_options *options, int64_t index,
                               struct od_preview *ret, struct od_error *err) OD_MUST_CHECK;
void od_preview_release(struct od_preview *preview);

#endif
