// YAML: no text breaks the parser; scalars of whatever parses are written and read back.

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "formats/yaml.h"
#include "fuzz.h"

static void check_scalar(const char *text)
{
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    struct od_buf buf;
    od_buf_init(&buf, 64 << 20);
    od_buf_puts(&buf, "k: ");
    od_yaml_put_scalar(&buf, text);
    if (od_buf_check(&buf, &err) == OD_OK && buf.size < OD_YAML_MAX_BYTES) {
        const enum od_status status =
            od_yaml_parse(od_buf_text(&buf), buf.size, "again", &yaml, &err);
        assert(status == OD_OK);
        assert(strcmp(od_yaml_root(yaml)->first->text, text) == 0);
        od_yaml_free(yaml);
    }
    od_buf_release(&buf);
}

// Recursion is bounded by OD_YAML_DEPTH_MAX.
static void walk(const struct od_yaml_node *node, int depth)
{
    struct od_error err = {0};
    int64_t whole = 0;
    double real = 0.0;
    bool truth = false;
    size_t count = 0;
    assert(depth <= OD_YAML_DEPTH_MAX && node->line > 0 && node->column > 0);
    const bool any_int = od_yaml_int(node, &whole, &err) == OD_OK;
    const bool any_number = od_yaml_number(node, &real, &err) == OD_OK;
    const bool any_bool = od_yaml_bool(node, &truth, &err) == OD_OK;
    assert(any_number || !any_int);
    assert(!any_bool || !any_number);
    const bool any = any_number || any_bool || od_yaml_is_null(node);
    assert(!any || node->type == OD_YAML_SCALAR);
    if (node->type == OD_YAML_SCALAR) {
        check_scalar(node->text);
    }
    for (const struct od_yaml_node *child = node->first; child; child = child->next) {
        walk(child, depth + 1);
        count++;
    }
    assert(count == node->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct od_error err = {0};
    struct od_yaml *yaml = NULL;
    if (od_yaml_parse((const char *)data, size, "fuzz", &yaml, &err) == OD_OK) {
        walk(od_yaml_root(yaml), 0);
        od_yaml_free(yaml);
    }
    return 0;
}
