/* The dice, and the loop that throws them. */
#include "tests/sim/mixed.h"
#include "tests/sim/check.h"
#include "tests/sim/clients.h"
#include "tests/sim/crash.h"
#include <inttypes.h>
#include <stdio.h>

#define ACTORS_MAX   10
#define WINDOWS_MAX  5
#define TICKS        30       /* of one window; a tick is one action and a few turns */
#define NODES_MAX    60000000 /* of the search: some seconds, and ten thousand times what is usual */
#define PIPELINE_MAX 4        /* operations that one actor has under way */
#define TOGETHER_MAX 14       /* and all together, so that the search stays short */
#define SOON_MS      6        /* deadlines and timeouts: about what a window takes */

/* What the shards do not keep (README, differences) is left out of the dice. */
#define KNOWN_TIME_IN_EXEC 1 /* time goes on between the commands of one, so that keys expire in the middle */

enum family {
    PLAIN,    /* one key, a string */
    EXPIRY,   /* with deadlines */
    MANY,     /* the sum of their keys */
    TOGETHER, /* two keys that belong together */
    LISTS,    /* one key, a list */
    MOVES,    /* several lists */
    WAITS,    /* the same, and they wait */
    WIDE,     /* whole databases */
    TRANSACT, /* MULTI and EXEC */
    WATCHES,  /* WATCH and UNWATCH */
    FAMILIES
};

struct choice {
    uint8_t code, family;
};
static const struct choice choices[] = {
    {DO_GET, PLAIN},          {DO_GET, PLAIN},         {DO_SET, PLAIN},        {DO_SET, PLAIN},
    {DO_SET_NX, PLAIN},       {DO_GETDEL, PLAIN},      {DO_APPEND, PLAIN},     {DO_STRLEN, PLAIN},
    {DO_INCR, PLAIN},         {DO_INCRBY, PLAIN},      {DO_DECRBY, PLAIN},     {DO_TYPE, PLAIN},
    {DO_SET_PX, EXPIRY},      {DO_SET_PXAT, EXPIRY},   {DO_PEXPIREAT, EXPIRY}, {DO_PERSIST, EXPIRY},
    {DO_PEXPIRETIME, EXPIRY}, {DO_MGET, MANY},         {DO_MGET, MANY},        {DO_MSET, MANY},
    {DO_MSET, MANY},          {DO_DEL, MANY},          {DO_EXISTS, MANY},      {DO_MSETNX, TOGETHER},
    {DO_RENAME, TOGETHER},    {DO_RENAMENX, TOGETHER}, {DO_COPY, TOGETHER},    {DO_COPY_REPLACE, TOGETHER},
    {DO_LPUSH, LISTS},        {DO_RPUSH, LISTS},       {DO_RPUSH, LISTS},      {DO_RPUSHX, LISTS},
    {DO_LPOP, LISTS},         {DO_RPOP, LISTS},        {DO_LLEN, LISTS},       {DO_LRANGE, LISTS},
    {DO_LREM, LISTS},         {DO_LMOVE, MOVES},       {DO_LMOVE, MOVES},      {DO_LMPOP, MOVES},
    {DO_BLPOP, WAITS},        {DO_BRPOP, WAITS},       {DO_BLMOVE, WAITS},     {DO_BLMPOP, WAITS},
    {DO_DBSIZE, WIDE},        {DO_KEYS, WIDE},         {DO_FLUSHDB, WIDE},     {DO_FLUSHALL, WIDE},
    {DO_SWAPDB, WIDE},
};

struct mixed {
    struct clients *clients;
    uint32_t weights[FAMILIES];
    uint32_t actors;
    bool two_dbs, vanish, stall, pipeline, lazy;
    bool gated, crash; /* at the end, in the middle of something */
    bool exact_due;    /* deadlines are absolute */
    int64_t unique;    /* the next value */
    struct actor *watchers[MODEL_DBS];
};

