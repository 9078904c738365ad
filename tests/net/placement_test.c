/* Placement: which CPU each thread gets, on machines of all shapes; and that the kernel is asked about the right pages.
 * (That memory is where it should be on a machine with two nodes is what tests/numa shows.) */
#include "core/alloc.h"
#include "core/slab.h"
#include "net/machine.h"
#include "net/placement.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

/* So many CPUs on each node; their numbers do not matter. */
static struct machine machine_of(const uint32_t *per_node, uint32_t nodes) {
    struct machine machine = {.numa_nodes = nodes};
    for (uint32_t node = 0; node < nodes; node++) {
        for (uint32_t i = 0; i < per_node[node]; i++) {
            machine.cpus[machine.cpu_count] = machine.cpu_count;
            machine.nodes[machine.cpu_count++] = (uint16_t)node;
        }
    }
    return machine;
}

/* One node: in the order of the CPUs, round and round. */
static void one_node(void **state) {
    (void)state;
    struct machine machine = machine_of((const uint32_t[]){8}, 1);
    for (uint32_t threads = 1; threads <= 64; threads++)
        for (uint32_t i = 0; i < threads; i++) assert_int_equal(machine_place(&machine, threads, i), i % 8);
}

/* Nodes in order; no CPU has two threads while another of its node has none; and nodes get their
 * share, to one thread. */
static void check_places(const uint32_t *per_node, uint32_t nodes, uint32_t threads) {
    struct machine machine = machine_of(per_node, nodes);
    uint32_t on_cpu[MACHINE_CPUS_MAX] = {0}, on_node[64] = {0}, last = 0;
    for (uint32_t i = 0; i < threads; i++) {
        uint32_t place = machine_place(&machine, threads, i);
        assert_in_range(place, 0, machine.cpu_count - 1);
        assert_true(machine.nodes[place] >= last);
        last = machine.nodes[place];
        on_cpu[place]++;
        on_node[last]++;
    }
    for (uint32_t i = 0; i < machine.cpu_count; i++) {
        uint32_t mean = on_node[machine.nodes[i]] / per_node[machine.nodes[i]];
        assert_in_range(on_cpu[i], mean, mean + 1);
    }
    for (uint32_t node = 0; node < nodes; node++) {
        uint32_t share = threads * per_node[node] / machine.cpu_count;
        assert_in_range(on_node[node], share, share + 1);
    }
}

static void several_nodes(void **state) {
    (void)state;
    for (uint32_t threads = 1; threads <= 64; threads++) {
        check_places((const uint32_t[]){2, 2}, 2, threads);
        check_places((const uint32_t[]){16, 16}, 2, threads);
        check_places((const uint32_t[]){1, 7, 3}, 3, threads);
        check_places((const uint32_t[]){8, 8, 8, 8, 8, 8, 8, 8}, 8, threads);
    }
}

/* --- looking --- */

struct range {
    char *start;
    size_t bytes;
};

static void each_range(void *ctx, heap_area_visit visit, void *visit_ctx) {
    const struct range *range = ctx;
    visit(visit_ctx, range->start, range->bytes);
}

static void each_of_heap(void *ctx, heap_area_visit visit, void *visit_ctx) {
    heap_each_area(ctx, visit, visit_ctx);
}

static void each_of_slab(void *ctx, heap_area_visit visit, void *visit_ctx) {
    slab_each_area(ctx, visit, visit_ctx);
}

/* All that is touched is on some node, on a machine with one node on that; what is not touched is nowhere. */
static void touched_pages_are_seen(void **state) {
    (void)state;
    uint64_t seen, local, none;
    struct range range = {.bytes = 500 * 4096};
    struct placement_source source = {each_range, &range};
    range.start = mmap(NULL, range.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(range.start != MAP_FAILED);
    madvise(range.start, range.bytes, MADV_NOHUGEPAGE);
    placement_look_at(&source, 1, 0, &seen, &local);
    assert_int_equal(seen, 0);
    for (size_t i = 0; i < 300; i++) range.start[i * 4096] = 1;
    placement_look_at(&source, 1, 4711, &seen, &none);
    if (seen == 0) { /* a container's seccomp profile, for example */
        print_message("move_pages is refused here\n");
    } else {
        placement_look_at(&source, 1, 0, &seen, &local);
        assert_int_equal(seen, 300);
        assert_in_range(local, 0, 300);
        assert_int_equal(none, 0);
    }
    munmap(range.start, range.bytes);
}

/* However much there is, 512 pages at most are looked at; and of the slab and, but for sanitizer
 * builds, of the heap. */
static void the_sample_is_bounded(void **state) {
    (void)state;
    uint64_t seen, local;
    struct heap *heap = heap_new();
    struct slab *slab = slab_new(heap, MEM_DATA);
    struct placement_source sources[] = {{each_of_heap, heap}, {each_of_slab, slab}};
    void *blocks[2000];
    for (int i = 0; i < 2000; i++) {
        blocks[i] = heap_alloc(heap, MEM_DATA, 16384);
        memset(blocks[i], 1, 16384);
        for (int j = 0; j < 16; j++) memset(slab_alloc(slab, 1024), 1, 1024);
    }
    for (unsigned i = 0; i < 2; i++) {
        placement_look_at(&sources[i], 1, 0, &seen, &local);
        print_message("%llu pages of about 8000\n", (unsigned long long)seen);
        assert_in_range(seen, 0, 512);
    }
    placement_look_at(sources, 2, 0, &seen, &local);
    print_message("%llu pages of about 16000\n", (unsigned long long)seen);
    assert_in_range(seen, 0, 512);
    for (int i = 0; i < 2000; i++) heap_free(heap, MEM_DATA, blocks[i], 16384);
    slab_delete(slab);
    heap_delete(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node),
        cmocka_unit_test(several_nodes),
        cmocka_unit_test(touched_pages_are_seen),
        cmocka_unit_test(the_sample_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
