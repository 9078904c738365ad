/* Join: which operation on several sets or sorted sets, and what for. What the commands on one shard
 * (cmd_set_algebra.c, cmd_zset_join.c) and those over several (shards/wide_join.h) have in common. */
#pragma once

enum join_operation { JOIN_UNION, JOIN_INTER, JOIN_DIFF };
enum join_form { JOIN_ANSWERS, JOIN_COUNTS, JOIN_STORES };
