// Walks the parts of a template. A scope is a list of names with the scope around it; `for` and
// macros open one, `if` does not, so that what is set in a loop is gone behind it, as in Jinja.
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/jinja.h"
#include "text/jinja_internal.h"
#include "text/jinja_operators.h"

enum { ARGUMENTS_MAX = 32, CAPTURED_MAX_BYTES = 256 << 20 };

static bool evaluate(struct od_jinja_render *r, const struct od_jinja_node *node,
                     struct od_jinja_value *ret);
static bool run_body(struct od_jinja_render *r, const struct od_jinja_node *node);

const struct od_jinja_value *od_jinja_argument(const struct od_jinja_arguments *arguments,
                                               size_t index, const char *name)
{
    for (size_t i = 0; i < arguments->count; i++) {
        if (arguments->names[i] ? strcmp(arguments->names[i], name) == 0 : i == index) {
            return &arguments->values[i];
        }
    }
    return NULL;
}

static bool push_scope(struct od_jinja_render *r)
{
    struct od_jinja_scope *scope = od_jinja_alloc(r, 1, sizeof *scope);
    if (scope) {
        scope->parent = r->scope;
        r->scope = scope;
    }
    return scope != NULL;
}

static bool set_name(struct od_jinja_render *r, const char *name, struct od_jinja_value value)
{
    return od_jinja_dict_set(r, &r->scope->names, od_jinja_text(name, strlen(name)), value);
}

static void look_up(const struct od_jinja_render *r, const char *name, struct od_jinja_value *ret)
{
    for (const struct od_jinja_scope *scope = r->scope; scope; scope = scope->parent) {
        const struct od_jinja_value *found = od_jinja_dict_find_text(&scope->names, name);
        if (found) {
            *ret = *found;
            return;
        }
    }
    *ret = od_jinja_undefined(name);
    if (od_jinja_is_function(name)) {
        *ret = (struct od_jinja_value){.kind = OD_JINJA_IS_FUNCTION, .text = name};
    }
}

// Set names from a value: one takes it all, several take one item each.
static bool set_targets(struct od_jinja_render *r, const struct od_jinja_node *targets,
                        const struct od_jinja_value *value)
{
    struct od_jinja_list *list = NULL;
    size_t index = 0;
    size_t count = 0;
    for (const struct od_jinja_node *t = targets; t; t = t->next) {
        count++;
    }
    if (count > 1 && (!od_jinja_to_list(r, value, &list) || list->count != count)) {
        return od_jinja_fail(r, OD_E_FORMAT, "there are %zu names for another number of values",
                             count);
    }
    for (const struct od_jinja_node *t = targets; t; t = t->next) {
        const struct od_jinja_value one = list ? list->items[index++] : *value;
        if (t->kind == OD_JINJA_NAME) {
            if (!set_name(r, t->text, one)) {
                return false;
            }
            continue;
        }
        struct od_jinja_value space = {0};
        look_up(r, t->a->text, &space);
        if (space.kind != OD_JINJA_IS_NAMESPACE) {
            return od_jinja_fail(r, OD_E_FORMAT, "'%s' is no namespace: '%s' cannot be set",
                                 t->a->text, t->text);
        }
        if (!od_jinja_dict_set(r, space.dict, od_jinja_text(t->text, t->size), one)) {
            return false;
        }
    }
    return true;
}

static bool make_list(struct od_jinja_render *r, const struct od_jinja_node *node,
                      struct od_jinja_value *ret)
{
    bool ok = od_jinja_list_create(r, ret);
    for (const struct od_jinja_node *item = node->a; ok && item; item = item->next) {
        struct od_jinja_value value = {0};
        ok = evaluate(r, item, &value) && od_jinja_list_add(r, ret->list, value);
    }
    if (ok) {
        ret->list->tuple = node->index != 0;
    }
    return ok;
}

static bool make_dict(struct od_jinja_render *r, const struct od_jinja_node *node,
                      struct od_jinja_value *ret)
{
    bool ok = od_jinja_dict_create(r, ret);
    for (const struct od_jinja_node *pair = node->a; ok && pair; pair = pair->next) {
        struct od_jinja_value key = {0};
        struct od_jinja_value value = {0};
        ok = evaluate(r, pair->a, &key) && evaluate(r, pair->b, &value) &&
             od_jinja_dict_set(r, ret->dict, key, value);
    }
    return ok;
}

