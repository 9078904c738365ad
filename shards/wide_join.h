/* Wide join: union, intersection and difference of large sets or sorted sets that live on several shards, in steps that
 * are short (shards/gather.h). All keys are held from the first to the last, so it is one instant to everybody.
 *
 *      owner of the source              home                              owners of the others, of the destination
 *      sherd.sizes key ...          <-- what is there?               -->  sherd.sizes key ...
 *      sherd.piece key cursor       <-- some members
 *                                       which of them have others?   -->  sherd.look key ... members
 *      sherd.piece key cursor       <-- what is left of them         -->  sherd.aside key members
 *                                       ...
 *                                       the end                      -->  sherd.put-aside, sherd.tell ...
 *
 * A union walks over its sources one after the other, and whoever takes the members joins them. An intersection walks
 * over the smallest and a difference over the first, as on one shard: no more is carried than these have.
 *
 * What it makes is built at its owner (shards/aside.h), counted, or answered: then the reply's elements go to a chain
 * behind it, and a sorted set, or what a union has met already, is built at home.
 *
 * When a source's time is over before all was read it was not there: it begins again with the others.
 *
 * Owner     the gather. Thread: home. Cost: as the commands', and one to three messages per thousand members. */
#pragma once
#include "shards/gather.h"
#include "shards/join.h"
#include "shards/zset.h"

struct wide_join {
    enum join_operation operation;
    enum join_form form;
    bool scored;          /* the result is a sorted set, and sources may be both; else all are sets */
    uint32_t first, keys; /* argv[first .. first + keys): the sources, which are of these types or absent */
    uint32_t weights_at;  /* of scores, which can be read; 0: all are 1 */
    enum zset_aggregate aggregate;
    bool with_scores; /* of an answer */
    uint64_t limit;   /* of a count; 0: none */
    uint32_t target;  /* of what stores: the key's position */
    bool as_table;    /* a set that is stored is no intset, whatever is in it */
};

/* The gather goes on as this from here. What was in gather->memo is given back by then. */
void wide_join_begin(struct gather *gather, const struct wide_join *join);
/* To be asked first of all in each step: was it begun? Then that was its step. */
bool wide_join_goes_on(struct gather *gather);
