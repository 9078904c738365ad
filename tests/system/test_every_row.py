#!/usr/bin/env python3
"""Every row of the command table is exercised: done at least once, and refused or failed at least once.

How      the differential driver's grammars (tests/model), which the model tests compare with redis-server, play 4000 commands
         each of one seed, and all wrong arities; what they cannot have, because Redis 7.0 has no such command or because it is about the server itself, is
         the table ALSO below, each with the reply that proves it. Then INFO commandstats, the server's own count per row and
         subcommand, must have calls that were done and calls that were not for every name in COMMAND LIST.
         A failure names the rows: give the family a producer, or ALSO two lines."""

import os
import sys

sys.dont_write_bytecode = True
TESTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path[:0] = [TESTS, os.path.join(TESTS, "model")]

import differential  # noqa: E402
import families  # noqa: E402
from support import resp  # noqa: E402
from support.case import ServerCase, main, sherd_only  # noqa: E402

SEED, COMMANDS, BATCH = 1, 4000, 200
# Not played: afterwards the connection, the server or the counts would be gone.
LEFT_OUT = {b"SHUTDOWN", b"QUIT", b"MONITOR", b"CONFIG RESETSTAT"}

# Commands by line; "-" in front: an error is expected. What Redis 7.0 has not, or what is about the server itself.
ALSO = """
SET k v IFEQ x
DELIFEQ k v
DELEX k
-DELEX k IFEQ
DIGEST k
-DIGEST
PFSELFTEST
-PFSELFTEST x
WAITAOF 0 0 0
-WAITAOF 0 0
-DELIFEQ k
PFADD hll a
PFDEBUG TODENSE hll
WAIT 0 0
-WAIT 0
SCAN 0
MSETEX 2 a 1 b 2 EX 100
-MSETEX 3 a 1 b 2
-MGET
-DEL
-UNLINK
-EXISTS
-TOUCH
-OBJECT IDLETIME
-OBJECT REFCOUNT
-PTTL
-EXPIRETIME
-KEYS
-RANDOMKEY x
-DBSIZE x
-HRANDFIELD h 1 2 3
-BZPOPMAX k
-BZPOPMIN k
-ZREVRANGEBYLEX z a
ZADD z 1 m
BZMPOP 1 1 z MIN
-COMMAND COUNT x
COMMAND DOCS get
COMMAND GETKEYSANDFLAGS GET k
-COMMAND GETKEYSANDFLAGS PING
COMMAND HELP
-COMMAND HELP x
-COMMAND LIST FILTERBY x
HSET h a 1
HEXPIRE h 100 FIELDS 1 a
HPEXPIRE h 100000 FIELDS 1 a
HEXPIREAT h 4000000000 FIELDS 1 a
HPEXPIREAT h 4000000000000 FIELDS 1 a
HTTL h FIELDS 1 a
HPTTL h FIELDS 1 a
HEXPIRETIME h FIELDS 1 a
HPEXPIRETIME h FIELDS 1 a
HPERSIST h FIELDS 1 a
HGETEX h PERSIST FIELDS 1 a
HSETEX h EX 100 FIELDS 1 a 1
XGROUP CREATE x g 0 MKSTREAM
XGROUP SETID x g 0
XGROUP HELP
-XGROUP HELP x
HGETDEL h FIELDS 1 a
-HEXPIRE h 100 FIELDS 2 a
-HPEXPIRE h 100 FIELDS 2 a
-HEXPIREAT h 100 FIELDS 2 a
-HPEXPIREAT h 100 FIELDS 2 a
-HTTL h FIELDS 2 a
-HPTTL h FIELDS 2 a
-HEXPIRETIME h FIELDS 2 a
-HPEXPIRETIME h FIELDS 2 a
-HPERSIST h FIELDS 2 a
-HGETEX h FIELDS 2 a
-HSETEX h FIELDS 2 a 1
-HGETDEL h FIELDS 2 a
PUBLISH c m
-PUBLISH c
SPUBLISH c m
-SPUBLISH c
PUBSUB CHANNELS
-PUBSUB CHANNELS a b
PUBSUB NUMSUB
PUBSUB NUMPAT
-PUBSUB NUMPAT x
PUBSUB SHARDCHANNELS
-PUBSUB SHARDCHANNELS a b
PUBSUB SHARDNUMSUB
PUBSUB HELP
-PUBSUB HELP x
UNSUBSCRIBE
PUNSUBSCRIBE
SUNSUBSCRIBE
-SUBSCRIBE
-PSUBSCRIBE
-SSUBSCRIBE
-RESET x
CLIENT SETINFO LIB-NAME x
-CLIENT SETINFO x y
CLIENT INFO
-CLIENT INFO x
CLIENT LIST
-CLIENT LIST x
CLIENT KILL ID 999999
-CLIENT KILL x
CLIENT PAUSE 0
-CLIENT PAUSE x
CLIENT UNPAUSE
-CLIENT UNPAUSE x
CLIENT NO-TOUCH OFF
-CLIENT NO-TOUCH x
-CLIENT GETNAME x
CLIENT HELP
-CLIENT HELP x
-CONFIG GET
-CONFIG RESETSTAT x
-CONFIG REWRITE
CONFIG HELP
-CONFIG HELP x
-SLOWLOG LEN x
-SLOWLOG RESET x
SLOWLOG HELP
-SLOWLOG HELP x
-DEBUG
-TIME x
-SHUTDOWN ABORT
LOLWUT
-LOLWUT VERSION x
ROLE
-ROLE x
REPLICAOF NO ONE
-REPLICAOF x
SLAVEOF NO ONE
-SLAVEOF x
ACL WHOAMI
-ACL WHOAMI x
ACL HELP
-ACL HELP x
MODULE LIST
-MODULE LIST x
MODULE HELP
-MODULE HELP x
CLUSTER INFO
CLUSTER NODES
CLUSTER SLOTS
CLUSTER SHARDS
CLUSTER LINKS
CLUSTER MYID
CLUSTER MYSHARDID
CLUSTER HELP
CLUSTER KEYSLOT k
CLUSTER COUNTKEYSINSLOT 1
CLUSTER GETKEYSINSLOT 1 1
-CLUSTER INFO x
-CLUSTER NODES x
-CLUSTER SLOTS x
-CLUSTER SHARDS x
-CLUSTER LINKS x
-CLUSTER MYID x
-CLUSTER MYSHARDID x
-CLUSTER HELP x
-CLUSTER KEYSLOT
-CLUSTER COUNTKEYSINSLOT x
-CLUSTER GETKEYSINSLOT 1 x
-CLUSTER REPLICAS x
-CLUSTER SLAVES x
-CLUSTER COUNT-FAILURE-REPORTS x
-CLUSTER ADDSLOTS 1
-CLUSTER ADDSLOTSRANGE 1 2
-CLUSTER BUMPEPOCH
-CLUSTER DELSLOTS 1
-CLUSTER DELSLOTSRANGE 1 2
-CLUSTER FAILOVER
-CLUSTER FLUSHSLOTS
-CLUSTER FORGET x
-CLUSTER MEET h 1
-CLUSTER REPLICATE x
-CLUSTER RESET
-CLUSTER SAVECONFIG
-CLUSTER SET-CONFIG-EPOCH 1
-CLUSTER SETSLOT 1 STABLE
SAVE
-SAVE x
BGSAVE
-BGSAVE x
BGREWRITEAOF
-BGREWRITEAOF x
LASTSAVE
-LASTSAVE x
-EXPORT x y
INFO
XINFO HELP
LATENCY LATEST
-LATENCY LATEST x
LATENCY HISTORY x
-LATENCY HISTORY
LATENCY RESET
LATENCY HELP
-LATENCY HELP x
LATENCY DOCTOR
-LATENCY DOCTOR x
-LATENCY GRAPH x
MEMORY STATS
-MEMORY STATS x
MEMORY DOCTOR
-MEMORY DOCTOR x
MEMORY MALLOC-STATS
-MEMORY MALLOC-STATS x
MEMORY PURGE
-MEMORY PURGE x
MEMORY HELP
-MEMORY HELP x
GUARD STATUS
-GUARD STATUS x
GUARD HELP
-GUARD HELP x
READONLY
READWRITE
ASKING
-READONLY x
-READWRITE x
-ASKING x
MONITOR
-MONITOR x
SUBSCRIBE c
PSUBSCRIBE c*
SSUBSCRIBE c
QUIT
EXPORT RDB whole.rdb
"""
# What has no way to fail.
NEVER_FAIL = {"command|docs", "command|info", "unsubscribe", "punsubscribe", "sunsubscribe", "pubsub|numsub", "pubsub|shardnumsub", "quit", "info", "latency|histogram",
              "latency|reset"}
