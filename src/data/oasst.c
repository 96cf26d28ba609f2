// Files of message trees, as Open Assistant publishes them. A line is one of
//
//   {"message_tree_id": ..., "prompt": MESSAGE}                        a tree
//   MESSAGE with "replies"                                             a tree, or a part of one
//   MESSAGE with "parent_id" and without "replies"                     the tree is in the ids
//
//   MESSAGE := {"message_id", "parent_id"?, "text", "role": "prompter" | "assistant", "deleted"?,
//               "replies"?: [MESSAGE, ...]}
//
// A deleted message is left out with all its replies. Each leaf makes one conversation: the messages
// from the root to it. Each answer of the assistant is learned in the first conversation that has it
// and only read in the others. A parent may stand behind its children.
#include <inttypes.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/dataset.h"
#include "data/rows.h"

enum { DEPTH_MAX = OD_ROWS_TURNS_MAX - 1, NONE = -1, REPLIES_DEPTH_MAX = 60 };

struct message {
    json_t *text;
    json_t *id;         // a text, or NULL
    json_t *parent_id;  // a text: the parent is to be found; NULL otherwise
    int64_t line;
    int32_t parent;  // index, or NONE
    int32_t first;   // child
    int32_t last;    // child
    int32_t next;    // sibling
    bool assistant;
    bool learned;
};

struct od_oasst {
    struct message *messages;
    int32_t count;
    int32_t capacity;
    int32_t *leaves;  // [leaf_count], in the order of the trees
    int32_t leaf_count;
    int32_t at;  // next leaf
};

void od_oasst_free(struct od_oasst *trees)
{
    if (!trees) {
        return;
    }
    for (int32_t i = 0; i < trees->count; i++) {
        json_decref(trees->messages[i].text);
        json_decref(trees->messages[i].id);
        json_decref(trees->messages[i].parent_id);
    }
    od_free(trees->messages);
    od_free(trees->leaves);
    od_free(trees);
}

static enum od_status no_memory(const struct od_rows *rows, struct od_error *err)
{
    return od_fail(err, OD_E_MEMORY, "'%s': no memory for its messages", rows->name);
}

static enum od_status reserve(const struct od_rows *rows, struct od_oasst *trees, int64_t line,
                              struct od_error *err)
{
    if (trees->count == OD_ROWS_MESSAGES_MAX) {
        return od_fail(err, OD_E_LIMIT, "%s:%" PRId64 ": more than %d messages", rows->name, line,
                       (int)OD_ROWS_MESSAGES_MAX);
    }
    if (trees->count == trees->capacity) {
        const int32_t capacity = trees->capacity == 0 ? 256 : 2 * trees->capacity;
        struct message *more = od_realloc(trees->messages, (size_t)capacity, sizeof *more);
        if (!more) {
            return no_memory(rows, err);
        }
        trees->messages = more;
        trees->capacity = capacity;
    }
    return OD_OK;
}

static json_t *text_member(const json_t *object, const char *key)
{
    json_t *member = json_object_get(object, key);
    return json_is_string(member) ? json_incref(member) : NULL;
}

// Add a message and its replies. `parent` NONE: its parent_id says it.
static enum od_status add(const struct od_rows *rows, struct od_oasst *trees, const json_t *object,
                          int32_t parent, int64_t line, int depth, struct od_error *err)
{
    const char *role = json_string_value(json_object_get(object, "role"));
    const json_t *replies = json_object_get(object, "replies");
    if (json_is_true(json_object_get(object, "deleted"))) {
        return OD_OK;
    }
    if (!role || !json_is_string(json_object_get(object, "text"))) {
        return od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": a message needs 'role' and 'text'",
                       rows->name, line);
    }
    if (depth > REPLIES_DEPTH_MAX) {
        return od_fail(err, OD_E_LIMIT, "%s:%" PRId64 ": replies are nested more than %d deep",
                       rows->name, line, (int)REPLIES_DEPTH_MAX);
    }
    enum od_status status = reserve(rows, trees, line, err);
    if (status != OD_OK) {
        return status;
    }
    const int32_t index = trees->count++;
    trees->messages[index] =
        (struct message){.text = text_member(object, "text"),
                         .id = text_member(object, "message_id"),
                         .parent_id = parent == NONE ? text_member(object, "parent_id") : NULL,
                         .line = line,
                         .parent = parent,
                         .first = NONE,
                         .last = NONE,
                         .next = NONE,
                         .assistant = strcmp(od_role_name(role), "assistant") == 0};
    for (size_t i = 0; status == OD_OK && i < json_array_size(replies); i++) {
        status = add(rows, trees, json_array_get(replies, i), index, line, depth + 1, err);
    }
    return status;
}

static int by_id(const void *a, const void *b)
{
    const struct message *const *left = a;
    const struct message *const *right = b;
    return strcmp(json_string_value((*left)->id), json_string_value((*right)->id));
}

