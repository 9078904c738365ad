/* Value: one key with its value and its deadline, in one allocation when small.
 *
 *    | kind 1 | flags 1 | value_len 2 | access 3 | key_len 1 |   8-byte header
 *    | deadline_ms 8 |                                           only if ENTRY_TIMED
 *    | key length 4 |                                            only if ENTRY_LONG_KEY (key_len is 255 then)
 *    | key bytes | payload |
 *
 * The payload by type and encoding:
 *
 *                   a string                            a collection (any other type)
 *    ENC_EMBEDDED   its bytes                           | count 2 | packed run |, while it is small (core/packed.h)
 *    ENC_INT        8 bytes of integer                  | width 1 | integers |, a small set of them (core/intset.h)
 *    ENC_EXTERNAL   pointer to a block: struct bigstr   the same: | count 4 | packed run | is too long for the entry
 *    ENC_OBJECT     -                                   pointer to the structure of its type: struct quicklist, sorted;
 *                                                         a stream always
 *
 * What differs between types of collections is one row each in value.c (how to name, measure, copy and free one); all
 * that entries do with collections goes through these rows. When a run becomes an object is up to its type; that a long
 * run has a block of its own is nobody's business but the entry's (entry_is_packed, entry_packed, entry_edit_packed).
 *
 * Nothing behind the header is aligned; it is read with memcpy.
 *
 * Ownership an entry owns its block or object. All memory is the store's; what is large is freed later (core/store.h).
 * Thread    the shard's owner. Cost: O(bytes copied); reading is O(1). */
#pragma once
#include "core/intset.h"
#include "core/packed.h"
#include "core/store.h"

enum value_type { TYPE_STRING, TYPE_LIST, TYPE_SET, TYPE_ZSET, TYPE_HASH, TYPE_STREAM, TYPE_COUNT };
enum value_encoding { ENC_EMBEDDED, ENC_INT, ENC_EXTERNAL, ENC_OBJECT }; /* from ENC_EXTERNAL on more is owned */

const char *value_type_name(enum value_type type); /* as TYPE answers it */

#define ENTRY_TIMED    1u /* has a deadline */
#define ENTRY_LONG_KEY 2u
#define ENTRY_RAW      4u /* was edited in place (APPEND, SETRANGE): OBJECT ENCODING says raw, as Redis's would be */
#define ENTRY_LARGE    4u /* a collection: OBJECT ENCODING says what Redis, by its limits, has made of it, run or not */
#define ENTRY_SHOWN    4u /* either of them: says how the value is shown, and goes where the value goes */
#define ENTRY_FIELDS_TIMED                                                                                             \
    8u /* a hash whose object has deadlines of fields (core/fields.h); goes where the value goes, too */
#define ENTRY_OF_VALUE (ENTRY_SHOWN | ENTRY_FIELDS_TIMED)

#define ENTRY_EMBED_MAX  4000                  /* bytes of string kept in the entry; longer ones are external */
#define ENTRY_PACKED_MAX (ENTRY_EMBED_MAX - 2) /* bytes of packed run, likewise */
#define ENTRY_RUN_MAX    (1u << 30)            /* bytes of packed run in a block, as of a listpack in Redis */
#define KEY_MAX          (512u * 1024 * 1024)

struct entry {
    uint8_t type : 4;
    uint8_t encoding : 4;
    uint8_t flags;
    uint16_t value_len;   /* payload bytes in the entry */
    uint32_t access : 24; /* LRU clock in seconds or LFU counter, as Redis's 24 bits */
    uint32_t key_len : 8;
    char rest[];
};
static_assert(sizeof(struct entry) == 8, "the header is what every key pays");

/* A string too long for its entry. */
struct bigstr {
    size_t len, cap;
    char bytes[];
};

