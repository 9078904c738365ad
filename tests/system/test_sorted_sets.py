#!/usr/bin/env python3
"""Sorted sets: what waits for them and what comes of several on several shards, on sherd and on redis-server side by side with
1, 2 and 7 threads; who watches them sees every change; and a long one (10 million members with SHERD_LONG=1) that is
deleted, overwritten, emptied, flushed or expires is freed in slices, while others are served, and its memory comes back."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.beside import BesideCase, commands_of  # noqa: E402
from support.case import LONG, SLAB_KEEPS, ServerCase, main, sherd_only, spread_keys, wait_until  # noqa: E402

KEYS = spread_keys(7)
A, B, C, D = KEYS[0], KEYS[2], KEYS[4], KEYS[6]
script = commands_of(A=A, B=B, C=C, D=D)
NONE = resp.NULL_ARRAY


class Together:
    def test_waiting(self):
        """What makes a sorted set serves who waits for one; a list under the same name does not."""
        a, b = self.pairs_of(2)
        for wait in script("BZPOPMIN A 0; BZPOPMAX C A 0; BZMPOP 0 1 A MIN; BZMPOP 0 2 D A MAX COUNT 2"):
            for make in script("ZADD A 1 one 2 two; ZINCRBY A 3 m; ZUNIONSTORE A 1 B; ZINTERSTORE A 2 B B; ZDIFFSTORE A 2 B C; ZRANGESTORE A B 0 -1; "
                               "RENAME B A; COPY B A"):
                b.all(("DEL", A, B, C, D), ("ZADD", B, "1", "x", "2", "y"))
                a.block(*wait)
                b.all(("RPUSH", A, "no"), ("DEL", A))
                a.quiet()
                b(*make)
                self.assertIsInstance(a.reply(), list)
                b("ZRANGE", A, 0, -1, "WITHSCORES")

    def test_lists_and_sorted_sets_of_one_name(self):
        a, b, c = self.pairs_of(3)
        a.block("BLPOP", A, 0)
        b.block("BZPOPMIN", A, 0)
        c("ZADD", A, "1", "m")
        self.assertEqual(b.reply(), [A.encode(), b"m", b"1"])
        a.quiet()
        c("RPUSH", A, "x")
        self.assertEqual(a.reply(), [A.encode(), b"x"])

    def test_the_order_of_those_that_wait(self):
        clients, b = self.pairs_of(4), self.pair()
        for client, command in zip(clients, script("BZPOPMIN A B 0; BZPOPMAX B A 0; BZMPOP 0 2 C A MAX COUNT 2; BZPOPMIN A 0")):
            client.block(*command)
        b("ZADD", A, *[word for i in range(8) for word in (i, "m%d" % i)])
        for client in clients:
            client.reply()
        b("ZRANGE", A, 0, -1, "WITHSCORES")

    def test_first_of_many_places(self):
        """COUNT drops most of what it finds on the way, and what is left is what comes first."""
        b = self.pair()
        places = [("%.6f" % (i * 7919 % 3001 * 0.003), "%.6f" % (i * 104729 % 2999 * 0.002), "m%d" % i) for i in range(4000)]
        for at in range(0, len(places), 500):
            b("GEOADD", A, *[word for place in places[at : at + 500] for word in place])
        for count in (1, 10, 600, 1500, 3999, 5000):
            for order in ((), ("ASC",), ("DESC",)):
                b("GEOSEARCH", A, "FROMLONLAT", 1, 1, "BYRADIUS", 2000, "km", *order, "COUNT", count, "WITHDIST")
            b("GEOSEARCHSTORE", B, A, "FROMMEMBER", "m77", "BYBOX", 900, 900, "km", "COUNT", count, "DESC", "STOREDIST")
            b("ZRANGE", B, 0, -1, "WITHSCORES")

    def test_no_waiting(self):
        for protocol in (2, 3):
            a = self.pair(protocol)
            for command in script("ZADD B 1 a 2 b 3 c 4 d 5 e; BZPOPMIN A B 0; BZPOPMAX B 0; BZMPOP 0 2 A B MIN COUNT 2; BZPOPMIN A 0.01; BZMPOP 0.01 2 A C MAX; "
                                  "SET D x; BZPOPMIN A D 0; BZMPOP 0 2 D B MIN; BZPOPMAX A x; BZPOPMAX A -1; BZMPOP x 1 A MIN; BZMPOP 0 0 A MIN; DEL D B; "
                                  "MULTI; BZPOPMIN A 0; BZMPOP 0 1 A MIN; EXEC"):
                a(*command)

    def test_joins_over_shards(self):
        for protocol in (2, 3):
            a = self.pair(protocol)
            for command in script(
                "FLUSHALL; ZADD A 1 a 2 b 3 c; ZADD B 10 b 20 c 30 d; ZADD C inf c -inf b; ZUNION 3 A B C WITHSCORES; ZINTER 3 A B C WITHSCORES; "
                "ZUNION 4 A B C D WEIGHTS 1 -1 0 5 AGGREGATE MAX WITHSCORES; ZDIFF 3 A B D WITHSCORES; ZINTERCARD 2 A B; ZINTERCARD 2 A B LIMIT 1; "
                "ZUNIONSTORE D 3 A B C WEIGHTS 2 3 -1; ZRANGE D 0 -1 WITHSCORES; ZINTERSTORE A 2 A B AGGREGATE MIN; ZRANGE A 0 -1 WITHSCORES; "
                "ZDIFFSTORE D 2 A A; EXISTS D; ZUNIONSTORE B 1 D; EXISTS B; SET D x; ZUNION 2 A D; ZUNION 2 A D FOO; ZUNION 2 A B FOO; ZUNIONSTORE D 1 A; TYPE D; "
                "ZRANGESTORE B C -inf +inf BYSCORE; ZRANGE B 0 -1 WITHSCORES; ZRANGESTORE B A 5 9; EXISTS B; ZRANGESTORE B A x 9; SET C x; ZRANGESTORE B C 0 1; "
                "ZMPOP 3 B D A MIN COUNT 2; ZMPOP 2 C A MAX; ZUNION 0 A; ZUNION x A; ZUNION 9 A B; ZUNIONSTORE B 2 A C WEIGHTS 1 x"):
                a(*command)

    def test_watch(self):
        """Every command that changes a set under any of its keys; and not those that change nothing."""
        a, b = self.pairs_of(2)
        for command in script("ZADD A 5 a; ZADD A 1 new; ZADD A 1 a; ZADD A XX 3 none; ZADD A NX 9 a; ZADD A GT 0 a; ZINCRBY A 1 a; ZINCRBY A 0 a; ZREM A a; ZREM A none; "
                              "ZPOPMIN A; ZPOPMAX A 0; ZMPOP 2 C A MIN; ZREMRANGEBYRANK A 0 0; ZREMRANGEBYRANK A 7 9; ZREMRANGEBYSCORE A 0 9; ZREMRANGEBYLEX A - +; "
                              "ZUNIONSTORE A 1 B; ZUNIONSTORE A 1 C; ZRANGESTORE A B 0 -1; ZRANGESTORE C A 0 -1; BZPOPMIN A 0; ZRANGE A 0 -1"):
            b.all(("DEL", A, B, C), ("ZADD", A, "1", "a", "2", "b"), ("ZADD", B, "3", "c"))
            a("WATCH", A)
            b(*command)
            a.all(("MULTI",), ("PING",), ("EXEC",))

    def test_names_and_encodings_over_shards(self):
        """A set keeps what OBJECT ENCODING says of it, wherever it goes."""
        a = self.pair()
        a("ZADD", A, *[word for i in range(128) for word in (i / 4, "%064d" % i)])
        a("ZADD", B, "1", "x" * 65, "2", "y")
        a.all(("OBJECT", "ENCODING", A), ("OBJECT", "ENCODING", B), ("ZREM", B, "x" * 65))
        for key in (A, B):
            for target in (C, D, key):
                a.all(("COPY", key, target, "REPLACE"), ("OBJECT", "ENCODING", target), ("ZRANGE", target, 0, -1, "WITHSCORES"))
            a.all(("RENAME", C, D), ("OBJECT", "ENCODING", D), ("DEL", D))
        a.all(("ZADD", A, "1", "more"), ("OBJECT", "ENCODING", A))


class TogetherOne(Together, BesideCase):
    threads = 1


class TogetherTwo(Together, BesideCase):
    threads = 2


class TogetherSeven(Together, BesideCase):
    threads = 7


def info(client):
    text = client.call("INFO", "memory").decode() + client.call("INFO", "stats").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class LongSets(ServerCase):
    COUNT = 10_000_000 if LONG else 1_000_000

    def fill(self, client, name):
        step = 10_000
        for start in range(0, self.COUNT, step):
            client.send(resp.encode(["ZADD", name] + [word for i in range(start, start + step) for word in (i * 7919 % 1000003, i)]))
        for _ in range(0, self.COUNT, step):
            client.read()
        self.assertEqual(client.call("ZCARD", name), self.COUNT)

    @sherd_only
    def test_freed_in_slices(self):
        client, neighbour = self.client(timeout=300), self.client()
        ways = {
            "deleted": lambda: client.must("DEL", "long"),
            "overwritten": lambda: client.must("SET", "long", "short"),
            "emptied": lambda: client.must("ZREMRANGEBYRANK", "long", 0, -1),
            "expired": lambda: (client.must("PEXPIRE", "long", 1), wait_until(lambda: not client.call("EXISTS", "long"), 10, "expiry")),
            "flushed": lambda: client.must("FLUSHALL"),
        }
        before = int(info(client)["used_memory"])
        for way, end in ways.items():
            self.fill(client, "long")
            full, freed = int(info(client)["used_memory"]), int(info(client)["lazyfreed_objects"])
            self.assertLess(full - before, 50 * self.COUNT, way)  # 16 are the member and its score
            end()
            self.assertEqual(neighbour.call("PING"), resp.Simple(b"PONG"))
            wait_until(lambda: info(neighbour)["lazyfree_pending_objects"] == "0", 60, "%s set to be freed" % way)
            self.assertGreater(int(info(client)["lazyfreed_objects"]), freed, "%s: it did not go through the reaper" % way)
            wait_until(lambda: int(info(client)["used_memory"]) < before + (full - before) // 20 + SLAB_KEEPS, 60, "memory of a %s set" % way)
            client.call("DEL", "long")

    def test_ranks_and_ranges(self):
        client = self.client(timeout=300)
        self.fill(client, "long")
        for rank in (0, 1, self.COUNT // 2, self.COUNT - 1):
            member, score = client.call("ZRANGE", "long", rank, rank, "WITHSCORES")
            self.assertEqual(client.call("ZRANK", "long", member), rank)
            self.assertEqual(client.call("ZREVRANK", "long", member), self.COUNT - 1 - rank)
            below = client.call("ZCOUNT", "long", "-inf", b"(" + score)
            self.assertLessEqual(below, rank)
            self.assertEqual(client.call("ZREVRANGE", "long", self.COUNT - 1 - rank, self.COUNT - 1 - rank), [member])
        cursor, seen = b"0", set()
        while True:
            cursor, flat = client.call("ZSCAN", "long", cursor, "COUNT", 5000)
            seen.update(flat[::2])
            if cursor == b"0":
                break
        self.assertEqual(len(seen), self.COUNT)


if __name__ == "__main__":
    main()
