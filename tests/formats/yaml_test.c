// Goal: YAML becomes a tree that knows its places; scalars resolve by the core schema; what is not
// read is named; scalars that are written read back.
// Method: small documents by hand, property test over random texts, counted faults.

#include "formats/yaml.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"
#include "base/text.h"
#include "support.h"

static enum od_status parse(const char *text, struct od_yaml **ret, struct od_error *err)
{
    return od_yaml_parse(text, strlen(text), "x.yaml", ret, err);
}

static const char recipe[] =
    "# a recipe\n"
    "base: models/7B   # where\n"
    "lora: {rank: 8, alpha: 16.5}\n"
    "steps: 0x10\n"
    "data:\n"
    "  - path: \"a.jsonl\"\n"
    "    weight: 1e-3\n"
    "  - path: 'it''s'\n"
    "    text: |\n"
    "      two\n"
    "      lines\n"
    "on: yes\n"
    "nothing: ~\n"
    "empty:\n"
    "flag: true\n";

static void reads_a_tree(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    const char *text = NULL;
    int64_t whole = 0;
    double real = 0;
    bool truth = false;
    assert_ok(parse(recipe, &yaml, &err), &err);
    const struct od_yaml_node *root = od_yaml_root(yaml);
    assert_int_equal(root->type, OD_YAML_MAPPING);
    assert_int_equal(root->count, 8);
    assert_ok(od_yaml_text(od_yaml_find(root, "base"), &text, &err), &err);
    assert_string_equal(text, "models/7B");
    assert_int_equal(od_yaml_find(root, "base")->line, 2);
    assert_int_equal(od_yaml_find(root, "base")->column, 7);
    const struct od_yaml_node *lora = od_yaml_find(root, "lora");
    assert_ok(od_yaml_expect(lora, OD_YAML_MAPPING, &err), &err);
    assert_ok(od_yaml_int(od_yaml_find(lora, "rank"), &whole, &err), &err);
    assert_int_equal(whole, 8);
    assert_ok(od_yaml_number(od_yaml_find(lora, "rank"), &real, &err), &err);
    assert_true(real == 8.0);
    assert_ok(od_yaml_number(od_yaml_find(lora, "alpha"), &real, &err), &err);
    assert_true(real == 16.5);
    assert_ok(od_yaml_int(od_yaml_find(root, "steps"), &whole, &err), &err);
    assert_int_equal(whole, 16);
    const struct od_yaml_node *data = od_yaml_find(root, "data");
    assert_int_equal(data->count, 2);
    assert_ok(od_yaml_number(od_yaml_find(data->first, "weight"), &real, &err), &err);
    assert_true(real == 1e-3);
    const struct od_yaml_node *second = data->first->next;
    assert_null(second->next);
    assert_string_equal(od_yaml_find(second, "path")->text, "it's");
    assert_true(od_yaml_find(second, "path")->quoted);
    assert_string_equal(od_yaml_find(second, "text")->text, "two\nlines\n");
    assert_string_equal(od_yaml_find(root, "on")->text, "yes");
    assert_int_equal(od_yaml_bool(od_yaml_find(root, "on"), &truth, &err), OD_E_FORMAT);
    assert_string_equal(err.message,
                        "x.yaml:12:5: 'on' must be true or false and is the text 'yes'");
    assert_true(od_yaml_is_null(od_yaml_find(root, "nothing")));
    assert_true(od_yaml_is_null(od_yaml_find(root, "empty")));
    assert_false(od_yaml_is_null(data));
    assert_ok(od_yaml_bool(od_yaml_find(root, "flag"), &truth, &err), &err);
    assert_true(truth);
    assert_null(od_yaml_find(root, "none"));
    assert_null(od_yaml_find(data, "path"));
    assert_null(od_yaml_find(NULL, "path"));
    od_yaml_free(yaml);
    od_yaml_free(NULL);
}

// What a plain scalar is.
struct scalar {
    const char *text;
    char type;  // n null, b bool, i int, r real, t text, x int that is too large
    double value;
};

