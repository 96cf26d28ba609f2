// Expressions, from the loosest to the tightest:
//
//   condition := or ("if" or ("else" condition)?)*
//   or := and ("or" and)*            and := not ("and" not)*         not := "not" not | compare
//   compare := sum (("==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not" "in") sum)*
//   sum := join (("+" | "-") join)*  join := product ("~" product)*
//   product := power (("*" | "/" | "//" | "%") power)*
//   power := unary ("**" unary)*     unary := ("-" | "+") unary' | primary postfix filters
//   postfix := ("." name | "[" item "]" | "(" arguments ")")*
//   filters := ("|" name arguments? | "is" "not"? name argument? | "(" arguments ")")*
//   primary := name | text+ | number | "(" list ")" | "[" list "]" | "{" pairs "}"
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/jinja.h"
#include "text/jinja_internal.h"
#include "text/jinja_parse.h"

static struct od_jinja_node *parse_unary(struct od_jinja_parser *p, bool filters);

struct od_jinja_node *od_jinja_parse_fail(struct od_jinja_parser *p, enum od_status status,
                                          const char *format, ...)
{
    char what[OD_ERROR_MESSAGE_BYTES];
    va_list args;
    if (p->status == OD_OK) {
        va_start(args, format);
        (void)vsnprintf(what, sizeof what, format, args);
        va_end(args);
        p->status = status;
        od_error_set(p->err, status, "%s:%d: %s", p->jinja->name, p->token->line, what);
    }
    return NULL;
}

struct od_jinja_node *od_jinja_unexpected(struct od_jinja_parser *p, const char *wanted)
{
    static const char *const kinds[] = {"text", "'{{'", "'{%'", "the end of the tag"};
    const struct od_jinja_token *t = p->token;
    if (t->kind == OD_JINJA_TOKEN_END) {
        return od_jinja_parse_fail(p, OD_E_FORMAT, "%s expected, but the template ends", wanted);
    }
    if (t->kind <= OD_JINJA_TOKEN_CLOSE) {
        return od_jinja_parse_fail(p, OD_E_FORMAT, "%s expected in front of %s", wanted,
                                   kinds[t->kind]);
    }
    return od_jinja_parse_fail(p, OD_E_FORMAT, "%s expected in front of '%.*s'", wanted,
                               t->size > 40 ? 40 : (int)t->size, t->text);
}

struct od_jinja_node *od_jinja_make(struct od_jinja_parser *p, enum od_jinja_node_kind kind)
{
    struct od_jinja_node *node = NULL;
    if (p->status == OD_OK && ++p->nodes > OD_JINJA_NODES_MAX) {
        return od_jinja_parse_fail(p, OD_E_LIMIT, "the template has more than %d parts",
                                   (int)OD_JINJA_NODES_MAX);
    }
    if (p->status == OD_OK) {
        node = od_arena_alloc(&p->jinja->arena, 1, sizeof *node);
        if (!node) {
            return od_jinja_parse_fail(p, OD_E_MEMORY, "no memory for the template");
        }
        node->kind = kind;
        node->line = p->token->line;
        node->text = "";
    }
    return node;
}

struct od_jinja_node *od_jinja_make_text(struct od_jinja_parser *p, enum od_jinja_node_kind kind,
                                         const struct od_jinja_token *token)
{
    struct od_jinja_node *node = od_jinja_make(p, kind);
    if (node) {
        node->text = token->text;
        node->size = token->size;
    }
    return node;
}

static struct od_jinja_node *make_pair(struct od_jinja_parser *p, enum od_jinja_node_kind kind,
                                       struct od_jinja_node *a, struct od_jinja_node *b)
{
    struct od_jinja_node *node = a && b ? od_jinja_make(p, kind) : NULL;
    if (node) {
        node->a = a;
        node->b = b;
    }
    return node;
}

