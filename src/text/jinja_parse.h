/**
 * @file
 * The parser of templates: expressions in jinja_expression.c, statements in jinja_parse.c. Functions
 * that give a node or bool give NULL or false when parsing has failed; status and message are set.
 *
 * @thread Re-entrant: distinct objects from distinct threads.
 */
#ifndef OD_TEXT_JINJA_PARSE_H
#define OD_TEXT_JINJA_PARSE_H

#include <stdbool.h>
#include <string.h>

#include "base/status.h"
#include "text/jinja_internal.h"

/** A template in the middle of being parsed. */
struct od_jinja_parser {
    struct od_jinja *jinja;
    const struct od_jinja_token *token;  ///< the next one
    int nodes;
    int depth;
    int loops;  ///< open ones, for break and continue
    enum od_status status;
    struct od_error *err;
};

/** Is a token of this kind with this text next? */
static inline bool od_jinja_at(const struct od_jinja_parser *p, enum od_jinja_token_kind kind,
                               const char *text)
{
    return p->token->kind == kind && strcmp(p->token->text, text) == 0;
}

/** Is this name next? */
static inline bool od_jinja_at_name(const struct od_jinja_parser *p, const char *name)
{
    return od_jinja_at(p, OD_JINJA_TOKEN_NAME, name);
}

/** Is this operator next? */
static inline bool od_jinja_at_operator(const struct od_jinja_parser *p, const char *text)
{
    return od_jinja_at(p, OD_JINJA_TOKEN_OPERATOR, text);
}

/** Go behind this name if it is next. */
static inline bool od_jinja_take_name(struct od_jinja_parser *p, const char *name)
{
    const bool there = od_jinja_at_name(p, name);
    p->token += there;
    return there;
}

/** Go behind this operator if it is next. */
static inline bool od_jinja_take_operator(struct od_jinja_parser *p, const char *text)
{
    const bool there = od_jinja_at_operator(p, text);
    p->token += there;
    return there;
}

/** Fail with "NAME:line: message". */
struct od_jinja_node *od_jinja_parse_fail(struct od_jinja_parser *p, enum od_status status,
                                          const char *format, ...) OD_PRINTF(3, 4);
/** Fail: something else was `wanted` here. */
struct od_jinja_node *od_jinja_unexpected(struct od_jinja_parser *p, const char *wanted);
/** A node, with the text of a token, or around another node. */
struct od_jinja_node *od_jinja_make(struct od_jinja_parser *p, enum od_jinja_node_kind kind);
struct od_jinja_node *od_jinja_make_text(struct od_jinja_parser *p, enum od_jinja_node_kind kind,
                                         const struct od_jinja_token *token);
struct od_jinja_node *od_jinja_make_single(struct od_jinja_parser *p, enum od_jinja_node_kind kind,
                                           struct od_jinja_node *a);
/** One level deeper; the partner of p->depth--. */
bool od_jinja_parse_enter(struct od_jinja_parser *p);
/** Go behind an operator, or the end of a tag, that must be next. */
bool od_jinja_expect(struct od_jinja_parser *p, const char *text);
bool od_jinja_expect_close(struct od_jinja_parser *p);
/** An expression; one without "if" behind it; one or several with commas. */
struct od_jinja_node *od_jinja_parse_expression(struct od_jinja_parser *p);
struct od_jinja_node *od_jinja_parse_or(struct od_jinja_parser *p);
struct od_jinja_node *od_jinja_parse_tuple(struct od_jinja_parser *p);
/** Filters and tests behind `node`. */
struct od_jinja_node *od_jinja_parse_filters(struct od_jinja_parser *p, struct od_jinja_node *node);

#endif
