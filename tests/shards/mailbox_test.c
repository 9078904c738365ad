/* Mailbox: edges in one thread, then a million messages between two threads in order. The threads test is the one to run
 * under the thread sanitizer: the messages' contents are plain memory, so a missing release or acquire is a race. */
#include "shards/mailbox.h"
#include "shards/message.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define NUMBER(n) ((struct message *)(uintptr_t)(n)) /* never followed */

static void assert_posts(struct mailbox *box, uintptr_t n) {
    struct message *message = NUMBER(n);
    assert_int_equal(mailbox_post(box, &message), ST_OK);
    assert_null(message); /* taken */
}

static void assert_refuses(struct mailbox *box) {
    struct message *message = NUMBER(99);
    assert_int_equal(mailbox_post(box, &message), ST_FULL);
    assert_ptr_equal(message, NUMBER(99)); /* left to the caller */
}

static void full_and_empty(void **state) {
    (void)state;
    for (uint32_t capacity = 1; capacity <= 64; capacity *= 2) {
        struct mailbox *box = mailbox_new(capacity);
        struct message *out[65];
        assert_true(mailbox_empty(box));
        assert_int_equal(mailbox_drain(box, out, 65), 0);
        for (uint32_t i = 0; i < capacity; i++) assert_posts(box, i + 1);
        assert_refuses(box);
        assert_refuses(box);
        assert_false(mailbox_empty(box));
        assert_int_equal(mailbox_drain(box, out, 0), 0);
        assert_int_equal(mailbox_drain(box, out, 1), 1);
        assert_ptr_equal(out[0], NUMBER(1));
        assert_posts(box, capacity + 1);
        assert_refuses(box);
        assert_int_equal(mailbox_drain(box, out, 65), capacity);
        for (uint32_t i = 0; i < capacity; i++) assert_ptr_equal(out[i], NUMBER(i + 2));
        assert_true(mailbox_empty(box));
        mailbox_delete(box);
    }
}

/* Posts and drains in every mixture of sizes; the ring wraps many times and nothing changes places. */
static void wraps_around(void **state) {
    (void)state;
    struct mailbox *box = mailbox_new(8);
    uintptr_t posted = 0, drained = 0;
    for (uint32_t round = 0; round < 10000; round++) {
        for (uint32_t i = 0; i < 1 + round % 11; i++) {
            struct message *message = NUMBER(posted + 1);
            enum status status = mailbox_post(box, &message);
            assert_int_equal(status, posted - drained < 8 ? ST_OK : ST_FULL);
            posted += status == ST_OK;
        }
        struct message *out[16];
        uint32_t asked = round % 13, count = mailbox_drain(box, out, asked);
        assert_int_equal(count, MIN((uintptr_t)asked, posted - drained));
        for (uint32_t i = 0; i < count; i++) assert_ptr_equal(out[i], NUMBER(++drained));
        assert_int_equal(mailbox_empty(box), posted == drained);
    }
    assert_true(drained > 1000);
    mailbox_delete(box);
}

/* --- two threads --- */

#define MESSAGES 200000u /* beside two busy processes each turn of a thread may take milliseconds */
#define LOOP     64u     /* messages on the way; they go back through a second mailbox, as in the server */

struct pair {
    struct mailbox *there, *back;
};

/* Answers each message: its number doubled. */
static void *answer(void *arg) {
    struct pair *pair = arg;
    struct message *in[16];
    uint32_t expected = 0;
    while (expected < MESSAGES) {
        uint32_t count = mailbox_drain(pair->there, in, ARRAY_LEN(in));
        if (!count) sched_yield();
        for (uint32_t i = 0; i < count; i++, expected++) {
            if (in[i]->count != expected) abort();
            in[i]->uses = in[i]->count * 2;
            while (mailbox_post(pair->back, &in[i]) != ST_OK) sched_yield();
        }
    }
    return NULL;
}

static void two_threads_keep_order(void **state) {
    (void)state;
    struct pair pair = {mailbox_new(16), mailbox_new(8)};
    struct message *all = calloc(LOOP, sizeof *all);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, answer, &pair), 0);
    struct message *in[16];
    uint32_t sent = 0, received = 0;
    while (received < MESSAGES) {
        while (sent < MESSAGES && sent - received < LOOP) {
            struct message *message = &all[sent % LOOP];
            message->count = sent;
            if (mailbox_post(pair.there, &message) != ST_OK) break;
            sent++;
        }
        uint32_t count = mailbox_drain(pair.back, in, ARRAY_LEN(in));
        if (!count) sched_yield();
        for (uint32_t i = 0; i < count; i++, received++) {
            assert_ptr_equal(in[i], &all[received % LOOP]);
            assert_int_equal(in[i]->uses, received * 2);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(mailbox_empty(pair.there) && mailbox_empty(pair.back));
    mailbox_delete(pair.there);
    mailbox_delete(pair.back);
    free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_and_empty),
        cmocka_unit_test(wraps_around),
        cmocka_unit_test(two_threads_keep_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