struct od_jinja_node *od_jinja_make_single(struct od_jinja_parser *p, enum od_jinja_node_kind kind,
                                           struct od_jinja_node *a)
{
    struct od_jinja_node *node = a ? od_jinja_make(p, kind) : NULL;
    if (node) {
        node->a = a;
    }
    return node;
}

bool od_jinja_parse_enter(struct od_jinja_parser *p)
{
    if (p->status == OD_OK && ++p->depth > OD_JINJA_DEPTH_MAX) {
        (void)od_jinja_parse_fail(p, OD_E_LIMIT, "parts are nested more than %d deep",
                                  (int)OD_JINJA_DEPTH_MAX);
    }
    return p->status == OD_OK;
}

bool od_jinja_expect(struct od_jinja_parser *p, const char *text)
{
    char wanted[] = "'--'";
    if (od_jinja_take_operator(p, text)) {
        return true;
    }
    wanted[1] = text[0];
    wanted[2] = (char)(text[1] == '\0' ? '\'' : text[1]);
    wanted[3] = text[1] == '\0' ? '\0' : '\'';
    (void)od_jinja_unexpected(p, wanted);
    return false;
}

bool od_jinja_expect_close(struct od_jinja_parser *p)
{
    if (p->token->kind == OD_JINJA_TOKEN_CLOSE) {
        p->token++;
        return p->status == OD_OK;
    }
    (void)od_jinja_unexpected(p, "the end of the tag");
    return false;
}

// The items of a list up to `close`, linked. *ret_comma: one stood behind the last or between.
static bool parse_items(struct od_jinja_parser *p, const char *close, struct od_jinja_node **ret,
                        bool *ret_comma)
{
    struct od_jinja_node **end = ret;
    *ret = NULL;
    *ret_comma = false;
    while (!od_jinja_take_operator(p, close)) {
        if (*ret && !*ret_comma) {
            (void)od_jinja_unexpected(p, "',' or the end of the list");
            return false;
        }
        struct od_jinja_node *item = od_jinja_parse_expression(p);
        if (!item) {
            return false;
        }
        *end = item;
        end = &item->next;
        const bool comma = od_jinja_take_operator(p, ",");
        *ret_comma = *ret_comma || comma;
        if (!comma && !od_jinja_at_operator(p, close)) {
            (void)od_jinja_unexpected(p, "',' or the end of the list");
            return false;
        }
    }
    return true;
}

static struct od_jinja_node *parse_dict(struct od_jinja_parser *p)
{
    struct od_jinja_node *dict = od_jinja_make(p, OD_JINJA_DICT);
    struct od_jinja_node **end = dict ? &dict->a : NULL;
    while (dict && !od_jinja_take_operator(p, "}")) {
        struct od_jinja_node *key = od_jinja_parse_expression(p);
        if (!key || !od_jinja_expect(p, ":")) {
            return NULL;
        }
        struct od_jinja_node *pair = od_jinja_make_single(p, OD_JINJA_KEYWORD, key);
        if (!pair || !(pair->b = od_jinja_parse_expression(p))) {
            return NULL;
        }
        *end = pair;
        end = &pair->next;
        if (!od_jinja_take_operator(p, ",") && !od_jinja_at_operator(p, "}")) {
            return od_jinja_unexpected(p, "',' or '}'");
        }
    }
    return dict;
}

static struct od_jinja_node *constant(struct od_jinja_parser *p, struct od_jinja_value value)
{
    struct od_jinja_node *node = od_jinja_make(p, OD_JINJA_CONSTANT);
    if (node) {
        node->value = value;
    }
    return node;
}

// Texts beside one another are one text.
static struct od_jinja_node *parse_string(struct od_jinja_parser *p)
{
    const struct od_jinja_token *first = p->token;
    size_t size = 0;
    while (p->token->kind == OD_JINJA_TOKEN_STRING) {
        size += (p->token++)->size;
    }
    char *text = od_arena_alloc(&p->jinja->arena, size + 1, 1);
    if (!text) {
        return od_jinja_parse_fail(p, OD_E_MEMORY, "no memory for the template");
    }
    size = 0;
    for (const struct od_jinja_token *t = first; t < p->token; t++) {
        memcpy(text + size, t->text, t->size);
        size += t->size;
    }
    return constant(p, od_jinja_text(text, size));
}

