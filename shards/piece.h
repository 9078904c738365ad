/* Piece: some elements of a large value as bytes, the way the steps of a command carry them from shard to shard, so
 * that no step is long (shards/gather.h).
 *
 *      set     | text | text | ...
 *      zset    | text | score 8 | text | score 8 | ...
 *      hash    | field | value | deadline 8 | ...               text: | length 4 | bytes |
 *      list    | text | text | ...                              deadline: ms, 0: none
 *      string  its bytes
 *      stream  shards/piece_stream.h
 *
 * At the owner of a value they are read: sherd.sizes says what there is, sherd.piece answers elements from a cursor on,
 * sherd.look says of the members in a piece which of them other values have. Elsewhere a building takes them.
 *
 *      sherd.sizes key ...             "size, size ..."             struct piece_size of each
 *      sherd.piece key cursor max      "cursor, piece"              null: no such key; struct piece_cursor
 *      sherd.look n key ... form piece "present 8, found, ..."      struct piece_found of each member in each of the
 *      keys
 *
 * These count nothing and touch nothing: the step that found the values large has done that.
 *
 * Between two pieces the value does not change, since its command holds the key; but its time may be over. Then the
 * next piece is null, or another number of keys is present, and whoever asked begins again. Fields of a hash whose time
 * is over leave it: those that were read by then have their deadline elsewhere, too.
 *
 * Owner     bytes that are handed out are borrowed. A building owns its object.
 * Thread    any for pieces; the shard's for entries and buildings. Cost: O(elements), a list's piece O(nodes), too. */
#pragma once
#include "core/buf.h"
#include "core/stream_id.h"
#include "shards/keyspace.h"
#include "shards/zset.h"

#define PIECE_ELEMENTS 1024u        /* of one piece at most: less than a millisecond */
#define PIECE_BYTES    (256 * 1024) /* and about as many bytes, where elements are long */

bool piece_takes_long(const struct entry *entry); /* Is it worth it? O(1) */
uint64_t piece_len(const struct entry *entry);    /* elements of a collection, bytes of a string, entries of a stream */
uint64_t piece_timed(const struct entry *entry);  /* fields of a hash that have a deadline; 0 of others */

/* --- writing --- */
void piece_add(struct buf *piece, struct slice text);
void piece_add_score(struct buf *piece, double score);
/* How far a value has been read: all zero at first. */
struct piece_cursor {
    uint64_t at;              /* 0 at the end */
    uint32_t group, consumer; /* of a stream, as the id */
    struct stream_id id;
};
/* Appends up to max elements from the cursor on, and moves it. Of a string max does not matter. */
void piece_read(const struct entry *entry, struct piece_cursor *cursor, uint32_t max, struct buf *piece);
/* The arguments of sherd.piece behind the key; digits has room for a number. */
void piece_ask(struct slice args[2], const struct piece_cursor *cursor, uint32_t max, char *digits);

/* --- reading; *piece moves behind what was read and is not empty before --- */
struct slice piece_next(struct slice *piece);
double piece_next_score(struct slice *piece);

/* --- what the commands answer; without a header, inside of a bulk string --- */
struct piece_size {
    uint64_t len;
    uint64_t bytes; /* of memory */
    uint64_t type;  /* enum value_type; TYPE_COUNT: no such key */
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
    void *object; /* NULL: there is none; of a string its entry */
    uint8_t type; /* enum value_type */
    uint64_t how; /* zset: enum zset_aggregate, for members that come more than once; hash: fields with deadlines */
    uint64_t at;  /* string: so many bytes are there */
};
/* Not a string. */
void building_begin(struct building *building, const struct keyspace_shared *shared, enum value_type type,
                    uint64_t how);
/* A string of this length, which is more than an entry has room for. All its memory is taken now: false, there is
 * none, and the building is over. */
NODISCARD bool building_begin_string(struct building *building, const struct keyspace_shared *shared, struct slice key,
                                     uint64_t length);
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
