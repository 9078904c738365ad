/* Exec: one command being run by a handler.
 *
 * A handler reads x->argv, uses x->keys (the database of this shard) and writes exactly one reply to x->out. It runs on
 * the shard that owns its keys; the client may be connected to another thread, so x->client is set only for ON_CONN
 * commands and what a handler needs of a client's state travels in x (db, resp, flags).
 *
 * A handler never waits, makes no system call and is bounded by the bytes it reads and writes. One that may take
 * longer is CMD_SLICED: it does a slice, keeps its position in x->slice and calls exec_continue.
 *
 *    static void cmd_strlen(struct exec *x) {
 *        struct key_ref ref;
 *        if (!exec_read(x, 1, TYPE_STRING, &ref)) return;             // wrong type: replied
 *        reply_int(x, ref.entry ? (int64_t)entry_string_len(ref.entry) : 0);
 *    }                                                                                                          */
#pragma once
#include "core/chain.h"
#include "core/resp_write.h"
#include "shards/client.h"
#include "shards/command.h"
#include "shards/keyspace.h"
#include "shards/notify.h"

struct shard;

struct exec {
    struct shard *shard;
    const struct command_slot *slot;
    const struct slice *argv; /* argv[0] is the name */
    uint32_t argc;
    uint16_t db;
    uint8_t resp;     /* 2 or 3 */
    bool failed;      /* an error was replied */
    bool again;       /* exec_continue was called */
    bool sleeping;    /* exec_continue_later was called */
    bool part;        /* of a command over several shards: counted there */
    bool blocks;      /* exec_block was called */
    bool tells;       /* tell_takes_turns said yes: the journal hears of what it did over the next turns */
    uint32_t flags;   /* enum client_flag of the client, as far as handlers care (CLIENT_NO_TOUCH) */
    uint64_t hash;    /* of argv[hash_at], computed when the command was routed */
    uint32_t hash_at; /* 0: none */
    /* Of a command that is the sum of its keys: the hashes of all of them, in order, from argv[hash_at] on; NULL: not
     * known. Where it has no hash_at (EXEC): of keys that it is about to use, only good for
     * fetching them in advance. */
    const uint64_t *hashes;
    uint32_t hash_count;
    struct keyspace *keys;
    struct keyspace_shared *shared;
    struct buf *out;
    size_t mark;           /* where its reply begins there, for one that runs on behalf of a client */
    struct client *client; /* ON_CONN commands only, else NULL */
    uint64_t client_id;
    uint64_t timeout_ms; /* of exec_block */
    uint64_t
        *slow_us; /* where to say how long a slow command took, when it is logged elsewhere; NULL: it is logged here */
    uint64_t *slice; /* CMD_SLICED: four words that survive between slices, zero at first */
    /* CMD_SLICED with MERGE_CONCAT: elements that follow the reply, in any number and length (exec_elements). */
    struct chain *elements;
};

/* --- keys. at is the position in argv --- */
HOT_INLINE uint64_t exec_hash(const struct exec *x, uint32_t at) {
    if (at == x->hash_at) return x->hash;
    if (x->hashes && x->hash_at) return x->hashes[(at - x->hash_at) / (uint32_t)(uint16_t)x->slot->row->keys[0].step];
    return key_hash(x->shared, x->argv[at]);
}
/* Opens for writing. False when the key holds another type: WRONGTYPE was replied. An absent key is fine (true). */
NODISCARD bool exec_open(struct exec *x, uint32_t at, enum value_type type, struct key_ref *ref);
/* The same for reading: counts hit or miss, touches the access clock. */
NODISCARD bool exec_read(struct exec *x, uint32_t at, enum value_type type, struct key_ref *ref);
/* Any type. */
struct entry *exec_open_any(struct exec *x, uint32_t at, struct key_ref *ref);
struct entry *exec_read_any(struct exec *x, uint32_t at, struct key_ref *ref);
/* n changes were made to the data (Redis's server.dirty); watchers of the key see it. The seam where the journal and
 * notifications hook in. */
void exec_changed(struct exec *x, struct slice key, uint64_t n);
void exec_changed_in(struct exec *x, uint32_t db, struct slice key, uint64_t n); /* in another database */
/* A change that Redis does not take for one: watchers do not see it, but the journal has to have it. */
void exec_changed_unseen(struct exec *x);

/* --- keyspace events (shards/notify.h): told after the change, in Redis's words and order. class: enum config_notify.
 * Costs a load and a branch while nobody wants any. --- */
HOT_INLINE void exec_event_in(struct exec *x, uint32_t db, unsigned class, const char *name, struct slice key) {
    if (UNLIKELY(x->shared->notify & class)) notify_event(x->shard, db, slice_of_cstr(name), key);
}
HOT_INLINE void exec_event_as(struct exec *x, unsigned class, const char *name, struct slice key) {
    exec_event_in(x, x->db, class, name, key);
}
/* The one that the row names. */
HOT_INLINE void exec_event(struct exec *x, unsigned class, struct slice key) {
    exec_event_in(x, x->db, class, command_event(x->slot->row), key);
}
/* Something was taken out of a collection, and when it was the last, "del" follows. */
HOT_INLINE void exec_event_taken(struct exec *x, unsigned class, const char *name, const struct key_ref *ref) {
    exec_event_as(x, class, name, ref->key);
    if (!ref->entry) exec_event_as(x, NOTIFY_GENERIC, "del", ref->key);
}

