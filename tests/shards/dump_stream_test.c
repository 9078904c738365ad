/* Dump of streams: read as redis-server 7.0.15 writes them and written back to the same bytes, read in the other two
 * forms, and nothing from outside does harm.
 *
 * The payloads come from redis-server 7.0.15 (XADD, XDEL, XGROUP, XREADGROUP, XCLAIM, then DUMP). Hostile inputs are
 * good ones cut at every byte and with every byte changed to every other. Each is read from a heap block of exactly its
 * size. */
#include "core/stream_group.h"
#include "shards/dump.h"
#include "shards/zset.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct heap *heap;
static struct store store;
static struct buf scratch, out;

/* 1-1 name a value 1; 5-0 name b value 200; 5-3 other x */
#define THREE_ENTRIES                                                                                                  \
    "\x13\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x40\x4c\x4c\x00\x00\x00"             \
    "\x19\x00\x03\x01\x00\x01\x02\x01\x84\x6e\x61\x6d\x65\x05\x85\x76\x61\x6c\x75\x65\x06\x00\x01\x02\x01"             \
    "\x00\x01\x00\x01\x81\x61\x02\x01\x01\x05\x01\x02\x01\x04\x01\xdf\xff\x02\x81\x62\x02\xc0\xc8\x02\x05"             \
    "\x01\x00\x01\x04\x01\x02\x01\x01\x01\x85\x6f\x74\x68\x65\x72\x06\x81\x78\x02\x06\x01\xff\x03\x05\x03"             \
    "\x01\x01\x00\x00\x03\x00"
/* The same without 5-0; groups "empty", at the end, and "g", whose consumer "c" has 1-1. */
#define NODE                                                                                                           \
    "\x01\x10\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x40\x4c\x4c\x00\x00\x00"                 \
    "\x19\x00\x02\x01\x01\x01\x02\x01\x84\x6e\x61\x6d\x65\x05\x85\x76\x61\x6c\x75\x65\x06\x00\x01\x02\x01"             \
    "\x00\x01\x00\x01\x81\x61\x02\x01\x01\x05\x01\x03\x01\x04\x01\xdf\xff\x02\x81\x62\x02\xc0\xc8\x02\x05"             \
    "\x01\x00\x01\x04\x01\x02\x01\x01\x01\x85\x6f\x74\x68\x65\x72\x06\x81\x78\x02\x06\x01\xff"
#define IDS_2   "\x01\x01\x05\x00\x03" /* first, highest deleted, added */
#define UNKNOWN "\x81\xff\xff\xff\xff\xff\xff\xff\xff"
#define PENDING                                                                                                        \
    "\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xe8\x03\x00\x00\x00\x00\x00\x00\x07"
#define CONSUMER "\x01\x01\x63\x40\x6b\xd6\x1e\xa2\x01\x00\x00"
#define HAS      "\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01"
#define WITH_GROUPS                                                                                                    \
    "\x13" NODE "\x02\x05\x03" IDS_2 "\x02\x05"                                                                        \
    "empty\x05\x03" UNKNOWN "\x00\x00\x01g\x01\x01" UNKNOWN PENDING CONSUMER HAS
#define WITH_GROUPS_OLD                                                                                                \
    "\x0f" NODE "\x02\x05\x03\x02\x05"                                                                                 \
    "empty\x05\x03\x00\x00\x01g\x01\x01" PENDING CONSUMER HAS
#define WITH_GROUPS_NEW                                                                                                \
    "\x15" NODE "\x02\x05\x03" IDS_2 "\x02\x05"                                                                        \
    "empty\x05\x03" UNKNOWN "\x00\x00\x01g\x01\x01" UNKNOWN PENDING CONSUMER "\x01\x02\x03\x04\x05\x06\x07\x08" HAS

static struct entry *read_entry(struct slice *body) {
    return dump_read_entry(body, &(struct dump_target){.store = &store,
                                                       .zset_rule = &(struct zset_rule){128, 64},
                                                       .list_rule = &(struct quicklist_rule){1024, UINT32_MAX},
                                                       .set_rule = &(struct set_rule){{1, 2}, 512},
                                                       .hash_rule = &(struct packed_rule){128, 64},
                                                       .seed = &(struct hash_seed){1, 2},
                                                       .scratch = &scratch,
                                                       .key = SLICE("key"),
                                                       .deadline_ms = 5});
}

static struct entry *read_whole(struct slice body) {
    struct entry *entry = read_entry(&body);
    assert_non_null(entry);
    assert_int_equal(entry->type, TYPE_STREAM);
    assert_int_equal(body.len, 0);
    stream_check(entry_object(entry));
    return entry;
}

static void assert_written(const struct entry *entry, struct slice body) {
    out.len = 0;
    dump_write_body(&out, entry, true);
    assert_int_equal(out.len, body.len);
    assert_memory_equal(out.data, body.ptr, body.len);
}

static void is_written_as_redis_does(void **state) {
    (void)state;
    static const struct slice bodies[] = {SLICE_INIT(THREE_ENTRIES), SLICE_INIT(WITH_GROUPS)};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct entry *entry = read_whole(bodies[i]);
        assert_written(entry, bodies[i]);
        entry_delete(&store, entry);
    }
}

