/* SORT, step by step. All keys are locked before the first step and given back after the last: the sorted one, the one
 * behind STORE, and, when a pattern names others, which nobody knows beforehand, all shards as a whole. So it is one
 * instant to everybody, and still no step is long:
 *
 *      owner of the key                 home                                owners of what patterns name
 *      sherd.sort.head key         <--- type, length and memory
 *      sherd.sort.read key from n  <--- a chunk of elements
 *                                       their weights                  ---> sherd.sort.look key field ...
 *                                       (pause, the next chunk)
 *                                       the next elements in order
 *                                       what GET asks for of them      ---> sherd.sort.look key field ...
 *      owner of the destination    <--- sherd.sort.push key elements
 *                                       or a piece of the reply
 *                                       (pause, the next elements)
 *
 * A pause is a turn in which the thread does something else. A chunk has the size that sorting.h says, a batch of
 * look-ups LOOKS_MAX, so small inputs have neither pauses nor second rounds.
 *
 * When the key's time ends between two chunks it was empty: that is an instant, too, at which all locks are held. */
#include "shards/sort_gather.h"
#include "core/assert.h"
#include "core/num.h"
#include "core/resp_write.h"
#include "shards/answer_work.h"
#include "shards/gather_room.h"
#include "shards/shard.h"
#include "shards/sort_words.h"
#include "shards/sorting.h"

#define LOOKS_MAX    1024u /* look-ups of one step */
#define WORK_MAX     8192u /* elements handled before a pause: one or two milliseconds */
#define NOT_A_NUMBER "ERR One or more scores can't be converted into double"

enum phase { PHASE_HEAD, PHASE_ROOM, PHASE_READ, PHASE_WEIGH, PHASE_SKIP, PHASE_FETCH, PHASE_ANSWER, PHASE_DONE };
enum asked { ASKED_NOTHING, ASKED_HEAD, ASKED_CHUNK, ASKED_WEIGHTS, ASKED_VALUES };

/* Values of other keys, being asked for: look-up i is of shard owners[i], and its owner's replies are in order. */
struct looks {
    struct buf owners; /* a byte each */
    struct buf words;  /* key and field of each */
    struct slice replies[SHARDS_MAX];
};

struct run {
    struct heap *heap;
    struct sort_words words;
    uint32_t *gets; /* positions of GET's words; room for argc of them */
    struct sort_pattern by;
    struct sorting *sorting;
    enum phase phase;
    enum asked asked; /* what the step under way is about */
    uint32_t work;    /* elements handled since the last pause */
    bool bad_number, is_set;
    uint64_t length;      /* of what is sorted, */
    uint64_t bytes;       /* and its memory */
    uint64_t from, limit; /* where the next chunk begins; how many elements are still to be read at most */
    uint64_t skip, count; /* elements that are left before the answer, and in it */
    uint64_t answered;    /* elements of the reply */
    uint32_t weighed;     /* of the open chunk */
    struct buf batch;     /* elements whose turn it is to be answered */
    struct looks looks;
    struct buf key; /* scratch */
};

static struct run *run_of(const struct gather *g) {
    return (struct run *)(uintptr_t)g->memo[0];
}

static void end_run(struct gather *g) {
    struct run *run = run_of(g);
    if (run->sorting) sorting_delete(run->sorting);
    buf_deinit(&run->batch);
    buf_deinit(&run->looks.owners);
    buf_deinit(&run->looks.words);
    buf_deinit(&run->key);
    heap_free(run->heap, MEM_MESSAGE, run->gets, g->argc * sizeof *run->gets);
    heap_free(run->heap, MEM_MESSAGE, run, sizeof *run);
}

static struct run *begin_run(struct gather *g) {
    struct heap *heap = g->home->heap;
    struct run *run = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *run);
    run->heap = heap;
    run->gets = heap_alloc(heap, MEM_MESSAGE, g->argc * sizeof *run->gets);
    run->words = sort_words_of(g->argv, g->argc, !(g->slot->row->flags & CMD_WRITE), run->gets);
    struct buf *bufs[] = {&run->batch, &run->looks.owners, &run->looks.words, &run->key};
    for (size_t i = 0; i < ARRAY_LEN(bufs); i++) buf_init(bufs[i], heap, MEM_MESSAGE);
    g->memo[0] = (uint64_t)(uintptr_t)run;
    g->end = end_run;
    g->writes = run->words.store > 0;
    return run;
}

/* --- lists of texts: | length 4 | text | --- */

static void add_text(struct buf *list, struct slice text) {
    uint32_t len = (uint32_t)text.len;
    buf_append(list, &len, sizeof len);
    buf_append_slice(list, text);
}

