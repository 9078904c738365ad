/* Looking takes two passes over the areas: one adds them up, the other takes every n-th page of all, so that the sample
 * is spread evenly. Both its size and the number of areas have a bound, as this is done in the middle of a turn: of a
 * very large shard the newest chunks are looked at. A page that was never touched has no place and does not count. */
#include "net/placement.h"
#include "net/thread.h"
#include <numa.h>
#include <numaif.h>
#include <sched.h>

#define PLACE_PAGE 4096u
#define SAMPLE_MAX 512u  /* pages: about a microsecond each */
#define AREAS_MAX  4096u /* of each source: 8 GiB of chunks, 256 MiB or more of a heap */

static void bind_cpus(const struct thread *thread, bool by_node) {
    const struct machine *machine = &thread->server->machine;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (!thread->crowded) CPU_SET(thread->cpu, &set);
    for (uint32_t i = 0; thread->crowded && i < machine->cpu_count; i++)
        if (machine->nodes[i] == thread->node) CPU_SET(machine->cpus[i], &set);
    /* More threads than CPUs share them freely: pinning two busy threads to one CPU while another
     * idles helps nobody. */
    if (!thread->crowded || by_node) sched_setaffinity(0, sizeof set, &set);
}

void placement_settle(struct thread *thread) {
    const struct machine *machine = &thread->server->machine;
    bool by_node = machine->numa_nodes > 1 && thread->config.numa == NUMA_ON;
    thread->crowded = thread->server->thread_count > machine->cpu_count;
    bind_cpus(thread, by_node);
    if (by_node)
        numa_set_localalloc();
    else if (machine->numa_nodes > 1)
        numa_set_interleave_mask(numa_all_nodes_ptr);
}

/* --- looking --- */

struct sample {
    uint64_t pages, every; /* in all areas; one of so many is taken */
    uint64_t passed;       /* pages before this area */
    unsigned areas, count; /* seen in this pass and source; taken */
    void *addresses[SAMPLE_MAX];
    int places[SAMPLE_MAX];
};

static uint64_t pages_of(size_t bytes) {
    return (bytes + PLACE_PAGE - 1) / PLACE_PAGE;
}

static bool add_up(void *ctx, const void *start, size_t bytes) {
    struct sample *sample = ctx;
    (void)start;
    sample->pages += pages_of(bytes);
    return ++sample->areas < AREAS_MAX;
}

static bool take_some(void *ctx, const void *start, size_t bytes) {
    struct sample *sample = ctx;
    uint64_t pages = pages_of(bytes), every = sample->every;
    for (uint64_t at = (every - sample->passed % every) % every; at < pages && sample->count < SAMPLE_MAX; at += every)
        sample->addresses[sample->count++] = (void *)((uintptr_t)start + at * PLACE_PAGE);
    sample->passed += pages;
    return ++sample->areas < AREAS_MAX;
}

static void pass(const struct placement_source *sources, unsigned count, heap_area_visit visit, struct sample *sample) {
    for (unsigned i = 0; i < count; i++) {
        sample->areas = 0;
        sources[i].each(sources[i].ctx, visit, sample);
    }
}

void placement_look_at(const struct placement_source *sources, unsigned count, int node, uint64_t *seen,
                       uint64_t *local) {
    *seen = *local = 0;
    struct sample *sample = shared_alloc(sizeof *sample);
    if (!sample) return;
    pass(sources, count, add_up, sample);
    sample->every = sample->pages / SAMPLE_MAX + 1;
    pass(sources, count, take_some, sample);
    if (move_pages(0, sample->count, sample->addresses, NULL, sample->places, 0) == 0) {
        for (unsigned i = 0; i < sample->count; i++) {
            *seen += sample->places[i] >= 0;
            *local += sample->places[i] == node;
        }
    }
    shared_free(sample);
}

static void areas_of_heap(void *ctx, heap_area_visit visit, void *visit_ctx) {
    heap_each_area(ctx, visit, visit_ctx);
}

static void areas_of_slab(void *ctx, heap_area_visit visit, void *visit_ctx) {
    slab_each_area(ctx, visit, visit_ctx);
}

static void areas_of_ring(void *ctx, heap_area_visit visit, void *visit_ctx) {
    size_t bytes;
    const void *buffers = ring_memory(ctx, &bytes);
    visit(visit_ctx, buffers, bytes);
}

void placement_look(struct thread *thread, uint64_t *seen, uint64_t *local) {
    struct shard *shard = thread->shard;
    struct placement_source sources[] = {
        {areas_of_heap, shard->heap}, {areas_of_slab, shard->slab}, {areas_of_ring, thread->ring}};
    *seen = *local = 0;
    if (thread->server->machine.numa_nodes > 1)
        placement_look_at(sources, ARRAY_LEN(sources), thread->node, seen, local);
}
