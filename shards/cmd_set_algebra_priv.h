/* What cmd_set_algebra.c (operations on sets, at once) and cmd_set_work.c (the same on large ones, over many turns)
 * share. */
#pragma once
#include "core/members.h"
#include "shards/exec.h"
#include "shards/join.h"
#include "shards/set.h"

/* What an operation finds: replied, put together, or only counted. */
struct collector {
    const struct store *store;
    struct buf *out;         /* NULL: not replied */
    struct members *members; /* NULL: not put together; else what is there already does not count */
    uint64_t count, limit;   /* limit 0: none */
};
bool set_collect(void *collector, struct slice text); /* a set_visit; false: it has enough */
struct collector set_collector_of_members(const struct exec *x);

/* Lets through what is in all of these sets, or in none of them. */
struct filter {
    bool (*has)(const void *set, struct slice text);
    const void *const *sets;
    uint32_t count;
    bool in_all;
    struct collector *into;
};
bool set_pass(void *filter, struct slice text);           /* a set_visit that collects what passes */
bool set_entry_has(const void *entry, struct slice text); /* has, of an entry or NULL */
int set_by_count(const void *a, const void *b);           /* for qsort of entries */

/* The result becomes the value of argv[at], or an empty one nothing; its members are taken. Says everything but what
 * the journal hears of the new value, and returns that; NULL: there is none, and the journal knows. */
const struct entry *set_put_result(struct exec *x, uint32_t at, struct collector *result, bool allow_intset,
                                   struct slice event);

/* Writes the head of a reply whose `count` members are in out from mark on. O(bytes behind it). */
void set_reply_head(struct buf *out, size_t mark, uint8_t resp, uint64_t count);

/* An operation on argv[first .. first + count) whose result goes to argv[target] or (0) is replied, or counted up to a
 * limit. */
struct set_job {
    enum join_operation operation;
    uint32_t first, count, target;
    bool replied;
    uint64_t limit;   /* 0: none */
    bool as_table;    /* the result is no intset, whatever is in it */
    uint64_t present; /* of the sources */
};
struct work *set_work_new(const struct exec *x, const struct set_job *job);