/* --- reading --- */
HOT_INLINE const char *entry_after_deadline(const struct entry *entry) {
    return entry->rest + (entry->flags & ENTRY_TIMED ? 8 : 0);
}
HOT_INLINE struct slice entry_key(const struct entry *entry) {
    const char *at = entry_after_deadline(entry);
    if (LIKELY(!(entry->flags & ENTRY_LONG_KEY))) return slice_of(at, entry->key_len);
    uint32_t len;
    memcpy(&len, at, 4);
    return slice_of(at + 4, len);
}
HOT_INLINE const char *entry_payload(const struct entry *entry) {
    struct slice key = entry_key(entry);
    return key.ptr + key.len;
}
HOT_INLINE uint64_t entry_deadline_ms(const struct entry *entry) { /* 0: none */
    uint64_t when = 0;
    if (entry->flags & ENTRY_TIMED) memcpy(&when, entry->rest, 8);
    return when;
}
HOT_INLINE int64_t entry_int(const struct entry *entry) { /* ENC_INT strings only */
    int64_t value;
    memcpy(&value, entry_payload(entry), 8);
    return value;
}
HOT_INLINE struct bigstr *entry_bigstr(const struct entry *entry) { /* ENC_EXTERNAL only */
    struct bigstr *big;
    memcpy(&big, entry_payload(entry), sizeof big);
    return big;
}
HOT_INLINE void *entry_object(const struct entry *entry) { /* ENC_OBJECT only */
    void *object;
    memcpy(&object, entry_payload(entry), sizeof object);
    return object;
}
/* Is this collection, unless it is an intset, a run? Else it is an object. */
HOT_INLINE bool entry_is_packed(const struct entry *entry) {
    return entry->encoding != ENC_OBJECT;
}
struct packed entry_packed_external(const struct entry *entry);
/* The run of a collection that is one. Valid until the entry changes. */
HOT_INLINE struct packed entry_packed(const struct entry *entry) {
    if (UNLIKELY(entry->encoding == ENC_EXTERNAL)) return entry_packed_external(entry);
    const char *at = entry_payload(entry);
    uint16_t count;
    memcpy(&count, at, sizeof count);
    return (struct packed){at + sizeof count, at + entry->value_len, count};
}
/* ENC_INT sets only. Valid until the entry changes. */
HOT_INLINE struct intset entry_intset(const struct entry *entry) {
    const char *at = entry_payload(entry);
    uint8_t width = (uint8_t)*at;
    return (struct intset){at + 1, (uint32_t)(entry->value_len - 1u) / width, width};
}
#define ENTRY_SCRATCH 24 /* bytes of scratch that entry_string may need */
/* The string's bytes; an integer is written into scratch. Valid until the entry changes. */
struct slice entry_string(const struct entry *entry, char scratch[ENTRY_SCRATCH]);
size_t entry_string_len(const struct entry *entry);
const char *entry_encoding_name(const struct entry *entry); /* Redis's names: int, embstr, raw, ... */
/* What entry_edit_string would allocate for this length; NULL: of a new string. */
size_t entry_edit_bytes(const struct entry *entry, size_t new_len);
size_t entry_bytes(const struct entry *entry); /* memory taken, with all it owns */

/* --- making; deadline_ms 0 is none --- */
/* A string; becomes ENC_INT when the text is a canonical 64-bit integer and `allow_int`. */
struct entry *entry_new_string(const struct store *store, struct slice key, struct slice value, uint64_t deadline_ms,
                               bool allow_int);
struct entry *entry_new_int(const struct store *store, struct slice key, int64_t value, uint64_t deadline_ms);
/* A run of `count` elements; *run is where its owner writes `len` bytes of them, ENTRY_RUN_MAX at most. */
struct entry *entry_new_packed(const struct store *store, struct slice key, enum value_type type, uint32_t count,
                               size_t len, uint64_t deadline_ms, char **run);
/* A small set of integers that all have this width; *ints is where its owner writes them. */
struct entry *entry_new_intset(const struct store *store, struct slice key, unsigned width, uint32_t count,
                               uint64_t deadline_ms, char **ints);
struct entry *entry_new_object(const struct store *store, struct slice key, enum value_type type, void *take,
                               uint64_t deadline_ms);
void entry_delete(const struct store *store, struct entry *entry); /* with what it owns */

/* --- changing; each returns the entry, which may have moved, and frees the old one in that case --- */
struct entry *entry_set_string(const struct store *store, struct entry *take, struct slice value, uint64_t deadline_ms,
                               bool allow_int);
struct entry *entry_set_int(const struct store *store, struct entry *take, int64_t value); /* keeps the deadline */
struct entry *entry_set_deadline(const struct store *store, struct entry *take, uint64_t deadline_ms);
/* Makes the string writable with new_len bytes, zero-filled behind the old end, with room to grow (amortised).
 * *bytes points at its first byte. new_len is at least the present length. NULL when memory is refused: take is then
 * unchanged. */
struct entry *entry_edit_string(const struct store *store, struct entry *take, size_t new_len, char **bytes);
/* A run: `remove` bytes of it, `at` bytes behind its begin, become `insert` bytes that the caller writes to *gap;
 * `added` is how many elements more there are then, negative for fewer. It stays within ENTRY_RUN_MAX. */
struct packed_edit {
    size_t at, remove, insert;
    int32_t added;
};
struct entry *entry_edit_packed(const struct store *store, struct entry *take, struct packed_edit edit, char **gap);
/* A small set of integers: room for one more of the same width before index, or the one there goes. */
struct entry *entry_edit_intset(const struct store *store, struct entry *take, uint32_t index, bool add, char **gap);
/* A run becomes an object; its elements are copied by then. */
struct entry *entry_set_object(const struct store *store, struct entry *take, void *take_object);
/* The same value under another key; what it owns is not copied. O(1) for all that is not embedded. */
struct entry *entry_rename(const struct store *store, struct entry *take, struct slice key);
/* A copy under another key. */
struct entry *entry_copy(const struct store *store, const struct entry *entry, struct slice key, uint64_t deadline_ms);
/* --- moving out of sparse pages (core/slab.h) --- */
struct entry *entry_moved(const struct store *store, struct entry *take); /* the entry alone; returns where it is */
/* What it owns, a block or, see store_defrag_some, an object. */
uint64_t entry_defrag_some(const struct store *store, struct entry *entry, uint64_t position, unsigned units);
