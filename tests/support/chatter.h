/* Chatter: clients of a simulated machine that send random commands of all families to few keys.
 *
 * Thread    one. Ownership: peers are the machine's. */
#pragma once
#include "tests/support/machine.h"

#define CHATTER_PEERS 5
#define CHATTER_DBS   3

struct chatter {
    struct sim *sim;
    struct prng prng;
    struct peer *peers[CHATTER_PEERS];
    bool in_multi[CHATTER_PEERS];
    uint64_t rare; /* one in so many commands empties or exchanges databases */
};

extern const struct command chatter_commands[]; /* SELECT; a table for sim_options */

void chatter_init(struct chatter *chatter, struct sim *sim, uint64_t seed); /* connects */
void chatter_say_something(struct chatter *chatter, uint32_t peer);
void chatter_end_transactions(struct chatter *chatter);