// Values of linked arguments, in arrays of the rendering.
static bool make_arguments(struct od_jinja_render *r, const struct od_jinja_node *first,
                           struct od_jinja_arguments *ret)
{
    size_t count = 0;
    for (const struct od_jinja_node *node = first; node; node = node->next) {
        count++;
    }
    if (count > ARGUMENTS_MAX) {
        return od_jinja_fail(r, OD_E_LIMIT, "more than %d arguments", (int)ARGUMENTS_MAX);
    }
    *ret = (struct od_jinja_arguments){.values = od_jinja_alloc(r, count + 1, sizeof *ret->values),
                                       .names = od_jinja_alloc(r, count + 1, sizeof *ret->names),
                                       .count = count};
    if (!ret->values || !ret->names) {
        return false;
    }
    size_t index = 0;
    for (const struct od_jinja_node *node = first; node; node = node->next, index++) {
        const bool named = node->kind == OD_JINJA_KEYWORD;
        ret->names[index] = named ? node->text : NULL;
        if (!evaluate(r, named ? node->a : node, &ret->values[index])) {
            return false;
        }
    }
    return true;
}

// Run a body and take what it writes.
static bool capture(struct od_jinja_render *r, const struct od_jinja_node *body,
                    struct od_jinja_value *ret)
{
    struct od_buf buf;
    struct od_buf *outer = r->out;
    od_buf_init(&buf, CAPTURED_MAX_BYTES);
    r->out = &buf;
    (void)run_body(r, body);
    r->out = outer;
    return od_jinja_take(r, &buf, ret);
}

static bool set_parameters(struct od_jinja_render *r, const struct od_jinja_node *macro,
                           const struct od_jinja_arguments *args)
{
    size_t index = 0;
    size_t used = 0;
    for (const struct od_jinja_node *p = macro->a; p; p = p->next, index++) {
        const struct od_jinja_value *given = od_jinja_argument(args, index, p->text);
        struct od_jinja_value value = od_jinja_undefined(p->text);
        used += given != NULL;
        if (given) {
            value = *given;
        } else if (p->a && !evaluate(r, p->a, &value)) {
            return false;
        }
        if (!set_name(r, p->text, value)) {
            return false;
        }
    }
    return used == args->count ||
           od_jinja_fail(r, OD_E_FORMAT, "the macro '%s' does not take these arguments",
                         macro->text);
}

static bool call_macro(struct od_jinja_render *r, const struct od_jinja_node *macro,
                       const struct od_jinja_arguments *args, struct od_jinja_value *ret)
{
    struct od_jinja_scope *outer = r->scope;
    r->scope = r->global;
    const bool ok = push_scope(r) && set_parameters(r, macro, args) && capture(r, macro->b, ret);
    r->scope = outer;
    return ok;
}

static bool call(struct od_jinja_render *r, const struct od_jinja_node *node,
                 struct od_jinja_value *ret)
{
    struct od_jinja_value callee = {0};
    struct od_jinja_arguments args = {0};
    if (!evaluate(r, node->a, &callee) || !make_arguments(r, node->b, &args)) {
        return false;
    }
    r->line = node->line;
    if (callee.kind == OD_JINJA_IS_METHOD) {
        return od_jinja_method(r, &callee, &args, ret);
    }
    if (callee.kind == OD_JINJA_IS_FUNCTION) {
        return od_jinja_function(r, callee.text, &args, ret);
    }
    if (callee.kind == OD_JINJA_IS_MACRO) {
        return call_macro(r, callee.macro, &args, ret);
    }
    const char *name = node->a->kind == OD_JINJA_NAME || node->a->kind == OD_JINJA_ATTRIBUTE
                           ? node->a->text
                           : "this value";
    return callee.kind == OD_JINJA_IS_UNDEFINED
               ? od_jinja_fail(r, OD_E_UNSUPPORTED, "'%s' is no function that is known here", name)
               : od_jinja_fail(r, OD_E_FORMAT, "'%s' cannot be called", name);
}

