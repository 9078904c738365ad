/* Slab against the heap: free and allocate small blocks at random among 2 million, the pattern of overwritten keys.
 * Prints ns per free + allocate (with the misses of finding and touching a random block, which are given beside it)
 * and bytes held per block. Usage: slab_bench [blocks] */
#include "core/prng.h"
#include "core/slab.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BYTES_MAX (400u << 20) /* of blocks in one run */

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
    for (size_t i = 0; i < rounds; i++) *all[prng_below(&prng, blocks)] = 3;
    double touched = now_ns();
    printf("%-5s %4zu B: fill %6.1f ns, free+alloc %6.1f ns (touch alone %6.1f), %6.1f B resident "
           "each\n",
           name, size, (filled - start) / (double)blocks, (churned - filled) / (double)rounds,
           (touched - churned) / (double)rounds, (resident_bytes() - before) / (double)blocks);
    free(all);
}

/* A process for each run, so that none inherits the memory of the one before. */
static void run_alone(bool use_slab, size_t size, size_t blocks) {
    fflush(stdout);
    pid_t child = fork();
    if (child != 0) {
        waitpid(child, NULL, 0);
        return;
    }
    struct heap *heap = heap_new();
    struct slab *slab = use_slab ? slab_new(heap, MEM_DATA) : NULL;
    run(use_slab ? "slab" : "heap", heap, slab, size, blocks);
    exit(0);
}

int main(int argc, char **argv) {
    size_t blocks = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000000;
    for (size_t size = 24; size <= SLAB_MAX; size = size * 7 / 3 / 8 * 8) {
        size_t many = MIN(blocks, BYTES_MAX / size);
        run_alone(true, size, many);
        run_alone(false, size, many);
    }
    return 0;
}
