/* Model: what the commands of a simulated client mean, as a function from one small state to the next.
 *
 * A state is a few keys in two databases, whether each client's EXEC will fail, and who was seen to wait. An operation
 * is what must be atomic: one command, or MULTI to EXEC as a whole. model_apply says what a server that runs one
 * operation after the other would answer; the checker looks for an order in which all clients got that.
 *
 * Places    a key of a database: place = db * MODEL_KEYS + key. Places have names; those of one key differ by database
 *           only.
 * Time      milliseconds from an origin that the caller chooses, not 0. An operation happens at some time in from_ms to
 *           to_ms. A deadline is an interval too, since SET PX counts from a time that only the server knows. Where the
 *           intervals leave it open whether a key has expired, the caller says which it is to be (`expired`).
 * Waiting   a blocking command that finds nothing begins to wait, which is an event of its own, and is served or gives
 *           up at another. As in Redis, a list that somebody waits for is his who began first: until he was served no
 *           operation may look at it. Who waits for several keys may be served by each of them.
 *
 * Ownership model_apply borrows everything and writes the reply to model_reply, valid until its next call. */
#pragma once
#include "core/slice.h"
#include "tests/sim/values.h"
#include <stdio.h>

#define MODEL_DBS       2
#define MODEL_KEYS      8 /* per database */
#define MODEL_PLACES    (MODEL_DBS * MODEL_KEYS)
#define MODEL_CLIENTS   32
#define MODEL_ARGS      8  /* keys, and values, of one command */
#define MODEL_ARGC_MAX  24 /* words of one command on the wire */
#define MODEL_REPLY_MAX (16 * 1024)

/* clang-format off */
enum model_code { /* strings and any type */
                  DO_GET, DO_SET, DO_SET_NX, DO_SET_PX, DO_SET_PXAT, DO_GETDEL, DO_APPEND, DO_STRLEN, DO_INCR,
                  DO_INCRBY, DO_DECRBY, DO_PEXPIREAT, DO_PERSIST, DO_PEXPIRETIME, DO_TYPE,
                  DO_MGET, DO_MSET, DO_MSETNX, DO_DEL, DO_EXISTS, DO_RENAME, DO_RENAMENX, DO_COPY, DO_COPY_REPLACE,
                  /* lists */
                  DO_LPUSH, DO_RPUSH, DO_RPUSHX, DO_LPOP, DO_RPOP, DO_LLEN, DO_LRANGE, DO_LREM, DO_LMOVE, DO_LMPOP,
                  DO_BLPOP, DO_BRPOP, DO_BLMOVE, DO_BLMPOP,
                  /* whole databases */
                  DO_DBSIZE, DO_KEYS, DO_FLUSHDB, DO_FLUSHALL, DO_SWAPDB,
                  /* the client */
                  DO_WATCH, DO_UNWATCH, DO_DISCARD,
                  /* wrong on purpose */
                  DO_UNKNOWN,
                  MODEL_CODES };
/* clang-format on */

struct model_command {
    uint8_t code; /* enum model_code */
    uint8_t db;   /* of commands without keys */
    uint8_t key_count, value_count;
    uint8_t keys[MODEL_ARGS]; /* places */
    bool from_right, to_right;
    uint32_t values[MODEL_ARGS];
    int64_t number; /* what is added, a time in ms, a count */
    uint32_t timeout_ms;
};

struct model_operation {
    uint8_t client;
    bool transaction; /* EXEC of these commands; else there is one */
    bool refused;     /* a command was refused when it was queued: EXEC aborts */
    bool watching;    /* EXEC of a client that has sent WATCH */
    uint8_t count;
    const struct model_command *commands;
    uint32_t from_ms, to_ms;
};

struct model_state {
    uint32_t value[MODEL_PLACES];
    uint32_t due_ms[MODEL_PLACES], due_max_ms[MODEL_PLACES]; /* 0: no deadline */
    uint32_t watchers[MODEL_PLACES];                         /* a bit per client */
    uint64_t dirty;                                          /* clients whose EXEC will fail */
    uint32_t waits[MODEL_CLIENTS];                           /* places that the client waits for; 0: it does not */
    uint8_t queue[MODEL_CLIENTS];                            /* who waits, plus 1, in the order in which they began */
};

enum model_event {
    MODEL_HAPPENS,
    MODEL_BEGINS,   /* finds nothing and waits from now on */
    MODEL_SERVED,   /* after it began */
    MODEL_GIVES_UP, /* its time is over, or its client is gone */
};

/* A choice among what may happen. All zero is the plain one. */
struct model_choice {
    uint32_t expired;  /* those of model_may_expire that have expired */
    uint8_t event;     /* enum model_event */
    uint8_t served_by; /* MODEL_SERVED: which of its keys */
};

enum model_outcome { MODEL_IMPOSSIBLE, MODEL_SAME, MODEL_CHANGED };

struct model;

/* names: of the keys, at most MODEL_KEYS. origin_ms: what the model's times are counted from, in Unix time. */
struct model *model_new(const char *const *names, uint32_t count, uint64_t origin_ms);
void model_delete(struct model *model);
struct values *model_values(struct model *model);
uint32_t model_keys(const struct model *model);
const char *model_name(const struct model *model, uint32_t place);

/* --- commands as data --- */
const char *model_code_name(enum model_code code); /* the command's name */
bool model_only_reads(enum model_code code);
bool model_is_wide(enum model_code code); /* all keys of a database, or of all */
bool model_is_blocking(enum model_code code);
bool model_is_session(enum model_code code); /* about the client's WATCH */
/* The words of a command as they are sent; texts is room for them. Returns how many. */
uint32_t model_words(const struct model *model, const struct model_command *command, struct slice *words, char *texts,
                     size_t text_size);
void model_print(const struct model *model, const struct model_command *command, FILE *out);
void model_print_state(const struct model *model, const struct model_state *state, FILE *out);

/* --- meaning --- */
uint32_t model_places(const struct model_operation *operation); /* a bit per place it names; all for wide ones */
/* Places that the operation looks at and that may have expired meanwhile, a bit each. MODEL_AFTER(i): its i-th command
 * sets a deadline that may have passed when the next one runs. */
#define MODEL_AFTER(i) (1u << (MODEL_PLACES + (i)))
uint32_t model_may_expire(const struct model_state *state, const struct model_operation *operation);
/* Carries it out, if that event can be in this state. Without an answer GIVES_UP is always possible after it began. */
enum model_outcome model_apply(struct model *model, struct model_state *state, const struct model_operation *operation,
                               struct model_choice choice, bool answered);
struct slice model_reply(const struct model *model);
uint32_t model_keys_waited_for(const struct model_command *command); /* how many; BLMOVE's target is none */
