/* Command: the registry that turns rows into answers.
 *
 * The problem: every command a client sends starts with a look-up by name, in whatever case, so this is the hottest
 * table of the server after the keyspace. The answer is an open-addressing table of 32-byte cells, two to a cache
 * line, that holds the folded name itself:
 *
 *      | name, 24 bytes, lower case, zero padded | length | parent | number |
 *
 * A name is folded eight bytes at a time into three words, the words are hashed and compared as words; there is no
 * loop over bytes and no string comparison. The table is at least four times as large as what is in it, and the
 * multiplier of the hash is chosen at start-up among a few hundred so that probes are as short as they can be: nearly
 * every look-up reads one line. Names longer than 24 bytes do not exist and are refused by their length.
 *
 * Subcommands live in the same table with the number of their container as `parent`; plain commands have parent 0, the
 * number of a row plus one is what is stored, so that 0 also means an empty cell. */
#include "shards/command.h"
#include "core/alloc.h"
#include "core/assert.h"
#include "core/hash.h"
#include "core/num.h"
#include <stdio.h>
#include <stdlib.h>

#define NAME_WORDS     3
#define NAME_MAX_BYTES (NAME_WORDS * 8)

struct folded {
    uint64_t word[NAME_WORDS];
};

struct cell {
    struct folded name;
    uint16_t len;
    uint16_t parent; /* number of the container + 1, 0 for a plain command */
    uint32_t number; /* of the slot + 1, 0 when the cell is empty */
};
static_assert(sizeof(struct cell) == 32, "two cells to a cache line");

struct command_registry {
    struct cell *cells; /* a power of two of them */
    uint32_t mask;
    uint32_t count;
    uint64_t multiplier;
    struct command_slot *slots;
};

/* --- names as words --- */

#define EACH_BYTE(b) (0x0101010101010101ull * (uint8_t)(b))

/* Eight bytes at once: sets 0x20 in those from 'A' to 'Z'. Works on the low seven bits of each byte, where adding
 * cannot carry into the next; the high bit of the sums then says "greater or equal". */
HOT_INLINE uint64_t fold_case(uint64_t word) {
    uint64_t low = word & EACH_BYTE(0x7f);
    uint64_t from_a = low + EACH_BYTE(0x80 - 'A');
    uint64_t above_z = low + EACH_BYTE(0x80 - 'Z' - 1);
    uint64_t upper = (from_a & ~above_z) & ~word & EACH_BYTE(0x80);
    return word | upper >> 2;
}

/* len is 1 to NAME_MAX_BYTES. */
HOT_INLINE struct folded fold_name(const char *ptr, size_t len) {
    const uint8_t *p = (const uint8_t *)ptr;
    struct folded name = {{0, 0, 0}};
    if (LIKELY(len < 8)) {
        name.word[0] = fold_case(hash_tail(p, len));
        return name;
    }
    name.word[0] = fold_case(hash_load64(p));
    if (len < 16) {
        name.word[1] = fold_case(hash_tail(p, len));
        return name;
    }
    name.word[1] = fold_case(hash_load64(p + 8));
    name.word[2] = len == NAME_MAX_BYTES ? fold_case(hash_load64(p + 16)) : fold_case(hash_tail(p, len));
    return name;
}

HOT_INLINE uint32_t cell_index(uint64_t multiplier, uint32_t mask, const struct folded *name, uint32_t parent) {
    uint64_t mixed = name->word[0] ^ hash_rotate(name->word[1], 21) ^ hash_rotate(name->word[2], 43) ^ parent;
    mixed *= multiplier;
    return (uint32_t)(mixed >> 32 ^ mixed >> 47) & mask;
}

HOT_INLINE const struct command_slot *find(const struct command_registry *registry, struct slice name,
                                           uint32_t parent) {
    if (UNLIKELY(name.len - 1 >= NAME_MAX_BYTES)) return NULL; /* empty or longer than any */
    struct folded folded = fold_name(name.ptr, name.len);
    uint32_t at = cell_index(registry->multiplier, registry->mask, &folded, parent);
    for (;;) {
        const struct cell *cell = &registry->cells[at];
        uint64_t differs = (cell->name.word[0] ^ folded.word[0]) | (cell->name.word[1] ^ folded.word[1]) |
                           (cell->name.word[2] ^ folded.word[2]) | (uint64_t)(cell->parent ^ parent) |
                           (uint64_t)(cell->len ^ name.len);
        if (cell->number == 0) return NULL;
        if (LIKELY(differs == 0)) return &registry->slots[cell->number - 1];
        at = (at + 1) & registry->mask;
    }
}