# What is the end of it all, of the counts, needs a configuration file, a latency event or an id that nobody knows before, or would change the cluster.
NEVER_DONE = {"shutdown", "config|resetstat", "config|rewrite", "latency|graph", "cluster|replicas", "cluster|slaves", "cluster|count-failure-reports",
              "cluster|addslots", "cluster|addslotsrange", "cluster|bumpepoch", "cluster|delslots", "cluster|delslotsrange", "cluster|failover",
              "cluster|flushslots", "cluster|forget", "cluster|meet", "cluster|replicate", "cluster|reset", "cluster|saveconfig",
              "cluster|set-config-epoch", "cluster|setslot"}
OWN_CONNECTION = ("MONITOR", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "QUIT")


def stats(client):
    """{name: (done, refused)} of INFO commandstats; subcommands as "container|name"."""
    out = {}
    for line in bytes(client.must("INFO", "commandstats")).decode().splitlines():
        if not line.startswith("cmdstat_"):
            continue
        name, fields = line[len("cmdstat_") :].split(":")
        values = dict(field.split("=") for field in fields.split(","))
        failed = int(values["failed_calls"])
        out[name] = int(values["calls"]) - failed, failed + int(values["rejected_calls"])
    return out


def is_left_out(args):
    return args[0].upper() in LEFT_OUT or b" ".join(args[:2]).upper() in LEFT_OUT


