/* Depth-first search after Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of what
 * was tried ("Testing for Linearizability", 2017).
 *
 * A frame is a set of operations that took effect, in some order, and the state they led to. The next operation may be
 * each one that was invoked before every other that is still missing had returned, if the model gives it the answer
 * it got. When none fits, the search takes back the latest and tries another. A set and state that was reached before
 * is not searched again, whatever the order was; both are compared by 128 bits of hash.
 *
 * Three rules keep it short, and each leaves an order if there was one:
 *  - An operation that fits and changes nothing, wherever it comes, can as well come now: it is taken, and nothing else
 *  is
 *    tried instead.
 *  - An operation whose places none of the others uses that might come before it commutes with all of them, so it can
 *    come now, and if it does not fit now it never will.
 *  - Operations are tried in the order in which they returned, which is nearly always right.
 *
 * The first two hold unless the operation would shut out another one, see below.
 *
 * A blocking command is found twice in an order: when it begins to wait, and when it is served or gives up.
 *
 * Operations without an answer (their client vanished) may come until they are closed, or never: whoever was invoked
 * after that shuts them out. Where time decides (deadlines) and where a waiting command has a choice, the model is asked
 * with each of the possible choices.
 *
 * A crash may leave a dozen at once, which nearly always did or nearly always did not happen. So where the search does
 * not end soon, it begins again with none of them, one, two, and so on. */
#include "tests/sim/check.h"
#include "core/assert.h"
#include <stdlib.h>

#define CANDIDATES_MAX  64
#define EXPIRE_BITS_MAX 6
#define NO_OPERATION    UINT32_MAX
#define ORDER_SHOWN     16
#define SOON            30 /* a share of the states that may be looked at */

struct hash128 {
    uint64_t a, b;
};

struct frame {
    struct model_state state;
    struct hash128 done;     /* of the set of operations */
    uint64_t latest_invoked; /* of those: what was closed before can come no more */
    uint32_t taken;          /* the operation that led here */
    bool waited;             /* it only began to wait */
    uint32_t low;            /* all operations before are done, or can come no more */
    uint32_t answered, lost; /* how many of the done ones */
    uint32_t variant;        /* of the present candidate */
    uint32_t next, count;    /* candidates; next is tried now */
    uint32_t candidates[CANDIDATES_MAX];
};

struct search {
    const struct history *history;
    struct model *model;
    uint32_t count, answers; /* operations; those that have to be explained */
    uint32_t lost, lost_max; /* in a crash; as many of them are taken */
    bool *done;
    struct frame *frames;
    uint32_t depth;
    struct hash128 *seen; /* open addressing; zero is free */
    uint64_t seen_count, seen_cap;
    uint64_t nodes, nodes_max;
    bool overflow; /* more candidates, or keys about to expire, than there is room for */

    /* the longest explanation */
    uint32_t best_answered, best_depth;
    struct model_state best_state;
    uint32_t *best_order;
    bool *best_done;
};

/* --- what was seen --- */

static uint64_t mix(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

static struct hash128 hash_state(const struct model_state *state) {
    static_assert(sizeof(struct model_state) % sizeof(uint64_t) == 0, "hashed as words");
    uint64_t words[sizeof *state / sizeof(uint64_t)];
    memcpy(words, state, sizeof words);
    struct hash128 hash = {1, 2};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        hash.a = (hash.a ^ words[i]) * 0x9e3779b97f4a7c15ull;
        hash.a ^= hash.a >> 29;
        hash.b = (hash.b + words[i]) * 0xc2b2ae3d27d4eb4full;
        hash.b ^= hash.b >> 31;
    }
    return hash;
}

static void toggle(struct hash128 *set, uint32_t operation) {
    set->a ^= mix(2ull * operation + 1);
    set->b ^= mix((2ull * operation + 1) << 32);
}

static void enlarge_seen(struct search *s) {
    uint64_t cap = s->seen_cap * 2;
    struct hash128 *seen = calloc(cap, sizeof *seen);
    ASSERT(seen);
    for (uint64_t i = 0; i < s->seen_cap; i++) {
        if (!s->seen[i].a) continue;
        uint64_t at = mix(s->seen[i].a);
        while (seen[at & (cap - 1)].a) at++;
        seen[at & (cap - 1)] = s->seen[i];
    }
    free(s->seen);
    s->seen = seen;
    s->seen_cap = cap;
}