static uint32_t below(struct mixed *mixed, uint32_t n) {
    return clients_below(mixed->clients, n);
}

static bool one_in(struct mixed *mixed, uint32_t n) {
    return below(mixed, n) == 0;
}

/* --- a random command --- */

/* Even keys are mostly strings, odd ones mostly lists. */
static uint8_t pick_key(struct mixed *mixed, bool list) {
    uint32_t count = model_keys(mixed->clients->model), key = below(mixed, count);
    if (!one_in(mixed, 12) && (key & 1) != list) key = key ? key - 1 : list % count;
    return (uint8_t)key;
}

static void pick_keys(struct mixed *mixed, bool list, uint8_t *keys, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) keys[i] = pick_key(mixed, list);
}

static uint32_t keys_of(struct mixed *mixed, enum model_code code) {
    switch (code) {
    case DO_MGET:
    case DO_MSET:
    case DO_MSETNX:
    case DO_DEL:
    case DO_EXISTS:
    case DO_LMPOP:
    case DO_BLPOP:
    case DO_BRPOP:
    case DO_BLMPOP:
    case DO_WATCH: return 1 + below(mixed, 4);
    case DO_RENAME:
    case DO_RENAMENX:
    case DO_COPY:
    case DO_COPY_REPLACE:
    case DO_LMOVE:
    case DO_BLMOVE: return 2;
    default: return model_is_wide(code) ? 0 : 1;
    }
}

static void add_values(struct mixed *mixed, struct model_command *command) {
    struct clients *clients = mixed->clients;
    uint32_t count = command->code == DO_MSET || command->code == DO_MSETNX ? command->key_count : 1;
    if (command->code == DO_LPUSH || command->code == DO_RPUSH) count = 1 + below(mixed, 3);
    for (uint32_t i = 0; i < count; i++) {
        if (command->code == DO_LREM)
            command_add_int(clients, command, mixed->unique - below(mixed, 6));
        else
            command_add_int(clients, command, mixed->unique++);
    }
    if (one_in(mixed, 8)) { /* not a number */
        char text[24];
        snprintf(text, sizeof text, "v%" PRId64, mixed->unique++);
        command->value_count--;
        command_add_text(clients, command, text);
    }
}

static void add_numbers(struct mixed *mixed, struct model_command *command) {
    uint32_t now_ms = clients_now_ms(mixed->clients);
    switch (command->code) {
    case DO_SET_PX: command->number = 1 + below(mixed, SOON_MS); break;
    case DO_SET_PXAT:
    case DO_PEXPIREAT: command->number = now_ms + below(mixed, SOON_MS); break;
    default: command->number = 1 + below(mixed, 3); break;
    }
    command->from_right = below(mixed, 2);
    command->to_right = below(mixed, 2);
    command->timeout_ms = below(mixed, 2) ? 0 : 1 + below(mixed, SOON_MS);
}

static bool is_left_out(const struct mixed *mixed, enum model_code code, bool in_multi) {
    /* Alone it holds no locks (shards/txn.h): each shard answers for itself. */
    if (code == DO_KEYS) return !in_multi && mixed->clients->shards > 1;
    if (code == DO_SET_PX) return mixed->exact_due;
    if (code == DO_PEXPIRETIME) return !mixed->exact_due;
    if (code == DO_DBSIZE) return mixed->weights[EXPIRY]; /* counts what has expired and was not removed yet */
    return false;
}

static enum model_code pick_code(struct mixed *mixed, enum family family, bool in_multi) {
    for (;;) {
        const struct choice *choice = &choices[below(mixed, ARRAY_LEN(choices))];
        if (choice->family == family && !is_left_out(mixed, (enum model_code)choice->code, in_multi))
            return (enum model_code)choice->code;
    }
}

