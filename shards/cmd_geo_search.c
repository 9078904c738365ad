/* Members within a circle or a box: GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS and GEORADIUSBYMEMBER.
 *
 * A search walks over the intervals of scores that cover the shape (core/geo.h) and keeps the members that lie within.
 * Their order is that of the walk, unless a sort or COUNT without ANY is asked for; equal distances keep it. With COUNT
 * it keeps about twice as many as are asked for. When it passes over many members it takes turns (cmd_geo_work.c),
 * unless all that it finds is the reply.
 *
 * Over two shards the source's owner searches and the result goes to the destination's (geo_gather.c). */
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_geo_priv.h"
#include "shards/cmd_geo_search_priv.h"
#include "shards/cmd_tables.h"
#include "shards/cmd_zset_priv.h"
#include "shards/piece.h"
#include "shards/shard.h"
#include <stdlib.h>

/* --- arguments --- */

enum centre { AT_POINT, AT_MEMBER, BY_WORDS };

/* What differs between the commands. */
struct form {
    enum centre centre; /* what stands behind the key; BY_WORDS: anything, in any order */
    uint32_t key_at;
    bool stores;    /* argv[1] is the destination */
    bool may_store; /* it has STORE and STOREDIST */
};
static const struct form radius_form = {AT_POINT, 1, false, true}, radius_ro_form = {AT_POINT, 1, false, false},
                         member_form = {AT_MEMBER, 1, false, true}, member_ro_form = {AT_MEMBER, 1, false, false},
                         search_form = {BY_WORDS, 1, false, false}, store_form = {BY_WORDS, 2, true, false};

static bool parse_number(struct exec *x, struct slice word, double *value, const char *error) {
    if (num_parse_double(word, value)) return true;
    reply_error(x, error);
    return false;
}

/* words: radius unit */
static bool parse_radius(struct exec *x, struct search *search, const struct slice *words) {
    struct geo_shape *shape = &search->shape;
    if (!parse_number(x, words[0], &shape->radius, "ERR need numeric radius")) return false;
    if (shape->radius < 0) {
        reply_error(x, "ERR radius cannot be negative");
        return false;
    }
    return geo_parse_unit(x, words[1], &shape->unit);
}

/* words: width height unit */
static bool parse_box(struct exec *x, struct search *search, const struct slice *words) {
    struct geo_shape *shape = &search->shape;
    shape->box = true;
    if (!parse_number(x, words[0], &shape->width, "ERR need numeric width") ||
        !parse_number(x, words[1], &shape->height, "ERR need numeric height"))
        return false;
    if (shape->width < 0 || shape->height < 0) {
        reply_error(x, "ERR height or width cannot be negative");
        return false;
    }
    return geo_parse_unit(x, words[2], &shape->unit);
}

static bool find_member(struct exec *x, struct search *search, struct slice member) {
    double score;
    if (!search->entry) return true; /* the reply will be empty, if the other arguments are good */
    if (!zset_score(search->entry, member, &score)) {
        reply_error(x, "ERR could not decode requested zset member");
        return false;
    }
    search->shape.centre = geo_decode(score);
    return true;
}

static bool parse_count(struct exec *x, struct search *search, struct slice word) {
    if (!num_parse_i64(word, &search->count)) {
        reply_error(x, "ERR value is not an integer or out of range");
        return false;
    }
    if (search->count > 0) return true;
    reply_error(x, "ERR COUNT must be > 0");
    return false;
}

/* A word without a value. False: it is none of them. */
static bool take_flag(struct search *search, struct slice word) {
    if (slice_is(word, "withdist"))
        search->with_distance = true;
    else if (slice_is(word, "withhash"))
        search->with_hash = true;
    else if (slice_is(word, "withcoord"))
        search->with_point = true;
    else if (slice_is(word, "any"))
        search->any = true;
    else if (slice_is(word, "asc"))
        search->order = NEAREST_FIRST;
    else if (slice_is(word, "desc"))
        search->order = FARTHEST_FIRST;
    else if (search->form->stores && slice_is(word, "storedist"))
        search->store_distances = true;
    else
        return false;
    return true;
}

enum taken { TAKEN, NOT_MINE, FAILED };

static enum taken told(bool good) {
    return good ? TAKEN : FAILED;
}

