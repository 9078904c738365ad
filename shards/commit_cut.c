/* The cut: a line per shard, of its transactions in the order of its journal that are not safe yet. To see whether the
 * head of a line is safe, the set of shards/commit_cut.h is built: a prefix of each line, which grows until it is
 * closed or holds a transaction that is not complete. In the first case all of it is safe. In the other the line waits
 * for that one: whatever else happens meanwhile cannot help it, since the set only ever grows.
 *
 * A long set is built over several calls (unseen), and what became safe is freed over several (to_free). */
#include "shards/commit_cut.h"
#include "core/assert.h"
#include "core/defs.h"
#include "core/idmap.h"

struct txn {
    uint64_t stamp, participants;
    uint64_t missing; /* participants in whose line it does not stand */
    uint64_t waiters; /* lines whose head cannot be safe before this is complete */
    uint64_t at[];    /* its number in the line of each participant, in their order */
};

/* Transactions by number: those before safe are safe, those before head are freed. */
struct line {
    struct txn **ring;
    uint32_t cap; /* 0 or a power of two */
    uint64_t head, safe, tail;
};

/* The set under construction: numbers up to `need` of each line belong to it, those below `seen` were looked at. */
struct closure {
    uint64_t need, seen;
};

struct commit_cut {
    struct heap *heap;
    uint32_t shards;
    uint64_t try_again; /* lines whose first that is not safe may be safe now */
    uint64_t unseen;    /* the set under construction: lines with members that were not looked at; 0: there is none */
    uint32_t trying;    /* the line whose it is */
    bool whole;         /* it is complete, and so safe */
    uint64_t to_free;   /* lines with safe ones */
    struct idmap open;  /* incomplete ones, by stamp */
    uint32_t count;
    struct line lines[SHARDS_MAX];
    struct closure closure[SHARDS_MAX];
};

static uint64_t bit(uint32_t shard) {
    return 1ull << shard;
}

struct commit_cut *commit_cut_new(struct heap *heap, uint32_t shards) {
    ASSERT(shards > 0 && shards <= SHARDS_MAX);
    struct commit_cut *cut = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *cut);
    cut->heap = heap;
    cut->shards = shards;
    idmap_init(&cut->open, heap, MEM_MESSAGE);
    return cut;
}

/* --- lines --- */

static struct txn *txn_at(const struct line *line, uint64_t number) {
    ASSERT_SLOW(number >= line->head && number < line->tail);
    return line->ring[number & (line->cap - 1)];
}

static void grow(struct commit_cut *cut, struct line *line) {
    uint32_t cap = line->cap ? line->cap * 2 : 16;
    struct txn **ring = heap_alloc(cut->heap, MEM_MESSAGE, cap * sizeof *ring);
    for (uint64_t i = line->head; i < line->tail; i++) ring[i & (cap - 1)] = txn_at(line, i);
    heap_free(cut->heap, MEM_MESSAGE, line->ring, line->cap * sizeof *ring);
    line->ring = ring;
    line->cap = cap;
}

/* What a burst needed is not kept. */
static void trim(struct commit_cut *cut, struct line *line) {
    if (line->head != line->tail) return;
    heap_free(cut->heap, MEM_MESSAGE, line->ring, line->cap * sizeof *line->ring);
    line->ring = NULL;
    line->cap = 0;
}

/* --- transactions --- */

static size_t txn_bytes(uint64_t participants) {
    return sizeof(struct txn) + (size_t)__builtin_popcountll(participants) * sizeof(uint64_t);
}

static struct txn *txn_new(struct commit_cut *cut, uint64_t stamp, uint64_t participants) {
    struct txn *txn = heap_alloc(cut->heap, MEM_MESSAGE, txn_bytes(participants));
    *txn = (struct txn){.stamp = stamp, .participants = participants, .missing = participants};
    idmap_put(&cut->open, stamp, txn);
    cut->count++;
    return txn;
}

static void txn_free(struct commit_cut *cut, struct txn *txn) {
    cut->count--;
    heap_free(cut->heap, MEM_MESSAGE, txn, txn_bytes(txn->participants));
}

/* Where the number of this participant stands in `at`. */
static uint32_t rank(const struct txn *txn, uint32_t shard) {
    return (uint32_t)__builtin_popcountll(txn->participants & (bit(shard) - 1));
}

/* It does not stand in this line any more. */
static void drop(struct commit_cut *cut, struct txn *txn, uint32_t shard) {
    txn->missing |= bit(shard);
    if (txn->missing == txn->participants) txn_free(cut, txn);
}

void commit_cut_delete(struct commit_cut *cut) {
    for (uint32_t shard = 0; shard < cut->shards; shard++) {
        struct line *line = &cut->lines[shard];
        for (; line->head < line->tail; line->head++) drop(cut, txn_at(line, line->head), shard);
        trim(cut, line);
    }
    idmap_deinit(&cut->open);
    heap_free(cut->heap, MEM_MESSAGE, cut, sizeof *cut);
}

