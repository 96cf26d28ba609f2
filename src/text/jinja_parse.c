// Statements:
//
//   body      := (text | "{{" tuple "}}" | "{%" statement)*
//   statement := "if" tuple body ("elif" tuple body)* ("else" body)? "endif"
//              | "for" targets "in" or ("if" condition)? body ("else" body)? "endfor"
//              | "set" targets "=" tuple | "set" targets filters body "endset"
//              | "macro" name "(" parameters ")" body "endmacro"
//              | "generation" body "endgeneration" | "break" | "continue"
#include "text/jinja_parse.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/jinja.h"
#include "text/jinja_internal.h"

/** Memory of a template: its nodes, its tokens and its texts. */
#define TEMPLATE_MEMORY_BYTES ((size_t)256 << 20)

static struct od_jinja_node *parse_body(struct od_jinja_parser *p, const char *const *ends);

// Names in front of `in` or `=`: "a", "a, b", "(a, b)", and for set also "a.b".
static struct od_jinja_node *parse_targets(struct od_jinja_parser *p, bool attributes)
{
    struct od_jinja_node *first = NULL;
    struct od_jinja_node **end = &first;
    const bool brackets = od_jinja_take_operator(p, "(");
    do {
        const struct od_jinja_token *name = p->token;
        if (name->kind != OD_JINJA_TOKEN_NAME) {
            return od_jinja_unexpected(p, "a name");
        }
        p->token++;
        struct od_jinja_node *target = od_jinja_make_text(p, OD_JINJA_NAME, name);
        if (target && attributes && od_jinja_take_operator(p, ".")) {
            if (p->token->kind != OD_JINJA_TOKEN_NAME) {
                return od_jinja_unexpected(p, "a name");
            }
            struct od_jinja_node *attribute = od_jinja_make_text(p, OD_JINJA_ATTRIBUTE, p->token++);
            if (attribute) {
                attribute->a = target;
            }
            target = attribute;
        }
        if (!target) {
            return NULL;
        }
        *end = target;
        end = &target->next;
    } while (od_jinja_take_operator(p, ","));
    return !brackets || od_jinja_expect(p, ")") ? first : NULL;
}

// Take the tag {% name %} that ends a body.
static bool take_end(struct od_jinja_parser *p, const char *name)
{
    p->token++;  // {%
    return od_jinja_take_name(p, name) && od_jinja_expect_close(p);
}

// Behind "if" or "elif": everything up to and with endif.
static struct od_jinja_node *parse_if(struct od_jinja_parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last[] = {"endif", NULL};
    struct od_jinja_node *node = od_jinja_make(p, OD_JINJA_IF);
    if (!node || !(node->a = od_jinja_parse_tuple(p)) || !od_jinja_expect_close(p)) {
        return NULL;
    }
    node->b = parse_body(p, ends);
    if (p->status != OD_OK) {
        return NULL;
    }
    p->token++;  // {%
    if (od_jinja_take_name(p, "elif")) {
        if (!od_jinja_parse_enter(p)) {
            return NULL;
        }
        node->c = parse_if(p);
        p->depth--;
        return node->c ? node : NULL;
    }
    if (od_jinja_take_name(p, "else")) {
        if (!od_jinja_expect_close(p)) {
            return NULL;
        }
        node->c = parse_body(p, last);
        return p->status == OD_OK && take_end(p, "endif") ? node : NULL;
    }
    return od_jinja_take_name(p, "endif") && od_jinja_expect_close(p) ? node : NULL;
}

static struct od_jinja_node *parse_for(struct od_jinja_parser *p)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    static const char *const last[] = {"endfor", NULL};
    struct od_jinja_node *node = od_jinja_make(p, OD_JINJA_FOR);
    if (!node || !(node->a = parse_targets(p, false))) {
        return NULL;
    }
    if (!od_jinja_take_name(p, "in")) {
        return od_jinja_unexpected(p, "'in'");
    }
    node->d = od_jinja_parse_or(p);  // an "if" behind it is the loop's
    if (!node->d || (od_jinja_take_name(p, "if") && !(node->e = od_jinja_parse_expression(p)))) {
        return NULL;
    }
    if (od_jinja_at_name(p, "recursive")) {
        return od_jinja_parse_fail(p, OD_E_UNSUPPORTED, "a recursive loop is not supported");
    }
    if (!od_jinja_expect_close(p)) {
        return NULL;
    }
    p->loops++;
    node->b = parse_body(p, ends);
    p->loops--;
    if (p->status != OD_OK) {
        return NULL;
    }
    p->token++;  // {%
    if (od_jinja_take_name(p, "else")) {
        if (!od_jinja_expect_close(p)) {
            return NULL;
        }
        node->c = parse_body(p, last);
        return p->status == OD_OK && take_end(p, "endfor") ? node : NULL;
    }
    return od_jinja_take_name(p, "endfor") && od_jinja_expect_close(p) ? node : NULL;
}

