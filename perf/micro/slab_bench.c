/* Slab against the heap: free and allocate small blocks at random among 2 million, the pattern of overwritten keys.
 * Prints ns per free + allocate and bytes held per block. Usage: slab_bench [blocks] */
#include "core/prng.h"
#include "core/slab.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The thread's own time, so that neighbours on a shared machine count less. */
static double now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double resident_bytes(void) {
    FILE *statm = fopen("/proc/self/statm", "r");
    long size = 0, resident = 0;
    if (statm == NULL || fscanf(statm, "%ld %ld", &size, &resident) != 2) abort();
    fclose(statm);
    return (double)resident * 4096;
}

static void run(const char *name, struct heap *heap, struct slab *slab, size_t size, size_t blocks) {
    char **all = malloc(blocks * sizeof *all);
    memset(all, 1, blocks * sizeof *all);
    struct prng prng;
    prng_init(&prng, 1);
    double before = resident_bytes(), start = now_ns();
    for (size_t i = 0; i < blocks; i++) {
        all[i] = slab != NULL ? slab_alloc(slab, size) : heap_alloc(heap, MEM_DATA, size);
        memset(all[i], 1, size);
    }
    double filled = now_ns();
    size_t rounds = 4 * blocks;
    for (size_t i = 0; i < rounds; i++) {
        char **at = &all[prng_below(&prng, blocks)];
        if (slab != NULL) {
            slab_free(slab, *at, size);
            *at = slab_alloc(slab, size);
        } else {
            heap_free(heap, MEM_DATA, *at, size);
            *at = heap_alloc(heap, MEM_DATA, size);
        }
        **at = 2;
    }
    double churned = now_ns();
    printf("%-5s %4zu B: fill %6.1f ns, free+alloc %6.1f ns, %6.1f B resident each\n", name, size,
           (filled - start) / (double)blocks, (churned - filled) / (double)rounds,
           (resident_bytes() - before) / (double)blocks);
    free(all);
}

int main(int argc, char **argv) {
    size_t blocks = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000000;
    for (size_t size = 24; size <= SLAB_MAX; size = size * 7 / 3 / 8 * 8) {
        struct heap *heap = heap_new();
        struct slab *slab = slab_new(heap, MEM_DATA);
        run("slab", heap, slab, size, blocks);
        slab_delete(slab);
        run("heap", heap, NULL, size, blocks);
        heap_delete(heap);
    }
    return 0;
}