static struct slice next_text(struct buf *list) {
    uint32_t len;
    ASSERT(buf_readable(list) >= sizeof len);
    memcpy(&len, list->data + list->read, sizeof len);
    struct slice text = slice_of(list->data + list->read + sizeof len, len);
    list->read += sizeof len + len;
    return text;
}

/* --- look-ups --- */

static void looks_clear(struct looks *looks) {
    looks->owners.len = looks->words.len = 0;
}

static void look(struct gather *g, const struct sort_pattern *pattern, struct slice element) {
    struct run *run = run_of(g);
    struct slice key = sort_pattern_key(pattern, element, &run->key);
    buf_append(&run->looks.owners, &(uint8_t){(uint8_t)shard_of_key(g->home, key)}, 1);
    add_text(&run->looks.words, key);
    add_text(&run->looks.words, pattern->field);
    run->work++;
}

/* What was collected for one shard. argv has room for all. */
static void send_looks_of(struct gather *g, struct looks *looks, uint32_t owner, struct slice *argv) {
    uint32_t argc = 0;
    looks->words.read = 0;
    for (size_t i = 0; i < looks->owners.len; i++) {
        struct slice key = next_text(&looks->words), field = next_text(&looks->words);
        if ((uint8_t)looks->owners.data[i] != owner) continue;
        argv[argc++] = key;
        argv[argc++] = field;
    }
    gather_send(g, owner, "sherd.sort.look", argv, argc);
}

static void looks_send(struct gather *g, struct run *run, enum asked about) {
    struct looks *looks = &run->looks;
    uint64_t owners = 0;
    size_t bytes = 2 * looks->owners.len * sizeof(struct slice);
    if (bytes == 0) return;
    struct slice *argv = heap_alloc(run->heap, MEM_MESSAGE, bytes);
    for (size_t i = 0; i < looks->owners.len; i++) owners |= 1ull << looks->owners.data[i];
    for (; owners; owners &= owners - 1) send_looks_of(g, looks, (uint32_t)__builtin_ctzll(owners), argv);
    heap_free(run->heap, MEM_MESSAGE, argv, bytes);
    run->asked = about;
}

/* Opens the replies; then they are read in the order in which they were asked for. */
static void looks_open(struct gather *g, struct looks *looks) {
    for (uint32_t i = 0; i < g->parts; i++) {
        int64_t count = gather_reply_array(gather_reply(g, i), &looks->replies[g->answered[i].shard]);
        ASSERT(count >= 0); /* another of our threads wrote it */
    }
}

/* False: there is no such value. */
static bool looks_next(struct looks *looks, size_t at, struct slice *value) {
    ASSERT(at < looks->owners.len);
    return gather_reply_bulk(gather_next_element(&looks->replies[(uint8_t)looks->owners.data[at]]), value);
}

/* --- reading --- */

static int64_t clamp(int64_t value, int64_t least, uint64_t most) {
    if (value < least) return least;
    return value > (int64_t)most ? (int64_t)most : value;
}

/* Which elements are the answer, as Redis bounds LIMIT. */
static void find_range(struct run *run) {
    uint64_t skip = (uint64_t)clamp(run->words.skip, 0, run->length);
    int64_t count = clamp(run->words.count, -1, run->length);
    run->skip = skip;
    run->count = count < 0 ? run->length - skip : MIN((uint64_t)count, run->length - skip);
}

static void begin_sorting(struct run *run) {
    struct sort_words *words = &run->words;
    if (run->is_set && words->unsorted && words->store) { /* what is stored must not depend on how sets are kept */
        words->unsorted = false;
        words->alpha = true;
        words->by = slice_of(NULL, 0);
    }
    run->by = sort_pattern_of(words->by);
    run->sorting = sorting_new(run->heap, &(struct sort_order){.as_came = words->unsorted,
                                                               .alpha = words->alpha,
                                                               .descending = words->descending && !words->unsorted,
                                                               .weighed = words->by.ptr && !words->unsorted,
                                                               .whole = words->store > 0});
    find_range(run);
    run->limit = run->length;
    if (!words->unsorted) return;
    run->limit = run->skip + run->count;
    if (run->is_set) return;
    run->from = run->skip; /* of lists and sorted sets nothing else is read */
    run->limit = run->count;
    run->skip = 0;
}

/* [type, length, bytes] */
static bool take_head(struct gather *g, struct run *run) {
    struct slice reply = gather_reply(g, 0), rest, type;
    int64_t length, bytes;
    if (gather_reply_is_error(reply)) {
        g->failed = true;
        buf_append_slice(gather_out(g), reply);
        return false;
    }
    bool readable = gather_reply_array(reply, &rest) == 3 && gather_reply_bulk(gather_next_element(&rest), &type) &&
                    gather_reply_int(gather_next_element(&rest), &length) &&
                    gather_reply_int(gather_next_element(&rest), &bytes);
    ASSERT(readable);
    run->is_set = slice_is(type, "set");
    run->length = (uint64_t)length;
    run->bytes = (uint64_t)bytes;
    begin_sorting(run);
    run->phase = run->limit ? PHASE_ROOM : PHASE_SKIP;
    return true;
}

