// Goal: templates render as transformers renders them; what is not supported is refused by its
// name; limits hold.
// Method: recorded cases (tests/oracle/chat_templates.py): chat templates in the style of those in
// use, one expression or statement each, and random compositions of tags with signs and white space.
#include "text/jinja.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/json.h"
#include "support.h"

enum { OUT_MAX_BYTES = 1 << 20 };

static enum od_status render(const char *text, size_t size, const json_t *variables,
                             struct od_buf *out, struct od_error *err)
{
    struct od_jinja *jinja = NULL;
    enum od_status status = od_jinja_parse(text, size, "t", &jinja, err);
    if (status == OD_OK) {
        status = od_jinja_render(jinja, variables, out, err);
    }
    od_jinja_free(jinja);
    return status;
}

static void as_transformers(void **state)
{
    (void)state;
    struct od_error err = {0};
    json_t *document = NULL;
    assert_ok(od_json_read(test_source("tests/golden/oracle/chat_templates.json"), &document, &err),
              &err);
    const json_t *templates = json_object_get(document, "templates");
    const json_t *variables = json_object_get(document, "variables");
    const json_t *cases = json_object_get(document, "cases");
    int bad = 0;
    int refused = 0;
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *row = json_array_get(cases, i);
        const json_t *want = json_array_get(row, 3);
        const json_t *text =
            json_array_get(templates, (size_t)json_integer_value(json_array_get(row, 1)));
        struct od_buf out;
        od_buf_init(&out, OUT_MAX_BYTES);
        const enum od_status status =
            render(json_string_value(text), json_string_length(text),
                   json_array_get(variables, (size_t)json_integer_value(json_array_get(row, 2))),
                   &out, &err);
        refused += json_is_null(want);
        if (json_is_null(want)
                ? status == OD_OK
                : status != OD_OK || out.size != json_string_length(want) ||
                      memcmp(od_buf_text(&out), json_string_value(want), out.size) != 0) {
            (void)printf("# %s: status %d %s\n# template %s\n# want %s\n# got  %s\n",
                         json_string_value(json_array_get(row, 0)), (int)status,
                         status != OD_OK ? err.message : "", json_string_value(text),
                         json_is_null(want) ? "an error" : json_string_value(want),
                         od_buf_text(&out));
            bad++;
        }
        od_buf_release(&out);
    }
    (void)printf("# %zu cases, %d of them refused\n", json_array_size(cases), refused);
    assert_true(json_array_size(cases) > 900);
    assert_int_equal(bad, 0);
    json_decref(document);
}

static void fails(const char *text, enum od_status status, const char *message)
{
    struct od_error err = {0};
    struct od_buf out;
    json_t *variables = json_object();
    od_buf_init(&out, OUT_MAX_BYTES);
    const enum od_status got = render(text, strlen(text), variables, &out, &err);
    if (got != status || strcmp(err.message, message) != 0) {
        fail_msg("of '%.200s': status %d and '%s', not %d and '%s'", text, (int)got, err.message,
                 (int)status, message);
    }
    od_buf_release(&out);
    json_decref(variables);
}

static void refused_by_name(void **state)
{
    (void)state;
    const enum od_status no = OD_E_UNSUPPORTED;
    fails("a\n{% include 'x' %}", no, "t:2: the statement 'include' is not supported here");
    fails("{% break %}", no, "t:1: the statement 'break' is not supported here");
    fails("{{ 1 | groupby('x') }}", no, "t:1: the filter 'groupby' is not supported");
    fails("{{ 1 is sameas 2 }}", no, "t:1: the test 'sameas' is not supported");
    fails("\n\n{{ strftime_now('%Y') }}", no,
          "t:3: 'strftime_now' is no function that is known here");
    fails("{{ 'a'.center(5) }}", no, "t:1: 'center' is no function that is known here");
    fails("{{ f(*x) }}", no, "t:1: '*' in front of an argument is not supported");
    fails("{% for x in y recursive %}{% endfor %}", no, "t:1: a recursive loop is not supported");
    fails("{{ '%s' % 'a' }}", no, "t:1: formatting a text with '%' is not supported");
    fails("{{ [] | tojson(indent=3) }}", no,
          "t:1: tojson takes 'indent' of 2 or 4 and nothing else");
    fails("{{ namespace() }}", no, "t:1: printing a namespace is not supported");
}

