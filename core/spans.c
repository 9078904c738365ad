/* Spans: which frames are free is a bit each, at the start of their chunk.
 *
 *    chunk, 4 MiB aligned: | struct chunk | frame 1 | frame 2 | ... | frame 1023 |
 *
 * Free frames have been given back to the kernel, always. What was freed a moment ago is not free in this sense but
 * waits, in a list that runs through the freed memory itself, neighbours joined; bits tell who is a neighbour. A new
 * block is cut from what fits it best among the newest of that list, so a server whose values are overwritten goes on
 * using the same few frames, with hardly a page fault and no call of the kernel. What is too much there goes back, the
 * oldest first (spans_purge_some).
 *
 * Else frames come from a chunk, the first run in it that is long enough. A chunk knows the length of its longest run
 * of free frames, and is in one of 40 lists by that length, four to a doubling; a word of bits says which lists have
 * chunks. All chunks in the lists above that of a length have room for it, some in the list itself; looked through
 * upwards, this takes from the chunk that has least to lose.
 *
 * Invariant: each frame is free, or waits, or is in a block; the longest run is what the bits say; frames that wait
 * side by side are one run; an empty chunk is kept if it is the only one. */
#include "core/spans.h"
#include "core/assert.h"
#include "core/poison.h"
#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_SIZE   (4 * 1024 * 1024u)
#define CHUNK_FRAMES (CHUNK_SIZE / SPANS_FRAME) /* frame 0 is the chunk's own */
#define WORDS        (CHUNK_FRAMES / 64)
#define LISTS        40u
#define NO_LIST      0xFFu
#define LOOK_MAX     8u  /* chunks of a list whose longest run may be too short */
#define WAITING_LOOK 64u /* runs that wait, the newest, among which a block looks for its place */
#define PURGE_FRAMES 256u
#define SPARE_PART   32u

struct chunk {
    struct chunk *next, *prev; /* in a list */
    struct chunk *all_next, *all_prev;
    uint64_t free[WORDS], waiting[WORDS];
    uint32_t free_frames, longest; /* of the runs of free frames */
    uint8_t list;
};
static_assert(sizeof(struct chunk) <= SPANS_FRAME, "it has one frame");

/* Frames that wait; this stands at their start. */
struct run {
    struct run *older, *newer;
    uint32_t frames;
};

struct spans {
    struct heap *heap;
    enum mem_class owner;
    uint32_t empty_chunks;
    uint32_t waiting_frames;
    struct run *newest, *oldest;
    size_t used_bytes, held_bytes;
    uint64_t lists_used; /* a bit for each that has chunks */
    struct chunk *all;
    struct chunk *lists[LISTS];
};
static_assert(LISTS <= 64, "lists_used");

static struct chunk *chunk_of(const void *block) {
    return (struct chunk *)((uintptr_t)block & ~(uintptr_t)(CHUNK_SIZE - 1));
}
static uint32_t frame_of(const void *block) {
    return (uint32_t)((uintptr_t)block % CHUNK_SIZE / SPANS_FRAME);
}
static void *frame_at(struct chunk *chunk, uint32_t frame) {
    return (char *)chunk + (size_t)frame * SPANS_FRAME;
}
static uint32_t frames_for(size_t size) {
    return (uint32_t)(spans_block_size(size) / SPANS_FRAME);
}

static void count_held(struct spans *spans, int64_t bytes) {
    spans->held_bytes += (size_t)bytes;
    heap_count(spans->heap, spans->owner, bytes);
}

/* --- bits --- */

/* The first frame from `at` on whose bit is set or, if `set` is false, clear; CHUNK_FRAMES if there is none. */
static uint32_t next_frame(const uint64_t bits[WORDS], uint32_t at, bool set) {
    while (at < CHUNK_FRAMES) {
        uint64_t word = (set ? bits[at / 64] : ~bits[at / 64]) >> (at % 64);
        if (word != 0) return at + (uint32_t)__builtin_ctzll(word);
        at = (at / 64 + 1) * 64;
    }
    return CHUNK_FRAMES;
}

/* Of the frames with set bits that end before `end`, the first. Frame 0 has none. */
static uint32_t first_before(const uint64_t bits[WORDS], uint32_t end) {
    for (uint32_t at = end;; at = (at - 1) / 64 * 64) {
        uint64_t word = ~bits[(at - 1) / 64] << (63 - (at - 1) % 64);
        if (word != 0) return at - (uint32_t)__builtin_clzll(word);
    }
}

static bool is_set(const uint64_t bits[WORDS], uint32_t at) {
    return at < CHUNK_FRAMES && (bits[at / 64] >> (at % 64) & 1) != 0;
}