const struct command_slot *command_find(const struct command_registry *registry, struct slice name) {
    return find(registry, name, 0);
}

const struct command_slot *command_find_sub(const struct command_registry *registry, const struct command_slot *parent,
                                            struct slice name) {
    return parent->row->subs ? find(registry, name, parent->number + 1) : NULL;
}

const struct command_slot *command_resolve(const struct command_registry *registry, const struct slice *argv,
                                           uint32_t argc) {
    const struct command_slot *slot = find(registry, argv[0], 0);
    if (LIKELY(slot == NULL || slot->row->subs == NULL) || argc < 2) return slot;
    const struct command_slot *sub = find(registry, argv[1], slot->number + 1);
    return sub ? sub : slot;
}

/* --- what a row implies --- */

/* As Redis does when it fills its command table. */
static uint32_t acl_with_implied(const struct command *row) {
    uint32_t acl = row->acl;
    if (row->flags & CMD_WRITE) acl |= ACL_WRITE;
    if (row->flags & CMD_READ && !(acl & ACL_SCRIPTING)) acl |= ACL_READ; /* EVAL_RO is not a reader */
    if (row->flags & CMD_ADMIN) acl |= ACL_ADMIN | ACL_DANGEROUS;
    if (row->flags & CMD_PUBSUB) acl |= ACL_PUBSUB;
    if (row->flags & CMD_BLOCKING) acl |= ACL_BLOCKING;
    acl |= row->flags & CMD_FAST ? ACL_FAST : ACL_SLOW;
    return acl;
}

static bool has_many_keys(const struct command *row) {
    const struct key_spec *spec = &row->keys[0];
    return key_spec_is_used(&row->keys[1]) || spec->count_at > 0 || spec->halves || spec->first != spec->last;
}

static bool is_barrier(const struct command *row) {
    if (row->flags & CMD_BLOCKING) return true;
    if (row->where == ON_OWNER) return row->subs != NULL || has_many_keys(row);
    /* Each shard gets the parts of one client's commands in order, so per key nothing overtakes anything. */
    if (row->where == SPLIT_BY_KEY) return false;
    return !(row->where == ON_CONN && row->flags & CMD_NO_WAIT);
}

/* What is about a node's own keys is whole where there is only one shard. */
static bool is_gather(const struct command *row) {
    bool joins = row->where == ON_ALL && !row->per_node && (row->across || row->merge == MERGE_CUSTOM);
    return row->flags & CMD_SLICED || joins;
}

/* See command_slot.plain_key. */
static uint8_t plain_key(const struct command *row) {
    const uint32_t special = CMD_INTERNAL | CMD_SLICED | CMD_IN_MULTI | CMD_ROUTED;
    int key = row->keys[0].first;
    bool plain = row->where == ON_OWNER && !is_barrier(row) && !row->owner && !row->grows && !(row->flags & special);
    return plain && key > 0 && key < abs(row->arity) ? (uint8_t)key : 0;
}

/* --- a row that contradicts itself is our bug: say which one and stop --- */

static void insist(bool holds, const struct command *row, const char *what) {
    if (LIKELY(holds)) return;
    char text[256];
    snprintf(text, sizeof text, "command table, row \"%s\": %s", row->name, what);
    panic(__FILE__, __LINE__, text);
}

static void check_name(const struct command *row) {
    size_t len = strlen(row->name);
    insist(len >= 1 && len <= NAME_MAX_BYTES, row, "a name has 1 to 24 bytes");
    for (size_t i = 0; i < len; i++) {
        insist(!(row->name[i] >= 'A' && row->name[i] <= 'Z') && row->name[i] > ' ' && row->name[i] != '|', row,
               "names are lower case");
    }
}

