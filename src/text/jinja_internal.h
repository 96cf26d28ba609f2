/**
 * @file
 * Tokens, nodes and values of Jinja templates, shared by the files jinja_*.c.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_TEXT_JINJA_INTERNAL_H
#define OD_TEXT_JINJA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/jinja.h"

enum od_jinja_token_kind {
    OD_JINJA_TOKEN_TEXT,       ///< outside of tags, white space taken off
    OD_JINJA_TOKEN_OUTPUT,     ///< {{
    OD_JINJA_TOKEN_STATEMENT,  ///< {%
    OD_JINJA_TOKEN_CLOSE,      ///< }} or %}
    OD_JINJA_TOKEN_NAME,
    OD_JINJA_TOKEN_STRING,
    OD_JINJA_TOKEN_INT,
    OD_JINJA_TOKEN_FLOAT,
    OD_JINJA_TOKEN_OPERATOR,
    OD_JINJA_TOKEN_END
};

/** One token. Text points into the template's arena. */
struct od_jinja_token {
    enum od_jinja_token_kind kind;
    int line;
    const char *text;
    size_t size;
    int64_t integer;
    double number;
};

enum od_jinja_node_kind {
    // Statements; `next` is the one behind.
    OD_JINJA_TEXT,       ///< text
    OD_JINJA_OUTPUT,     ///< a: expression
    OD_JINJA_IF,         ///< a: condition, b: body, c: else (another IF for elif)
    OD_JINJA_FOR,        ///< a: list of targets, b: body, c: else, d: iterable, e: filter
    OD_JINJA_SET,        ///< a: list of targets, b: value
    OD_JINJA_SET_BLOCK,  ///< a: list of targets, b: body, c: filters over OD_JINJA_CAPTURED
    OD_JINJA_MACRO,      ///< text: name, a: parameters (NAME, a: default), b: body
    OD_JINJA_BREAK,
    OD_JINJA_CONTINUE,
    // Expressions.
    OD_JINJA_CONSTANT,   ///< value
    OD_JINJA_NAME,       ///< text
    OD_JINJA_CAPTURED,   ///< the text of a set block
    OD_JINJA_LIST,       ///< a: items, linked
    OD_JINJA_DICT,       ///< a: keys, linked; each key's b is its value
    OD_JINJA_ATTRIBUTE,  ///< a . text
    OD_JINJA_ITEM,       ///< a [ b ]
    OD_JINJA_SLICE,      ///< a [ b : c : d ], each may be NULL
    OD_JINJA_CALL,       ///< a ( b: arguments )
    OD_JINJA_FILTER,     ///< a | filter ( b: arguments )
    OD_JINJA_TEST,       ///< a is test ( b: arguments )
    OD_JINJA_KEYWORD,    ///< an argument text = a
    OD_JINJA_NOT,
    OD_JINJA_NEGATIVE,
    OD_JINJA_POSITIVE,
    OD_JINJA_AND,
    OD_JINJA_OR,
    OD_JINJA_CONDITION,  ///< b if a else c, which may be NULL
    OD_JINJA_COMPARE,    ///< a: first; b: linked OPERATORs
    OD_JINJA_OPERATOR,   ///< text: operator, a: operand
    OD_JINJA_BINARY      ///< a text b
};

enum od_jinja_value_kind {
    OD_JINJA_IS_UNDEFINED,  ///< text: the name that is
    OD_JINJA_IS_NONE,
    OD_JINJA_IS_BOOL,
    OD_JINJA_IS_INT,
    OD_JINJA_IS_FLOAT,
    OD_JINJA_IS_TEXT,
    OD_JINJA_IS_LIST,
    OD_JINJA_IS_DICT,
    OD_JINJA_IS_NAMESPACE,  ///< a dict whose members can be set
    OD_JINJA_IS_FUNCTION,   ///< text: name of a function of the language
    OD_JINJA_IS_METHOD,     ///< text: name; self: what it belongs to
    OD_JINJA_IS_MACRO
};

