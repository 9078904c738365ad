/* Streams: entries that were given to a consumer and not acknowledged go to another: XCLAIM, XAUTOCLAIM.
 *
 * Who claims an entry that is no longer in the stream takes it off the list of the group instead.
 *
 * An XCLAIM of many ids takes turns (shards/work.h), and so does an XAUTOCLAIM that may look at many entries. They
 * change the group as they go, since nobody sees that meanwhile; the journal hears of it at the end, and when the time
 * of the key is over in the middle the command ends there. */
#include "core/assert.h"
#include "core/num.h"
#include "shards/answer_work.h"
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/shard.h"
#include "shards/stream_read.h"
#include "shards/work.h"

#define AUTOCLAIM_COUNT    100 /* Redis's */
#define AUTOCLAIM_ATTEMPTS 10  /* entries looked at for each that may be claimed */
#define AUTOCLAIM_MAX      (INT64_MAX / 16)
#define PIECE              (WORK_SLICE / 4)  /* two or three trees change for each, and a block is searched */
#define IDS                (16 * WORK_SLICE) /* that are gone, of a slice: they are only replied */

/* A group that is to be there, of the stream at argv[1]. False: the error was replied. */
static bool open_group(struct exec *x, struct key_ref *ref, struct stream **stream, struct stream_group **group) {
    if (!stream_look(x, 1, ref, stream)) return false;
    *group = *stream ? stream_group_find(*stream, x->argv[2]) : NULL;
    if (!*group) reply_no_key_or_group(x, x->argv[1], x->argv[2]);
    return *group != NULL;
}

/* --- XCLAIM --- */

struct claim {
    int64_t idle_ms; /* the least */
    bool timed, force, just_id;
    int64_t time_ms, deliveries; /* deliveries -1: not given */
    struct stream_id last;
    uint32_t ids_end; /* argv[5 .. ids_end) */
    /* what goes on */
    uint64_t now_ms; /* the instant: an id that is given twice was not idle the second time, however late that is */
    uint32_t at;     /* the next id */
    uint64_t claimed;
    bool moves; /* the group's place has moved */
};

static bool claim_int(struct exec *x, uint32_t at, int64_t *value, const char *error) {
    return exec_int_range(x, at, INT64_MIN, INT64_MAX, value, error);
}

static bool parse_claim_option(struct exec *x, uint32_t *at, struct claim *claim) {
    bool more = *at + 1 < x->argc;
    if (arg_is(x, *at, "force")) {
        claim->force = true;
    } else if (arg_is(x, *at, "justid")) {
        claim->just_id = true;
    } else if (more && arg_is(x, *at, "idle")) {
        if (!claim_int(x, ++*at, &claim->time_ms, "ERR Invalid IDLE option argument for XCLAIM")) return false;
        claim->time_ms = (int64_t)(x->shard->now_ms - (uint64_t)claim->time_ms);
        claim->timed = true;
    } else if (more && arg_is(x, *at, "time")) {
        if (!claim_int(x, ++*at, &claim->time_ms, "ERR Invalid TIME option argument for XCLAIM")) return false;
        claim->timed = true;
    } else if (more && arg_is(x, *at, "retrycount")) {
        return claim_int(x, ++*at, &claim->deliveries, "ERR Invalid RETRYCOUNT option argument for XCLAIM");
    } else if (more && arg_is(x, *at, "lastid")) {
        return stream_arg_id(x, ++*at, 0, &claim->last);
    } else {
        reply_about(x, "ERR Unrecognized XCLAIM option '", x->argv[*at], "'", SLICE(""), "");
        return false;
    }
    return true;
}

static bool parse_claim(struct exec *x, struct claim *claim) {
    struct stream_id id;
    uint32_t at = 5;
    *claim = (struct claim){.deliveries = -1, .now_ms = x->shard->now_ms, .at = 5};
    if (!claim_int(x, 4, &claim->idle_ms, "ERR Invalid min-idle-time argument for XCLAIM")) return false;
    while (at < x->argc && stream_parse_id(x->argv[at], 0, &id)) at++;
    claim->ids_end = at;
    for (; at < x->argc; at++)
        if (!parse_claim_option(x, &at, claim)) return false;
    /* What is not known, or in the future, is now; a journal is believed. */
    int64_t now_ms = (int64_t)x->shard->now_ms;
    bool believed = x->flags & CLIENT_LOADER && claim->time_ms >= 0;
    if (!claim->timed || (!believed && (claim->time_ms < 0 || claim->time_ms > now_ms))) claim->time_ms = now_ms;
    return true;
}

