/* Sorted sets: what is done to a small one is an edit of its entry's run; all else is that of core/sorted.h.
 *
 * In the run a score that is a whole number is an integer (so minus zero is zero, as in Redis), any other is a text of
 * 8 bytes: the double itself. So nothing is parsed when a run is searched; dumps, which have them as decimal text, are
 * translated (shards/dump_zset.c). */
#include "shards/zset.h"
#include "core/assert.h"
#include <math.h>

#define WHOLE_MAX 9007199254740992.0 /* 2^53: integers up to it are exact */

static bool is_small(const struct entry *entry) {
    ASSERT(entry->type == TYPE_ZSET);
    return entry_is_packed(entry);
}

static size_t run_len(const struct packed *run) {
    return (size_t)(run->end - run->begin);
}

/* --- elements of a run --- */

/* bytes is where the text of a score that is not whole lives. */
static struct packed_value value_of_score(double score, char bytes[sizeof(double)]) {
    if (fabs(score) <= WHOLE_MAX && score == trunc(score))
        return (struct packed_value){.number = (int64_t)score, .is_int = true};
    memcpy(bytes, &score, sizeof score);
    return (struct packed_value){.text = slice_of(bytes, sizeof score)};
}

HOT_INLINE double score_of_value(const struct packed_value *value) {
    double score;
    if (value->is_int) return (double)value->number;
    memcpy(&score, value->text.ptr, sizeof score);
    return score;
}

/* The element at `at`; returns where the next one begins. */
HOT_INLINE const char *read_pair(const char *at, struct zset_pair *pair) {
    struct packed_value member, score;
    at = packed_read(at, &member);
    at = packed_read(at, &score);
    pair->member = packed_text(&member, pair->text);
    pair->score = score_of_value(&score);
    return at;
}

static char *write_pair(char *at, const struct packed_value *member, const struct packed_value *score) {
    return packed_write(packed_write(at, member), score);
}

/* The member's place in a run; NULL when it is not there. */
static const char *find_small(const struct packed *run, struct slice member) {
    struct packed_value sought = packed_value_of(member);
    return packed_find(run, run->begin, &sought, 2);
}

/* The first element of a run that does not lie before the bound, and in *rank how many do. */
static const char *seek_bound(const struct packed *run, const struct sorted_bound *bound, uint64_t *rank) {
    struct zset_pair pair;
    const char *at = run->begin;
    for (*rank = 0; at < run->end; ++*rank) {
        const char *next = read_pair(at, &pair);
        if (!sorted_is_before(pair.score, pair.member, bound)) break;
        at = next;
    }
    return at;
}

/* --- reading --- */

uint64_t zset_len(const struct entry *entry) {
    return is_small(entry) ? entry_packed(entry).count / 2 : sorted_count(entry_object(entry));
}

bool zset_score(const struct entry *entry, struct slice member, double *score) {
    if (is_small(entry)) {
        struct packed run = entry_packed(entry);
        struct packed_value value;
        const char *at = find_small(&run, member);
        if (!at) return false;
        (void)packed_read(packed_next(at), &value);
        *score = score_of_value(&value);
        return true;
    }
    const struct sorted_element *element = sorted_find(entry_object(entry), member);
    if (element) *score = element->score;
    return element != NULL;
}

bool zset_rank(const struct entry *entry, struct slice member, uint64_t *rank) {
    struct sorted_bound bound = {.by = SORTED_BY_BOTH, .member = member};
    if (!zset_score(entry, member, &bound.score)) return false;
    *rank = zset_count_before(entry, &bound);
    return true;
}

uint64_t zset_count_before(const struct entry *entry, const struct sorted_bound *bound) {
    uint64_t rank;
    if (!is_small(entry)) return sorted_count_before(entry_object(entry), bound);
    struct packed run = entry_packed(entry);
    (void)seek_bound(&run, bound, &rank);
    return rank;
}

struct zset_iter zset_seek(const struct entry *entry, uint64_t rank) {
    struct zset_iter iter;
    iter.small = is_small(entry);
    if (iter.small) {
        iter.run = entry_packed(entry);
        iter.at = packed_at(&iter.run, (uint32_t)rank * 2);
    } else {
        iter.tree = sorted_seek(entry_object(entry), rank);
    }
    return iter;
}

static bool read_element(const struct sorted_element *element, struct zset_pair *pair) {
    if (!element) return false;
    pair->member = sorted_member(element);
    pair->score = element->score;
    return true;
}

bool zset_next(struct zset_iter *iter, struct zset_pair *pair) {
    if (!iter->small) return read_element(sorted_next(&iter->tree), pair);
    if (iter->at == iter->run.end) return false;
    iter->at = read_pair(iter->at, pair);
    return true;
}