static struct model_command random_command(struct mixed *mixed, const struct actor *actor, enum family family,
                                           bool in_multi) {
    uint8_t keys[MODEL_ARGS];
    enum model_code code = pick_code(mixed, family, in_multi);
    uint32_t count = keys_of(mixed, code);
    if (count) pick_keys(mixed, family == LISTS || family == MOVES || family == WAITS, keys, count);
    struct model_command command = command_on(code, actor, keys, count);
    add_values(mixed, &command);
    add_numbers(mixed, &command);
    return command;
}

static enum family pick_family(struct mixed *mixed, enum family end) {
    uint32_t total = 0, family = 0;
    for (uint32_t i = 0; i < end; i++) total += mixed->weights[i];
    if (!total) return PLAIN;
    uint32_t at = below(mixed, total);
    while (at >= mixed->weights[family]) at -= mixed->weights[family++];
    return (enum family)family;
}

/* --- what an actor does --- */

static uint32_t count_waiting(const struct mixed *mixed) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < mixed->clients->actor_count; i++) count += actor_waits(&mixed->clients->actors[i]);
    return count;
}

static void do_transaction(struct mixed *mixed, struct actor *actor) {
    struct model_command commands[MODEL_ARGS];
    uint32_t count = below(mixed, 5);
    for (uint32_t i = 0; i < count; i++)
        commands[i] = random_command(mixed, actor, pick_family(mixed, one_in(mixed, 4) ? TRANSACT : WIDE), true);
    if (one_in(mixed, 20)) commands[count++] = (struct model_command){.code = DO_UNKNOWN};
    if (one_in(mixed, 2))
        actor_transact(actor, commands, count);
    else
        actor_begin(actor, commands, count);
}

static void do_watch(struct mixed *mixed, struct actor *actor) {
    uint8_t keys[MODEL_ARGS];
    if (one_in(mixed, 6)) {
        struct model_command unwatch = {.code = DO_UNWATCH, .db = actor->db};
        actor_send(actor, &unwatch);
        return;
    }
    uint32_t count = keys_of(mixed, DO_WATCH);
    pick_keys(mixed, below(mixed, 2), keys, count);
    struct model_command watch = command_on(DO_WATCH, actor, keys, count);
    actor_send(actor, &watch);
}

static void act(struct mixed *mixed, struct actor *actor) {
    if (actor->in_multi) {
        if (one_in(mixed, 6))
            actor_discard(actor);
        else
            actor_exec(actor);
        return;
    }
    enum family family = pick_family(mixed, FAMILIES);
    if (actor->watched && mixed->weights[TRANSACT] && one_in(mixed, 3)) family = TRANSACT;
    if (family == WAITS && count_waiting(mixed) * 2 >= mixed->actors) family = LISTS; /* somebody has to push */
    if (family == TRANSACT) {
        do_transaction(mixed, actor);
    } else if (family == WATCHES) {
        do_watch(mixed, actor);
    } else {
        struct model_command command = random_command(mixed, actor, family, false);
        actor_send(actor, &command);
    }
}

/* How many operations it has under way: replies before a result belong to that. */
static uint32_t under_way(const struct actor *actor) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < actor->count; i++)
        count += actor->pending[(actor->first + i) % ACTOR_PENDING].expected == EXPECT_RESULT;
    return count;
}

static uint32_t all_under_way(const struct mixed *mixed) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < mixed->clients->actor_count; i++) count += under_way(&mixed->clients->actors[i]);
    return count;
}

static bool may_act(struct mixed *mixed, const struct actor *actor) {
    if (actor->leaving || all_under_way(mixed) >= TOGETHER_MAX) return false;
    if (actor->count == 0) return true;
    if (actor->in_multi) return one_in(mixed, 4);
    return mixed->pipeline && one_in(mixed, 2) && under_way(actor) < PIPELINE_MAX && !actor_waits(actor);
}

/* --- the round --- */

