/* Stream read: what XREAD and XREADGROUP do with one key, and their arguments.
 *
 * Entries go to a reader that says from where on (XREAD), to the next consumer of a group that asks (id ">"), or once
 * more to the consumer that has them already (any other id). What a group is given is noted in it, and told to the
 * journal as XCLAIM of those ids and XGROUP SETID. */
#pragma once
#include "shards/stream_args.h"
#include "shards/stream_claim.h"

struct read_args {
    bool grouped, noack, blocks;
    struct slice group, consumer;
    uint64_t count;      /* 0: all */
    uint64_t timeout_ms; /* of blocks; 0: for ever */
    uint32_t first;      /* argv[first ..]: keys, and as many ids */
    uint32_t keys;
    const char *error; /* what is wrong */
};
/* Reads the arguments of XREAD or XREADGROUP; false: error says why not. now_ms bounds BLOCK; 0: it was
 * bounded before. */
NODISCARD bool stream_parse_read(const struct slice *argv, uint32_t argc, bool grouped, uint64_t now_ms,
                                 struct read_args *args);
/* Where its keys begin, or 0: struct key_spec.halves. */
uint32_t stream_find_keys(const struct slice *argv, uint32_t argc);

/* From where on somebody reads a key. */
struct read_from {
    struct stream_id id; /* what comes after it */
    bool fresh;          /* ">": what the group was not given yet */
};
/* May this id be read from this key? `$` is what comes last now. False: the error was replied. */
NODISCARD bool stream_read_place(struct exec *x, uint32_t key_at, struct slice id, const struct read_args *args,
                                 struct read_from *from);
/* What there is for the reader: [key, entries], without an array's head in RESP3, where it is a pair of a map. False:
 * there is nothing, and nothing was written. The place was approved. */
bool stream_read_key(struct exec *x, uint32_t key_at, struct read_from from, const struct read_args *args);

/* The entries after `after` of a group, count at most, to this consumer, as an array. */
void stream_give(struct exec *x, struct key_ref *ref, struct stream_group *group, struct stream_consumer *consumer,
                 const struct read_args *args);
/* The consumer of this name, which comes into being. */
struct stream_consumer *stream_take_consumer(struct exec *x, struct key_ref *ref, struct stream_group *group,
                                             struct slice name);
