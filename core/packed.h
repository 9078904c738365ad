/* Packed: a run of short byte strings and integers without gaps, in one stretch of memory.
 *
 *      | element | element | ... |            element:  | head 1-5 | bytes | size of head and bytes, 1-5 |
 *
 * The size behind each element, written so that it can be read from its end, makes a run readable both ways. Text that
 * is a canonical 64-bit integer is stored as one, in 1 to 9 bytes; an element of up to 63 bytes costs 2 bytes over its
 * text. The encoding of an element is that of Redis's listpack, so a run becomes a listpack of an RDB file by 6 bytes
 * in front and one behind (shards/dump.c), and the other way round, without looking at the elements.
 *
 * A run owns nothing. The two owners are an entry with a small collection (core/value.h) and the node of a quicklist
 * (core/quicklist.h); they make room, and what is here reads, writes and searches. Collections of pairs are runs in
 * which every second element is a field: packed_find goes in strides.
 *
 * Trust     all functions but packed_valid trust the bytes. What comes from outside goes through packed_valid first.
 * Cost      reading an element: a few ns. Finding, or going to an index: O(bytes passed).
 * Threads   pure functions. */
#pragma once
#include "core/slice.h"

#define PACKED_TEXT_MAX (512u * 1024 * 1024) /* bytes of one element, as proto-max-bulk-len at most */
#define PACKED_OVER_MAX 10u                  /* bytes that an element of any length takes over its text */

struct packed {
    const char *begin, *end;
    uint32_t count; /* elements */
};

/* An element outside of a run. One that was read has text or number; one to write or to look for was made by
 * packed_value_of and has both if it is a number. */
struct packed_value {
    struct slice text;
    int64_t number;
    bool is_int;
};

/* Until when Redis keeps a collection as one run: so many members (pairs count once), and none with longer text. */
struct packed_rule {
    uint64_t count_max;
    size_t text_max;
};

/* --- reading --- */

const char *packed_read_long(const char *at, struct packed_value *value);
const char *packed_next_long(const char *at);
const char *packed_prev_long(const char *at);

/* Reads the element at `at` and returns where the next one begins, or the run ends. Text points into the run. */
HOT_INLINE const char *packed_read(const char *at, struct packed_value *value) {
    unsigned head = (unsigned char)*at;
    if (head >= 0xC0) return packed_read_long(at, value);
    if (head >= 0x80) {
        value->is_int = false;
        value->text = slice_of(at + 1, head & 63);
        return at + 2 + (head & 63);
    }
    value->is_int = true;
    value->number = head;
    return at + 2;
}

HOT_INLINE const char *packed_next(const char *at) {
    unsigned head = (unsigned char)*at;
    if (head >= 0xC0) return packed_next_long(at);
    return at + 2 + (head >= 0x80 ? head & 63 : 0);
}

/* Where the element that ends at `at` begins. */
HOT_INLINE const char *packed_prev(const char *at) {
    unsigned tail = (unsigned char)at[-1];
    if (tail >= 0x80) return packed_prev_long(at);
    return at - 1 - tail;
}

#define PACKED_SCRATCH 24
/* The element as text; an integer is written into scratch. */
struct slice packed_text(const struct packed_value *value, char scratch[PACKED_SCRATCH]);

/* The element at index, below count; the end of the run when it is count. From the nearer end. */
const char *packed_at(const struct packed *run, uint32_t index);

/* --- searching; sought is from packed_value_of --- */

HOT_INLINE bool packed_equal(const struct packed_value *element, const struct packed_value *sought) {
    if (element->is_int) return sought->is_int && sought->number == element->number;
    return slice_equal(element->text, sought->text);
}
/* The first equal element among `from` and every stride-th after it; NULL when there is none. */
const char *packed_find(const struct packed *run, const char *from, const struct packed_value *sought, unsigned stride);
uint32_t packed_count_equal(const struct packed *run, const struct packed_value *sought);

/* --- writing --- */

struct packed_value packed_value_of(struct slice text); /* text of at most PACKED_TEXT_MAX; borrowed */
size_t packed_size(const struct packed_value *value);   /* that it takes in a run */
/* Writes it at `at`, where there are packed_size bytes of room, and returns the place behind it. */
char *packed_write(char *at, const struct packed_value *value);
/* Takes out elements that are equal to sought: not the first `skip` of them, and `max` at most. What stays moves
 * together towards begin; returns its new end, and in *gone how many went. O(bytes), however many. */
char *packed_purge(char *begin, char *end, const struct packed_value *sought, uint32_t skip, uint64_t max,
                   uint32_t *gone);

/* --- bytes from outside --- */

/* Are these bytes a run that can be read from both ends? Then *count is its elements. */
NODISCARD bool packed_valid(struct slice bytes, uint64_t *count);