// The scalar plain and in quotes, through every accessor.
static void check_scalar(const struct scalar *scalar)
{
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    struct od_buf buf;
    int64_t whole = 0;
    double real = 0;
    bool truth = false;
    const char *text = NULL;
    const char type = scalar->type;
    od_buf_init(&buf, 1024);
    od_buf_printf(&buf, "[%s, '%s']", scalar->text, scalar->text);
    assert_ok(parse(od_buf_text(&buf), &yaml, &err), &err);
    const struct od_yaml_node *node = od_yaml_root(yaml)->first;
    assert_int_equal(od_yaml_is_null(node), type == 'n');
    assert_int_equal(od_yaml_text(node, &text, &err) == OD_OK, type != 'n');
    assert_int_equal(od_yaml_bool(node, &truth, &err) == OD_OK, type == 'b');
    assert_int_equal(truth, type == 'b' && scalar->value > 0);
    assert_int_equal(od_yaml_int(node, &whole, &err) == OD_OK, type == 'i');
    assert_int_equal(od_yaml_number(node, &real, &err) == OD_OK,
                     type == 'i' || type == 'r' || type == 'x');
    if (type == 'i' || type == 'r' || type == 'x') {
        assert_true(real == scalar->value || (isnan(real) && isnan(scalar->value)));
    }
    node = node->next;  // in quotes: always a text
    assert_ok(od_yaml_text(node, &text, &err), &err);
    assert_string_equal(text, scalar->text);
    assert_int_equal(od_yaml_int(node, &whole, &err), OD_E_FORMAT);
    assert_int_equal(od_yaml_number(node, &real, &err), OD_E_FORMAT);
    assert_int_equal(od_yaml_bool(node, &truth, &err), OD_E_FORMAT);
    assert_false(od_yaml_is_null(node));
    od_yaml_free(yaml);
    od_buf_release(&buf);
}

static void core_schema(void **state)
{
    (void)state;
    const double inf = (double)INFINITY;
    const struct scalar scalars[] = {
        {"~", 'n', 0},
        {"null", 'n', 0},
        {"NULL", 'n', 0},
        {"nULL", 't', 0},
        {"true", 'b', 1},
        {"FALSE", 'b', 0},
        {"yes", 't', 0},
        {"off", 't', 0},
        {"0", 'i', 0},
        {"-12", 'i', -12},
        {"+7", 'i', 7},
        {"007", 'i', 7},
        {"0o17", 'i', 15},
        {"0o18", 't', 0},
        {"0xfF", 'i', 255},
        {"0x", 't', 0},
        {"-0x1", 't', 0},
        {"1_000", 't', 0},
        {"1.", 'r', 1},
        {".5", 'r', 0.5},
        {"-.5e+1", 'r', -5},
        {"1e3", 'r', 1000},
        {"1e", 't', 0},
        {".", 't', 0},
        {"1.5.2", 't', 0},
        {"-", 't', 0},
        {".inf", 'r', inf},
        {"-.INF", 'r', -inf},
        {"+.Inf", 'r', inf},
        {".nan", 'r', (double)NAN},
        {"-.nan", 't', 0},
        {"inf", 't', 0},
        {"nan", 't', 0},
        {"1 2", 't', 0},
        {"12:30", 't', 0},
        {"0b1", 't', 0},
        {"9223372036854775807", 'i', 9223372036854775807.0},
        {"9223372036854775808", 'x', 9223372036854775808.0},
        {"0xffffffffffffffff", 'x', 18446744073709551615.0},
    };
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++) {
        check_scalar(&scalars[i]);
    }
}

static void refuses(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum od_status status;
        const char *message;
    } bad[] = {
        {"", OD_E_FORMAT, "x.yaml:1:1: there is no document"},
        {"# only\n", OD_E_FORMAT, "x.yaml:1:1: there is no document"},
        {"a: 1\nb: 2\na: 3\n", OD_E_FORMAT, "x.yaml:3:1: the key 'a' stands in line 1, too"},
        {"{a: 1, 'a': 2}", OD_E_FORMAT, "x.yaml:1:8: the key 'a' stands in line 1, too"},
        {"a: &x 1\n", OD_E_UNSUPPORTED, "x.yaml:1:4: anchors and aliases are not read"},
        {"a: &x {b: 1}\n", OD_E_UNSUPPORTED, "x.yaml:1:4: anchors and aliases are not read"},
        {"a: &x [1]\n", OD_E_UNSUPPORTED, "x.yaml:1:4: anchors and aliases are not read"},
        {"a: *x\n", OD_E_UNSUPPORTED, "x.yaml:1:4: anchors and aliases are not read"},
        {"a: !!str 1\n", OD_E_UNSUPPORTED, "x.yaml:1:4: tags are not read"},
        {"a: !x [1]\n", OD_E_UNSUPPORTED, "x.yaml:1:4: tags are not read"},
        {"!x {a: 1}\n", OD_E_UNSUPPORTED, "x.yaml:1:1: tags are not read"},
        {"a\n---\nb\n", OD_E_UNSUPPORTED, "x.yaml:2:1: only one document is read"},
        {"? [a]\n: 1\n", OD_E_FORMAT, "x.yaml:1:3: a key must be a scalar"},
        {"a: \"\\0\"\n", OD_E_FORMAT, "x.yaml:1:4: a text must not hold a NUL"},
        {"a: 1\n\xC3\xA9\xFF: 2\n", OD_E_FORMAT, "x.yaml:2:2: "},
        {"a: [1, 2\n", OD_E_FORMAT, "x.yaml:2:1: "},
        {"\ta: 1\n", OD_E_FORMAT, "x.yaml:1:1: "},
        {"a: b: c\n", OD_E_FORMAT, "x.yaml:1:5: "},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct od_error err = {0};
        struct od_yaml *yaml = NULL;
        const enum od_status status = parse(bad[i].text, &yaml, &err);
        if (status != bad[i].status ||
            strncmp(err.message, bad[i].message, strlen(bad[i].message)) != 0) {
            fail_msg("%s: status %d, %s", bad[i].text, (int)status, err.message);
        }
        assert_null(yaml);
    }
}