static struct actor *pick_actor(struct mixed *mixed) {
    struct clients *clients = mixed->clients;
    return &clients->actors[MODEL_DBS + below(mixed, clients->actor_count - MODEL_DBS)];
}

static struct actor *join(struct mixed *mixed) {
    return clients_join_anywhere(mixed->clients, mixed->two_dbs && one_in(mixed, 3));
}

static void disturb(struct mixed *mixed) {
    struct actor *actor = pick_actor(mixed);
    if (mixed->stall) actor->peer->stalled = one_in(mixed, 3);
    if (!mixed->vanish || !one_in(mixed, 25) || actor->leaving) return;
    if (join(mixed)) actor_vanish(actor); /* somebody takes its place */
}

static void play_window(struct mixed *mixed, uint32_t ticks) {
    struct clients *clients = mixed->clients;
    if (mixed->lazy) sim_set_lazy(clients->sim, prng_next(&clients->prng));
    for (uint32_t tick = 0; tick < ticks && clients_ok(clients); tick++) {
        struct actor *actor = pick_actor(mixed);
        if (may_act(mixed, actor)) act(mixed, actor);
        for (uint32_t steps = below(mixed, 5); steps; steps--) clients_step(clients);
        if (one_in(mixed, 4)) disturb(mixed);
    }
}

static bool become_quiet(struct mixed *mixed) {
    struct clients *clients = mixed->clients;
    bool fine = clients_settle(clients, false) && clients_look(clients, mixed->watchers, MODEL_DBS) &&
                clients_settle(clients, true);
    history_mark_quiet(clients->history);
    return fine;
}

/* Then everything is read by somebody new. */
static bool crash(struct mixed *mixed) {
    struct clients *clients = mixed->clients;
    play_window(mixed, 1 + below(mixed, TICKS));
    if (!clients_ok(clients)) return false;
    clients_crash(clients);
    for (uint8_t db = 0; db < MODEL_DBS; db++) mixed->watchers[db] = clients_join_anywhere(clients, db);
    return clients_look(clients, mixed->watchers, MODEL_DBS);
}

/* A third of the seeds has two families only. */
static void choose_weights(struct mixed *mixed) {
    static const uint32_t weights[] = {0, 0, 0, 1, 3, 10};
    uint32_t one = below(mixed, FAMILIES), other = below(mixed, FAMILIES);
    bool focus = one_in(mixed, 3);
    for (uint32_t i = 0; i < FAMILIES; i++) {
        mixed->weights[i] = weights[below(mixed, ARRAY_LEN(weights))];
        if (focus && i != one && i != other) mixed->weights[i] = 0;
    }
    if (focus) mixed->weights[one] = mixed->weights[other] = 10;
    if (focus && (one == WAITS || other == WAITS)) mixed->weights[LISTS] = 10; /* or nobody is served */
    if (mixed->weights[WIDE] > 1) mixed->weights[WIDE] = 1;
    if (KNOWN_TIME_IN_EXEC && mixed->weights[TRANSACT]) mixed->weights[EXPIRY] = 0;
}

static struct clients *make_clients(const struct round *round, bool *gated) {
    static const uint32_t shards[] = {1, 2, 2, 3, 3, 4, 6, 8}, mailboxes[] = {1, 2, 4, 256};
    struct prng prng;
    prng_init(&prng, round->seed);
    struct clients_options options = {.seed = round->seed, .planted = round->planted};
    options.shards = shards[prng_below(&prng, ARRAY_LEN(shards))];
    options.mailbox = mailboxes[prng_below(&prng, ARRAY_LEN(mailboxes))];
    options.keys = 2 + (uint32_t)prng_below(&prng, MODEL_KEYS - 1);
    options.gated = prng_below(&prng, 3) == 0;
    options.braked = prng_below(&prng, 3) == 0;
    options.moves = prng_below(&prng, 2) == 0;
    options.cramped = prng_below(&prng, 3) == 0;
    *gated = options.gated;
    return clients_new(&options);
}

