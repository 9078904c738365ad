/* Telling over turns. A command that stood in line has a request of its own, and the work begins in it; any other gets
 * one for its stand-in. */
#include "shards/tell_work.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"

#define STAND_IN "sherd.tell-value"

enum { STAND_IN_NAME, STAND_IN_KEY, STAND_IN_DROP, STAND_IN_TELL, STAND_IN_REPLY, STAND_IN_ARGC };

static_assert(STAND_IN_ARGC == ARRAY_LEN(((struct telling *)0)->argv), "all arguments have room");

struct tell_work {
    struct work work; /* first: it is cast back */
    struct tell tell;
    uint64_t at; /* of the bytes */
    struct effect_tale tale;
};

/* True while there is more. */
static bool tell_value(struct exec *x, struct tell_work *work, struct key_ref *ref) {
    const struct tell *tell = &work->tell;
    if (tell->end) {
        work->at = effect_tell_bytes(x, tell->db, ref->entry, tell->from, work->at, tell->end);
        return work->at < tell->end;
    }
    if (effect_tell_some(&work->tale, x, tell->db, ref->entry)) return true;
    if (!tell->deadline_ms) return false;
    effect_deadline_in(x, tell->db, x->argv[tell->key_at], tell->deadline_ms);
    keyspace_set_deadline(shard_db(x->shard, tell->db), ref, tell->deadline_ms);
    return false;
}

static bool tell_work_some(struct exec *x, struct work *of) {
    struct tell_work *work = (struct tell_work *)of;
    const struct tell *tell = &work->tell;
    struct keyspace *keys = shard_db(x->shard, tell->db);
    struct key_ref ref;
    /* Its time may be over, or that of all of its fields. Then that was told, too. */
    if (keyspace_open(keys, x->argv[tell->key_at], exec_hash(x, tell->key_at), &ref) && tell_value(x, work, &ref))
        return true;
    if (tell->drop_at) effect_del(x, tell->drop_db, x->argv[tell->drop_at]);
    return false;
}

/* Asks for turns as the command x does. */
static void begin(struct exec *x, const struct tell *tell) {
    struct work work = {.some = tell_work_some, .tells = true, .ticks = tell->ticks};
    work.counts_as = command_at(x->shard->registry, tell->number);
    struct tell_work *made = work_new(x, sizeof *made, work);
    made->tell = *tell;
    made->at = tell->from;
    work_begin(x, &made->work);
}

bool tell_takes_turns_slow(struct exec *x, struct key_ref *ref, const struct tell *tell) {
    struct shard *shard = x->shard;
    if (!effect_takes_slices(x, ref->entry) || !work_takes_turns(x)) return false;
    struct tell *telling = &shard->telling.tell;
    x->tells = true;
    *telling = *tell;
    telling->number = (uint16_t)x->slot->number;
    telling->ticks = shard->host.ticks(shard->host.ctx) - shard->last_tick;
    if (!tell->end) telling->deadline_ms = entry_deadline_ms(ref->entry);
    if (telling->deadline_ms) /* what is being told of must stay */
        keyspace_set_deadline(shard_db(shard, tell->db), ref, 0);
    if (work_begins(x)) begin(x, telling);
    return true;
}

/* --- the stand-in --- */

void tell_becomes_stand_in(struct exec *x, size_t mark) {
    struct shard *shard = x->shard;
    struct tell *tell = &shard->telling.tell;
    struct slice *argv = shard->telling.argv;
    uint32_t drop_at = tell->drop_at ? tell->drop_at : tell->key_at;
    ASSERT(x->tells && !work_begins(x));
    argv[STAND_IN_NAME] = slice_of_cstr(x->slot->row->name);
    argv[STAND_IN_KEY] = x->argv[tell->key_at];
    argv[STAND_IN_DROP] = x->argv[drop_at];
    argv[STAND_IN_REPLY] = slice_of(x->out->data + mark, x->out->len - mark);
    argv[STAND_IN_TELL] = slice_of((const char *)tell, sizeof *tell);
    x->hash = exec_hash(x, tell->key_at);
    x->hash_at = STAND_IN_KEY;
    x->hashes = NULL;
    x->hash_count = 0;
    x->slot = command_find(shard->registry, SLICE(STAND_IN));
    ASSERT(x->slot);
    x->argv = argv;
    x->argc = STAND_IN_ARGC;
    tell->key_at = STAND_IN_KEY;
    if (tell->drop_at) tell->drop_at = STAND_IN_DROP;
}

/* Runs when it has its keys, which is at once: the command had them. */
static void cmd_tell_value(struct exec *x) {
    struct tell tell;
    ASSERT(x->argv[STAND_IN_TELL].len == sizeof tell);
    memcpy(&tell, x->argv[STAND_IN_TELL].ptr, sizeof tell);
    bool begins = work_takes_turns(x) && work_begins(x);
    ASSERT(begins);
    buf_append_slice(x->out, x->argv[STAND_IN_REPLY]);
    begin(x, &tell);
}

const struct command tell_commands[] = {
    {.name = STAND_IN,
     .arity = STAND_IN_ARGC,
     .flags = CMD_WRITE | CMD_INTERNAL,
     .keys = {KEYS_RANGE(STAND_IN_KEY, STAND_IN_DROP, 1, KEY_RW | KEY_UPDATE)},
     .where = ON_OWNER,
     .run = cmd_tell_value,
     .takes_turns = true,
     .group = "generic",
     .since = "0.6.0",
     .cost = "O(N), N = length of the value, over several turns",
     .args = "key key tell reply",
     .doc = "Tells the journal of a value that a command has put in its place."},
    {0},
};
