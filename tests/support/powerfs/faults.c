/* All waiting is for one condition with a deadline, so that a cut is noticed at once. */
#include "tests/support/powerfs/faults.h"
#include "core/assert.h"
#include <time.h>

#define NS_PER_S ((uint64_t)1000000000)

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void faults_init(struct faults *faults, uint64_t seed) {
    *faults = (struct faults){.power = POWER_ON};
    prng_init(&faults->prng, seed);
    pthread_mutex_init(&faults->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&faults->changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

void faults_changed(struct faults *faults) {
    pthread_cond_broadcast(&faults->changed);
}

bool faults_begin(struct faults *faults, uint32_t life) {
    while (faults->power == POWER_CUT) pthread_cond_wait(&faults->changed, &faults->lock);
    return faults->power == POWER_ON && life == faults->life;
}

static void wait_until(struct faults *faults, uint64_t deadline_ns) {
    struct timespec when = {.tv_sec = (time_t)(deadline_ns / NS_PER_S), .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    pthread_cond_timedwait(&faults->changed, &faults->lock, &when);
}

/* When the disk has moved so many bytes, behind all it has to move already. */
static uint64_t moved_ns(struct faults *faults, uint64_t now, uint64_t bytes) {
    if (!faults->bytes_per_s) return now;
    uint64_t takes_ns = (uint64_t)((double)bytes / (double)faults->bytes_per_s * (double)NS_PER_S);
    faults->busy_until_ns = MAX(faults->busy_until_ns, now) + takes_ns;
    return faults->busy_until_ns;
}

bool faults_wait(struct faults *faults, enum deed deed, uint64_t bytes) {
    struct fault *fault = &faults->of[deed];
    uint32_t life = faults->life;
    uint64_t end_ns = moved_ns(faults, now_ns(), bytes) + fault->delay_ns;
    if (fault->more_ns) end_ns += prng_below(&faults->prng, fault->more_ns);
    fault->count++;
    fault->bytes += bytes;
    while (faults->power == POWER_ON && life == faults->life && fault->stuck)
        pthread_cond_wait(&faults->changed, &faults->lock);
    while (faults->power == POWER_ON && life == faults->life && now_ns() < end_ns) wait_until(faults, end_ns);
    while (faults->power == POWER_CUT) pthread_cond_wait(&faults->changed, &faults->lock);
    return life == faults->life;
}

int faults_draw(struct faults *faults, enum deed deed) {
    struct fault *fault = &faults->of[deed];
    if (!fault->error || !fault->left || prng_below(&faults->prng, 1000) >= fault->permille) return 0;
    fault->left--;
    fault->failed++;
    return fault->error;
}
