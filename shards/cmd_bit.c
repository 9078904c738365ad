/* Strings as bits: GETBIT, SETBIT, BITCOUNT, BITPOS. Bit 0 is the highest of the first byte; what lies behind the end
 * is zero.
 *
 * BITCOUNT and BITPOS look at eight bytes at a time; what of the first and the last byte lies outside of the range is
 * masked. Of a long string they look at the beginning; what follows takes turns (shards/work.h), a stretch in each. */
#include "shards/admit.h"
#include "shards/cmd_bit_priv.h"
#include "shards/cmd_tables.h"
#include "shards/shard.h"
#include "shards/work.h"

#define AT_ONCE (2 << 20) /* bytes of a string that are looked at in one go: half a millisecond or so */
#define STRETCH (1 << 20) /* and those of a slice */

static void reply_bad_offset(struct exec *x) {
    reply_error(x, "ERR bit offset is not an integer or out of range");
}

bool exec_bit_offset(struct exec *x, uint32_t at, unsigned width, uint64_t *offset) {
    struct slice text = x->argv[at];
    bool counts = width && text.len > 0 && text.ptr[0] == '#'; /* in units of the field */
    int64_t value;
    if (counts) text = slice_of(text.ptr + 1, text.len - 1);
    if (!num_parse_i64(text, &value) || value < 0 ||
        (counts && __builtin_mul_overflow(value, (int64_t)width, &value)) ||
        ((uint64_t)value >> 3 >= x->shard->config->proto_max_bulk_len && !(x->flags & CLIENT_LOADER))) {
        reply_bad_offset(x);
        return false;
    }
    *offset = (uint64_t)value;
    return true;
}

unsigned char *exec_edit_bits(struct exec *x, struct key_ref *ref, size_t bytes, bool *grew) {
    if (!exec_open(x, 1, TYPE_STRING, ref)) return NULL;
    if (!admit_edit(x, ref->entry, bytes)) return NULL;
    bool fresh = !ref->entry;
    size_t before = fresh ? 0 : entry_string_len(ref->entry);
    if (fresh) keyspace_put_string(x->keys, ref, SLICE(""), 0, false);
    char *string = keyspace_edit_string(x->keys, ref, MAX(before, bytes));
    if (UNLIKELY(!string)) {
        if (fresh) keyspace_remove(x->keys, ref);
        reply_error(x, "ERR insufficient memory for the new length of the string");
        return NULL;
    }
    *grew = before < bytes;
    return (unsigned char *)string;
}

/* --- one bit --- */

static void cmd_getbit(struct exec *x) {
    uint64_t offset;
    struct key_ref ref;
    if (!exec_bit_offset(x, 2, 0, &offset) || !exec_read(x, 1, TYPE_STRING, &ref)) return;
    char scratch[ENTRY_SCRATCH];
    struct slice bytes = ref.entry ? entry_string(ref.entry, scratch) : SLICE("");
    unsigned byte = offset >> 3 < bytes.len ? (unsigned char)bytes.ptr[offset >> 3] : 0;
    reply_int(x, byte >> (7 - (offset & 7)) & 1);
}

uint64_t exec_bits_grow(const struct exec *x, uint64_t end) {
    return admit_grown_string(x, 1, (end >> 3) + 1);
}

static uint64_t setbit_grows(const struct exec *x) {
    int64_t offset;
    return num_parse_i64(x->argv[2], &offset) && offset >= 0 ? exec_bits_grow(x, (uint64_t)offset) : 0;
}

static void cmd_setbit(struct exec *x) {
    uint64_t offset;
    int64_t on;
    if (!exec_bit_offset(x, 2, 0, &offset)) return;
    if (!num_parse_i64(x->argv[3], &on) || on >> 1) {
        reply_error(x, "ERR bit is not an integer or out of range");
        return;
    }
    struct key_ref ref;
    bool grew;
    unsigned char *byte = exec_edit_bits(x, &ref, (size_t)(offset >> 3) + 1, &grew);
    if (!byte) return;
    byte += offset >> 3;
    unsigned shift = 7 - (unsigned)(offset & 7), was = *byte >> shift & 1;
    if (grew || was != (unsigned)on) {
        *byte = (unsigned char)((*byte & ~(1u << shift)) | (unsigned)on << shift);
        exec_changed(x, ref.key, 1);
        exec_event(x, NOTIFY_STRING, ref.key);
    }
    reply_int(x, was);
}

/* --- ranges --- */

struct range {
    int64_t first, last;      /* bytes, both included; first > last: none */
    unsigned head, tail;      /* of the first and the last byte: the bits inside */
    bool has_start, has_last; /* given by the client */
};

