/* Dump in pieces and passed over: large values of every type, written in pieces of random size and read back, are the
 * same value, as they were at the beginning when they change meanwhile; and objects of every form are passed over
 * exactly, whatever stretches they come in, and never beyond. */
#include "core/fields.h"
#include "core/members.h"
#include "core/stream_group.h"
#include "shards/dump_pieces.h"
#include "shards/dump_skip.h"
#include "tests/support/entries.h"
#include "tests/support/seed.h"
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

static struct entries entries;

/* Type byte and object. */
static void write_in_pieces(struct buf *out, const struct entry *entry, bool compress, size_t bytes) {
    struct dump_pieces pieces;
    char type = (char)dump_pieces_type(entry);
    buf_append(out, &type, 1);
    dump_pieces_begin(&pieces, entry, compress);
    for (bool more = true; more;) {
        size_t before = out->len;
        more = dump_pieces_next(&pieces, out, bytes);
        assert_true(out->len - before <= bytes + DUMP_PIECE_MAX + 32);
        assert_true(!more || out->len - before >= bytes);
    }
    dump_pieces_end(&pieces);
}

/* In stretches of random length; what is not used stays in front of the next. */
static void assert_passed(struct slice body) {
    struct dump_skip skip;
    assert_true(dump_skip_object(&skip, (unsigned char)body.ptr[0]));
    size_t at = 1, end = 1;
    enum dump_skipped result;
    do {
        struct slice rest = slice_of(body.ptr + at, end - at);
        result = dump_skip_some(&skip, &rest);
        at = (size_t)(rest.ptr - body.ptr);
        if (result == DUMP_SKIP_MORE)
            assert_true(end < body.len && rest.len <= (skip.pass ? 0u : DUMP_SKIP_HEAD_MAX - 1));
        size_t stretch = prng_below(&entries.prng, 2) ? 1 + prng_below(&entries.prng, 20) : body.len / 3 + 1;
        end = MIN(end + stretch, body.len);
    } while (result == DUMP_SKIP_MORE);
    assert_int_equal(result, DUMP_SKIP_DONE);
    assert_int_equal(at, body.len);
}

static void assert_reads_back(struct slice body, const struct entry *entry) {
    struct slice rest = body;
    struct dump_target target = entries_target(&entries);
    struct entry *back = dump_read_entry(&rest, &target);
    assert_non_null(back);
    assert_int_equal(rest.len, 0);
    assert_true(entries_digest(back) == entries_digest(entry));
    entry_delete(&entries.store, back);
}

static void check_entry(struct entry *entry, struct buf *out) {
    out->len = 0;
    if (dump_is_large(entry)) {
        size_t bytes = 1 + prng_below(&entries.prng, prng_below(&entries.prng, 2) ? 100 : 1 << 20);
        write_in_pieces(out, entry, prng_below(&entries.prng, 2), bytes);
    } else {
        dump_write_body(out, entry, prng_below(&entries.prng, 2));
    }
    assert_passed(buf_slice(out));
    assert_reads_back(buf_slice(out), entry);
    entry_delete(&entries.store, entry);
}

static void goes_there_and_back(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("seed %" PRIu64 "\n", seed);
    entries_init(&entries, seed);
    struct buf out;
    buf_init(&out, entries.heap, MEM_MESSAGE);
    for (int round = 0; round < 150; round++) {
        enum value_type type = (enum value_type)prng_below(&entries.prng, TYPE_COUNT);
        uint64_t count = 1 + prng_below(&entries.prng, round % 3 ? 100 : 5000);
        size_t text_max = prng_below(&entries.prng, round % 5 ? 100 : 3000);
        if (type == TYPE_STRING && round % 2) text_max = 300000;
        if (round % 16 == 0) entries.hash_rule = (struct packed_rule){10000, 64}; /* a run too long for an entry */
        if (round % 16 == 8) entries.hash_rule = (struct packed_rule){128, 64};
        check_entry(entries_make(&entries, type, SLICE("key"), count, text_max, 0), &out);
    }
    buf_deinit(&out);
    entries_deinit(&entries);
}

