/* When a client wishes to be elsewhere. All numbers are the caller's: no clock, no shard. */
#include "shards/homing.h"

#define BUSY_FROM  600 /* permille: below it a thread has room for what a client costs */
#define BUSY_AHEAD 50  /* by so much it must be busier to count as that: less is noise */

static uint64_t patience_of(const struct homing *homing, uint64_t now_ns, uint64_t patience_ns) {
    bool lately = homing->moved_ns && now_ns - homing->moved_ns < HOMING_LATELY_NS;
    return lately ? patience_ns << MIN(homing->moves, (uint8_t)HOMING_DOUBLINGS) : patience_ns;
}

bool homing_look(struct homing *homing, uint64_t commands, uint64_t now_ns, uint64_t patience_ns) {
    uint64_t all = commands - homing->from_commands, known = (uint64_t)homing->hits + homing->neutral;
    uint64_t elsewhere = all > known ? all - known : 0; /* other shards, and here */
    uint64_t keyed = homing->hits + elsewhere;
    if (homing->hits * 100ull < keyed * HOMING_SHARE) {
        homing_begin(homing, homing->shard, 1, commands, now_ns);
        return false;
    }
    if (keyed < HOMING_COMMANDS) return false;
    if (!patience_ns || now_ns - homing->from_ns < patience_of(homing, now_ns, patience_ns)) {
        if (homing->hits > UINT32_MAX / 2) homing_begin(homing, homing->shard, 1, commands, now_ns);
        return false;
    }
    homing_begin(homing, homing->shard, 1, commands, now_ns);
    return true;
}

struct homing homing_after_move(const struct homing *homing, uint64_t now_ns) {
    bool lately = homing->moved_ns && now_ns - homing->moved_ns < HOMING_LATELY_NS;
    uint8_t moves = lately ? homing->moves : 0;
    return (struct homing){.moved_ns = MAX(now_ns, 1ull), .moves = (uint8_t)(moves + (moves < HOMING_DOUBLINGS))};
}

bool homing_is_welcome(uint32_t busy_here, uint32_t busy_there) {
    return busy_there < BUSY_FROM || busy_there <= busy_here + BUSY_AHEAD;
}
