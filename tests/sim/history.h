/* History: what simulated clients asked and were answered, and when. The checker decides whether it can be explained.
 *
 * Its clock counts events: everything that happened to any client has a number of its own. An operation took effect
 * between its invocation and its return, so one that returned before another was invoked came first.
 *
 *    client 1   |--- SET a 1 ---|        |-- MGET a b --|
 *    client 2          |----------- MSET a 2 b 2 ----------------|
 *               1      2        3        4              5        6     events
 *
 * Ends      answered: it returned with a reply. Closed: the client vanished, and it may have taken effect up to that
 *           event, or not at all. Neither: it is under way.
 * Order     what one connection pipelines overlaps, but not on a key: see history_before.
 *
 * Ownership all memory is the history's; commands and replies are copied. Threads: one. */
#pragma once
#include "tests/sim/model.h"
#include <stdio.h>

#define HISTORY_NEVER UINT64_MAX

struct operation {
    struct model_operation what;
    uint64_t invoked, returned; /* events; HISTORY_NEVER: not yet */
    uint64_t began;             /* waits: the event by which it had begun to wait; HISTORY_NEVER: unknown */
    uint64_t waited;            /* waits: the event at which it still did; 0: unknown */
    bool answered;
    bool lost;         /* closed by a crash: what its client sent later may be kept without it, on other shards */
    bool barrier;      /* nothing of its client overlaps with it */
    bool waits;        /* a blocking command outside of a transaction */
    bool session;      /* about what the client watches */
    bool harmless;     /* wherever it took effect, it changed nothing: a read, or a reply that says so */
    uint32_t places;   /* named or watched: model_places, and what EXEC looks at */
    int shard;         /* where all its keys live; -1: several, or all */
    uint32_t previous; /* of the same client, plus 1; 0: none */
    int served_by;     /* waits, answered: which of its keys it was served by; -1: none, or unknown */
    struct slice reply;
};

struct history;

struct history *history_new(struct model *model); /* borrows the model */
void history_delete(struct history *history);
struct model *history_model(const struct history *history);

/* A new operation of the client; returns its number. watched: places whose versions an EXEC
 * compares. shard as above. */
struct invocation {
    uint8_t client;
    bool transaction, refused, barrier;
    uint8_t count;
    const struct model_command *commands;
    uint32_t watched;
    int shard;
    uint32_t now_ms;
};
uint32_t history_invoke(struct history *history, const struct invocation *invocation);
void history_answer(struct history *history, uint32_t number, struct slice reply, uint32_t now_ms);
void history_waits(struct history *history, uint32_t number);                  /* it is known to wait at this moment */
void history_close(struct history *history, uint32_t number, uint32_t now_ms); /* no effect after this */
void history_lose(struct history *history, uint32_t number, uint32_t now_ms);  /* the same, by a crash */
/* Nothing is under way but clients that wait: the search never looks back beyond it, and a failure is printed from
 * here. */
void history_mark_quiet(struct history *history);

uint32_t history_count(const struct history *history);
const struct operation *history_at(const struct history *history, uint32_t number);
/* Both of one client and a pipelined before b: must a take effect first? When one is a barrier, when they share a
 * place, are both about WATCH, or both concern one and the same shard only. A barrier that was lost in a crash
 * does not count: each shard keeps what it has. */
bool history_before(const struct operation *a, const struct operation *b);
/* The first operation of the quiet period in which this one was invoked. */
uint32_t history_window(const struct history *history, uint32_t number);

void history_print(const struct history *history, uint32_t number, FILE *out); /* one line */
void history_print_reply(struct slice reply, FILE *out);                       /* RESP in a readable form */
