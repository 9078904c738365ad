/* What cmd_zset_join.c (union, intersection and difference, at once) and cmd_zset_work.c (the same of large ones, over
 * many turns) share. */
#pragma once
#include "core/sorted.h"
#include "shards/exec.h"
#include "shards/join.h"
#include "shards/zset.h"

/* A command's arguments. */
struct join {
    enum join_operation operation;
    enum join_form form;
    uint32_t first, keys; /* argv[first .. first + keys) */
    uint32_t weights_at;  /* 0: all are 1 */
    enum zset_aggregate aggregate;
    bool with_scores;
    uint64_t limit; /* of JOIN_COUNTS; 0: none */
    const char *error;
    char text[96]; /* of an error that names the command */
};

struct source {
    const struct entry *entry; /* NULL: the key is absent */
    uint64_t len;
    double weight;
    uint32_t place; /* among the keys */
};

/* A join under way. */
struct joining {
    const struct store *store;
    const struct join *join;
    const struct source *sources, *source; /* source: the one that is walked over */
    struct sorted *set;                    /* the result; NULL: only counted */
    uint64_t count;
};

bool join_is_source(const struct entry *entry); /* a sorted set, or a set */
/* Fills in what is to be known of the sources, whose entries are there, and puts them in order. */
void join_prepare(const struct join *join, const struct slice *argv, struct source *sources);
/* Members of joining->source (a union) or of the first source: a struct joining is ctx. False: that is enough. */
bool join_unite_member(void *ctx, struct slice member, double score);
bool join_select_member(void *ctx, struct slice member, double score);

/* Replies up to `max` elements of the result from a rank on, behind the array's head if that is 0. Returns the next
 * rank. */
uint64_t join_reply_some(struct buf *out, int resp, const struct join *join, const struct sorted *set, uint64_t from,
                         uint64_t max);

/* x's join, whose arguments were read, over many turns; so many of its sources are there. */
struct work *join_work_new(const struct exec *x, const struct join *join, uint64_t present);
