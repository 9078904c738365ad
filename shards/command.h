/* Command: what is true of a command, as data. COMMAND, COMMAND DOCS, COMMAND GETKEYS, arity errors, routing, ACL
 * categories and later journalling are all views of these rows. Adding a command touches one file and its test.
 *
 * Rows are constant and stand next to their handlers (cmd_<family>.c). The registry is built once at start-up from
 * each floor's tables, checks itself, and is constant afterwards, so any thread may read it. */
#pragma once
#include "core/slice.h"
#include "core/status.h"
#include "shards/locks.h"

struct client;
struct entry;
struct exec;
struct gather;
struct heap;
struct queued;
struct shard;
struct waiting;

/* Flags, Redis's names. Bits 0-23 are what COMMAND INFO shows. */
enum command_flag {
    CMD_READ = 1 << 0,    /* readonly */
    CMD_WRITE = 1 << 1,   /* write */
    CMD_DENYOOM = 1 << 2, /* may grow memory: refused at the ceiling */
    CMD_ADMIN = 1 << 3,
    CMD_FAST = 1 << 4, /* O(1) or O(log N) */
    CMD_NOSCRIPT = 1 << 5,
    CMD_LOADING = 1 << 6, /* allowed while loading */
    CMD_STALE = 1 << 7,
    CMD_NO_AUTH = 1 << 8, /* allowed before AUTH */
    CMD_SKIP_SLOWLOG = 1 << 9,
    CMD_SKIP_MONITOR = 1 << 10,
    CMD_NO_ASYNC_LOADING = 1 << 11,
    CMD_NO_MULTI = 1 << 12,
    CMD_PUBSUB = 1 << 13,
    CMD_BLOCKING = 1 << 14,
    CMD_ALLOW_BUSY = 1 << 15,
    CMD_MOVABLE_KEYS = 1 << 16,
    CMD_MAY_REPLICATE =
        1 << 17, /* no write, and CLIENT PAUSE WRITE holds it all the same: Redis tells replicas of it */
    CMD_NO_MANDATORY_KEYS = 1 << 18,
    CMD_PROTECTED = 1 << 19,
    /* sherd's own, not shown */
    CMD_INTERNAL = 1 << 24, /* sent by gathers only; clients get "unknown command" */
    CMD_SLICED = 1 << 25,   /* runs over several turns (exec_continue), alone in its message */
    CMD_NO_WAIT = 1 << 26,  /* ON_CONN, but no barrier: may run before earlier commands took effect (PING, ECHO) */
    CMD_IN_MULTI =
        1
        << 27, /* is not kept for EXEC but runs at once inside MULTI; unless CMD_ROUTED, with the batch before it done */
    CMD_ROUTED = 1 << 28,     /* has a .route */
    CMD_IN_PUBSUB = 1 << 30,  /* allowed to a RESP2 client with subscriptions */
    CMD_ENDS_MULTI = 1 << 29, /* even when it is refused: then the error says that the transaction is discarded */
};

enum acl_category {
    ACL_KEYSPACE = 1 << 0,
    ACL_READ = 1 << 1,
    ACL_WRITE = 1 << 2,
    ACL_SET = 1 << 3,
    ACL_SORTEDSET = 1 << 4,
    ACL_LIST = 1 << 5,
    ACL_HASH = 1 << 6,
    ACL_STRING = 1 << 7,
    ACL_BITMAP = 1 << 8,
    ACL_HYPERLOGLOG = 1 << 9,
    ACL_GEO = 1 << 10,
    ACL_STREAM = 1 << 11,
    ACL_PUBSUB = 1 << 12,
    ACL_ADMIN = 1 << 13,
    ACL_FAST = 1 << 14,
    ACL_SLOW = 1 << 15,
    ACL_BLOCKING = 1 << 16,
    ACL_DANGEROUS = 1 << 17,
    ACL_CONNECTION = 1 << 18,
    ACL_TRANSACTION = 1 << 19,
    ACL_SCRIPTING = 1 << 20,
}; /* READ/WRITE/ADMIN/DANGEROUS/FAST/SLOW/... that follow from flags are added by the registry as Redis does */