/* They are all clear, or all set, before. */
static void flip(uint64_t bits[WORDS], uint32_t at, uint32_t count, bool set) {
    for (uint32_t end = at + count; at < end;) {
        uint32_t some = MIN(end - at, 64 - at % 64);
        uint64_t mask = (some == 64 ? ~0ull : (1ull << some) - 1) << (at % 64);
        ASSERT((bits[at / 64] & mask) == (set ? 0 : mask));
        bits[at / 64] ^= mask;
        at += some;
    }
}

static void set_free(struct chunk *chunk, uint32_t at, uint32_t count, bool set) {
    flip(chunk->free, at, count, set);
    chunk->free_frames += set ? count : -count;
}

/* O(runs), a few dozen words at most. */
static uint32_t longest_run(const struct chunk *chunk) {
    uint32_t longest = 0;
    for (uint32_t at = next_frame(chunk->free, 0, true), end; at < CHUNK_FRAMES;
         at = next_frame(chunk->free, end, true)) {
        end = next_frame(chunk->free, at, false);
        longest = MAX(longest, end - at);
    }
    return longest;
}

/* The first that is long enough; there is one. */
static uint32_t find_run(const struct chunk *chunk, uint32_t frames) {
    uint32_t at = next_frame(chunk->free, 0, true), end = next_frame(chunk->free, at, false);
    while (end - at < frames) {
        at = next_frame(chunk->free, end, true);
        ASSERT(at < CHUNK_FRAMES);
        end = next_frame(chunk->free, at, false);
    }
    return at;
}

/* --- lists of chunks --- */

/* 0 .. 3 for so many frames; above, four lists to a doubling. */
static uint8_t list_of(uint32_t longest) {
    if (longest < 4) return (uint8_t)longest;
    unsigned log2 = 31 - (unsigned)__builtin_clz(longest);
    return (uint8_t)(4 * (log2 - 1) + (longest >> (log2 - 2) & 3));
}
static_assert(CHUNK_FRAMES == 1024, "list_of(1023) is 4 * 8 + 3");

static void unlist(struct spans *spans, struct chunk *chunk) {
    if (chunk->list == NO_LIST) return;
    *(chunk->prev ? &chunk->prev->next : &spans->lists[chunk->list]) = chunk->next;
    if (chunk->next) chunk->next->prev = chunk->prev;
    if (!spans->lists[chunk->list]) spans->lists_used &= ~(1ull << chunk->list);
    chunk->list = NO_LIST;
}

static void relist(struct spans *spans, struct chunk *chunk) {
    chunk->longest = longest_run(chunk);
    uint8_t list = list_of(chunk->longest);
    if (list == chunk->list) return;
    unlist(spans, chunk);
    chunk->list = list;
    chunk->prev = NULL;
    chunk->next = spans->lists[list];
    if (chunk->next) chunk->next->prev = chunk;
    spans->lists[list] = chunk;
    spans->lists_used |= 1ull << list;
}

/* --- chunks --- */

static bool is_empty(const struct chunk *chunk) {
    return chunk->free_frames == CHUNK_FRAMES - 1;
}

/* Huge pages would make resident again what has gone back (core/slab_page.c). */
COLD static struct chunk *chunk_new(struct spans *spans) {
    struct chunk *chunk = heap_map(spans->heap, spans->owner, CHUNK_SIZE, CHUNK_SIZE);
    if (!chunk) panic(__FILE__, __LINE__, "out of memory");
    heap_count(spans->heap, spans->owner, -(int64_t)CHUNK_SIZE); /* frames count when they are used */
    count_held(spans, SPANS_FRAME);
    madvise(chunk, CHUNK_SIZE, MADV_NOHUGEPAGE);
    chunk->list = NO_LIST;
    set_free(chunk, 1, CHUNK_FRAMES - 1, true);
    chunk->all_next = spans->all;
    if (spans->all) spans->all->all_prev = chunk;
    spans->all = chunk;
    spans->empty_chunks++;
    relist(spans, chunk);
    return chunk;
}

/* What it has given out stops counting. */
static void chunk_free(struct spans *spans, struct chunk *chunk) {
    spans->empty_chunks -= is_empty(chunk);
    unlist(spans, chunk);
    *(chunk->all_prev ? &chunk->all_prev->all_next : &spans->all) = chunk->all_next;
    if (chunk->all_next) chunk->all_next->all_prev = chunk->all_prev;
    count_held(spans, -(int64_t)((CHUNK_FRAMES - chunk->free_frames) * SPANS_FRAME));
    UNPOISON(chunk, CHUNK_SIZE);
    heap_count(spans->heap, spans->owner, CHUNK_SIZE); /* heap_unmap takes it off again */
    heap_unmap(spans->heap, spans->owner, chunk, CHUNK_SIZE);
}

