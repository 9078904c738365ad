/* Clients: scripted connections to the shards of one machine, whose every operation goes into a history.
 *
 * A workload sends operations of actors, calls clients_step between them, and looks at answers. What an actor sends is
 * cut into pieces and its replies come when the machine (tests/support/machine.h) gives turns to the shards, so
 * operations of different actors, and pipelined ones of one, overlap in every way.
 *
 * Trouble   whatever must not happen and is seen here: an answer that is none, a wait that ended before its time, a
 *           client that waits for a key that holds elements, a hang. The first is kept as a text; the workload stops
 *           then.
 *
 * Ownership clients_delete frees all, and checks with sim_delete that the shards are as empty as at the start; after a
 *           trouble use clients_abandon, which only frees what it can. */
#pragma once
#include "tests/sim/history.h"
#include "tests/support/machine.h"

#define ACTOR_PENDING 64 /* replies that one actor waits for */

struct clients_options {
    uint64_t seed;
    uint32_t shards, mailbox;
    uint32_t keys;                       /* at most MODEL_KEYS, spread over the shards */
    bool gated, braked, cramped, moves;  /* as in sim_options; braked, who asks first may come second */
    int planted;                         /* enum planted_bug, in a build that has them */
    const struct command *const *tables; /* as in sim_options */
};

enum expected { EXPECT_OK, EXPECT_QUEUED, EXPECT_REFUSED, EXPECT_RESULT, EXPECT_NOTHING };

struct pending {
    uint8_t expected;   /* enum expected: what kind of reply comes */
    uint32_t operation; /* EXPECT_RESULT */
};

/* One connection, and one client of the history. */
struct actor {
    struct clients *clients;
    struct peer *peer;
    uint8_t number; /* in the history */
    uint8_t db;
    uint32_t watched; /* places */
    bool leaving;     /* it vanishes, or has vanished */
    bool left;
    uint64_t left_at; /* step */
    uint64_t waited;  /* the operation plus 1 with which it did, when all was looked at; 0: none */
    struct pending pending[ACTOR_PENDING];
    uint32_t first, count;                 /* of the ring */
    struct model_command open[MODEL_ARGS]; /* MULTI was sent and EXEC was not */
    uint8_t open_count;
    bool in_multi, refused;
    /* for workloads */
    uint32_t latest; /* operation */
    uint32_t stage;
};

struct clients {
    struct sim *sim;
    struct sim *crashed; /* before it (tests/sim/crash.h); NULL: none */
    struct model *model;
    struct history *history;
    struct heap *heap;
    struct prng prng; /* of the workload; the machine has its own */
    uint64_t origin_ms;
    uint32_t shards;
    uint8_t shard_of[MODEL_KEYS];
    struct actor actors[MODEL_CLIENTS];
    uint32_t actor_count;
    uint64_t steps;
    char trouble[512]; /* empty: none */
};

struct clients *clients_new(const struct clients_options *options);
void clients_delete(struct clients *clients);
void clients_abandon(struct clients *clients);

/* NULL when the history has no number left. */
struct actor *clients_join(struct clients *clients, uint32_t shard, uint8_t db);
struct actor *clients_join_anywhere(struct clients *clients, uint8_t db);

/* --- sending; each returns the number of the operation --- */
uint32_t actor_send(struct actor *actor, const struct model_command *command);
uint32_t actor_transact(struct actor *actor, const struct model_command *commands, uint32_t count); /* MULTI to EXEC */
/* The same in pieces: MULTI and the commands now, EXEC or DISCARD later. */
void actor_begin(struct actor *actor, const struct model_command *commands, uint32_t count);
uint32_t actor_exec(struct actor *actor);
uint32_t actor_discard(struct actor *actor);
void actor_vanish(struct actor *actor); /* the connection breaks now */

/* --- receiving --- */
void clients_step(struct clients *clients);  /* one turn of one shard, and what it brought */
bool actor_idle(const struct actor *actor);  /* waits for no reply, and has not left */
bool actor_waits(const struct actor *actor); /* what it waits for first is a blocking command */
const struct operation *actor_latest(const struct actor *actor);
/* Everybody reads; goes on until only blocking commands are under way (`timed`: only those without a time) and all
 * messages have arrived. Then closes what vanished clients left. False, with a trouble: it hangs. */
bool clients_settle(struct clients *clients, bool timed);
/* While it is quiet: reads every key of the first dbs databases into the history, and looks whether somebody waits for
 * a key that has elements. watchers: one actor per database. */
bool clients_look(struct clients *clients, struct actor *const *watchers, uint32_t dbs);

bool clients_ok(const struct clients *clients);
void clients_trouble(struct clients *clients, const char *format, ...) PRINTF_LIKE(2, 3);
void clients_explain(const struct clients *clients, FILE *out); /* what is under way, for a report */
uint32_t clients_below(struct clients *clients, uint32_t n);
uint32_t clients_now_ms(const struct clients *clients); /* as the model counts */

/* --- commands --- */
struct model_command command_on(enum model_code code, const struct actor *actor, const uint8_t *keys, uint32_t count);
void command_add_int(struct clients *clients, struct model_command *command, int64_t value);
void command_add_text(struct clients *clients, struct model_command *command, const char *text);