static bool compare(struct od_jinja_render *r, const struct od_jinja_node *node,
                    struct od_jinja_value *ret)
{
    struct od_jinja_value left = {0};
    bool holds = evaluate(r, node->a, &left);
    if (!holds) {
        return false;
    }
    for (const struct od_jinja_node *o = node->b; o && holds; o = o->next) {
        struct od_jinja_value right = {0};
        if (!evaluate(r, o->a, &right) || !od_jinja_compare(r, o->text, &left, &right, &holds)) {
            return false;
        }
        left = right;
    }
    *ret = od_jinja_bool(holds);
    return true;
}

static bool negative(struct od_jinja_render *r, const struct od_jinja_value *value,
                     struct od_jinja_value *ret)
{
    const struct od_jinja_value zero = od_jinja_int(0);
    if (value->kind == OD_JINJA_IS_FLOAT) {
        *ret = od_jinja_float(-value->number);
        return true;
    }
    return od_jinja_binary(r, "-", &zero, value, ret);
}

// A filter or test with its arguments.
static bool apply(struct od_jinja_render *r, const struct od_jinja_node *node,
                  struct od_jinja_value *ret)
{
    struct od_jinja_value value = {0};
    struct od_jinja_arguments args = {0};
    bool passes = false;
    if (!evaluate(r, node->a, &value) || !make_arguments(r, node->b, &args)) {
        return false;
    }
    r->line = node->line;
    if (node->kind == OD_JINJA_FILTER) {
        return od_jinja_filter(r, node->index, &value, &args, ret);
    }
    const bool ok = od_jinja_test(r, node->index, &value, &args, &passes);
    *ret = od_jinja_bool(passes);
    return ok;
}

static bool slice(struct od_jinja_render *r, const struct od_jinja_node *node,
                  const struct od_jinja_value *whole, struct od_jinja_value *ret)
{
    const struct od_jinja_node *const parts[3] = {node->b, node->c, node->d};
    struct od_jinja_value bounds[3] = {0};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i] && !evaluate(r, parts[i], &bounds[i])) {
            return false;
        }
    }
    return od_jinja_slice(r, whole, parts[0] ? &bounds[0] : NULL, parts[1] ? &bounds[1] : NULL,
                          parts[2] ? &bounds[2] : NULL, ret);
}

// Expressions whose first part is looked at before the others.
static bool evaluate_lazy(struct od_jinja_render *r, const struct od_jinja_node *node,
                          struct od_jinja_value *ret)
{
    struct od_jinja_value first = {0};
    if (!evaluate(r, node->a, &first)) {
        return false;
    }
    const bool truth = od_jinja_truth(&first);
    if (node->kind == OD_JINJA_NOT) {
        *ret = od_jinja_bool(!truth);
        return true;
    }
    if (node->kind == OD_JINJA_CONDITION) {
        *ret = od_jinja_undefined("the condition without 'else'");
        return truth ? evaluate(r, node->b, ret) : !node->c || evaluate(r, node->c, ret);
    }
    if (truth == (node->kind == OD_JINJA_OR)) {
        *ret = first;
        return true;
    }
    return evaluate(r, node->b, ret);
}

// Expressions that need the values of all their parts.
static bool evaluate_parts(struct od_jinja_render *r, const struct od_jinja_node *node,
                           struct od_jinja_value *ret)
{
    struct od_jinja_value a = {0};
    struct od_jinja_value b = {0};
    const bool pair = node->kind == OD_JINJA_ITEM || node->kind == OD_JINJA_BINARY;
    if (!evaluate(r, node->a, &a) || (pair && !evaluate(r, node->b, &b))) {
        return false;
    }
    r->line = node->line;
    switch ((int)node->kind) {  // each of them knows some kinds
    case OD_JINJA_ATTRIBUTE: return od_jinja_attribute(r, &a, node->text, ret);
    case OD_JINJA_ITEM: return od_jinja_item(r, &a, &b, ret);
    case OD_JINJA_SLICE: return slice(r, node, &a, ret);
    case OD_JINJA_NEGATIVE: return negative(r, &a, ret);
    case OD_JINJA_POSITIVE:
        *ret = a;
        return od_jinja_is_number(&a) || od_jinja_fail(r, OD_E_FORMAT, "'+' needs a number");
    default: break;
    }
    return od_jinja_binary(r, node->text, &a, &b, ret);
}

