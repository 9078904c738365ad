/* Args work: a command with very many arguments of one kind does some of them in each turn (shards/work.h).
 *
 *    static void cmd_sadd(struct exec *x) {
 *        struct key_ref ref;
 *        if (!exec_open(x, 1, TYPE_SET, &ref)) return;             // all errors
 *        if (args_take_turns(x, (struct args_parts){.first = 2, .step = 1, .reply = ARGS_ADD_UP})) return;
 *        ...
 *    }
 *
 * Each part is the same command with fewer arguments: those before `first`, and then the next of them. The same handler
 * runs it, and what the parts answer becomes the reply. So this is for handlers of which that is true: SADD of five
 * members is SADD of three and SADD of two, with the sum for a reply, once all are known to be sound.
 *
 *    Time   All parts run as of the instant of the first: the key's time is not over in the middle, nor is that of a
 *           field, and a deadline that is given in seconds from now is the same in all. If the key is taken out all the
 *           same, between two parts, by whoever looks for what is over, then it was not there: all begins again. Unless
 *           the command takes something out, which just finds nothing more.
 *    Told   keyspace events are told once and not by each part (shards/notify.h), hits and misses count once, and the
 *           journal hears of all parts together.
 *
 * The key is argv[1]; the row says takes_turns.
 * Owner     the request, as of any work. Thread: the key's owner. Memory: the arguments of a part, and the reply so
 *           far.
 * Cost      a comparison for commands with few arguments. */
#pragma once
#include "shards/exec.h"
#include "shards/work.h"

enum args_reply {
    ARGS_LAST,   /* what the last part answers: a length, OK */
    ARGS_ADD_UP, /* the sum of integers */
    ARGS_ANY,    /* 1 if one of them is 1 */
    ARGS_LIST,   /* an array with an element for each step */
};

struct args_parts {
    uint32_t first, step; /* so many arguments belong together */
    uint32_t count_at;    /* where it is said how many steps there are (HEXPIRE's numfields); 0: nowhere */
    enum args_reply reply;
};

COLD bool args_take_turns_slow(struct exec *x, struct args_parts parts);
/* True: it takes turns, and there is no reply yet. */
HOT_INLINE bool args_take_turns(struct exec *x, struct args_parts parts) {
    return UNLIKELY(x->argc > WORK_AT_ONCE) && args_take_turns_slow(x, parts);
}
