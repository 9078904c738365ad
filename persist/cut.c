/* The largest consistent cut, as a fixed point.
 *
 * All parts are numbered through, run after run, so those of one journal are a range and a larger number stands behind
 * a smaller one. An open-addressed index leads from a stamp to one of its parts and `next` from there round the others
 * (a ring), so nothing is allocated per transaction. Three stages:
 *
 *      FILE      each part into the index
 *      JUDGE     each transaction: are the parts of all its participants there? If not, the journals that have one end
 *                before it
 *      SPREAD    each part behind an end: the other journals of its transaction end before it, too
 *
 * ends[s] is the number of the first part of shard s that is taken back, spread[s] how far down SPREAD has come; it is
 * done when both agree everywhere. */
#include "persist/cut.h"
#include "core/alloc.h"
#include "core/assert.h"
#include <string.h>

#define NONE UINT32_MAX

struct cut {
    const struct cut_run *runs;
    uint32_t *bases; /* per run, and one more: number of its first part */
    uint32_t run_count, part_count;
    uint64_t forgiven, present; /* shards that have a run */
    uint32_t *index;            /* index_mask + 1 numbers of parts, or NONE */
    uint32_t *next;             /* per part: another one of its transaction, in a ring */
    uint32_t index_mask;
    uint32_t at;     /* in FILE: the part; in JUDGE: the place in the index */
    uint32_t at_run; /* in FILE: where `at` is */
    enum { FILE_PARTS, JUDGE, SPREAD, DONE } stage;
    uint32_t ends[SHARDS_MAX], spread[SHARDS_MAX];
    uint64_t transactions;
};

/* --- birth and death --- */

static bool count_parts(const struct cut_run *runs, uint32_t run_count, uint32_t *out) {
    uint64_t sum = 0;
    for (uint32_t r = 0; r < run_count; r++) sum += runs[r].count;
    *out = (uint32_t)sum;
    return sum <= 1u << 31;
}

static bool reserve(struct cut *cut) {
    uint64_t places = 64;
    while (places < 2 * (uint64_t)cut->part_count) places *= 2;
    cut->index_mask = (uint32_t)(places - 1);
    cut->bases = shared_alloc((cut->run_count + 1) * sizeof *cut->bases);
    cut->next = shared_alloc(MAX(cut->part_count, 1u) * sizeof *cut->next);
    cut->index = shared_alloc(places * sizeof *cut->index);
    if (!cut->bases || !cut->next || !cut->index) return false;
    memset(cut->index, 0xFF, places * sizeof *cut->index);
    return true;
}

static void number_runs(struct cut *cut) {
    uint32_t base = 0;
    for (uint32_t r = 0; r < cut->run_count; r++) {
        uint32_t shard = cut->runs[r].shard;
        ASSERT(shard < SHARDS_MAX);
        ASSERT(!(cut->present & 1ull << shard) || cut->runs[r - 1].shard == shard);
        cut->present |= 1ull << shard;
        cut->bases[r] = base;
        base += cut->runs[r].count;
        cut->ends[shard] = cut->spread[shard] = base;
    }
    cut->bases[cut->run_count] = base;
}

struct cut *cut_new(const struct cut_run *runs, uint32_t run_count, uint64_t forgiven) {
    struct cut *cut = shared_alloc(sizeof *cut);
    if (!cut) return NULL;
    cut->runs = runs;
    cut->run_count = run_count;
    cut->forgiven = forgiven;
    if (!count_parts(runs, run_count, &cut->part_count) || !reserve(cut)) {
        cut_delete(cut);
        return NULL;
    }
    number_runs(cut);
    return cut;
}

void cut_delete(struct cut *cut) {
    if (!cut) return;
    shared_free(cut->bases);
    shared_free(cut->next);
    shared_free(cut->index);
    shared_free(cut);
}

/* --- parts by number --- */

/* The last run that begins at or before the part; empty ones do not hold it. */
static uint32_t run_of(const struct cut *cut, uint32_t part) {
    uint32_t from = 0, to = cut->run_count;
    while (to - from > 1) {
        uint32_t middle = from + (to - from) / 2;
        if (cut->bases[middle] <= part)
            from = middle;
        else
            to = middle;
    }
    return from;
}

