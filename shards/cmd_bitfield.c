/* Strings as fields of bits: BITFIELD, BITFIELD_RO: integers of 1 to 64 bits at any bit, several operations in one
 * command.
 *
 * All operations are read before the first is done, so that a mistake changes nothing. The string is made long enough
 * for the farthest write once. Sums are made in 128 bits, where no field can overflow. */
#include "shards/cmd_bit_priv.h"
#include "shards/cmd_tables.h"
#include "shards/shard.h"

enum field_operation { FIELD_GET, FIELD_SET, FIELD_INCRBY };
enum field_overflow { OVERFLOW_WRAP, OVERFLOW_SAT, OVERFLOW_FAIL };

struct field {
    uint64_t offset; /* of its first bit */
    int64_t argument;
    uint8_t bits;
    bool is_signed;
    uint8_t operation, overflow;
};

/* --- reading the arguments --- */

static bool parse_type(struct exec *x, uint32_t at, struct field *field) {
    struct slice text = x->argv[at];
    int64_t bits;
    bool is_signed = text.len > 0 && text.ptr[0] == 'i', is_unsigned = text.len > 0 && text.ptr[0] == 'u';
    if ((is_signed || is_unsigned) && num_parse_i64(slice_of(text.ptr + 1, text.len - 1), &bits) && bits >= 1 &&
        bits <= (is_signed ? 64 : 63)) {
        field->bits = (uint8_t)bits;
        field->is_signed = is_signed;
        return true;
    }
    reply_error(x, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.");
    return false;
}

static bool parse_overflow(struct exec *x, uint32_t at, uint8_t *overflow) {
    if (arg_is(x, at, "wrap"))
        *overflow = OVERFLOW_WRAP;
    else if (arg_is(x, at, "sat"))
        *overflow = OVERFLOW_SAT;
    else if (arg_is(x, at, "fail"))
        *overflow = OVERFLOW_FAIL;
    else {
        reply_error(x, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* The operation named at argv[at], with so many arguments behind it; 0: there is none. */
static uint32_t operation_at(const struct exec *x, uint32_t at, uint8_t *operation) {
    uint32_t left = x->argc - at - 1;
    *operation = FIELD_GET;
    if (arg_is(x, at, "get") && left >= 2) return 2;
    *operation = FIELD_SET;
    if (arg_is(x, at, "set") && left >= 3) return 3;
    *operation = FIELD_INCRBY;
    return arg_is(x, at, "incrby") && left >= 3 ? 3 : 0;
}

/* The next operation from argv[*at] on; *found is false at the end. */
static bool parse_field(struct exec *x, uint32_t *at, struct field *field, bool *found) {
    *found = false;
    while (*at + 1 < x->argc && arg_is(x, *at, "overflow")) {
        if (!parse_overflow(x, *at + 1, &field->overflow)) return false;
        *at += 2;
    }
    if (*at >= x->argc) return true;
    uint32_t arguments = operation_at(x, *at, &field->operation);
    if (!arguments) {
        reply_syntax_error(x);
        return false;
    }
    if (!parse_type(x, *at + 1, field) || !exec_bit_offset(x, *at + 2, field->bits, &field->offset)) return false;
    if (arguments == 3 && !exec_int(x, *at + 3, &field->argument)) return false;
    *at += arguments + 1;
    *found = true;
    return true;
}

/* What all operations together need. */
struct plan {
    uint64_t count;
    bool writes;
    uint64_t end; /* in bits, of the farthest write */
};

static bool parse_all(struct exec *x, struct plan *plan) {
    struct field field = {0};
    bool found = true;
    *plan = (struct plan){0};
    for (uint32_t at = 2; found;) {
        if (!parse_field(x, &at, &field, &found)) return false;
        if (!found) break;
        plan->count++;
        if (field.operation == FIELD_GET) continue;
        plan->writes = true;
        plan->end = MAX(plan->end, field.offset + field.bits);
    }
    return true;
}

/* By the positions alone; what is wrong in the arguments is told when it runs. */
static uint64_t bitfield_grows(const struct exec *x) {
    uint64_t end = 0;
    for (uint32_t at = 2; at + 3 < x->argc; at++) {
        struct slice type = x->argv[at + 1], position = x->argv[at + 2];
        int64_t offset, width = 1;
        if ((!arg_is(x, at, "set") && !arg_is(x, at, "incrby")) || type.len < 2 || position.len == 0) continue;
        bool counts = position.ptr[0] == '#';
        if (counts) position = slice_of(position.ptr + 1, position.len - 1);
        if (counts && !num_parse_i64(slice_of(type.ptr + 1, type.len - 1), &width)) continue;
        if (!num_parse_i64(position, &offset) || offset < 0 || width < 0) continue;
        if (!__builtin_mul_overflow(offset, width, &offset)) end = MAX(end, (uint64_t)offset + 64);
    }
    return exec_bits_grow(x, end);
}

/* --- fields --- */

/* Sign-extended when the field is signed. Bits behind the end are zero. */
static __int128 field_get(const struct field *field, const unsigned char *bytes, size_t len) {
    uint64_t value = 0;
    for (unsigned i = 0; i < field->bits; i++) {
        uint64_t at = field->offset + i;
        unsigned byte = at >> 3 < len ? bytes[at >> 3] : 0;
        value = value << 1 | (byte >> (7 - (at & 7)) & 1);
    }
    if (!field->is_signed) return value;
    return (int64_t)(value << (64 - field->bits)) >> (64 - field->bits);
}

static void field_put(const struct field *field, unsigned char *bytes, uint64_t value) {
    for (unsigned i = 0; i < field->bits; i++) {
        uint64_t at = field->offset + i;
        unsigned shift = 7 - (unsigned)(at & 7), bit = value >> (field->bits - 1 - i) & 1;
        bytes[at >> 3] = (unsigned char)((bytes[at >> 3] & ~(1u << shift)) | bit << shift);
    }
}

/* What fits of a value, as its OVERFLOW says. False: it is to fail. */
static bool fit(const struct field *field, __int128 *value) {
    __int128 one = 1;
    __int128 high = (one << (field->bits - (field->is_signed ? 1 : 0))) - 1, low = field->is_signed ? -high - 1 : 0;
    if (*value >= low && *value <= high) return true;
    if (field->overflow == OVERFLOW_FAIL) return false;
    if (field->overflow == OVERFLOW_SAT) /* Redis's SET takes the lowest numbers of all for high ones */
        *value = *value > high || (field->operation == FIELD_SET && *value < high - INT64_MAX) ? high : low;
    else {
        __int128 span = one << field->bits;
        *value = (*value % span + span) % span;
        if (*value > high) *value -= span;
    }
    return true;
}

/* One operation and its reply. True: it counts as a change, as every write does that made the string longer. */
static bool run_field(struct exec *x, const struct field *field, unsigned char *bytes, size_t len, bool grew) {
    __int128 before = field_get(field, bytes, len), after;
    if (field->operation == FIELD_GET) {
        reply_int(x, (int64_t)before);
        return false;
    }
    bool adds = field->operation == FIELD_INCRBY;
    if (adds)
        after = before + field->argument;
    else /* a negative value is a large one to an unsigned field */
        after = field->is_signed ? (__int128)field->argument : (__int128)(uint64_t)field->argument;
    if (!fit(field, &after)) {
        reply_null(x);
        return false;
    }
    reply_int(x, (int64_t)(adds ? after : before));
    field_put(field, bytes, (uint64_t)after);
    return grew || before != after;
}

static void run_all(struct exec *x, const struct plan *plan, struct key_ref *ref, unsigned char *bytes, size_t len,
                    bool grew) {
    struct field field = {0};
    bool found = true;
    uint64_t changes = 0;
    reply_array(x, plan->count);
    for (uint32_t at = 2; found;) {
        bool parsed = parse_field(x, &at, &field, &found);
        ASSERT(parsed); /* parse_all was here before */
        if (!found) break;
        changes += run_field(x, &field, bytes, len, grew);
    }
    if (changes) {
        exec_changed(x, ref->key, changes);
        exec_event_as(x, NOTIFY_STRING, "setbit", ref->key);
    } else if (grew) { /* and everything overflowed */
        exec_changed_unseen(x);
    }
}

static void run_on_string(struct exec *x, const struct plan *plan) {
    struct key_ref ref;
    char scratch[ENTRY_SCRATCH];
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    struct slice bytes = ref.entry ? entry_string(ref.entry, scratch) : SLICE("");
    run_all(x, plan, &ref, (unsigned char *)(uintptr_t)bytes.ptr, bytes.len, false); /* is not written to */
}

static void cmd_bitfield_ro(struct exec *x) {
    struct plan plan;
    if (!parse_all(x, &plan)) return;
    if (plan.writes)
        reply_error(x, "ERR BITFIELD_RO only supports the GET subcommand");
    else
        run_on_string(x, &plan);
}

static void cmd_bitfield(struct exec *x) {
    struct plan plan;
    if (!parse_all(x, &plan)) return;
    if (!plan.writes) {
        run_on_string(x, &plan);
        return;
    }
    struct key_ref ref;
    bool grew;
    unsigned char *bytes = exec_edit_bits(x, &ref, (size_t)((plan.end + 7) >> 3), &grew);
    if (bytes) run_all(x, &plan, &ref, bytes, entry_string_len(ref.entry), grew);
}

/* Reads, if all it does is GET. */
static uint32_t access_of_bitfield(const struct slice *argv, uint32_t argc) {
    for (uint32_t at = 2; at < argc; at++) {
        uint32_t behind = argc - at - 1;
        bool get = slice_is(argv[at], "get") && behind >= 2;
        bool writes = (slice_is(argv[at], "set") || slice_is(argv[at], "incrby")) && behind >= 3;
        if (writes) return KEY_RW | KEY_ACCESS | KEY_UPDATE;
        if (!get && !(slice_is(argv[at], "overflow") && behind >= 1)) return KEY_RW | KEY_ACCESS | KEY_UPDATE;
        at += get ? 2 : 1;
    }
    return KEY_RO | KEY_ACCESS;
}

const struct command bitfield_commands[] = {
    {.name = "bitfield",
     .arity = -2,
     .flags = CMD_WRITE | CMD_DENYOOM,
     .acl = ACL_BITMAP,
     .keys = {{.first = 1,
               .last = 1,
               .step = 1,
               .access = KEY_RW | KEY_UPDATE | KEY_ACCESS | KEY_VARIABLE,
               .access_in = access_of_bitfield}},
     .where = ON_OWNER,
     .run = cmd_bitfield,
     .grows = bitfield_grows,
     .replays = true,
     .group = "bitmap",
     .since = "3.2.0",
     .cost = "O(N), N = number of operations",
     .args = "key [GET encoding offset | [OVERFLOW <WRAP | SAT | FAIL>] <SET encoding offset value | INCRBY encoding "
             "offset increment> ...]",
     .doc = "Reads and changes integers of any width inside of a string."},
    {.name = "bitfield_ro",
     .arity = -2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_BITMAP,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_bitfield_ro,
     .group = "bitmap",
     .since = "6.0.0",
     .cost = "O(N), N = number of operations",
     .args = "key [GET encoding offset [GET encoding offset ...]]",
     .doc = "Reads integers of any width inside of a string."},
    {0},
};
