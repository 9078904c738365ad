/* Defrag: a round is a walk over the tables, bucket by bucket. A collection that takes more than a slice is put on a
 * short list, by its entry's address and its key's hash, and goes on in the next turns before the walk does; when it is
 * not found any more that is the end of it. */
#include "shards/defrag.h"
#include "core/assert.h"
#include "shards/pressure.h"
#include "shards/shard.h"

#define TURN_BUCKETS 24             /* of databases, per slice: some 150 keys */
#define TURN_MOVES   256            /* a slice ends after as many, */
#define TURN_BYTES   (128 * 1024)   /* or when so many bytes were moved */
#define FIRST_UNITS  4              /* of a collection that the walk comes by */
#define TURN_UNITS   16             /* of one on the list, per slice: some hundreds of elements, or 128 KiB of a list */
#define LIST_MAX     32u            /* more than a bucket has entries, but for strange hashes */
#define PAUSE_NS     1000000000ull  /* between rounds */
#define IDLE_NS      10000000000ull /* after one that was of no use */
#define QUIET_NS     1000000000ull  /* without load, until what it needed goes */
#define CALM_COUNT   100            /* commands between two looks at the most, where the shard has time */
#define HURRY_SLICES 6              /* per turn, while somebody waits for what they free, */
#define HURRY_NS     5000000ull     /* and for so long after he was there last */
#define HURRY_MIN    (256 * 1024)   /* bytes: less than this is not waited for */
#define KEPT_PART    16             /* of a size's blocks stay free (slab_is_sparse) */
#define VAIN_NS      500000000ull   /* after a round that moved next to nothing no more is expected of the next one */
#define HEAP_MIN     (4 << 20)      /* bytes that it must use less than it did */
#define DATABASES    64             /* empty ones that are passed over per slice */

struct large {
    struct entry *entry; /* perhaps gone */
    uint64_t hash, position;
    uint32_t db;
};

struct defrag {
    bool running;
    uint32_t db;
    uint64_t cursor;
    size_t spare_before;   /* when the round began */
    uint64_t moved_before; /* bytes, likewise */
    uint64_t not_before_ns;
    uint64_t hurried_ns;     /* when somebody waited for it last */
    uint64_t vain_until_ns;  /* nobody waits for it */
    bool calm;               /* few commands came between the last two looks */
    bool quiet;              /* for so long that what load needs has gone */
    uint64_t busy_ns;        /* when it was not calm last */
    uint64_t began_at, seen; /* commands of the shard so far: when the round began, and at the last look */
    bool helped;             /* the last round was of use */
    int64_t heap_peak;       /* bytes in use of the heap since it was purged last */
    uint32_t count;
    struct large list[LIST_MAX];
};

struct defrag *defrag_new(struct heap *heap) {
    return heap_alloc_zero(heap, MEM_STATS, sizeof(struct defrag));
}

void defrag_delete(struct defrag *defrag, struct heap *heap) {
    heap_free(heap, MEM_STATS, defrag, sizeof *defrag);
}

bool defrag_is_running(const struct shard *shard) {
    return shard->defrag->running;
}

bool defrag_has_time(const struct shard *shard) {
    return shard->defrag->calm;
}

bool defrag_is_done(const struct shard *shard) {
    return shard->defrag->quiet && !shard->defrag->running;
}

/* --- when --- */

static bool is_sparse(const struct shard *shard) {
    size_t spare = slab_spare_bytes(shard->slab);
    size_t part = shard->defrag->calm ? 12 : 8, least = shard->defrag->calm ? DEFRAG_MIN / 2 : DEFRAG_MIN;
    return spare > least && spare * part > spare + slab_paged_bytes(shard->slab);
}

/* While values are overwritten a round may find as much at its end as there was, for it was made meanwhile. That says
 * nothing about the next one, which begins as soon as the shard has time, or resident memory holds writers back. */
static bool is_due(const struct defrag *defrag, const struct shard *shard) {
    if (shard->now_ns >= defrag->not_before_ns) return true;
    if (defrag->helped || defrag->seen - defrag->began_at < CALM_COUNT) return false;
    return defrag->calm || account_is_braked(&shard->account);
}

static void begin_round(struct defrag *defrag, const struct shard *shard) {
    defrag->running = true;
    defrag->db = 0;
    defrag->cursor = 0;
    defrag->count = 0;
    defrag->began_at = shard_commands_seen(shard);
    defrag->spare_before = slab_spare_bytes(shard->slab);
    defrag->moved_before = slab_moved_bytes(shard->slab);
}

static void end_round(struct defrag *defrag, const struct shard *shard) {
    size_t spare = slab_spare_bytes(shard->slab);
    defrag->helped = spare < defrag->spare_before - defrag->spare_before / 16;
    defrag->running = false;
    defrag->not_before_ns = shard->now_ns + (defrag->helped ? PAUSE_NS : IDLE_NS);
    bool moved = slab_moved_bytes(shard->slab) - defrag->moved_before >= HURRY_MIN; /* it may be sparser than before */
    if (!moved) defrag->vain_until_ns = shard->now_ns + VAIN_NS;
}

