// Arithmetic and comparison as Python has them.
#include "text/jinja_operators.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/jinja_internal.h"

enum { TEXT_MAX_BYTES = 256 << 20 };

static bool join_lists(struct od_jinja_render *r, const struct od_jinja_list *a,
                       const struct od_jinja_list *b, struct od_jinja_value *ret)
{
    bool ok = od_jinja_step(r, 1 + a->count + b->count) && od_jinja_list_create(r, ret);
    for (size_t i = 0; ok && i < a->count + b->count; i++) {
        ok = od_jinja_list_add(r, ret->list, i < a->count ? a->items[i] : b->items[i - a->count]);
    }
    if (ok) {
        ret->list->tuple = a->tuple;
    }
    return ok;
}

static bool repeat(struct od_jinja_render *r, const struct od_jinja_value *text, int64_t count,
                   struct od_jinja_value *ret)
{
    struct od_buf buf;
    od_buf_init(&buf, TEXT_MAX_BYTES);
    for (int64_t i = 0; i < count && text->size > 0 && !buf.failed; i++) {
        od_buf_append(&buf, text->text, text->size);
    }
    return od_jinja_take(r, &buf, ret);
}

// Python's // and % round towards minus infinity.
static bool divide_ints(struct od_jinja_render *r, int64_t x, int64_t y, bool remainder,
                        struct od_jinja_value *ret)
{
    if (y == 0 || (x == INT64_MIN && y == -1)) {
        return od_jinja_fail(r, OD_E_FORMAT, "division by zero, or its result is too large");
    }
    const int64_t rest = x % y;
    const bool down = rest != 0 && (rest < 0) != (y < 0);
    *ret = od_jinja_int(remainder ? rest + (down ? y : 0) : x / y - down);
    return true;
}

static bool int_arithmetic(struct od_jinja_render *r, char operator, int64_t x, int64_t y,
                           struct od_jinja_value *ret)
{
    int64_t result = 0;
    bool over = false;
    switch (operator) {
    case '+': over = __builtin_add_overflow(x, y, &result); break;
    case '-': over = __builtin_sub_overflow(x, y, &result); break;
    default: over = __builtin_mul_overflow(x, y, &result); break;
    }
    *ret = od_jinja_int(result);
    return !over || od_jinja_fail(r, OD_E_LIMIT, "an int is too large");
}

static bool float_arithmetic(struct od_jinja_render *r, const char *operator, double x, double y,
                             struct od_jinja_value *ret)
{
    double result = 0;
    if (strchr("/%", operator[0]) && fpclassify(y) == FP_ZERO) {
        return od_jinja_fail(r, OD_E_FORMAT, "division by zero");
    }
    switch (operator[0]) {
    case '+': result = x + y; break;
    case '-': result = x - y; break;
    case '/': result = operator[1] == '/' ? floor(x / y) : x / y; break;
    case '%': result = x - y * floor(x / y); break;
    default: result = operator[1] == '*' ? pow(x, y) : x * y; break;
    }
    *ret = od_jinja_float(result);
    return isfinite(result) || od_jinja_fail(r, OD_E_LIMIT, "a number is too large");
}

static bool power(struct od_jinja_render *r, const struct od_jinja_value *a,
                  const struct od_jinja_value *b, struct od_jinja_value *ret)
{
    int64_t result = 1;
    if (a->kind == OD_JINJA_IS_FLOAT || b->kind == OD_JINJA_IS_FLOAT || b->integer < 0) {
        return float_arithmetic(r, "**", od_jinja_to_double(a), od_jinja_to_double(b), ret);
    }
    if (b->integer > 64 && (a->integer < -1 || a->integer > 1)) {
        return od_jinja_fail(r, OD_E_LIMIT, "an int is too large");
    }
    const int64_t count = b->integer > 64 ? 2 + b->integer % 2 : b->integer;
    for (int64_t i = 0; i < count; i++) {
        if (__builtin_mul_overflow(result, a->integer, &result)) {
            return od_jinja_fail(r, OD_E_LIMIT, "an int is too large");
        }
    }
    *ret = od_jinja_int(result);
    return true;
}