/* BIT or BYTE at argv[at], which may be missing. */
static bool unit_of(struct exec *x, uint32_t at, bool *bits) {
    *bits = at < x->argc && arg_is(x, at, "bit");
    if (at >= x->argc || *bits || arg_is(x, at, "byte")) return true;
    reply_syntax_error(x);
    return false;
}

/* start and last count bytes or bits of a string of len bytes, negative ones from its end. */
static void range_set(struct range *range, int64_t start, int64_t last, int64_t len, bool bits) {
    int64_t total = bits ? len * 8 : len;
    if (start < 0) start = MAX(total + start, 0);
    if (last < 0) last = MAX(total + last, 0);
    last = MIN(last, total - 1);
    range->first = start;
    range->last = last;
    if (!bits || start > last) return;
    range->head = 0xFFu >> (start & 7);
    range->tail = 0xFFu << (7 - (last & 7)) & 0xFFu;
    range->first = start >> 3;
    range->last = last >> 3;
}

static const struct range nothing = {.last = -1, .head = 0xFF, .tail = 0xFF};

/* The byte at i of a range, without the bits outside of it; those are `outside`. */
HOT_INLINE unsigned byte_of(const struct range *range, const unsigned char *bytes, int64_t i, unsigned outside) {
    unsigned mask = 0xFF;
    if (i == range->first) mask &= range->head;
    if (i == range->last) mask &= range->tail;
    return (bytes[i] & mask) | (outside & ~mask & 0xFF);
}

static uint64_t count_ones(const struct range *range, const unsigned char *bytes) {
    if (range->first > range->last) return 0;
    uint64_t count = (uint64_t)__builtin_popcount(byte_of(range, bytes, range->first, 0));
    if (range->first == range->last) return count;
    int64_t i = range->first + 1;
    for (; i + 8 <= range->last; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, sizeof word);
        count += (uint64_t)__builtin_popcountll(word);
    }
    for (; i < range->last; i++) count += (uint64_t)__builtin_popcount(bytes[i]);
    return count + (uint64_t)__builtin_popcount(byte_of(range, bytes, range->last, 0));
}

/* The first byte of the range that holds such a bit; past its end when none does. */
static int64_t find_byte(const struct range *range, const unsigned char *bytes, bool bit) {
    unsigned without = bit ? 0x00 : 0xFF;
    uint64_t word, without_all = bit ? 0 : UINT64_MAX;
    int64_t i = range->first;
    while (i <= range->last) {
        if (i > range->first && i + 8 <= range->last) {
            memcpy(&word, bytes + i, sizeof word);
            if (word == without_all) {
                i += 8;
                continue;
            }
        }
        if (byte_of(range, bytes, i, without) != without) return i;
        i++;
    }
    return i;
}

/* -1: no such bit. Behind the last byte there are zeros, unless the client said where the range ends. */
static int64_t find_bit(const struct range *range, const unsigned char *bytes, bool bit) {
    if (range->first > range->last) return -1;
    int64_t at = find_byte(range, bytes, bit);
    if (at > range->last) return bit || range->has_last ? -1 : at * 8;
    unsigned byte = byte_of(range, bytes, at, bit ? 0x00 : 0xFF);
    unsigned wanted = bit ? byte : ~byte & 0xFF;
    return at * 8 + (__builtin_clz(wanted) - 24);
}

/* --- a stretch at a time --- */

/* What BITCOUNT and BITPOS ask of a range. */
struct look {
    struct range range; /* what is still to be looked at */
    bool finds, bit;    /* BITPOS, and of which bit */
    int64_t answer;
};

/* The first bytes of a range, up to so many; the range has the others then. */
static struct range cut_off(struct range *range, int64_t max) {
    struct range piece = *range;
    if (range->last - range->first >= max) {
        piece.last = range->first + max - 1;
        piece.tail = 0xFF;
        piece.has_last = true; /* it is not the string's end */
    }
    range->first = piece.last + 1;
    range->head = 0xFF;
    return piece;
}

/* True: there is more to look at. */
static bool look_some(struct look *look, const unsigned char *bytes, int64_t max) {
    struct range piece = cut_off(&look->range, max);
    if (look->finds)
        look->answer = find_bit(&piece, bytes, look->bit);
    else
        look->answer += (int64_t)count_ones(&piece, bytes);
    bool found = look->finds && look->answer >= 0;
    return look->range.first <= look->range.last && !found;
}

struct look_work {
    struct work work; /* first: it is cast back */
    struct look look;
};

