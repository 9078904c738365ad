/* Packed elements: the head says kind and length, and so does the tail, backwards.
 *
 *      0nnnnnnn                            the integer n
 *      10llllll text                       text of l bytes
 *      110nnnnn nnnnnnnn                   13 bits, signed
 *      1110llll llllllll text              text of l bytes
 *      11110000 and 4 bytes, text          text; its length is little-endian
 *      11110001 .. 11110100 and bytes      integers of 16, 24, 32 and 64 bits, little-endian
 *
 * The tail is the size of all that in groups of 7 bits, the lowest group last; bit 7 of a byte says that there is
 * another one in front of it. Format: the listpack specification, https://github.com/antirez/listpack. */
#include "core/packed.h"
#include "core/assert.h"
#include "core/num.h"
#include <endian.h>

enum { INT_7 = 0x00, TEXT_6 = 0x80, INT_13 = 0xC0, TEXT_12 = 0xE0 };
enum { TEXT_32 = 0xF0, INT_16 = 0xF1, INT_24 = 0xF2, INT_32 = 0xF3, INT_64 = 0xF4 };

static unsigned byte_at(const char *at, size_t i) {
    return (unsigned char)at[i];
}

/* --- sizes --- */

/* Head and bytes are `body`. The limits of 2 bytes and more are one below what fits, as in Redis: it reads what we
 * write. */
static size_t tail_size(uint64_t body) {
    if (LIKELY(body <= 127)) return 1;
    return body < 16383 ? 2 : body < 2097151 ? 3 : body < 268435455 ? 4 : 5;
}

static size_t body_of_text(size_t len) {
    return len + (len < 64 ? 1 : len < 4096 ? 2 : 5);
}

static size_t body_of_int(int64_t number) {
    if (number >= 0 && number <= 127) return 1;
    if (number >= -4096 && number <= 4095) return 2;
    if (number >= INT16_MIN && number <= INT16_MAX) return 3;
    if (number >= -(1 << 23) && number < 1 << 23) return 4;
    return number >= INT32_MIN && number <= INT32_MAX ? 5 : 9;
}

static size_t body_of(const struct packed_value *value) {
    return value->is_int ? body_of_int(value->number) : body_of_text(value->text.len);
}

/* Of the element at `at`, by its head; 0 when there is no such head. */
static uint64_t body_at(const char *at) {
    unsigned head = byte_at(at, 0);
    if (head < TEXT_6) return 1;
    if (head < INT_13) return 1 + (head & 63);
    if (head < TEXT_12) return 2;
    if (head < TEXT_32) return 2 + ((head & 15) << 8 | byte_at(at, 1));
    uint32_t len;
    switch (head) {
    case TEXT_32: memcpy(&len, at + 1, 4); return 5 + (uint64_t)le32toh(len);
    case INT_16: return 3;
    case INT_24: return 4;
    case INT_32: return 5;
    case INT_64: return 9;
    default: return 0;
    }
}

/* --- reading --- */

/* The little-endian integer of `size` bytes. */
HOT_INLINE int64_t read_int(const char *at, unsigned size) {
    uint64_t bits = 0;
    memcpy(&bits, at, size);
    return (int64_t)(le64toh(bits) << (64 - 8 * size)) >> (64 - 8 * size);
}

static const char *read_text(const char *at, struct packed_value *value, size_t head, uint64_t len) {
    value->text = slice_of(at + head, len);
    return at + head + len + tail_size(head + len);
}

/* Integers in a few instructions each: lists are often made of them. */
const char *packed_read_long(const char *at, struct packed_value *value) {
    unsigned head = byte_at(at, 0);
    value->is_int = head < TEXT_12 || head > TEXT_32;
    if (head < TEXT_12) {
        value->number = (int64_t)((uint64_t)((head & 31) << 8 | byte_at(at, 1)) << 51) >> 51;
        return at + 3;
    }
    if (head < TEXT_32) return read_text(at, value, 2, (head & 15) << 8 | byte_at(at, 1));
    switch (head) {
    case TEXT_32: return read_text(at, value, 5, body_at(at) - 5);
    case INT_16: value->number = read_int(at + 1, 2); return at + 4;
    case INT_24: value->number = read_int(at + 1, 3); return at + 5;
    case INT_32: value->number = read_int(at + 1, 4); return at + 6;
    default: value->number = read_int(at + 1, 8); return at + 10;
    }
}

const char *packed_next_long(const char *at) {
    uint64_t body = body_at(at);
    ASSERT_SLOW(body != 0);
    return at + body + tail_size(body);
}

const char *packed_prev_long(const char *at) {
    uint64_t body = 0;
    unsigned shift = 0;
    for (;; shift += 7) {
        unsigned byte = (unsigned char)*--at;
        body |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) break;
        ASSERT_SLOW(shift < 28);
    }
    return at - body;
}

struct slice packed_text(const struct packed_value *value, char scratch[PACKED_SCRATCH]) {
    if (!value->is_int) return value->text;
    return slice_of(scratch, num_format_i64(scratch, value->number));
}