static void plan_crash(struct mixed *mixed) {
    mixed->weights[EXPIRY] = 0;  /* the journal is read without a clock */
    mixed->weights[WATCHES] = 0; /* EXEC may have been stopped by what is lost then */
    mixed->vanish = false;       /* a client's number is left for who reads at the end */
}

static void set_up(struct mixed *mixed) {
    choose_weights(mixed);
    mixed->unique = 1;
    mixed->actors = 2 + below(mixed, ACTORS_MAX - 1);
    mixed->two_dbs = one_in(mixed, 3);
    mixed->vanish = one_in(mixed, 3);
    mixed->stall = one_in(mixed, 3);
    mixed->pipeline = one_in(mixed, 2);
    mixed->lazy = one_in(mixed, 2);
    mixed->exact_due = one_in(mixed, 2);
    mixed->crash = mixed->gated && !one_in(mixed, 3);
    if (mixed->crash) plan_crash(mixed);
    for (uint8_t db = 0; db < MODEL_DBS; db++) mixed->watchers[db] = clients_join_anywhere(mixed->clients, db);
    for (uint32_t i = 0; i < mixed->actors; i++) join(mixed);
}

static bool play(struct mixed *mixed) {
    uint32_t windows = 1 + below(mixed, WINDOWS_MAX);
    for (uint32_t i = 0; i < windows; i++) {
        play_window(mixed, TICKS);
        if (!become_quiet(mixed)) return false;
    }
    if (mixed->crash) return crash(mixed);
    struct clients *clients = mixed->clients;
    for (uint32_t i = MODEL_DBS; i < clients->actor_count; i++)
        if (!clients->actors[i].leaving) actor_vanish(&clients->actors[i]);
    return become_quiet(mixed);
}

static void introduce(const struct mixed *mixed, const struct round *round) {
    static const char *const names[FAMILIES] = {"plain", "expiry", "many", "together", "lists",
                                                "moves", "waits",  "wide", "transact", "watches"};
    const struct clients *clients = mixed->clients;
    fprintf(round->report, "mixed, seed %" PRIu64 ": %u shards, %u clients%s%s%s%s%s%s;", round->seed, clients->shards,
            mixed->actors, mixed->pipeline ? ", pipelines" : "", mixed->vanish ? ", some vanish" : "",
            mixed->stall ? ", some stall" : "", mixed->lazy ? ", some shards are slow" : "",
            mixed->gated ? ", disks" : "", mixed->crash ? ", a crash" : "");
    for (uint32_t i = 0; i < FAMILIES; i++)
        if (mixed->weights[i]) fprintf(round->report, " %s %u", names[i], mixed->weights[i]);
    fputs("\n  keys and shards:", round->report);
    for (uint32_t key = 0; key < model_keys(clients->model); key++)
        fprintf(round->report, " %s %u", model_name(clients->model, key), clients->shard_of[key]);
    fputc('\n', round->report);
}

struct round_result mixed_round(const struct round *round) {
    struct mixed mixed = {0};
    mixed.clients = make_clients(round, &mixed.gated);
    struct clients *clients = mixed.clients;
    set_up(&mixed);
    bool fine = play(&mixed);
    struct check_result check = check_history(clients->history, NODES_MAX, NULL);
    struct round_result result = {.failed = !fine || check.verdict != CHECK_SERIALISABLE,
                                  .steps = clients->steps,
                                  .operations = history_count(clients->history),
                                  .nodes = check.nodes,
                                  .crashed = mixed.crash};
    if (!result.failed) {
        clients_delete(clients);
        return result;
    }
    introduce(&mixed, round);
    if (!fine) fprintf(round->report, "%s\n", clients->trouble);
    (void)check_history(clients->history, NODES_MAX, round->report);
    if (!fine) clients_explain(clients, round->report);
    clients_abandon(clients);
    return result;
}