static struct chunk *chunk_with_room(struct spans *spans, uint32_t frames) {
    unsigned list = list_of(frames);
    struct chunk *chunk = spans->lists[list];
    for (unsigned i = 0; chunk && i < LOOK_MAX; chunk = chunk->next, i++)
        if (chunk->longest >= frames) return chunk;
    uint64_t above = spans->lists_used & ~((2ull << list) - 1);
    return above ? spans->lists[__builtin_ctzll(above)] : chunk_new(spans);
}

static void *take_from_chunk(struct spans *spans, uint32_t frames) {
    struct chunk *chunk = chunk_with_room(spans, frames);
    uint32_t at = find_run(chunk, frames);
    spans->empty_chunks -= is_empty(chunk);
    set_free(chunk, at, frames, false);
    relist(spans, chunk);
    count_held(spans, (int64_t)frames * SPANS_FRAME);
    void *block = frame_at(chunk, at);
    UNPOISON(block, (size_t)frames * SPANS_FRAME);
    return block;
}

static void give_to_chunk(struct spans *spans, void *at, uint32_t frames) {
    struct chunk *chunk = chunk_of(at);
    POISON(at, (size_t)frames * SPANS_FRAME);
    madvise(at, (size_t)frames * SPANS_FRAME, MADV_DONTNEED);
    set_free(chunk, frame_of(at), frames, true);
    relist(spans, chunk);
    count_held(spans, -(int64_t)frames * SPANS_FRAME);
    if (!is_empty(chunk)) return;
    if (++spans->empty_chunks > 1) chunk_free(spans, chunk);
}

/* --- what waits --- */

/* Everything of it but its head is poisoned. */
static struct run *run_make(void *at, uint32_t frames) {
    struct run *run = at;
    POISON(at, (size_t)frames * SPANS_FRAME);
    UNPOISON(run, sizeof *run);
    run->frames = frames;
    return run;
}

/* Makes its neighbours, or the ends of the list, point at `now` instead of the run; NULL: at each other. */
static void run_replace(struct spans *spans, const struct run *run, struct run *now) {
    *(run->newer ? &run->newer->older : &spans->newest) = now ? now : run->older;
    *(run->older ? &run->older->newer : &spans->oldest) = now ? now : run->newer;
}

static void put_aside(struct spans *spans, void *at, uint32_t frames) {
    struct chunk *chunk = chunk_of(at);
    uint32_t begin = frame_of(at), end = begin + frames;
    flip(chunk->waiting, begin, frames, true);
    spans->waiting_frames += frames;
    if (is_set(chunk->waiting, end)) {
        struct run *behind = frame_at(chunk, end);
        run_replace(spans, behind, NULL);
        end += behind->frames;
    }
    if (is_set(chunk->waiting, begin - 1)) {
        begin = first_before(chunk->waiting, begin);
        run_replace(spans, frame_at(chunk, begin), NULL);
    }
    struct run *run = run_make(frame_at(chunk, begin), end - begin);
    run->newer = NULL;
    run->older = spans->newest;
    *(run->older ? &run->older->newer : &spans->oldest) = run;
    spans->newest = run;
}

/* The front of it waits no more, and what is left goes on waiting in its place. */
static void cut_run(struct spans *spans, struct run *run, uint32_t frames) {
    struct chunk *chunk = chunk_of(run);
    uint32_t begin = frame_of(run);
    struct run *rest = NULL;
    if (run->frames > frames) {
        rest = run_make(frame_at(chunk, begin + frames), run->frames - frames);
        rest->older = run->older;
        rest->newer = run->newer;
    }
    run_replace(spans, run, rest);
    flip(chunk->waiting, begin, frames, false);
    spans->waiting_frames -= frames;
}

static uint32_t purge_oldest(struct spans *spans) {
    struct run *run = spans->oldest;
    uint32_t frames = MIN(run->frames, PURGE_FRAMES);
    cut_run(spans, run, frames);
    give_to_chunk(spans, run, frames);
    return frames;
}

/* The shortest that is long enough, and among these the newest. */
static struct run *find_waiting(const struct spans *spans, uint32_t frames) {
    struct run *best = NULL;
    unsigned looked = 0;
    for (struct run *run = spans->newest; run && looked < WAITING_LOOK; run = run->older, looked++) {
        if (run->frames == frames) return run;
        if (run->frames > frames && (!best || run->frames < best->frames)) best = run;
    }
    return best;
}

