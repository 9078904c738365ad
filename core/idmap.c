/* Open addressing with linear probing, at most three quarters full. A removal moves later entries of its run back
 * (Knuth, The Art of Computer Programming, volume 3, 6.4, algorithm R), so there are no tombstones and a look-up ends
 * at the first empty slot. */
#include "core/idmap.h"
#include "core/assert.h"

#define CAP_FIRST 64u

static void set_cap(struct idmap *map, uint32_t cap) {
    map->slots = cap ? heap_alloc_zero(map->heap, map->owner, cap * sizeof *map->slots) : NULL;
    map->cap = cap;
}

void idmap_init(struct idmap *map, struct heap *heap, enum mem_class owner) {
    *map = (struct idmap){.heap = heap, .owner = owner};
    set_cap(map, CAP_FIRST);
}

static void drop_slots(struct idmap *map, struct idmap_slot *slots, uint32_t cap) {
    heap_free(map->heap, map->owner, slots, cap * sizeof *slots);
}

void idmap_deinit(struct idmap *map) {
    drop_slots(map, map->slots, map->cap);
    *map = (struct idmap){.heap = map->heap, .owner = map->owner};
}

/* The finaliser of MurmurHash3 (Appleby): stamps differ in few bits. */
HOT_INLINE uint32_t home_of(uint64_t id, uint32_t cap) {
    id ^= id >> 33;
    id *= 0xFF51AFD7ED558CCDull;
    id ^= id >> 33;
    return (uint32_t)id & (cap - 1);
}

/* The slot of id, or the empty one where it would go. */
HOT_INLINE uint32_t slot_of(const struct idmap *map, uint64_t id) {
    uint32_t at = home_of(id, map->cap);
    while (map->slots[at].id != 0 && map->slots[at].id != id) at = (at + 1) & (map->cap - 1);
    return at;
}

static void grow(struct idmap *map) {
    struct idmap_slot *old = map->slots;
    uint32_t old_cap = map->cap;
    set_cap(map, old_cap * 2);
    for (uint32_t i = 0; i < old_cap; i++)
        if (old[i].id) map->slots[slot_of(map, old[i].id)] = old[i];
    drop_slots(map, old, old_cap);
}

void idmap_put(struct idmap *map, uint64_t id, void *value) {
    ASSERT(id != 0 && value != NULL);
    if (map->count + 1 > map->cap - map->cap / 4) grow(map);
    uint32_t at = slot_of(map, id);
    ASSERT(map->slots[at].id == 0);
    map->slots[at] = (struct idmap_slot){id, value};
    map->count++;
}

void *idmap_get(const struct idmap *map, uint64_t id) {
    return map->count ? map->slots[slot_of(map, id)].value : NULL;
}

static void close_gap(struct idmap *map, uint32_t gap) {
    uint32_t mask = map->cap - 1;
    for (uint32_t at = (gap + 1) & mask; map->slots[at].id != 0; at = (at + 1) & mask) {
        uint32_t home = home_of(map->slots[at].id, map->cap);
        if (((at - home) & mask) < ((at - gap) & mask)) continue; /* its home lies behind the gap */
        map->slots[gap] = map->slots[at];
        gap = at;
    }
    map->slots[gap] = (struct idmap_slot){0};
}

void *idmap_take(struct idmap *map, uint64_t id) {
    if (map->count == 0) return NULL;
    uint32_t at = slot_of(map, id);
    void *value = map->slots[at].value;
    if (!value) return NULL;
    close_gap(map, at);
    if (--map->count == 0 && map->cap > CAP_FIRST) {
        drop_slots(map, map->slots, map->cap);
        set_cap(map, CAP_FIRST);
    }
    return value;
}

void idmap_check(const struct idmap *map) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < map->cap; i++) {
        if (!map->slots[i].id) {
            ASSERT(!map->slots[i].value);
            continue;
        }
        count++;
        ASSERT(slot_of(map, map->slots[i].id) == i);
    }
    ASSERT(count == map->count);
}
