/* Ghosts: a table without collisions, because the latest one wins. Number 0 is an empty place. */
#include "shards/ghosts.h"
#include "core/assert.h"

#define KEYS_PER_PLACE 4 /* a place for each key finds a thousandth more hits (perf/micro/evict_bench.c) */
#define PLACES_MIN     1024u
#define FIELD_SHIFT    4 /* a sixteenth of a half-life is near enough */

struct ghosts {
    uint32_t count; /* a power of two */
    uint32_t places[];
};

static size_t size_of(uint32_t count) {
    return sizeof(struct ghosts) + count * sizeof(uint32_t);
}

struct ghosts *ghosts_fit(struct ghosts *ghosts, struct heap *heap, uint64_t keys) {
    uint64_t want = MIN(MAX(keys / KEYS_PER_PLACE, (uint64_t)PLACES_MIN), (uint64_t)GHOSTS_MAX);
    if (ghosts && want <= ghosts->count * 2ull && want >= ghosts->count / 4) return ghosts;
    uint32_t count = PLACES_MIN;
    while (count < want) count *= 2;
    ghosts_delete(ghosts, heap);
    ghosts = heap_alloc_zero(heap, MEM_INDEX, size_of(count));
    ghosts->count = count;
    return ghosts;
}

void ghosts_delete(struct ghosts *ghosts, struct heap *heap) {
    if (ghosts) heap_free(heap, MEM_INDEX, ghosts, size_of(ghosts->count));
}

/* The low bits of a hash choose the place; the upper ones tell keys apart, never all of them zero. */
static uint32_t *place_of(struct ghosts *ghosts, uint64_t hash) {
    return &ghosts->places[hash & (ghosts->count - 1)];
}
static uint32_t name_of(uint64_t hash) {
    uint32_t name = (uint32_t)(hash >> 52);
    return (name ? name : 1) << 20;
}

void ghosts_put(struct ghosts *ghosts, uint64_t hash, uint32_t field) {
    if (ghosts) *place_of(ghosts, hash) = name_of(hash) | field >> FIELD_SHIFT;
}

bool ghosts_take(struct ghosts *ghosts, uint64_t hash, uint32_t *field) {
    if (!ghosts) return false;
    uint32_t *place = place_of(ghosts, hash);
    if ((*place & 0xFFF00000u) != name_of(hash)) return false;
    *field = (*place & 0xFFFFFu) << FIELD_SHIFT;
    *place = 0;
    return true;
}