/* What goes on while entries are claimed. */
struct claiming {
    struct exec *x;
    struct key_ref *ref;
    struct stream *stream;
    struct stream_group *group;
    struct stream_consumer *consumer; /* NULL: nothing was claimed yet */
    struct claim_words words;
    struct claim_effect effect;
    struct buf gone; /* ids that were pending and are not in the stream */
    uint64_t now_ms;
    int64_t idle_ms;
    bool just_id;
};

static void claiming_begin(struct claiming *claiming) {
    struct exec *x = claiming->x;
    claim_effect_begin(&claiming->effect, x, claiming->ref->key, claiming->group, x->argv[3], &claiming->words);
    buf_init(&claiming->gone, x->shard->heap, MEM_MESSAGE);
}

static void claiming_end(struct claiming *claiming) {
    claim_effect_end(&claiming->effect);
    effect_forget(claiming->x, claiming->ref->key, claiming->group, &claiming->gone);
    buf_deinit(&claiming->gone);
}

static void forget(struct claiming *claiming, struct stream_id id) {
    stream_pending_remove(&claiming->x->shared->store, claiming->stream, claiming->group, id);
    buf_append(&claiming->gone, &id, sizeof id);
    stream_changed_unseen(claiming->x, 1);
}

static bool is_idle(const struct claiming *claiming, const struct pending *pending) {
    int64_t idle_ms = (int64_t)(claiming->now_ms - pending->delivered_ms);
    return claiming->idle_ms <= 0 || idle_ms >= claiming->idle_ms;
}

/* The entry is the consumer's now, and is replied. */
static void take(struct claiming *claiming, const struct stream_entry *entry) {
    struct exec *x = claiming->x;
    bool fresh = !stream_pending_find(claiming->group, entry->id);
    if (!claiming->consumer) claiming->consumer = stream_take_consumer(x, claiming->ref, claiming->group, x->argv[3]);
    if (x->flags & CLIENT_LOADER) claiming->consumer->seen_ms = claiming->words.time_ms;
    struct pending *pending =
        stream_pending_give(&x->shared->store, claiming->stream, claiming->group, entry->id, claiming->consumer);
    if (fresh) pending->deliveries = 1;
    pending->delivered_ms = claiming->words.time_ms;
    if (claiming->words.how == CLAIM_SET)
        pending->deliveries = claiming->words.deliveries;
    else if (claiming->words.how == CLAIM_COUNT)
        pending->deliveries++;
    if (claiming->just_id)
        reply_stream_id(x, entry->id);
    else
        reply_stream_entry(x, entry);
    claim_effect_add(&claiming->effect, entry->id);
    stream_changed_unseen(x, 1);
}

static bool find_entry(const struct stream *stream, struct stream_id id, struct stream_entry *entry) {
    struct stream_iter iter = stream_seek(stream, id, id, false);
    return stream_next(&iter, entry);
}

/* True: it was claimed. */
static bool claim_one(struct claiming *claiming, struct stream_id id, bool force) {
    struct stream_entry entry;
    const struct pending *pending = stream_pending_find(claiming->group, id);
    if (!find_entry(claiming->stream, id, &entry)) {
        if (pending) forget(claiming, id);
        return false;
    }
    if (pending ? !is_idle(claiming, pending) : !force) return false;
    take(claiming, &entry);
    return true;
}

/* The group's place moves before anything is claimed. */
static void claim_begin(struct claim *claim, struct stream_group *group) {
    claim->moves = stream_id_compare(claim->last, group->last) > 0;
    if (claim->moves) group->last = claim->last;
}