/* A read found no key. Not where it only was a step of a command that writes. */
HOT_INLINE void exec_event_missed(struct exec *x, struct slice key) {
    if (UNLIKELY(x->shared->notify & NOTIFY_KEY_MISS) && !(x->flags & CLIENT_STEP))
        exec_event_as(x, NOTIFY_KEY_MISS, "keymiss", key);
}

/* --- arguments --- */
/* argv[at] as an integer; replies "ERR value is not an integer or out of range" and returns false otherwise. */
NODISCARD bool exec_int(struct exec *x, uint32_t at, int64_t *value);
NODISCARD bool exec_int_range(struct exec *x, uint32_t at, int64_t min, int64_t max, int64_t *value, const char *error);
/* The number of a database, as SELECT, COPY and MOVE take it. Returns the error to reply, NULL when it is fine. */
NODISCARD const char *exec_parse_db(struct slice text, uint32_t db_count, uint16_t *db);
#define arg_is(x, at, literal) slice_is((x)->argv[at], literal)

/* Called by a CMD_SLICED handler that is not done: it runs again next turn. What it wrote to x->out stays. */
void exec_continue(struct exec *x);
/* The same for one that only waits for a time: it runs again within about a millisecond. */
void exec_continue_later(struct exec *x);

/* Where the next element goes that shall follow the reply. The reply itself, in x->out, is then just their array's
 * header, which is written last, when the count is known. Ask before each element. */
struct buf *exec_elements(struct exec *x);

/* Called by a CMD_BLOCKING handler that found nothing, instead of a reply: the client waits until one of the keys of
 * the row's first specification comes into being (as the row's waits_for) and the handler finds something, timeout_ms
 * long; 0: for ever. False inside of a transaction: reply what Redis replies at the end of the time. */
NODISCARD bool exec_block(struct exec *x, uint64_t timeout_ms);

/* --- replies --- */
void reply_error(struct exec *x, const char *text); /* with its code: "ERR syntax error" */
void reply_errorf(struct exec *x, const char *format, ...) PRINTF_LIKE(2, 3);
void reply_wrong_type(struct exec *x);
void reply_syntax_error(struct exec *x);
void reply_wrong_arity(struct exec *x);     /* "ERR wrong number of arguments for 'get' command" */
void reply_unknown_command(struct exec *x); /* names the command and the beginning of its arguments */
void reply_only_pubsub(struct exec *x);     /* "ERR Can't execute 'get': only ..." */
/* A subcommand that does not exist, as Redis words it. */
void reply_unknown_sub(struct exec *x);
void reply_bad_sub(struct exec *x); /* one with options that it does not have */
/* The HELP of a container: lines ended by NULL, framed as Redis frames them. */
void reply_help(struct exec *x, const char *const *lines);

HOT_INLINE void reply_ok(struct exec *x) {
    buf_append_literal(x->out, "+OK\r\n");
}
HOT_INLINE void reply_simple(struct exec *x, const char *text) {
    resp_simple(x->out, slice_of_cstr(text));
}
HOT_INLINE void reply_int(struct exec *x, int64_t value) {
    resp_int(x->out, value);
}
HOT_INLINE void reply_bulk(struct exec *x, struct slice bytes) {
    resp_bulk(x->out, bytes);
}
HOT_INLINE void reply_cstr(struct exec *x, const char *text) {
    resp_bulk(x->out, slice_of_cstr(text));
}
HOT_INLINE void reply_null(struct exec *x) {
    resp_null(x->out, x->resp);
}
HOT_INLINE void reply_null_array(struct exec *x) {
    resp_null_array(x->out, x->resp);
}
HOT_INLINE void reply_array(struct exec *x, uint64_t count) {
    resp_array(x->out, count);
}
HOT_INLINE void reply_map(struct exec *x, uint64_t pairs) {
    resp_map(x->out, x->resp, pairs);
}
HOT_INLINE void reply_set(struct exec *x, uint64_t count) {
    resp_set(x->out, x->resp, count);
}
HOT_INLINE void reply_double(struct exec *x, double value) {
    resp_double(x->out, x->resp, value);
}
HOT_INLINE void reply_bool(struct exec *x, bool value) {
    resp_bool(x->out, x->resp, value);
}
/* An element of a run, as a bulk string. */
HOT_INLINE void reply_packed(struct exec *x, const struct packed_value *value) {
    if (value->is_int)
        resp_bulk_int(x->out, value->number);
    else
        resp_bulk(x->out, value->text);
}
/* The string of an entry. */
void reply_entry(struct exec *x, const struct entry *entry);
