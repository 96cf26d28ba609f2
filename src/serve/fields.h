/**
 * @file
 * Bodies of requests, read by tables of fields: each table says names, types, defaults and ranges,
 * and gives the reading, the messages about what is wrong, and the schema in /openapi.json.
 *
 * Types are taken as leniently as the challenge's first servers did (pydantic 1): "5", 5.0 and true
 * are integers, 1 and "yes" are booleans, 5 is a text. Every error of a body is collected:
 *
 *     {"detail":[{"loc":["body","prompt"],"msg":"field required","type":"value_error.missing"}]}
 *
 * @source The challenge's server API; FastAPI 0.68 with pydantic 1.8 for messages and types.
 * @thread Re-entrant: distinct bodies from distinct threads.
 */
#ifndef OD_SERVE_FIELDS_H
#define OD_SERVE_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"

enum { OD_FIELDS_MAX = 32 };
#define OD_DETAIL_MAX_BYTES ((size_t)1 << 20)

enum od_field_kind {
    OD_FIELD_TEXT,
    OD_FIELD_INT,
    OD_FIELD_NUMBER,
    OD_FIELD_BOOL,
    OD_FIELD_INTS,   ///< a list of integers, each in min..max
    OD_FIELD_TEXTS,  ///< a list of texts, at most `count_max`, each of at most `max` bytes
    OD_FIELD_ANY     ///< anything; its reader looks at it
};

/** One member of a body. */
struct od_field {
    const char *name;
    enum od_field_kind kind;
    bool required;
    bool nullable;    ///< null counts as absent
    double fallback;  ///< default of a number, 0 or 1 for a boolean
    int64_t min;      ///< of integers
    int64_t max;      ///< of integers; bytes of the texts of a list
    double number_min;
    double number_max;
    int64_t count_max;  ///< of lists
    bool no_default;    ///< absent means "not given", there is no value
    bool is_name;       ///< of a text: a NUL is refused, for names are compared up to it
    bool single;        ///< of a list of texts: one text stands for a list of one
    const char *help;   ///< one line for the schema
};

/** What a body says about a field. Texts are borrowed from the body. */
struct od_value {
    bool given;       ///< present, and not null
    int64_t integer;  ///< also 0 or 1 of a boolean
    double number;
    const char *text;
    size_t text_size;
    int32_t *integers;
    const char **texts;
    size_t count;        ///< of a list
    const json_t *json;  ///< of OD_FIELD_ANY
};

/** A body that was read. Initialise with od_body_init. */
struct od_body {
    json_t *root;
    struct od_arena arena;
    struct od_value values[OD_FIELDS_MAX];  ///< in the order of the table
};
void od_body_init(struct od_body *body);
void od_body_release(struct od_body *body);

/**
 * Read `size` bytes by a table. Members that are in no row are ignored.
 * @param detail  Initialised by the caller; on OD_E_FORMAT the JSON answer with every error.
 * @memory Fills `body`, which keeps nothing of `bytes`.
 * @error  OD_E_FORMAT for what the client did wrong, OD_E_MEMORY.
 */
enum od_status od_body_read(struct od_body *body, const struct od_field *fields, size_t count,
                            const char *bytes, size_t size, struct od_buf *detail,
                            struct od_error *err) OD_MUST_CHECK;

/** Complain about a field in the same way, behind od_body_read: `item` < 0 is the field itself. */
void od_detail_write_item(struct od_buf *out, const char *field, int64_t item, const char *message,
                          const char *type);
/** The answer about one error: loc ["body"] or ["body", field], msg, type. */
void od_detail_write(struct od_buf *out, const char *field, const char *message, const char *type);

/** The table as an object's schema: title, required, properties. */
void od_fields_write_schema(struct od_json_writer *w, const char *title,
                            const struct od_field *fields, size_t count);

#endif
