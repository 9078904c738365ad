/* Both states are mappings that grow, so that holes cost nothing and sectors never move. A sector is dirty when it was
 * written after what is durable of it. Each deed at the file has a number, and a commit never puts an older sector over
 * a newer one: a sync and durable writes may be under way together and end in any order. */
#include "tests/support/powerfs/image.h"
#include "core/assert.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CAP_MIN             ((uint64_t)1 << 16)
#define WRITTEN_BACK_ONE_IN 8 /* of the dirty sectors that are written again: the system had been quicker */

struct shortening {
    uint64_t to;
    uint32_t at;
};

struct snapshot {
    uint32_t now;
    uint64_t size;
    uint64_t count;
    uint32_t *sectors, *written;
    char *bytes;
};

static void *must(void *block) {
    ASSERT(block && block != MAP_FAILED);
    return block;
}

/* --- life --- */

static void *map(void *old, uint64_t old_bytes, uint64_t bytes) {
    if (old) return must(mremap(old, old_bytes, bytes, MREMAP_MAYMOVE));
    return must(mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
}

static void reserve(struct image *image, uint64_t size) {
    uint64_t cap = image->cap ? image->cap : CAP_MIN, old = image->cap;
    while (cap < size) cap *= 2;
    if (cap == old) return;
    image->seen = map(image->seen, old, cap);
    image->durable = map(image->durable, old, cap);
    image->written = map(image->written, old / SECTOR * sizeof *image->written, cap / SECTOR * sizeof *image->written);
    image->kept = map(image->kept, old / SECTOR * sizeof *image->kept, cap / SECTOR * sizeof *image->kept);
    image->cap = cap;
}

void image_init(struct image *image) {
    *image = (struct image){0};
}

void image_deinit(struct image *image) {
    free(image->shortenings);
    if (!image->cap) return;
    munmap(image->seen, image->cap);
    munmap(image->durable, image->cap);
    munmap(image->written, image->cap / SECTOR * sizeof *image->written);
    munmap(image->kept, image->cap / SECTOR * sizeof *image->kept);
}

/* --- what programs see --- */

static bool is_dirty(const struct image *image, uint64_t sector) {
    return image->written[sector] > image->kept[sector];
}

static bool is_shortened(const struct image *image) {
    return image->shortening_durable < image->shortening_count;
}

static void keep(struct image *image, uint64_t sector) {
    memcpy(image->durable + sector * SECTOR, image->seen + sector * SECTOR, SECTOR);
    image->kept[sector] = image->written[sector];
}

size_t image_read(const struct image *image, char *out, size_t len, uint64_t offset) {
    if (offset >= image->size) return 0;
    len = MIN(len, image->size - offset);
    memcpy(out, image->seen + offset, len);
    return len;
}

static uint32_t next_number(struct image *image) {
    ASSERT(image->now < UINT32_MAX);
    return ++image->now;
}

static void set_size(struct image *image, uint64_t size) {
    image->size = size;
    image->longest = MAX(image->longest, size);
}

void image_write(struct image *image, const char *bytes, size_t len, uint64_t offset, struct prng *prng) {
    if (len == 0) return;
    uint32_t now = next_number(image);
    reserve(image, offset + len);
    for (uint64_t sector = offset / SECTOR; sector * SECTOR < offset + len; sector++) {
        bool again = is_dirty(image, sector) && !is_shortened(image);
        if (again && prng_below(prng, WRITTEN_BACK_ONE_IN) == 0) keep(image, sector);
        image->written[sector] = now;
    }
    memcpy(image->seen + offset, bytes, len);
    set_size(image, MAX(image->size, offset + len));
}

static void note_shortening(struct image *image, uint64_t to, uint32_t at) {
    if (image->shortening_count == image->shortening_cap) {
        image->shortening_cap = image->shortening_cap ? 2 * image->shortening_cap : 4;
        image->shortenings = must(realloc(image->shortenings, image->shortening_cap * sizeof *image->shortenings));
    }
    image->shortenings[image->shortening_count++] = (struct shortening){to, at};
}

void image_resize(struct image *image, uint64_t size) {
    uint32_t now = next_number(image);
    reserve(image, size);
    if (size < image->size) {
        memset(image->seen + size, 0, image->size - size);
        if (size % SECTOR) image->written[size / SECTOR] = now;
        note_shortening(image, size, now);
    }
    set_size(image, size);
}

/* --- what is durable --- */

struct snapshot *image_snapshot(const struct image *image, uint64_t from, uint64_t to, uint64_t size) {
    struct snapshot *snapshot = must(calloc(1, sizeof *snapshot));
    *snapshot = (struct snapshot){.now = image->now, .size = size};
    uint64_t first = from / SECTOR, end = (to + SECTOR - 1) / SECTOR, count = 0;
    for (uint64_t sector = first; sector < end; sector++) count += is_dirty(image, sector);
    if (count == 0) return snapshot;
    snapshot->sectors = must(malloc(count * sizeof *snapshot->sectors));
    snapshot->written = must(malloc(count * sizeof *snapshot->written));
    snapshot->bytes = must(malloc(count * SECTOR));
    for (uint64_t sector = first; sector < end; sector++) {
        if (!is_dirty(image, sector)) continue;
        snapshot->sectors[snapshot->count] = (uint32_t)sector;
        snapshot->written[snapshot->count] = image->written[sector];
        memcpy(snapshot->bytes + snapshot->count++ * SECTOR, image->seen + sector * SECTOR, SECTOR);
    }
    return snapshot;
}

struct snapshot *image_snapshot_all(const struct image *image) {
    return image_snapshot(image, 0, image->size, image->size);
}

void snapshot_delete(struct snapshot *snapshot) {
    if (!snapshot) return;
    free(snapshot->sectors);
    free(snapshot->written);
    free(snapshot->bytes);
    free(snapshot);
}

/* What is durable behind the end is zeros from then on, and newer than what was written there before. */
static void shorten(struct image *image, struct shortening by) {
    for (uint64_t sector = by.to / SECTOR; sector * SECTOR < image->longest; sector++) {
        if (image->kept[sector] >= by.at) continue;
        uint64_t from = MAX(by.to, sector * SECTOR);
        if (image->kept[sector]) memset(image->durable + from, 0, (sector + 1) * SECTOR - from);
        if (from == sector * SECTOR) image->kept[sector] = by.at;
    }
    image->durable_size = MIN(image->durable_size, by.to);
}

/* Those that were before `now`. */
static void shorten_until(struct image *image, uint32_t now) {
    for (; is_shortened(image) && image->shortenings[image->shortening_durable].at <= now; image->shortening_durable++)
        shorten(image, image->shortenings[image->shortening_durable]);
}

/* How far what was done then reaches now. */
static uint64_t end_of(const struct image *image, uint32_t at, uint64_t end) {
    for (uint32_t i = image->shortening_durable; i > 0 && image->shortenings[i - 1].at > at; i--)
        end = MIN(end, image->shortenings[i - 1].to);
    return end;
}

static bool is_outdated(const struct image *image, uint64_t sector, uint32_t written) {
    return image->kept[sector] >= written;
}

static void keep_as_it_was(struct image *image, const struct snapshot *snapshot, uint64_t i) {
    uint64_t begin = snapshot->sectors[i] * SECTOR, end = end_of(image, snapshot->written[i], begin + SECTOR);
    ASSERT(end >= begin); /* else it is outdated */
    memcpy(image->durable + begin, snapshot->bytes + i * SECTOR, SECTOR);
    memset(image->durable + end, 0, begin + SECTOR - end);
}

void image_commit(struct image *image, const struct snapshot *snapshot) {
    shorten_until(image, snapshot->now);
    image->durable_size = MAX(image->durable_size, end_of(image, snapshot->now, snapshot->size));
    for (uint64_t i = 0; i < snapshot->count; i++) {
        uint64_t sector = snapshot->sectors[i];
        if (is_outdated(image, sector, snapshot->written[i])) continue;
        keep_as_it_was(image, snapshot, i);
        image->kept[sector] = snapshot->written[i];
    }
}

void image_lose(struct image *image, const struct snapshot *snapshot, struct prng *prng) {
    for (uint64_t i = 0; i < snapshot->count; i++) {
        uint64_t sector = snapshot->sectors[i];
        if (is_outdated(image, sector, snapshot->written[i])) continue;
        if (prng_below(prng, 2)) keep_as_it_was(image, snapshot, i);
        image->kept[sector] = snapshot->written[i];
    }
}

uint64_t image_dirty_sectors(const struct image *image) {
    uint64_t count = 0;
    for (uint64_t sector = 0; sector * SECTOR < image->size; sector++) count += is_dirty(image, sector);
    return count;
}

/* --- the cut --- */

static uint64_t size_left(const struct image *image, enum cut_kind kind, struct prng *prng) {
    if (kind == CUT_DROP || image->size <= image->durable_size) return image->durable_size;
    uint64_t fate = kind == CUT_KEEP ? 2 : prng_below(prng, 3);
    if (fate == 0) return image->durable_size;
    if (fate == 2) return image->size;
    return MIN(image->size,
               image->durable_size + prng_below(prng, image->size - image->durable_size) / SECTOR * SECTOR);
}

static uint64_t permille_left(enum cut_kind kind, struct prng *prng) {
    static const uint16_t some[] = {0, 20, 200, 500, 800, 980, 1000};
    if (kind != CUT_TORN) return kind == CUT_KEEP ? 1000 : 0;
    return some[prng_below(prng, ARRAY_LEN(some))];
}

/* Groups of `grain` sectors stay or go together. */
static void keep_some(struct image *image, uint64_t permille, uint32_t grain, struct prng *prng, struct toll *toll) {
    bool stays = false;
    for (uint64_t sector = 0; sector * SECTOR < image->size; sector++) {
        if (sector % grain == 0) stays = prng_below(prng, 1000) < permille;
        if (!is_dirty(image, sector)) continue;
        toll->sectors++;
        if (stays)
            keep(image, sector);
        else
            toll->sectors_lost++;
    }
}

/* Programs see what is durable, and nothing else is. */
static void begin_again(struct image *image) {
    if (image->cap == 0) return;
    uint64_t end = (image->longest + SECTOR - 1) / SECTOR * SECTOR;
    memset(image->durable + image->durable_size, 0, end - image->durable_size);
    memcpy(image->seen, image->durable, end);
    memcpy(image->written, image->kept, image->cap / SECTOR * sizeof *image->written);
    image->size = image->durable_size;
    image->shortening_count = image->shortening_durable = 0;
}

void image_cut(struct image *image, enum cut_kind kind, uint32_t grain, struct prng *prng, struct toll *toll) {
    uint64_t permille = permille_left(kind, prng);
    while (is_shortened(image) && prng_below(prng, 1000) < permille)
        shorten_until(image, image->shortenings[image->shortening_durable].at);
    if (is_shortened(image)) {
        keep_some(image, 0, grain, prng, toll);
    } else {
        image->durable_size = size_left(image, kind, prng);
        keep_some(image, permille, grain, prng, toll);
    }
    begin_again(image);
}
