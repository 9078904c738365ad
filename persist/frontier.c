/* Frontiers: their text, and the search for the first one beyond a key. */
#include "persist/frontier.h"
#include "core/assert.h"
#include <inttypes.h>
#include <stdio.h>

/* --- writing --- */

size_t frontier_write(char out[FRONTIER_TEXT_MAX], const struct frontier *frontier) {
    ASSERT(frontier->position <= FRONTIER_DONE);
    return (size_t)snprintf(out, FRONTIER_TEXT_MAX, "%" PRIx32 " %" PRIx64 " %" PRIx64, frontier->db,
                            frontier->position, frontier->n);
}

size_t frontier_write_seed(char out[FRONTIER_TEXT_MAX], const struct hash_seed *seed) {
    return (size_t)snprintf(out, FRONTIER_TEXT_MAX, "%016" PRIx64 "%016" PRIx64, seed->k0, seed->k1);
}

size_t frontier_write_shard(char out[FRONTIER_TEXT_MAX], uint32_t shard, uint32_t shards) {
    return (size_t)snprintf(out, FRONTIER_TEXT_MAX, "%" PRIu32 " %" PRIu32, shard, shards);
}

/* --- reading --- */

/* A number in the base, at most `digits` long, and the space behind it unless it ends the text. */
static bool take_number(struct slice *rest, uint64_t base, size_t digits, uint64_t *value) {
    size_t len = 0;
    for (*value = 0; len < rest->len && rest->ptr[len] != ' '; len++) {
        char c = rest->ptr[len];
        uint64_t digit = c >= '0' && c <= '9'   ? (uint64_t)(c - '0')
                         : c >= 'a' && c <= 'f' ? (uint64_t)(c - 'a') + 10
                                                : 16;
        if (digit >= base || len == digits) return false;
        *value = *value * base + digit;
    }
    size_t taken = len + (len < rest->len);
    *rest = slice_of(rest->ptr + taken, rest->len - taken);
    return len > 0;
}

bool frontier_read(struct slice text, struct frontier *out) {
    uint64_t db, position, n;
    if (!take_number(&text, 16, 8, &db) || !take_number(&text, 16, 13, &position) || !take_number(&text, 16, 16, &n))
        return false;
    *out = (struct frontier){.position = position, .n = n, .db = (uint32_t)db};
    return text.len == 0 && position <= FRONTIER_DONE;
}

bool frontier_read_seed(struct slice text, struct hash_seed *out) {
    if (text.len != 32) return false;
    struct slice k0 = slice_of(text.ptr, 16), k1 = slice_of(text.ptr + 16, 16);
    return take_number(&k0, 16, 16, &out->k0) && take_number(&k1, 16, 16, &out->k1) && k0.len + k1.len == 0 &&
           !memchr(text.ptr, ' ', 32);
}

bool frontier_read_shard(struct slice text, uint32_t *shard, uint32_t *shards) {
    uint64_t at, count;
    if (!take_number(&text, 10, 3, &at) || !take_number(&text, 10, 3, &count) || text.len) return false;
    *shard = (uint32_t)at;
    *shards = (uint32_t)count;
    return count <= SHARDS_MAX && at < count;
}

/* --- all of a file --- */

void frontiers_init(struct frontiers *frontiers, struct heap *heap, uint64_t last) {
    *frontiers = (struct frontiers){.heap = heap, .first = last, .last = last};
}

void frontiers_deinit(struct frontiers *frontiers) {
    heap_free(frontiers->heap, MEM_STATS, frontiers->items, frontiers->cap * sizeof *frontiers->items);
    frontiers->items = NULL;
    frontiers->count = frontiers->cap = 0;
}

static bool is_beyond(const struct frontier *frontier, uint32_t db, uint64_t position) {
    return frontier->db != db ? frontier->db > db : frontier->position > position;
}

static void grow(struct frontiers *frontiers) {
    uint32_t cap = MAX(64u, frontiers->cap * 2);
    size_t size = sizeof *frontiers->items;
    frontiers->items = heap_resize(frontiers->heap, MEM_STATS, frontiers->items, frontiers->cap * size, cap * size);
    frontiers->cap = cap;
}

bool frontiers_add(struct frontiers *frontiers, struct frontier frontier) {
    if (frontier.n > frontiers->last) return false;
    if (frontiers->count > 0) {
        const struct frontier *before = &frontiers->items[frontiers->count - 1];
        if (!is_beyond(&frontier, before->db, before->position) || frontier.n < before->n) return false;
    } else {
        frontiers->first = frontier.n;
    }
    if (frontiers->count == UINT32_MAX / 2) return false;
    if (frontiers->count == frontiers->cap) grow(frontiers);
    frontiers->items[frontiers->count++] = frontier;
    return true;
}

uint64_t frontiers_find(const struct frontiers *frontiers, uint32_t db, struct slice key) {
    uint64_t position = hash_bytes(&frontiers->seed, key.ptr, key.len) >> (64 - HT_CURSOR_BITS);
    uint32_t from = 0, to = frontiers->count; /* the first that is beyond lies in [from, to] */
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (is_beyond(&frontiers->items[middle], db, position))
            to = middle;
        else
            from = middle + 1;
    }
    return from == frontiers->count ? frontiers->last : frontiers->items[from].n;
}