/* Where its keys stand in argv and what is done to them. last and step as Redis: last < 0 counts from the end. */
enum key_access { /* Redis 7 key specification flags */
                  KEY_RO = 1 << 0,
                  KEY_RW = 1 << 1,
                  KEY_OW = 1 << 2,
                  KEY_RM = 1 << 3,
                  KEY_ACCESS = 1 << 4,
                  KEY_UPDATE = 1 << 5,
                  KEY_INSERT = 1 << 6,
                  KEY_DELETE = 1 << 7,
                  KEY_NOT_KEY = 1 << 8,
                  KEY_INCOMPLETE = 1 << 9,
                  KEY_VARIABLE = 1 << 10,
};
struct key_spec {
    int16_t first, last, step; /* first 0: no keys */
    uint32_t access;           /* enum key_access bits */
    int16_t count_at;          /* > 0: argv[count_at] is numkeys and the keys follow it */
    /* Not NULL: where its one key is, 0 for nowhere (SORT's STORE). Then first is where COMMAND says that it may be
     * from, behind the word `keyword`; NULL: COMMAND only says that there is one. */
    uint32_t (*find)(const struct slice *argv, uint32_t argc);
    const char *keyword;
    /* Not NULL: where its keys begin, 0 for nowhere. They are the first half of what follows, and to each belongs an
     * argument of the second half (XREAD's ids). COMMAND says that they are behind `keyword`, from halves_from on. */
    uint32_t (*halves)(const struct slice *argv, uint32_t argc);
    int16_t halves_from;
    /* Of KEY_VARIABLE: its access with these arguments (SET reads only with GET). */
    uint32_t (*access_in)(const struct slice *argv, uint32_t argc);
};
HOT_INLINE bool key_spec_is_used(const struct key_spec *spec) {
    return spec->first > 0 || spec->count_at > 0 || spec->halves;
}
#define KEYS_ONE(at, what)                                                                                             \
    { .first = (at), .last = (at), .step = 1, .access = (what) }
#define KEYS_RANGE(from, to, by, what)                                                                                 \
    { .first = (from), .last = (to), .step = (by), .access = (what) }
#define KEYS_AFTER(word, from, where, what)                                                                            \
    { .first = (from), .last = (from), .step = 1, .access = (what), .find = (where), .keyword = (word) }
#define KEYS_MAX 3 /* key specifications of one row (RENAME has two with different access, GEORADIUS three) */

enum command_where {
    ON_OWNER,      /* one shard: the owner of its keys; when several keys live apart: see across */
    SPLIT_BY_KEY,  /* the command's meaning is the sum of its keys' parts: each owner gets its keys, merge joins */
    ACROSS_OWNERS, /* several keys that belong together: .across runs when they live on different shards */
    ON_ALL,        /* every shard runs it, merge joins */
    ON_CONN,       /* the connection's own thread */
};

enum command_merge {
    MERGE_NONE,
    MERGE_OK,     /* all parts +OK; the first error wins */
    MERGE_SUM,    /* integers added up */
    MERGE_BY_KEY, /* arrays: element i belongs to the i-th key (MGET) */
    MERGE_CONCAT, /* arrays joined, their elements in any order (KEYS) */
    MERGE_TEXT,   /* bulk or verbatim texts, one after the other (CLIENT LIST) */
    MERGE_CUSTOM, /* .merge_with */
};

/* What a command with one key changes of the collection there, be it to its end, and nothing else of it. */
enum command_beside {
    BESIDE_NOT,
    BESIDE_ELEMENTS, /* the elements that its arguments name, or one; of a list and a stream what is at an end */
    BESIDE_COUNT,    /* as many as argv[2] says; one without it */
    BESIDE_GROUPS,   /* groups of a stream */
};

