/* Applying effects: a handler is run as the pipeline would, with a reply that nobody reads but for an error in it. */
#include "shards/effect_apply.h"
#include "core/assert.h"
#include "core/num.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include "shards/shard.h"

struct slot_range slot_range_of(uint32_t shard, uint32_t shards) {
    return (struct slot_range){(shard * HASH_SLOTS + shards - 1) / shards,
                               ((shard + 1) * HASH_SLOTS + shards - 1) / shards};
}

uint32_t effect_key_at(const struct shard *shard, const struct slice *argv, uint32_t argc) {
    const struct command_slot *slot = argc ? command_resolve(shard->registry, argv, argc) : NULL;
    uint32_t at = slot ? (uint32_t)slot->row->keys[0].first : 0;
    return at < argc ? at : 0;
}

static bool refuse(struct error *error, const struct slice *argv, uint32_t argc, const char *why, size_t why_len) {
    struct slice name = argc ? argv[0] : SLICE("");
    (void)error_set(error, ST_INVALID, 0, "an effect cannot be applied: '%.*s': %.*s", (int)MIN(name.len, (size_t)64),
                    name.ptr, (int)MIN(why_len, (size_t)300), why);
    return false;
}

static bool refuse_text(struct error *error, const struct slice *argv, uint32_t argc, const char *why) {
    return refuse(error, argv, argc, why, strlen(why));
}

/* The command that an effect is; NULL: error says why it is none. */
static const struct command_slot *slot_of(const struct shard *shard, const struct slice *argv, uint32_t argc,
                                          struct error *error) {
    const struct command_slot *slot = argc ? command_resolve(shard->registry, argv, argc) : NULL;
    const char *why = NULL;
    bool hidden = slot && slot->row->flags & CMD_INTERNAL && !slot->row->only_effect;
    if (!slot || !slot->row->run || hidden)
        why = "no such command";
    else if (!(slot->row->flags & CMD_WRITE))
        why = "it changes no key";
    else if (!command_arity_fits(slot->row, argc))
        why = "wrong number of arguments";
    if (why) (void)refuse_text(error, argc ? argv : NULL, argc, why);
    return why ? NULL : slot;
}

static bool run(struct shard *shard, const struct command_slot *slot, uint32_t db, const struct slice *argv,
                uint32_t argc, struct error *error) {
    struct buf reply;
    uint64_t now_ms = shard->shared.now_ms;
    buf_init(&reply, shard->heap, MEM_MESSAGE);
    struct exec x = {.shard = shard,
                     .shared = &shard->shared,
                     .keys = shard_db(shard, db),
                     .slot = slot,
                     .argv = argv,
                     .argc = argc,
                     .db = (uint16_t)db,
                     .resp = 2,
                     .flags = CLIENT_NO_BLOCK | CLIENT_LOADER,
                     .part = true,
                     .out = &reply};
    shard->shared.now_ms = 0;
    slot->row->run(&x);
    shard->shared.now_ms = now_ms;
    struct slice text = buf_slice(&reply);
    bool done = !gather_reply_is_error(text);
    if (!done) (void)refuse(error, argv, argc, text.ptr + 1, text.len - 3);
    buf_deinit(&reply);
    return done;
}

static bool may_apply(const struct shard *shard, uint32_t db, const struct slice *argv, uint32_t argc,
                      struct error *error) {
    ASSERT(!shard->effects.on);
    return db < shard->db_count || refuse_text(error, argv, argc, "there are fewer databases, see 'databases'");
}

bool effect_apply(struct shard *shard, uint32_t db, const struct slice *argv, uint32_t argc, struct error *error) {
    const struct command_slot *slot = slot_of(shard, argv, argc, error);
    return slot && may_apply(shard, db, argv, argc, error) && run(shard, slot, db, argv, argc, error);
}

/* --- some slots of a database --- */

struct walk {
    struct slot_range slots;
    struct buf names; /* | length 4 | key | ... */
};

