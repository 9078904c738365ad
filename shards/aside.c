/* Values aside: kept as a work is (shards/work.h), whose slices are the steps that home sends. */
#include "shards/aside.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/admit.h"
#include "shards/cmd_generic_priv.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/gather.h"
#include "shards/piece.h"
#include "shards/shard.h"
#include "shards/work.h"

struct aside {
    struct work work; /* first: it is cast back. Only its end is used */
    struct building building;
    struct effect_tale tale;
    uint64_t deadline_ms; /* of the value; it gets it when all was told, since until then it must stay */
};

static struct aside *aside_of(const struct exec *x) {
    ASSERT(x->slice); /* its transaction has a request here */
    return (struct aside *)(uintptr_t)x->slice[0];
}

static void end_aside(struct shard *shard, struct work *work) {
    struct aside *aside = (struct aside *)work;
    (void)shard;
    building_drop(&aside->building);
}

static void drop(struct exec *x) {
    struct aside *aside = aside_of(x);
    if (aside) work_delete(x->shard, &aside->work);
    x->slice[0] = 0;
}

/* NULL: there is no memory for a string of that length. */
static struct aside *begin(struct exec *x, enum value_type type, uint64_t how, uint64_t expects) {
    drop(x);
    struct aside *aside = work_new(x, sizeof *aside, (struct work){.end = end_aside});
    x->slice[0] = (uint64_t)(uintptr_t)aside;
    if (type == TYPE_STRING)
        return building_begin_string(&aside->building, x->shared, x->argv[1], expects) ? aside : NULL;
    building_begin(&aside->building, x->shared, type, how);
    building_expect(&aside->building, expects);
    return aside;
}

static void cmd_aside(struct exec *x) {
    int64_t type, how, expects;
    bool begins = num_parse_i64(x->argv[4], &expects);
    if (!exec_int(x, 2, &type) || !exec_int(x, 3, &how)) return;
    struct aside *aside = begins ? begin(x, (enum value_type)type, (uint64_t)how, (uint64_t)expects) : aside_of(x);
    if (!aside) {
        reply_error(x, "ERR insufficient memory for the new length of the string");
        return;
    }
    building_add(&aside->building, x->argv[5]);
    reply_int(x, (int64_t)building_count(&aside->building));
}

/* --- its place --- */

static void tell_some(struct exec *x, struct aside *aside, struct key_ref *ref) {
    char digits[NUM_U64_MAX];
    if (effect_tell_some(&aside->tale, x, x->db, ref->entry)) {
        reply_int(x, ASIDE_TELLS);
        return;
    }
    if (aside->deadline_ms) {
        struct slice at = slice_of(digits, num_format_u64(digits, aside->deadline_ms));
        effect_add(x, x->db, (struct slice[]){SLICE("PEXPIREAT"), x->argv[1], at}, 3);
        keyspace_set_deadline(x->keys, ref, aside->deadline_ms);
    }
    drop(x);
    reply_int(x, ASIDE_DONE);
}

static void cmd_put_aside(struct exec *x) {
    struct aside *aside = aside_of(x);
    struct key_ref ref;
    int64_t deadline_ms, form;
    if (!exec_int(x, 2, &deadline_ms) || !exec_int(x, 3, &form)) return;
    if (exec_open_any(x, 1, &ref) && arg_is(x, 4, "nx")) {
        drop(x);
        reply_int(x, ASIDE_TAKEN);
        return;
    }
    struct entry *entry = building_end(&aside->building, x->argv[1], form < 2, form & 1);
    ASSERT(entry); /* home does not put what is empty */
    aside->deadline_ms = (uint64_t)deadline_ms;
    if (ref.entry && x->argv[5].ptr[0] == EVENT_GENERIC) exec_event_as(x, NOTIFY_NEW, "new", x->argv[1]);
    keyspace_put_entry(x->keys, &ref, entry);
    exec_changed(x, x->argv[1], 1);
    exec_event_told(x, x->argv[5]);
    tell_some(x, aside, &ref);
}

static void cmd_tell(struct exec *x) {
    struct key_ref ref;
    if (x->shard->effects.crowded) { /* later: the disk is behind */
        reply_int(x, ASIDE_TELLS);
        return;
    }
    if (exec_open_any(x, 1, &ref)) { /* its transaction holds the key, and it has no deadline yet */
        tell_some(x, aside_of(x), &ref);
        return;
    }
    drop(x); /* a hash, the time of all of whose fields is over */
    reply_int(x, ASIDE_DONE);
}

/* --- home --- */

static void ask(struct gather *g, struct aside_at at, const char *name, const struct slice *args, uint32_t count) {
    gather_send_db(g, gather_owner(g, at.key_at), at.db, name, args, count);
}

bool aside_has_room(struct gather *g, uint64_t bytes, uint64_t *since_ms) {
    enum admission admission = admit_piece(g->home, bytes, since_ms);
    if (admission == ADMIT_REFUSE) gather_error(g, OOM_ERROR);
    if (admission == ADMIT_WAIT) gather_let_turn_pass(g);
    return admission == ADMIT_GO;
}

void aside_send(struct gather *g, struct aside_at at, const struct aside_piece *piece) {
    char type[NUM_U64_MAX], how[NUM_U64_MAX], expects[NUM_U64_MAX];
    struct slice args[5] = {g->argv[at.key_at], slice_of(type, num_format_u64(type, piece->type)),
                            slice_of(how, num_format_u64(how, piece->how)), SLICE("more"), piece->bytes};
    if (piece->first) args[3] = slice_of(expects, num_format_u64(expects, piece->expects));
    ask(g, at, "sherd.aside", args, ARRAY_LEN(args));
}

void aside_put(struct gather *g, struct aside_at at, const struct aside_put *put) {
    char deadline[NUM_U64_MAX], form[NUM_U64_MAX];
    struct slice args[5] = {g->argv[at.key_at], slice_of(deadline, num_format_u64(deadline, put->deadline_ms)),
                            slice_of(form, num_format_u64(form, put->form)),
                            put->unless_taken ? SLICE("nx") : SLICE("replace"), slice_of_cstr(put->event)};
    ask(g, at, "sherd.put-aside", args, ARRAY_LEN(args));
}

void aside_tell(struct gather *g, struct aside_at at) {
    ask(g, at, "sherd.tell", &g->argv[at.key_at], 1);
}

#define INTERNAL                                                                                                       \
    .flags = CMD_WRITE | CMD_INTERNAL, .keys = {KEYS_ONE(1, KEY_OW | KEY_UPDATE)}, .where = ON_OWNER,                  \
    .keeps_aside = true, .group = "generic", .since = "0.5.0"

const struct command aside_commands[] = {
    {.name = "sherd.aside",
     .arity = 6,
     INTERNAL,
     .run = cmd_aside,
     .cost = "O(N), N = elements of the piece",
     .args = "key type how <expects | MORE> piece",
     .doc = "Adds a piece to a value that is built aside."},
    {.name = "sherd.put-aside",
     .arity = 6,
     INTERNAL,
     .run = cmd_put_aside,
     .cost = "O(1)",
     .args = "key deadline form <NX | REPLACE> event",
     .doc = "Puts that value in its place."},
    {.name = "sherd.tell",
     .arity = 2,
     INTERNAL,
     .run = cmd_tell,
     .cost = "O(1)",
     .args = "key",
     .doc = "Tells the journal some of it."},
    {0},
};