bool zset_prev(struct zset_iter *iter, struct zset_pair *pair) {
    if (!iter->small) return read_element(sorted_prev(&iter->tree), pair);
    if (iter->at == iter->run.begin) return false;
    iter->at = packed_prev(packed_prev(iter->at));
    (void)read_pair(iter->at, pair);
    return true;
}

struct scan {
    zset_visit visit;
    void *ctx;
};

static void visit_element(void *ctx, void *entry, unsigned flags) {
    const struct scan *scan = ctx;
    const struct sorted_element *element = entry;
    (void)flags;
    scan->visit(scan->ctx, sorted_member(element), element->score);
}

uint64_t zset_scan(const struct entry *entry, uint64_t cursor, zset_visit visit, void *ctx) {
    if (!is_small(entry)) return sorted_scan(entry_object(entry), cursor, visit_element, &(struct scan){visit, ctx});
    struct zset_iter iter = zset_seek(entry, 0);
    struct zset_pair pair;
    while (zset_next(&iter, &pair)) visit(ctx, pair.member, pair.score);
    return 0;
}

bool zset_is_compact(const struct entry *entry) {
    return is_small(entry) || sorted_compact(entry_object(entry));
}

/* An integer where it is one, up to 2^62; "%.17g" writes 1e+17 for it. */
struct packed_value zset_compact_score(double score, char digits[NUM_DOUBLE_MAX]) {
    if (fabs(score) <= 0x1p62 && score == trunc(score))
        return (struct packed_value){.number = (int64_t)score, .is_int = true};
    return packed_value_of(slice_of(digits, num_format_double(digits, score)));
}

/* --- changing --- */

static const struct store *store_of(const struct keyspace *keys) {
    return &keyspace_shared_of(keys)->store;
}

/* Makes the set a tree; an absent one is created, and empty until its caller puts something in. */
static struct sorted *make_large(struct keyspace *keys, struct key_ref *ref) {
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct sorted *set = sorted_new(&shared->store, &shared->seed);
    if (!ref->entry) {
        keyspace_put_entry(keys, ref, entry_new_object(&shared->store, ref->key, TYPE_ZSET, set, 0));
        return set;
    }
    struct zset_iter iter = zset_seek(ref->entry, 0);
    for (struct zset_pair pair; zset_next(&iter, &pair);) sorted_insert(&shared->store, set, pair.member, pair.score);
    keyspace_set_object(keys, ref, set);
    return set;
}

/* Would Redis keep it as a listpack with one element more, this one? */
static bool stays_compact(const struct zset_rule *rule, uint64_t len, struct slice member) {
    return len < rule->entries_max && member.len <= rule->value_max;
}

static void cut_small(struct keyspace *keys, struct key_ref *ref, const char *from, const char *to, uint32_t pairs) {
    struct packed run = entry_packed(ref->entry);
    keyspace_edit_packed(keys, ref,
                         (struct packed_edit){.at = (size_t)(from - run.begin),
                                              .remove = (size_t)(to - from),
                                              .added = -2 * (int32_t)pairs});
}

/* Puts a new member into a run; false when that would be too long. */
static bool insert_small(struct keyspace *keys, struct key_ref *ref, struct slice text, double number) {
    char bytes[sizeof(double)], *at;
    struct packed_value member = packed_value_of(text), score = value_of_score(number, bytes);
    size_t size = packed_size(&member) + packed_size(&score);
    if (!ref->entry) {
        if (size > ZSET_EMBED_MAX) return false;
        struct entry *entry = entry_new_packed(store_of(keys), ref->key, TYPE_ZSET, 2, size, 0, &at);
        write_pair(at, &member, &score);
        keyspace_put_entry(keys, ref, entry);
        return true;
    }
    struct packed run = entry_packed(ref->entry);
    struct sorted_bound bound = {.by = SORTED_BY_BOTH, .score = number, .member = text};
    uint64_t rank;
    if (run_len(&run) + size > ZSET_EMBED_MAX) return false;
    size_t offset = (size_t)(seek_bound(&run, &bound, &rank) - run.begin);
    at = keyspace_edit_packed(keys, ref, (struct packed_edit){.at = offset, .insert = size, .added = 2});
    write_pair(at, &member, &score);
    return true;
}

static void put_small(struct keyspace *keys, struct key_ref *ref, struct slice member, double score) {
    const struct zset_rule *rule = &keyspace_shared_of(keys)->zset_rule;
    struct packed run = ref->entry ? entry_packed(ref->entry) : (struct packed){0};
    const char *at = ref->entry ? find_small(&run, member) : NULL;
    bool compact = at || stays_compact(rule, run.count / 2, member);
    if (at) cut_small(keys, ref, at, packed_next(packed_next(at)), 1);
    if (compact && insert_small(keys, ref, member, score)) return;
    struct sorted *set = make_large(keys, ref);
    sorted_insert(store_of(keys), set, member, compact && score == 0 ? 0 : score);
    sorted_set_compact(set, compact);
}