static void messages(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    int64_t whole = 0;
    const char *text = NULL;
    assert_ok(parse("seed: 1.5\nlist: [a]\nname:\nlong: 9223372036854775808\n", &yaml, &err), &err);
    const struct od_yaml_node *root = od_yaml_root(yaml);
    assert_int_equal(od_yaml_int(od_yaml_find(root, "seed"), &whole, &err), OD_E_FORMAT);
    assert_string_equal(err.message, "x.yaml:1:7: 'seed' must be an integer and is 1.5");
    assert_int_equal(od_yaml_int(od_yaml_find(root, "list"), &whole, &err), OD_E_FORMAT);
    assert_string_equal(err.message, "x.yaml:2:7: 'list' must be an integer and is a list");
    assert_int_equal(od_yaml_text(od_yaml_find(root, "name"), &text, &err), OD_E_FORMAT);
    assert_string_equal(err.message, "x.yaml:3:6: 'name' must be a text and is empty");
    assert_int_equal(od_yaml_int(od_yaml_find(root, "long"), &whole, &err), OD_E_FORMAT);
    assert_string_equal(err.message,
                        "x.yaml:4:7: 'long' must be an integer of 64 bits and is "
                        "9223372036854775808");
    assert_int_equal(od_yaml_expect(od_yaml_find(root, "list")->first, OD_YAML_MAPPING, &err),
                     OD_E_FORMAT);
    assert_string_equal(err.message, "x.yaml:2:8: the value must be a mapping and is the text 'a'");
    assert_int_equal(od_yaml_fail(root, &err, "no '%s'", "base"), OD_E_FORMAT);
    assert_string_equal(err.message, "x.yaml:1:1: no 'base'");
    od_yaml_free(yaml);
}

static void limits(void **state)
{
    (void)state;
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    struct od_buf buf;
    od_buf_init(&buf, 16 << 20);
    for (int depth = OD_YAML_DEPTH_MAX; depth <= OD_YAML_DEPTH_MAX + 1; depth++) {
        od_buf_reset(&buf);
        for (int i = 0; i < depth; i++) {
            od_buf_puts(&buf, "[");
        }
        for (int i = 0; i < depth; i++) {
            od_buf_puts(&buf, "]");
        }
        const enum od_status status = parse(od_buf_text(&buf), &yaml, &err);
        assert_int_equal(status, depth == OD_YAML_DEPTH_MAX ? OD_OK : OD_E_LIMIT);
        if (status == OD_OK) {
            od_yaml_free(yaml);
        }
    }
    od_buf_reset(&buf);
    for (int i = 0; i < OD_YAML_NODES_MAX; i++) {
        od_buf_puts(&buf, "- 1\n");
    }
    assert_int_equal(parse(od_buf_text(&buf), &yaml, &err), OD_E_LIMIT);
    od_buf_reset(&buf);
    for (int i = 0; i <= OD_YAML_MAX_BYTES; i++) {
        od_buf_putc(&buf, '#');
    }
    assert_int_equal(parse(od_buf_text(&buf), &yaml, &err), OD_E_LIMIT);
    assert_int_equal(od_yaml_read("/nonexistent.yaml", &yaml, &err), OD_E_NOT_FOUND);
    od_buf_release(&buf);
}

