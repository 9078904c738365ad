/* A chunk is one buffer of texts, weights among them, and an array of 24-byte items that name their places in it. Ties
 * are broken by the place at which an element came, so the order is total and does not depend on how qsort works. */
#include "shards/sorting.h"
#include "core/assert.h"
#include "core/buf.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#define NO_WEIGHT UINT32_MAX

struct item {
    uint32_t at, len; /* of the text, in the chunk's texts */
    union {
        double score;
        uint64_t weight_at;
    };
    uint32_t weight_len; /* NO_WEIGHT: it has none */
    uint32_t place;      /* at which it came into its chunk */
};
static_assert(sizeof(struct item) == 24, "what each element costs over its text");

struct chunk {
    struct item *items;
    uint32_t count, cap, next;
    uint32_t number; /* chunks came in this order */
    struct buf texts;
    const struct sort_order *order;
};

struct sorting {
    struct heap *heap;
    struct sort_order order;
    struct chunk **chunks; /* in the order in which they came; when reading begins, a heap */
    uint32_t count, cap, read;
    uint64_t elements;
    bool open, reading;
};

struct sorting *sorting_new(struct heap *heap, const struct sort_order *order) {
    struct sorting *sorting = heap_alloc_zero(heap, MEM_MESSAGE, sizeof *sorting);
    sorting->heap = heap;
    sorting->order = *order;
    return sorting;
}

void sorting_clear(struct sorting *sorting) {
    for (uint32_t i = 0; i < sorting->count; i++) {
        struct chunk *chunk = sorting->chunks[i];
        buf_deinit(&chunk->texts);
        heap_free(sorting->heap, MEM_MESSAGE, chunk->items, chunk->cap * sizeof *chunk->items);
        heap_free(sorting->heap, MEM_MESSAGE, chunk, sizeof *chunk);
    }
    if (sorting->chunks) heap_free(sorting->heap, MEM_MESSAGE, sorting->chunks, sorting->cap * sizeof *sorting->chunks);
    *sorting = (struct sorting){.heap = sorting->heap, .order = sorting->order};
}

void sorting_delete(struct sorting *sorting) {
    sorting_clear(sorting);
    heap_free(sorting->heap, MEM_MESSAGE, sorting, sizeof *sorting);
}

uint64_t sorting_count(const struct sorting *sorting) {
    return sorting->elements;
}

/* --- filling --- */

static struct chunk *open_chunk(const struct sorting *sorting) {
    return sorting->open ? sorting->chunks[sorting->count - 1] : NULL;
}

static void *grow(struct heap *heap, void *take, uint32_t count, uint32_t *cap, size_t size) {
    if (count < *cap) return take;
    uint32_t bigger = MAX(*cap * 2, 16u);
    void *fresh = heap_alloc(heap, MEM_MESSAGE, bigger * size);
    if (count) memcpy(fresh, take, count * size);
    if (take) heap_free(heap, MEM_MESSAGE, take, *cap * size);
    *cap = bigger;
    return fresh;
}

static struct chunk *add_chunk(struct sorting *sorting) {
    sorting->chunks = grow(sorting->heap, sorting->chunks, sorting->count, &sorting->cap, sizeof *sorting->chunks);
    struct chunk *chunk = heap_alloc_zero(sorting->heap, MEM_MESSAGE, sizeof *chunk);
    buf_init(&chunk->texts, sorting->heap, MEM_MESSAGE);
    chunk->number = sorting->count;
    chunk->order = &sorting->order;
    sorting->chunks[sorting->count++] = chunk;
    sorting->open = true;
    return chunk;
}

void sorting_add(struct sorting *sorting, struct slice text) {
    ASSERT(!sorting->reading);
    struct chunk *chunk = sorting->open ? open_chunk(sorting) : add_chunk(sorting);
    chunk->items = grow(sorting->heap, chunk->items, chunk->count, &chunk->cap, sizeof *chunk->items);
    struct item *item = &chunk->items[chunk->count];
    *item = (struct item){.at = (uint32_t)chunk->texts.len, .len = (uint32_t)text.len, .weight_len = NO_WEIGHT};
    item->place = chunk->count++;
    buf_append_slice(&chunk->texts, text);
    sorting->elements++;
}

uint32_t sorting_open_count(const struct sorting *sorting) {
    return sorting->open ? open_chunk(sorting)->count : 0;
}

static struct slice item_text(const struct chunk *chunk, const struct item *item) {
    return slice_of(chunk->texts.data ? chunk->texts.data + item->at : NULL, item->len);
}

struct slice sorting_open_text(const struct sorting *sorting, uint32_t at) {
    const struct chunk *chunk = open_chunk(sorting);
    ASSERT(chunk && at < chunk->count);
    return item_text(chunk, &chunk->items[at]);
}

static struct slice until_nul(struct slice text) {
    return slice_of(text.ptr, text.len ? strnlen(text.ptr, text.len) : 0);
}