/* What is read is kept, and then it is in the reply or in what is stored. What GET finds instead nobody knows before. */
static void find_room(struct gather *g, struct run *run) {
    uint64_t read = (uint64_t)((double)run->bytes * (double)run->limit / (double)run->length);
    bool large = run->bytes > ADMIT_LARGE; /* else it need not be asked */
    if (!large || gather_room_for_steps(g, read * ANSWER_COPIES)) run->phase = PHASE_READ;
    if (g->failed) run->phase = PHASE_DONE;
}

static void ask_for_chunk(struct gather *g, struct run *run) {
    char from[24], max[24];
    bool backwards = run->words.unsorted && run->words.descending;
    struct slice argv[4] = {g->argv[1]};
    argv[1] = slice_of(from, num_format_u64(from, run->from));
    argv[2] = slice_of(max, num_format_u64(max, MIN(run->limit, (uint64_t)SORTING_CHUNK)));
    argv[3] = backwards ? SLICE("desc") : SLICE("asc");
    gather_send(g, gather_owner(g, 1), "sherd.sort.read", argv, 4);
    run->asked = ASKED_CHUNK;
}

/* The key's time is over: all of it was empty. */
static void expired_meanwhile(struct run *run) {
    sorting_clear(run->sorting);
    run->length = run->limit = run->skip = run->count = 0;
    run->bad_number = false;
    run->phase = PHASE_SKIP;
}

/* [where the next one begins, 0: it was the last, element ...] */
static void take_chunk(struct gather *g, struct run *run) {
    struct slice rest, text;
    int64_t count = gather_reply_array(gather_reply(g, 0), &rest), next;
    if (count <= 0) {
        expired_meanwhile(run);
        return;
    }
    bool readable = gather_reply_int(gather_next_element(&rest), &next);
    for (int64_t i = 1; i < count && readable; i++) {
        readable = gather_reply_bulk(gather_next_element(&rest), &text);
        if (!readable || run->limit == 0) break;
        sorting_add(run->sorting, text);
        run->limit--;
    }
    run->work += (uint32_t)count;
    ASSERT(readable);
    run->from = (uint64_t)next;
    if (next == 0) run->limit = 0;
    run->weighed = 0;
    run->phase = PHASE_WEIGH;
}

/* --- weights --- */

static void ask_for_weights(struct gather *g, struct run *run) {
    uint32_t end = MIN(run->weighed + LOOKS_MAX, sorting_open_count(run->sorting));
    looks_clear(&run->looks);
    for (uint32_t i = run->weighed; i < end; i++) look(g, &run->by, sorting_open_text(run->sorting, i));
    looks_send(g, run, ASKED_WEIGHTS);
}

static void take_weights(struct gather *g, struct run *run) {
    struct slice value;
    looks_open(g, &run->looks);
    for (size_t i = 0; i < run->looks.owners.len; i++, run->weighed++)
        if (looks_next(&run->looks, i, &value)) run->bad_number |= !sorting_weigh(run->sorting, run->weighed, value);
}

static void weigh(struct gather *g, struct run *run) {
    bool weighed = run->words.by.ptr && !run->words.unsorted;
    if (weighed && run->weighed < sorting_open_count(run->sorting)) {
        ask_for_weights(g, run);
        return;
    }
    run->bad_number |= !sorting_seal(run->sorting);
    run->phase = run->limit ? PHASE_READ : PHASE_SKIP;
}

/* --- the answer --- */

static void begin_answer(struct gather *g, struct run *run) {
    uint64_t per_element = MAX(run->words.gets, 1u);
    if (run->bad_number) {
        gather_error(g, NOT_A_NUMBER);
        run->phase = PHASE_DONE;
        return;
    }
    if (!run->words.store) resp_array(gather_out(g), run->count * per_element);
    run->phase = PHASE_FETCH;
}

static void skip(struct gather *g, struct run *run) {
    struct slice text;
    for (; run->skip && run->work < WORK_MAX; run->skip--, run->work++)
        if (!sorting_next(run->sorting, &text)) ASSERT(false); /* skip is below what was read */
    if (run->skip == 0) begin_answer(g, run);
}

