/* Cluster: the threads of this server as a cluster client sees them (option cluster-ports).
 *
 * Thread i owns the slots of shard i and listens on a port of its own, port + 1 + i. CLUSTER tells these as nodes, so
 * that any client of a Redis Cluster sends each command to the thread that has its keys, and nothing has to hop. It is
 * one server all the same: every port answers every command, whatever its keys, so there is no MOVED, no ASK and no
 * CROSSSLOT, and the nodes never change.
 *
 * The plain port is no owner of slots. To a client that asks there it is one more node, "myself", without slots; it is
 * not told of elsewhere, so that who adds up the nodes does not count keys twice. For the same reason commands about
 * all keys (DBSIZE, SCAN, KEYS, RANDOMKEY) are about the one shard at a thread's own port (command.per_node).
 *
 * Ids      40 hexadecimal digits: the run id, but for the last two, which are the number of the thread; ff: the plain
 *          port. They differ between nodes and live as long as the process.
 * Thread   the asking client's. Cost: a system call (the address) per cluster_read. */
#pragma once
#include "shards/shard.h"

#define CLUSTER_HOST_MAX 256
#define CLUSTER_ID_LEN   40
#define CLUSTER_PLAIN    0xFFu /* in place of a thread's number: the plain port */

struct cluster {
    const char *run_id; /* borrowed from the server */
    char
        host[CLUSTER_HOST_MAX]; /* of all nodes: cluster-announce-ip, or the address that the client has connected to */
    int port;                   /* the plain one */
    uint32_t shards;
    uint32_t self; /* whose port the client has come in at: a thread, or CLUSTER_PLAIN */
};

struct cluster_node {
    char id[CLUSTER_ID_LEN + 1];
    int port;
    bool has_slots; /* first to last; all but the plain port have some */
    uint32_t first, last;
};

/* client: who asks, NULL: the server itself. */
void cluster_read(const struct shard *shard, const struct client *client, struct cluster *out);
/* Nodes that this client is told of: threads, and where it is itself there, the plain port. */
HOT_INLINE uint32_t cluster_count(const struct cluster *cluster) {
    return cluster->shards + (cluster->self == CLUSTER_PLAIN);
}
/* thread: its number, or CLUSTER_PLAIN. */
void cluster_node(const struct cluster *cluster, uint32_t thread, struct cluster_node *out);
/* Is there a node with this id? */
bool cluster_has(const struct cluster *cluster, struct slice id);