static bool numbers(struct od_jinja_render *r, const char *operator,
                    const struct od_jinja_value * a, const struct od_jinja_value *b,
                    struct od_jinja_value *ret)
{
    const bool ints = a->kind != OD_JINJA_IS_FLOAT && b->kind != OD_JINJA_IS_FLOAT;
    if (strcmp(operator, "**") == 0) {
        return power(r, a, b, ret);
    }
    if (ints && (strcmp(operator, "//") == 0 || operator[0] == '%')) {
        return divide_ints(r, a->integer, b->integer, operator[0] == '%', ret);
    }
    if (ints && operator[0] != '/') {
        return int_arithmetic(r, operator[0], a->integer, b->integer, ret);
    }
    return float_arithmetic(r, operator, od_jinja_to_double(a), od_jinja_to_double(b), ret);
}

static bool join_texts(struct od_jinja_render *r, const struct od_jinja_value *a,
                       const struct od_jinja_value *b, struct od_jinja_value *ret)
{
    char *text = od_jinja_alloc(r, a->size + b->size + 1, 1);
    if (!text || !od_jinja_step(r, 1 + (a->size + b->size) / 64)) {
        return false;
    }
    memcpy(text, a->text, a->size);
    memcpy(text + a->size, b->text, b->size);
    *ret = od_jinja_text(text, a->size + b->size);
    return true;
}

bool od_jinja_binary(struct od_jinja_render *r, const char *operator,
                     const struct od_jinja_value * a, const struct od_jinja_value *b,
                     struct od_jinja_value *ret)
{
    const bool text_a = a->kind == OD_JINJA_IS_TEXT;
    const bool text_b = b->kind == OD_JINJA_IS_TEXT;
    if (operator[0] == '~') {
        struct od_jinja_value left = {0};
        struct od_jinja_value right = {0};
        return od_jinja_to_text(r, a, &left) && od_jinja_to_text(r, b, &right) &&
               join_texts(r, &left, &right, ret);
    }
    if (a->kind == OD_JINJA_IS_UNDEFINED || b->kind == OD_JINJA_IS_UNDEFINED) {
        return od_jinja_fail(r, OD_E_FORMAT, "'%s' is undefined: it cannot be computed with",
                             a->kind == OD_JINJA_IS_UNDEFINED ? a->text : b->text);
    }
    if (od_jinja_is_number(a) && od_jinja_is_number(b)) {
        return numbers(r, operator, a, b, ret);
    }
    if (strcmp(operator, "+") == 0 && text_a && text_b) {
        return join_texts(r, a, b, ret);
    }
    if (strcmp(operator, "+") == 0 && a->kind == OD_JINJA_IS_LIST && b->kind == OD_JINJA_IS_LIST &&
        a->list->tuple == b->list->tuple) {
        return join_lists(r, a->list, b->list, ret);
    }
    if (strcmp(operator, "*") == 0 && (text_a ? b : a)->kind == OD_JINJA_IS_INT &&
        (text_a || text_b)) {
        return repeat(r, text_a ? a : b, (text_a ? b : a)->integer, ret);
    }
    if (operator[0] == '%' && text_a) {
        return od_jinja_fail(r, OD_E_UNSUPPORTED, "formatting a text with '%%' is not supported");
    }
    return od_jinja_fail(r, OD_E_FORMAT, "'%s' does not work on these values", operator);
}

bool od_jinja_compare(struct od_jinja_render *r, const char *operator,
                      const struct od_jinja_value * a, const struct od_jinja_value *b, bool *ret)
{
    int order = 0;
    if (operator[0] == '=' || operator[0] == '!') {
        *ret = od_jinja_equal(a, b, 0) == (operator[0] == '=');
        return true;
    }
    if (operator[0] == 'i' || operator[0] == 'n') {  // in, not in
        const bool ok = od_jinja_contains(r, b, a, ret);
        *ret = *ret == (operator[0] == 'i');
        return ok;
    }
    const bool ok = od_jinja_order(r, a, b, &order);
    *ret = operator[0] == '<' ? (operator[1] == '=' ? order <= 0 : order<0)
                              : (operator[1] == '=' ? order >= 0 : order> 0);
    return ok;
}
