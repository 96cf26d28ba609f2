// Tests: `value is test(arguments)`.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"
#include "text/jinja_internal.h"
#include "text/jinja_text.h"

enum test {
    TEST_DEFINED,
    TEST_UNDEFINED,
    TEST_NONE,
    TEST_BOOLEAN,
    TEST_TRUE,
    TEST_FALSE,
    TEST_INTEGER,
    TEST_FLOAT,
    TEST_NUMBER,
    TEST_STRING,
    TEST_MAPPING,
    TEST_SEQUENCE,
    TEST_ITERABLE,
    TEST_CALLABLE,
    TEST_ODD,
    TEST_EVEN,
    TEST_DIVISIBLE_BY,
    TEST_EQUAL,
    TEST_NOT_EQUAL,
    TEST_LESS,
    TEST_LESS_EQUAL,
    TEST_GREATER,
    TEST_GREATER_EQUAL,
    TEST_IN,
    TEST_LOWER,
    TEST_UPPER
};

static const struct {
    const char *name;
    enum test test;
} tests[] = {
    {"defined", TEST_DEFINED},
    {"undefined", TEST_UNDEFINED},
    {"none", TEST_NONE},
    {"boolean", TEST_BOOLEAN},
    {"true", TEST_TRUE},
    {"false", TEST_FALSE},
    {"integer", TEST_INTEGER},
    {"float", TEST_FLOAT},
    {"number", TEST_NUMBER},
    {"string", TEST_STRING},
    {"mapping", TEST_MAPPING},
    {"sequence", TEST_SEQUENCE},
    {"iterable", TEST_ITERABLE},
    {"callable", TEST_CALLABLE},
    {"odd", TEST_ODD},
    {"even", TEST_EVEN},
    {"divisibleby", TEST_DIVISIBLE_BY},
    {"eq", TEST_EQUAL},
    {"equalto", TEST_EQUAL},
    {"ne", TEST_NOT_EQUAL},
    {"lt", TEST_LESS},
    {"lessthan", TEST_LESS},
    {"le", TEST_LESS_EQUAL},
    {"gt", TEST_GREATER},
    {"greaterthan", TEST_GREATER},
    {"ge", TEST_GREATER_EQUAL},
    {"in", TEST_IN},
    {"lower", TEST_LOWER},
    {"upper", TEST_UPPER},
};

int od_jinja_test_find(const char *name)
{
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
        if (strcmp(tests[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool whole_number(struct od_jinja_render *r, const struct od_jinja_value *value)
{
    return value->kind == OD_JINJA_IS_INT || value->kind == OD_JINJA_IS_BOOL ||
           od_jinja_fail(r, OD_E_FORMAT, "this test needs an int");
}

// Is every letter of the text upper (lower), and is there one?
static bool has_case(struct od_jinja_render *r, const struct od_jinja_value *value,
                     enum od_jinja_case_kind kind, bool *ret)
{
    const enum od_jinja_case_kind other = kind == OD_JINJA_UPPER ? OD_JINJA_LOWER : OD_JINJA_UPPER;
    struct od_jinja_value text = {0};
    struct od_jinja_value same = {0};
    struct od_jinja_value changed = {0};
    if (!od_jinja_to_text(r, value, &text) || !od_jinja_case(r, &text, kind, &same) ||
        !od_jinja_case(r, &text, other, &changed)) {
        return false;
    }
    *ret = od_jinja_equal(&text, &same, 0) && !od_jinja_equal(&text, &changed, 0);
    return true;
}

static bool compare(struct od_jinja_render *r, enum test test, const struct od_jinja_value *value,
                    const struct od_jinja_arguments *args, bool *ret)
{
    const struct od_jinja_value *other = od_jinja_argument(args, 0, "other");
    int order = 0;
    if (!other) {
        return od_jinja_fail(r, OD_E_FORMAT, "this test needs something to compare with");
    }
    if (test == TEST_IN) {
        return od_jinja_contains(r, other, value, ret);
    }
    if (test == TEST_EQUAL || test == TEST_NOT_EQUAL) {
        *ret = od_jinja_equal(value, other, 0) == (test == TEST_EQUAL);
        return true;
    }
    if (test == TEST_DIVISIBLE_BY) {
        const bool ok = whole_number(r, value) && whole_number(r, other);
        *ret = ok && other->integer != 0 && other->integer != -1 &&
               value->integer % other->integer == 0;
        *ret = *ret || (ok && other->integer == -1);
        return ok && (other->integer != 0 || od_jinja_fail(r, OD_E_FORMAT, "division by zero"));
    }
    const bool ok = od_jinja_order(r, value, other, &order);
    *ret = test == TEST_LESS         ? order < 0
           : test == TEST_LESS_EQUAL ? order <= 0
           : test == TEST_GREATER    ? order > 0
                                     : order >= 0;
    return ok;
}

bool od_jinja_test(struct od_jinja_render *r, int index, const struct od_jinja_value *value,
                   const struct od_jinja_arguments *arguments, bool *ret)
{
    const enum od_jinja_value_kind kind = value->kind;
    const bool text = kind == OD_JINJA_IS_TEXT;
    const bool list = kind == OD_JINJA_IS_LIST;
    const bool dict = kind == OD_JINJA_IS_DICT;
    const bool boolean = kind == OD_JINJA_IS_BOOL;
    switch (tests[index].test) {
    case TEST_DEFINED: *ret = kind != OD_JINJA_IS_UNDEFINED; return true;
    case TEST_UNDEFINED: *ret = kind == OD_JINJA_IS_UNDEFINED; return true;
    case TEST_NONE: *ret = kind == OD_JINJA_IS_NONE; return true;
    case TEST_BOOLEAN: *ret = boolean; return true;
    case TEST_TRUE: *ret = boolean && value->integer != 0; return true;
    case TEST_FALSE: *ret = boolean && value->integer == 0; return true;
    case TEST_INTEGER: *ret = kind == OD_JINJA_IS_INT; return true;
    case TEST_FLOAT: *ret = kind == OD_JINJA_IS_FLOAT; return true;
    case TEST_NUMBER: *ret = od_jinja_is_number(value); return true;
    case TEST_STRING: *ret = text; return true;
    case TEST_MAPPING: *ret = dict; return true;
    case TEST_SEQUENCE:  // Jinja counts what is undefined in: it has a length
    case TEST_ITERABLE: *ret = text || list || dict || kind == OD_JINJA_IS_UNDEFINED; return true;
    case TEST_CALLABLE:
        *ret =
            kind == OD_JINJA_IS_FUNCTION || kind == OD_JINJA_IS_METHOD || kind == OD_JINJA_IS_MACRO;
        return true;
    case TEST_ODD:
    case TEST_EVEN:
        *ret = (value->integer % 2 != 0) == (tests[index].test == TEST_ODD);
        return whole_number(r, value);
    case TEST_LOWER: return has_case(r, value, OD_JINJA_LOWER, ret);
    case TEST_UPPER: return has_case(r, value, OD_JINJA_UPPER, ret);
    case TEST_DIVISIBLE_BY:
    case TEST_EQUAL:
    case TEST_NOT_EQUAL:
    case TEST_LESS:
    case TEST_LESS_EQUAL:
    case TEST_GREATER:
    case TEST_GREATER_EQUAL:
    case TEST_IN: break;
    }
    return compare(r, tests[index].test, value, arguments, ret);
}