static void check_keys(const struct command *row, const struct key_spec *spec) {
    if (!key_spec_is_used(spec)) {
        insist(spec->last == 0 && spec->access == 0, row, "a key specification needs first or count_at");
        return;
    }
    int least_argc = row->arity < 0 ? -row->arity : row->arity;
    if (spec->find) {
        insist(spec != row->keys && row->arity < 0 && spec->access, row, "a key that is found is another and optional");
        return;
    }
    insist((spec->access & (KEY_RO | KEY_RW | KEY_OW | KEY_RM | KEY_NOT_KEY)) != 0, row, "keys need their access");
    if (spec->halves) {
        insist(spec->keyword && row->arity < 0, row, "keys that are half of something follow a word");
        return;
    }
    if (spec->count_at > 0) {
        insist(spec->count_at < least_argc, row, "the arity must reach numkeys");
        insist(row->arity < 0, row, "numkeys keys need an open arity");
        return;
    }
    insist(spec->step >= 1, row, "the step of keys is at least 1");
    insist(spec->last < 0 || spec->last >= spec->first, row, "the last key is not before the first");
    insist(spec->last >= 0 || row->arity < 0, row, "keys to the end need an open arity");
    bool may_be_none = spec->last < 0 && spec != row->keys; /* PFMERGE's sources */
    bool reached = may_be_none || MAX(spec->first, spec->last) < least_argc;
    insist(reached || row->flags & CMD_NO_MANDATORY_KEYS, row, "the arity must reach the keys");
}

static void check_routing(const struct command *row) {
    bool internal = row->flags & CMD_INTERNAL;
    bool keyed = key_spec_is_used(&row->keys[0]);
    switch (row->where) {
    case ON_OWNER: insist(keyed || row->owner != NULL || internal, row, "ON_OWNER needs keys or .owner"); break;
    case SPLIT_BY_KEY:
        insist(keyed && !key_spec_is_used(&row->keys[1]), row, "SPLIT_BY_KEY needs one key specification");
        insist(row->merge != MERGE_NONE, row, "SPLIT_BY_KEY needs .merge");
        break;
    case ACROSS_OWNERS: insist(keyed && row->across != NULL, row, "ACROSS_OWNERS needs keys and .across"); break;
    case ON_ALL: insist(row->merge != MERGE_NONE || row->across != NULL, row, "ON_ALL needs .merge or .across"); break;
    case ON_CONN: break;
    }
    insist((row->merge == MERGE_CUSTOM) == (row->merge_with != NULL), row, "MERGE_CUSTOM and .merge_with go together");
    insist(!row->per_node || row->where == ON_ALL, row, ".per_node is for what other shards have a part in");
    insist(!row->per_node || row->run, row, ".per_node needs .run");
    insist(!(row->flags & CMD_NO_WAIT) || row->where == ON_CONN, row, "NO_WAIT is for ON_CONN");
    bool gathers = row->where == ON_ALL || row->flags & CMD_ROUTED;
    insist(row->run != NULL || (gathers && row->across != NULL), row, "no handler");
}

static void check_docs(const struct command *row, const struct command *parent) {
    insist(row->group != NULL || parent != NULL, row, "no .group");
    insist(row->since != NULL && row->since[0] != 0, row, "no .since");
    insist(row->doc != NULL && row->doc[0] != 0, row, "no .doc");
    if (row->subs != NULL) return;
    insist(row->cost != NULL && row->cost[0] != 0, row, "no .cost");
    insist(row->arity == (parent ? 2 : 1) || row->args != NULL, row, "no .args");
}

static bool has_one_key_at_most(const struct command *row) {
    const struct key_spec *spec = &row->keys[0];
    return spec->count_at == 0 && !spec->halves && spec->first == spec->last && !key_spec_is_used(&row->keys[1]);
}

static void check_row(const struct command *row, const struct command *parent) {
    check_name(row);
    insist(row->arity != 0, row, "no arity");
    insist(!(row->flags & CMD_READ && row->flags & CMD_WRITE), row, "either readonly or write");
    insist(!row->replays || (row->flags & CMD_WRITE && has_one_key_at_most(row)), row,
           ".replays is for writes of one key");
    if (row->subs != NULL) { /* run may be set: it answers the bare container and unknown subcommands */
        insist(parent == NULL, row, "subcommands have no subcommands");
        insist(!key_spec_is_used(&row->keys[0]), row, "a container has no keys");
    } else {
        for (int i = 0; i < KEYS_MAX; i++) check_keys(row, &row->keys[i]);
        check_routing(row);
    }
    if (!(row->flags & CMD_INTERNAL)) check_docs(row, parent);
}

