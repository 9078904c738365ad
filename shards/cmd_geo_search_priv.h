/* What cmd_geo_search.c (searches, at once), cmd_geo_work.c (those that pass over many members, over many turns) and
 * geo_gather.c (whose result goes to another shard) share. */
#pragma once
#include "core/geo.h"
#include "shards/cmd_zset_priv.h"

struct form;

enum order { AS_FOUND, NEAREST_FIRST, FARTHEST_FIRST };

struct search {
    const struct form *form;
    const struct slice *argv;
    uint32_t argc;
    const struct entry *entry; /* NULL: there is no such key */
    struct geo_shape shape;
    enum order order;
    int64_t count; /* 0: all */
    bool any;
    bool with_distance, with_hash, with_point;
    bool from_member, from_point, by_radius, by_box;
    uint32_t store_at; /* 0: answers */
    bool store_distances;
    bool elsewhere; /* on another shard */
};

struct hit {
    double distance, score;
    struct geo_point point;
    size_t at, len; /* of the member, in hits.members */
    uint64_t place; /* in the order of the walk */
};
/* In the order of the walk; or those that are stored without a choice among them, in the set. */
struct hits {
    struct heap *heap;
    struct hit *list;
    uint64_t count, cap;
    uint64_t found; /* with those that were dropped again */
    struct buf members;
    struct sorted *set; /* NULL: they are in the list */
};

/* What is looked for, and how much of it. */
struct wanted {
    enum order order;
    uint64_t enough; /* so many hits end the search */
    uint64_t keep;   /* so many are answered, of those that come first */
};

/* How far a search has come. */
struct geo_walk {
    uint32_t range; /* of those that cover the shape */
    uint64_t rank;  /* in it; 0: at its beginning */
};

/* The reply of sherd.geowalk; behind it member, distance and what is to be stored of each hit (shards/piece.h). */
struct geo_walked {
    struct geo_walk walk;
    uint64_t more;
};
#define GEO_HEAD 3 /* numbers that sherd.geosearch answers of a long search: the words of struct wanted, keep first */

void geo_hits_init(struct hits *hits, struct heap *heap);
void geo_hits_deinit(struct hits *hits);
struct wanted geo_wanted_by(const struct search *search);
/* Passes over at most so many members. True while there are more. */
bool geo_walk_some(const struct exec *x, const struct search *search, const struct wanted *wanted,
                   struct geo_walk *walk, uint64_t max, struct hits *hits);
/* The walk is over: puts the hits of the list in the order in which they are answered, with distances in units. */
void geo_hits_end(const struct search *search, const struct wanted *wanted, struct hits *hits);
/* The reply of a search, and the result that is stored. */
void geo_reply_hits(struct exec *x, const struct search *search, const struct hits *hits);
/* Some of it: those from one hit up to another, without the head. */
void geo_reply_some(struct exec *x, const struct search *search, const struct hits *hits, uint64_t from, uint64_t to);
struct sorted *geo_set_of(struct exec *x, const struct search *search, const struct hits *hits);

/* The key is x->argv[key_at]. */
struct work *geo_work_new(const struct exec *x, const struct search *search, uint32_t key_at);

/* A search of the key argv[key_at] whose result is stored at argv[store_at], on another shard. */
void geo_store_across(struct gather *g, uint32_t key_at, uint32_t store_at);
