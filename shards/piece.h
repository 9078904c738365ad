/* Piece: some elements of a large value as bytes, the way the steps of a command carry them from shard to shard, so
 * that no step is long (shards/gather.h).
 *
 *      set     | text | text | ...
 *      zset    | text | score 8 | text | score 8 | ...
 *      hash    | field | value | field | value | ...            text: | length 4 | bytes |
 *      list    | text | text | ...
 *
 * At the owner of a value they are read: sherd.sizes says what there is, sherd.piece answers elements from a cursor on,
 * sherd.look says of the members in a piece which of them other values have. Elsewhere a building takes them.
 *
 *      sherd.sizes key ...             "size, size ..."             struct piece_size of each
 *      sherd.piece key cursor max      "cursor 8, piece"            null: no such key
 *      sherd.look n key ... form piece "present 8, found, ..."      struct piece_found of each member in each of the
 *      keys
 *
 * These count nothing and touch nothing: the step that found the values large has done that.
 *
 * Between two pieces the value does not change, since its command holds the key; but its time may be over. Then the
 * next piece is null, or another number of keys is present, and whoever asked begins again.
 *
 * Owner     bytes that are handed out are borrowed. A building owns its object.
 * Thread    any for pieces; the shard's for entries and buildings. Cost: O(elements), a list's piece O(nodes), too. */
#pragma once
#include "core/buf.h"
#include "shards/keyspace.h"
#include "shards/zset.h"

#define PIECE_ELEMENTS 1024u        /* of one piece at most: less than a millisecond */
#define PIECE_BYTES    (256 * 1024) /* and about as many bytes, where elements are long */

/* Is it worth it? O(1). Not strings; streams, whose groups name entries of each other; and hashes with deadlines of
 * fields, which may be over in the middle. */
bool piece_takes_long(const struct entry *entry);
uint64_t piece_len(const struct entry *entry); /* elements of a collection; 0 of others */

/* --- writing --- */
void piece_add(struct buf *piece, struct slice text);
void piece_add_score(struct buf *piece, double score);
/* Appends up to max elements from the cursor on, 0 at first; returns the next cursor, 0 at the end. */
uint64_t piece_read(const struct entry *entry, uint64_t cursor, uint32_t max, struct buf *piece);

/* --- reading; *piece moves behind what was read and is not empty before --- */
struct slice piece_next(struct slice *piece);
double piece_next_score(struct slice *piece);

/* --- what the commands answer; without a header, inside of a bulk string --- */
struct piece_size {
    uint64_t len;
    uint64_t type; /* enum value_type; TYPE_COUNT: no such key */
};
struct piece_found {
    uint64_t is;
    double score; /* 1 of a set's member */
};
/* Takes a plain struct off the bytes. */
void piece_take(struct slice *bytes, void *to, size_t size);

/* --- building a value of pieces --- */
struct building {
    const struct keyspace_shared *shared;
    void *object; /* NULL: there is none */
    uint8_t type; /* enum value_type: set, zset, hash or list */
    uint8_t how;  /* zset: enum zset_aggregate, for members that come more than once */
};
void building_begin(struct building *building, const struct keyspace_shared *shared, enum value_type type, uint8_t how);
/* A hint before many are added: they come in the order of their hashes, which growing tables do not like. */
void building_expect(struct building *building, uint64_t count);
void building_add(struct building *building, struct slice piece);
uint64_t building_count(const struct building *building);
/* An entry of this key; NULL when there is nothing in it. Like: it is shown as the value of which it is a copy, whose
 * form this is. Else a set or a sorted set as the configuration has it; form: integers may become an intset. The
 * building is over then. */
struct entry *building_end(struct building *building, struct slice key, bool like, uint8_t form);
void building_drop(struct building *building); /* at any time, also when it is over */
/* How a value is shown: whether a set is one of integers, a sorted set compact, a hash large. */
uint8_t piece_form(const struct entry *entry);