// Find the parents that are named by id.
static enum od_status find_parents(const struct od_rows *rows, struct od_oasst *trees,
                                   struct od_error *err)
{
    struct message **sorted = od_alloc((size_t)trees->count, sizeof(struct message *));
    size_t count = 0;
    enum od_status status = sorted ? OD_OK : no_memory(rows, err);
    for (int32_t i = 0; status == OD_OK && i < trees->count; i++) {
        if (trees->messages[i].id) {
            sorted[count++] = &trees->messages[i];
        }
    }
    if (count > 1) {
        qsort((void *)sorted, count, sizeof *sorted, by_id);
    }
    for (size_t i = 1; status == OD_OK && i < count; i++) {
        if (by_id(&sorted[i - 1], &sorted[i]) == 0) {
            status = od_fail(err, OD_E_FORMAT, "%s:%" PRId64 ": there are two messages '%.80s'",
                             rows->name, sorted[i]->line, json_string_value(sorted[i]->id));
        }
    }
    for (int32_t i = 0; status == OD_OK && i < trees->count; i++) {
        struct message *m = &trees->messages[i];
        const struct message wanted = {.id = m->parent_id};
        const struct message *key = &wanted;
        if (!m->parent_id) {
            continue;
        }
        struct message **found =
            count > 0 ? bsearch(&key, (void *)sorted, count, sizeof(struct message *), by_id)
                      : NULL;
        if (found) {
            m->parent = (int32_t)(*found - trees->messages);
        } else {
            status = od_fail(err, OD_E_FORMAT,
                             "%s:%" PRId64 ": the parent '%.80s' is not in the file, or deleted",
                             rows->name, m->line, json_string_value(m->parent_id));
        }
    }
    od_free((void *)sorted);
    return status;
}

static void link_children(struct od_oasst *trees)
{
    for (int32_t i = 0; i < trees->count; i++) {
        struct message *m = &trees->messages[i];
        if (m->parent == NONE) {
            continue;
        }
        struct message *parent = &trees->messages[m->parent];
        if (parent->last == NONE) {
            parent->first = i;
        } else {
            trees->messages[parent->last].next = i;
        }
        parent->last = i;
    }
}

// List the leaves below `root`; gives how many messages were visited.
static int32_t list_leaves(struct od_oasst *trees, int32_t root)
{
    int32_t visited = 0;
    int32_t at = root;
    for (;;) {
        const struct message *m = &trees->messages[at];
        visited++;
        if (m->first != NONE) {
            at = m->first;
            continue;
        }
        trees->leaves[trees->leaf_count++] = at;
        while (at != root && trees->messages[at].next == NONE) {
            at = trees->messages[at].parent;
        }
        if (at == root) {
            return visited;
        }
        at = trees->messages[at].next;
    }
}

static enum od_status find_leaves(const struct od_rows *rows, struct od_oasst *trees,
                                  struct od_error *err)
{
    int32_t visited = 0;
    link_children(trees);
    trees->leaves = od_alloc((size_t)trees->count, sizeof *trees->leaves);
    if (!trees->leaves) {
        return no_memory(rows, err);
    }
    for (int32_t i = 0; i < trees->count; i++) {
        if (trees->messages[i].parent == NONE) {
            visited += list_leaves(trees, i);
        }
    }
    return visited == trees->count
               ? OD_OK
               : od_fail(err, OD_E_FORMAT, "'%s': messages are parents of one another", rows->name);
}

enum od_status od_oasst_read(struct od_rows *rows, struct od_error *err)
{
    struct od_oasst *trees = od_alloc(1, sizeof *trees);
    enum od_status status = trees ? OD_OK : no_memory(rows, err);
    bool more = status == OD_OK;
    while (more && status == OD_OK) {
        struct od_row row = {0};
        status = od_rows_next_raw(rows, &row, &more, err);
        if (status == OD_OK && more) {
            const json_t *prompt = json_object_get(rows->object, "prompt");
            status = add(rows, trees, json_is_object(prompt) ? prompt : rows->object, NONE,
                         row.line, 0, err);
        }
    }
    if (status == OD_OK) {
        status = find_parents(rows, trees, err);
    }
    if (status == OD_OK) {
        status = find_leaves(rows, trees, err);
    }
    if (status != OD_OK) {
        od_oasst_free(trees);
        return status;
    }
    json_decref(rows->object);
    rows->object = NULL;
    rows->trees = trees;
    return OD_OK;
}

// The way from a root to `leaf`, and which of its answers were not learned before.
static enum od_status make_way(const struct od_rows *rows, struct od_oasst *trees, int32_t leaf,
                               json_t *messages, bool *learn, struct od_error *err)
{
    int32_t way[DEPTH_MAX];
    size_t depth = 0;
    for (int32_t at = leaf; at != NONE; at = trees->messages[at].parent) {
        if (depth == DEPTH_MAX) {
            return od_fail(err, OD_E_LIMIT, "%s:%" PRId64 ": more than %d messages in a row",
                           rows->name, trees->messages[leaf].line, DEPTH_MAX);
        }
        way[depth++] = at;
    }
    for (size_t i = 0; i < depth; i++) {
        struct message *m = &trees->messages[way[depth - 1 - i]];
        json_t *made = json_pack("{s:s, s:O}", "role", m->assistant ? "assistant" : "user",
                                 "content", m->text);
        if (!made || json_array_append_new(messages, made) != 0) {
            return no_memory(rows, err);
        }
        learn[i] = m->assistant && !m->learned;
        m->learned = true;
    }
    return OD_OK;
}

enum od_status od_oasst_next(struct od_rows *rows, struct od_row *ret, bool *ret_more,
                             struct od_error *err)
{
    struct od_oasst *trees = rows->trees;
    bool learn[OD_ROWS_TURNS_MAX] = {0};
    *ret_more = trees->at < trees->leaf_count;
    if (!*ret_more) {
        return OD_OK;
    }
    const int32_t leaf = trees->leaves[trees->at++];
    *ret = (struct od_row){.line = trees->messages[leaf].line};
    json_t *messages = json_array();
    enum od_status status =
        messages ? make_way(rows, trees, leaf, messages, learn, err) : no_memory(rows, err);
    if (status == OD_OK) {
        status = od_rows_read_messages(rows, messages, learn, ret, err);
    }
    json_decref(messages);
    return status;
}
