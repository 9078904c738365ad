/* Strings, compared: DELEX, DELIFEQ, DIGEST, and what SET's conditions on the old value mean. DELEX and DIGEST are
 * Redis 8.4's, DELIFEQ is Valkey's.
 *
 * The digest of a long string is made over several turns (shards/work.h). After the last of them the handler is run
 * once more, and then string_digest finds it made. */
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/shard.h"
#include "shards/string_compare.h"
#include "shards/work.h"
#define XXH_STATIC_LINKING_ONLY /* the state's size */
#include <xxhash.h>

#define STRETCH (4u << 20) /* bytes that are digested at once, or in a turn: a quarter of a millisecond */

/* --- what conditions mean --- */

static const struct {
    struct slice word;
    enum string_compare how;
} words[] = {
    {SLICE_INIT("ifeq"), COMPARE_EQUAL},
    {SLICE_INIT("ifne"), COMPARE_UNEQUAL},
    {SLICE_INIT("ifdeq"), COMPARE_DIGEST},
    {SLICE_INIT("ifdne"), COMPARE_OTHER_DIGEST},
};

enum string_compare string_compare_of(struct slice word) {
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_equal_nocase(word, words[i].word)) return words[i].how;
    return COMPARE_NOTHING;
}

/* --- digests --- */

#define STATE_ALIGN 64u /* what xxhash wants */

struct digest_work {
    struct work work; /* first: it is cast back */
    command_run run;  /* the row's, for the end */
    size_t at;
    uint64_t digest;
    char room[sizeof(XXH3_state_t) + STATE_ALIGN];
};

static XXH3_state_t *state_of(struct digest_work *work) {
    uintptr_t at = (uintptr_t)work->room + STATE_ALIGN - 1;
    return (XXH3_state_t *)(at & ~(uintptr_t)(STATE_ALIGN - 1)); /* NOLINT(performance-no-int-to-ptr) */
}

/* True while there is more of the string. */
static bool digest_some(struct digest_work *work, struct slice value) {
    size_t count = MIN(value.len - work->at, (size_t)STRETCH);
    (void)XXH3_64bits_update(state_of(work), value.ptr + work->at, count);
    work->at += count;
    return work->at < value.len;
}

/* What the handler has counted it has counted when it asked for turns. */
static bool digest_work_some(struct exec *x, struct work *of) {
    struct digest_work *work = (struct digest_work *)of;
    struct keyspace_shared *shared = x->shared;
    uint64_t hits = shared->hits, misses = shared->misses;
    struct key_ref ref;
    char scratch[ENTRY_SCRATCH];
    const struct entry *entry = exec_open_any(x, 1, &ref); /* or its time is over: the handler finds nothing */
    if (entry && digest_some(work, entry_string(entry, scratch))) return true;
    work->digest = XXH3_64bits_digest(state_of(work));
    work->run(x);
    shared->hits = hits;
    shared->misses = misses;
    return false;
}

static struct work *digest_work_new(const struct exec *x) {
    struct digest_work *work = work_new(x, sizeof *work, (struct work){.some = digest_work_some});
    work->run = x->slot->row->run;
    (void)XXH3_64bits_reset(state_of(work));
    return &work->work;
}

bool string_digest_takes_turns(struct exec *x, const struct entry *entry) {
    if (!entry || entry_string_len(entry) <= STRETCH || !work_takes_turns(x)) return false;
    if (work_begins(x)) work_begin(x, digest_work_new(x));
    return true;
}

/* Of the string at argv[1]. */
static void string_digest(const struct exec *x, struct slice value, char text[STRING_DIGEST_BYTES]) {
    const struct work *work = x->slice ? (const struct work *)(uintptr_t)x->slice[0] : NULL;
    bool made = work && work->some == digest_work_some;
    uint64_t digest = made ? ((const struct digest_work *)work)->digest : XXH3_64bits(value.ptr, value.len);
    for (int i = STRING_DIGEST_BYTES - 1; i >= 0; i--, digest >>= 4) text[i] = "0123456789abcdef"[digest & 15];
}

static bool is_digest(enum string_compare how) {
    return how == COMPARE_DIGEST || how == COMPARE_OTHER_DIGEST;
}

bool string_compare_makes_sense(struct exec *x, enum string_compare how, const struct entry *entry,
                                struct slice operand) {
    if (!entry || !is_digest(how) || operand.len == STRING_DIGEST_BYTES) return true;
    reply_error(x, "ERR must be exactly 16 hexadecimal characters");
    return false;
}

