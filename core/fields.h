/* Fields: the hash table of a large hash, from fields to values.
 *
 *      fields -> hashtable -> field        field:  | name length 4 | value length 4 | name | value |
 *
 * A field and its value are one block, from the slab when it has up to 4 KiB, so an element costs its 8-byte head,
 * its share of the table (core/hashtable.h, about 14 bytes) and what its size is rounded up by. Everything that the
 * table promises holds here too: it grows without a pause and is scanned by cursors that survive it.
 *
 * Deadlines few hashes have fields that end by themselves, so those are kept apart: a sorted set (core/sorted.h) of
 *           their names by deadline, which costs its bytes per such field, and one pointer where there is none. Who
 *           puts or removes a field takes its deadline away; that fields are due is the owner's business.
 *
 * Ownership it owns its fields; their memory is the store's. Names and values are copied in and do not point into it. A
 *           pointer to a field is valid until the next change.
 * Thread    the shard's owner.
 * Cost      find, put, remove, random: O(1) and the bytes. Copy: O(n). Freed in slices (a store_free_some). */
#pragma once
#include "core/hash.h"
#include "core/hashtable.h"
#include "core/store.h"
#include "core/table_watch.h"

struct fields;

struct field {
    uint32_t name_len, value_len;
    char bytes[];
};

HOT_INLINE struct slice field_name(const struct field *field) {
    return slice_of(field->bytes, field->name_len);
}
HOT_INLINE struct slice field_value(const struct field *field) {
    return slice_of(field->bytes + field->name_len, field->value_len);
}

/* Empty. The seed is copied; it should be secret (core/hash.h). */
struct fields *fields_new(const struct store *store, const struct hash_seed *seed);
void fields_delete(const struct store *store, struct fields *fields); /* large ones later, see core/store.h */
bool fields_free_some(const struct store *store, void *fields, unsigned units);
uint64_t fields_defrag_some(const struct store *store, void *fields, uint64_t position, unsigned units);
struct fields *fields_copy(const struct store *store, const struct fields *fields);

uint64_t fields_count(const struct fields *fields);
size_t fields_bytes(const struct fields *fields); /* memory taken */

void fields_expect(struct fields *fields, uint64_t count); /* a hint before many are put */
void fields_expect_timed(struct fields *fields,
                         uint64_t count); /* that many have a deadline: after the first of them */

const struct field *fields_find(struct fields *fields, struct slice name); /* NULL when absent */
/* Creates or overwrites; true when it is new. Lengths are below 2^32. */
bool fields_put(const struct store *store, struct fields *fields, struct slice name, struct slice value);
bool fields_remove(const struct store *store, struct fields *fields, struct slice name); /* false: absent */

/* --- deadlines: unix time in milliseconds, below 2^53; 0 is none --- */
uint64_t fields_timed(const struct fields *fields); /* how many have one */
uint64_t fields_deadline(const struct fields *fields, struct slice name);
void fields_set_deadline(const struct store *store, struct fields *fields, struct slice name,
                         uint64_t deadline_ms);                                    /* of a present field */
uint64_t fields_first_deadline(const struct fields *fields);                       /* the earliest; UINT64_MAX: none */
uint64_t fields_due_count(const struct fields *fields, uint64_t now_ms);           /* O(log n) */
bool fields_due(const struct fields *fields, uint64_t now_ms, struct slice *name); /* the first, if its time is over */
void fields_remove_first_due(const struct store *store, struct fields *fields);    /* the field it names */

typedef void (*fields_visit)(void *ctx, const struct field *field);
/* Visits some fields and returns the next cursor, as hashtable_scan does; the visitor changes nothing. */
uint64_t fields_scan(struct fields *fields, uint64_t cursor, fields_visit visit, void *ctx);
/* Fields that are put or removed are told from now on, but for deadlines; NULL ends it. One watch at a time. */
void fields_watch(struct fields *fields, const struct table_watch *watch);
/* The cursor below which a scan has passed this name: its place in hash space. */
uint64_t fields_position(const struct fields *fields, struct slice name);
const struct field *fields_random(struct fields *fields, struct prng *prng); /* NULL when empty */

void fields_check(struct fields *fields); /* every invariant; for tests */
