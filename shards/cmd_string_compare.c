/* Strings, compared: DELEX, DELIFEQ, DIGEST, and what SET's conditions on the old value mean. DELEX and DIGEST are
 * Redis 8.4's, DELIFEQ is Valkey's. */
#include "shards/cmd_tables.h"
#include "shards/effect_add.h"
#include "shards/exec.h"
#include "shards/string_compare.h"
#include <xxhash.h>

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

void string_digest(struct slice value, char text[STRING_DIGEST_BYTES]) {
    uint64_t digest = XXH3_64bits(value.ptr, value.len);
    for (int i = STRING_DIGEST_BYTES - 1; i >= 0; i--, digest >>= 4) text[i] = "0123456789abcdef"[digest & 15];
}

bool string_compare_makes_sense(struct exec *x, enum string_compare how, const struct entry *entry,
                                struct slice operand) {
    bool digest = how == COMPARE_DIGEST || how == COMPARE_OTHER_DIGEST;
    if (!entry || !digest || operand.len == STRING_DIGEST_BYTES) return true;
    reply_error(x, "ERR must be exactly 16 hexadecimal characters");
    return false;
}

bool string_compare_holds(enum string_compare how, const struct entry *entry, struct slice operand) {
    char scratch[ENTRY_SCRATCH], digest[STRING_DIGEST_BYTES];
    bool unlike = how == COMPARE_UNEQUAL || how == COMPARE_OTHER_DIGEST;
    if (!entry) return unlike;
    struct slice value = entry_string(entry, scratch);
    if (how == COMPARE_EQUAL || how == COMPARE_UNEQUAL) return slice_equal(value, operand) != unlike;
    string_digest(value, digest);
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
    else if (string_compare_makes_sense(x, how, entry, x->argv[3]))
        remove_if(x, &ref, string_compare_holds(how, entry, x->argv[3]));
}

static void cmd_delifeq(struct exec *x) {
    struct key_ref ref;
    if (!exec_open(x, 1, TYPE_STRING, &ref)) return;
    remove_if(x, &ref, string_compare_holds(COMPARE_EQUAL, ref.entry, x->argv[2]));
}

static void cmd_digest(struct exec *x) {
    struct key_ref ref;
    char scratch[ENTRY_SCRATCH], digest[STRING_DIGEST_BYTES];
    if (!exec_read(x, 1, TYPE_STRING, &ref)) return;
    if (!ref.entry) {
        reply_null(x);
        return;
    }
    string_digest(entry_string(ref.entry, scratch), digest);
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
     .group = "string",
     .since = "8.4.0",
     .cost = "O(N), N = length of the value",
     .args = "key",
     .doc = "Returns the XXH3 of a string, as sixteen hexadecimal digits."},
    {0},
};