static struct od_jinja_node *parse_name(struct od_jinja_parser *p)
{
    static const struct {
        const char *name;
        enum od_jinja_value_kind kind;
        int64_t integer;
    } constants[] = {{"true", OD_JINJA_IS_BOOL, 1},  {"True", OD_JINJA_IS_BOOL, 1},
                     {"false", OD_JINJA_IS_BOOL, 0}, {"False", OD_JINJA_IS_BOOL, 0},
                     {"none", OD_JINJA_IS_NONE, 0},  {"None", OD_JINJA_IS_NONE, 0}};
    const struct od_jinja_token *token = p->token++;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (strcmp(token->text, constants[i].name) == 0) {
            return constant(p, (struct od_jinja_value){.kind = constants[i].kind,
                                                       .integer = constants[i].integer});
        }
    }
    return od_jinja_make_text(p, OD_JINJA_NAME, token);
}

static struct od_jinja_node *parse_primary(struct od_jinja_parser *p)
{
    struct od_jinja_node *node = NULL;
    bool comma = false;
    if (p->token->kind == OD_JINJA_TOKEN_NAME) {
        return parse_name(p);
    }
    if (p->token->kind == OD_JINJA_TOKEN_STRING) {
        return parse_string(p);
    }
    if (p->token->kind == OD_JINJA_TOKEN_INT) {
        return constant(p, od_jinja_int((p->token++)->integer));
    }
    if (p->token->kind == OD_JINJA_TOKEN_FLOAT) {
        return constant(p, od_jinja_float((p->token++)->number));
    }
    if (od_jinja_take_operator(p, "{")) {
        return parse_dict(p);
    }
    if (od_jinja_take_operator(p, "[")) {
        node = od_jinja_make(p, OD_JINJA_LIST);
        return node && parse_items(p, "]", &node->a, &comma) ? node : NULL;
    }
    if (od_jinja_take_operator(p, "(")) {
        node = od_jinja_make(p, OD_JINJA_LIST);
        if (!node || !parse_items(p, ")", &node->a, &comma)) {
            return NULL;
        }
        if (node->a && !comma) {
            return node->a;  // only brackets
        }
        node->index = 1;  // a tuple
        return node;
    }
    return od_jinja_unexpected(p, "an expression");
}

static bool parse_arguments(struct od_jinja_parser *p, struct od_jinja_node **ret)
{
    struct od_jinja_node **end = ret;
    *ret = NULL;
    while (!od_jinja_take_operator(p, ")")) {
        if (od_jinja_at_operator(p, "*") || od_jinja_at_operator(p, "**")) {
            (void)od_jinja_parse_fail(p, OD_E_UNSUPPORTED,
                                      "'*' in front of an argument is not supported");
            return false;
        }
        const struct od_jinja_token *name = p->token;
        const bool keyword = name->kind == OD_JINJA_TOKEN_NAME &&
                             name[1].kind == OD_JINJA_TOKEN_OPERATOR &&
                             strcmp(name[1].text, "=") == 0;
        p->token += keyword ? 2 : 0;
        struct od_jinja_node *argument = od_jinja_parse_expression(p);
        if (argument && keyword) {
            struct od_jinja_node *named = od_jinja_make_text(p, OD_JINJA_KEYWORD, name);
            if (named) {
                named->a = argument;
            }
            argument = named;
        }
        if (!argument) {
            return false;
        }
        *end = argument;
        end = &argument->next;
        if (!od_jinja_take_operator(p, ",") && !od_jinja_at_operator(p, ")")) {
            (void)od_jinja_unexpected(p, "',' or ')'");
            return false;
        }
    }
    return true;
}