static void broken_templates(void **state)
{
    (void)state;
    const enum od_status bad = OD_E_FORMAT;
    fails("{{ a", bad, "t:1: a tag does not end");
    fails("{# a", bad, "t:1: a comment does not end");
    fails("{{ 'a }}", bad, "t:1: a text in quotes does not end");
    fails("{% raw %} {{", bad, "t:1: '{% raw %}' has no '{% endraw %}'");
    fails("{% if a %}\n", bad, "t:1: '{% elif %}' expected, but the template ends");
    fails("{{ }}", bad, "t:1: an expression expected in front of the end of the tag");
    fails("{{ a b }}", bad, "t:1: the end of the tag expected in front of 'b'");
    fails("{% for x y %}", bad, "t:1: 'in' expected in front of 'y'");
    fails("{% endif %}", OD_E_UNSUPPORTED, "t:1: the statement 'endif' is not supported here");
    fails("{{ a ! }}", bad, "t:1: '!' is not expected inside of a tag");
    fails("{{ 99999999999999999999 }}", bad, "t:1: a number is too large");
    fails("{{ (1, 2 }}", bad, "t:1: a tag does not end");
    fails("{{ (1 2) }}", bad, "t:1: ',' or the end of the list expected in front of ''");
    fails("{{ '\\xZZ' }}", bad, "t:1: a broken escape in a text");
    fails("{{ raise_exception('so') }}", bad, "t:1: the template refuses: so");
    fails("\n{{ x.y }}", bad, "t:2: 'x' is undefined: it has no 'y'");
}

static void limits(void **state)
{
    (void)state;
    const enum od_status limit = OD_E_LIMIT;
    struct od_error err = {0};
    struct od_jinja *jinja = NULL;
    struct od_buf text;
    fails("{% set l = range(99999) %}{% for a in range(999) %}{{ -1 in l }}{% endfor %}", limit,
          "t:1: the template does more than 67108864 steps");
    fails("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", limit,
          "t:1: the template nests too deep");
    fails(
        "{% set ns = namespace(x=[]) %}{% for a in range(600) %}{% set ns.x = [ns.x] %}{% endfor %}"
        "{{ ns.x }}",
        limit, "t:1: the template nests too deep");
    fails(
        "{% set ns = namespace(x='aaaaaaaa') %}{% for a in range(60) %}{% set ns.x = ns.x + ns.x %}"
        "{% endfor %}",
        limit, "t:1: the template uses too much memory");
    fails("{% for a in range(2000) %}{{ 'x' * 1000 }}{% endfor %}", limit,
          "t:1: what the template writes is too large");
    fails("{{ range(200000) }}", limit, "t:1: a range of this size is not supported");
    fails("{{ 9223372036854775807 + 1 }}", limit, "t:1: an int is too large");
    od_buf_init(&text, (size_t)2 * OD_JINJA_TEMPLATE_MAX_BYTES);
    od_buf_puts(&text, "{{ ");
    for (int i = 0; i < 400; i++) {
        od_buf_putc(&text, i < 200 ? '(' : ')');
    }
    od_buf_puts(&text, " }}");
    assert_int_equal(od_jinja_parse(text.bytes, text.size, "t", &jinja, &err), OD_E_LIMIT);
    assert_string_equal(err.message, "t:1: parts are nested more than 128 deep");
    od_buf_reset(&text);
    while (text.size < OD_JINJA_TEMPLATE_MAX_BYTES) {
        od_buf_putc(&text, 'x');
    }
    assert_ok(od_jinja_parse(text.bytes, text.size, "t", &jinja, &err), &err);
    od_jinja_free(jinja);
    od_buf_putc(&text, 'x');
    assert_int_equal(od_jinja_parse(text.bytes, text.size, "t", &jinja, &err), OD_E_LIMIT);
    od_buf_release(&text);
}

static void without_memory(void **state)
{
    (void)state;
    static const char text[] =
        "{% macro m(a) %}{{ a | upper }}{% endmacro %}{% set x %}b{% endset %}"
        "{% for i in [1, 2] %}{{ m('a' ~ i) }}{{ {'k': i} | tojson }}{% endfor %}{{ x[::-1] }}";
    json_t *variables = json_object();
    for (uint64_t n = 1;; n++) {
        struct od_error err = {0};
        struct od_buf out;
        od_buf_init(&out, OUT_MAX_BYTES);
        od_alloc_fail_at(n);
        const enum od_status status = render(text, sizeof text - 1, variables, &out, &err);
        od_alloc_fail_at(0);
        if (status == OD_OK) {
            assert_string_equal(od_buf_text(&out), "A1{\"k\": 1}A2{\"k\": 2}b");
            assert_true(n > 5);
            od_buf_release(&out);
            break;
        }
        assert_true(status == OD_E_MEMORY || status == OD_E_LIMIT);
        od_buf_release(&out);
    }
    json_decref(variables);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_transformers),  cmocka_unit_test(refused_by_name),
        cmocka_unit_test(broken_templates), cmocka_unit_test(limits),
        cmocka_unit_test(without_memory),
    };
    return cmocka_run_group_tests_name("text/jinja", tests, NULL, NULL);
}
