/* The command tables of this floor, one per family, each ended by a row without name. */
#pragma once
#include "shards/command.h"

extern const struct command string_compare_commands[]; /* cmd_string_compare.c: DELEX, DIGEST */
extern const struct command string_commands[];      /* cmd_string.c: whole values */
extern const struct command string_edit_commands[]; /* cmd_string_edit.c: parts and numbers */
extern const struct command string_many_commands[]; /* cmd_string_many.c: several keys */
extern const struct command msetex_commands[];      /* cmd_msetex.c: several keys, with one deadline */
extern const struct command bit_commands[];         /* cmd_bit.c: one bit, counting, finding */
extern const struct command bitfield_commands[];    /* cmd_bitfield.c: integers inside of strings */
extern const struct command bitop_commands[];       /* cmd_bitop.c: several strings, bit by bit */
extern const struct command hll_commands[];         /* cmd_hll.c: HyperLogLog */
extern const struct command list_commands[];        /* cmd_list.c: one list */
extern const struct command list_move_commands[];   /* cmd_list_move.c: from list to list, LMPOP */
extern const struct command set_commands[];         /* cmd_set.c: one set, SMOVE */
extern const struct command set_random_commands[];  /* cmd_set_random.c: SRANDMEMBER, SPOP */
extern const struct command set_algebra_commands[]; /* cmd_set_algebra.c: from several sets to one */
extern const struct command hash_commands[];        /* cmd_hash.c: field by field */
extern const struct command hash_visit_commands[];  /* cmd_hash_visit.c: all fields, some at random, HSCAN */
extern const struct command hash_expire_commands[]; /* cmd_hash_expire.c: fields that end by themselves */
extern const struct command zset_commands[];        /* cmd_zset.c: members and scores */
extern const struct command zset_range_commands[];  /* cmd_zset_range.c: what lies between two places */
extern const struct command zset_pop_commands[];    /* cmd_zset_pop.c: the ends, also waiting */
extern const struct command zset_join_commands[];   /* cmd_zset_join.c: union, intersection, difference */
extern const struct command geo_commands[];         /* cmd_geo.c: places of members */
extern const struct command geo_search_commands[];  /* cmd_geo_search.c: members within a shape */
extern const struct command stream_commands[];      /* cmd_stream.c: entries come and go */
extern const struct command stream_read_commands[]; /* cmd_stream_read.c: XREAD, XREADGROUP, also waiting */
extern const struct command stream_group_commands[];   /* cmd_stream_group.c: XGROUP, XACK */
extern const struct command stream_pending_commands[]; /* cmd_stream_pending.c: XPENDING */
extern const struct command stream_claim_commands[];   /* cmd_stream_claim.c: XCLAIM, XAUTOCLAIM */
extern const struct command stream_info_commands[];    /* cmd_stream_info.c: XINFO */
extern const struct command generic_commands[];     /* cmd_generic.c: existence, type, OBJECT */
extern const struct command expire_commands[];      /* cmd_expire.c: deadlines */
extern const struct command rename_commands[];      /* cmd_rename.c: other names, other databases */
extern const struct command scan_commands[];        /* cmd_scan.c: KEYS, SCAN, RANDOMKEY */
extern const struct command sort_commands[];        /* cmd_sort.c: SORT */
extern const struct command dump_commands[];        /* cmd_dump.c: DUMP, RESTORE */
extern const struct command database_commands[];    /* cmd_database.c: FLUSHALL, SWAPDB, DBSIZE */
extern const struct command cut_commands[];         /* cmd_cut.c: one instant of all shards */
extern const struct command blocking_commands[];    /* cmd_blocking.c: lists, waiting until there is something */
extern const struct command transaction_commands[]; /* cmd_transaction.c: MULTI, EXEC, WATCH */
extern const struct command pubsub_commands[];      /* cmd_pubsub.c: SUBSCRIBE, PUBLISH, PUBSUB */
extern const struct command monitor_commands[];     /* monitor.c: MONITOR */
extern const struct command piece_commands[];       /* piece.c: what steps read of large values */
extern const struct command aside_commands[];       /* aside.c: what they build */
extern const struct command tell_commands[];        /* tell_work.c: what stands in for them */
extern const struct command part_commands[];        /* part.c: what transactions send to shards */
extern const struct command command_commands[];     /* cmd_command.c: COMMAND and its views */

/* All of them, for whoever lists tables: a new one is added above and here, and nowhere else. */
/* clang-format off */
#define SHARD_COMMAND_TABLES \
    string_commands, string_edit_commands, string_many_commands, bit_commands, bitfield_commands,                     \
    bitop_commands, hll_commands, generic_commands, expire_commands, rename_commands, scan_commands,                  \
    dump_commands, database_commands, command_commands, list_commands, list_move_commands, hash_commands,             \
    hash_visit_commands, set_commands, set_random_commands, set_algebra_commands, transaction_commands,               \
    part_commands, cut_commands, pubsub_commands, blocking_commands, zset_commands, zset_range_commands,              \
    zset_pop_commands, zset_join_commands, sort_commands, geo_commands, geo_search_commands, hash_expire_commands,    \
    msetex_commands, stream_commands, stream_read_commands, stream_group_commands, stream_pending_commands,           \
    stream_claim_commands, stream_info_commands, monitor_commands, string_compare_commands, piece_commands,           \
    aside_commands, tell_commands
/* clang-format on */