@sherd_only
class EveryRow(ServerCase):
    options = (*differential.OPTIONS, "--cluster-ports", "yes")
    threads = 2

    def play(self, family):
        """Each by itself, so that what one of them draws does not depend on the others."""
        grammar = differential.Grammar([family], SEED)
        grammar.gen.proto = 2
        client = self.client(timeout=120)
        client.must("FLUSHALL")
        steps = [step for step in grammar.steps(COMMANDS) if not step[0].live]
        for at in range(0, len(steps), BATCH):
            cmds = [cmd for step in steps[at : at + BATCH] for cmd in step if not is_left_out(cmd.args)]
            answered = sum(not cmd.quiet for cmd in cmds)
            client.exchange(b"".join(resp.encode(cmd.args) for cmd in cmds), answered)

    def play_also(self):
        client = self.client(timeout=60)
        for line in ALSO.strip().splitlines():
            fails = line.startswith("-")
            words = line.lstrip("-").split()
            reply = (self.client() if words[0] in OWN_CONNECTION else client).call(*words)
            self.assertEqual(isinstance(reply, resp.Error), fails, "%s: %r" % (line, reply))

    def test_every_row(self):
        client = self.client(timeout=60)
        names = [bytes(name).decode() for name in client.must("COMMAND", "LIST")]
        containers = {name.split("|")[0] for name in names if "|" in name}
        for family in families.names():
            self.play(family)
        for line in families.load("connection").ARITIES:
            self.assertIsInstance(client.call(*line.split()), resp.Error, line)
        client.must("FLUSHALL")
        self.play_also()
        seen = stats(client)
        not_done = [name for name in names if name not in containers | NEVER_DONE and not seen.get(name, (0, 0))[0]]
        not_refused = [name for name in names if name not in containers | NEVER_FAIL and not seen.get(name, (0, 0))[1]]
        self.assertFalse(not_done or not_refused, "\nnothing does: %s\nnothing makes fail: %s" % (" ".join(not_done), " ".join(not_refused)))


if __name__ == "__main__":
    main()