/* The elements that are answered next, and what GET asks for of them. */
static void fetch(struct gather *g, struct run *run) {
    uint32_t gets = run->words.gets, max = MAX(LOOKS_MAX / MAX(gets, 1u), 1u);
    struct slice text;
    run->batch.len = run->batch.read = 0;
    looks_clear(&run->looks);
    for (; run->count && max; run->count--, max--) {
        if (!sorting_next(run->sorting, &text)) ASSERT(false); /* likewise */
        add_text(&run->batch, text);
        run->work++;
        for (uint32_t i = 0; i < gets; i++) {
            struct sort_pattern pattern = sort_pattern_of(g->argv[run->gets[i]]);
            if (pattern.kind >= PATTERN_STRING) look(g, &pattern, text);
        }
    }
    looks_send(g, run, ASKED_VALUES);
    run->phase = PHASE_ANSWER;
}

/* The next value of the answer goes to out, or it is an argument of sherd.sort.push. */
static void put_value(struct gather *g, struct run *run, struct buf *stored, const struct slice *value) {
    uint64_t before = run->answered++;
    if (run->words.store) { /* there is no reply, and so no block of it that would be sent empty */
        add_text(stored, value ? *value : SLICE(""));
        return;
    }
    struct buf *out = gather_out(g);
    if (before >= LOOKS_MAX) out = chain_tail(&g->rest, g->home->heap, MEM_CLIENT_OUT);
    if (value)
        resp_bulk(out, *value);
    else
        resp_null(out, g->resp);
}

/* For one element: what GET asks for, or the element. *at counts look-ups. */
static void put_element(struct gather *g, struct run *run, struct buf *stored, struct slice element, size_t *at) {
    struct slice value;
    if (run->words.gets == 0) put_value(g, run, stored, &element);
    for (uint32_t i = 0; i < run->words.gets; i++) {
        bool found = false;
        switch (sort_pattern_of(g->argv[run->gets[i]]).kind) {
        case PATTERN_NOTHING: break;
        case PATTERN_ELEMENT: value = element, found = true; break;
        default: found = looks_next(&run->looks, (*at)++, &value);
        }
        put_value(g, run, stored, found ? &value : NULL);
    }
}

/* With no element: the destination is deleted. */
static void push(struct gather *g, struct run *run, struct buf *texts, uint64_t count, bool first) {
    size_t bytes = (count + 2) * sizeof(struct slice);
    struct slice *argv = heap_alloc(run->heap, MEM_MESSAGE, bytes);
    argv[0] = g->argv[run->words.store];
    argv[1] = first ? SLICE("replace") : SLICE("append");
    for (uint64_t i = 0; i < count; i++) argv[2 + i] = next_text(texts);
    gather_send(g, gather_owner(g, run->words.store), "sherd.sort.push", argv, (uint32_t)count + 2);
    heap_free(run->heap, MEM_MESSAGE, argv, bytes);
}

static void answer(struct gather *g, struct run *run) {
    struct buf stored;
    uint64_t before = run->answered;
    size_t at = 0;
    buf_init(&stored, run->heap, MEM_MESSAGE);
    if (run->looks.owners.len) looks_open(g, &run->looks);
    while (buf_readable(&run->batch)) put_element(g, run, &stored, next_text(&run->batch), &at);
    run->phase = run->count ? PHASE_FETCH : PHASE_DONE;
    if (run->words.store) push(g, run, &stored, run->answered - before, before == 0);
    if (run->words.store && run->phase == PHASE_DONE) resp_int(gather_out(g), (int64_t)run->answered);
    buf_deinit(&stored);
}

/* --- steps --- */

static void take(struct gather *g, struct run *run) {
    enum asked asked = run->asked;
    run->asked = ASKED_NOTHING;
    if (asked == ASKED_HEAD && !take_head(g, run)) run->phase = PHASE_DONE;
    if (asked == ASKED_CHUNK) take_chunk(g, run);
    if (asked == ASKED_WEIGHTS) take_weights(g, run);
}

static void go_on(struct gather *g, struct run *run) {
    if (run->work >= WORK_MAX && run->phase != PHASE_ANSWER) {
        run->work = 0;
        gather_send(g, g->home->id, "sherd.pause", NULL, 0);
        return;
    }
    switch (run->phase) {
    case PHASE_HEAD:
        gather_send(g, gather_owner(g, 1), "sherd.sort.head", &g->argv[1], 1);
        run->asked = ASKED_HEAD;
        return;
    case PHASE_ROOM: find_room(g, run); return;
    case PHASE_READ: ask_for_chunk(g, run); return;
    case PHASE_WEIGH: weigh(g, run); return;
    case PHASE_SKIP: skip(g, run); return;
    case PHASE_FETCH: fetch(g, run); return;
    case PHASE_ANSWER: answer(g, run); return;
    case PHASE_DONE: return;
    }
}

void sort_gather(struct gather *g) {
    struct run *run = g->step == 0 ? begin_run(g) : run_of(g);
    if (run->words.error) {
        gather_error(g, run->words.error);
        return;
    }
    take(g, run);
    while (g->sent == 0 && run->phase != PHASE_DONE) go_on(g, run);
}
