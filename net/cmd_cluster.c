/* CLUSTER and the commands of a cluster client's connection. With the option cluster-ports they tell the threads as
 * nodes (net/cluster.h), in the forms of Redis 7.0; without it all of them answer as a Redis that is no cluster.
 *
 * What would change the cluster (ADDSLOTS, MEET, FAILOVER, ...) is refused: slots belong to threads for as long as the
 * server runs. */
#include "core/num.h"
#include "net/cluster.h"
#include "net/cmd_tables.h"
#include "shards/exec.h"
#include "shards/gather.h"
#include <stdio.h>

#define DISABLED "ERR This instance has cluster support disabled"

static bool is_on(struct exec *x) {
    if (x->shard->config->cluster_ports) return true;
    reply_error(x, DISABLED);
    return false;
}

/* --- READONLY, READWRITE, ASKING: there are no replicas, and no slot is on its way --- */

static void cmd_accepted(struct exec *x) {
    if (is_on(x)) reply_ok(x);
}

static void cmd_fixed(struct exec *x) {
    if (is_on(x))
        reply_error(x, "ERR The nodes are the threads of one server: neither they nor their slots can be changed");
}

/* --- who is there --- */

static void cmd_myid(struct exec *x) {
    struct cluster cluster;
    struct cluster_node node;
    if (!is_on(x)) return;
    cluster_read(x->shard, x->client, &cluster);
    cluster_node(&cluster, cluster.self, &node);
    reply_cstr(x, node.id);
}

/* REPLICAS, COUNT-FAILURE-REPORTS: of a node that is there. */
static bool names_node(struct exec *x) {
    struct cluster cluster;
    if (!is_on(x)) return false;
    cluster_read(x->shard, x->client, &cluster);
    if (cluster_has(&cluster, x->argv[2])) return true;
    reply_errorf(x, "ERR Unknown node %.*s", (int)MIN(x->argv[2].len, (size_t)128), x->argv[2].ptr);
    return false;
}

static void cmd_replicas(struct exec *x) {
    if (names_node(x)) reply_array(x, 0);
}

static void cmd_failure_reports(struct exec *x) {
    if (names_node(x)) reply_int(x, 0);
}

static void cmd_links(struct exec *x) {
    if (is_on(x)) reply_array(x, 0);
}

/* Each node has an epoch of its own, as after an election; the plain port, which has no slots, has none. */
static uint32_t epoch_of(uint32_t thread) {
    return thread == CLUSTER_PLAIN ? 0 : thread + 1;
}

