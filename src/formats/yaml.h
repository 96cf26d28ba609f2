/**
 * @file
 * YAML: a document as a tree of nodes that know where they stand, so that whoever reads a recipe
 * can say "NAME:line:column: what".
 *
 *     struct od_yaml *yaml = NULL;
 *     status = od_yaml_read("recipe.yaml", &yaml, err);
 *     const struct od_yaml_node *steps = od_yaml_find(od_yaml_root(yaml), "steps");
 *     status = od_yaml_int(steps, &count, err);
 *     for (const struct od_yaml_node *item = list->first; item; item = item->next) { ... }
 *     od_yaml_free(yaml);
 *
 * One document of UTF-8 with scalars, sequences and mappings, in block or flow style. Keys are
 * scalars and unique in their mapping. Anchors, aliases and tags are refused with a message. Plain
 * scalars are null, true, false or numbers by the core schema of YAML 1.2 (yes and no are texts).
 *
 * @source YAML 1.2.2, section 10.3 (core schema); libyaml 0.2.5 parses.
 * @thread A tree may be read from several threads at once.
 */
#ifndef OD_FORMATS_YAML_H
#define OD_FORMATS_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

/** Limits on what is read. */
enum { OD_YAML_DEPTH_MAX = 32, OD_YAML_NODES_MAX = 16384, OD_YAML_MAX_BYTES = 4 << 20 };

/** What a node is. */
enum od_yaml_type { OD_YAML_SCALAR, OD_YAML_SEQUENCE, OD_YAML_MAPPING };

/** A node. Items of a sequence and values of a mapping are linked: first, then next. */
struct od_yaml_node {
    enum od_yaml_type type;
    bool quoted;                     ///< a scalar in quotes or a block scalar: always a text
    int line;                        ///< from 1
    int column;                      ///< from 1, in characters
    const char *name;                ///< of the document, for messages
    const char *text;                ///< of a scalar, without a NUL inside; "" otherwise
    size_t count;                    ///< items or values
    const struct od_yaml_node *key;  ///< of a value in a mapping: its key, a scalar; NULL otherwise
    struct od_yaml_node *first;      ///< NULL when there is none
    struct od_yaml_node *next;       ///< NULL behind the last
};

/** A parsed document. */
struct od_yaml;

/**
 * Parse a text; `name` stands in messages.
 * @memory Gives *ret: od_yaml_free. Nothing points into `text` afterwards.
 * @error  OD_E_FORMAT, OD_E_UNSUPPORTED (anchors, aliases, tags, a second document), OD_E_LIMIT,
 *         OD_E_MEMORY.
 */
enum od_status od_yaml_parse(const char *text, size_t size, const char *name, struct od_yaml **ret,
                             struct od_error *err) OD_MUST_CHECK;
/** Read and parse a file. @memory As od_yaml_parse. */
enum od_status od_yaml_read(const char *path, struct od_yaml **ret,
                            struct od_error *err) OD_MUST_CHECK;
/** Free the document and all its nodes; NULL is allowed. */
void od_yaml_free(struct od_yaml *yaml);
/** The outermost node, never NULL. @memory Borrowed from `yaml`. */
const struct od_yaml_node *od_yaml_root(const struct od_yaml *yaml);

/** Value of `key` in a mapping; NULL when it is absent or `node` is NULL or no mapping. */
const struct od_yaml_node *od_yaml_find(const struct od_yaml_node *node, const char *key);
/** True for a plain scalar that stands for nothing: empty, ~ or null. */
bool od_yaml_is_null(const struct od_yaml_node *node);

/**
 * The value of a scalar. A text may be written plain, also where it looks like a number; an
 * integer, a number (integers, too, and .inf and .nan) and a bool must be plain.
 * @memory The text is borrowed from the document.
 * @error  OD_E_FORMAT "NAME:line:column: ..." with the key when there is one.
 */
enum od_status od_yaml_text(const struct od_yaml_node *node, const char **ret,
                            struct od_error *err) OD_MUST_CHECK;
enum od_status od_yaml_int(const struct od_yaml_node *node, int64_t *ret,
                           struct od_error *err) OD_MUST_CHECK;
enum od_status od_yaml_number(const struct od_yaml_node *node, double *ret,
                              struct od_error *err) OD_MUST_CHECK;
enum od_status od_yaml_bool(const struct od_yaml_node *node, bool *ret,
                            struct od_error *err) OD_MUST_CHECK;
/** OD_E_FORMAT unless the node is of that type. */
enum od_status od_yaml_expect(const struct od_yaml_node *node, enum od_yaml_type type,
                              struct od_error *err) OD_MUST_CHECK;
/** Fail with OD_E_FORMAT and "NAME:line:column: " in front of the message. */
enum od_status od_yaml_fail(const struct od_yaml_node *node, struct od_error *err,
                            const char *format, ...) OD_PRINTF(3, 4);

/**
 * Append a text as a scalar that reads back as that text, in one line and without quotes where
 * every YAML reader takes it for a text. Invalid UTF-8 becomes U+FFFD.
 */
void od_yaml_put_scalar(struct od_buf *out, const char *text);

#endif
