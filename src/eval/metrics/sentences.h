/**
 * @file
 * Where sentences end: Punkt, with tables that were learned elsewhere.
 *
 * The tables are files of a folder, in the form in which NLTK distributes them (package punkt_tab,
 * folder english), UTF-8, one entry a line:
 *
 *     abbrev_types.txt    an abbreviation in lower case, without its last period
 *     collocations.tab    FIRST<tab>SECOND: a period between the two ends no sentence
 *     sent_starters.txt   a word that often begins a sentence
 *     ortho_context.tab   WORD<tab>MASK: how the word was seen: 2 capital at the start of a sentence,
 *                         4 inside one, 8 elsewhere; 16, 32, 64 the same of small letters
 *
 * Limits: 16 MiB a file, 2^20 entries; 16 MiB of text to cut.
 *
 * @source T. Kiss and J. Strunk, "Unsupervised multilingual sentence boundary detection",
 *         Computational Linguistics 32, 2006; NLTK 3.8.1, PunktSentenceTokenizer.
 * @thread Re-entrant: tables do not change once they are read and may be shared.
 */
#ifndef OD_EVAL_METRICS_SENTENCES_H
#define OD_EVAL_METRICS_SENTENCES_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "eval/metrics/slice.h"
#include "eval/metrics/tokens.h"

enum { OD_SENTENCE_ENTRIES_MAX = 1 << 20, OD_SENTENCE_FILE_MAX_BYTES = 16 << 20 };

/** The four files. */
enum od_sentence_table_kind {
    OD_ABBREVIATIONS,
    OD_COLLOCATIONS,
    OD_SENTENCE_STARTERS,
    OD_ORTHOGRAPHY
};
enum { OD_SENTENCE_TABLES = 4 };

/** An entry, and its number where the file has one. */
struct od_sentence_entry {
    struct od_slice text;
    int64_t mask;
};

/** All tables. Initialise with od_sentence_tables_init; empty ones are a model that knows nothing. */
struct od_sentence_tables {
    struct od_sentence_entry *items[OD_SENTENCE_TABLES];  ///< sorted by their bytes
    size_t counts[OD_SENTENCE_TABLES];
    struct od_arena arena;  ///< private
};
void od_sentence_tables_init(struct od_sentence_tables *tables);
void od_sentence_tables_release(struct od_sentence_tables *tables);

/** Read the four files of `folder`.
 *  @error OD_E_NOT_FOUND, OD_E_FORMAT and OD_E_LIMIT with file and line, OD_E_MEMORY. */
enum od_status od_sentence_tables_read(struct od_sentence_tables *tables, const char *folder,
                                       struct od_error *err) OD_MUST_CHECK;
/** Take `text` [size] for the file `path` (in messages) of one kind, once for each kind. */
enum od_status od_sentence_table_parse(struct od_sentence_tables *tables,
                                       enum od_sentence_table_kind kind, const char *text,
                                       size_t size, const char *path,
                                       struct od_error *err) OD_MUST_CHECK;

/** Append the sentences of `text`, valid UTF-8, without the white space between them.
 *  @error OD_E_LIMIT, OD_E_MEMORY. */
enum od_status od_sentences_cut(const struct od_sentence_tables *tables, const char *text,
                                size_t size, struct od_tokens *out,
                                struct od_error *err) OD_MUST_CHECK;

#endif
