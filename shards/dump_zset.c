/* Dump: sorted sets, in the four forms that Redis ever wrote. We write the last two: a listpack, or pairs with scores
 * as doubles, the largest first, so that a reader may put each before the others. Whatever comes in becomes a set
 * element by element: its order is ours, and what stands there twice is refused. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/dump_priv.h"
#include "shards/zset.h"
#include <endian.h>
#include <math.h>

enum { TEXT_NAN = 253, TEXT_INF = 254, TEXT_MINUS_INF = 255 }; /* in place of a score's length in the oldest form */

/* --- writing --- */

/* Scores are decimal text there, or integers. */
static void write_compact(struct buf *out, const struct entry *entry, bool compress) {
    struct buf run;
    struct zset_pair pair;
    struct zset_iter iter = zset_seek(entry, 0);
    uint32_t count = 0;
    buf_init(&run, out->heap, out->owner);
    for (; zset_next(&iter, &pair); count += 2) {
        char digits[NUM_DOUBLE_MAX];
        struct packed_value member = packed_value_of(pair.member);
        struct packed_value score = zset_compact_score(pair.score, digits);
        char *at = buf_reserve(&run, packed_size(&member) + packed_size(&score));
        run.len += (size_t)(packed_write(packed_write(at, &member), &score) - at);
    }
    struct slice bytes = buf_slice(&run);
    dump_write_listpack(out, &(struct packed){bytes.ptr, bytes.ptr + bytes.len, count}, compress);
    buf_deinit(&run);
}

void dump_write_zset(struct buf *out, const struct entry *entry, bool compress) {
    if (zset_is_compact(entry)) {
        write_compact(out, entry, compress);
        return;
    }
    struct zset_pair pair;
    struct zset_iter iter = zset_seek(entry, zset_len(entry));
    dump_write_length(out, zset_len(entry));
    while (zset_prev(&iter, &pair)) {
        uint64_t bits;
        dump_write_string(out, pair.member, compress);
        memcpy(&bits, &pair.score, sizeof bits);
        bits = htole64(bits);
        buf_append(out, &bits, sizeof bits);
    }
}

/* --- reading --- */

/* False: it is there already, or the score is none. */
static bool put(const struct dump_target *target, struct sorted *set, struct slice member, double score) {
    if (isnan(score) || sorted_find(set, member)) return false;
    sorted_insert(target->store, set, member, score);
    return true;
}

/* What became of the set: an entry, or nothing when it is broken or empty. `kept`: it was a listpack, and the length of
 * its members does not count any more. */
static struct entry *finish(const struct dump_target *target, struct sorted *set, bool sound, bool kept) {
    if (!sound || sorted_count(set) == 0) {
        sorted_delete(target->store, set);
        return NULL;
    }
    if (!kept && !target->as_it_was)
        zset_mark(target->zset_rule, set);
    else if (kept && (target->as_it_was || sorted_count(set) <= target->zset_rule->entries_max))
        zset_mark_compact(set);
    return zset_new_entry(target->store, target->key, set, target->deadline_ms);
}

static bool read_text_score(struct slice *rest, double *score) {
    unsigned len;
    struct slice text;
    if (!dump_take_byte(rest, &len)) return false;
    switch (len) {
    case TEXT_NAN: return false;
    case TEXT_INF: *score = INFINITY; return true;
    case TEXT_MINUS_INF: *score = -INFINITY; return true;
    default: return dump_take(rest, len, &text) && num_parse_double(text, score);
    }
}

static bool read_binary_score(struct slice *rest, double *score) {
    struct slice wire;
    uint64_t bits;
    if (!dump_take(rest, sizeof bits, &wire)) return false;
    memcpy(&bits, wire.ptr, sizeof bits);
    bits = le64toh(bits);
    memcpy(score, &bits, sizeof bits);
    return true;
}

static struct entry *read_pairs(struct slice *rest, const struct dump_target *target,
                                bool (*read_score)(struct slice *rest, double *score)) {
    uint64_t left;
    struct slice member;
    double score;
    if (!dump_read_length(rest, &left)) return NULL;
    struct sorted *set = sorted_new(target->store, target->seed);
    sorted_expect(set, dump_expected(left, rest, 3));
    bool sound = true;
    for (; sound && left > 0; left--) {
        sound = dump_read_string(rest, target->scratch, &member) && read_score(rest, &score) &&
                put(target, set, member, score);
    }
    return finish(target, set, sound, false);
}

struct entry *dump_read_zset(struct slice *rest, const struct dump_target *target) {
    return read_pairs(rest, target, read_text_score);
}

struct entry *dump_read_zset_2(struct slice *rest, const struct dump_target *target) {
    return read_pairs(rest, target, read_binary_score);
}

static bool put_packed(const struct dump_target *target, struct sorted *set, const struct packed_value *member,
                       const struct packed_value *score) {
    char member_text[PACKED_SCRATCH], score_text[PACKED_SCRATCH];
    double number;
    return num_parse_double(packed_text(score, score_text), &number) &&
           put(target, set, packed_text(member, member_text), number);
}

struct entry *dump_read_zset_ziplist(struct slice *rest, const struct dump_target *target) {
    struct slice bytes;
    struct ziplist_walk walk;
    struct packed_value member, score;
    if (!dump_read_string(rest, target->scratch, &bytes) || !dump_open_ziplist(bytes, &walk)) return NULL;
    struct sorted *set = sorted_new(target->store, target->seed);
    bool sound = true;
    while (sound && dump_next_in_ziplist(&walk, &member))
        sound = dump_next_in_ziplist(&walk, &score) && put_packed(target, set, &member, &score);
    return finish(target, set, sound && walk.sound, true);
}

struct entry *dump_read_zset_listpack(struct slice *rest, const struct dump_target *target) {
    struct slice bytes;
    struct packed run;
    struct packed_value member, score;
    if (!dump_read_string(rest, target->scratch, &bytes) || !dump_open_listpack(bytes, &run) || run.count % 2 != 0)
        return NULL;
    struct sorted *set = sorted_new(target->store, target->seed);
    bool sound = true;
    for (const char *at = run.begin; sound && at < run.end;) {
        at = packed_read(packed_read(at, &member), &score);
        sound = put_packed(target, set, &member, &score);
    }
    return finish(target, set, sound, true);
}
