/* Slab: chunks that are made resident at once, while much is expected (slab_expect_much).
 *
 * Page faults of 4 KiB take half of the CPU that loading values of 1 KiB takes: 1.6 us each, 1.3 us when a whole chunk
 * is asked for in one call, and 0.35 us as a part of a huge page.
 *
 * Cold memory  A virtual machine's host gives memory only when it is touched first, at 11 us for 4 KiB (Firecracker).
 *              Huge pages come from just the blocks of free memory that nobody has touched lately, where single pages
 *              are mostly some that somebody has just given back: so the way that is four times as quick may be four
 *              times as slow. What a chunk has taken tells which it is. After a slow one the next 8 are single pages,
 *              after another 16, and so on: of 1 GiB six or seven are tried in vain, 30 ms.
 *
 * The thread's CPU time is what is measured: it does not count while others have the CPU. What comes of it is where
 * memory lies, and nothing that anybody can see. */
#include "core/slab_priv.h"
#include <sys/mman.h>
#include <time.h>

#define COLD_NS  1000000u /* for 2 MiB; else 0.18 ms */
#define SKIP_MIN 8u
#define SKIP_MAX 1024u

static uint64_t cpu_ns(void) {
    struct timespec cpu;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    return (uint64_t)cpu.tv_sec * 1000000000u + (uint64_t)cpu.tv_nsec;
}

/* Where the kernel does not know how (before 5.14), it comes with the first touch, as always. */
static void make_resident(void *chunk) {
#ifdef MADV_POPULATE_WRITE
    madvise(chunk, CHUNK_SIZE, MADV_POPULATE_WRITE);
#else
    (void)chunk;
#endif
}

bool slab_fill_chunk(struct slab_fill *fill, void *chunk) {
    bool huge = fill->skip == 0;
    if (fill->skip) fill->skip--;
    madvise(chunk, CHUNK_SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    uint64_t began_ns = cpu_ns();
    make_resident(chunk);
    if (!huge) return false;
    bool cold = cpu_ns() - began_ns > COLD_NS;
    fill->pause = cold ? MIN(MAX(2 * fill->pause, SKIP_MIN), SKIP_MAX) : 0;
    fill->skip = fill->pause;
    return true;
}

void slab_expect_much(struct slab *slab, bool much) {
    slab->fill = (struct slab_fill){.wanted = much};
}
