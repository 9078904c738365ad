/* Frontiers: as of which batch a checkpoint's file has each key.
 *
 * A checkpoint goes through the databases in order of their number and through each in hash order, a slice per turn,
 * while commands go on. A slice at the end of a turn whose batch was n saves its keys as they are after n. So the file
 * says, for each slice, where in that order it ended and what n was:
 *
 *      AUX "sherd-seed"      "000102030405060708090a0b0c0d0e0f"   of the hash: k0 and k1, 16 hexadecimal digits each
 *      AUX "sherd-shard"     "3 8"                                shard 3 of 8
 *      AUX "sherd-frontier"  "0 800000000000 1f4"                 database, position, n; hexadecimal; once per slice
 *
 * position is the scan cursor (core/hashtable.h) at which the slice stopped: keys of the database whose hash lies below
 * it, and those of all databases before it, were saved in this slice or an earlier one. 2^48 says that the database is
 * done. So a key was saved at the n of the first frontier beyond it; what lies beyond the last one was passed, empty,
 * when the file ended, at the manifest's `last`. Frontiers only move forward, and so does n.
 *
 * The journal's batches up to n are in the saved key; recovery applies those after n. A key too large for one slice
 * keeps its writers waiting from its first piece to its last, and has the n of its first piece: the frontier that ends
 * behind its bucket is written, with that n, before the first piece.
 *
 * Owner     whoever embeds it; memory is the heap's. Thread: one at a time.
 * Cost      24 bytes per slice; a look-up is O(log slices). */
#pragma once
#include "core/buf.h"
#include "core/hash.h"
#include "core/hashtable.h"

#define FRONTIER_AUX_SEED  "sherd-seed"
#define FRONTIER_AUX_SHARD "sherd-shard"
#define FRONTIER_AUX       "sherd-frontier"
#define FRONTIER_TEXT_MAX  56                       /* of any of the values, with the terminator */
#define FRONTIER_DONE      (1ull << HT_CURSOR_BITS) /* position when a database is done */

struct frontier {
    uint64_t position, n;
    uint32_t db;
};

/* --- writing: values of AUX fields; each returns its length --- */
size_t frontier_write(char out[FRONTIER_TEXT_MAX], const struct frontier *frontier);
size_t frontier_write_seed(char out[FRONTIER_TEXT_MAX], const struct hash_seed *seed);
size_t frontier_write_shard(char out[FRONTIER_TEXT_MAX], uint32_t shard, uint32_t shards);

/* --- reading: false: not such a text --- */
NODISCARD bool frontier_read(struct slice text, struct frontier *out);
NODISCARD bool frontier_read_seed(struct slice text, struct hash_seed *out);
NODISCARD bool frontier_read_shard(struct slice text, uint32_t *shard, uint32_t *shards);

/* --- all frontiers of a file --- */
struct frontiers {
    struct frontier *items; /* in order */
    uint32_t count, cap;
    uint64_t first, last; /* batches: the earliest n, and what lies beyond all items */
    struct hash_seed seed;
    struct heap *heap;
};
void frontiers_init(struct frontiers *frontiers, struct heap *heap, uint64_t last);
void frontiers_deinit(struct frontiers *frontiers);
/* False: it does not lie beyond the one before, or its n goes back, or is beyond last. */
NODISCARD bool frontiers_add(struct frontiers *frontiers, struct frontier frontier);
/* Batches up to this one are in the file, as far as this key is concerned. */
uint64_t frontiers_find(const struct frontiers *frontiers, uint32_t db, struct slice key);