const char *packed_at(const struct packed *run, uint32_t index) {
    ASSERT(index <= run->count);
    if (index <= run->count / 2) {
        const char *at = run->begin;
        for (; index > 0; index--) at = packed_next(at);
        return at;
    }
    const char *at = run->end;
    for (; index < run->count; index++) at = packed_prev(at);
    return at;
}

/* --- searching --- */

const char *packed_find(const struct packed *run, const char *from, const struct packed_value *sought,
                        unsigned stride) {
    struct packed_value element;
    for (const char *at = from; at < run->end;) {
        const char *next = packed_read(at, &element);
        if (packed_equal(&element, sought)) return at;
        for (unsigned i = 1; i < stride && next < run->end; i++) next = packed_next(next);
        at = next;
    }
    return NULL;
}

uint32_t packed_count_equal(const struct packed *run, const struct packed_value *sought) {
    struct packed_value element;
    uint32_t count = 0;
    for (const char *at = run->begin; at < run->end;) {
        at = packed_read(at, &element);
        count += packed_equal(&element, sought);
    }
    return count;
}

/* --- writing --- */

struct packed_value packed_value_of(struct slice text) {
    struct packed_value value = {.text = text};
    ASSERT(text.len <= PACKED_TEXT_MAX);
    value.is_int = num_parse_i64(text, &value.number);
    return value;
}

size_t packed_size(const struct packed_value *value) {
    size_t body = body_of(value);
    return body + tail_size(body);
}

static char *write_text(char *at, struct slice text) {
    if (text.len < 64) {
        *at++ = (char)(TEXT_6 | text.len);
    } else if (text.len < 4096) {
        *at++ = (char)(TEXT_12 | text.len >> 8);
        *at++ = (char)(text.len & 255);
    } else {
        uint32_t len = htole32((uint32_t)text.len);
        *at++ = (char)TEXT_32;
        memcpy(at, &len, 4);
        at += 4;
    }
    slice_copy(at, text.ptr, text.len);
    return at + text.len;
}

static char *write_int(char *at, int64_t number, size_t body) {
    static const unsigned char heads[] = {[3] = INT_16, [4] = INT_24, [5] = INT_32, [9] = INT_64};
    if (body == 1) {
        *at = (char)(INT_7 | number);
    } else if (body == 2) {
        at[0] = (char)(INT_13 | ((uint64_t)number >> 8 & 31));
        at[1] = (char)(number & 255);
    } else {
        uint64_t bits = htole64((uint64_t)number);
        *at = (char)heads[body];
        memcpy(at + 1, &bits, body - 1);
    }
    return at + body;
}

static char *write_tail(char *at, uint64_t body) {
    size_t size = tail_size(body);
    for (size_t i = size; i-- > 0; body >>= 7) at[i] = (char)((body & 127) | (i > 0 ? 128u : 0));
    return at + size;
}

char *packed_write(char *at, const struct packed_value *value) {
    if (!value->is_int) return write_tail(write_text(at, value->text), body_of_text(value->text.len));
    size_t body = body_of_int(value->number); /* by itself, so that the compiler sees that it is at most 9 */
    return write_tail(write_int(at, value->number, body), body);
}

char *packed_purge(char *begin, char *end, const struct packed_value *sought, uint32_t skip, uint64_t max,
                   uint32_t *gone) {
    struct packed_value element;
    char *to = begin, *kept = begin; /* kept .. at is what stays and has not been moved yet */
    *gone = 0;
    for (char *at = begin; at < end && *gone < max;) {
        char *next = at + (packed_read(at, &element) - at);
        if (packed_equal(&element, sought)) {
            if (skip > 0) {
                skip--;
            } else {
                memmove(to, kept, (size_t)(at - kept));
                to += at - kept;
                kept = next;
                ++*gone;
            }
        }
        at = next;
    }
    memmove(to, kept, (size_t)(end - kept));
    return to + (end - kept);
}

/* --- bytes from outside --- */

/* Bytes that must be there before body_at may look at them. */
static size_t head_size(unsigned head) {
    return head < INT_13 ? 1 : head < TEXT_32 ? 2 : head == TEXT_32 ? 5 : 1;
}

bool packed_valid(struct slice bytes, uint64_t *count) {
    *count = 0;
    if (bytes.len == 0) return true;
    const char *at = bytes.ptr, *end = bytes.ptr + bytes.len;
    for (; at < end; ++*count) {
        size_t left = (size_t)(end - at);
        if (head_size(byte_at(at, 0)) > left) return false;
        uint64_t body = body_at(at);
        if (body == 0 || body > left || body > PACKED_TEXT_MAX + 5) return false;
        char tail[5];
        size_t size = (size_t)(write_tail(tail, body) - tail);
        if (size > left - body || memcmp(at + body, tail, size) != 0) return false;
        at += body + size;
    }
    return true;
}