/* True when it is new; remembers it. */
static bool remember(struct search *s, const struct frame *frame) {
    struct hash128 hash = hash_state(&frame->state);
    hash.a = (hash.a ^ frame->done.a) | 1;
    hash.b ^= frame->done.b;
    uint64_t at = mix(hash.a);
    for (; s->seen[at & (s->seen_cap - 1)].a; at++) {
        const struct hash128 *old = &s->seen[at & (s->seen_cap - 1)];
        if (old->a == hash.a && old->b == hash.b) return false;
    }
    s->seen[at & (s->seen_cap - 1)] = hash;
    if (++s->seen_count * 2 > s->seen_cap) enlarge_seen(s);
    return true;
}

/* --- candidates --- */

static const struct operation *at(const struct search *s, uint32_t number) {
    return history_at(s->history, number);
}

static bool is_missing(const struct search *s, const struct frame *frame, uint32_t number) {
    return !s->done[number] && at(s, number)->returned > frame->latest_invoked;
}

/* The event by which something of it must have taken place. */
static uint64_t due(const struct search *s, const struct frame *frame, uint32_t number) {
    const struct operation *operation = at(s, number);
    uint64_t by = operation->answered ? operation->returned : HISTORY_NEVER;
    bool has_begun = operation->waits && frame->state.waits[operation->what.client];
    return has_begun ? by : MIN(by, operation->began);
}

/* Everything that is missing and was invoked before this event may come next. */
static uint64_t horizon(const struct search *s, const struct frame *frame) {
    uint64_t first = HISTORY_NEVER;
    for (uint32_t i = frame->low; i < s->count && at(s, i)->invoked < first; i++)
        if (!s->done[i]) first = MIN(first, due(s, frame, i));
    return first;
}

/* Is one of its client's earlier operations missing that has to come before it? Replies come in order, so behind the
 * first that returned before this one was invoked there is none. */
static bool is_held_back(const struct search *s, const struct operation *operation) {
    for (uint32_t previous = operation->previous; previous;) {
        const struct operation *earlier = at(s, previous - 1);
        if (earlier->answered && earlier->returned < operation->invoked) return false;
        if (!s->done[previous - 1] && history_before(earlier, operation)) return true;
        previous = earlier->previous;
    }
    return false;
}

/* Has its client sent another one that cannot come before this one? */
static bool holds_back(const struct search *s, uint32_t number) {
    const struct operation *operation = at(s, number);
    for (uint32_t i = number + 1; i < s->count && at(s, i)->invoked < operation->returned; i++)
        if (at(s, i)->what.client == operation->what.client && history_before(operation, at(s, i))) return true;
    return false;
}

/* Is there one without an answer that could come no more after this one? */
static bool shuts_out(const struct search *s, const struct frame *frame, const struct operation *operation) {
    for (uint32_t i = frame->low; i < s->count && at(s, i)->invoked < operation->invoked; i++)
        if (is_missing(s, frame, i) && at(s, i)->returned < operation->invoked) return true;
    return false;
}

/* It is known to have waited when something had returned that is still missing: it neither was
 * served nor gave up yet. */
static bool still_waits(const struct search *s, const struct frame *frame, const struct operation *operation) {
    for (uint32_t i = frame->low; i < s->count && at(s, i)->invoked < operation->waited; i++)
        if (!s->done[i] && at(s, i)->answered && at(s, i)->returned < operation->waited) return true;
    return false;
}

/* No other that may come before it uses one of its places. */
static bool is_alone(const struct search *s, const struct frame *frame, uint32_t number) {
    const struct operation *operation = at(s, number);
    if (!operation->answered || shuts_out(s, frame, operation) || still_waits(s, frame, operation)) return false;
    for (uint32_t i = frame->low; i < s->count && at(s, i)->invoked < operation->returned; i++)
        if (i != number && is_missing(s, frame, i) && at(s, i)->places & operation->places) return false;
    return true;
}