static struct od_jinja_node *parse_call(struct od_jinja_parser *p, struct od_jinja_node *callee)
{
    struct od_jinja_node *node = od_jinja_make_single(p, OD_JINJA_CALL, callee);
    return node && parse_arguments(p, &node->b) ? node : NULL;
}

// Behind '[': an item or a slice.
static struct od_jinja_node *parse_subscript(struct od_jinja_parser *p, struct od_jinja_node *whole)
{
    struct od_jinja_node *parts[3] = {0};
    int colons = 0;
    while (!od_jinja_take_operator(p, "]")) {
        if (colons < 2 && od_jinja_take_operator(p, ":")) {
            colons++;
        } else if (parts[colons]) {
            return od_jinja_at_operator(p, ",")
                       ? od_jinja_parse_fail(p, OD_E_UNSUPPORTED,
                                             "several indices in '[]' are not supported")
                       : od_jinja_unexpected(p, "']'");
        } else if (!(parts[colons] = od_jinja_parse_expression(p))) {
            return NULL;
        }
    }
    if (colons == 0) {
        return parts[0] ? make_pair(p, OD_JINJA_ITEM, whole, parts[0])
                        : od_jinja_unexpected(p, "an index");
    }
    struct od_jinja_node *node = od_jinja_make_single(p, OD_JINJA_SLICE, whole);
    if (node) {
        node->b = parts[0];
        node->c = parts[1];
        node->d = parts[2];
    }
    return node;
}

