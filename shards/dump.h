/* Dump: a value as bytes, the way DUMP and RESTORE exchange it with any Redis.
 *
 *      | type 1 | object, as in an RDB file | version 2 | crc64 8 |
 *
 * The object of a string is a length and its bytes, a small integer, or LZF-compressed bytes; collections are made of
 * strings (shards/dump_list.c, dump_set.c, dump_hash.c ...). The version and the checksum (both little-endian, the checksum
 * over all before it) are the footer; a body is what stands before it.
 *
 * What is too large to be written at once goes through shards/dump_pieces.h; what is only to be passed over, through
 * shards/dump_skip.h.
 *
 * Reading   bytes come from outside and are hostile: every length is checked against what is there before it is used,
 *           and memory is reserved only for what the input can really unpack to.
 * Memory    strings that are read point into the input where possible, else into the caller's scratch.
 * Threads   pure functions. Cost: O(bytes). lzf_compress takes half a megabyte of stack. */
#pragma once
#include "core/buf.h"
#include "core/hash.h"
#include "core/members.h"
#include "core/quicklist.h"
#include "core/sorted.h"
#include "core/value.h"

#define DUMP_VERSION     10u /* written: Redis 7.0's */
#define DUMP_VERSION_MAX 12u /* read: nothing that we read changed up to Redis 8 */
#define DUMP_FOOTER      10u

/* --- writing --- */
void dump_write(struct buf *out, const struct entry *entry); /* body and footer */
/* Without footer. Between our own threads compressing costs more than it saves. */
void dump_write_body(struct buf *out, const struct entry *entry, bool compress);
/* The two halves of a body: in a file the key stands between them. */
unsigned dump_type_of(const struct entry *entry);
void dump_write_object(struct buf *out, const struct entry *entry, bool compress);
void dump_write_length(struct buf *out, uint64_t len);
void dump_write_string(struct buf *out, struct slice bytes, bool compress);

/* --- reading; *rest moves behind what was read, and nothing is promised about it after false --- */
bool dump_footer_fits(struct slice payload); /* a version we read and the right checksum */
/* False: cut short, no such length, or one of the special encodings. */
NODISCARD bool dump_read_length(struct slice *rest, uint64_t *len);
/* An RDB string. *value points into rest or into scratch, whose content is replaced. */
NODISCARD bool dump_read_string(struct slice *rest, struct buf *scratch, struct slice *value);
/* What a value is to become. scratch is for strings that have to be unpacked. */
struct dump_target {
    const struct store *store;
    const struct quicklist_rule *list_rule;
    const struct set_rule *set_rule;
    const struct packed_rule *hash_rule;
    const struct zset_rule *zset_rule;
    const struct hash_seed *seed; /* of tables */
    struct buf *scratch;
    struct slice key;
    uint64_t deadline_ms;
    bool allow_int; /* a string that is an integer becomes one, a set of integers an intset */
    bool as_it_was; /* one of us wrote a sorted set: it is called as it was, whatever the rule says */
};
/* Object, or type byte and object, as an entry that is the caller's; NULL when they are broken, or of a type we do not
 * know, or a collection without elements. */
NODISCARD struct entry *dump_read_object(unsigned type, struct slice *rest, const struct dump_target *target);
NODISCARD struct entry *dump_read_entry(struct slice *rest, const struct dump_target *target);