static bool evaluate(struct od_jinja_render *r, const struct od_jinja_node *node,
                     struct od_jinja_value *ret)
{
    bool ok = od_jinja_enter(r) && od_jinja_step(r, 1);
    if (!ok) {
        return false;
    }
    r->line = node->line;
    switch ((int)node->kind) {  // each of them knows some kinds
    case OD_JINJA_CONSTANT: *ret = node->value; break;
    case OD_JINJA_NAME: look_up(r, node->text, ret); break;
    case OD_JINJA_CAPTURED: *ret = r->captured; break;
    case OD_JINJA_LIST: ok = make_list(r, node, ret); break;
    case OD_JINJA_DICT: ok = make_dict(r, node, ret); break;
    case OD_JINJA_CALL: ok = call(r, node, ret); break;
    case OD_JINJA_FILTER:
    case OD_JINJA_TEST: ok = apply(r, node, ret); break;
    case OD_JINJA_COMPARE: ok = compare(r, node, ret); break;
    case OD_JINJA_NOT:
    case OD_JINJA_AND:
    case OD_JINJA_OR:
    case OD_JINJA_CONDITION: ok = evaluate_lazy(r, node, ret); break;
    default: ok = evaluate_parts(r, node, ret); break;
    }
    r->depth--;
    return ok;
}

// The items that a loop visits: those that pass its condition.
static bool loop_items(struct od_jinja_render *r, const struct od_jinja_node *node,
                       struct od_jinja_list **ret)
{
    struct od_jinja_value whole = {0};
    struct od_jinja_value chosen = {0};
    struct od_jinja_list *list = NULL;
    if (!evaluate(r, node->d, &whole) || !od_jinja_to_list(r, &whole, &list)) {
        return false;
    }
    *ret = list;
    if (!node->e) {
        return true;
    }
    if (!od_jinja_list_create(r, &chosen)) {
        return false;
    }
    for (size_t i = 0; i < list->count; i++) {
        struct od_jinja_scope *outer = r->scope;
        struct od_jinja_value passes = {0};
        const bool ok = push_scope(r) && set_targets(r, node->a, &list->items[i]) &&
                        evaluate(r, node->e, &passes);
        r->scope = outer;
        if (!ok ||
            (od_jinja_truth(&passes) && !od_jinja_list_add(r, chosen.list, list->items[i]))) {
            return false;
        }
    }
    *ret = chosen.list;
    return true;
}

// The mapping `loop` of the round `index`.
static bool make_loop(struct od_jinja_render *r, const struct od_jinja_list *list, size_t index,
                      struct od_jinja_value *ret)
{
    const int64_t at = (int64_t)index;
    const int64_t count = (int64_t)list->count;
    const struct {
        const char *name;
        struct od_jinja_value value;
    } members[] = {
        {"index", od_jinja_int(at + 1)},
        {"index0", od_jinja_int(at)},
        {"revindex", od_jinja_int(count - at)},
        {"revindex0", od_jinja_int(count - at - 1)},
        {"first", od_jinja_bool(at == 0)},
        {"last", od_jinja_bool(at == count - 1)},
        {"length", od_jinja_int(count)},
        {"depth", od_jinja_int(1)},
        {"depth0", od_jinja_int(0)},
        {"previtem", index > 0 ? list->items[index - 1] : od_jinja_undefined("previtem")},
        {"nextitem",
         index + 1 < list->count ? list->items[index + 1] : od_jinja_undefined("nextitem")},
    };
    bool ok = od_jinja_dict_create(r, ret);
    for (size_t i = 0; ok && i < sizeof members / sizeof members[0]; i++) {
        ok =
            od_jinja_dict_set(r, ret->dict, od_jinja_text(members[i].name, strlen(members[i].name)),
                              members[i].value);
    }
    return ok;
}

