/* Faults: what is wrong with the disk at the moment: its power, how slow it is, and what fails.
 *
 *     on --cut--> cut: nothing ends and nothing begins --off--> everything fails --on--> a new life
 *
 * Between cut and off whoever used the disk can be killed without ever having been told anything that was not so when
 * the power went. What was begun in an earlier life fails.
 *
 * Four kinds of deeds are slowed and fail each for themselves. A disk has one bandwidth: what is read and written takes
 * its time one after the other, and a delay comes on top of that, for all deeds at the same time.
 *
 * Threads   any; all functions but init want the lock, and faults_wait gives it back while it waits. */
#pragma once
#include "core/prng.h"
#include <pthread.h>

enum power { POWER_ON, POWER_CUT, POWER_OFF };
enum deed { DEED_READ, DEED_WRITE, DEED_SYNC, DEED_NAME, DEEDS };

struct fault {
    uint64_t delay_ns, more_ns; /* between delay and delay + more */
    int error;                  /* positive errno; 0: none */
    uint32_t permille;          /* of the deeds fail, */
    uint64_t left;              /* and no more than so many */
    bool stuck;                 /* they wait until it is not */
    uint64_t count, failed, bytes;
};

struct faults {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* power, delays, what is stuck */
    enum power power;
    uint32_t life;
    uint64_t bytes_per_s; /* 0: no limit */
    uint64_t busy_until_ns;
    struct fault of[DEEDS];
    struct prng prng;
};

void faults_init(struct faults *faults, uint64_t seed);
void faults_changed(struct faults *faults);

/* Whether a deed of this life may begin: waits while the power is cut. */
bool faults_begin(struct faults *faults, uint32_t life);
/* As long as the deed takes. False: the power went meanwhile, and it has not happened. */
bool faults_wait(struct faults *faults, enum deed deed, uint64_t bytes);
/* The errno with which this one fails, or 0. */
int faults_draw(struct faults *faults, enum deed deed);