/* What only GEOSEARCH and GEOSEARCHSTORE have, at *at. */
static enum taken take_shape(struct exec *x, struct search *search, uint32_t *at) {
    const struct slice *words = &search->argv[*at];
    uint32_t behind = search->argc - *at - 1;
    if (behind >= 1 && !search->from_point && slice_is(words[0], "frommember")) {
        search->from_member = true;
        *at += 1;
        return told(find_member(x, search, words[1]));
    }
    if (behind >= 2 && !search->from_member && slice_is(words[0], "fromlonlat")) {
        search->from_point = true;
        *at += 2;
        return told(geo_parse_point(x, &words[1], &search->shape.centre));
    }
    if (behind >= 2 && !search->by_box && slice_is(words[0], "byradius")) {
        search->by_radius = true;
        *at += 2;
        return told(parse_radius(x, search, &words[1]));
    }
    if (behind >= 3 && !search->by_radius && slice_is(words[0], "bybox")) {
        search->by_box = true;
        *at += 3;
        return told(parse_box(x, search, &words[1]));
    }
    return NOT_MINE;
}

/* One option at *at, which is then its last word. False: the error was replied. */
static bool take_option(struct exec *x, struct search *search, uint32_t *at) {
    struct slice word = search->argv[*at];
    uint32_t behind = search->argc - *at - 1;
    if (take_flag(search, word)) return true;
    if (behind >= 1 && slice_is(word, "count")) return parse_count(x, search, search->argv[++*at]);
    if (behind >= 1 && search->form->may_store && (slice_is(word, "store") || slice_is(word, "storedist"))) {
        search->store_distances = slice_is(word, "storedist");
        search->store_at = ++*at;
        return true;
    }
    enum taken taken = search->form->centre == BY_WORDS ? take_shape(x, search, at) : NOT_MINE;
    if (taken == NOT_MINE) reply_syntax_error(x);
    return taken == TAKEN;
}

/* Options that do not go together. */
static bool check_options(struct exec *x, const struct search *search) {
    const struct form *form = search->form;
    const char *error = NULL;
    struct slice name = search->argv[0];
    if (search->store_at && (search->with_distance || search->with_hash || search->with_point))
        error = form->stores ? "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                             : "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD "
                               "options";
    else if (form->centre == BY_WORDS && !search->from_member && !search->from_point)
        reply_errorf(x, "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %.*s", (int)name.len,
                     name.ptr);
    else if (form->centre == BY_WORDS && !search->by_radius && !search->by_box)
        reply_errorf(x, "ERR exactly one of BYRADIUS and BYBOX can be specified for %.*s", (int)name.len, name.ptr);
    else if (search->any && !search->count)
        error = "ERR the ANY argument requires COUNT argument";
    else
        return true;
    if (error) reply_error(x, error);
    return false;
}

/* All but the key, whose entry is there. */
static bool parse(struct exec *x, struct search *search) {
    const struct form *form = search->form;
    const struct slice *argv = search->argv;
    uint32_t at = form->key_at + 1;
    if (form->stores) search->store_at = 1;
    if (form->centre == AT_POINT) {
        if (!geo_parse_point(x, &argv[2], &search->shape.centre) || !parse_radius(x, search, &argv[4])) return false;
        at = 6;
    } else if (form->centre == AT_MEMBER) {
        if (search->entry && (!find_member(x, search, argv[2]) || !parse_radius(x, search, &argv[3]))) return false;
        at = 5;
    }
    for (; at < search->argc; at++)
        if (!take_option(x, search, &at)) return false;
    return check_options(x, search);
}

/* --- searching --- */

void geo_hits_init(struct hits *hits, struct heap *heap) {
    *hits = (struct hits){.heap = heap};
    buf_init(&hits->members, heap, MEM_MESSAGE);
}

void geo_hits_deinit(struct hits *hits) {
    buf_deinit(&hits->members);
    if (hits->list) heap_free(hits->heap, MEM_MESSAGE, hits->list, hits->cap * sizeof *hits->list);
}