size_t defrag_reclaim(struct shard *shard) {
    struct defrag *defrag = shard->defrag;
    if (!shard->config->activedefrag || shard->loading) return 0;
    size_t spare = slab_spare_bytes(shard->slab), kept = (spare + slab_paged_bytes(shard->slab)) / KEPT_PART;
    if (spare < kept + HURRY_MIN) return 0;
    if (!defrag->running && shard->now_ns < defrag->vain_until_ns) return 0;
    if (!defrag->running) begin_round(defrag, shard);
    defrag->hurried_ns = shard->now_ns;
    return spare - kept;
}

/* What the heap has given out, the slab's pages aside. */
static int64_t heap_in_use(const struct shard *shard) {
    int64_t bytes = -(int64_t)slab_held_bytes(shard->slab);
    for (unsigned i = 0; i < MEM_CLASSES; i++) bytes += heap_used(shard->heap, (enum mem_class)i);
    return bytes;
}

static void trim_heap(struct defrag *defrag, struct shard *shard) {
    int64_t bytes = heap_in_use(shard), peak = defrag->heap_peak;
    if (bytes > peak) defrag->heap_peak = bytes;
    if (peak - bytes < HEAP_MIN || peak - bytes < peak / 8) return;
    pressure_purge(shard);
    defrag->heap_peak = bytes;
}

/* Has the load gone? Once it has for QUIET_NS, what it needed goes, too. */
static void note_load(struct defrag *defrag, struct shard *shard) {
    uint64_t seen = shard_commands_seen(shard);
    defrag->calm = seen - defrag->seen < CALM_COUNT;
    defrag->seen = seen;
    if (!defrag->calm) {
        defrag->busy_ns = shard->now_ns;
        defrag->quiet = false;
    } else if (!defrag->quiet && shard->now_ns >= defrag->busy_ns + QUIET_NS) {
        defrag->quiet = true;
        pressure_purge(shard);
        slab_purge_unused(shard->slab);
    }
}

void defrag_cron(struct shard *shard) {
    struct defrag *defrag = shard->defrag;
    trim_heap(defrag, shard);
    slab_trim(shard->slab);
    note_load(defrag, shard);
    if (defrag->running || !shard->config->activedefrag || shard->loading) return;
    if (is_due(defrag, shard) && is_sparse(shard)) begin_round(defrag, shard);
}

/* --- a slice --- */

/* By keyspace_defrag, of each entry in its bucket. */
static void take_moved(void *ctx, struct entry *entry) {
    struct shard *shard = ctx;
    struct defrag *defrag = shard->defrag;
    uint64_t position = entry_defrag_some(&shard->shared.store, entry, 0, FIRST_UNITS);
    if (position == 0 || defrag->count == LIST_MAX) return;
    uint64_t hash = key_hash(&shard->shared, entry_key(entry));
    defrag->list[defrag->count++] = (struct large){entry, hash, position, defrag->db};
}

static void go_on_with_large(struct defrag *defrag, struct shard *shard) {
    struct large *large = &defrag->list[defrag->count - 1];
    struct keyspace *keys = shard_db_peek(shard, large->db);
    struct key_ref ref;
    bool there = keys && keyspace_find_entry(keys, large->entry, large->hash, &ref) &&
                 !keyspace_is_pinned(&shard->shared, large->entry);
    large->position = there ? entry_defrag_some(&shard->shared.store, large->entry, large->position, TURN_UNITS) : 0;
    if (large->position == 0) defrag->count--;
}

/* False: the round is over. */
static bool next_database(struct defrag *defrag, const struct shard *shard) {
    for (uint32_t i = 0; i < DATABASES && defrag->db < shard->db_used; i++) {
        const struct keyspace *keys = shard_db_peek(shard, defrag->db);
        if (keys && keyspace_count(keys) > 0) return true;
        defrag->db++;
        defrag->cursor = 0;
    }
    return defrag->db < shard->db_used;
}

static void walk(struct defrag *defrag, struct shard *shard) {
    uint64_t moves = slab_moves(shard->slab) + TURN_MOVES, bytes = slab_moved_bytes(shard->slab) + TURN_BYTES;
    for (unsigned i = 0; i < TURN_BUCKETS && defrag->count == 0; i++) {
        struct keyspace *keys = shard_db_peek(shard, defrag->db);
        if (!keys) return;
        defrag->cursor = keyspace_defrag(keys, defrag->cursor, take_moved, shard);
        if (defrag->cursor == 0) {
            defrag->db++;
            return;
        }
        if (slab_moves(shard->slab) >= moves || slab_moved_bytes(shard->slab) >= bytes) return;
    }
}

static void slice(struct defrag *defrag, struct shard *shard) {
    if (defrag->count > 0)
        go_on_with_large(defrag, shard);
    else if (next_database(defrag, shard))
        walk(defrag, shard);
    else
        end_round(defrag, shard);
}

bool defrag_some(struct shard *shard) {
    struct defrag *defrag = shard->defrag;
    if (LIKELY(!defrag->running)) return false;
    unsigned slices = shard->now_ns < defrag->hurried_ns + HURRY_NS ? HURRY_SLICES : 1;
    for (unsigned i = 0; i < slices && defrag->running; i++) slice(defrag, shard);
    return defrag->running;
}