static void *take_waiting(struct spans *spans, uint32_t frames) {
    struct run *run = find_waiting(spans, frames);
    if (!run) return NULL;
    cut_run(spans, run, frames);
    UNPOISON(run, (size_t)frames * SPANS_FRAME);
    return run;
}

/* --- blocks --- */

void *spans_alloc(struct spans *spans, size_t size) {
    ASSERT(size - 1 < SPANS_MAX);
    uint32_t frames = frames_for(size);
    void *block = take_waiting(spans, frames);
    if (!block) block = take_from_chunk(spans, frames);
    spans->used_bytes += (size_t)frames * SPANS_FRAME;
    return block;
}

void spans_free(struct spans *spans, void *block, size_t size) {
    ASSERT(size - 1 < SPANS_MAX && (uintptr_t)block % SPANS_FRAME == 0);
    uint32_t frames = frames_for(size);
    ASSERT(frame_of(block) != 0 && frame_of(block) + frames <= CHUNK_FRAMES);
    spans->used_bytes -= (size_t)frames * SPANS_FRAME;
    put_aside(spans, block, frames);
}

static bool wants_purge(const struct spans *spans) {
    return spans->waiting_frames > (SPANS_SPARE + spans->used_bytes / SPARE_PART) / SPANS_FRAME;
}

bool spans_purge_some(struct spans *spans) {
    if (LIKELY(!wants_purge(spans))) return false;
    for (uint32_t frames = 0; frames < PURGE_FRAMES && wants_purge(spans);) frames += purge_oldest(spans);
    return wants_purge(spans);
}

bool spans_purge_rest(struct spans *spans) {
    for (uint32_t frames = 0; frames < PURGE_FRAMES && spans->oldest;) frames += purge_oldest(spans);
    return spans->oldest != NULL;
}

/* --- the whole --- */

struct spans *spans_new(struct heap *heap, enum mem_class owner) {
    struct spans *spans = heap_alloc_zero(heap, owner, sizeof *spans);
    spans->heap = heap;
    spans->owner = owner;
    return spans;
}

void spans_delete(struct spans *spans) {
    while (spans->all) chunk_free(spans, spans->all);
    ASSERT(spans->held_bytes == 0 && spans->empty_chunks == 0);
    heap_free(spans->heap, spans->owner, spans, sizeof *spans);
}

void spans_each_area(const struct spans *spans, heap_area_visit visit, void *ctx) {
    for (const struct chunk *chunk = spans->all; chunk; chunk = chunk->all_next)
        if (!visit(ctx, chunk, CHUNK_SIZE)) return;
}

size_t spans_used_bytes(const struct spans *spans) {
    return spans->used_bytes;
}

size_t spans_held_bytes(const struct spans *spans) {
    return spans->held_bytes;
}

void spans_check(const struct spans *spans) {
    size_t held = 0, waiting = 0, marked = 0, chunks = 0;
    uint32_t empty = 0, listed = 0;
    for (const struct chunk *chunk = spans->all; chunk; chunk = chunk->all_next, chunks++) {
        uint32_t free = 0;
        for (unsigned i = 0; i < WORDS; i++) {
            ASSERT(!(chunk->free[i] & chunk->waiting[i]));
            free += (uint32_t)__builtin_popcountll(chunk->free[i]);
            marked += (size_t)__builtin_popcountll(chunk->waiting[i]);
        }
        ASSERT(free == chunk->free_frames && !(chunk->free[0] & 1));
        ASSERT(chunk->longest == longest_run(chunk) && chunk->list == list_of(chunk->longest));
        ASSERT(chunk->prev ? chunk->prev->next == chunk : spans->lists[chunk->list] == chunk);
        held += (size_t)(CHUNK_FRAMES - free) * SPANS_FRAME;
        empty += is_empty(chunk);
    }
    for (unsigned i = 0; i < LISTS; i++) {
        ASSERT((spans->lists_used >> i & 1) == (spans->lists[i] != NULL));
        for (const struct chunk *chunk = spans->lists[i]; chunk; chunk = chunk->next) listed++;
    }
    for (struct run *run = spans->newest; run; run = run->older) {
        const struct chunk *chunk = chunk_of(run);
        uint32_t at = frame_of(run), end = at + run->frames;
        ASSERT(run->frames > 0 && next_frame(chunk->waiting, at, false) == end && !is_set(chunk->waiting, at - 1));
        ASSERT(run->older ? run->older->newer == run : spans->oldest == run);
        waiting += run->frames;
    }
    ASSERT(listed == chunks && empty == spans->empty_chunks && empty <= 1);
    ASSERT(held == spans->held_bytes && waiting == spans->waiting_frames && waiting == marked);
    ASSERT(spans->used_bytes + (waiting + chunks) * SPANS_FRAME == held);
}
