/* Geo: places on the earth as 52-bit numbers, and which of these numbers lie within a shape.
 *
 *      score     lon 25 | lat 25 | lon 24 | lat 24 | ... | lon 0 | lat 0          52 bits, so exact as a double
 *
 * Each coordinate is a fraction of its range in 26 bits; their bits alternate. A prefix of 2 * step bits is a cell of a
 * grid that is twice as fine with each step, and all places in a cell are one interval of numbers. So a shape is
 * covered by the cell of its centre and the eight around it, and what a sorted set holds in these nine intervals is
 * then looked at place by place. (Morton 1966; "geohash", Niemeyer 2008.)
 *
 * The ranges are those of the web's Mercator maps, longitudes to 180 and latitudes to 85.05112878 degrees, and
 * distances are on a sphere, by the haversine formula. Numbers, order of intervals and last digits are Redis's: clients
 * store them.
 *
 * Pure functions, on any thread. Cost: an encode or decode some ns, a distance about 60 ns. */
#pragma once
#include "core/slice.h"

#define GEO_LON_MAX 180.0
#define GEO_LAT_MAX 85.05112878

struct geo_point {
    double lon, lat; /* degrees */
};

bool geo_is_valid(struct geo_point point);   /* within the ranges */
uint64_t geo_encode(struct geo_point point); /* of a valid one */
/* The middle of the smallest cell. Any score of a sorted set is taken for a number in some way. */
struct geo_point geo_decode(double score);

#define GEO_HASH_LEN 11
/* The place as the text that geohash.org knows it by, where latitudes go to 90. */
void geo_hash_text(double score, char out[GEO_HASH_LEN]);

double geo_distance(struct geo_point a, struct geo_point b); /* metres */

/* --- shapes --- */
struct geo_shape {
    bool box; /* else a circle */
    struct geo_point centre;
    double radius, width, height; /* in units; a box has width and height */
    double unit;                  /* in metres */
};

/* Is it there? Then *distance is how far it is from the centre, in metres. */
bool geo_within(const struct geo_shape *shape, struct geo_point point, double *distance);

#define GEO_RANGES 9
struct geo_range {
    uint64_t from, to; /* scores from .. to - 1 */
};
/* Intervals that hold every place within the shape; how many. They are to be walked in this order. */
uint32_t geo_cover(const struct geo_shape *shape, struct geo_range out[GEO_RANGES]);