/* --- building --- */

static uint32_t rows_in(const struct command *rows) {
    uint32_t count = 0;
    for (const struct command *row = rows; row->name != NULL; row++) {
        count += 1 + (row->subs ? rows_in(row->subs) : 0);
    }
    return count;
}

static void number_rows(struct command_registry *registry, const struct command *rows,
                        const struct command_slot *parent) {
    for (const struct command *row = rows; row->name != NULL; row++) {
        check_row(row, parent ? parent->row : NULL);
        struct command_slot *slot = &registry->slots[registry->count];
        *slot = (struct command_slot){
            .row = row,
            .parent = parent ? parent->row : NULL,
            .number = registry->count++,
            .acl = acl_with_implied(row),
            .barrier = is_barrier(row),
            .repeats = !parent && !row->subs,
            .gathers = is_gather(row),
            .grows = row->grows != NULL,
            .plain_key = parent ? 0 : plain_key(row),
        };
        if (row->subs) number_rows(registry, row->subs, slot);
    }
}

/* The number of a subcommand's container + 1: containers are numbered right before their subcommands. */
static uint32_t parent_of(const struct command_registry *registry, uint32_t number) {
    const struct command *parent = registry->slots[number].parent;
    if (parent == NULL) return 0;
    while (registry->slots[number].row != parent) number--;
    return number + 1;
}

/* Fills the cells with this multiplier; returns how many probes beyond the first all names together need. */
static uint64_t fill(struct command_registry *registry, uint64_t multiplier) {
    uint64_t extra = 0;
    memset(registry->cells, 0, (registry->mask + 1) * sizeof *registry->cells);
    registry->multiplier = multiplier;
    for (uint32_t i = 0; i < registry->count; i++) {
        const struct command *row = registry->slots[i].row;
        size_t len = strlen(row->name);
        struct folded name = fold_name(row->name, len);
        uint32_t parent = parent_of(registry, i);
        insist(find(registry, slice_of(row->name, len), parent) == NULL, row, "two rows of this name");
        uint32_t at = cell_index(multiplier, registry->mask, &name, parent);
        for (; registry->cells[at].number != 0; at = (at + 1) & registry->mask) extra++;
        registry->cells[at] = (struct cell){name, (uint16_t)len, (uint16_t)parent, i + 1};
    }
    return extra;
}

/* Odd numbers from a Weyl sequence of the golden ratio; the best of them wins. About 3 ms once. */
#define MULTIPLIERS_TRIED 100
static uint64_t nth_multiplier(uint32_t i) {
    uint64_t x = (i + 1) * 0x9E3779B97F4A7C15ull;
    x ^= x >> 29;
    return x * 0xBF58476D1CE4E5B9ull | 1;
}

static void choose_multiplier(struct command_registry *registry) {
    uint64_t best_extra = UINT64_MAX, best = 0;
    for (uint32_t i = 0; i < MULTIPLIERS_TRIED && best_extra > 0; i++) {
        uint64_t extra = fill(registry, nth_multiplier(i));
        if (extra >= best_extra) continue;
        best_extra = extra;
        best = nth_multiplier(i);
    }
    fill(registry, best);
}

struct command_registry *command_registry_new(struct heap *heap, const struct command *const *tables) {
    uint32_t rows = 0;
    for (size_t i = 0; tables[i] != NULL; i++) rows += rows_in(tables[i]);
    ASSERT(rows > 0 && rows < UINT16_MAX);

    struct command_registry *registry = heap_alloc_zero(heap, MEM_STATS, sizeof *registry);
    registry->slots = heap_alloc_zero(heap, MEM_STATS, rows * sizeof *registry->slots);
    uint32_t size = 16;
    while (size < 4 * rows) size *= 2;
    registry->mask = size - 1;
    registry->cells = heap_alloc_aligned(heap, MEM_STATS, size * sizeof *registry->cells, CACHE_LINE);
    for (size_t i = 0; tables[i] != NULL; i++) number_rows(registry, tables[i], NULL);
    ASSERT(registry->count == rows);
    choose_multiplier(registry);
    return registry;
}

