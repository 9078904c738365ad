/* What cmd_bitop.c (BITOP on one shard, and the parts of it that are on one) and bitop_gather.c
 * (over several) share. */
#pragma once
#include "core/buf.h"
#include "core/defs.h"
#include "shards/gather.h"

enum bit_operation { BIT_AND, BIT_OR, BIT_XOR, BIT_NOT, BIT_DIFF, BIT_DIFF1, BIT_ANDOR, BIT_ONE };
#define BIT_PAIRS BIT_DIFF /* from here on a pair is needed */

/* What of each source is meant. */
struct bit_stretch {
    size_t at, len;
    bool again; /* the keys were read already: they are not counted */
};

/* Of so many sources, in a slice or a step: bytes of each, 128 KiB of all. */
HOT_INLINE size_t bitop_stretch(uint32_t sources) {
    return MAX(128u * 1024 / sources, 4096u);
}

/* What is there. When it changes while stretches are made, somebody's time is over. */
struct bit_sources {
    size_t longest;   /* bytes */
    uint32_t present; /* how many are there */
};

bool bitop_parse_operation(struct slice name, enum bit_operation *operation);
/* NULL, or what is wrong with BITOP's arguments. */
const char *bitop_parse(const struct slice *argv, uint32_t argc, enum bit_operation *operation);

/* Appends the result over all of them. NOT is made of the joined result, at the end. */
void bitop_combine(enum bit_operation operation, const struct slice *sources, uint32_t count, struct buf *out);
void bitop_invert(struct buf *bytes);

/* As long as the longest source, both. */
struct bit_pair {
    struct buf a, b; /* first and rest, or any and twice */
};
void bit_pair_init(struct bit_pair *pair, struct heap *heap);
void bit_pair_deinit(struct bit_pair *pair);
/* Joins what is in one pair or more with another, whose strings are equally long. */
void bit_pair_join(struct bit_pair *pair, enum bit_operation operation, struct slice a, struct slice b);
void bit_pair_finish(struct bit_pair *pair, enum bit_operation operation); /* the result takes the place of a */

#define BIT_PART_KEYS 6 /* of sherd.bit-part: where its keys begin */

void bitop_gather(struct gather *g);