/* And made by ourselves, an entry after the other. */
static void is_made_as_redis_does(void **state) {
    (void)state;
    static const struct slice first[] = {SLICE_INIT("name"), SLICE_INIT("a"), SLICE_INIT("value"), SLICE_INIT("1")};
    static const struct slice second[] = {SLICE_INIT("name"), SLICE_INIT("b"), SLICE_INIT("value"), SLICE_INIT("200")};
    static const struct slice third[] = {SLICE_INIT("other"), SLICE_INIT("x")};
    const struct stream_rule rule = {4096, 100};
    struct stream *stream = stream_new(&store);
    stream_append(&store, stream, &rule, (struct stream_id){1, 1}, first, 2);
    stream_append(&store, stream, &rule, (struct stream_id){5, 0}, second, 2);
    stream_append(&store, stream, &rule, (struct stream_id){5, 3}, third, 1);
    struct entry *entry = entry_new_object(&store, SLICE("key"), TYPE_STREAM, stream, 0);
    assert_written(entry, SLICE(THREE_ENTRIES));
    entry_delete(&store, entry);
}

static void groups_are_there(void **state) {
    (void)state;
    static const struct slice bodies[] = {SLICE_INIT(WITH_GROUPS_OLD), SLICE_INIT(WITH_GROUPS),
                                          SLICE_INIT(WITH_GROUPS_NEW)};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct entry *entry = read_whole(bodies[i]);
        const struct stream *stream = entry_object(entry);
        const struct stream_group *group = stream_group_find(stream, SLICE("g"));
        assert_int_equal(stream->length, 2);
        assert_true(stream_id_equal(stream->last, (struct stream_id){5, 3}));
        assert_true(stream_id_equal(stream->first, (struct stream_id){1, 1}));
        assert_true(stream_id_equal(stream->max_deleted, i == 0 ? STREAM_ID_MIN : (struct stream_id){5, 0}));
        assert_int_equal(stream->added, i == 0 ? 2 : 3);
        assert_int_equal(stream->groups.count, 2);
        assert_non_null(group);
        assert_true(stream_id_equal(group->last, (struct stream_id){1, 1}));
        assert_int_equal(group->read, i == 0 ? 1 : GROUP_READ_UNKNOWN); /* Redis guesses what a form does not say */
        assert_int_equal(stream_group_find(stream, SLICE("empty"))->read, i == 0 ? 2 : GROUP_READ_UNKNOWN);
        const struct pending *pending = stream_pending_find(group, (struct stream_id){1, 1});
        assert_non_null(pending);
        assert_ptr_equal(pending->consumer, stream_consumer_find(group, SLICE("c")));
        assert_int_equal(pending->delivered_ms, 1000);
        assert_int_equal(pending->deliveries, 7);
        entry_delete(&store, entry);
    }
}

static void survives(const char *bytes, size_t len) {
    char *exact = malloc(len ? len : 1);
    assert_non_null(exact);
    memcpy(exact, bytes, len);
    struct slice rest = slice_of(exact, len);
    struct entry *entry = read_entry(&rest);
    if (entry && entry->type == TYPE_STREAM) stream_check(entry_object(entry));
    if (entry) entry_delete(&store, entry);
    free(exact);
}

static void hostile_bytes_do_no_harm(void **state) {
    (void)state;
    static const struct slice bodies[] = {SLICE_INIT(WITH_GROUPS_OLD), SLICE_INIT(WITH_GROUPS),
                                          SLICE_INIT(WITH_GROUPS_NEW)};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        char bytes[256];
        size_t len = bodies[i].len;
        memcpy(bytes, bodies[i].ptr, len);
        for (size_t cut = 0; cut < len; cut++) survives(bytes, cut);
        for (size_t at = 0; at < len; at++) {
            for (unsigned change = 1; change < 256; change++) {
                bytes[at] = (char)((unsigned char)bodies[i].ptr[at] ^ change);
                survives(bytes, len);
            }
            bytes[at] = bodies[i].ptr[at];
        }
    }
}

/* What contradicts itself is refused: a length that is not that of the nodes, an id below one before it, an entry that
 * is pending for nobody, or for two. */
static void contradictions_are_refused(void **state) {
    (void)state;
    static const struct slice bodies[] = {
        SLICE_INIT("\x13" NODE "\x03\x05\x03" IDS_2 "\x00"),
        SLICE_INIT("\x13" NODE "\x02\x05\x02" IDS_2 "\x00"),
        SLICE_INIT("\x13" NODE "\x02\x05\x03" IDS_2 "\x01\x01g\x01\x01\x01" PENDING "\x00"),
        SLICE_INIT("\x13" NODE "\x02\x05\x03" IDS_2 "\x01\x01g\x01\x01\x01" PENDING
                   "\x02\x01\x63\x40\x6b\xd6\x1e\xa2\x01\x00\x00" HAS "\x01\x64\x40\x6b\xd6\x1e\xa2\x01\x00\x00" HAS),
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct slice rest = bodies[i];
        assert_null(read_entry(&rest));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_written_as_redis_does),   cmocka_unit_test(is_made_as_redis_does),
        cmocka_unit_test(groups_are_there),           cmocka_unit_test(hostile_bytes_do_no_harm),
        cmocka_unit_test(contradictions_are_refused),
    };
    heap = heap_new();
    store = (struct store){.heap = heap, .slab = slab_new(heap, MEM_DATA)};
    buf_init(&scratch, heap, MEM_MESSAGE);
    buf_init(&out, heap, MEM_MESSAGE);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_deinit(&scratch);
    buf_deinit(&out);
    slab_delete(store.slab);
    heap_delete(heap);
    return failed;
}