static void insert_by_return(const struct search *s, struct frame *frame, uint32_t number) {
    uint32_t place = frame->count++;
    for (; place && at(s, frame->candidates[place - 1])->returned > at(s, number)->returned; place--)
        frame->candidates[place] = frame->candidates[place - 1];
    frame->candidates[place] = number;
}

static void find_candidates(struct search *s, struct frame *frame) {
    while (frame->low < s->count && !is_missing(s, frame, frame->low)) frame->low++;
    uint64_t end = horizon(s, frame);
    frame->next = frame->count = frame->variant = 0;
    for (uint32_t i = frame->low; i < s->count && at(s, i)->invoked < end; i++) {
        if (!is_missing(s, frame, i) || is_held_back(s, at(s, i))) continue;
        if (at(s, i)->lost && frame->lost == s->lost_max) continue;
        if (frame->count == CANDIDATES_MAX) {
            s->overflow = true;
            return;
        }
        insert_by_return(s, frame, i);
    }
    for (uint32_t i = 0; i < frame->count; i++) {
        if (!is_alone(s, frame, frame->candidates[i])) continue;
        frame->candidates[0] = frame->candidates[i];
        frame->count = 1;
        return;
    }
}

/* --- choices --- */

/* Variants of a candidate: every subset of the keys that may have expired, times each event that may be next for it. */
struct variants {
    uint32_t may_expire, expire_bits;
    uint32_t events;
    bool waits, waiting;
    uint32_t servers, server; /* keys that may serve it, from this one on */
};

static struct variants variants_of(struct search *s, const struct frame *frame, const struct operation *operation) {
    struct variants v = {.may_expire = model_may_expire(&frame->state, &operation->what), .events = 1};
    v.expire_bits = (uint32_t)__builtin_popcount(v.may_expire);
    if (v.expire_bits > EXPIRE_BITS_MAX) {
        s->overflow = true;
        v.expire_bits = EXPIRE_BITS_MAX;
    }
    v.waits = operation->waits;
    if (!v.waits) return v;
    v.waiting = frame->state.waits[operation->what.client] != 0;
    v.servers = model_keys_waited_for(&operation->what.commands[0]);
    if (operation->served_by >= 0) {
        v.servers = 1;
        v.server = (uint32_t)operation->served_by;
    }
    v.events = v.waiting ? v.servers + 1 : 2;
    return v;
}

static uint32_t variant_count(const struct variants *v) {
    return v->events << v->expire_bits;
}

static struct model_choice choice_of(const struct variants *v, uint32_t variant) {
    struct model_choice choice = {.event = MODEL_HAPPENS};
    uint32_t bit = 0, event = variant >> v->expire_bits;
    for (uint32_t left = v->may_expire; left && bit < v->expire_bits; left &= left - 1, bit++)
        if (variant >> bit & 1) choice.expired |= left & -left;
    if (v->waiting) {
        choice.event = event < v->servers ? MODEL_SERVED : MODEL_GIVES_UP;
        choice.served_by = (uint8_t)(v->server + event);
    } else if (event == 1) {
        choice.event = MODEL_BEGINS;
    }
    return choice;
}

/* --- the search --- */

static void note_best(struct search *s) {
    const struct frame *frame = &s->frames[s->depth];
    if (frame->answered < s->best_answered || (s->best_depth && frame->answered == s->best_answered)) return;
    s->best_answered = frame->answered;
    s->best_depth = s->depth;
    s->best_state = frame->state;
    for (uint32_t i = 1; i <= s->depth; i++)
        s->best_order[i - 1] = s->frames[i].waited ? NO_OPERATION : s->frames[i].taken;
    memcpy(s->best_done, s->done, s->count * sizeof *s->done);
}

static void enter(struct search *s, uint32_t number, bool waited) {
    struct frame *parent = &s->frames[s->depth], *child = parent + 1;
    const struct operation *operation = at(s, number);
    child->done = parent->done;
    child->taken = number;
    child->waited = waited;
    child->low = parent->low;
    child->answered = parent->answered;
    child->lost = parent->lost;
    child->latest_invoked = parent->latest_invoked;
    if (!waited) {
        s->done[number] = true;
        toggle(&child->done, number);
        child->answered += operation->answered;
        child->lost += operation->lost;
        child->latest_invoked = MAX(parent->latest_invoked, operation->invoked);
    }
    s->depth++;
    note_best(s);
}

