/* Geo: numbers, texts and distances of known places; that decoding comes as near as the grid is fine; and that the
 * intervals that cover a shape hold every place within it, for random circles and boxes away from the poles. */
#include "core/geo.h"
#include "core/prng.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

/* Redis's documentation has these. */
static const struct geo_point palermo = {13.361389, 38.115556}, catania = {15.087269, 37.502669};

static void known_places(void **state) {
    (void)state;
    char text[GEO_HASH_LEN];
    assert_true(geo_encode(palermo) == 3479099956230698 && geo_encode(catania) == 3479447370796909);
    geo_hash_text(3479099956230698, text);
    assert_memory_equal(text, "sqc8b49rny0", GEO_HASH_LEN);
    geo_hash_text(3479447370796909, text);
    assert_memory_equal(text, "sqdtr74hyu0", GEO_HASH_LEN);
    double distance = geo_distance(geo_decode(3479099956230698), geo_decode(3479447370796909));
    assert_true(fabs(distance - 166274.1516) < 0.0001);
    assert_true(geo_distance(palermo, palermo) == 0);
}

static void edges(void **state) {
    (void)state;
    assert_true(geo_is_valid((struct geo_point){180, GEO_LAT_MAX}));
    assert_true(geo_is_valid((struct geo_point){-180, -GEO_LAT_MAX}));
    assert_false(geo_is_valid((struct geo_point){180.0001, 0}));
    assert_false(geo_is_valid((struct geo_point){0, 85.06}));
    assert_false(geo_is_valid((struct geo_point){NAN, 0}));
    assert_true(geo_encode((struct geo_point){-180, -GEO_LAT_MAX}) == 0);
    static const double scores[] = {0, -0.0, 1e300, -1e300, INFINITY, -INFINITY, -1, 4503599627370496, 1.8e19, 2e19};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++) assert_true(geo_is_valid(geo_decode(scores[i])));
}

static double some(struct prng *prng, double from, double to) {
    return from + (to - from) * ((double)(prng_next(prng) >> 11) * 0x1p-53);
}

static void decodes_nearby(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    for (int i = 0; i < 100000; i++) {
        struct geo_point point = {some(&prng, -180, 180), some(&prng, -GEO_LAT_MAX, GEO_LAT_MAX)};
        uint64_t bits = geo_encode(point);
        struct geo_point again = geo_decode((double)bits);
        assert_true(bits < 1ull << 52 && geo_encode(again) == bits);
        assert_true(fabs(again.lon - point.lon) <= 360 * 0x1p-27 && fabs(again.lat - point.lat) <= 171 * 0x1p-27);
    }
}

static bool covered(const struct geo_range *ranges, uint32_t count, uint64_t bits) {
    for (uint32_t i = 0; i < count; i++)
        if (bits >= ranges[i].from && bits < ranges[i].to) return true;
    return false;
}

static void covers_shapes(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL)), inside = 0;
    print_message("SHERD_SEED=%" PRIu64 "\n", seed);
    struct prng prng;
    prng_init(&prng, seed);
    for (int round = 0; round < 2000; round++) {
        struct geo_range ranges[GEO_RANGES];
        double size = pow(10, some(&prng, 0, 6));
        struct geo_shape shape = {.box = prng_below(&prng, 2),
                                  .centre = {some(&prng, -140, 140), some(&prng, -55, 55)},
                                  .radius = size,
                                  .width = size,
                                  .height = some(&prng, 1, size),
                                  .unit = prng_below(&prng, 2) ? 1 : 0.3048};
        uint32_t count = geo_cover(&shape, ranges);
        assert_in_range(count, 1, GEO_RANGES);
        for (int i = 0; i < 100; i++) {
            double reach = size / 50000, distance; /* degrees; a bit more than the shape's */
            struct geo_point point = {shape.centre.lon + some(&prng, -reach, reach),
                                      shape.centre.lat + some(&prng, -reach, reach)};
            if (!geo_is_valid(point)) continue;
            uint64_t bits = geo_encode(point);
            if (!geo_within(&shape, geo_decode((double)bits), &distance)) continue;
            inside++;
            assert_true(distance == geo_distance(shape.centre, geo_decode((double)bits)));
            assert_true(covered(ranges, count, bits));
        }
    }
    assert_true(inside > 10000);
}

/* The largest cells wrap around, and are not gone through twice. */
static void large_shapes(void **state) {
    (void)state;
    static const double radii[] = {0, 1e6, 5e6, 1e7, 2e7, 4e7, 1e300, INFINITY};
    for (size_t i = 0; i < sizeof radii / sizeof *radii; i++) {
        struct geo_range ranges[GEO_RANGES];
        struct geo_shape shape = {.centre = {170, 80.5}, .radius = radii[i], .unit = 1};
        uint32_t count = geo_cover(&shape, ranges);
        for (uint32_t a = 0; a < count; a++)
            for (uint32_t b = 0; b < a; b++) assert_true(ranges[a].from != ranges[b].from);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_places), cmocka_unit_test(edges),
                                       cmocka_unit_test(decodes_nearby), cmocka_unit_test(covers_shapes),
                                       cmocka_unit_test(large_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
