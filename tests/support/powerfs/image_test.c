/* Images beside a naive twin: whatever a power cut leaves of a file was there at some time, and not before the latest
 * sync or durable write that covered it and had ended.
 *
 * Writes and changes of the size are random, syncs and durable writes end later and in any order, and then the power
 * goes. The twin remembers what every half sector was after each deed (0 behind the end) and, for each, the deed that
 * must not be taken back. SHERD_SEED repeats what a failure printed. */
#include "tests/support/powerfs/image.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define CELL      ((uint64_t)256) /* half a cell */
#define CELLS     48
#define DEEDS_MAX 200
#define SYNCS_MAX 4
#define LIVES     300

struct sync {
    struct snapshot *snapshot;
    uint32_t at, from, to; /* deed; cells */
};

struct twin {
    struct prng prng;
    struct image image;
    uint32_t now;
    unsigned char was[DEEDS_MAX + 1][CELLS]; /* after each deed; 0: as the life began */
    uint32_t size;                           /* in cells */
    uint32_t floor[CELLS];
    struct sync syncs[SYNCS_MAX];
    uint32_t sync_count;
};

static uint32_t below(struct twin *twin, uint32_t n) {
    return (uint32_t)prng_below(&twin->prng, n);
}

static unsigned char *next_deed(struct twin *twin) {
    memcpy(twin->was[twin->now + 1], twin->was[twin->now], CELLS);
    return twin->was[++twin->now];
}

static void begin_sync(struct twin *twin, uint32_t from, uint32_t to, struct snapshot *snapshot) {
    twin->syncs[twin->sync_count++] = (struct sync){snapshot, twin->now, from, to};
}

static void end_sync(struct twin *twin) {
    uint32_t i = below(twin, twin->sync_count);
    struct sync sync = twin->syncs[i];
    twin->syncs[i] = twin->syncs[--twin->sync_count];
    image_commit(&twin->image, sync.snapshot);
    snapshot_delete(sync.snapshot);
    for (i = sync.from; i < sync.to; i++) twin->floor[i] = MAX(twin->floor[i], sync.at);
}

static void write_some(struct twin *twin) {
    uint32_t from = below(twin, CELLS), to = from + 1 + below(twin, CELLS - from);
    char bytes[CELLS * CELL];
    unsigned char *is = next_deed(twin);
    memset(bytes, 1 + (int)twin->now % 255, sizeof bytes);
    memset(is + from, 1 + (int)twin->now % 255, to - from);
    image_write(&twin->image, bytes, (to - from) * CELL, from * CELL, &twin->prng);
    twin->size = MAX(twin->size, to);
    if (below(twin, 3) || twin->sync_count == SYNCS_MAX) return;
    begin_sync(twin, from, to, image_snapshot(&twin->image, from * CELL, to * CELL, to * CELL));
}

static void resize(struct twin *twin) {
    uint32_t size = below(twin, CELLS + 1);
    unsigned char *is = next_deed(twin);
    if (size < twin->size) memset(is + size, 0, twin->size - size);
    image_resize(&twin->image, size * CELL);
    twin->size = size;
}

static void act(struct twin *twin) {
    switch (below(twin, 8)) {
    case 0: resize(twin); break;
    case 1:
        if (twin->sync_count < SYNCS_MAX) begin_sync(twin, 0, CELLS, image_snapshot_all(&twin->image));
        break;
    case 2:
    case 3:
        if (twin->sync_count) end_sync(twin);
        break;
    default: write_some(twin);
    }
}

/* What the cell holds now, all of which is the same. */
static unsigned char look(const struct image *image, uint32_t cell) {
    char bytes[CELL] = {0};
    image_read(image, bytes, sizeof bytes, cell * CELL);
    for (size_t i = 1; i < CELL; i++) assert_int_equal(bytes[i], bytes[0]);
    return (unsigned char)bytes[0];
}

static bool was_there(const struct twin *twin, uint32_t cell, unsigned char value) {
    for (uint32_t at = twin->floor[cell]; at <= twin->now; at++)
        if (twin->was[at][cell] == value) return true;
    return false;
}

static void cut(struct twin *twin) {
    static const enum cut_kind kinds[] = {CUT_TORN, CUT_TORN, CUT_TORN, CUT_DROP, CUT_KEEP};
    enum cut_kind kind = kinds[below(twin, ARRAY_LEN(kinds))];
    struct toll toll = {0};
    image_cut(&twin->image, kind, below(twin, 2) ? 1 : 8, &twin->prng, &toll);
    assert_true(image_dirty_sectors(&twin->image) == 0);
    for (uint32_t i = 0; i < CELLS; i++) {
        unsigned char left = look(&twin->image, i);
        assert_true(kind == CUT_KEEP ? left == twin->was[twin->now][i] : was_there(twin, i, left));
        twin->was[0][i] = left;
        twin->floor[i] = 0;
    }
    assert_true(kind != CUT_KEEP || twin->image.size == twin->size * CELL);
    twin->size = (uint32_t)(twin->image.size / CELL);
    twin->now = 0;
    for (; twin->sync_count; twin->sync_count--) snapshot_delete(twin->syncs[twin->sync_count - 1].snapshot);
}

static void what_is_left_was_there(void **state) {
    (void)state;
    static struct twin twin;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    fprintf(stderr, "SHERD_SEED=%" PRIu64 "\n", seed);
    prng_init(&twin.prng, seed);
    image_init(&twin.image);
    for (uint32_t life = 0; life < LIVES; life++) {
        for (uint32_t deeds = below(&twin, DEEDS_MAX); deeds; deeds--) act(&twin);
        cut(&twin);
    }
    image_deinit(&twin.image);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_left_was_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
