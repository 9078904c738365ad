/* Names: an array of pointers that doubles, searched by halves. */
#include "core/names.h"
#include "core/assert.h"

#define CAP_START 2u

/* Where it is, or where it belongs. */
static uint32_t place_of(const struct names *names, struct slice name, bool *found) {
    uint32_t low = 0, high = names->count;
    *found = false;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = slice_compare(*names->items[middle], name);
        if (order == 0) *found = true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct slice *names_find(const struct names *names, struct slice name) {
    bool found;
    uint32_t at = place_of(names, name, &found);
    return found ? names->items[at] : NULL;
}

static size_t array_size(const struct names *names) {
    return names->cap * sizeof *names->items;
}

static void free_array(const struct store *store, struct names *names) {
    if (!names->cap) return;
    names->bytes -= store_block_size(array_size(names));
    store_free(store, names->items, array_size(names));
    names->items = NULL;
    names->cap = 0;
}

static void grow_array(const struct store *store, struct names *names) {
    struct names fresh = *names;
    fresh.cap = names->cap ? names->cap * 2 : CAP_START;
    fresh.items = store_alloc(store, array_size(&fresh));
    if (names->count) memcpy(fresh.items, names->items, names->count * sizeof *names->items);
    free_array(store, names);
    fresh.bytes = names->bytes + store_block_size(array_size(&fresh));
    *names = fresh;
}

void *names_add(const struct store *store, struct names *names, size_t size, struct slice name) {
    bool found;
    uint32_t at = place_of(names, name, &found);
    ASSERT(!found && size >= sizeof(struct slice));
    if (names->count == names->cap) grow_array(store, names);
    char *block = store_alloc(store, size + name.len);
    memset(block, 0, size);
    if (name.len) memcpy(block + size, name.ptr, name.len);
    struct slice *own = (struct slice *)(void *)block;
    *own = slice_of(block + size, name.len);
    memmove(names->items + at + 1, names->items + at, (names->count - at) * sizeof *names->items);
    names->items[at] = own;
    names->count++;
    names->bytes += store_block_size(size + name.len);
    return block;
}

void names_drop(const struct store *store, struct names *names, size_t size, struct slice *block) {
    bool found;
    uint32_t at = place_of(names, *block, &found);
    ASSERT(found && names->items[at] == block);
    memmove(names->items + at, names->items + at + 1, (names->count - at - 1) * sizeof *names->items);
    names->count--;
    names->bytes -= store_block_size(size + block->len);
    store_free(store, block, size + block->len);
    if (names->count == 0) free_array(store, names);
}

void names_check(const struct names *names, size_t size) {
    size_t bytes = names->cap ? store_block_size(array_size(names)) : 0;
    ASSERT(names->count <= names->cap && (names->count > 0 || names->cap == 0));
    for (uint32_t i = 0; i < names->count; i++) {
        ASSERT(i == 0 || slice_compare(*names->items[i - 1], *names->items[i]) < 0);
        bytes += store_block_size(size + names->items[i]->len);
    }
    ASSERT(bytes == names->bytes);
}