/* Claims what it may of the next `max` ids; true while there are more. The group is there. */
static bool claim_ids(struct exec *x, struct key_ref *ref, struct claim *claim, uint32_t max) {
    struct stream *stream = entry_object(ref->entry);
    struct claiming claiming = {.x = x,
                                .ref = ref,
                                .stream = stream,
                                .group = stream_group_find(stream, x->argv[2]),
                                .words = {.time_ms = (uint64_t)claim->time_ms,
                                          .how = claim->deliveries >= 0 ? CLAIM_SET
                                                 : claim->just_id       ? CLAIM_KEEP
                                                                        : CLAIM_COUNT,
                                          .deliveries = (uint64_t)claim->deliveries,
                                          .force = claim->force},
                                .now_ms = claim->now_ms,
                                .idle_ms = claim->idle_ms,
                                .just_id = claim->just_id};
    uint32_t end = claim->at + MIN(max, claim->ids_end - claim->at);
    claiming_begin(&claiming);
    for (; claim->at < end; claim->at++) {
        struct stream_id id;
        bool sound = stream_parse_id(x->argv[claim->at], 0, &id);
        ASSERT(sound);
        claim->claimed += claim_one(&claiming, id, claim->force);
    }
    claiming_end(&claiming);
    return end < claim->ids_end;
}

static void claim_end(struct exec *x, const struct key_ref *ref, const struct claim *claim) {
    if (!claim->moves) return;
    stream_changed_unseen(x, 1);
    effect_group_place(x, ref->key, stream_group_find(entry_object(ref->entry), x->argv[2]));
}

struct claim_work {
    struct work work; /* first: it is cast back */
    struct claim claim;
    bool begun;
};

static bool claim_work_some(struct exec *x, struct work *of) {
    struct claim_work *work = (struct claim_work *)of;
    struct claim *claim = &work->claim;
    struct key_ref ref;
    if (exec_open_any(x, 1, &ref)) {
        if (!work->begun) claim_begin(claim, stream_group_find(entry_object(ref.entry), x->argv[2]));
        work->begun = true;
        if (claim_ids(x, &ref, claim, PIECE)) return true;
        claim_end(x, &ref, claim);
    }
    resp_array_close(x->out, 0, claim->claimed);
    return false;
}

static struct work *claim_work_new(const struct exec *x, const struct claim *claim) {
    struct claim_work *work = work_new(x, sizeof *work, (struct work){.some = claim_work_some, .tells = true});
    work->claim = *claim;
    return &work->work;
}

static void cmd_xclaim(struct exec *x) {
    struct claim claim;
    struct key_ref ref;
    struct stream *stream;
    struct stream_group *group;
    if (answer_waits(x) || !open_group(x, &ref, &stream, &group) || !parse_claim(x, &claim)) return;
    if (claim.ids_end - claim.at > WORK_AT_ONCE && work_takes_turns(x)) {
        if (work_begins(x)) work_begin(x, claim_work_new(x, &claim));
        return;
    }
    claim_begin(&claim, group);
    size_t mark = resp_array_open(x->out);
    (void)claim_ids(x, &ref, &claim, UINT32_MAX); /* all */
    resp_array_close(x->out, mark, claim.claimed);
    claim_end(x, &ref, &claim);
}

static bool has_word(const struct exec *x, uint32_t from, const char *word) {
    for (uint32_t at = from; at < x->argc; at++)
        if (slice_is(x->argv[at], word)) return true;
    return false;
}

static uint64_t text_bytes(struct stream_entry entry) {
    struct packed_value name, value;
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < entry.fields; i++) {
        stream_entry_field(&entry, &name, &value);
        bytes += (name.is_int ? 0 : name.text.len) + (value.is_int ? 0 : value.text.len);
    }
    return bytes;
}

/* Of the ids whose entries are there, without looking who has them. */
static uint64_t claim_answers(const struct exec *x) {
    const struct entry *entry = answer_peek(x, 1, TYPE_STREAM);
    struct stream_id id;
    uint64_t bytes = 0;
    if (!entry || has_word(x, 5, "justid")) return 0;
    for (uint32_t at = 5; at < x->argc && stream_parse_id(x->argv[at], 0, &id); at++) {
        struct stream_entry found;
        if (find_entry(entry_object(entry), id, &found)) bytes += text_bytes(found);
    }
    return bytes;
}

/* --- XAUTOCLAIM --- */

struct autoclaim {
    struct stream_id from; /* moves to where it is to go on */
    int64_t idle_ms, count;
    bool just_id;
    /* what is left: ids to claim or to forget, and to look at */
    int64_t left, attempts;
    uint64_t claimed;
    struct buf gone; /* ids that were pending and are not in the stream */
};