static struct od_jinja_node *parse_set(struct od_jinja_parser *p)
{
    static const char *const ends[] = {"endset", NULL};
    struct od_jinja_node *node = od_jinja_make(p, OD_JINJA_SET);
    if (!node || !(node->a = parse_targets(p, true))) {
        return NULL;
    }
    if (od_jinja_take_operator(p, "=")) {
        node->b = od_jinja_parse_tuple(p);
        return node->b && od_jinja_expect_close(p) ? node : NULL;
    }
    node->kind = OD_JINJA_SET_BLOCK;
    node->c = od_jinja_parse_filters(p, od_jinja_make(p, OD_JINJA_CAPTURED));
    if (!node->c || !od_jinja_expect_close(p)) {
        return NULL;
    }
    node->b = parse_body(p, ends);
    return p->status == OD_OK && take_end(p, "endset") ? node : NULL;
}

static struct od_jinja_node *parse_macro(struct od_jinja_parser *p)
{
    static const char *const ends[] = {"endmacro", NULL};
    const struct od_jinja_token *name = p->token;
    struct od_jinja_node **end = NULL;
    if (name->kind != OD_JINJA_TOKEN_NAME) {
        return od_jinja_unexpected(p, "the name of a macro");
    }
    p->token++;
    struct od_jinja_node *node = od_jinja_make_text(p, OD_JINJA_MACRO, name);
    if (!node || !od_jinja_expect(p, "(")) {
        return NULL;
    }
    end = &node->a;
    while (!od_jinja_take_operator(p, ")")) {
        if (p->token->kind != OD_JINJA_TOKEN_NAME) {
            return od_jinja_unexpected(p, "the name of a parameter");
        }
        struct od_jinja_node *parameter = od_jinja_make_text(p, OD_JINJA_NAME, p->token++);
        if (!parameter ||
            (od_jinja_take_operator(p, "=") && !(parameter->a = od_jinja_parse_expression(p)))) {
            return NULL;
        }
        *end = parameter;
        end = &parameter->next;
        if (!od_jinja_take_operator(p, ",") && !od_jinja_at_operator(p, ")")) {
            return od_jinja_unexpected(p, "',' or ')'");
        }
    }
    if (!od_jinja_expect_close(p)) {
        return NULL;
    }
    const int loops = p->loops;
    p->loops = 0;
    node->b = parse_body(p, ends);
    p->loops = loops;
    return p->status == OD_OK && take_end(p, "endmacro") ? node : NULL;
}

// The body of a generation tag, which only marks what an assistant says: *ret may be NULL.
static bool parse_generation(struct od_jinja_parser *p, struct od_jinja_node **ret)
{
    static const char *const ends[] = {"endgeneration", NULL};
    if (!od_jinja_expect_close(p)) {
        return false;
    }
    *ret = parse_body(p, ends);
    return p->status == OD_OK && take_end(p, "endgeneration");
}

