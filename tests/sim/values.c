/* Two pools that only grow, one of bytes and one of items, and an open-addressed index over the contents. */
#include "tests/sim/values.h"
#include "core/assert.h"
#include "core/num.h"
#include <stdlib.h>

struct value {
    uint64_t hash;
    uint32_t at, count; /* in bytes or items */
    bool list;
};

struct values {
    char *bytes;
    uint32_t *items;
    uint32_t byte_count, byte_cap, item_count, item_cap;
    struct value *all;
    uint32_t count, cap;
    uint32_t *index; /* numbers of values, 0 for free; a power of two and at most half full */
    uint32_t index_cap;
};

static void *grow(void *old, uint32_t *cap, uint32_t need, size_t size) {
    if (need <= *cap) return old;
    uint32_t want = MAX(*cap * 2, MAX(need, (uint32_t)64));
    void *memory = realloc(old, want * size);
    ASSERT(memory);
    *cap = want;
    return memory;
}

struct values *values_new(void) {
    struct values *values = calloc(1, sizeof *values);
    ASSERT(values);
    values->all = grow(NULL, &values->cap, 1, sizeof *values->all);
    values->all[0] = (struct value){0};
    values->count = 1;
    values->index_cap = 256;
    values->index = calloc(values->index_cap, sizeof *values->index);
    ASSERT(values->index);
    return values;
}

void values_delete(struct values *values) {
    free(values->bytes);
    free(values->items);
    free(values->all);
    free(values->index);
    free(values);
}

/* FNV-1a with a last mix: short contents, and nobody hostile. */
static uint64_t hash_of(const void *bytes, size_t len, bool list) {
    uint64_t hash = 14695981039346656037ull + list;
    for (size_t i = 0; i < len; i++) hash = (hash ^ ((const unsigned char *)bytes)[i]) * 1099511628211ull;
    return hash ^ hash >> 32;
}

static const void *content(const struct values *values, const struct value *value) {
    return value->list ? (const void *)(values->items + value->at) : (const void *)(values->bytes + value->at);
}

static void enlarge_index(struct values *values) {
    free(values->index);
    values->index_cap *= 2;
    values->index = calloc(values->index_cap, sizeof *values->index);
    ASSERT(values->index);
    for (uint32_t i = 1; i < values->count; i++) {
        uint64_t at = values->all[i].hash;
        while (values->index[at & (values->index_cap - 1)]) at++;
        values->index[at & (values->index_cap - 1)] = i;
    }
}

static uint32_t store(struct values *values, const void *bytes, uint32_t count, bool list) {
    if (list) {
        values->items = grow(values->items, &values->item_cap, values->item_count + count, sizeof *values->items);
        memcpy(values->items + values->item_count, bytes, count * sizeof *values->items);
        values->item_count += count;
        return values->item_count - count;
    }
    values->bytes = grow(values->bytes, &values->byte_cap, values->byte_count + count + 1, 1);
    if (count) memcpy(values->bytes + values->byte_count, bytes, count);
    values->byte_count += count;
    return values->byte_count - count;
}

static uint32_t intern(struct values *values, const void *bytes, uint32_t count, bool list) {
    size_t len = list ? count * sizeof(uint32_t) : count;
    uint64_t hash = hash_of(bytes, len, list);
    uint64_t at = hash;
    for (uint32_t number; (number = values->index[at & (values->index_cap - 1)]); at++) {
        const struct value *value = &values->all[number];
        if (value->hash == hash && value->list == list && value->count == count &&
            memcmp(content(values, value), bytes, len) == 0)
            return number;
    }
    uint32_t number = values->count++;
    values->all = grow(values->all, &values->cap, values->count, sizeof *values->all);
    values->all[number] = (struct value){.hash = hash, .count = count, .list = list};
    values->all[number].at = store(values, bytes, count, list);
    values->index[at & (values->index_cap - 1)] = number;
    if (values->count * 2 > values->index_cap) enlarge_index(values);
    return number;
}

uint32_t value_of_text(struct values *values, struct slice text) {
    return intern(values, text.len ? text.ptr : "", (uint32_t)text.len, false);
}

uint32_t value_of_int(struct values *values, int64_t number) {
    char digits[NUM_I64_MAX];
    return intern(values, digits, (uint32_t)num_format_i64(digits, number), false);
}

uint32_t value_of_items(struct values *values, const uint32_t *items, uint32_t count) {
    ASSERT(count <= VALUE_ITEMS_MAX);
    return count ? intern(values, items, count, true) : VALUE_NONE;
}

bool value_is_list(const struct values *values, uint32_t value) {
    return values->all[value].list;
}

struct slice value_text(const struct values *values, uint32_t value) {
    ASSERT(value != VALUE_NONE && !values->all[value].list);
    return slice_of(values->bytes + values->all[value].at, values->all[value].count);
}

const uint32_t *value_items(const struct values *values, uint32_t value, uint32_t *count) {
    ASSERT(value == VALUE_NONE || values->all[value].list);
    *count = values->all[value].count;
    return values->items ? values->items + values->all[value].at : NULL;
}