static void note_name(void *ctx, struct entry *entry) {
    struct walk *walk = ctx;
    struct slice key = entry_key(entry);
    uint32_t slot = hash_slot(key), len = (uint32_t)key.len;
    if (slot < walk->slots.first || slot >= walk->slots.last) return;
    buf_append(&walk->names, &len, sizeof len);
    buf_append_slice(&walk->names, key);
}

static bool next_name(struct walk *walk, struct slice *key) {
    uint32_t len;
    if (buf_readable(&walk->names) == 0) return false;
    memcpy(&len, walk->names.data + walk->names.read, sizeof len);
    *key = slice_of(walk->names.data + walk->names.read + sizeof len, len);
    walk->names.read += sizeof len + len;
    return true;
}

/* Moves the keys of these slots to `to`, or (NULL) removes them. Whatever is there from the first step to the last is
 * met; what was moved is there no more. */
static void move_slots(struct shard *shard, struct keyspace *from, struct slot_range slots, struct keyspace *to) {
    struct walk walk = {.slots = slots};
    struct slice key;
    uint64_t cursor = 0;
    buf_init(&walk.names, shard->heap, MEM_MESSAGE);
    do {
        walk.names.len = walk.names.read = 0;
        cursor = keyspace_scan(from, cursor, note_name, &walk);
        while (next_name(&walk, &key)) {
            struct key_ref source, target;
            uint64_t hash = key_hash(&shard->shared, key);
            if (!keyspace_open(from, key, hash, &source)) continue; /* a scan may meet it twice */
            if (to) {
                keyspace_open(to, key, hash, &target);
                keyspace_move(from, &source, to, &target);
            } else {
                keyspace_remove(from, &source);
            }
        }
    } while (cursor);
    buf_deinit(&walk.names);
}

static void swap_slots(struct shard *shard, uint32_t a, uint32_t b, struct slot_range slots) {
    struct keyspace *aside = keyspace_new(&shard->shared, a);
    move_slots(shard, shard_db(shard, a), slots, aside);
    move_slots(shard, shard_db(shard, b), slots, shard_db(shard, a));
    move_slots(shard, aside, slots, shard_db(shard, b));
    keyspace_delete(aside);
}

static bool apply_to_slots(struct shard *shard, uint32_t db, const struct slice *argv, uint32_t argc,
                           struct slot_range slots, struct error *error) {
    int64_t a, b;
    if (slice_is(argv[0], "flushdb")) {
        move_slots(shard, shard_db(shard, db), slots, NULL);
        return true;
    }
    if (slice_is(argv[0], "flushall")) {
        for (uint32_t i = 0; i < shard->db_used; i++)
            if (shard_db_peek(shard, i)) move_slots(shard, shard_db_peek(shard, i), slots, NULL);
        return true;
    }
    if (!slice_is(argv[0], "swapdb")) return refuse_text(error, argv, argc, "it has no key");
    bool fits = num_parse_i64(argv[1], &a) && num_parse_i64(argv[2], &b) && a >= 0 && b >= 0 &&
                a < (int64_t)shard->db_count && b < (int64_t)shard->db_count;
    if (!fits) return refuse_text(error, argv, argc, "there are fewer databases, see 'databases'");
    if (a != b) swap_slots(shard, (uint32_t)a, (uint32_t)b, slots);
    return true;
}

bool effect_apply_from(struct shard *shard, uint32_t db, const struct slice *argv, uint32_t argc,
                       struct slot_range from, struct error *error) {
    struct slot_range own = slot_range_of(shard->id, shard->count);
    const struct command_slot *slot = slot_of(shard, argv, argc, error);
    if (!slot || !may_apply(shard, db, argv, argc, error)) return false;
    bool partly = slot->row->keys[0].first == 0 && (own.first < from.first || from.last < own.last);
    if (!partly) return run(shard, slot, db, argv, argc, error);
    uint64_t now_ms = shard->shared.now_ms;
    shard->shared.now_ms = 0;
    bool done = apply_to_slots(shard, db, argv, argc, from, error);
    shard->shared.now_ms = now_ms;
    return done;
}