enum command_secrets {
    SECRETS_NONE,
    SECRETS_ALL,     /* all arguments */
    SECRETS_OF_AUTH, /* the two behind the word AUTH */
};

/* Told of each thing a command touches: the key at a position of x's arguments, or (wide) the whole shard. x may be a
 * command inside of another. */
typedef void (*command_lock_visit)(void *ctx, const struct exec *x, uint32_t position, enum lock_mode mode, bool wide);

typedef void (*command_run)(struct exec *x);
typedef void (*command_across)(struct gather *gather);

struct command {
    const char *name; /* lower case */
    int arity;        /* Redis's: counts the name; negative is at least */
    uint32_t flags, acl;
    struct key_spec keys[KEYS_MAX];
    enum command_where where;
    enum command_merge merge;
    command_run run;       /* on the shard that has all keys, or on the connection's thread; NULL where .route always
                                * makes it a gather */
    command_across across; /* ACROSS_OWNERS and ON_ALL with several steps; called once per finished step */
    command_across merge_with; /* MERGE_CUSTOM: all parts are there; write the reply */
    command_run split;         /* FATE_SPLIT of one without keys (PUBLISH): starts a gather whose reply has a place */
    uint32_t (*owner)(const struct exec *x); /* ON_OWNER without keys: which shard (PUBLISH: its own) */
    /* Decides more than where and keys say (EXEC, by what is in the transaction); fate and owner are set by then. Goes
     * by what will be when the batch has run. */
    void (*route)(const struct shard *shard, const struct client *client, struct queued *q);
    /* Of one that answers with what is stored: how many bytes, about, as far as keys here tell. What it is part of, EXEC or
     * a command over several shards, may have to wait for room before it runs, and so may a handler that says so
     * (shards/answer_work.h). x has what .locks has, and a shard; nothing is changed. Called before each run where memory
     * is not plenty: no slower than the command. NULL: little. */
    uint64_t (*answers)(const struct exec *x);
    bool delivers;     /* adds to the output of clients that did not ask: it waits while they hold too much */
    uint8_t waits_for; /* CMD_BLOCKING: enum value_type of what its keys are to hold */
    /* More exactly: is what the one key in x holds now, also nothing, something for this client? NULL: waits_for says
     * it. */
    bool (*wakes)(struct exec *x);
    /* What is kept in place of it, for those of its keys that are here (shards/waiters.h); NULL: itself. */
    void (*waits_as)(const struct exec *x, struct waiting *as);
    bool wide;     /* ON_ALL: all shards at one instant, as a transaction that locks them whole (FLUSHALL) */
    bool per_node; /* to a client at a thread's own port (CLIENT_ENDPOINT) it is about that shard alone: who adds up the
                    * nodes of a cluster must not count twice (DBSIZE, SCAN) */
    /* A part of a transaction: false when a watched key was changed since. NULL: it has none. */
    bool (*clean)(struct exec *x);
    /* What it touches, where key specifications do not say it all (commands inside of others; SORT's patterns). */
    void (*locks)(const struct exec *x, command_lock_visit visit, void *ctx);
    bool
        replays; /* a write that, done again as it came to the same state, does the same: its own effect (shards/effect.h).
                   * It has one key. Else the handler says what it did. */
    uint8_t beside_save; /* enum command_beside: it need not wait while a checkpoint reads its key (struct pin_watch) */
    bool (*beside_few)(const struct exec *x,
                       const struct entry *entry); /* are they few? NULL: that follows from its arguments. O(log n) */
    const char *event; /* the keyspace event of what it does, where that is not its own name */
    uint8_t secrets;   /* enum command_secrets: what MONITOR does not show */
    /* May need much more memory than its arguments have bytes: how much, at most. x has only arguments, db, hash and
     * keys, and keys is NULL when they are elsewhere or not known yet. Called before each run: O(1). NULL: no. */
    uint64_t (*grows)(const struct exec *x);
    bool takes_turns;           /* on large values it may do its work over several turns (shards/work.h) */
    bool only_effect;           /* it stands in journals alone: CMD_INTERNAL, but effect_apply runs it */
    bool keeps_aside;           /* a step that keeps something with its transaction, in x->slice (shards/aside.h) */
    const struct command *subs; /* subcommands, ended by a row without name; then run is NULL */
    const char *group;          /* string, generic, connection, server ... */
    const char *since, *cost, *doc;
    const char *args; /* syntax, e.g. "key value [NX | XX] [GET] [EX seconds | PX milliseconds]" */
    const char *tips; /* COMMAND INFO's tips, space separated; NULL for none */
};