static struct od_jinja_node *parse_postfix(struct od_jinja_parser *p, struct od_jinja_node *node)
{
    while (node) {
        if (od_jinja_take_operator(p, ".")) {
            const struct od_jinja_token *token = p->token;
            if (token->kind == OD_JINJA_TOKEN_INT) {
                p->token++;
                node = make_pair(p, OD_JINJA_ITEM, node, constant(p, od_jinja_int(token->integer)));
            } else if (token->kind == OD_JINJA_TOKEN_NAME) {
                p->token++;
                struct od_jinja_node *attribute = od_jinja_make_text(p, OD_JINJA_ATTRIBUTE, token);
                if (attribute) {
                    attribute->a = node;
                }
                node = attribute;
            } else {
                return od_jinja_unexpected(p, "a name");
            }
        } else if (od_jinja_take_operator(p, "[")) {
            node = parse_subscript(p, node);
        } else if (od_jinja_take_operator(p, "(")) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    return node;
}

static struct od_jinja_node *parse_filter(struct od_jinja_parser *p, struct od_jinja_node *node)
{
    const struct od_jinja_token *name = p->token;
    if (name->kind != OD_JINJA_TOKEN_NAME) {
        return od_jinja_unexpected(p, "the name of a filter");
    }
    struct od_jinja_node *filter = od_jinja_make_text(p, OD_JINJA_FILTER, name);
    if (!filter || !node) {
        return NULL;
    }
    filter->index = od_jinja_filter_find(name->text);
    if (filter->index < 0) {
        return od_jinja_parse_fail(p, OD_E_UNSUPPORTED, "the filter '%s' is not supported",
                                   name->text);
    }
    p->token++;
    filter->a = node;
    return !od_jinja_take_operator(p, "(") || parse_arguments(p, &filter->b) ? filter : NULL;
}

// Does an argument without brackets follow?
static bool at_argument(const struct od_jinja_parser *p)
{
    switch (p->token->kind) {
    case OD_JINJA_TOKEN_STRING:
    case OD_JINJA_TOKEN_INT:
    case OD_JINJA_TOKEN_FLOAT: return true;
    case OD_JINJA_TOKEN_OPERATOR:
        return od_jinja_at_operator(p, "[") || od_jinja_at_operator(p, "{");
    case OD_JINJA_TOKEN_NAME:
        return !od_jinja_at_name(p, "else") && !od_jinja_at_name(p, "or") &&
               !od_jinja_at_name(p, "and") && !od_jinja_at_name(p, "is") &&
               !od_jinja_at_name(p, "if") && !od_jinja_at_name(p, "in") &&
               !od_jinja_at_name(p, "not");
    case OD_JINJA_TOKEN_TEXT:
    case OD_JINJA_TOKEN_OUTPUT:
    case OD_JINJA_TOKEN_STATEMENT:
    case OD_JINJA_TOKEN_CLOSE:
    case OD_JINJA_TOKEN_END: break;
    }
    return false;
}

static struct od_jinja_node *parse_test(struct od_jinja_parser *p, struct od_jinja_node *node)
{
    const bool negated = od_jinja_take_name(p, "not");
    const struct od_jinja_token *name = p->token;
    if (name->kind != OD_JINJA_TOKEN_NAME) {
        return od_jinja_unexpected(p, "the name of a test");
    }
    struct od_jinja_node *test = od_jinja_make_text(p, OD_JINJA_TEST, name);
    if (!test || !node) {
        return NULL;
    }
    test->index = od_jinja_test_find(name->text);
    if (test->index < 0) {
        return od_jinja_parse_fail(p, OD_E_UNSUPPORTED, "the test '%s' is not supported",
                                   name->text);
    }
    p->token++;
    test->a = node;
    if (od_jinja_take_operator(p, "(")) {
        if (!parse_arguments(p, &test->b)) {
            return NULL;
        }
    } else if (at_argument(p)) {
        test->b = parse_postfix(p, parse_primary(p));
        if (!test->b) {
            return NULL;
        }
    }
    return negated ? od_jinja_make_single(p, OD_JINJA_NOT, test) : test;
}

struct od_jinja_node *od_jinja_parse_filters(struct od_jinja_parser *p, struct od_jinja_node *node)
{
    while (node) {
        if (od_jinja_take_operator(p, "|")) {
            node = parse_filter(p, node);
        } else if (od_jinja_take_name(p, "is")) {
            node = parse_test(p, node);
        } else if (od_jinja_take_operator(p, "(")) {
            node = parse_call(p, node);
        } else {
            break;
        }
    }
    return node;
}

static struct od_jinja_node *parse_unary(struct od_jinja_parser *p, bool filters)
{
    struct od_jinja_node *node = NULL;
    if (!od_jinja_parse_enter(p)) {
        return NULL;
    }
    if (od_jinja_take_operator(p, "-")) {
        node = od_jinja_make_single(p, OD_JINJA_NEGATIVE, parse_unary(p, false));
    } else if (od_jinja_take_operator(p, "+")) {
        node = od_jinja_make_single(p, OD_JINJA_POSITIVE, parse_unary(p, false));
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    node = filters ? od_jinja_parse_filters(p, node) : node;
    p->depth--;
    return node;
}

/** Operators of one level, the tightest first. */
static const char *const levels[][5] = {{"**"}, {"*", "/", "//", "%"}, {"~"}, {"+", "-"}};

static struct od_jinja_node *parse_binary(struct od_jinja_parser *p, size_t level)
{
    struct od_jinja_node *node = level == 0 ? parse_unary(p, true) : parse_binary(p, level - 1);
    for (size_t i = 0; node && levels[level][i];) {
        if (!od_jinja_at_operator(p, levels[level][i])) {
            i++;
            continue;
        }
        const struct od_jinja_token *token = p->token++;
        struct od_jinja_node *right =
            level == 0 ? parse_unary(p, true) : parse_binary(p, level - 1);
        struct od_jinja_node *pair =
            node && right ? od_jinja_make_text(p, OD_JINJA_BINARY, token) : NULL;
        if (pair) {
            pair->a = node;
            pair->b = right;
        }
        node = pair;
        i = 0;
    }
    return node;
}

static const struct od_jinja_token *take_comparison(struct od_jinja_parser *p)
{
    static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
    static const struct od_jinja_token not_in = {.text = "not in", .size = 6};
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++) {
        if (od_jinja_at_operator(p, operators[i])) {
            return p->token++;
        }
    }
    if (od_jinja_at_name(p, "in")) {
        return p->token++;
    }
    if (od_jinja_at_name(p, "not") && p->token[1].kind == OD_JINJA_TOKEN_NAME &&
        strcmp(p->token[1].text, "in") == 0) {
        p->token += 2;
        return &not_in;
    }
    return NULL;
}

static struct od_jinja_node *parse_compare(struct od_jinja_parser *p)
{
    const size_t loosest = sizeof levels / sizeof levels[0] - 1;
    struct od_jinja_node *node = parse_binary(p, loosest);
    struct od_jinja_node *compare = NULL;
    struct od_jinja_node **end = NULL;
    const struct od_jinja_token *token = node ? take_comparison(p) : NULL;
    while (token) {
        if (!compare) {
            compare = od_jinja_make_single(p, OD_JINJA_COMPARE, node);
            end = compare ? &compare->b : NULL;
        }
        struct od_jinja_node *operand = od_jinja_make_text(p, OD_JINJA_OPERATOR, token);
        if (!compare || !operand || !(operand->a = parse_binary(p, loosest))) {
            return NULL;
        }
        *end = operand;
        end = &operand->next;
        token = take_comparison(p);
    }
    return compare ? compare : node;
}

static struct od_jinja_node *parse_not(struct od_jinja_parser *p)
{
    struct od_jinja_node *node = NULL;
    if (!od_jinja_parse_enter(p)) {
        return NULL;
    }
    node = od_jinja_take_name(p, "not") ? od_jinja_make_single(p, OD_JINJA_NOT, parse_not(p))
                                        : parse_compare(p);
    p->depth--;
    return node;
}

static struct od_jinja_node *parse_and(struct od_jinja_parser *p)
{
    struct od_jinja_node *node = parse_not(p);
    while (node && od_jinja_take_name(p, "and")) {
        node = make_pair(p, OD_JINJA_AND, node, parse_not(p));
    }
    return node;
}

struct od_jinja_node *od_jinja_parse_or(struct od_jinja_parser *p)
{
    struct od_jinja_node *node = parse_and(p);
    while (node && od_jinja_take_name(p, "or")) {
        node = make_pair(p, OD_JINJA_OR, node, parse_and(p));
    }
    return node;
}

struct od_jinja_node *od_jinja_parse_expression(struct od_jinja_parser *p)
{
    struct od_jinja_node *node = NULL;
    if (!od_jinja_parse_enter(p)) {
        return NULL;
    }
    node = od_jinja_parse_or(p);
    while (node && od_jinja_take_name(p, "if")) {
        struct od_jinja_node *condition =
            make_pair(p, OD_JINJA_CONDITION, od_jinja_parse_or(p), node);
        if (condition && od_jinja_take_name(p, "else") &&
            !(condition->c = od_jinja_parse_expression(p))) {
            return NULL;
        }
        node = condition;
    }
    p->depth--;
    return node;
}

// An expression, or several with commas: a tuple.
struct od_jinja_node *od_jinja_parse_tuple(struct od_jinja_parser *p)
{
    struct od_jinja_node *node = od_jinja_parse_expression(p);
    if (!node || !od_jinja_at_operator(p, ",")) {
        return node;
    }
    struct od_jinja_node *tuple = od_jinja_make_single(p, OD_JINJA_LIST, node);
    while (tuple && od_jinja_take_operator(p, ",") && p->token->kind != OD_JINJA_TOKEN_CLOSE) {
        node->next = od_jinja_parse_expression(p);
        node = node->next;
        if (!node) {
            return NULL;
        }
    }
    if (tuple) {
        tuple->index = 1;
    }
    return tuple;
}