void zset_put(struct keyspace *keys, struct key_ref *ref, struct slice member, double score) {
    if (!ref->entry || is_small(ref->entry)) {
        put_small(keys, ref, member, score);
        return;
    }
    const struct keyspace_shared *shared = keyspace_shared_of(keys);
    struct sorted *set = entry_object(ref->entry);
    struct sorted_element *element = sorted_find(set, member);
    if (UNLIKELY(sorted_compact(set) && !element))
        sorted_set_compact(set, stays_compact(&shared->zset_rule, sorted_count(set), member));
    if (UNLIKELY(score == 0 && sorted_compact(set))) score = 0; /* not minus zero */
    if (element) {
        sorted_move(&shared->store, set, element, score);
        return;
    }
    sorted_insert(&shared->store, set, member, score);
}

bool zset_remove(struct keyspace *keys, struct key_ref *ref, struct slice member) {
    if (is_small(ref->entry)) {
        struct packed run = entry_packed(ref->entry);
        const char *at = find_small(&run, member);
        if (!at) return false;
        if (run.count == 2)
            keyspace_remove(keys, ref);
        else
            cut_small(keys, ref, at, packed_next(packed_next(at)), 1);
        return true;
    }
    struct sorted *set = entry_object(ref->entry);
    struct sorted_element *element = sorted_find(set, member);
    if (!element) return false;
    sorted_remove(store_of(keys), set, element);
    if (sorted_count(set) == 0) keyspace_remove(keys, ref);
    return true;
}

void zset_remove_ranks(struct keyspace *keys, struct key_ref *ref, uint64_t from, uint64_t to) {
    ASSERT(from < to && to <= zset_len(ref->entry));
    if (to - from == zset_len(ref->entry)) {
        keyspace_remove(keys, ref);
    } else if (is_small(ref->entry)) {
        struct packed run = entry_packed(ref->entry);
        cut_small(keys, ref, packed_at(&run, (uint32_t)from * 2), packed_at(&run, (uint32_t)to * 2),
                  (uint32_t)(to - from));
    } else {
        struct sorted *set = entry_object(ref->entry);
        for (; to > from; to--) sorted_remove(store_of(keys), set, sorted_at(set, to - 1));
    }
}

/* --- making --- */

double zset_aggregate(enum zset_aggregate how, double score, double other) {
    switch (how) {
    case ZSET_MIN: return other < score ? other : score;
    case ZSET_MAX: return other > score ? other : score;
    default: return zset_score_or_0(score + other);
    }
}

void zset_mark(const struct zset_rule *rule, struct sorted *set) {
    bool compact = sorted_count(set) <= rule->entries_max;
    struct sorted_iter iter = sorted_seek(set, 0);
    for (const struct sorted_element *element; compact && (element = sorted_next(&iter));)
        compact = sorted_member(element).len <= rule->value_max;
    if (compact) zset_mark_compact(set);
}

void zset_mark_compact(struct sorted *set) {
    struct sorted_iter iter = sorted_seek(set, 0);
    sorted_set_compact(set, true);
    for (const struct sorted_element *element; (element = sorted_next(&iter));) /* the order stays as it is */
        if (element->score == 0) ((struct sorted_element *)(uintptr_t)element)->score = 0;
}

/* Bytes of the run that the set would be, or more than ZSET_EMBED_MAX. */
static size_t size_as_run(const struct sorted *set) {
    char bytes[sizeof(double)];
    size_t size = 0;
    struct sorted_iter iter = sorted_seek(set, 0);
    for (const struct sorted_element *element; size <= ZSET_EMBED_MAX && (element = sorted_next(&iter));) {
        struct packed_value member = packed_value_of(sorted_member(element)),
                            score = value_of_score(element->score, bytes);
        size += packed_size(&member) + packed_size(&score);
    }
    return size;
}

struct entry *zset_new_entry(const struct store *store, struct slice key, struct sorted *set, uint64_t deadline_ms) {
    size_t size = sorted_compact(set) ? size_as_run(set) : SIZE_MAX;
    char bytes[sizeof(double)], *at;
    ASSERT(sorted_count(set) > 0);
    if (size > ZSET_EMBED_MAX) return entry_new_object(store, key, TYPE_ZSET, set, deadline_ms);
    uint32_t count = (uint32_t)sorted_count(set) * 2;
    struct entry *entry = entry_new_packed(store, key, TYPE_ZSET, count, size, deadline_ms, &at);
    struct sorted_iter iter = sorted_seek(set, 0);
    for (const struct sorted_element *element; (element = sorted_next(&iter));) {
        struct packed_value member = packed_value_of(sorted_member(element)),
                            score = value_of_score(element->score, bytes);
        at = write_pair(at, &member, &score);
    }
    sorted_delete(store, set);
    return entry;
}