static void add_hit(struct hits *hits, const struct hit *hit, struct slice member) {
    if (hits->count == hits->cap) {
        uint64_t cap = MAX(hits->cap * 2, 16u);
        struct hit *list = heap_alloc(hits->heap, MEM_MESSAGE, cap * sizeof *list);
        if (hits->list) {
            memcpy(list, hits->list, hits->count * sizeof *list);
            heap_free(hits->heap, MEM_MESSAGE, hits->list, hits->cap * sizeof *list);
        }
        hits->list = list;
        hits->cap = cap;
    }
    struct hit *at = &hits->list[hits->count];
    *at = *hit;
    at->at = hits->members.len;
    at->len = member.len;
    at->place = hits->found++;
    hits->count++;
    buf_append_slice(&hits->members, member);
}

static int compare_near(const void *a, const void *b) {
    const struct hit *left = a, *right = b;
    if (left->distance != right->distance) return left->distance < right->distance ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static int compare_far(const void *a, const void *b) {
    const struct hit *left = a, *right = b;
    if (left->distance != right->distance) return left->distance > right->distance ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static struct slice member_of(const struct hits *hits, const struct hit *hit) {
    return slice_of(hits->members.data ? hits->members.data + hit->at : NULL, hit->len);
}

static void sort_hits(struct hits *hits, enum order order) {
    if (order == AS_FOUND || hits->count == 0) return;
    qsort(hits->list, hits->count, sizeof *hits->list, order == NEAREST_FIRST ? compare_near : compare_far);
}

/* Only the first so many stay. */
static void keep_first(struct hits *hits, enum order order, uint64_t keep) {
    struct buf members;
    sort_hits(hits, order);
    hits->count = keep;
    buf_init(&members, hits->heap, MEM_MESSAGE);
    for (uint64_t i = 0; i < keep; i++) {
        struct slice member = member_of(hits, &hits->list[i]);
        hits->list[i].at = members.len;
        buf_append_slice(&members, member);
    }
    buf_deinit(&hits->members);
    hits->members = members;
}

#define HITS_SPARE 512u /* beyond those that are kept, before the others are dropped */

/* What is stored of it: its distance, in units, or its score. */
static double stored(const struct search *search, const struct hit *hit) {
    return search->store_distances ? hit->distance / search->shape.unit : hit->score;
}

static void take_hit(const struct exec *x, const struct search *search, const struct wanted *wanted, struct hits *hits,
                     const struct hit *hit, struct slice member) {
    if (hits->set) {
        sorted_insert(&x->shared->store, hits->set, member, stored(search, hit));
        return;
    }
    add_hit(hits, hit, member);
    if (UNLIKELY(hits->count / 2 >= wanted->keep && hits->count >= wanted->keep + HITS_SPARE))
        keep_first(hits, wanted->order, wanted->keep);
}

/* Returns how many were passed over, at most `max`; fewer: that was the end of the range. */
static uint64_t search_range(const struct exec *x, const struct search *search, const struct geo_range *range,
                             const struct wanted *wanted, uint64_t *rank, uint64_t max, struct hits *hits) {
    struct zset_pair pair;
    struct sorted_bound bound = {.by = SORTED_BY_SCORE, .score = (double)range->from};
    uint64_t passed = 0;
    if (*rank == 0) *rank = zset_count_before(search->entry, &bound);
    struct zset_iter iter = zset_seek(search->entry, *rank);
    while (passed < max && hits->count < wanted->enough && zset_next(&iter, &pair) && pair.score < (double)range->to) {
        struct hit hit = {.score = pair.score, .point = geo_decode(pair.score)};
        passed++;
        if (!geo_within(&search->shape, hit.point, &hit.distance)) continue;
        take_hit(x, search, wanted, hits, &hit, pair.member);
    }
    *rank += passed;
    return passed;
}

bool geo_walk_some(const struct exec *x, const struct search *search, const struct wanted *wanted,
                   struct geo_walk *walk, uint64_t max, struct hits *hits) {
    struct geo_range ranges[GEO_RANGES];
    uint32_t count = geo_cover(&search->shape, ranges);
    while (walk->range < count && hits->count < wanted->enough) {
        uint64_t passed = search_range(x, search, &ranges[walk->range], wanted, &walk->rank, max, hits);
        max -= passed;
        if (max == 0) return true;
        walk->range++;
        walk->rank = 0;
    }
    return false;
}

struct wanted geo_wanted_by(const struct search *search) {
    uint64_t count = search->count ? (uint64_t)search->count : UINT64_MAX;
    struct wanted wanted = {search->order, UINT64_MAX, count};
    if (search->any) wanted.enough = count;
    if (search->count && !search->any && search->order == AS_FOUND) wanted.order = NEAREST_FIRST;
    return wanted;
}

void geo_hits_end(const struct search *search, const struct wanted *wanted, struct hits *hits) {
    sort_hits(hits, wanted->order);
    hits->count = MIN(hits->count, wanted->keep);
    for (uint64_t i = 0; i < hits->count; i++) hits->list[i].distance /= search->shape.unit;
}

/* What home has to know to go on with a search that passes over many. */
static void reply_wanted(struct exec *x, const struct wanted *wanted) {
    reply_array(x, GEO_HEAD);
    reply_int(x, (int64_t)MIN(wanted->keep, (uint64_t)INT64_MAX));
    reply_int(x, (int64_t)MIN(wanted->enough, (uint64_t)INT64_MAX));
    reply_int(x, wanted->order);
}

/* False: it is so much that it takes turns, or steps. key_at: of the key. */
static bool find(struct exec *x, const struct search *search, uint32_t key_at, struct hits *hits) {
    struct wanted wanted = geo_wanted_by(search);
    struct geo_walk walk = {0};
    geo_hits_init(hits, x->shard->heap);
    if (!search->entry) return true;
    if (geo_walk_some(x, search, &wanted, &walk, WORK_AT_ONCE, hits)) {
        if (search->elsewhere) {
            reply_wanted(x, &wanted);
            return false;
        }
        if (work_takes_turns(x)) {
            if (work_begins(x)) work_begin(x, geo_work_new(x, search, key_at));
            return false;
        }
        while (geo_walk_some(x, search, &wanted, &walk, UINT64_MAX, hits)) continue;
    }
    geo_hits_end(search, &wanted, hits);
    return true;
}

/* --- answers --- */

void geo_reply_some(struct exec *x, const struct search *search, const struct hits *hits, uint64_t from, uint64_t to) {
    uint64_t with = (uint64_t)search->with_distance + search->with_hash + search->with_point;
    for (uint64_t i = from; i < to; i++) {
        const struct hit *hit = &hits->list[i];
        if (with) reply_array(x, 1 + with);
        reply_bulk(x, member_of(hits, hit));
        if (search->with_distance) geo_reply_distance(x, hit->distance);
        if (search->with_hash) reply_int(x, (int64_t)hit->score);
        if (search->with_point) geo_reply_point(x, hit->point);
    }
}

void geo_reply_hits(struct exec *x, const struct search *search, const struct hits *hits) {
    reply_array(x, hits->count);
    geo_reply_some(x, search, hits, 0, hits->count);
}

struct sorted *geo_set_of(struct exec *x, const struct search *search, const struct hits *hits) {
    const struct store *store = &x->shared->store;
    struct sorted *set = sorted_new(store, &x->shared->seed);
    sorted_expect(set, hits->count);
    for (uint64_t i = 0; i < hits->count; i++) {
        const struct hit *hit = &hits->list[i];
        sorted_insert(store, set, member_of(hits, hit), search->store_distances ? hit->distance : hit->score);
    }
    return set;
}

/* The command in argv[from ..]. What is to be stored goes to its place; or into the reply, if it is little, where this
 * is the part of a command over two shards, whose source is argv[1] and whose words follow. */
static void run_search(struct exec *x, const struct form *form, uint32_t from) {
    struct search search = {.form = form, .argv = x->argv + from, .argc = x->argc - from, .elsewhere = from > 0};
    struct key_ref ref;
    uint32_t key_at = from > 0 ? 1 : form->key_at;
    if (!exec_read(x, key_at, TYPE_ZSET, &ref)) return;
    search.entry = ref.entry;
    if (!parse(x, &search)) return;
    struct hits hits;
    if (!find(x, &search, key_at, &hits)) {
        geo_hits_deinit(&hits);
        return;
    }
    if (search.store_at && from > 0)
        zset_reply_result(x, geo_set_of(x, &search, &hits));
    else if (search.store_at)
        zset_store(x, search.store_at, geo_set_of(x, &search, &hits));
    else
        geo_reply_hits(x, &search, &hits);
    geo_hits_deinit(&hits);
}

static void cmd_geosearch(struct exec *x) {
    run_search(x, &search_form, 0);
}
static void cmd_geosearchstore(struct exec *x) {
    run_search(x, &store_form, 0);
}
static void cmd_georadius(struct exec *x) {
    run_search(x, &radius_form, 0);
}
static void cmd_georadius_ro(struct exec *x) {
    run_search(x, &radius_ro_form, 0);
}
static void cmd_georadiusbymember(struct exec *x) {
    run_search(x, &member_form, 0);
}
static void cmd_georadiusbymember_ro(struct exec *x) {
    run_search(x, &member_ro_form, 0);
}

/* --- over two shards --- */

/* Where the word's last key is; 0: nowhere. Of STORE and STOREDIST the last one counts. */
static uint32_t find_word(const struct slice *argv, uint32_t argc, uint32_t from, bool distances) {
    uint32_t found = 0;
    for (uint32_t at = from; at + 1 < argc; at++) {
        bool store = slice_is(argv[at], "store"), storedist = slice_is(argv[at], "storedist");
        if (distances ? storedist : store) found = at + 1;
        at += store || storedist;
    }
    return found;
}

static uint32_t find_store(const struct slice *argv, uint32_t argc) {
    return find_word(argv, argc, 6, false);
}
static uint32_t find_storedist(const struct slice *argv, uint32_t argc) {
    return find_word(argv, argc, 6, true);
}
static uint32_t find_store_by_member(const struct slice *argv, uint32_t argc) {
    return find_word(argv, argc, 5, false);
}
static uint32_t find_storedist_by_member(const struct slice *argv, uint32_t argc) {
    return find_word(argv, argc, 5, true);
}

static const struct form *form_named(const struct exec *x, uint32_t at) {
    return arg_is(x, at, "georadius") ? &radius_form : arg_is(x, at, "georadiusbymember") ? &member_form : &store_form;
}

/* sherd.geosearch source command ... */
static void cmd_internal_search(struct exec *x) {
    run_search(x, form_named(x, 2), 2);
}

static void reply_walked(struct exec *x, const struct search *search, const struct geo_walked *walked,
                         const struct hits *hits) {
    struct buf piece;
    buf_init(&piece, x->shard->heap, MEM_MESSAGE);
    buf_append(&piece, walked, sizeof *walked);
    for (uint64_t i = 0; i < hits->count; i++) {
        const struct hit *hit = &hits->list[i];
        piece_add(&piece, member_of(hits, hit));
        piece_add_score(&piece, hit->distance);
        piece_add_score(&piece, stored(search, hit));
    }
    reply_bulk(x, buf_slice(&piece));
    buf_deinit(&piece);
}

/* sherd.geowalk source range rank enough command ... */
static void cmd_internal_walk(struct exec *x) {
    struct search search = {.form = form_named(x, 5), .argv = x->argv + 5, .argc = x->argc - 5, .elsewhere = true};
    struct wanted wanted = {.order = AS_FOUND, .keep = UINT64_MAX};
    struct geo_walked walked = {0};
    struct key_ref ref;
    struct hits hits;
    int64_t words[3];
    for (uint32_t i = 0; i < 3; i++)
        if (!exec_int(x, 2 + i, &words[i])) return;
    walked.walk = (struct geo_walk){(uint32_t)words[0], (uint64_t)words[1]};
    wanted.enough = (uint64_t)words[2];
    if (!exec_open(x, 1, TYPE_ZSET, &ref)) return;
    search.entry = ref.entry;
    if (!ref.entry) {
        reply_null(x);
        return;
    }
    if (!parse(x, &search)) return;
    geo_hits_init(&hits, x->shard->heap);
    walked.more = geo_walk_some(x, &search, &wanted, &walked.walk, WORK_SLICE / 4, &hits);
    reply_walked(x, &search, &walked, &hits);
    geo_hits_deinit(&hits);
}

static void geosearchstore_gather(struct gather *g) {
    geo_store_across(g, 2, 1);
}
static void georadius_gather(struct gather *g) {
    geo_store_across(g, 1, MAX(find_store(g->argv, g->argc), find_storedist(g->argv, g->argc)));
}
static void georadiusbymember_gather(struct gather *g) {
    geo_store_across(g, 1, MAX(find_store_by_member(g->argv, g->argc), find_storedist_by_member(g->argv, g->argc)));
}

#define SEARCH                                                                                                         \
    .acl = ACL_GEO, .group = "geo", .cost = "O(N+log(M)), N = members in the cells around the shape, M = members"
#define WITH_OPTIONS "[WITHCOORD] [WITHDIST] [WITHHASH] "
#define COUNT_SORT   "[COUNT count [ANY]] [ASC | DESC]"
#define UNIT         "<M | KM | FT | MI>"
#define FROM         "<FROMMEMBER member | FROMLONLAT longitude latitude> "
#define BY           "<BYRADIUS radius " UNIT " | BYBOX width height " UNIT "> "
#define STORE        " [STORE key | STOREDIST key]"

const struct command geo_search_commands[] = {
    {.name = "geosearch",
     .arity = -7,
     .flags = CMD_READ,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_geosearch,
     .takes_turns = true,
     .since = "6.2.0",
     .args = "key " FROM BY COUNT_SORT " [WITHCOORD] [WITHDIST] [WITHHASH]",
     .doc = "Answers the members within a circle or a box."},
    {.name = "geosearchstore",
     .arity = -8,
     .flags = CMD_WRITE | CMD_DENYOOM,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE), KEYS_ONE(2, KEY_RO | KEY_ACCESS)},
     .where = ACROSS_OWNERS,
     .run = cmd_geosearchstore,
     .takes_turns = true,
     .across = geosearchstore_gather,
     .since = "6.2.0",
     .args = "destination source " FROM BY COUNT_SORT " [STOREDIST]",
     .doc = "Stores the members within a circle or a box."},
    {.name = "georadius",
     .arity = -6,
     .flags = CMD_WRITE | CMD_DENYOOM,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS), KEYS_AFTER("STORE", 6, find_store, KEY_OW | KEY_UPDATE),
              KEYS_AFTER("STOREDIST", 6, find_storedist, KEY_OW | KEY_UPDATE)},
     .where = ACROSS_OWNERS,
     .run = cmd_georadius,
     .takes_turns = true,
     .event = "georadiusstore",
     .across = georadius_gather,
     .since = "3.2.0",
     .args = "key longitude latitude radius " UNIT " " WITH_OPTIONS COUNT_SORT STORE,
     .doc = "Answers or stores the members within a circle."},
    {.name = "georadiusbymember",
     .arity = -5,
     .flags = CMD_WRITE | CMD_DENYOOM,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS), KEYS_AFTER("STORE", 5, find_store_by_member, KEY_OW | KEY_UPDATE),
              KEYS_AFTER("STOREDIST", 5, find_storedist_by_member, KEY_OW | KEY_UPDATE)},
     .where = ACROSS_OWNERS,
     .run = cmd_georadiusbymember,
     .takes_turns = true,
     .event = "georadiusstore",
     .across = georadiusbymember_gather,
     .since = "3.2.0",
     .args = "key member radius " UNIT " " WITH_OPTIONS COUNT_SORT STORE,
     .doc = "Answers or stores the members within a circle around one of them."},
    {.name = "georadius_ro",
     .arity = -6,
     .flags = CMD_READ,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_georadius_ro,
     .takes_turns = true,
     .since = "3.2.10",
     .args = "key longitude latitude radius " UNIT " " WITH_OPTIONS COUNT_SORT,
     .doc = "Answers the members within a circle."},
    {.name = "georadiusbymember_ro",
     .arity = -5,
     .flags = CMD_READ,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_georadiusbymember_ro,
     .takes_turns = true,
     .since = "3.2.10",
     .args = "key member radius " UNIT " " WITH_OPTIONS COUNT_SORT,
     .doc = "Answers the members within a circle around one of them."},
    {.name = "sherd.geosearch",
     .arity = -8,
     .flags = CMD_READ | CMD_INTERNAL,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_internal_search,
     .since = "0.4.0",
     .args = "source command [argument ...]",
     .doc = "What a search is to store, as a body and a count, or that it is a long one."},
    {.name = "sherd.geowalk",
     .arity = -11,
     .flags = CMD_READ | CMD_INTERNAL,
     SEARCH,
     .keys = {KEYS_ONE(1, KEY_RO)},
     .where = ON_OWNER,
     .run = cmd_internal_walk,
     .since = "0.5.0",
     .args = "source range rank enough command [argument ...]",
     .doc = "Some more hits of a search that is a long one."},
    {0},
};
