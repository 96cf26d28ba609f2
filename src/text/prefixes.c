#include "text/prefixes.h"

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { FIRST_NODES = 1024, FIRST_SLOTS = 2048, NODES_MAX = 1 << 28 };

void od_prefixes_release(struct od_prefixes *prefixes)
{
    od_free(prefixes->slots);
    od_free(prefixes->ids);
    *prefixes = (struct od_prefixes){0};
}

// The slot of an edge, or the empty one where it would go.
static struct od_prefix_edge *find_slot(const struct od_prefixes *prefixes, uint64_t key)
{
    uint64_t hash = key * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
    size_t slot = (size_t)hash & prefixes->mask;
    while (prefixes->slots[slot].child != 0 && prefixes->slots[slot].key != key) {
        slot = (slot + 1) & prefixes->mask;
    }
    return &prefixes->slots[slot];
}

static uint64_t key_of(uint32_t node, unsigned char byte)
{
    return (uint64_t)node << 8 | byte;
}

// Every node but the root has one edge to it, so nodes tell how full the table is.
static enum od_status grow_slots(struct od_prefixes *prefixes, struct od_error *err)
{
    const size_t have = prefixes->slots ? prefixes->mask + 1 : 0;
    if ((prefixes->node_count + 1) * 2 <= have) {
        return OD_OK;
    }
    const struct od_prefixes old = *prefixes;
    const size_t count = have == 0 ? FIRST_SLOTS : have * 2;
    struct od_prefix_edge *slots = od_alloc(count, sizeof(*slots));
    if (!slots) {
        return od_fail(err, OD_E_MEMORY, "no memory for a table of %zu prefixes", count);
    }
    prefixes->slots = slots;
    prefixes->mask = count - 1;
    for (size_t i = 0; i < have; i++) {
        if (old.slots[i].child != 0) {
            *find_slot(prefixes, old.slots[i].key) = old.slots[i];
        }
    }
    od_free(old.slots);
    return OD_OK;
}

// A new node without text.
static enum od_status add_node(struct od_prefixes *prefixes, uint32_t *ret, struct od_error *err)
{
    if (prefixes->node_count == NODES_MAX) {
        return od_fail(err, OD_E_LIMIT, "the pieces have more than %d prefixes", (int)NODES_MAX);
    }
    if (prefixes->node_count == prefixes->node_capacity) {
        const size_t capacity =
            prefixes->node_capacity == 0 ? FIRST_NODES : prefixes->node_capacity * 2;
        int32_t *ids = od_realloc(prefixes->ids, capacity, sizeof(*ids));
        if (!ids) {
            return od_fail(err, OD_E_MEMORY, "no memory for %zu prefixes", capacity);
        }
        prefixes->ids = ids;
        prefixes->node_capacity = capacity;
    }
    prefixes->ids[prefixes->node_count] = -1;
    *ret = (uint32_t)prefixes->node_count++;
    return OD_OK;
}

enum od_status od_prefixes_add(struct od_prefixes *prefixes, const char *text, size_t size,
                               int32_t id, struct od_error *err)
{
    uint32_t node = 0;
    enum od_status status = OD_OK;
    if (prefixes->node_count == 0) {
        status = add_node(prefixes, &node, err);
    }
    for (size_t i = 0; i < size && status == OD_OK; i++) {
        const uint64_t key = key_of(node, (unsigned char)text[i]);
        status = grow_slots(prefixes, err);
        if (status != OD_OK) {
            break;
        }
        struct od_prefix_edge *edge = find_slot(prefixes, key);
        node = edge->child;
        if (node == 0) {
            status = add_node(prefixes, &node, err);
            *edge = (struct od_prefix_edge){.key = key, .child = node};
        }
    }
    if (status == OD_OK) {
        prefixes->ids[node] = id;
    }
    return status;
}

uint32_t od_prefixes_next(const struct od_prefixes *prefixes, uint32_t node, unsigned char byte)
{
    return prefixes->slots ? find_slot(prefixes, key_of(node, byte))->child : 0;
}

int32_t od_prefixes_id(const struct od_prefixes *prefixes, uint32_t node)
{
    return prefixes->ids[node];
}