bool string_compare_takes_turns(struct exec *x, enum string_compare how, const struct entry *entry) {
    return is_digest(how) && string_digest_takes_turns(x, entry);
}

bool string_compare_holds(const struct exec *x, enum string_compare how, const struct entry *entry,
                          struct slice operand) {
    char scratch[ENTRY_SCRATCH], digest[STRING_DIGEST_BYTES];
    bool unlike = how == COMPARE_UNEQUAL || how == COMPARE_OTHER_DIGEST;
    if (!entry) return unlike;
    struct slice value = entry_string(entry, scratch);
    if (how == COMPARE_EQUAL || how == COMPARE_UNEQUAL) return slice_equal(value, operand) != unlike;
    string_digest(x, value, digest);
    return slice_equal_nocase(operand, slice_of(digest, sizeof digest)) != unlike;
}

/* --- the commands --- */

static void remove_if(struct exec *x, struct key_ref *ref, bool holds) {
    if (holds) {
        keyspace_remove(x->keys, ref);
        exec_changed(x, ref->key, 1);
        exec_event_as(x, NOTIFY_GENERIC, "del", ref->key);
        effect_del(x, x->db, ref->key);
    }
    reply_int(x, holds);
}

/* Without a condition it is DEL of one key. Nothing is said of a condition where there is no key. */
static void cmd_delex(struct exec *x) {
    struct key_ref ref;
    if (x->argc != 2 && x->argc != 4) {
        reply_wrong_arity(x);
        return;
    }
    const struct entry *entry = exec_open_any(x, 1, &ref);
    if (!entry || x->argc == 2) {
        remove_if(x, &ref, entry != NULL);
        return;
    }
    enum string_compare how = string_compare_of(x->argv[2]);
    if (entry->type != TYPE_STRING)
        reply_error(x, "ERR Key should be of string type if conditions are specified");
    else if (how == COMPARE_NOTHING)
        reply_error(x, "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE");
    else if (string_compare_makes_sense(x, how, entry, x->argv[3]) && !string_compare_takes_turns(x, how, entry))
        remove_if(x, &ref, string_compare_holds(x, how, entry, x->argv[3]));
}

static void cmd_delifeq(struct exec *x) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_STRING, &ref)) return;
    remove_if(x, &ref, string_compare_holds(x, COMPARE_EQUAL, ref.entry, x->argv[2]));
}

static void cmd_digest(struct exec *x) {
    struct key_ref ref;
    char scratch[ENTRY_SCRATCH], digest[STRING_DIGEST_BYTES];
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    if (!ref.entry) {
        reply_null(x);
        return;
    }
    if (string_digest_takes_turns(x, ref.entry)) return;
    string_digest(x, entry_string(ref.entry, scratch), digest);
    reply_bulk(x, slice_of(digest, sizeof digest));
}

const struct command string_compare_commands[] = {
    {.name = "delex",
     .arity = -2,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_delex,
     .takes_turns = true,
     .group = "string",
     .since = "8.4.0",
     .cost = "O(1) with IFEQ and IFNE, else O(N), N = length of the value",
     .args = "key [IFEQ ifeq-value | IFNE ifne-value | IFDEQ ifdeq-digest | IFDNE ifdne-digest]",
     .doc = "Deletes a key, if its value or the digest of it is this one, or is another one."},
    {.name = "delifeq",
     .arity = 3,
     .flags = CMD_WRITE | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RW | KEY_ACCESS | KEY_DELETE)},
     .where = ON_OWNER,
     .run = cmd_delifeq,
     .group = "string",
     .since = "9.0.0",
     .cost = "O(N), N = length of the value",
     .args = "key value",
     .doc = "Deletes a key if it holds exactly this string."},
    {.name = "digest",
     .arity = 2,
     .flags = CMD_READ | CMD_FAST,
     .acl = ACL_STRING,
     .keys = {KEYS_ONE(1, KEY_RO | KEY_ACCESS)},
     .where = ON_OWNER,
     .run = cmd_digest,
     .takes_turns = true,
     .group = "string",
     .since = "8.4.0",
     .cost = "O(N), N = length of the value",
     .args = "key",
     .doc = "Returns the XXH3 of a string, as sixteen hexadecimal digits."},
    {0},
};