static bool parse_autoclaim(struct exec *x, struct autoclaim *out) {
    bool open;
    *out = (struct autoclaim){.count = AUTOCLAIM_COUNT};
    if (!claim_int(x, 4, &out->idle_ms, "ERR Invalid min-idle-time argument for XAUTOCLAIM")) return false;
    if (!stream_arg_end(x, 5, 0, &out->from, &open)) return false;
    if (open && !stream_id_step(&out->from)) {
        reply_error(x, "ERR invalid start ID for the interval");
        return false;
    }
    for (uint32_t at = 6; at < x->argc; at++) {
        if (at + 1 < x->argc && arg_is(x, at, "count")) {
            if (!exec_int_range(x, ++at, 1, AUTOCLAIM_MAX, &out->count, "ERR COUNT must be > 0")) return false;
        } else if (arg_is(x, at, "justid")) {
            out->just_id = true;
        } else {
            reply_syntax_error(x);
            return false;
        }
    }
    return true;
}

/* Up to `max` of the ids that are gone, from *told on. True while there are more. */
static bool reply_gone(struct exec *x, const struct autoclaim *autoclaim, size_t *told, size_t max) {
    const struct buf *gone = &autoclaim->gone;
    size_t count = gone->len / sizeof(struct stream_id), end = *told + MIN(max, count - *told);
    for (; *told < end; ++*told) {
        struct stream_id id;
        memcpy(&id, gone->data + *told * sizeof id, sizeof id);
        reply_stream_id(x, id);
    }
    return end < count;
}

static void autoclaim_begin(const struct exec *x, struct autoclaim *autoclaim) {
    autoclaim->left = autoclaim->count;
    autoclaim->attempts = autoclaim->count * AUTOCLAIM_ATTEMPTS;
    buf_init(&autoclaim->gone, x->shard->heap, MEM_MESSAGE);
}

/* Goes through up to `max` of what is pending; true while there is more. */
static bool walk_pending(struct claiming *claiming, struct autoclaim *autoclaim, unsigned max) {
    struct idtree_iter iter = idtree_seek(&claiming->group->pending, autoclaim->from);
    const struct pending *pending;
    for (; (pending = idtree_next(&iter)) && autoclaim->left > 0 && autoclaim->attempts > 0; max--) {
        struct stream_entry entry;
        struct stream_id id = autoclaim->from = pending->id;
        if (max == 0) return true;
        autoclaim->attempts--;
        if (!find_entry(claiming->stream, id, &entry)) {
            forget(claiming, id);
            iter = idtree_seek(&claiming->group->pending, id);
            autoclaim->left--;
        } else if (is_idle(claiming, pending)) {
            take(claiming, &entry);
            autoclaim->claimed++;
            autoclaim->left--;
        }
    }
    autoclaim->from = pending ? pending->id : STREAM_ID_MIN;
    return false;
}

/* Claims what it finds among the next `max`; true while there is more. The group is there. */
static bool claim_some(struct exec *x, struct key_ref *ref, struct autoclaim *autoclaim, unsigned max) {
    struct stream *stream = entry_object(ref->entry);
    struct claiming claiming = {
        .x = x,
        .ref = ref,
        .stream = stream,
        .group = stream_group_find(stream, x->argv[2]),
        .words = {.time_ms = x->shard->now_ms, .how = autoclaim->just_id ? CLAIM_KEEP : CLAIM_COUNT},
        .now_ms = x->shard->now_ms,
        .idle_ms = autoclaim->idle_ms,
        .just_id = autoclaim->just_id};
    claiming_begin(&claiming);
    bool more = walk_pending(&claiming, autoclaim, max);
    buf_append_slice(&autoclaim->gone, buf_slice(&claiming.gone));
    claiming_end(&claiming);
    return more;
}

/* What was claimed stands in x->out already, from mark on: what comes before and behind it, but for the ids that are
 * gone. */
static void autoclaim_frame(struct exec *x, size_t mark, struct autoclaim *autoclaim) {
    char text[STREAM_ID_TEXT_MAX];
    struct buf head;
    buf_init(&head, x->shard->heap, MEM_MESSAGE);
    resp_array(&head, 3);
    resp_bulk(&head, stream_id_text(autoclaim->from, text));
    resp_array(&head, autoclaim->claimed);
    buf_insert(x->out, mark, buf_slice(&head));
    buf_deinit(&head);
    reply_array(x, autoclaim->gone.len / sizeof(struct stream_id));
}

/* --- over several turns --- */

struct autoclaim_work {
    struct work work; /* first: it is cast back */
    struct autoclaim autoclaim;
    bool claimed; /* all is done; the ids that are gone are being replied */
    size_t told;  /* so many of them were */
};

