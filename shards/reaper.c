/* The reaper: a queue of blocks and a queue of objects, worked off from the front. A large block costs most in giving
 * its pages back (about 0.1 us each), so that is done in pieces of 1 MiB before the block is freed. A flushed table is
 * an object, too; what is large among its entries comes back as a block or an object of its own. */
#include "shards/reaper.h"
#include "core/assert.h"

#define PIECE_BYTES   (1024 * 1024)
#define PIECE_NODES   64
#define PIECE_ENTRIES 256

struct doomed_block {
    struct doomed_block *next;
    void *block;
    size_t size, discarded;
    enum mem_class owner;
};

struct doomed_object {
    struct doomed_object *next;
    store_free_some free_some;
    void *object;
};

struct doomed_table {
    struct reaper *reaper;
    struct hashtable *table;
    uint64_t position;
};

struct reaper {
    struct store store; /* with the reaper's own port */
    struct doomed_block *blocks, **blocks_end;
    struct doomed_object *objects, **objects_end;
    uint64_t pending, freed;
};

struct reaper *reaper_new(const struct store *store) {
    struct reaper *reaper = heap_alloc_zero(store->heap, MEM_STATS, sizeof *reaper);
    reaper->store = *store;
    reaper->store.later = reaper_port(reaper);
    reaper->blocks_end = &reaper->blocks;
    reaper->objects_end = &reaper->objects;
    return reaper;
}

void reaper_delete(struct reaper *reaper) {
    while (reaper_step(reaper, 1000)) continue;
    heap_free(reaper->store.heap, MEM_STATS, reaper, sizeof *reaper);
}

/* --- what comes --- */

void reaper_take_block(struct reaper *reaper, enum mem_class owner, void *block, size_t size) {
    struct doomed_block *doomed = heap_alloc_zero(reaper->store.heap, MEM_STATS, sizeof *doomed);
    doomed->block = block;
    doomed->size = size;
    doomed->owner = owner;
    *reaper->blocks_end = doomed;
    reaper->blocks_end = &doomed->next;
    reaper->pending++;
}

void reaper_take_buf(struct reaper *reaper, struct buf *buf) {
    if (buf->cap >= REAP_BLOCK_MIN) {
        reaper_take_block(reaper, buf->owner, buf->data, buf->cap);
        buf_init(buf, buf->heap, buf->owner);
    }
    buf_deinit(buf);
}

void reaper_take_chain(struct reaper *reaper, struct chain *chain) {
    while (!chain_empty(chain)) {
        struct buf bytes = {0};
        struct shared_bytes *shared = chain_take_first(chain, reaper->store.heap, &bytes);
        if (shared)
            reaper_take_shared(reaper, shared);
        else if (bytes.data)
            reaper_take_block(reaper, bytes.owner, bytes.data, bytes.cap);
    }
}

void reaper_take_shared(struct reaper *reaper, struct shared_bytes *shared) {
    size_t size = shared_bytes_size(shared);
    if (!shared_bytes_drop(shared)) return;
    if (size < REAP_BLOCK_MIN)
        heap_free(reaper->store.heap, shared->owner, shared, size);
    else
        reaper_take_block(reaper, shared->owner, shared, size);
}

static void take_object(struct reaper *reaper, store_free_some free_some, void *object) {
    struct doomed_object *doomed = heap_alloc_zero(reaper->store.heap, MEM_STATS, sizeof *doomed);
    doomed->free_some = free_some;
    doomed->object = object;
    *reaper->objects_end = doomed;
    reaper->objects_end = &doomed->next;
}

static void port_free_block(void *ctx, void *block, size_t size) {
    reaper_take_block(ctx, MEM_DATA, block, size);
}

static void port_free_object(void *ctx, store_free_some free_some, void *object) {
    struct reaper *reaper = ctx;
    take_object(reaper, free_some, object);
    reaper->pending++;
}

struct store_later reaper_port(struct reaper *reaper) {
    return (struct store_later){.free_block = port_free_block, .free_object = port_free_object, .ctx = reaper};
}

/* Some entries of a table, whatever `units` says; its arrays after the last. A store_free_some. */
static bool free_table_some(const struct store *store, void *object, unsigned units) {
    struct doomed_table *doomed = object;
    struct reaper *reaper = doomed->reaper;
    void *entries[PIECE_ENTRIES];
    size_t count = hashtable_drain(doomed->table, &doomed->position, entries, PIECE_ENTRIES);
    uint64_t pending = reaper->pending;
    (void)units;
    for (size_t i = 0; i < count; i++) {
        if (i + 8 < count) __builtin_prefetch(entries[i + 8]);
        entry_delete(store, entries[i]);
    }
    uint64_t large = reaper->pending - pending; /* wait again by themselves and are counted when they are freed */
    reaper->pending -= count;
    reaper->freed += count - large;
    if (count) return true;
    hashtable_delete(doomed->table, NULL);
    heap_free(store->heap, MEM_STATS, doomed, sizeof *doomed);
    return false;
}

void reaper_take_table(struct reaper *reaper, struct hashtable *table) {
    struct doomed_table *doomed = heap_alloc_zero(reaper->store.heap, MEM_STATS, sizeof *doomed);
    doomed->reaper = reaper;
    doomed->table = table;
    reaper->pending += hashtable_count(table);
    take_object(reaper, free_table_some, doomed);
}

/* --- what goes --- */

bool reaper_idle(const struct reaper *reaper) {
    return !reaper->blocks && !reaper->objects;
}

/* One piece of the first block; frees it after the last piece. */
static void reap_block(struct reaper *reaper) {
    struct doomed_block *doomed = reaper->blocks;
    if (doomed->discarded < doomed->size) {
        size_t piece = MIN((size_t)PIECE_BYTES, doomed->size - doomed->discarded);
        heap_discard(doomed->block, doomed->discarded, piece);
        doomed->discarded += piece;
        if (doomed->discarded < doomed->size) return;
    }
    heap_free(reaper->store.heap, doomed->owner, doomed->block, doomed->size);
    reaper->blocks = doomed->next;
    if (!reaper->blocks) reaper->blocks_end = &reaper->blocks;
    heap_free(reaper->store.heap, MEM_STATS, doomed, sizeof *doomed);
    reaper->pending--;
    reaper->freed++;
}

/* One piece of the first object. */
static void reap_object(struct reaper *reaper) {
    struct doomed_object *doomed = reaper->objects;
    if (doomed->free_some(&reaper->store, doomed->object, PIECE_NODES)) return;
    if (doomed->free_some != free_table_some) { /* a table counted its entries one by one */
        reaper->pending--;
        reaper->freed++;
    }
    reaper->objects = doomed->next;
    if (!reaper->objects) reaper->objects_end = &reaper->objects;
    heap_free(reaper->store.heap, MEM_STATS, doomed, sizeof *doomed);
}

bool reaper_step(struct reaper *reaper, unsigned units) {
    while (units-- > 0 && !reaper_idle(reaper)) {
        if (reaper->blocks)
            reap_block(reaper);
        else
            reap_object(reaper);
    }
    return !reaper_idle(reaper);
}

uint64_t reaper_pending(const struct reaper *reaper) {
    return reaper->pending;
}

uint64_t reaper_freed(const struct reaper *reaper) {
    return reaper->freed;
}