/* Texts above DUMP_PIECE_MAX, in every place where a text may be. */
static void cuts_long_texts(void **state) {
    (void)state;
    entries_init(&entries, 5);
    struct buf out;
    buf_init(&out, entries.heap, MEM_MESSAGE);
    for (enum value_type type = TYPE_STRING; type < TYPE_COUNT; type++)
        check_entry(entries_make(&entries, type, SLICE("key"), 30, 5 << 20, 0), &out);
    buf_deinit(&out);
    entries_deinit(&entries);
}

/* Scores are few, so that members decide, too; much of it is done at the ends. */
static void change_score(struct entry *entry, struct slice member, bool put) {
    struct sorted *set = entry_object(entry);
    struct sorted_element *element = sorted_find(set, member);
    double score = (double)prng_below(&entries.prng, 40) - 20;
    if (prng_below(&entries.prng, 3) == 0)
        element = sorted_at(set, prng_below(&entries.prng, 2) ? 0 : sorted_count(set) - 1);
    if (put && element)
        sorted_move(&entries.store, set, element, score);
    else if (put)
        sorted_insert(&entries.store, set, member, score);
    else if (element && sorted_count(set) > 1)
        sorted_remove(&entries.store, set, element);
}

static uint64_t roll(uint64_t n) {
    return prng_below(&entries.prng, n);
}

static void append_some(struct stream *stream) {
    static const struct stream_rule rule = {4096, 100};
    for (uint64_t left = 1 + roll(roll(20) ? 3 : 300); left > 0; left--) {
        struct stream_id id = {stream->last.ms + 1 + roll(2), roll(2)};
        struct slice pairs[] = {roll(3) ? SLICE("field") : SLICE("other"), SLICE("some value or other, or another")};
        stream_append(&entries.store, stream, &rule, id, pairs, 1);
    }
}

/* One by one, from the end on; and then ids may come again. */
static void take_back(struct stream *stream) {
    for (uint64_t left = roll(250); left > 0 && stream->length > 0; left--)
        stream_remove(&entries.store, stream, stream_last_valid(stream));
    stream->last = stream_last_valid(stream);
}

static void trim(struct stream *stream) {
    struct stream_trim trim = {
        .by_id = roll(2), .exact = roll(2), .max = stream->length - MIN(stream->length, roll(300))};
    trim.id = (struct stream_id){stream->first.ms + roll(400), 0};
    if (roll(30) == 0) trim = (struct stream_trim){.exact = true, .max = roll(2)};
    stream_trim(&entries.store, stream, &trim);
}

static void change_groups(struct stream *stream) {
    const struct store *store = &entries.store;
    struct slice name = roll(2) ? SLICE("readers") : SLICE("writers"), member = roll(2) ? SLICE("one") : SLICE("new");
    struct stream_group *group = stream_group_find(stream, name);
    struct stream_id id = {roll(stream->last.ms + 2), roll(2)};
    if (!group) group = stream_group_add(store, stream, name, id, GROUP_READ_UNKNOWN);
    struct stream_consumer *consumer = stream_consumer_find(group, member);
    if (!consumer) consumer = stream_consumer_add(store, stream, group, member, roll(1000));
    if (!stream_pending_find(group, id))
        stream_pending_give(store, stream, group, id, consumer)->delivered_ms = roll(1000);
    else
        stream_pending_remove(store, stream, group, id);
    consumer->seen_ms = roll(1000);
    group->last = id;
    if (roll(30) == 0) stream_group_remove(store, stream, group);
}

static void change_stream(struct stream *stream, bool groups) {
    struct stream_id id = {roll(stream->last.ms + 2), roll(2)};
    uint64_t kind = roll(100);
    if (groups && kind % 2 == 0) change_groups(stream);
    if (kind < 50)
        append_some(stream);
    else if (kind < 96 && stream_remove(&entries.store, stream, id) && stream_id_compare(id, stream->max_deleted) > 0)
        stream->max_deleted = id;
    else if (kind < 98)
        trim(stream);
    else if (kind == 98)
        take_back(stream);
    stream->first = stream_find_first(stream);
}