HOT_INLINE const char *command_event(const struct command *row) {
    return row->event ? row->event : row->name;
}

/* --- registry --- */
struct command_registry;

/* A row in the registry. The number is dense (0 .. count-1) and indexes per-shard statistics. */
struct command_slot {
    const struct command *row;
    const struct command *parent; /* of a subcommand, else NULL */
    uint32_t number;
    uint32_t acl; /* with what follows from flags */
    bool barrier; /* waits for earlier commands of its connection and holds back later ones */
    bool repeats; /* argv[0] alone names it: no subcommands */
    bool gathers; /* needs a gather even where there is only one shard */
    bool grows;   /* has a row's .grows */
    /* Where its key is, when the owner of that one key runs it and it is none of the above, nor anything else that
     * routing or the batch would ask about (MULTI, subcommands); 0: it is something special. Most commands are not. */
    uint8_t plain_key;
};

/* tables: NULL-ended list of row arrays, each ended by a row without name. Stops on a bad table (our bug). */
struct command_registry *command_registry_new(struct heap *heap, const struct command *const *tables);
void command_registry_delete(struct command_registry *registry, struct heap *heap);
uint32_t command_registry_count(const struct command_registry *registry); /* rows, subcommands included */
const struct command_slot *command_at(const struct command_registry *registry, uint32_t number);

/* By name, any case; NULL when unknown. Does not look at subcommands. O(1), one cache line usually. */
const struct command_slot *command_find(const struct command_registry *registry, struct slice name);
/* The subcommand argv[1] of a container; NULL when unknown. */
const struct command_slot *command_find_sub(const struct command_registry *registry, const struct command_slot *parent,
                                            struct slice name);
/* What argv names: resolves containers to their subcommand; the container itself when the subcommand is unknown. */
const struct command_slot *command_resolve(const struct command_registry *registry, const struct slice *argv,
                                           uint32_t argc);

/* Positions of the keys in argv by the row's specifications. Returns the count, at most max (call again with more
 * room when it equals max); -1 when argv does not fit the specification. */
int command_keys(const struct command *row, const struct slice *argv, uint32_t argc, uint32_t *positions, int max);
/* Calls visit for every key that the row's specifications find; none when argv does not fit them. */
typedef void (*command_key_visit)(void *ctx, uint32_t position, bool writes);
void command_each_key(const struct command *row, const struct slice *argv, uint32_t argc, command_key_visit visit,
                      void *ctx);
/* The command for one of its keys alone, the one at this position; the key is of the first specification. Returns argc;
 * out has room for as many arguments as argv. */
uint32_t command_with_one_key(const struct command *row, const struct slice *argv, uint32_t argc, uint32_t position,
                              struct slice *out);
/* arity fits? */
HOT_INLINE bool command_arity_fits(const struct command *row, uint32_t argc) {
    return row->arity >= 0 ? argc == (uint32_t)row->arity : argc >= (uint32_t)-row->arity;
}
const char *command_full_name(const struct command_slot *slot, char out[64]); /* "client|list" */
