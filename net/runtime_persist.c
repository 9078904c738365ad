/* The runtime's side of net/runtime.h about persistence. This server has none yet: it saves nothing and loads nothing.
 * */
#include "net/runtime.h"

struct checkpoints *net_checkpoints(const struct shard *shard) {
    (void)shard;
    return NULL;
}

void net_persist_facts(const struct shard *shard, struct persist_facts *out) {
    (void)shard;
    *out = (struct persist_facts){0};
}