static void change_list(struct quicklist *list) {
    static const struct quicklist_rule rule = {4096, 1000};
    enum list_end end = roll(2) ? LIST_HEAD : LIST_TAIL;
    char text[6000];
    memset(text, 'x', sizeof text);
    struct packed_value value = packed_value_of(slice_of(text, roll(50) ? roll(100) : roll(sizeof text)));
    uint64_t count = quicklist_count(list), drops = 1 + (roll(10) ? roll(4) : roll(roll(10) ? 300 : count));
    if (roll(3) == 0)
        quicklist_push(&entries.store, list, &rule, end, &value);
    else if (drops < count)
        quicklist_drop(&entries.store, list, end, drops);
}

/* One element of a table is put, overwritten or taken out. Few names, so that most are met more than once. */
static void change(struct entry *entry, uint64_t names, bool groups) {
    char name[32], value[64];
    struct slice text =
        slice_of(name, (size_t)snprintf(name, sizeof name, "n%" PRIu64, prng_below(&entries.prng, names)));
    bool put = prng_below(&entries.prng, 2);
    if (entry->type == TYPE_LIST) {
        change_list(entry_object(entry));
        return;
    }
    if (entry->type == TYPE_STREAM) {
        change_stream(entry_object(entry), groups);
        return;
    }
    if (entry->type == TYPE_ZSET) {
        change_score(entry, text, put);
        return;
    }
    if (entry->type == TYPE_SET) {
        struct members *members = entry_object(entry);
        if (put)
            members_add(&entries.store, members, text);
        else
            members_remove(&entries.store, members, text);
        return;
    }
    struct fields *fields = entry_object(entry);
    size_t len = (size_t)snprintf(value, sizeof value, "%0*d", (int)prng_below(&entries.prng, 50), 7);
    if (put)
        fields_put(&entries.store, fields, text, slice_of(value, len));
    else
        fields_remove(&entries.store, fields, text);
}

static void changes_while_written(enum value_type type, uint64_t count) {
    struct entry *entry = entries_make(&entries, type, SLICE("key"), count, 120, 0);
    uint64_t digest, names = 1 + prng_below(&entries.prng, 3 * count), before = prng_below(&entries.prng, 2 * names);
    struct dump_pieces pieces;
    struct buf out;
    buf_init(&out, entries.heap, MEM_MESSAGE);
    for (uint64_t i = 0; i < before && type != TYPE_STREAM && type != TYPE_LIST; i++) change(entry, names, true);
    digest = entries_digest(entry);
    buf_append(&out, &(char){(char)dump_pieces_type(entry)}, 1);
    dump_pieces_begin(&pieces, entry, true);
    assert_false(dump_pieces_watch(&pieces, &entries.store, &entries.seed, &out));
    for (bool more = true, watched = false; more;) {
        more = dump_pieces_next(&pieces, &out, 1 + prng_below(&entries.prng, 2000));
        if (more && !watched) watched = dump_pieces_watch(&pieces, &entries.store, &entries.seed, &out);
        uint64_t changes = dump_pieces_ready(&pieces) ? prng_below(&entries.prng, 200) : 0;
        bool groups = watched && dump_pieces_groups_may_change(&pieces);
        for (uint64_t i = 0; i < changes && dump_pieces_ready(&pieces); i++) change(entry, names, groups);
    }
    dump_pieces_end(&pieces);
    struct slice rest = buf_slice(&out);
    struct dump_target target = entries_target(&entries);
    struct entry *back = dump_read_entry(&rest, &target);
    assert_non_null(back);
    assert_int_equal(rest.len, 0);
    assert_true(entries_digest(back) == digest);
    entry_delete(&entries.store, back);
    change(entry, names, true); /* nobody hears of it any more */
    if (type == TYPE_STREAM) stream_check(entry_object(entry));
    if (type == TYPE_LIST) quicklist_check(entry_object(entry));
    entry_delete(&entries.store, entry);
    buf_deinit(&out);
}

/* What changes between the pieces, and grows and shrinks, is written as it was at the beginning. */
static void values_may_change(void **state) {
    (void)state;
    uint64_t seed = seed_or((uint64_t)time(NULL));
    print_message("seed %" PRIu64 "\n", seed);
    entries_init(&entries, seed);
    static const enum value_type types[] = {TYPE_SET, TYPE_HASH, TYPE_ZSET, TYPE_STREAM, TYPE_LIST};
    for (unsigned round = 0; round < 150; round++)
        changes_while_written(types[round % ARRAY_LEN(types)], 3000 + prng_below(&entries.prng, 3000));
    entries_deinit(&entries);
}