// Behind "{%": one statement; *ret may stay NULL.
static bool parse_statement(struct od_jinja_parser *p, struct od_jinja_node **ret)
{
    if (p->token->kind != OD_JINJA_TOKEN_NAME) {
        (void)od_jinja_unexpected(p, "a statement");
        return false;
    }
    if (od_jinja_take_name(p, "if")) {
        *ret = parse_if(p);
    } else if (od_jinja_take_name(p, "for")) {
        *ret = parse_for(p);
    } else if (od_jinja_take_name(p, "set")) {
        *ret = parse_set(p);
    } else if (od_jinja_take_name(p, "macro")) {
        *ret = parse_macro(p);
    } else if (od_jinja_take_name(p, "generation")) {
        return parse_generation(p, ret);
    } else if (p->loops > 0 && (od_jinja_at_name(p, "break") || od_jinja_at_name(p, "continue"))) {
        *ret = od_jinja_make(p, od_jinja_at_name(p, "break") ? OD_JINJA_BREAK : OD_JINJA_CONTINUE);
        p->token++;
        return *ret && od_jinja_expect_close(p);
    } else {
        (void)od_jinja_parse_fail(p, OD_E_UNSUPPORTED, "the statement '%s' is not supported here",
                                  p->token->text);
    }
    return *ret != NULL;
}

// Is "{% end" next, with `end` one of `ends`?
static bool at_end(const struct od_jinja_parser *p, const char *const *ends)
{
    if (p->token->kind != OD_JINJA_TOKEN_STATEMENT || p->token[1].kind != OD_JINJA_TOKEN_NAME) {
        return false;
    }
    for (; ends && *ends; ends++) {
        if (strcmp(p->token[1].text, *ends) == 0) {
            return true;
        }
    }
    return false;
}

// Statements up to one of the tags `ends` (NULL: up to the end of the template), linked.
static struct od_jinja_node *parse_body(struct od_jinja_parser *p, const char *const *ends)
{
    struct od_jinja_node *first = NULL;
    struct od_jinja_node **end = &first;
    if (!od_jinja_parse_enter(p)) {
        return NULL;
    }
    while (p->status == OD_OK && !at_end(p, ends)) {
        struct od_jinja_node *node = NULL;
        if (p->token->kind == OD_JINJA_TOKEN_TEXT) {
            node = od_jinja_make_text(p, OD_JINJA_TEXT, p->token);
            p->token++;
        } else if (p->token->kind == OD_JINJA_TOKEN_OUTPUT) {
            p->token++;
            node = od_jinja_make_single(p, OD_JINJA_OUTPUT, od_jinja_parse_tuple(p));
            if (node && !od_jinja_expect_close(p)) {
                return NULL;
            }
        } else if (p->token->kind == OD_JINJA_TOKEN_STATEMENT) {
            p->token++;
            if (!parse_statement(p, &node)) {
                return NULL;
            }
        } else if (ends) {
            (void)od_jinja_parse_fail(p, OD_E_FORMAT,
                                      "'{%% %s %%}' expected, but the template ends", *ends);
        } else {
            break;
        }
        *end = node;
        while (*end) {  // a generation tag is several
            end = &(*end)->next;
        }
    }
    p->depth--;
    return first;
}

enum od_status od_jinja_parse(const char *text, size_t size, const char *name,
                              struct od_jinja **ret, struct od_error *err)
{
    struct od_jinja_token *tokens = NULL;
    if (size > OD_JINJA_TEMPLATE_MAX_BYTES) {
        return od_fail(err, OD_E_LIMIT, "%s: a template of %zu bytes, at most %d", name, size,
                       (int)OD_JINJA_TEMPLATE_MAX_BYTES);
    }
    struct od_jinja *jinja = od_alloc(1, sizeof *jinja);
    if (!jinja) {
        return od_fail(err, OD_E_MEMORY, "no memory for the template '%s'", name);
    }
    od_arena_init(&jinja->arena, TEMPLATE_MEMORY_BYTES);
    jinja->name = od_arena_strdup(&jinja->arena, name);
    enum od_status status = OD_E_MEMORY;
    if (jinja->name) {
        status = od_jinja_lex(text, size, jinja->name, &jinja->arena, &tokens, err);
    } else {
        od_error_set(err, status, "no memory for the template '%s'", name);
    }
    if (status == OD_OK) {
        struct od_jinja_parser p = {.jinja = jinja, .token = tokens, .err = err};
        jinja->first = parse_body(&p, NULL);
        status = p.status;
    }
    if (status != OD_OK) {
        od_jinja_free(jinja);
        return status;
    }
    *ret = jinja;
    return OD_OK;
}

void od_jinja_free(struct od_jinja *jinja)
{
    if (jinja) {
        od_arena_release(&jinja->arena);
        od_free(jinja);
    }
}