static bool look_work_some(struct exec *x, struct work *of) {
    struct look *look = &((struct look_work *)of)->look;
    struct key_ref ref;
    char scratch[ENTRY_SCRATCH];
    if (!exec_open_any(x, 1, &ref)) {
        reply_int(x, look->finds && look->bit ? -1 : 0); /* its time is over: it was not there */
        return false;
    }
    if (look_some(look, (const unsigned char *)entry_string(ref.entry, scratch).ptr, STRETCH)) return true;
    reply_int(x, look->answer);
    return false;
}

static struct work *look_work_new(const struct exec *x, const struct look *look) {
    struct look_work *work = work_new(x, sizeof *work, (struct work){.some = look_work_some});
    work->look = *look;
    return &work->work;
}

static void look(struct exec *x, struct look look, struct slice string) {
    const unsigned char *bytes = (const unsigned char *)string.ptr;
    bool more = look_some(&look, bytes, AT_ONCE);
    if (more && work_takes_turns(x)) {
        if (work_begins(x)) work_begin(x, look_work_new(x, &look));
        return;
    }
    if (more) (void)look_some(&look, bytes, INT64_MAX);
    reply_int(x, look.answer);
}

/* --- BITCOUNT, BITPOS --- */

static void cmd_bitcount(struct exec *x) {
    struct key_ref ref;
    int64_t start, last;
    bool bits;
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    if (!ref.entry) { /* as Redis, before the range is looked at */
        reply_int(x, 0);
        return;
    }
    char scratch[ENTRY_SCRATCH];
    struct slice bytes = entry_string(ref.entry, scratch);
    struct range range = nothing;
    if (x->argc == 2) {
        range.last = (int64_t)bytes.len - 1;
    } else if (x->argc == 3 || x->argc > 5) {
        reply_syntax_error(x);
        return;
    } else {
        if (!exec_int(x, 2, &start) || !exec_int(x, 3, &last)) return;
        if (start < 0 && last < 0 && start > last) {
            reply_int(x, 0);
            return;
        }
        if (!unit_of(x, 4, &bits)) return;
        range_set(&range, start, last, (int64_t)bytes.len, bits);
    }
    look(x, (struct look){.range = range}, bytes);
}

static void cmd_bitpos(struct exec *x) {
    int64_t bit, start, last = -1;
    bool bits = false;
    struct key_ref ref;
    if (!exec_int(x, 2, &bit)) return;
    if (bit >> 1) {
        reply_error(x, "ERR The bit argument must be 1 or 0.");
        return;
    }
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    if (!ref.entry) {
        reply_int(x, bit ? -1 : 0);
        return;
    }
    char scratch[ENTRY_SCRATCH];
    struct slice bytes = entry_string(ref.entry, scratch);
    struct range range = nothing;
    range.last = (int64_t)bytes.len - 1;
    if (x->argc > 6) {
        reply_syntax_error(x);
        return;
    }
    if (x->argc > 3) {
        if (!exec_int(x, 3, &start) || !unit_of(x, 5, &bits)) return;
        range.has_last = x->argc > 4;
        if (range.has_last && !exec_int(x, 4, &last)) return;
        range_set(&range, start, last, (int64_t)bytes.len, bits);
    }
    look(x, (struct look){.range = range, .finds = true, .bit = bit}, bytes);
}

const struct command bit_commands[] = {
    {.name = "getbit",
     .arity = 3,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_BITMAP,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_getbit,
     .group = "bitmap",
     .since = "2.2.0",
     .cost = "O(1)",
     .args = "key offset",
     .doc = "Answers one bit of a string."},
    {.name = "setbit",
     .arity = 4,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_BITMAP,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_setbit,
     .grows = setbit_grows,
     .replays = true,
     .group = "bitmap",
     .since = "2.2.0",
     .cost = "O(1), and O(N) when the string grows by N bytes",
     .args = "key offset value",
     .doc = "Sets or clears one bit of a string and answers what it was."},
    {.name = "bitcount",
     .arity = -2,
     .flags = CMD_READ,
     .acl = ACL_BITMAP,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_bitcount,
     .takes_turns = true,
     .group = "bitmap",
     .since = "2.6.0",
     .cost = "O(N), N = bytes in the range",
     .args = "key [start end [BYTE | BIT]]",
     .doc = "Answers how many bits of a string, or of a part of it, are set."},
    {.name = "bitpos",
     .arity = -3,
     .flags = CMD_READ,
     .acl = ACL_BITMAP,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_bitpos,
     .takes_turns = true,
     .group = "bitmap",
     .since = "2.8.7",
     .cost = "O(N), N = bytes in the range",
     .args = "key bit [start [end [BYTE | BIT]]]",
     .doc = "Answers where the first bit lies that is set, or clear."},
    {0},
};
