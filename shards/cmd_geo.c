/* Places in sorted sets: GEOADD and what is asked of single members. A place is a score (core/geo.h), so everything
 * else that sorted sets can do works on them. The searches are in cmd_geo_search.c. */
#include "core/assert.h"
#include "core/geo.h"
#include "core/num.h"
#include "shards/args_work.h"
#include "shards/cmd_geo_priv.h"
#include "shards/cmd_tables.h"
#include "shards/cmd_zset_priv.h"
#include <math.h>

/* --- shared with cmd_geo_search.c --- */

bool geo_parse_point(struct exec *x, const struct slice *words, struct geo_point *point) {
    if (!num_parse_double(words[0], &point->lon) || !num_parse_double(words[1], &point->lat)) {
        reply_error(x, "ERR value is not a valid float");
        return false;
    }
    if (geo_is_valid(*point)) return true;
    reply_errorf(x, "ERR invalid longitude,latitude pair %f,%f", point->lon, point->lat);
    return false;
}

bool geo_parse_unit(struct exec *x, struct slice word, double *metres) {
    static const struct {
        struct slice name;
        double metres;
    } units[] = {
        {SLICE_INIT("m"), 1}, {SLICE_INIT("km"), 1000}, {SLICE_INIT("ft"), 0.3048}, {SLICE_INIT("mi"), 1609.34}};
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (!slice_equal_nocase(word, units[i].name)) continue;
        *metres = units[i].metres;
        return true;
    }
    reply_error(x, "ERR unsupported unit provided. please use M, KM, FT, MI");
    return false;
}

void geo_reply_distance(struct exec *x, double distance) {
    char text[NUM_I64_MAX + 6];
    int64_t scaled = llrint(distance * 10000);
    ASSERT(scaled >= 0);
    size_t len = num_format_i64(text, scaled / 10000);
    text[len++] = '.';
    for (int64_t digit = 1000; digit > 0; digit /= 10) text[len++] = (char)('0' + scaled / digit % 10);
    reply_bulk(x, slice_of(text, len));
}

void geo_reply_point(struct exec *x, struct geo_point point) {
    char digits[NUM_LONG_DOUBLE_HUMAN_MAX];
    const double both[] = {point.lon, point.lat};
    reply_array(x, 2);
    for (size_t i = 0; i < ARRAY_LEN(both); i++) {
        struct slice text = slice_of(digits, num_format_long_double_human(digits, both[i]));
        if (x->resp == 2) {
            reply_bulk(x, text);
            continue;
        }
        buf_append_literal(x->out, ",");
        buf_append_slice(x->out, text);
        buf_append_literal(x->out, "\r\n");
    }
}

/* --- GEOADD --- */

/* argv[2 ..]; *first: longitude latitude member ... */
static bool parse_add(struct exec *x, struct zset_add *add, uint32_t *first) {
    uint32_t at = 2;
    struct geo_point point;
    *add = (struct zset_add){0};
    while (at < x->argc && zset_add_option(x, at, add)) at++;
    *first = at;
    if ((x->argc - at) % 3 != 0 || at == x->argc || (add->nx && add->xx)) {
        reply_syntax_error(x);
        return false;
    }
    for (; at < x->argc; at += 3)
        if (!geo_parse_point(x, &x->argv[at], &point)) return false;
    return true;
}

static void cmd_geoadd(struct exec *x) {
    struct zset_add add;
    struct key_ref ref;
    uint32_t first;
    if (!parse_add(x, &add, &first) || !exec_open(x, 1, TYPE_ZSET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = first, .step = 3, .reply = ARGS_ADD_UP})) return;
    for (uint32_t at = first; at < x->argc; at += 3) {
        struct geo_point point;
        bool readable = geo_parse_point(x, &x->argv[at], &point);
        ASSERT(readable); /* it was in the first pass */
        double score = (double)geo_encode(point);
        (void)zset_add_one(x, &ref, &add, x->argv[at + 2], &score);
    }
    zset_add_end(x, &add);
}

/* --- asking --- */

static void cmd_geodist(struct exec *x) {
    struct key_ref ref;
    double unit = 1, scores[2];
    if (x->argc > 5) {
        reply_syntax_error(x);
        return;
    }
    if ((x->argc == 5 && !geo_parse_unit(x, x->argv[4], &unit)) || !exec_read(x, 1, TYPE_ZSET, &ref)) return;
    if (!ref.entry || !zset_score(ref.entry, x->argv[2], &scores[0]) ||
        !zset_score(ref.entry, x->argv[3], &scores[1])) {
        reply_null(x);
        return;
    }
    geo_reply_distance(x, geo_distance(geo_decode(scores[0]), geo_decode(scores[1])) / unit);
}

static void cmd_geohash(struct exec *x) {
    struct key_ref ref;
    double score;
    char text[GEO_HASH_LEN];
    if (!exec_read(x, 1, TYPE_ZSET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_LIST})) return;
    reply_array(x, x->argc - 2);
    for (uint32_t at = 2; at < x->argc; at++) {
        if (!ref.entry || !zset_score(ref.entry, x->argv[at], &score)) {
            reply_null(x);
            continue;
        }
        geo_hash_text(score, text);
        reply_bulk(x, slice_of(text, sizeof text));
    }
}

static void cmd_geopos(struct exec *x) {
    struct key_ref ref;
    double score;
    if (!exec_read(x, 1, TYPE_ZSET, &ref)) return;
    if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_LIST})) return;
    reply_array(x, x->argc - 2);
    for (uint32_t at = 2; at < x->argc; at++) {
        if (ref.entry && zset_score(ref.entry, x->argv[at], &score))
            geo_reply_point(x, geo_decode(score));
        else
            reply_null_array(x);
    }
}

const struct command geo_commands[] = {
    {.name = "geoadd",
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_GEO,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_geoadd,
     .takes_turns = true,
     .replays = true,
     .beside_save = BESIDE_ELEMENTS,
     .group = "geo",
     .since = "3.2.0",
     .cost = "O(log(N)) for each member",
     .args = "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]",
     .doc = "Adds members with their places, or moves them."},
    {.name = "geodist",
     .arity = -4,
     .flags = CMD_READ,
     .acl = ACL_GEO,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_geodist,
     .group = "geo",
     .since = "3.2.0",
     .cost = "O(1)",
     .args = "key member1 member2 [M | KM | FT | MI]",
     .doc = "Answers how far two members are from each other."},
    {.name = "geohash",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_GEO,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_geohash,
     .takes_turns = true,
     .group = "geo",
     .since = "3.2.0",
     .cost = "O(1) for each member",
     .args = "key [member [member ...]]",
     .doc = "Answers places as geohash texts."},
    {.name = "geopos",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_GEO,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_geopos,
     .takes_turns = true,
     .group = "geo",
     .since = "3.2.0",
     .cost = "O(1) for each member",
     .args = "key [member [member ...]]",
     .doc = "Answers places as longitude and latitude."},
    {0},
};