static void leave(struct search *s) {
    struct frame *frame = &s->frames[s->depth--];
    if (!frame->waited) s->done[frame->taken] = false;
}

enum attempt { FITS, FITS_AND_CHANGES_NOTHING, FITS_NOT };

/* One variant of one candidate, in the frame above. */
static enum attempt attempt(struct search *s, uint32_t number, const struct variants *v, struct model_choice choice) {
    const struct operation *operation = at(s, number);
    struct frame *parent = &s->frames[s->depth], *child = parent + 1;
    if (choice.event != MODEL_BEGINS && still_waits(s, parent, operation)) return FITS_NOT;
    child->state = parent->state;
    enum model_outcome outcome = model_apply(s->model, &child->state, &operation->what, choice, operation->answered);
    if (outcome == MODEL_IMPOSSIBLE) return FITS_NOT;
    if (choice.event == MODEL_BEGINS) return FITS;
    bool changed = outcome == MODEL_CHANGED;
    /* Without an answer and an effect it may as well not have happened. */
    if (!operation->answered) return changed || holds_back(s, number) ? FITS : FITS_NOT;
    if (!slice_equal(model_reply(s->model), operation->reply)) return FITS_NOT;
    return changed || v->may_expire || !operation->harmless ? FITS : FITS_AND_CHANGES_NOTHING;
}

/* Tries the next variant or candidate of the deepest frame. False: it has none left. */
static bool advance(struct search *s) {
    struct frame *frame = &s->frames[s->depth];
    if (frame->next == frame->count) return false;
    uint32_t number = frame->candidates[frame->next];
    const struct operation *operation = at(s, number);
    struct variants v = variants_of(s, frame, operation);
    uint32_t variant = frame->variant++;
    if (frame->variant >= variant_count(&v)) {
        frame->variant = 0;
        frame->next++;
    }
    struct model_choice choice = choice_of(&v, variant);
    enum attempt result = attempt(s, number, &v, choice);
    s->nodes++;
    if (result == FITS_NOT) return true;
    if (result == FITS_AND_CHANGES_NOTHING && !shuts_out(s, frame, operation)) frame->next = frame->count;
    enter(s, number, choice.event == MODEL_BEGINS);
    if (s->frames[s->depth].answered < s->answers && !remember(s, &s->frames[s->depth])) {
        leave(s);
        return true;
    }
    find_candidates(s, &s->frames[s->depth]);
    return true;
}

static enum check_verdict run(struct search *s) {
    find_candidates(s, &s->frames[0]);
    for (;;) {
        if (s->frames[s->depth].answered == s->answers) return CHECK_SERIALISABLE;
        if (s->overflow || s->nodes > s->nodes_max) return CHECK_UNDECIDED;
        if (advance(s)) continue;
        if (s->depth == 0) return CHECK_VIOLATION;
        leave(s);
    }
}

/* --- report --- */

static void print_order(const struct search *s, FILE *out) {
    uint32_t from = s->best_depth > ORDER_SHOWN ? s->best_depth - ORDER_SHOWN : 0;
    fprintf(out, "  the longest order that explains a part of them%s:\n", from ? " (its end)" : "");
    for (uint32_t i = from; i < s->best_depth; i++) {
        if (s->best_order[i] == NO_OPERATION) continue;
        fputs("    ", out);
        history_print(s->history, s->best_order[i], out);
    }
    fputs("  leads to\n", out);
    model_print_state(s->model, &s->best_state, out);
}

static void print_next(struct search *s, FILE *out) {
    fputs("  and there nothing fits:\n", out);
    struct frame *frame = &s->frames[0];
    for (uint32_t i = 0; i < frame->count; i++) {
        const struct operation *operation = at(s, frame->candidates[i]);
        struct model_state state = s->best_state;
        enum model_outcome outcome = model_apply(s->model, &state, &operation->what, (struct model_choice){0}, true);
        fputs("    ", out);
        history_print(s->history, frame->candidates[i], out);
        if (outcome == MODEL_IMPOSSIBLE) {
            fputs("          waits, or would look at a list that somebody waits for\n", out);
            continue;
        }
        fputs("          would answer  ", out);
        history_print_reply(model_reply(s->model), out);
        fputc('\n', out);
    }
}

