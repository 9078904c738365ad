/* The cluster slot: rule of the Redis Cluster specification, "Hash tags". Most keys hold no '{',
 * and for those the rule costs one memchr. */
#include "core/hash.h"
#include "core/crc.h"
#include <assert.h>

static_assert((HASH_SLOTS & (HASH_SLOTS - 1)) == 0, "the slot is the CRC's low bits");

/* The part of the key that decides, given its first '{'. */
static struct slice tag_or_key(struct slice key, const char *open) {
    const char *tag = open + 1;
    size_t rest = (size_t)(key.ptr + key.len - tag);
    const char *close = memchr(tag, '}', rest);
    if (!close || close == tag) return key;
    return slice_of(tag, (size_t)(close - tag));
}

unsigned hash_slot(struct slice key) {
    const char *open = key.len ? memchr(key.ptr, '{', key.len) : NULL;
    if (UNLIKELY(open)) key = tag_or_key(key, open);
    return crc16(key.ptr, key.len) & (HASH_SLOTS - 1);
}
