/* The parts of exec that handlers share: opening keys with a type check, reading numbers, wording errors. */
#include "shards/exec.h"
#include "core/num.h"
#include "shards/shard.h"
#include "shards/watch.h"
#include <stdarg.h>
#include <stdio.h>

static bool type_fits(struct exec *x, const struct entry *entry, enum value_type type) {
    if (LIKELY(!entry || entry->type == type)) return true;
    reply_wrong_type(x);
    return false;
}

bool exec_open(struct exec *x, uint32_t at, enum value_type type, struct key_ref *ref) {
    return type_fits(x, exec_open_any(x, at, ref), type);
}

bool exec_read(struct exec *x, uint32_t at, enum value_type type, struct key_ref *ref) {
    return type_fits(x, exec_read_any(x, at, ref), type);
}

struct entry *exec_open_any(struct exec *x, uint32_t at, struct key_ref *ref) {
    struct entry *entry = keyspace_open(x->keys, x->argv[at], exec_hash(x, at), ref);
    if (entry && !(x->flags & CLIENT_NO_TOUCH)) keyspace_touch(x->keys, entry);
    return entry;
}

struct entry *exec_read_any(struct exec *x, uint32_t at, struct key_ref *ref) {
    struct entry *entry = keyspace_read(x->keys, x->argv[at], exec_hash(x, at), x->flags & CLIENT_NO_TOUCH, ref);
    if (!entry) exec_event_missed(x, x->argv[at]);
    return entry;
}

void exec_changed(struct exec *x, struct slice key, uint64_t n) {
    exec_changed_in(x, x->db, key, n);
}

void exec_changed_in(struct exec *x, uint32_t db, struct slice key, uint64_t n) {
    if (UNLIKELY(x->shard->watchers > 0)) watch_touch(x->shard, db, key);
    x->shared->dirty += n;
}

void exec_changed_unseen(struct exec *x) {
    x->shared->dirty++;
}

bool exec_int(struct exec *x, uint32_t at, int64_t *value) {
    if (num_parse_i64(x->argv[at], value)) return true;
    reply_error(x, "ERR value is not an integer or out of range");
    return false;
}

bool exec_int_range(struct exec *x, uint32_t at, int64_t min, int64_t max, int64_t *value, const char *error) {
    if (num_parse_i64(x->argv[at], value) && *value >= min && *value <= max) return true;
    reply_error(x, error ? error : "ERR value is out of range");
    return false;
}

const char *exec_parse_db(struct slice text, uint32_t db_count, uint16_t *db) {
    int64_t number;
    if (!num_parse_i64(text, &number)) return "ERR value is not an integer or out of range";
    if (number < INT32_MIN || number > INT32_MAX)
        return "ERR value is out of range, value must between -2147483648 and 2147483647";
    if (number < 0 || number >= (int64_t)db_count) return "ERR DB index is out of range";
    *db = (uint16_t)number;
    return NULL;
}

void exec_continue(struct exec *x) {
    x->again = true;
}

void exec_continue_later(struct exec *x) {
    x->again = x->sleeping = true;
}

bool exec_block(struct exec *x, uint64_t timeout_ms) {
    if (x->flags & CLIENT_NO_BLOCK) return false;
    x->blocks = true;
    x->timeout_ms = timeout_ms;
    return true;
}

struct buf *exec_elements(struct exec *x) {
    return chain_tail(x->elements, x->shard->heap, MEM_CLIENT_OUT);
}

void reply_error(struct exec *x, const char *text) {
    x->failed = true;
    if (!x->part) error_stats_count(&x->shard->errors, slice_of_cstr(text)); /* a part's: once, when all are joined */
    resp_error(x->out, slice_of_cstr(text));
}

void reply_errorf(struct exec *x, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    reply_error(x, text);
}

void reply_wrong_type(struct exec *x) {
    reply_error(x, "WRONGTYPE Operation against a key holding the wrong kind of value");
}

void reply_syntax_error(struct exec *x) {
    reply_error(x, "ERR syntax error");
}

void reply_wrong_arity(struct exec *x) {
    char name[64];
    reply_errorf(x, "ERR wrong number of arguments for '%s' command", command_full_name(x->slot, name));
}

void reply_only_pubsub(struct exec *x) {
    char name[64];
    reply_errorf(x,
                 "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in "
                 "this context",
                 command_full_name(x->slot, name));
}

void reply_unknown_command(struct exec *x) {
    char args[160];
    size_t used = 0;
    args[0] = 0;
    /* Redis shows about 128 bytes of arguments, the last one cut. */
    for (uint32_t i = 1; i < x->argc && used < 128; i++) {
        int len = (int)MIN(x->argv[i].len, 128 - used);
        used += (size_t)snprintf(args + used, sizeof args - used, "'%.*s' ", len, x->argv[i].ptr);
    }
    reply_errorf(x, "ERR unknown command '%.*s', with args beginning with: %s", (int)MIN(x->argv[0].len, (size_t)128),
                 x->argv[0].ptr, args);
}

static void upper_name(const struct command *row, char out[64]) {
    size_t i = 0;
    for (; row->name[i] && i < 63; i++)
        out[i] = (char)(row->name[i] >= 'a' && row->name[i] <= 'z' ? row->name[i] - 32 : row->name[i]);
    out[i] = 0;
}

void reply_unknown_sub(struct exec *x) {
    char name[64];
    upper_name(x->slot->parent ? x->slot->parent : x->slot->row, name);
    int len = (int)MIN(x->argv[1].len, (size_t)128);
    reply_errorf(x, "ERR unknown subcommand '%.*s'. Try %s HELP.", len, x->argv[1].ptr, name);
}

void reply_bad_sub(struct exec *x) {
    char name[64];
    upper_name(x->slot->parent, name);
    int len = (int)MIN(x->argv[1].len, (size_t)128);
    reply_errorf(x, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.", len, x->argv[1].ptr,
                 name);
}

void reply_help(struct exec *x, const char *const *lines) {
    char name[64];
    upper_name(x->slot->parent ? x->slot->parent : x->slot->row, name);
    size_t mark = resp_array_open(x->out);
    char line[128];
    snprintf(line, sizeof line, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_simple(x, line);
    uint64_t count = 1;
    for (; lines[count - 1]; count++) reply_simple(x, lines[count - 1]);
    reply_simple(x, "HELP");
    reply_simple(x, "    Prints this help.");
    resp_array_close(x->out, mark, count + 2);
}

void reply_entry(struct exec *x, const struct entry *entry) {
    char scratch[ENTRY_SCRATCH];
    resp_bulk(x->out, entry_string(entry, scratch));
}