/** A value: cheap to copy, everything behind it is in the rendering's arena. */
struct od_jinja_value {
    enum od_jinja_value_kind kind;
    union {
        int64_t integer;  ///< of an int and a bool
        double number;
        struct od_jinja_list *list;
        struct od_jinja_dict *dict;
        const struct od_jinja_value *self;
        const struct od_jinja_node *macro;
    };
    const char *text;
    size_t size;
};

/** Values in a row; a list that can be seen from a template never changes. */
struct od_jinja_list {
    struct od_jinja_value *items;  ///< [count]
    size_t count;
    size_t capacity;
    bool tuple;  ///< printed in ()
};

/** Keys and values in their order. */
struct od_jinja_dict {
    struct od_jinja_value *keys;    ///< [count]
    struct od_jinja_value *values;  ///< [count]
    size_t count;
    size_t capacity;
};

/** A part of a template; which members mean something is said at its kind. */
struct od_jinja_node {
    enum od_jinja_node_kind kind;
    int line;
    const char *text;
    size_t size;
    int index;  ///< of a filter or test in its table
    struct od_jinja_node *a;
    struct od_jinja_node *b;
    struct od_jinja_node *c;
    struct od_jinja_node *d;
    struct od_jinja_node *e;
    struct od_jinja_node *next;
    struct od_jinja_value value;
};

/** A parsed template. */
struct od_jinja {
    struct od_arena arena;
    const char *name;
    struct od_jinja_node *first;
};

/** Arguments of a call. */
struct od_jinja_arguments {
    struct od_jinja_value *values;  ///< [count]
    const char **names;             ///< [count]; NULL for a positional one
    size_t count;
};

/** Names of one scope. */
struct od_jinja_scope {
    struct od_jinja_scope *parent;
    struct od_jinja_dict names;
};

/** One rendering. */
struct od_jinja_render {
    const struct od_jinja *jinja;
    struct od_arena arena;
    struct od_buf *out;
    struct od_jinja_scope *scope;
    struct od_jinja_scope *global;
    struct od_jinja_value captured;
    int64_t steps;
    int depth;
    int line;
    enum { OD_JINJA_GO_ON, OD_JINJA_DO_BREAK, OD_JINJA_DO_CONTINUE } leaving;
    enum od_status status;
    struct od_error *err;
};

/**
 * Cut a template into tokens, the last of which is OD_JINJA_TOKEN_END.
 * @memory In `arena`, the texts too.
 */
enum od_status od_jinja_lex(const char *text, size_t size, const char *name, struct od_arena *arena,
                            struct od_jinja_token **ret, struct od_error *err) OD_MUST_CHECK;

/** Index of a filter or test by name, or -1. */
int od_jinja_filter_find(const char *name);
int od_jinja_test_find(const char *name);

// Of the functions below, those that give a bool are false when the rendering has failed; its
// status and message are then set.

/** Fail the rendering with "NAME:line: message". */
bool od_jinja_fail(struct od_jinja_render *r, enum od_status status, const char *format, ...)
    OD_PRINTF(3, 4);
/** Zeroed memory of the rendering, or NULL (and the rendering has failed). */
void *od_jinja_alloc(struct od_jinja_render *r, size_t count, size_t size);
/** Count the visit of `count` parts. */
bool od_jinja_step(struct od_jinja_render *r, size_t count);
/** One level deeper; the partner of r->depth--. */
bool od_jinja_enter(struct od_jinja_render *r);

/** Values. A text is not copied. */
struct od_jinja_value od_jinja_text(const char *text, size_t size);
struct od_jinja_value od_jinja_bool(bool value);
struct od_jinja_value od_jinja_int(int64_t value);
struct od_jinja_value od_jinja_float(double value);
struct od_jinja_value od_jinja_none(void);
struct od_jinja_value od_jinja_undefined(const char *name);
/** A value of the rendering from a JSON value. */
bool od_jinja_from_json(struct od_jinja_render *r, const json_t *json, struct od_jinja_value *ret);
/** An empty list or mapping, and growing it before a template sees it. */
bool od_jinja_list_create(struct od_jinja_render *r, struct od_jinja_value *ret);
bool od_jinja_list_add(struct od_jinja_render *r, struct od_jinja_list *list,
                       struct od_jinja_value value);
