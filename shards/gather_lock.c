/* The keys of a gather of several steps: each owner is asked for those that it has, home first (shards/txn.h). */
#include "core/assert.h"
#include "shards/gather_priv.h"
#include "shards/part.h"
#include "shards/request.h"
#include "shards/shard.h"
#include "shards/txn.h"

struct key_to_lock {
    uint32_t position;
    uint8_t owner;
    char mode;
};

struct keys_to_lock {
    const struct gather *gather;
    struct key_to_lock *keys;
    uint32_t count;
    uint64_t owners;
    bool wide, wide_writes; /* all shards whole, besides */
};

static void count_key(void *ctx, const struct exec *x, uint32_t position, enum lock_mode mode, bool wide) {
    (void)x, (void)position, (void)mode;
    *(uint32_t *)ctx += !wide;
}

static void add_key(void *ctx, const struct exec *x, uint32_t position, enum lock_mode mode, bool wide) {
    struct keys_to_lock *list = ctx;
    (void)x;
    if (wide) {
        list->wide = true;
        list->wide_writes |= mode == LOCK_EXCLUSIVE;
        return;
    }
    uint32_t owner = gather_owner(list->gather, position);
    list->keys[list->count++] = (struct key_to_lock){position, (uint8_t)owner, mode == LOCK_EXCLUSIVE ? 'w' : 'r'};
    list->owners |= 1ull << owner;
}

static void ask_for_keys(struct gather *gather, const struct keys_to_lock *list, uint32_t owner, char *modes) {
    struct part part;
    part_init(&part, gather->home->heap, list->count + 1);
    size_t count = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (list->keys[i].owner == owner) modes[count++] = list->keys[i].mode;
    if (count) part_add_locks(&part, slice_of(modes, count));
    for (uint32_t i = 0; count && i < list->count; i++)
        if (list->keys[i].owner == owner) part_add_locked_key(&part, gather->argv[list->keys[i].position]);
    part.head.wide = list->wide;
    part.head.wide_writes = list->wide_writes;
    struct exec x = part_exec(&part, gather->home);
    txn_ask(gather, owner, &x);
    part_deinit(&part);
}

void gather_lock_keys_again(struct gather *gather, uint64_t stamp, uint64_t granted) {
    struct shard *home = gather->home;
    uint32_t count = 0;
    const struct exec x = {
        .shard = home, .shared = &home->shared, .slot = gather->slot, .argv = gather->argv, .argc = gather->argc};
    request_each_lock(&x, count_key, &count);
    size_t bytes = count * sizeof(struct key_to_lock);
    struct keys_to_lock list = {.gather = gather, .keys = heap_alloc(home->heap, MEM_MESSAGE, bytes)};
    char *modes = heap_alloc(home->heap, MEM_MESSAGE, count);
    request_each_lock(&x, add_key, &list);
    if (list.wide) list.owners = home->count == 64 ? UINT64_MAX : (1ull << home->count) - 1;
    gather->stepped = true;
    gather->hurries = list.wide;
    txn_begin_again(gather, list.owners, stamp, granted);
    uint64_t ask = list.owners & ~granted, here = 1ull << home->id & ask;
    if (here) ask_for_keys(gather, &list, home->id, modes);
    for (uint64_t left = ask & ~here; left; left &= left - 1)
        ask_for_keys(gather, &list, (uint32_t)__builtin_ctzll(left), modes);
    heap_free(home->heap, MEM_MESSAGE, modes, count);
    heap_free(home->heap, MEM_MESSAGE, list.keys, bytes);
    txn_asked_all(gather);
}

void gather_lock_keys(struct gather *gather) {
    gather_lock_keys_again(gather, txn_stamp(gather->home), 0);
}