void command_registry_delete(struct command_registry *registry, struct heap *heap) {
    if (registry == NULL) return;
    heap_free(heap, MEM_STATS, registry->cells, (registry->mask + 1) * sizeof *registry->cells);
    heap_free(heap, MEM_STATS, registry->slots, registry->count * sizeof *registry->slots);
    heap_free(heap, MEM_STATS, registry, sizeof *registry);
}

uint32_t command_registry_count(const struct command_registry *registry) {
    return registry->count;
}

const struct command_slot *command_at(const struct command_registry *registry, uint32_t number) {
    ASSERT(number < registry->count);
    return &registry->slots[number];
}

const char *command_full_name(const struct command_slot *slot, char out[64]) {
    snprintf(out, 64, "%s%s%s", slot->parent ? slot->parent->name : "", slot->parent ? "|" : "", slot->row->name);
    return out;
}

/* --- keys --- */

/* Where one specification's keys are: *first, *last, *step. False when argv does not fit. */
static bool spec_range(const struct key_spec *spec, const struct slice *argv, uint32_t argc, int64_t *first,
                       int64_t *last, int64_t *step) {
    *step = spec->step > 0 ? spec->step : 1;
    if (spec->find) {
        uint32_t at = spec->find(argv, argc);
        *first = at;
        *last = at > 0 ? (int64_t)at : -1;
    } else if (spec->count_at > 0) {
        int64_t count;
        if ((uint32_t)spec->count_at >= argc) return false;
        if (!num_parse_i64(argv[spec->count_at], &count) || count < 0 || count > INT32_MAX) return false;
        *first = spec->count_at + 1;
        *last = *first + (count - 1) * *step;
    } else if (spec->halves) {
        *first = spec->halves(argv, argc);
        *last = *first + ((int64_t)argc - *first) / 2 - 1;
        if (*first == 0 || ((int64_t)argc - *first) % 2 != 0) return false;
    } else {
        *first = spec->first;
        *last = spec->last < 0 ? (int64_t)argc + spec->last : spec->last;
    }
    return *last < (int64_t)argc;
}

int command_keys(const struct command *row, const struct slice *argv, uint32_t argc, uint32_t *positions, int max) {
    int count = 0;
    for (int i = 0; i < KEYS_MAX && key_spec_is_used(&row->keys[i]); i++) {
        int64_t first, last, step;
        if (!spec_range(&row->keys[i], argv, argc, &first, &last, &step)) return -1;
        for (int64_t at = first; at <= last; at += step) {
            if (count == max) return max;
            positions[count++] = (uint32_t)at;
        }
    }
    return count;
}

uint32_t command_with_one_key(const struct command *row, const struct slice *argv, uint32_t argc, uint32_t position,
                              struct slice *out) {
    int64_t first, last, step;
    bool fits = !row->keys[0].halves && spec_range(&row->keys[0], argv, argc, &first, &last, &step);
    ASSERT(fits && position >= first && position <= last);
    uint32_t count = 0;
    for (int64_t i = 0; i < first; i++) out[count++] = argv[i];
    if (row->keys[0].count_at > 0) out[row->keys[0].count_at] = SLICE("1");
    for (int64_t i = 0; i < step; i++) out[count++] = argv[position + i]; /* with what belongs to it */
    for (int64_t i = last + step; i < argc; i++) out[count++] = argv[i];
    return count;
}

void command_each_key(const struct command *row, const struct slice *argv, uint32_t argc, command_key_visit visit,
                      void *ctx) {
    for (int i = 0; i < KEYS_MAX && key_spec_is_used(&row->keys[i]); i++) {
        int64_t first, last, step;
        if (!spec_range(&row->keys[i], argv, argc, &first, &last, &step)) return;
        bool writes = !(row->keys[i].access & KEY_RO);
        if (row->keys[i].access & KEY_NOT_KEY) continue; /* shard channels: only their slot is of interest */
        for (int64_t at = first; at <= last; at += step) visit(ctx, (uint32_t)at, writes);
    }
}