static bool autoclaim_work_some(struct exec *x, struct work *of) {
    struct autoclaim_work *work = (struct autoclaim_work *)of;
    struct autoclaim *autoclaim = &work->autoclaim;
    struct key_ref ref;
    if (work->claimed) return reply_gone(x, autoclaim, &work->told, IDS);
    if (!exec_open_any(x, 1, &ref))
        autoclaim->from = STREAM_ID_MIN;
    else if (claim_some(x, &ref, autoclaim, PIECE))
        return true;
    autoclaim_frame(x, 0, autoclaim);
    work->claimed = true;
    return autoclaim->gone.len > 0;
}

static void autoclaim_work_end(struct shard *shard, struct work *of) {
    (void)shard;
    struct autoclaim_work *work = (struct autoclaim_work *)of;
    buf_deinit(&work->autoclaim.gone);
}

static struct work *autoclaim_work_new(const struct exec *x, const struct autoclaim *autoclaim) {
    struct autoclaim_work *work =
        work_new(x, sizeof *work, (struct work){.some = autoclaim_work_some, .end = autoclaim_work_end, .tells = true});
    work->autoclaim = *autoclaim;
    autoclaim_begin(x, &work->autoclaim);
    return &work->work;
}

static void cmd_xautoclaim(struct exec *x) {
    struct autoclaim autoclaim;
    struct key_ref ref;
    struct stream *stream;
    struct stream_group *group;
    if (answer_waits(x) || !parse_autoclaim(x, &autoclaim) || !open_group(x, &ref, &stream, &group)) return;
    uint64_t looks = MIN((uint64_t)autoclaim.count * AUTOCLAIM_ATTEMPTS, group->pending.count);
    if (looks > WORK_AT_ONCE && work_takes_turns(x)) {
        if (work_begins(x)) work_begin(x, autoclaim_work_new(x, &autoclaim));
        return;
    }
    size_t mark = x->out->len, told = 0;
    autoclaim_begin(x, &autoclaim);
    while (claim_some(x, &ref, &autoclaim, UINT32_MAX)) continue;
    autoclaim_frame(x, mark, &autoclaim);
    (void)reply_gone(x, &autoclaim, &told, SIZE_MAX);
    buf_deinit(&autoclaim.gone);
}

/* As many entries as may be claimed, in one row from the first on. */
static uint64_t autoclaim_answers(const struct exec *x) {
    const struct entry *entry = answer_peek(x, 1, TYPE_STREAM);
    const struct stream_group *group = entry ? stream_group_find(entry_object(entry), x->argv[2]) : NULL;
    struct stream_id from = STREAM_ID_MIN;
    int64_t count = AUTOCLAIM_COUNT;
    if (!group || has_word(x, 6, "justid")) return 0;
    (void)!stream_parse_id(x->argv[5], 0, &from);
    if (x->argc > 7 && arg_is(x, 6, "count")) (void)!num_parse_i64(x->argv[7], &count);
    uint64_t most = MIN((uint64_t)MAX(count, (int64_t)0), group->pending.count);
    return most ? stream_bytes_between(entry_object(entry), from, STREAM_ID_MAX, false, most) : 0;
}

#define CLAIMS .acl = ACL_STREAM, .where = ON_OWNER, .group = "stream", .tips = "nondeterministic_output"

const struct command stream_claim_commands[] = {
    {.name = "xclaim",
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     CLAIMS,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_UPDATE)},
     .run = cmd_xclaim,
     .answers = claim_answers,
     .takes_turns = true,
     .beside_save = BESIDE_GROUPS,
     .since = "5.0.0",
     .cost = "O(log(N)) for each id",
     .args = "key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] "
             "[FORCE] [JUSTID] [LASTID lastid]",
     .doc = "Gives pending entries to another consumer."},
    {.name = "xautoclaim",
     .arity = -6,
     .flags = CMD_WRITE | CMD_FAST,
     CLAIMS,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_DELETE)},
     .run = cmd_xautoclaim,
     .answers = autoclaim_answers,
     .beside_save = BESIDE_GROUPS,
     .takes_turns = true,
     .since = "6.2.0",
     .cost = "O(log(N)) for each entry, COUNT of them",
     .args = "key group consumer min-idle-time start [COUNT count] [JUSTID]",
     .doc = "Gives entries that were pending for long to another consumer."},
    {0},
};
