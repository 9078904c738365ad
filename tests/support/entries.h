/* Random entries of every type, form and size, for tests of what is written to files; and a digest to compare them by.
 *
 * Owner     the caller deletes what is made. One struct entries per test; its rules decide the forms. */
#pragma once
#include "core/prng.h"
#include "shards/dump.h"

struct entries {
    struct heap *heap;
    struct store store;
    struct quicklist_rule list_rule;
    struct set_rule set_rule;
    struct packed_rule hash_rule;
    struct zset_rule zset_rule;
    struct hash_seed seed;
    struct prng prng;
    struct buf scratch;
};
void entries_init(struct entries *entries, uint64_t seed);
void entries_deinit(struct entries *entries); /* asserts that nothing is left */

/* Target for dump_read_*: the rules above, a key of "key". */
struct dump_target entries_target(struct entries *entries);

/* A value of this type with `count` elements of up to text_max bytes each (a string: count 1). Texts are compressible,
 * noise or numbers by chance. */
struct entry *entries_make(struct entries *entries, enum value_type type, struct slice key, uint64_t count,
                           size_t text_max, uint64_t deadline_ms);
/* Equal for equal values, whatever their form, key and deadline; different for different ones. */
uint64_t entries_digest(const struct entry *entry);
