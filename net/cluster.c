/* Which host is told? A client knows the server by some address, and other addresses may lead nowhere from where it is.
 * So the one it has used itself is right, and the option cluster-announce-ip is for where addresses are translated on
 * the way (containers). Who comes by the unix socket is on this machine, and gets an address at which the first
 * endpoint listens. */
#include "net/cluster.h"
#include "net/listener.h"
#include "net/thread.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

/* "1.2.3.4:6379" and "[::1]:6379" without port and brackets. */
static void host_of(char *address) {
    char *colon = strrchr(address, ':');
    if (colon) *colon = 0;
    size_t len = strlen(address);
    if (address[0] != '[' || len < 2) return;
    memmove(address, address + 1, len - 2);
    address[len - 2] = 0;
}

static const struct listener *first_endpoint(const struct server *server) {
    for (uint32_t i = 0; i < server->listener_count; i++)
        if (server->listeners[i].endpoint) return &server->listeners[i];
    return NULL;
}

/* Where it listens, seen from this machine. */
static void host_of_listener(const struct listener *listener, char out[CLUSTER_HOST_MAX]) {
    struct sockaddr_storage name = {0};
    socklen_t len = sizeof name;
    snprintf(out, CLUSTER_HOST_MAX, "127.0.0.1");
    if (!listener || getsockname(listener->fd, (struct sockaddr *)&name, &len) != 0) return;
    if (name.ss_family == AF_INET6) {
        const struct in6_addr *in6 = &((const struct sockaddr_in6 *)&name)->sin6_addr;
        inet_ntop(AF_INET6, IN6_IS_ADDR_UNSPECIFIED(in6) ? &in6addr_loopback : in6, out, CLUSTER_HOST_MAX);
        return;
    }
    const struct in_addr *in4 = &((const struct sockaddr_in *)&name)->sin_addr;
    if (in4->s_addr != htonl(INADDR_ANY)) inet_ntop(AF_INET, in4, out, CLUSTER_HOST_MAX);
}

static void find_host(const struct shard *shard, const struct client *client, char out[CLUSTER_HOST_MAX]) {
    if (shard->config->cluster_announce_ip[0]) {
        snprintf(out, CLUSTER_HOST_MAX, "%s", shard->config->cluster_announce_ip);
    } else if (client && client->carrier && !(client->flags & CLIENT_UNIX_SOCKET)) {
        client->carrier->address(client, true, out, CLUSTER_HOST_MAX);
        host_of(out);
    } else {
        host_of_listener(first_endpoint(thread_of(shard)->server), out);
    }
}

void cluster_read(const struct shard *shard, const struct client *client, struct cluster *out) {
    bool endpoint = client && client->flags & CLIENT_ENDPOINT;
    *out = (struct cluster){.run_id = thread_of(shard)->server->run_id,
                            .port = shard->config->port,
                            .shards = shard->count,
                            .self = endpoint ? shard->id : CLUSTER_PLAIN};
    find_host(shard, client, out->host);
}

void cluster_node(const struct cluster *cluster, uint32_t thread, struct cluster_node *out) {
    ASSERT(thread < cluster->shards || thread == CLUSTER_PLAIN);
    *out = (struct cluster_node){.port = cluster->port};
    memcpy(out->id, cluster->run_id, CLUSTER_ID_LEN - 2);
    snprintf(out->id + CLUSTER_ID_LEN - 2, 3, "%02x", thread & 0xFF);
    if (thread == CLUSTER_PLAIN) return;
    out->port = listener_endpoint_port(cluster->port, thread);
    out->has_slots = true;
    out->first = shard_first_slot(thread, cluster->shards);
    out->last = shard_first_slot(thread + 1, cluster->shards) - 1;
}

bool cluster_has(const struct cluster *cluster, struct slice id) {
    struct cluster_node node;
    for (uint32_t i = 0; i < cluster_count(cluster); i++) {
        cluster_node(cluster, i < cluster->shards ? i : CLUSTER_PLAIN, &node);
        if (slice_equal(id, slice_of_cstr(node.id))) return true;
    }
    return false;
}
