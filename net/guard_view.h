/* Guard view: every limit that the server keeps, in one list: how near it is, when it is reached at the present rate,
 * and what is done about it. What GUARD STATUS and INFO guard say.
 *
 * The limits themselves are kept elsewhere, each where it hurts: memory and its clients' share by net/ceiling.h, the
 * disk by persist/guard.h, connections by net/listener.h. This asks them.
 *
 * Thread    any shard's own: figures that others have published, some of them under the guard's lock. No system call;
 *           O(shards). */
#pragma once
#include "core/defs.h"

struct shard;

enum guard_view_state {
    GUARD_VIEW_OK,
    GUARD_VIEW_NEAR,     /* nine tenths of it are used */
    GUARD_VIEW_BRAKING,  /* whoever asks for more is slowed down, or others make room */
    GUARD_VIEW_REFUSING, /* and is refused */
};
const char *guard_view_state_name(enum guard_view_state state);

struct guard_view_limit {
    const char *name;   /* of the limit: "memory" */
    const char *option; /* that sets it */
    const char *unit;   /* "bytes", "ms", "clients" */
    uint64_t value, limit;
    double per_second;    /* how fast value grows, of late; 0 where nobody measures it */
    int64_t seconds_left; /* until it is reached at that rate; -1: not in sight */
    enum guard_view_state state;
    char reason[256]; /* one sentence for people: what is done and why; "": nothing */
};
#define GUARD_VIEW_MAX 8

struct guard_view {
    struct guard_view_limit limits[GUARD_VIEW_MAX];
    unsigned count;
    enum guard_view_state state; /* the worst of them */
};
/* Limits that nobody set are left out. */
void guard_view_read(const struct shard *home, struct guard_view *out);