static bool run_for(struct od_jinja_render *r, const struct od_jinja_node *node)
{
    struct od_jinja_list *list = NULL;
    struct od_jinja_scope *outer = r->scope;
    bool ok = loop_items(r, node, &list);
    if (ok && list->count == 0) {
        ok = push_scope(r) && run_body(r, node->c);
        r->scope = outer;
        return ok;
    }
    for (size_t i = 0; ok && i < list->count; i++) {
        struct od_jinja_value loop = {0};
        ok = od_jinja_step(r, 1) && push_scope(r) && make_loop(r, list, i, &loop) &&
             set_name(r, "loop", loop) && set_targets(r, node->a, &list->items[i]) &&
             run_body(r, node->b);
        r->scope = outer;
        const bool leave = r->leaving == OD_JINJA_DO_BREAK;
        r->leaving = OD_JINJA_GO_ON;
        if (leave) {
            break;
        }
    }
    return ok;
}

static bool run_if(struct od_jinja_render *r, const struct od_jinja_node *node)
{
    struct od_jinja_value condition = {0};
    return evaluate(r, node->a, &condition) &&
           run_body(r, od_jinja_truth(&condition) ? node->b : node->c);
}

static bool run_set_block(struct od_jinja_render *r, const struct od_jinja_node *node)
{
    struct od_jinja_value value = {0};
    struct od_jinja_scope *outer = r->scope;
    const struct od_jinja_value captured = r->captured;
    bool ok = push_scope(r) && capture(r, node->b, &r->captured);
    r->scope = outer;
    ok = ok && evaluate(r, node->c, &value) && set_targets(r, node->a, &value);
    r->captured = captured;
    return ok;
}

static bool run_statement(struct od_jinja_render *r, const struct od_jinja_node *node)
{
    struct od_jinja_value value = {0};
    switch ((int)node->kind) {  // each of them knows some kinds
    case OD_JINJA_TEXT: od_buf_append(r->out, node->text, node->size); return true;
    case OD_JINJA_OUTPUT:
        return evaluate(r, node->a, &value) && od_jinja_print(r, &value, false, r->out);
    case OD_JINJA_IF: return run_if(r, node);
    case OD_JINJA_FOR: return run_for(r, node);
    case OD_JINJA_SET: return evaluate(r, node->b, &value) && set_targets(r, node->a, &value);
    case OD_JINJA_SET_BLOCK: return run_set_block(r, node);
    case OD_JINJA_MACRO:
        return set_name(r, node->text,
                        (struct od_jinja_value){.kind = OD_JINJA_IS_MACRO, .macro = node});
    case OD_JINJA_BREAK: r->leaving = OD_JINJA_DO_BREAK; return true;
    case OD_JINJA_CONTINUE: r->leaving = OD_JINJA_DO_CONTINUE; return true;
    default: break;
    }
    return od_jinja_fail(r, OD_E_UNSUPPORTED, "a part that is no statement");
}

static bool run_body(struct od_jinja_render *r, const struct od_jinja_node *node)
{
    bool ok = od_jinja_enter(r);
    for (; ok && node && r->leaving == OD_JINJA_GO_ON; node = node->next) {
        r->line = node->line;
        ok = od_jinja_step(r, 1) && run_statement(r, node);
        if (ok && r->out->failed) {
            ok = od_jinja_fail(r, OD_E_LIMIT, "what the template writes is too large");
        }
    }
    r->depth--;
    return ok;
}

enum od_status od_jinja_render(const struct od_jinja *jinja, const json_t *variables,
                               struct od_buf *out, struct od_error *err)
{
    struct od_jinja_render r = {.jinja = jinja, .out = out, .line = 1, .err = err};
    struct od_jinja_value names = {0};
    od_arena_init(&r.arena, OD_JINJA_MEMORY_BYTES);
    if (push_scope(&r) && od_jinja_from_json(&r, variables, &names)) {
        r.scope->names = *names.dict;
        // What the template sets does not hide what it was given, in a macro either.
        r.global = r.scope;
        (void)run_body(&r, jinja->first);
    }
    od_arena_release(&r.arena);
    return r.status;
}