void commit_cut_add(struct commit_cut *cut, uint32_t shard, uint64_t stamp, uint64_t participants) {
    struct line *line = &cut->lines[shard];
    struct txn *txn = idmap_get(&cut->open, stamp);
    if (!txn) txn = txn_new(cut, stamp, participants);
    ASSERT(txn->participants == participants && txn->missing & bit(shard));
    if (line->tail - line->head == line->cap) grow(cut, line);
    if (line->safe == line->tail) cut->try_again |= bit(shard);
    txn->at[rank(txn, shard)] = line->tail;
    line->ring[line->tail++ & (line->cap - 1)] = txn;
    txn->missing &= ~bit(shard);
    if (txn->missing) return;
    idmap_take(&cut->open, stamp);
    cut->try_again |= txn->waiters;
    txn->waiters = 0;
}

/* --- safety --- */

/* What stands up to number `at` of a line belongs to the set. */
static void require(struct commit_cut *cut, uint32_t shard, uint64_t at) {
    struct closure *closure = &cut->closure[shard];
    if (at < closure->need) return;
    closure->need = at + 1;
    cut->unseen |= bit(shard);
}

/* The set of the head of one of the lines that may be safe. False: there is no such line. */
static bool begin_set(struct commit_cut *cut) {
    for (; cut->try_again; cut->try_again &= cut->try_again - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(cut->try_again);
        if (cut->lines[shard].safe == cut->lines[shard].tail) continue;
        cut->try_again &= ~bit(shard);
        cut->trying = shard;
        for (uint32_t i = 0; i < cut->shards; i++)
            cut->closure[i] = (struct closure){.need = cut->lines[i].safe, .seen = cut->lines[i].safe};
        require(cut, shard, cut->lines[shard].safe);
        return true;
    }
    return false;
}

/* One more of a line's members is looked at: what it requires is added; or it is what all have to wait for. */
static void follow(struct commit_cut *cut, uint32_t shard) {
    struct closure *closure = &cut->closure[shard];
    struct txn *txn = txn_at(&cut->lines[shard], closure->seen++);
    if (txn->missing) {
        txn->waiters |= bit(cut->trying);
        cut->unseen = 0;
        return;
    }
    const uint64_t *at = txn->at;
    for (uint64_t left = txn->participants; left; left &= left - 1)
        require(cut, (uint32_t)__builtin_ctzll(left), *at++);
    if (closure->seen < closure->need) return;
    cut->unseen &= ~bit(shard);
    cut->whole = cut->unseen == 0;
}

/* A member of each line in turn, so that what is missing near a front is found soon. */
static uint32_t grow_set(struct commit_cut *cut, uint32_t budget) {
    while (cut->unseen && budget) {
        for (uint64_t left = cut->unseen; left & cut->unseen && budget; left &= left - 1, budget--)
            follow(cut, (uint32_t)__builtin_ctzll(left));
    }
    return budget;
}

/* All of the set is safe. Returns the lines that moved on. */
static uint64_t accept_set(struct commit_cut *cut) {
    uint64_t moved = 0;
    cut->whole = false;
    for (uint32_t shard = 0; shard < cut->shards; shard++) {
        struct line *line = &cut->lines[shard];
        if (line->safe == cut->closure[shard].need) continue;
        line->safe = cut->closure[shard].need;
        moved |= bit(shard);
    }
    cut->try_again |= moved;
    cut->to_free |= moved;
    return moved;
}

static void free_safe(struct commit_cut *cut, uint32_t budget) {
    for (; cut->to_free; cut->to_free &= cut->to_free - 1) {
        uint32_t shard = (uint32_t)__builtin_ctzll(cut->to_free);
        struct line *line = &cut->lines[shard];
        for (; line->head < line->safe; line->head++) {
            if (budget-- == 0) return;
            drop(cut, txn_at(line, line->head), shard);
        }
        trim(cut, line);
    }
}

uint64_t commit_cut_advance(struct commit_cut *cut, uint32_t budget) {
    uint64_t changed = 0;
    for (uint32_t left = budget; left && (cut->unseen || begin_set(cut));) {
        left = grow_set(cut, left);
        if (cut->whole) changed |= accept_set(cut);
    }
    free_safe(cut, budget);
    return changed;
}

bool commit_cut_busy(const struct commit_cut *cut) {
    return cut->unseen || cut->try_again || cut->to_free;
}

uint64_t commit_cut_safe(const struct commit_cut *cut, uint32_t shard) {
    return cut->lines[shard].safe;
}

uint32_t commit_cut_open(const struct commit_cut *cut) {
    return cut->count;
}

void commit_cut_check(const struct commit_cut *cut) {
    idmap_check(&cut->open);
    uint32_t incomplete = 0;
    for (uint32_t shard = 0; shard < cut->shards; shard++) {
        const struct line *line = &cut->lines[shard];
        ASSERT(line->head <= line->safe && line->safe <= line->tail && line->tail - line->head <= line->cap);
        ASSERT(line->head == line->safe || cut->to_free & bit(shard));
        for (uint64_t i = line->safe; i < line->tail; i++) {
            const struct txn *txn = txn_at(line, i);
            ASSERT(txn->participants & bit(shard) && !(txn->missing & bit(shard)));
            ASSERT(txn->at[rank(txn, shard)] == i);
            ASSERT((idmap_get(&cut->open, txn->stamp) == txn) == (txn->missing != 0));
            uint32_t first = (uint32_t)__builtin_ctzll(txn->participants & ~txn->missing);
            incomplete += txn->missing && first == shard;
        }
    }
    ASSERT(incomplete == cut->open.count);
}
