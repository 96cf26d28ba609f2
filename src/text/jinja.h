/**
 * @file
 * Templates in the part of Jinja that chat templates are written in.
 *
 *     struct od_jinja *jinja = NULL;
 *     status = od_jinja_parse(text, size, "chat_template", &jinja, err);
 *     status = od_jinja_render(jinja, variables, &out, err);
 *     od_jinja_free(jinja);
 *
 * What is there: output, comments, raw, if, for (filter, else, loop variables, break, continue),
 * set (names, attributes of a namespace, blocks), macro, generation (its body); expressions with
 * all operators, slices, conditions, calls, filters and tests; methods of texts, mappings and lists
 * that change nothing. White space is treated as with trim_blocks and lstrip_blocks, undefined
 * names print nothing, `tojson` is Python's json.dumps without ASCII escapes: all as transformers
 * sets it up. What is not there is refused by its name, when the template is parsed where that can
 * be seen and otherwise when it is reached.
 *
 * `strftime_now` is not defined here, on purpose: a prompt does not depend on the day it is made.
 *
 * @source The Jinja documentation, "Template Designer Documentation", version 3.1; transformers'
 *         documentation of chat templates.
 * @thread A parsed template may be rendered from several threads at once.
 */
#ifndef OD_TEXT_JINJA_H
#define OD_TEXT_JINJA_H

#include <jansson.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

/** Limits on a template and on what it does. */
enum {
    OD_JINJA_TEMPLATE_MAX_BYTES = 1 << 20,
    OD_JINJA_NODES_MAX = 1 << 18,      ///< parts of a template
    OD_JINJA_DEPTH_MAX = 128,          ///< nesting of its parts, of values, of calls of macros
    OD_JINJA_STEPS_MAX = 1 << 26,      ///< parts that one rendering visits
    OD_JINJA_MEMORY_BYTES = 512 << 20  ///< of one rendering
};

/** A parsed template. */
struct od_jinja;

/**
 * Parse `size` bytes of UTF-8; `name` stands in messages.
 * @memory Gives *ret: od_jinja_free. Nothing points into `text` or `name` afterwards.
 * @error  OD_E_FORMAT, OD_E_UNSUPPORTED "NAME:line: what"; OD_E_LIMIT, OD_E_MEMORY.
 */
enum od_status od_jinja_parse(const char *text, size_t size, const char *name,
                              struct od_jinja **ret, struct od_error *err) OD_MUST_CHECK;
/** Free; NULL is allowed. */
void od_jinja_free(struct od_jinja *jinja);

/**
 * Append what the template makes of `variables`, an object: its members are the names that the
 * template sees.
 * @error OD_E_FORMAT what the template raises or does wrong, "NAME:line: what"; OD_E_UNSUPPORTED;
 *        OD_E_LIMIT (steps, memory, the maximum of `out`), OD_E_MEMORY. `out` may hold a part then.
 */
enum od_status od_jinja_render(const struct od_jinja *jinja, const json_t *variables,
                               struct od_buf *out, struct od_error *err) OD_MUST_CHECK;

#endif
