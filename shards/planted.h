/* Planted: bugs that the simulator must find. Only a library of its own, shards_planted (tests/sim/CMakeLists.txt), is
 * built with SHERD_PLANTED; what users run does not contain them. There, shard->planted names the bug that is on:
 *
 *    if (PLANTED(shard, PLANT_EARLY_UNLOCK)) release_now(...);
 *
 * Each stands where a plausible mistake would be made, and tests/sim/planted_test.c shows that the checkers see it
 * within a bounded number of seeds. Costs nothing without the define: PLANTED is false then. */
#pragma once

enum planted_bug {
    PLANT_NOTHING,
    PLANT_EARLY_UNLOCK, /* the locks of one shard are released before those of all shards are granted */
    PLANT_WRONG_ORDER,  /* requests of several shards do not stand in one global order */
    PLANT_LOST_WAKEUP,  /* a grant, or a key that became ready, is not told to who waits for it */
    PLANT_UNSAFE_REPLY, /* a reply leaves when its own shard's disk has it, whatever the other participants have */
    PLANT_EARLY_READ,   /* a key is shown that the disk does not have yet */
    PLANT_LOST_INPUT,   /* a client that moves leaves behind what it has sent of a command */
    PLANT_EARLY_YIELD,  /* a command that waits for room for its reply gives keys back that it has been promised */
    PLANTED_BUGS,
};

#ifdef SHERD_PLANTED
#define PLANTED(shard, bug) ((shard)->planted == (bug))
#else
#define PLANTED(shard, bug) ((void)(shard), (void)(bug), 0)
#endif