static const struct cut_part *part_at(const struct cut *cut, uint32_t part, uint32_t *run) {
    *run = run_of(cut, part);
    return &cut->runs[*run].parts[part - cut->bases[*run]];
}

/* Stamps of one home differ in few bits, all of them low (Fibonacci hashing, Knuth, volume 3). */
static uint32_t home_of(const struct cut *cut, uint64_t stamp) {
    return (uint32_t)(stamp * 0x9E3779B97F4A7C15ull >> 32) & cut->index_mask;
}

/* The place of the stamp in the index, or the free one where it belongs. */
static uint32_t place_of(const struct cut *cut, uint64_t stamp) {
    uint32_t place = home_of(cut, stamp), run;
    while (cut->index[place] != NONE && part_at(cut, cut->index[place], &run)->stamp != stamp)
        place = (place + 1) & cut->index_mask;
    return place;
}

/* --- the stages --- */

static void file_part(struct cut *cut) {
    while (cut->at == cut->bases[cut->at_run + 1]) cut->at_run++;
    const struct cut_part *part = &cut->runs[cut->at_run].parts[cut->at - cut->bases[cut->at_run]];
    uint32_t place = place_of(cut, part->stamp), first = cut->index[place];
    cut->next[cut->at] = first == NONE ? cut->at : cut->next[first];
    if (first == NONE)
        cut->index[place] = cut->at;
    else
        cut->next[first] = cut->at;
    cut->at++;
}

/* All journals that have a part of the transaction end before it. */
static void take_back(struct cut *cut, uint32_t first) {
    uint32_t part = first, run;
    do {
        part_at(cut, part, &run);
        uint32_t shard = cut->runs[run].shard;
        cut->ends[shard] = MIN(cut->ends[shard], part);
        part = cut->next[part];
    } while (part != first);
}

static void judge(struct cut *cut) {
    uint32_t first = cut->index[cut->at++];
    if (first == NONE) return;
    uint64_t wanted = 0, there = cut->forgiven;
    uint32_t part = first, run;
    do {
        wanted |= part_at(cut, part, &run)->participants;
        there |= 1ull << cut->runs[run].shard;
        part = cut->next[part];
    } while (part != first);
    if (wanted & ~there) take_back(cut, first);
}

/* Counted once, at the last of its parts by number: all of them are taken back in the end. */
static bool is_last_of_ring(const struct cut *cut, uint32_t part) {
    for (uint32_t other = cut->next[part]; other != part; other = cut->next[other])
        if (other > part) return false;
    return true;
}

/* One part behind the end of the shard; false when there is none that was not looked at. */
static bool spread_one(struct cut *cut, uint32_t shard) {
    if (cut->spread[shard] == cut->ends[shard]) return false;
    uint32_t part = --cut->spread[shard];
    cut->transactions += is_last_of_ring(cut, part);
    take_back(cut, part);
    return true;
}

static bool spread(struct cut *cut) {
    for (uint32_t shard = 0; shard < SHARDS_MAX; shard++)
        if (spread_one(cut, shard)) return true;
    return false;
}

static void step(struct cut *cut) {
    switch (cut->stage) {
    case FILE_PARTS:
        if (cut->at < cut->part_count) {
            file_part(cut);
        } else {
            cut->at = 0;
            cut->stage = JUDGE;
        }
        break;
    case JUDGE:
        judge(cut);
        if (cut->at > cut->index_mask) cut->stage = SPREAD;
        break;
    case SPREAD:
        if (!spread(cut)) cut->stage = DONE;
        break;
    case DONE: break;
    }
}

bool cut_step(struct cut *cut, uint32_t parts) {
    for (; parts > 0 && cut->stage != DONE; parts--) step(cut);
    return cut->stage != DONE;
}

/* --- what came out --- */

const struct cut_part *cut_end(const struct cut *cut, uint32_t shard, uint32_t *run) {
    ASSERT(cut->stage == DONE);
    if (!(cut->present & 1ull << shard)) return NULL;
    uint32_t end = cut->ends[shard];
    /* The end of the shard's parts is where the last of its runs ends. */
    bool is_whole = end == cut->part_count;
    if (!is_whole) {
        part_at(cut, end, run);
        is_whole = cut->runs[*run].shard != shard;
    }
    return is_whole ? NULL : part_at(cut, end, run);
}

uint64_t cut_transactions(const struct cut *cut) {
    return cut->transactions;
}
