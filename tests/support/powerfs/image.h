/* Image: the bytes of one file in two states, what programs see and what a power cut would leave.
 *
 * Written bytes are seen at once and durable when a snapshot that holds them is committed. In between a power cut may
 * leave of them any sectors of 512 bytes, new ones without older ones; so may the system by itself, which is why a
 * sector that is written again before it was synced may turn out to be durable in its older form. A file made longer
 * may have any length in between afterwards. One made shorter is so or is not: until that is durable, nothing that was
 * done later is.
 *
 * Ownership  the caller's memory; image_deinit frees the bytes. A snapshot is freed by whoever took it.
 * Threads    one at a time.
 * Costs      twice the bytes of the file, and eight per sector; a snapshot of the whole file looks at all sectors. */
#pragma once
#include "core/prng.h"
#include <stddef.h>

#define SECTOR ((uint64_t)512)

struct image {
    char *seen, *durable;
    uint32_t *written, *kept; /* per sector: when it was written last, and when that which is durable was */
    uint64_t size, durable_size, longest, cap; /* longest: it ever was */
    struct shortening *shortenings;            /* since the power came, in their order; the first ones are durable */
    uint32_t shortening_count, shortening_durable, shortening_cap;
    uint32_t now; /* counts what is done to the file */
};

struct snapshot; /* what is not durable yet, at one moment */

enum cut_kind { CUT_DROP, CUT_KEEP, CUT_TORN }; /* of what is not durable: nothing, all, or parts stay */

struct toll {
    uint64_t sectors, sectors_lost; /* that were not durable; of them those that are gone */
    uint64_t names, names_lost;
};

void image_init(struct image *image);
void image_deinit(struct image *image);

size_t image_read(const struct image *image, char *out, size_t len, uint64_t offset);
void image_write(struct image *image, const char *bytes, size_t len, uint64_t offset, struct prng *prng);
void image_resize(struct image *image, uint64_t size);

/* Of the sectors that [from, to) touches; the file is at least as long as `size` when it is committed. */
struct snapshot *image_snapshot(const struct image *image, uint64_t from, uint64_t to, uint64_t size);
struct snapshot *image_snapshot_all(const struct image *image);
void image_commit(struct image *image, const struct snapshot *snapshot);
/* Syncing it failed: what the snapshot holds counts as written from now on, though only a part of it is. */
void image_lose(struct image *image, const struct snapshot *snapshot, struct prng *prng);
void snapshot_delete(struct snapshot *snapshot);

uint64_t image_dirty_sectors(const struct image *image);
/* The power is cut; grain: how many sectors share one fate. What is left is durable, and what is seen. */
void image_cut(struct image *image, enum cut_kind kind, uint32_t grain, struct prng *prng, struct toll *toll);