static void cmd_cluster_info(struct exec *x) {
    struct cluster cluster;
    struct buf text;
    if (!is_on(x)) return;
    cluster_read(x->shard, x->client, &cluster);
    buf_init(&text, x->shard->heap, MEM_MESSAGE);
    buf_printf(&text, "cluster_state:ok\r\ncluster_slots_assigned:%d\r\ncluster_slots_ok:%d\r\n", HASH_SLOTS,
               HASH_SLOTS);
    buf_printf(&text, "cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:%u\r\ncluster_size:%u\r\n",
               cluster_count(&cluster), cluster.shards);
    buf_printf(&text, "cluster_current_epoch:%u\r\ncluster_my_epoch:%u\r\n", cluster.shards, epoch_of(cluster.self));
    buf_printf(&text, "cluster_stats_messages_sent:0\r\ncluster_stats_messages_received:0\r\n");
    buf_printf(&text, "total_cluster_links_buffer_limit_exceeded:0\r\n");
    resp_verbatim(x->out, x->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
}

/* A line of CLUSTER NODES. The bus port, behind the @, is 0: there is no bus. */
static void describe_node(const struct exec *x, const struct cluster *cluster, uint32_t thread, struct buf *out) {
    struct cluster_node node;
    bool self = thread == cluster->self;
    cluster_node(cluster, thread, &node);
    buf_printf(out, "%s %s:%d@0 %smaster - 0 %llu %u connected", node.id, cluster->host, node.port,
               self ? "myself," : "", self ? 0 : (unsigned long long)x->shard->now_ms, epoch_of(thread));
    if (node.has_slots && node.first == node.last)
        buf_printf(out, " %u", node.first);
    else if (node.has_slots)
        buf_printf(out, " %u-%u", node.first, node.last);
    buf_append_literal(out, "\n");
}

static void cmd_nodes(struct exec *x) {
    struct cluster cluster;
    struct buf text;
    if (!is_on(x)) return;
    cluster_read(x->shard, x->client, &cluster);
    buf_init(&text, x->shard->heap, MEM_MESSAGE);
    for (uint32_t i = 0; i < cluster.shards; i++) describe_node(x, &cluster, i, &text);
    if (cluster.self == CLUSTER_PLAIN) describe_node(x, &cluster, CLUSTER_PLAIN, &text);
    resp_verbatim(x->out, x->resp, "txt", buf_slice(&text));
    buf_deinit(&text);
}

static void cmd_slots(struct exec *x) {
    struct cluster cluster;
    struct cluster_node node;
    if (!is_on(x)) return;
    cluster_read(x->shard, x->client, &cluster);
    reply_array(x, cluster.shards);
    for (uint32_t i = 0; i < cluster.shards; i++) {
        cluster_node(&cluster, i, &node);
        reply_array(x, 3);
        reply_int(x, node.first);
        reply_int(x, node.last);
        reply_array(x, 4);
        reply_cstr(x, cluster.host);
        reply_int(x, node.port);
        reply_cstr(x, node.id);
        reply_map(x, 0); /* what else is known: other names of the host */
    }
}

static void write_shard(struct exec *x, const struct cluster *cluster, uint32_t thread) {
    struct cluster_node node;
    cluster_node(cluster, thread, &node);
    reply_map(x, 2);
    reply_cstr(x, "slots");
    reply_array(x, 2);
    reply_int(x, node.first);
    reply_int(x, node.last);
    reply_cstr(x, "nodes");
    reply_array(x, 1);
    reply_map(x, 7);
    reply_cstr(x, "id");
    reply_cstr(x, node.id);
    reply_cstr(x, "port");
    reply_int(x, node.port);
    reply_cstr(x, "ip");
    reply_cstr(x, cluster->host);
    reply_cstr(x, "endpoint");
    reply_cstr(x, cluster->host);
    reply_cstr(x, "role");
    reply_cstr(x, "master");
    reply_cstr(x, "replication-offset");
    reply_int(x, 0);
    reply_cstr(x, "health");
    reply_cstr(x, "online");
}

static void cmd_shards(struct exec *x) {
    struct cluster cluster;
    if (!is_on(x)) return;
    cluster_read(x->shard, x->client, &cluster);
    reply_array(x, cluster.shards);
    for (uint32_t i = 0; i < cluster.shards; i++) write_shard(x, &cluster, i);
}

/* --- slots and keys --- */

static void cmd_keyslot(struct exec *x) {
    if (is_on(x)) reply_int(x, hash_slot(x->argv[2]));
}

/* Asks the owner of the slot (shards/cmd_scan.c), and passes on what it says. */
static void ask_slot(struct gather *gather, int64_t slot, struct slice most) {
    char digits[NUM_U64_MAX];
    struct slice words[] = {slice_of(digits, num_format_u64(digits, (uint64_t)slot)), most};
    gather_send(gather, shard_of_slot((uint32_t)slot, gather_shards(gather)), "sherd.slot-keys", words, 2);
}

/* COUNTKEYSINSLOT slot, GETKEYSINSLOT slot count. */
static void slot_keys(struct gather *gather, bool counts) {
    int64_t slot, most = 0;
    if (gather->step > 0)
        buf_append_slice(gather_out(gather), gather_reply(gather, 0));
    else if (!gather->home->config->cluster_ports)
        gather_error(gather, DISABLED);
    else if (!num_parse_i64(gather->argv[2], &slot) || (!counts && !num_parse_i64(gather->argv[3], &most)))
        gather_error(gather, "ERR value is not an integer or out of range");
    else if (slot < 0 || slot >= HASH_SLOTS || most < 0)
        gather_error(gather, counts ? "ERR Invalid slot" : "ERR Invalid slot or number of keys");
    else
        ask_slot(gather, slot, counts ? SLICE("count") : gather->argv[3]);
}

static void count_keys_in_slot(struct gather *gather) {
    slot_keys(gather, true);
}

static void get_keys_in_slot(struct gather *gather) {
    slot_keys(gather, false);
}

static void cmd_help(struct exec *x) {
    static const char *const lines[] = {"COUNTKEYSINSLOT <slot>",
                                        "    Return how many keys <slot> has.",
                                        "GETKEYSINSLOT <slot> <count>",
                                        "    Return up to <count> keys of <slot>.",
                                        "INFO",
                                        "    Return the state of the cluster.",
                                        "KEYSLOT <key>",
                                        "    Return the slot of <key>.",
                                        "LINKS",
                                        "    Return the links between nodes: none.",
                                        "MYID",
                                        "    Return the id of the node that is asked.",
                                        "MYSHARDID",
                                        "    Return the id of its shard: the same.",
                                        "NODES",
                                        "    Return a line for each node.",
                                        "REPLICAS <node-id>",
                                        "    Return the replicas of a node: none.",
                                        "SHARDS",
                                        "    Return slots and node of each shard.",
                                        "SLOTS",
                                        "    Return the slots and who has them.",
                                        NULL};
    if (is_on(x)) reply_help(x, lines);
}

#define VIEW(word, handler)                                                                                            \
    .name = word, .arity = 2, .flags = CMD_STALE, .where = ON_CONN, .run = (handler),                                  \
    .cost = "O(S), S = number of shards"
#define OF_NODE(word, handler)                                                                                         \
    .name = word, .arity = 3, .flags = CMD_ADMIN | CMD_STALE, .where = ON_CONN, .run = (handler),                      \
    .cost = "O(S), S = number of shards", .args = "node-id:string", .tips = "nondeterministic_output"
#define FIXED(word, least, syntax)                                                                                     \
    .name = word, .arity = (least), .flags = CMD_ADMIN | CMD_STALE | CMD_NO_ASYNC_LOADING, .where = ON_CONN,           \
    .run = cmd_fixed, .cost = "O(1)", .args = syntax
#define OF_SLOT(word, count, step)                                                                                     \
    .name = word, .arity = (count), .flags = CMD_STALE, .where = ON_ALL, .across = (step),                             \
    .cost = "O(N), N = keys of the shard, in slices"
#define VARIES .tips = "nondeterministic_output"

static const struct command cluster_subs[] = {
    {VIEW("info", cmd_cluster_info), VARIES, .since = "3.0.0", .doc = "Describes the state of the cluster."},
    {VIEW("nodes", cmd_nodes), VARIES, .since = "3.0.0", .doc = "Lists the cluster's nodes."},
    {VIEW("slots", cmd_slots), VARIES, .since = "3.0.0", .doc = "Says which node has which slots."},
    {VIEW("shards", cmd_shards), VARIES, .since = "7.0.0", .doc = "Says which shard has which slots."},
    {VIEW("links", cmd_links), VARIES, .since = "7.0.0", .doc = "Lists the links between nodes; there are none."},
    {VIEW("myid", cmd_myid), .since = "3.0.0", .doc = "Returns this node's id."},
    {VIEW("myshardid", cmd_myid), .since = "7.2.0", .doc = "Returns the id of this node's shard, which is its own."},
    {.name = "help",
     .arity = 2,
     .flags = CMD_LOADING | CMD_STALE,
     .where = ON_CONN,
     .run = cmd_help,
     .cost = "O(1)",
     .since = "5.0.0",
     .doc = "Explains the subcommands of CLUSTER."},
    {.name = "keyslot",
     .arity = 3,
     .flags = CMD_STALE,
     .where = ON_CONN,
     .run = cmd_keyslot,
     .cost = "O(N), N = length of the key",
     .since = "3.0.0",
     .args = "key:string",
     .doc = "Returns the slot of a key."},
    {OF_SLOT("countkeysinslot", 3, count_keys_in_slot), .since = "3.0.0", .args = "slot:integer",
     .doc = "Counts the keys of a slot."},
    {OF_SLOT("getkeysinslot", 4, get_keys_in_slot), VARIES, .since = "3.0.0", .args = "slot:integer count:integer",
     .doc = "Names some keys of a slot."},
    {OF_NODE("replicas", cmd_replicas), .since = "5.0.0", .doc = "Lists the replicas of a node; there are none."},
    {OF_NODE("slaves", cmd_replicas), .since = "3.0.0", .doc = "The old name of CLUSTER REPLICAS."},
    {OF_NODE("count-failure-reports", cmd_failure_reports), .since = "3.0.0",
     .doc = "Counts who thinks that a node has failed; nobody does."},
    {FIXED("addslots", -3, "slot:integer [slot:integer ...]"), .since = "3.0.0",
     .doc = "Gives slots to a node; not here."},
    {FIXED("addslotsrange", -4, "start-slot:integer end-slot:integer [start-slot:integer end-slot:integer ...]"),
     .since = "7.0.0", .doc = "Gives ranges of slots to a node; not here."},
    {FIXED("bumpepoch", 2, NULL), VARIES, .since = "3.0.0", .doc = "Advances the epoch; not here."},
    {FIXED("delslots", -3, "slot:integer [slot:integer ...]"), .since = "3.0.0",
     .doc = "Takes slots from a node; not here."},
    {FIXED("delslotsrange", -4, "start-slot:integer end-slot:integer [start-slot:integer end-slot:integer ...]"),
     .since = "7.0.0", .doc = "Takes ranges of slots from a node; not here."},
    {FIXED("failover", -2, "[FORCE | TAKEOVER]"), .since = "3.0.0", .doc = "Makes a replica a master; not here."},
    {FIXED("flushslots", 2, NULL), .since = "3.0.0", .doc = "Takes all slots from a node; not here."},
    {FIXED("forget", 3, "node-id:string"), .since = "3.0.0", .doc = "Removes a node; not here."},
    {FIXED("meet", -4, "ip:string port:integer [cluster-bus-port:integer]"), .since = "3.0.0",
     .doc = "Adds a node; not here."},
    {FIXED("replicate", 3, "node-id:string"), .since = "3.0.0", .doc = "Makes a node a replica; not here."},
    {.name = "reset",
     .arity = -2,
     .flags = CMD_ADMIN | CMD_STALE | CMD_NOSCRIPT,
     .where = ON_CONN,
     .run = cmd_fixed,
     .cost = "O(1)",
     .since = "3.0.0",
     .args = "[HARD | SOFT]",
     .doc = "Leaves the cluster; not here."},
    {FIXED("saveconfig", 2, NULL), .since = "3.0.0", .doc = "Writes the configuration of the cluster; not here."},
    {FIXED("set-config-epoch", 3, "config-epoch:integer"), .since = "3.0.0", .doc = "Sets the epoch; not here."},
    {FIXED("setslot", -4,
           "slot:integer <IMPORTING node-id:string | MIGRATING node-id:string | NODE node-id:string | STABLE>"),
     .since = "3.0.0", .doc = "Moves a slot; not here."},
    {.name = NULL},
};

#define OF_CONNECTION                                                                                                  \
    .arity = 1, .acl = ACL_CONNECTION, .where = ON_CONN, .run = cmd_accepted, .group = "cluster", .cost = "O(1)"

const struct command cluster_commands[] = {
    {.name = "cluster",
     .arity = -2,
     .where = ON_CONN,
     .subs = cluster_subs,
     .group = "cluster",
     .since = "3.0.0",
     .doc = "Holds the commands about the cluster."},
    {.name = "readonly",
     OF_CONNECTION,
     .flags = CMD_FAST | CMD_LOADING | CMD_STALE,
     .since = "3.0.0",
     .doc = "Allows reads from a cluster's replica."},
    {.name = "readwrite",
     OF_CONNECTION,
     .flags = CMD_FAST | CMD_LOADING | CMD_STALE,
     .since = "3.0.0",
     .doc = "Ends READONLY."},
    {.name = "asking",
     OF_CONNECTION,
     .flags = CMD_FAST,
     .since = "3.0.0",
     .doc = "Allows the next command on a slot that is moving in."},
    {.name = NULL},
};
