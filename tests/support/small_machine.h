/* Small machine: a machine of shards (tests/support/machine.h) with the connection's commands that tests of it need,
 * and words for saying things to it and for what came back. For one test program each: it brings machine.c along. */
#pragma once
#include "core/num.h"
#include "shards/exec.h"
#include "shards/pipeline.h"
#include "tests/support/machine.c"
#include "tests/support/machine.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* --- the connection's commands, which live in net/ in production --- */

static void cmd_ping(struct exec *x) {
    if (x->argc == 2)
        reply_bulk(x, x->argv[1]);
    else
        reply_simple(x, "PONG");
}

static void cmd_select(struct exec *x) {
    int64_t db;
    if (!exec_int_range(x, 1, 0, x->shard->db_count - 1, &db, NULL)) return;
    x->client->db = (uint16_t)db;
    reply_ok(x);
}

static void cmd_quit(struct exec *x) {
    x->client->flags |= CLIENT_CLOSE_AFTER_REPLY;
    reply_ok(x);
}

static void cmd_client_reply(struct exec *x) {
    if (arg_is(x, 2, "on")) {
        x->client->flags &= ~(uint32_t)(CLIENT_REPLY_OFF | CLIENT_REPLY_SKIP | CLIENT_REPLY_SKIP_NEXT);
        reply_ok(x);
    } else if (arg_is(x, 2, "off")) {
        x->client->flags |= CLIENT_REPLY_OFF;
    } else if (!(x->client->flags & CLIENT_REPLY_OFF)) {
        x->client->flags |= CLIENT_REPLY_SKIP_NEXT;
    }
}

static void cmd_client_pause(struct exec *x) {
    int64_t ms;
    if (!exec_int(x, 2, &ms)) return;
    x->shard->pause_all = x->argc == 3;
    x->shard->pause_until_ms = x->shard->now_ms + (uint64_t)ms;
    reply_ok(x);
}

static void cmd_client_unpause(struct exec *x) {
    shard_unpause(x->shard);
    reply_ok(x);
}

/* Answers how much of the pause is left on the client's shard: 0 when none. */
static void cmd_paused(struct exec *x) {
    reply_int(x, (int64_t)(x->shard->pause_until_ms > x->shard->now_ms));
}

#define ROW(n, a, f, w, r)                                                                                             \
    .name = (n), .arity = (a), .flags = (f), .where = (w), .run = (r), .acl = ACL_CONNECTION, .group = "connection",   \
    .since = "0.1.0", .cost = "O(1)", .doc = "For the test.", .args = ""

static const struct command client_subs[] = {
    {ROW("reply", 3, 0, ON_CONN, cmd_client_reply)},
    {ROW("pause", -3, 0, ON_ALL, cmd_client_pause), .merge = MERGE_OK},
    {ROW("unpause", 2, CMD_ALLOW_BUSY, ON_ALL, cmd_client_unpause), .merge = MERGE_OK},
    {.name = NULL},
};

static const struct command test_commands[] = {
    {ROW("ping", -1, CMD_FAST | CMD_NO_WAIT, ON_CONN, cmd_ping)},
    {ROW("select", 2, 0, ON_CONN, cmd_select)},
    {ROW("quit", 1, 0, ON_CONN, cmd_quit)},
    {ROW("paused", 1, 0, ON_CONN, cmd_paused)},
    {ROW("client", -2, 0, ON_CONN, NULL), .subs = client_subs},
    {.name = NULL},
};
static const struct command *const test_tables[] = {test_commands, NULL};

/* --- saying and getting --- */

static inline struct sim *small_sim(uint32_t shards, uint32_t mailbox) {
    struct sim_options options = {
        .shards = shards, .mailbox_capacity = mailbox, .db_count = 16, .seed = 5, .tables = test_tables};
    return sim_new(&options);
}

static inline void say_text(struct peer *peer, const char *text) {
    sim_say(peer, text, strlen(text));
}

static inline void show(const char *what, struct slice bytes) {
    fprintf(stderr, "  %s (%zu): ", what, bytes.len);
    for (size_t i = 0; i < MIN(bytes.len, (size_t)200); i++) {
        char c = bytes.ptr[i];
        if (c >= ' ' && c <= '~')
            fputc(c, stderr);
        else
            fprintf(stderr, "\\x%02x", (unsigned char)c);
    }
    fputc('\n', stderr);
}

static inline void assert_got(struct peer *peer, const char *text) {
    struct slice got = buf_slice(&peer->got);
    if (!slice_equal(got, slice_of_cstr(text))) show("got", got);
    assert_int_equal(got.len, strlen(text));
    assert_memory_equal(got.ptr, text, got.len);
    buf_reset(&peer->got, 0);
}
