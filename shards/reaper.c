/* The reaper: a queue of tables and a queue of blocks, worked off from the front. A large block costs most in giving its pages
 * back (about 0.1 us each), so that is done in pieces of 1 MiB before the block is freed. */
#include "shards/reaper.h"
#include "core/assert.h"

#define PIECE_BYTES   (1024 * 1024)
#define PIECE_ENTRIES 256

struct doomed_block {
    struct doomed_block *next;
    void *block;
    size_t size, discarded;
    enum mem_class owner;
};

struct doomed_table {
    struct doomed_table *next;
    struct hashtable *table;
    uint64_t position;
};

struct reaper {
    struct store store;
    struct doomed_block *blocks, **blocks_end;
    struct doomed_table *tables, **tables_end;
    uint64_t pending, freed;
};

struct reaper *reaper_new(const struct store *store) {
    struct reaper *reaper = heap_alloc_zero(store->heap, MEM_STATS, sizeof *reaper);
    reaper->store = *store;
    reaper->blocks_end = &reaper->blocks;
    reaper->tables_end = &reaper->tables;
    return reaper;
}

void reaper_delete(struct reaper *reaper) {
    while (reaper_step(reaper, 1000)) continue;
    heap_free(reaper->store.heap, MEM_STATS, reaper, sizeof *reaper);
}

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
        chain_take_first(chain, reaper->store.heap, &bytes);
        if (bytes.data) reaper_take_block(reaper, bytes.owner, bytes.data, bytes.cap);
    }
}

void reaper_take_entry(struct reaper *reaper, struct entry *entry) {
    if (entry->encoding == ENC_EXTERNAL && entry_bytes(entry) >= REAP_BLOCK_MIN) {
        struct bigstr *big = entry_bigstr(entry);
        reaper_take_block(reaper, MEM_DATA, big, sizeof *big + big->cap);
        entry_delete_shell(&reaper->store, entry);
        return;
    }
    entry_delete(&reaper->store, entry);
}

void reaper_take_table(struct reaper *reaper, struct hashtable *table) {
    struct doomed_table *doomed = heap_alloc_zero(reaper->store.heap, MEM_STATS, sizeof *doomed);
    doomed->table = table;
    *reaper->tables_end = doomed;
    reaper->tables_end = &doomed->next;
    reaper->pending += hashtable_count(table);
}

bool reaper_idle(const struct reaper *reaper) {
    return !reaper->blocks && !reaper->tables;
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

/* The entries of one piece of the first table; frees its arrays after the last. */
static void reap_table(struct reaper *reaper) {
    struct doomed_table *doomed = reaper->tables;
    void *entries[PIECE_ENTRIES];
    size_t count = hashtable_drain(doomed->table, &doomed->position, entries, PIECE_ENTRIES);
    uint64_t pending = reaper->pending;
    for (size_t i = 0; i < count; i++) {
        if (i + 8 < count) __builtin_prefetch(entries[i + 8]);
        reaper_take_entry(reaper, entries[i]);
    }
    uint64_t large = reaper->pending - pending; /* wait again as blocks and are counted when those are freed */
    reaper->pending -= count;
    reaper->freed += count - large;
    if (count) return;
    hashtable_delete(doomed->table, NULL);
    reaper->tables = doomed->next;
    if (!reaper->tables) reaper->tables_end = &reaper->tables;
    heap_free(reaper->store.heap, MEM_STATS, doomed, sizeof *doomed);
}

bool reaper_step(struct reaper *reaper, unsigned units) {
    while (units-- > 0 && !reaper_idle(reaper)) {
        if (reaper->blocks)
            reap_block(reaper);
        else
            reap_table(reaper);
    }
    return !reaper_idle(reaper);
}

uint64_t reaper_pending(const struct reaper *reaper) {
    return reaper->pending;
}

uint64_t reaper_freed(const struct reaper *reaper) {
    return reaper->freed;
}
