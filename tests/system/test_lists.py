#!/usr/bin/env python3
"""Lists from basic to large: as a queue through a client library, over several shards at once, with elements of megabytes, and a long
list (10 million elements with SHERD_LONG=1) that is deleted, overwritten, trimmed, flushed or expires: it is freed in
slices, while others are served, and all its memory comes back. What it costs in time is measured in perf/, not here."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import threading  # noqa: E402

from support import resp  # noqa: E402
from support.case import LONG, SLAB_KEEPS, ServerCase, main, sherd_only, wait_until  # noqa: E402

MIB = 1 << 20


def info(client):
    text = client.call("INFO", "memory").decode() + client.call("INFO", "stats").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


class Basics(ServerCase):
    threads = 4

    def test_a_queue(self):
        client = self.client()
        self.assertEqual(client.call("RPUSH", "q", "a", "b", "3"), 3)
        self.assertEqual(client.call("LPUSH", "q", "z"), 4)
        self.assertEqual(client.call("LRANGE", "q", 0, -1), [b"z", b"a", b"b", b"3"])
        self.assertEqual(client.call("TYPE", "q"), resp.Simple(b"list"))
        self.assertEqual(client.call("OBJECT", "ENCODING", "q"), b"quicklist")
        self.assertEqual([client.call("LPOP", "q") for _ in range(5)], [b"z", b"a", b"b", b"3", resp.NULL_BULK])
        self.assertEqual(client.call("EXISTS", "q"), 0)

    def test_wrong_types(self):
        client = self.client()
        client.must("SET", "string", "x")
        client.must("RPUSH", "list", "x")
        wrong = "WRONGTYPE Operation against a key holding the wrong kind of value"
        for command in (("LPUSH", "string", "a"), ("LRANGE", "string", 0, -1), ("LMOVE", "list", "string", "LEFT", "LEFT"),
                        ("RPOPLPUSH", "string", "list"), ("LMPOP", 2, "none", "string", "LEFT"), ("GET", "list"), ("INCR", "list"),
                        ("APPEND", "list", "x")):
            self.assertError(client.call(*command), wrong)
        self.assertEqual(client.call("LRANGE", "list", 0, -1), [b"x"])  # nothing was taken

    def test_moves_between_all_shards(self):
        """Keys on every pair of shards, in both directions; an element is never lost or doubled."""
        client = self.client()
        names = ["list%d" % i for i in range(12)]
        client.must("RPUSH", names[0], *range(100))
        for turn in range(3):
            for source in names:
                for target in names:
                    client.call("LMOVE", source, target, "LEFT" if turn % 2 else "RIGHT", "RIGHT")
                    client.call("RPOPLPUSH", source, target)
        found = sorted(int(element) for name in names for element in client.call("LRANGE", name, 0, -1))
        self.assertEqual(found, list(range(100)))
        popped = []
        while reply := client.call("LMPOP", len(names), *names, "RIGHT", "COUNT", 7):
            popped += reply[1]
        self.assertEqual(sorted(map(int, popped)), list(range(100)))
        self.assertEqual(client.call("EXISTS", *names), 0)

    def test_moves_are_atomic(self):
        """Many movers over all shards, and readers that count: the sum stays what it was."""
        names, count = ["ring%d" % i for i in range(6)], 50
        setup = self.client()
        setup.must("RPUSH", names[0], *range(count))
        stop, wrong = threading.Event(), []

        def move(at):
            client = self.server.client()
            while not stop.is_set():
                client.call("LMOVE", names[at], names[(at + 1) % len(names)], "LEFT", "RIGHT")
            client.close()

        movers = [threading.Thread(target=move, args=(at,)) for at in range(len(names))]
        for mover in movers:
            mover.start()
        for _ in range(200):
            setup.must("MULTI")
            for name in names:
                setup.call("LRANGE", name, 0, -1)
            lists = setup.call("EXEC")
            elements = sorted(int(element) for one in lists for element in one)
            if elements != list(range(count)):
                wrong.append(elements)
        stop.set()
        for mover in movers:
            mover.join()
        self.assertEqual(wrong, [])

    def test_watch_sees_every_change(self):
        client, other = self.client(), self.client()
        changes = [("LPUSH", "w", "a"), ("RPOP", "w"), ("LSET", "w", 0, "b"), ("LINSERT", "w", "BEFORE", "b", "c"), ("LREM", "w", 0, "c"),
                   ("LTRIM", "w", 0, 5), ("LMOVE", "w", "elsewhere", "LEFT", "LEFT"), ("LMOVE", "elsewhere", "w", "LEFT", "LEFT"),
                   ("LMPOP", 1, "w", "LEFT"), ("DEL", "w")]
        other.must("RPUSH", "w", "x", "y")
        other.must("RPUSH", "elsewhere", "z")
        for change in changes:
            client.must("WATCH", "w")
            other.call(*change)
            client.must("MULTI")
            client.must("PING")
            self.assertEqual(client.call("EXEC"), resp.NULL_ARRAY, change)

    def test_dump_between_shards_and_names(self):
        client = self.client()
        elements = [b"%d" % i for i in range(5000)] + [b"x" * 5000, b"", bytes(range(256))]
        client.must("RPUSH", "whole", *elements)
        client.must("EXPIREAT", "whole", 4000000000)
        for i in range(8):  # names on all shards
            self.assertEqual(client.call("COPY", "whole", "copy%d" % i), 1)
            client.must("RENAME", "copy%d" % i, "other%d" % i)
            self.assertEqual(client.call("LRANGE", "other%d" % i, 0, -1), elements)
            self.assertEqual(client.call("EXPIRETIME", "other%d" % i), 4000000000)
        client.must("RESTORE", "restored", 0, client.call("DUMP", "whole"))
        self.assertEqual(client.call("LRANGE", "restored", 0, -1), elements)

    def test_smallest_rank(self):
        """It has no opposite; redis-server 7.0.15 counts from the tail and never comes to COUNT."""
        client = self.client()
        client.must("RPUSH", "ranked", "a", "b", "a", "a")
        self.assertEqual(client.call("LPOS", "ranked", "a", "RANK", -(2**63)), 3)
        self.assertEqual(client.call("LPOS", "ranked", "a", "RANK", -(2**63), "COUNT", 1), [3, 2, 0])
        self.assertEqual(client.call("LPOS", "ranked", "a", "RANK", -(2**63), "COUNT", 1, "MAXLEN", 2), [3, 2])
        self.assertEqual(client.call("LPOS", "ranked", "a", "RANK", 1 - 2**63, "COUNT", 1), [])

    def test_large_elements(self):
        client = self.client(timeout=120)
        large = [bytes([65 + i]) * (3 * MIB) for i in range(4)]
        client.must("RPUSH", "{a}large", large[0], "small", large[1])
        client.must("LINSERT", "{a}large", "BEFORE", "small", large[2])
        client.must("LSET", "{a}large", -1, large[3])
        self.assertEqual(client.call("LPOS", "{a}large", large[3]), 3)
        client.must("RENAME", "{a}large", "{b}large")
        self.assertTrue(client.call("LRANGE", "{b}large", 0, -1) == [large[0], large[2], b"small", large[3]])
        self.assertEqual(client.call("LREM", "{b}large", 0, large[2]), 1)
        self.assertTrue(client.call("RPOP", "{b}large") == large[3])
        client.must("DEL", "{b}large")


class LongLists(ServerCase):
    COUNT = 10_000_000 if LONG else 1_000_000

    def fill(self, client, name):
        """Distinct numbers, so that no element is smaller than it looks."""
        step = 10_000
        for start in range(0, self.COUNT, step):
            client.send(resp.encode(["RPUSH", name] + list(range(start, start + step))))
        for _ in range(0, self.COUNT, step):
            client.read()
        self.assertEqual(client.call("LLEN", name), self.COUNT)

    @sherd_only
    def test_freed_in_slices(self):
        client, neighbour = self.client(timeout=300), self.client()
        ways = {
            "deleted": lambda: client.must("DEL", "long"),
            "overwritten": lambda: client.must("SET", "long", "short"),
            "trimmed": lambda: client.must("LTRIM", "long", self.COUNT - 5, -1),
            "popped": lambda: client.must("LTRIM", "long", 0, 5),
            "renamed over": lambda: (client.must("SET", "{long}", "short"), client.must("RENAME", "{long}", "long")),
            "restored over": lambda: client.must("RESTORE", "long", 0, client.call("DUMP", "short list"), "REPLACE"),
            "expired": lambda: (client.must("PEXPIRE", "long", 1), wait_until(lambda: not client.call("EXISTS", "long"), 10, "expiry")),
            "flushed": lambda: client.must("FLUSHALL"),
        }
        client.must("RPUSH", "short list", "a")
        before = int(info(client)["used_memory"])
        for way, end in ways.items():
            self.fill(client, "long")
            full, freed = int(info(client)["used_memory"]), int(info(client)["lazyfreed_objects"])
            self.assertGreater(full, before + 3 * self.COUNT, way)
            end()
            self.assertEqual(neighbour.call("PING"), resp.Simple(b"PONG"))
            wait_until(lambda: info(neighbour)["lazyfree_pending_objects"] == "0", 60, "%s list to be freed" % way)
            self.assertGreater(int(info(client)["lazyfreed_objects"]), freed, "%s: it did not go through the reaper" % way)
            wait_until(lambda: int(info(client)["used_memory"]) < before + (full - before) // 20 + SLAB_KEEPS, 60, "memory of a %s list" % way)
            client.call("DEL", "long")

    def test_read_and_changed_in_the_middle(self):
        client = self.client(timeout=300)
        self.fill(client, "long")
        middle = self.COUNT // 2
        self.assertEqual(client.call("LINDEX", "long", middle), b"%d" % middle)
        self.assertEqual(client.call("LRANGE", "long", middle, middle + 2), [b"%d" % (middle + i) for i in range(3)])
        client.must("LINSERT", "long", "BEFORE", middle, "here")
        self.assertEqual(client.call("LPOS", "long", "here"), middle)
        client.must("LSET", "long", middle, "there")
        self.assertEqual(client.call("LREM", "long", -1, "there"), 1)
        self.assertEqual(client.call("LLEN", "long"), self.COUNT)
        self.assertEqual(client.call("LMPOP", 1, "long", "RIGHT", "COUNT", 3)[1], [b"%d" % (self.COUNT - 1 - i) for i in range(3)])
        client.must("DEL", "long")


if __name__ == "__main__":
    main()