static void faults(void **state)
{
    (void)state;
    struct od_error err = {0};
    enum od_status status = OD_E_MEMORY;
    uint64_t n = 0;
    while (status != OD_OK) {
        struct od_yaml *yaml = NULL;
        od_alloc_fail_at(++n);
        status = parse(recipe, &yaml, &err);
        od_alloc_fail_at(0);
        assert_true(status == OD_OK || status == OD_E_MEMORY);
        od_yaml_free(yaml);
    }
    assert_true(n > 2);
}

static void check_round_trip(const char *text)
{
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    struct od_buf buf;
    struct od_buf want;
    od_buf_init(&buf, 1 << 16);
    od_buf_init(&want, 1 << 16);
    od_buf_puts(&buf, "{k: [");
    od_yaml_put_scalar(&buf, text);
    od_buf_puts(&buf, ", ");
    od_yaml_put_scalar(&buf, text);
    od_buf_puts(&buf, "]}\n");
    assert_ptr_equal(strchr(od_buf_text(&buf), '\n'),
                     od_buf_text(&buf) + buf.size - 1);  // one line
    od_utf8_append_valid(&want, text, strlen(text));
    assert_ok(parse(od_buf_text(&buf), &yaml, &err), &err);
    const struct od_yaml_node *list = od_yaml_find(od_yaml_root(yaml), "k");
    assert_int_equal(list->count, 2);
    assert_string_equal(list->first->next->text, od_buf_text(&want));
    assert_false(od_yaml_is_null(list->first));
    int64_t whole = 0;
    double real = 0;
    bool truth = false;
    assert_int_equal(od_yaml_number(list->first, &real, &err), OD_E_FORMAT);
    assert_int_equal(od_yaml_int(list->first, &whole, &err), OD_E_FORMAT);
    assert_int_equal(od_yaml_bool(list->first, &truth, &err), OD_E_FORMAT);
    od_yaml_free(yaml);
    od_buf_release(&want);
    od_buf_release(&buf);
}

static void written_scalars_read_back(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "a",
        "models/7B",
        "7B",
        "null",
        "~",
        "true",
        "no",
        "1",
        "1e3",
        "-",
        "- a",
        " a",
        "a ",
        "a: b",
        "a #b",
        "a,b",
        "[a",
        "{a",
        "'",
        "\"",
        "\\",
        "\n",
        "a\nb\n",
        "\t",
        "\x01",
        "\x7F",
        "\xFF",
        "%a",
        "@a",
        "&a",
        "*a",
        "!a",
        "|",
        ">",
        "?",
        "---",
        "...",
        "\xC2\x85",
        "\xE2\x80\xA8",
        "<<",
        "=",
        ".inf",
        "0x1F",
        "2024-01-01",
        "\xEF\xBB\xBF",
        "\xEF\xBF\xBF",
        "a\xE2\x82",
        "\xF0\x9F\x8E\x88",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        check_round_trip(texts[i]);
    }
}

static void random_scalars_read_back(void **state)
{
    (void)state;
    struct od_buf buf;
    od_buf_init(&buf, 1024);
    od_yaml_put_scalar(&buf, "models/a_b-1.5 c");
    od_yaml_put_scalar(&buf, ";");
    assert_string_equal(od_buf_text(&buf), "models/a_b-1.5 c\";\"");
    od_buf_release(&buf);
    struct od_mt19937 mt;
    od_mt_seed_python_int(&mt, test_seed());
    for (int i = 0; i < 3000; i++) {
        char text[12];
        const size_t size = od_py_randbelow(&mt, sizeof text);
        for (size_t k = 0; k < size; k++) {
            static const char likely[] = "a1 .:#-~'\"\\[{,\n\t\xC3\xA9\xE2\x80\xA8";
            const size_t at = (size_t)od_py_randbelow(&mt, sizeof likely - 1);
            const bool any_byte = od_py_randbelow(&mt, 4) == 0;
            text[k] = likely[at];
            if (any_byte) {
                text[k] = (char)(od_py_randbelow(&mt, 255) + 1);
            }
        }
        text[size] = '\0';
        check_round_trip(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_tree),
        cmocka_unit_test(core_schema),
        cmocka_unit_test(refuses),
        cmocka_unit_test(messages),
        cmocka_unit_test(limits),
        cmocka_unit_test(faults),
        cmocka_unit_test(written_scalars_read_back),
        cmocka_unit_test(random_scalars_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
