/* The cell of a shape's centre is chosen so large that the eight around it reach further than the shape: from its
 * radius, one step coarser towards the poles, where cells are narrow, and one more when a neighbour ends too early.
 * Cells that the shape does not reach are left out. Near the coarsest step, cells wrap around and some of the eight are
 * the same; the order in which they come makes equal ones neighbours. */
#include "core/geo.h"
#include "core/assert.h"
#include <math.h>

#define STEPS        26u            /* bits of a coordinate */
#define EARTH_RADIUS 6372797.560856 /* metres: the quadratic mean of WGS 84, as Redis has it */
#define MERCATOR_MAX 20037726.37    /* half of the equator on the map */
#define LAT_BITS     0x5555555555555555ull
#define LON_BITS     0xAAAAAAAAAAAAAAAAull

static double radians(double degrees) {
    return degrees * (M_PI / 180.0);
}
static double degrees(double angle) {
    return angle / (M_PI / 180.0);
}

bool geo_is_valid(struct geo_point point) {
    return point.lon >= -GEO_LON_MAX && point.lon <= GEO_LON_MAX && point.lat >= -GEO_LAT_MAX &&
           point.lat <= GEO_LAT_MAX;
}

/* --- numbers --- */

/* Bit i of the word becomes bit 2i. */
static uint64_t spread(uint32_t word) {
    uint64_t x = word;
    x = (x | x << 16) & 0x0000FFFF0000FFFFull;
    x = (x | x << 8) & 0x00FF00FF00FF00FFull;
    x = (x | x << 4) & 0x0F0F0F0F0F0F0F0Full;
    x = (x | x << 2) & 0x3333333333333333ull;
    return (x | x << 1) & LAT_BITS;
}

/* The other way round. */
static uint32_t gather_bits(uint64_t x) {
    x &= LAT_BITS;
    x = (x | x >> 1) & 0x3333333333333333ull;
    x = (x | x >> 2) & 0x0F0F0F0F0F0F0F0Full;
    x = (x | x >> 4) & 0x00FF00FF00FF00FFull;
    x = (x | x >> 8) & 0x0000FFFF0000FFFFull;
    return (uint32_t)(x | x >> 16);
}

/* A square of the grid: 2 * step bits. Step 0: none. */
struct cell {
    uint64_t bits;
    uint32_t step;
};

static uint32_t fraction(double value, double max, uint32_t step) {
    double offset = (value + max) / (max + max);
    return (uint32_t)(offset * (double)(1ull << step));
}

static struct cell cell_of(struct geo_point point, double lat_max, uint32_t step) {
    return (struct cell){
        spread(fraction(point.lat, lat_max, step)) | spread(fraction(point.lon, GEO_LON_MAX, step)) << 1, step};
}

struct area {
    struct geo_point min, max;
};

static double edge(uint32_t index, uint32_t step, double max) {
    return -max + (index * 1.0 / (double)(1ull << step)) * (max + max);
}

static struct area area_of(struct cell cell) {
    uint32_t lat = gather_bits(cell.bits), lon = gather_bits(cell.bits >> 1);
    return (struct area){{edge(lon, cell.step, GEO_LON_MAX), edge(lat, cell.step, GEO_LAT_MAX)},
                         {edge(lon + 1, cell.step, GEO_LON_MAX), edge(lat + 1, cell.step, GEO_LAT_MAX)}};
}

static double within(double value, double max) {
    return value > max ? max : value < -max ? -max : value;
}

uint64_t geo_encode(struct geo_point point) {
    ASSERT(geo_is_valid(point));
    return cell_of(point, GEO_LAT_MAX, STEPS).bits;
}

/* As x86 converts a double to 64 bits without a sign, also what does not fit, which C leaves open: negative ones as if
 * they had one, and all others that are out of range as the nearest thing to nothing. */
static uint64_t bits_of(double score) {
    if (score >= 0x1p63) return score < 0x1p64 ? (uint64_t)score : 0;
    return score >= -0x1p63 ? (uint64_t)(int64_t)score : 1ull << 63;
}

struct geo_point geo_decode(double score) {
    struct area area = area_of((struct cell){bits_of(score), STEPS});
    return (struct geo_point){within((area.min.lon + area.max.lon) / 2, GEO_LON_MAX),
                              within((area.min.lat + area.max.lat) / 2, GEO_LAT_MAX)};
}

void geo_hash_text(double score, char out[GEO_HASH_LEN]) {
    static const char alphabet[] = "0123456789bcdefghjkmnpqrstuvwxyz";
    uint64_t bits = cell_of(geo_decode(score), 90, STEPS).bits;
    for (unsigned i = 0; i < GEO_HASH_LEN - 1; i++) out[i] = alphabet[bits >> (52 - (i + 1) * 5) & 31];
    out[GEO_HASH_LEN - 1] = '0'; /* 52 bits are ten letters; an eleventh is what clients expect */
}

/* --- distances --- */

static double lat_distance(double a, double b) {
    return EARTH_RADIUS * fabs(radians(b) - radians(a));
}