/* From the quiet moment before the first that is not explained to the last that may have to do with it. */
static void print_window(const struct search *s, FILE *out) {
    uint32_t first = 0, last = 0;
    const struct frame *frame = &s->frames[0];
    while (first < s->count && (s->best_done[first] || !at(s, first)->answered)) first++;
    uint64_t end = 0;
    for (uint32_t i = 0; i < frame->count; i++)
        if (at(s, frame->candidates[i])->answered) end = MAX(end, at(s, frame->candidates[i])->returned);
    while (last < s->count && at(s, last)->invoked < end) last++;
    fputs("  operations, with the events between which each took effect (* explained):\n", out);
    for (uint32_t i = history_window(s->history, first); i < last; i++) {
        fputs(s->best_done[i] ? "  * " : "    ", out);
        history_print(s->history, i, out);
    }
}

static void report_violation(struct search *s, FILE *out) {
    fprintf(out, "not serialisable: %u of %u operations can be explained\n", s->best_answered, s->answers);
    struct frame *frame = &s->frames[0];
    memcpy(s->done, s->best_done, s->count * sizeof *s->done);
    frame->state = s->best_state;
    frame->low = 0;
    frame->latest_invoked = 0;
    for (uint32_t i = 0; i < s->count; i++)
        if (s->done[i]) frame->latest_invoked = MAX(frame->latest_invoked, at(s, i)->invoked);
    find_candidates(s, frame);
    print_window(s, out);
    print_order(s, out);
    print_next(s, out);
}

/* --- birth and death --- */

static void *table(size_t count, size_t size) {
    void *memory = calloc(MAX(count, (size_t)1), size);
    ASSERT(memory);
    return memory;
}

static void search_init(struct search *s, const struct history *history, uint64_t nodes_max) {
    *s = (struct search){.history = history,
                         .model = history_model(history),
                         .count = history_count(history),
                         .nodes_max = nodes_max,
                         .seen_cap = 1024};
    uint32_t frames = s->count + 1;
    for (uint32_t i = 0; i < s->count; i++) {
        s->answers += at(s, i)->answered;
        s->lost += at(s, i)->lost;
        frames += at(s, i)->waits;
    }
    s->lost_max = s->lost;
    s->done = table(s->count, sizeof *s->done);
    s->best_done = table(s->count, sizeof *s->best_done);
    s->best_order = table(frames, sizeof *s->best_order);
    s->frames = malloc((frames + 1) * sizeof *s->frames); /* one above, for attempts */
    ASSERT(s->frames);
    memset(&s->frames[0], 0, sizeof s->frames[0]);
    s->frames[0].taken = NO_OPERATION;
    s->seen = table(s->seen_cap, sizeof *s->seen);
}

static void search_deinit(struct search *s) {
    free(s->done);
    free(s->best_done);
    free(s->best_order);
    free(s->frames);
    free(s->seen);
}

static void search_again(struct search *s, uint32_t lost_max, uint64_t nodes_max) {
    const struct history *history = s->history;
    search_deinit(s);
    search_init(s, history, nodes_max);
    s->lost_max = lost_max;
}

struct check_result check_history(const struct history *history, uint64_t nodes_max, FILE *report) {
    struct search search;
    search_init(&search, history, nodes_max / SOON);
    enum check_verdict verdict = run(&search);
    uint64_t nodes = search.nodes;
    for (uint32_t lost = 0; verdict == CHECK_UNDECIDED && nodes < nodes_max && lost <= search.lost; lost++) {
        search_again(&search, lost, nodes_max - nodes);
        verdict = run(&search);
        if (verdict == CHECK_VIOLATION && lost < search.lost) verdict = CHECK_UNDECIDED;
        nodes += search.nodes;
    }
    if (report && verdict == CHECK_VIOLATION) report_violation(&search, report);
    if (report && verdict == CHECK_UNDECIDED)
        fprintf(report, "undecided after %llu states: too much overlaps\n", (unsigned long long)nodes);
    search_deinit(&search);
    return (struct check_result){verdict, nodes};
}