bool od_jinja_dict_create(struct od_jinja_render *r, struct od_jinja_value *ret);
/** Set a member, which replaces one with the same key. */
bool od_jinja_dict_set(struct od_jinja_render *r, struct od_jinja_dict *dict,
                       struct od_jinja_value key, struct od_jinja_value value);
/** The member, or NULL. */
struct od_jinja_value *od_jinja_dict_find(const struct od_jinja_dict *dict,
                                          const struct od_jinja_value *key);
/** The same for a key that is a text ending in NUL. */
struct od_jinja_value *od_jinja_dict_find_text(const struct od_jinja_dict *dict, const char *key);

/** Is it true as a condition? */
bool od_jinja_truth(const struct od_jinja_value *value);
bool od_jinja_is_number(const struct od_jinja_value *value);
double od_jinja_to_double(const struct od_jinja_value *value);
/** Is it the text `text`? */
bool od_jinja_is(const struct od_jinja_value *value, const char *text);
/** Python's ==. */
bool od_jinja_equal(const struct od_jinja_value *a, const struct od_jinja_value *b, int depth);
/** Python's < 0, 0 or > 0 for numbers and for texts; fails for other pairs. */
bool od_jinja_order(struct od_jinja_render *r, const struct od_jinja_value *a,
                    const struct od_jinja_value *b, int *ret);
/** Python's `in`. */
bool od_jinja_contains(struct od_jinja_render *r, const struct od_jinja_value *whole,
                       const struct od_jinja_value *part, bool *ret);
/** What a value prints: str(), or repr() inside of lists and mappings. */
bool od_jinja_print(struct od_jinja_render *r, const struct od_jinja_value *value, bool quoted,
                    struct od_buf *out);
/** str() as a value of the rendering. */
bool od_jinja_to_text(struct od_jinja_render *r, const struct od_jinja_value *value,
                      struct od_jinja_value *ret);
/** Its items as a list: of a list itself, the keys of a mapping, the characters of a text. */
bool od_jinja_to_list(struct od_jinja_render *r, const struct od_jinja_value *value,
                      struct od_jinja_list **ret);
/** Length, fails for what has none. */
bool od_jinja_length(struct od_jinja_render *r, const struct od_jinja_value *value, int64_t *ret);
/** Take the contents of a buffer as a text, and release the buffer. */
bool od_jinja_take(struct od_jinja_render *r, struct od_buf *buf, struct od_jinja_value *ret);
/** a [ b ], undefined when there is none. */
bool od_jinja_item(struct od_jinja_render *r, const struct od_jinja_value *a,
                   const struct od_jinja_value *b, struct od_jinja_value *ret);
/** a . name: a method, else a member; undefined when there is none. */
bool od_jinja_attribute(struct od_jinja_render *r, const struct od_jinja_value *a, const char *name,
                        struct od_jinja_value *ret);
/** a [ from : to : step ], NULL: left out. */
bool od_jinja_slice(struct od_jinja_render *r, const struct od_jinja_value *a,
                    const struct od_jinja_value *from, const struct od_jinja_value *to,
                    const struct od_jinja_value *step, struct od_jinja_value *ret);

/** The argument at `index`, or by its name; NULL when it is not given. */
const struct od_jinja_value *od_jinja_argument(const struct od_jinja_arguments *arguments,
                                               size_t index, const char *name);
/** Filters, tests, methods and functions of the language. */
bool od_jinja_filter(struct od_jinja_render *r, int index, const struct od_jinja_value *value,
                     const struct od_jinja_arguments *arguments, struct od_jinja_value *ret);
bool od_jinja_test(struct od_jinja_render *r, int index, const struct od_jinja_value *value,
                   const struct od_jinja_arguments *arguments, bool *ret);
bool od_jinja_has_method(const struct od_jinja_value *value, const char *name);
bool od_jinja_method(struct od_jinja_render *r, const struct od_jinja_value *method,
                     const struct od_jinja_arguments *arguments, struct od_jinja_value *ret);
bool od_jinja_function(struct od_jinja_render *r, const char *name,
                       const struct od_jinja_arguments *arguments, struct od_jinja_value *ret);
/** Is it the name of a function? */
bool od_jinja_is_function(const char *name);

#endif