double geo_distance(struct geo_point a, struct geo_point b) {
    double v = sin((radians(b.lon) - radians(a.lon)) / 2);
    if (v == 0.0) return lat_distance(a.lat, b.lat);
    double lat_a = radians(a.lat), lat_b = radians(b.lat);
    double u = sin((lat_b - lat_a) / 2);
    double root = sqrt(u * u + cos(lat_a) * cos(lat_b) * v * v);
    return 2.0 * EARTH_RADIUS * asin(fmin(root, 1)); /* on the other side of the earth rounding may lead beyond 1 */
}

bool geo_within(const struct geo_shape *shape, struct geo_point point, double *distance) {
    if (shape->box) {
        struct geo_point beside = {shape->centre.lon, point.lat};
        if (lat_distance(point.lat, shape->centre.lat) > shape->height * shape->unit / 2) return false;
        if (geo_distance(point, beside) > shape->width * shape->unit / 2) return false;
    }
    *distance = geo_distance(shape->centre, point);
    return shape->box || *distance <= shape->radius * shape->unit;
}

/* --- covering --- */

static uint32_t step_for(double metres, double lat) {
    int step = 1;
    if (metres == 0) return STEPS;
    for (; metres < MERCATOR_MAX; metres *= 2) step++;
    step -= 2; /* so that the cells reach further in most cases */
    if (fabs(lat) > 66) step--;
    if (fabs(lat) > 80) step--;
    return step < 1 ? 1 : step > (int)STEPS ? STEPS : (uint32_t)step;
}

/* What the shape reaches. A degree of longitude is shorter towards the pole, so there the wider edge counts. */
static struct area bounds_of(const struct geo_shape *shape) {
    double height = shape->unit * (shape->box ? shape->height / 2 : shape->radius);
    double width = shape->unit * (shape->box ? shape->width / 2 : shape->radius);
    struct geo_point centre = shape->centre;
    double lat = degrees(height / EARTH_RADIUS);
    double widest = centre.lat < 0 ? centre.lat - lat : centre.lat + lat;
    double lon = degrees(width / EARTH_RADIUS / cos(radians(widest)));
    return (struct area){{centre.lon - lon, centre.lat - lat}, {centre.lon + lon, centre.lat + lat}};
}

/* The bits of one coordinate, `mask`, of the cell, one up or down; around the edge they wrap. (What lies at the very
 * edge has one bit more; it stays in the coordinate that is not moved.) */
static uint64_t moved(uint64_t bits, uint64_t mask, int by, uint32_t step) {
    uint64_t all = ~0ull >> (64 - step * 2), own = bits & mask, other = bits & ~mask, gaps = ~mask & all;
    if (by > 0) own += gaps + 1;
    if (by < 0) own = (own | gaps) - (gaps + 1);
    return (own & mask & all) | other;
}

static struct cell neighbour(struct cell cell, int east, int north) {
    uint64_t bits = cell.bits;
    if (east) bits = moved(bits, LON_BITS, east, cell.step);
    if (north) bits = moved(bits, LAT_BITS, north, cell.step);
    return (struct cell){bits, cell.step};
}

/* Do the four cells beside it reach as far as the shape? */
static bool neighbours_reach(struct cell cell, const struct area *bounds) {
    return !(area_of(neighbour(cell, 0, 1)).max.lat < bounds->max.lat) && /* bounds of a huge shape are no numbers */
           !(area_of(neighbour(cell, 0, -1)).min.lat > bounds->min.lat) &&
           !(area_of(neighbour(cell, 1, 0)).max.lon < bounds->max.lon) &&
           !(area_of(neighbour(cell, -1, 0)).min.lon > bounds->min.lon);
}

/* Does the shape end within the cell, on this side? */
static bool is_useless(const struct area *area, const struct area *bounds, int east, int north) {
    return (north < 0 && area->min.lat < bounds->min.lat) || (north > 0 && area->max.lat > bounds->max.lat) ||
           (east < 0 && area->min.lon < bounds->min.lon) || (east > 0 && area->max.lon > bounds->max.lon);
}

static double reach_of(const struct geo_shape *shape) {
    double w = shape->width / 2, h = shape->height / 2;
    return (shape->box ? sqrt(w * w + h * h) : shape->radius) * shape->unit;
}

uint32_t geo_cover(const struct geo_shape *shape, struct geo_range out[GEO_RANGES]) {
    static const int8_t ways[GEO_RANGES][2] = {{0, 0}, {0, 1},  {0, -1}, {1, 0},  {-1, 0},
                                               {1, 1}, {-1, 1}, {1, -1}, {-1, -1}}; /* east, north */
    struct area bounds = bounds_of(shape);
    uint32_t step = step_for(reach_of(shape), shape->centre.lat), count = 0;
    struct cell centre = cell_of(shape->centre, GEO_LAT_MAX, step);
    if (step > 1 && !neighbours_reach(centre, &bounds)) centre = cell_of(shape->centre, GEO_LAT_MAX, --step);
    struct area area = area_of(centre);
    for (size_t i = 0; i < GEO_RANGES; i++) {
        if (step >= 2 && is_useless(&area, &bounds, ways[i][0], ways[i][1])) continue;
        uint64_t bits = neighbour(centre, ways[i][0], ways[i][1]).bits;
        uint32_t shift = 52 - step * 2;
        struct geo_range range = {bits << shift, (bits + 1) << shift};
        if (count > 1 && out[count - 1].from == range.from) continue; /* cells wrap around: it was the one before */
        out[count++] = range;
    }
    return count;
}
