/* What the files of dump share: dump.c (strings, lengths, footer, which type is read and written where) and one file
 * per type of collection. */
#pragma once
#include "shards/dump.h"

enum rdb_type {
    RDB_STRING = 0,
    RDB_LIST = 1,              /* length, strings */
    RDB_SET = 2,               /* length, strings */
    RDB_HASH = 4,              /* length, strings: field and value in turn */
    RDB_HASH_ZIPMAP = 9,       /* one string that is a zipmap */
    RDB_LIST_ZIPLIST = 10,     /* one string that is a ziplist */
    RDB_SET_INTSET = 11,       /* one string that is an intset */
    RDB_HASH_ZIPLIST = 13,     /* one string that is a ziplist of fields and values */
    RDB_LIST_QUICKLIST = 14,   /* length, ziplists */
    RDB_HASH_LISTPACK = 16,    /* one string that is a listpack of fields and values */
    RDB_ZSET = 3,              /* length, strings and scores as text */
    RDB_ZSET_2 = 5,            /* length, strings and scores as doubles */
    RDB_ZSET_ZIPLIST = 12,     /* one string that is a ziplist: members and scores as text */
    RDB_ZSET_LISTPACK = 17,    /* the same as a listpack */
    RDB_LIST_QUICKLIST_2 = 18, /* length, container and string: a listpack, or an element */
    RDB_SET_LISTPACK = 20,     /* one string that is a listpack; Redis 7.2 */
    RDB_HASH_TIMED_OLD = 22,   /* length, strings in threes: deadline as a length, field, value; candidates of 7.4 */
    RDB_HASH_LISTPACK_TIMED_OLD = 23, /* one string that is a listpack of fields, values and deadlines; the same */
    RDB_HASH_TIMED = 24,              /* earliest deadline; the same, deadlines as one more than the way from it */
    RDB_HASH_LISTPACK_TIMED = 25,     /* earliest deadline; one string that is a listpack in threes */
    RDB_STREAM = 15,           /* nodes, and what shards/dump_stream.c says; Redis 5 */
    RDB_STREAM_2 = 19,         /* with counts of what was ever added and read; Redis 7.0 */
    RDB_STREAM_3 = 21,         /* and when consumers were last active; Redis 7.2 */
};

#define DUMP_STRING_MAX (512u * 1024 * 1024) /* as proto-max-bulk-len */

/* --- writing; objects are those of the type that dump_type_of says --- */
void dump_put_byte(struct buf *out, unsigned byte);
void dump_write_list(struct buf *out, const struct entry *entry, bool compress);
void dump_write_set(struct buf *out, const struct entry *entry, bool compress);
void dump_write_hash(struct buf *out, const struct entry *entry, bool compress);
void dump_write_hash_timed(struct buf *out, const struct entry *entry, bool compress);
void dump_write_zset(struct buf *out, const struct entry *entry, bool compress);
void dump_write_stream(struct buf *out, const struct entry *entry, bool compress);
/* One node of a list; the head of one that is a single element, whose string follows. */
void dump_write_list_node(struct buf *out, const struct packed *run, bool compress);
void dump_write_list_plain(struct buf *out);
/* A run as the string that is a listpack. */
void dump_write_listpack(struct buf *out, const struct packed *run, bool compress);
/* The same without compression, up to where the run's bytes follow, and its end mark. */
void dump_write_listpack_head(struct buf *out, size_t run_len, uint32_t count);

/* --- reading --- */
/* How many elements of at least `least` bytes each to make room for: what is said, as far as it can be true. */
uint64_t dump_expected(uint64_t said, const struct slice *rest, size_t least);
bool dump_take(struct slice *rest, uint64_t len, struct slice *bytes); /* the next len bytes */
bool dump_take_byte(struct slice *rest, unsigned *byte);
/* What the first byte of a string says: how many bytes follow when it is an integer, or one of these. */
enum { DUMP_STRING_PLAIN = -1, DUMP_STRING_LZF = -2 };
int dump_string_special(unsigned first);
/* The object behind a type byte; NULL when it is none. */
typedef struct entry *(*dump_reader)(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_list(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_list_ziplist(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_list_quicklist(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_list_quicklist_2(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_set(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_set_intset(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_set_listpack(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash_zipmap(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash_ziplist(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash_listpack(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash_timed(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash_timed_old(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash_listpack_timed(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_hash_listpack_timed_old(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_zset(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_zset_2(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_zset_ziplist(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_zset_listpack(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_stream(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_stream_2(struct slice *rest, const struct dump_target *target);
struct entry *dump_read_stream_3(struct slice *rest, const struct dump_target *target);

/* Is this string a listpack? Then *run is what is in it. */
bool dump_open_listpack(struct slice bytes, struct packed *run);

/* A walk over a ziplist: open checks frame and size, next reads one element and says whether there was one. When next
 * ends, `sound` says whether that was the end. Values point into the ziplist. */
struct ziplist_walk {
    struct slice rest;
    bool sound;
};
bool dump_open_ziplist(struct slice bytes, struct ziplist_walk *walk);
bool dump_next_in_ziplist(struct ziplist_walk *walk, struct packed_value *value);