/* As strtod reads it: up to a NUL, with spaces before, "" is 0; not what overflows, and no NaN. */
static bool read_number(struct heap *heap, struct slice text, double *score) {
    char few[64], *copy = few, *end;
    size_t len = until_nul(text).len;
    if (len >= sizeof few) copy = heap_alloc(heap, MEM_MESSAGE, len + 1);
    if (len) memcpy(copy, text.ptr, len);
    copy[len] = 0;
    errno = 0;
    *score = strtod(copy, &end);
    bool good = *end == 0 && errno != ERANGE && !isnan(*score);
    if (copy != few) heap_free(heap, MEM_MESSAGE, copy, len + 1);
    return good;
}

bool sorting_weigh(struct sorting *sorting, uint32_t at, struct slice weight) {
    struct chunk *chunk = open_chunk(sorting);
    ASSERT(chunk && at < chunk->count && sorting->order.weighed);
    struct item *item = &chunk->items[at];
    if (!sorting->order.alpha) return read_number(sorting->heap, weight, &item->score);
    item->weight_at = chunk->texts.len;
    item->weight_len = (uint32_t)weight.len;
    buf_append_slice(&chunk->texts, weight);
    return true;
}

/* --- order --- */

static int compare_texts(const struct sort_order *order, struct slice a, struct slice b) {
    return order->whole ? slice_compare(a, b) : slice_compare(until_nul(a), until_nul(b));
}

static struct slice weight_text(const struct chunk *chunk, const struct item *item) {
    return slice_of(chunk->texts.data + item->weight_at, item->weight_len);
}

static int compare_weights(const struct chunk *of_a, const struct item *a, const struct chunk *of_b,
                           const struct item *b) {
    bool has_a = a->weight_len != NO_WEIGHT, has_b = b->weight_len != NO_WEIGHT;
    if (!has_a || !has_b) return (int)has_a - (int)has_b;
    return compare_texts(of_a->order, weight_text(of_a, a), weight_text(of_b, b));
}

static int compare(const struct chunk *of_a, const struct item *a, const struct chunk *of_b, const struct item *b) {
    const struct sort_order *order = of_a->order;
    int c = 0;
    if (order->alpha && order->weighed)
        c = compare_weights(of_a, a, of_b, b);
    else if (order->alpha)
        c = compare_texts(order, item_text(of_a, a), item_text(of_b, b));
    else if (a->score != b->score)
        c = a->score < b->score ? -1 : 1;
    else
        c = slice_compare(item_text(of_a, a), item_text(of_b, b));
    if (c) return order->descending ? -c : c;
    if (of_a != of_b) return of_a->number < of_b->number ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

static int compare_items(const void *a, const void *b, void *chunk) {
    return compare(chunk, a, chunk, b);
}

static bool read_scores(struct chunk *chunk) {
    bool good = true;
    for (uint32_t i = 0; i < chunk->count; i++)
        good &= read_number(chunk->texts.heap, item_text(chunk, &chunk->items[i]), &chunk->items[i].score);
    return good;
}

bool sorting_seal(struct sorting *sorting) {
    struct chunk *chunk = open_chunk(sorting);
    const struct sort_order *order = &sorting->order;
    sorting->open = false;
    if (!chunk || order->as_came) return true;
    bool good = order->alpha || order->weighed || read_scores(chunk);
    qsort_r(chunk->items, chunk->count, sizeof *chunk->items, compare_items, chunk);
    return good;
}

/* --- merging: the chunks are a binary heap by the element that each offers next --- */

static bool is_before(const struct chunk *a, const struct chunk *b) {
    if (a->order->as_came) return a->number < b->number;
    return compare(a, &a->items[a->next], b, &b->items[b->next]) < 0;
}

static void sink(struct sorting *sorting, uint32_t at) {
    struct chunk **chunks = sorting->chunks, *chunk = chunks[at];
    for (uint32_t child; (child = 2 * at + 1) < sorting->read; at = child) {
        if (child + 1 < sorting->read && is_before(chunks[child + 1], chunks[child])) child++;
        if (!is_before(chunks[child], chunk)) break;
        chunks[at] = chunks[child];
        chunks[child] = chunk;
    }
}

static void begin_reading(struct sorting *sorting) {
    ASSERT(!sorting->open);
    sorting->reading = true;
    sorting->read = sorting->count;
    for (uint32_t i = sorting->count / 2; i-- > 0;) sink(sorting, i);
}

bool sorting_next(struct sorting *sorting, struct slice *text) {
    if (!sorting->reading) begin_reading(sorting);
    if (sorting->read == 0) return false;
    struct chunk *first = sorting->chunks[0];
    *text = item_text(first, &first->items[first->next++]);
    if (first->next == first->count) { /* it stays in the array, behind the heap, to be freed with the others */
        sorting->chunks[0] = sorting->chunks[--sorting->read];
        sorting->chunks[sorting->read] = first;
    }
    if (sorting->read) sink(sorting, 0);
    return true;
}