/* Given up in the middle, nothing is left behind. */
static void may_be_given_up(void **state) {
    (void)state;
    entries_init(&entries, 6);
    struct buf out;
    buf_init(&out, entries.heap, MEM_MESSAGE);
    struct entry *entry = entries_make(&entries, TYPE_HASH, SLICE("key"), 5000, 50, 0);
    struct dump_pieces pieces;
    dump_pieces_begin(&pieces, entry, true);
    assert_true(dump_pieces_next(&pieces, &out, 1000));
    assert_true(dump_pieces_watch(&pieces, &entries.store, &entries.seed, &out));
    dump_pieces_end(&pieces);
    entry_delete(&entries.store, entry);
    buf_deinit(&out);
    entries_deinit(&entries);
}

/* --- objects that nothing here builds --- */

static const struct slice passed[] = {
    SLICE_INIT("\x07\x05\x02\x0a\x01\x40\x50\x05\x03"
               "abc"
               "\x03"
               "1234"
               "\x04"
               "12345678"
               "\x00"), /* module */
    SLICE_INIT("\x0f\x01\x01k\x02lp\x05\x01\x02\x01\x01g\x03\x04\x01"
               "0123456789abcdef"
               "12345678"
               "\x01\x01\x01"
               "c"
               "12345678"
               "\x01"
               "0123456789abcdef"), /* stream with a group, an entry pending and a consumer */
    SLICE_INIT("\x13\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    SLICE_INIT("\x15\x00\x05\x01\x02\x03\x04\x05\x06\x07\x01\x01g\x03\x04\x05\x00\x01\x01"
               "c"
               "1234567812345678"
               "\x00"),
    SLICE_INIT("\x16\x01\x05\x01"
               "f\x01v"),
    SLICE_INIT("\x18"
               "12345678\x01\x05\x01"
               "f\xc1"
               "xy"),
    SLICE_INIT("\x19"
               "12345678\x03lpx"),
};

static void passes_over_what_it_cannot_build(void **state) {
    (void)state;
    entries_init(&entries, 7);
    for (size_t i = 0; i < ARRAY_LEN(passed); i++) {
        for (int round = 0; round < 100; round++) assert_passed(passed[i]);
        for (size_t cut = 1; cut < passed[i].len; cut++) { /* cut short, it wants more */
            struct dump_skip skip;
            assert_true(dump_skip_object(&skip, (unsigned char)passed[i].ptr[0]));
            struct slice rest = slice_of(passed[i].ptr + 1, cut - 1);
            assert_int_equal(dump_skip_some(&skip, &rest), DUMP_SKIP_MORE);
        }
    }
    entries_deinit(&entries);
}

static void refuses_what_is_no_object(void **state) {
    (void)state;
    struct dump_skip skip;
    assert_false(dump_skip_object(&skip, 6));
    assert_false(dump_skip_object(&skip, 8));
    assert_false(dump_skip_object(&skip, 26));
    assert_null(dump_type_name(8));
    assert_null(dump_type_name(200));
    assert_string_equal(dump_type_name(21), "stream");
    static const struct slice broken[] = {SLICE_INIT("\x01\x82"), SLICE_INIT("\x01\xc0"), SLICE_INIT("\x00\xc4"),
                                          SLICE_INIT("\x00\xc3\xc3\x00"), SLICE_INIT("\x07\x05\x06")};
    for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
        struct slice rest = slice_of(broken[i].ptr + 1, broken[i].len - 1);
        assert_true(dump_skip_object(&skip, (unsigned char)broken[i].ptr[0]));
        assert_int_equal(dump_skip_some(&skip, &rest), DUMP_SKIP_BROKEN);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_there_and_back),
        cmocka_unit_test(cuts_long_texts),
        cmocka_unit_test(values_may_change),
        cmocka_unit_test(may_be_given_up),
        cmocka_unit_test(passes_over_what_it_cannot_build),
        cmocka_unit_test(refuses_what_is_no_object),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
