#!/usr/bin/env python3
"""Hashes from basic to large: as an object through a client library, over all shards, HSCAN while others write, and a hash of a
million fields (10 million with SHERD_LONG=1) that is deleted, overwritten, renamed over, flushed or expires: it is freed in
slices, while others are served, and all its memory comes back."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.case import LONG, SLAB_KEEPS, ServerCase, main, sherd_only, wait_until  # noqa: E402

MIB = 1 << 20


def info(client):
    text = client.call("INFO", "memory").decode() + client.call("INFO", "stats").decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def pairs(answer):
    return dict(zip(answer[::2], answer[1::2]))


def scan(client, key, *options, between=None):
    """All pairs of a whole round, in a list."""
    cursor, found = b"0", []
    while True:
        cursor, some = client.call("HSCAN", key, cursor, *options)
        found += list(zip(some[::2], some[1::2]))
        if cursor == b"0":
            return found
        if between:
            between()


class Basics(ServerCase):
    threads = 4

    def test_an_object(self):
        client = self.client()
        self.assertEqual(client.call("HSET", "user", "name", "ada", "age", "36"), 2)
        self.assertEqual(client.call("HSET", "user", "age", "37", "city", "london"), 1)
        self.assertEqual(client.call("HGET", "user", "age"), b"37")
        self.assertEqual(client.call("HMGET", "user", "name", "none"), [b"ada", resp.NULL_BULK])
        self.assertEqual(client.call("HINCRBY", "user", "age", 1), 38)
        self.assertEqual(client.call("HINCRBYFLOAT", "user", "height", "1.75"), b"1.75")
        self.assertEqual(client.call("HGETALL", "user"), [b"name", b"ada", b"age", b"38", b"city", b"london", b"height", b"1.75"])
        self.assertEqual(client.call("OBJECT", "ENCODING", "user"), b"listpack")
        self.assertEqual(client.call("HDEL", "user", "name", "age", "city", "height", "none"), 4)
        self.assertEqual(client.call("EXISTS", "user"), 0)

    def test_resp3(self):
        client = self.client(proto=3)
        client.must("HSET", "h3", "a", "1", "b", "2")
        self.assertEqual(client.call("HGETALL", "h3"), resp.Map([(b"a", b"1"), (b"b", b"2")]))
        self.assertEqual(client.call("HRANDFIELD", "h3", 5, "WITHVALUES"), [[b"a", b"1"], [b"b", b"2"]])
        self.assertEqual(client.call("HGETALL", "none"), resp.Map([]))

    def test_wrong_types(self):
        client = self.client()
        client.must("SET", "string", "x")
        client.must("HSET", "hash", "f", "x")
        wrong = "WRONGTYPE Operation against a key holding the wrong kind of value"
        for command in (("HSET", "string", "a", "b"), ("HGET", "string", "a"), ("HGETALL", "string"), ("HSCAN", "string", 0), ("HRANDFIELD", "string", 3),
                        ("HINCRBY", "string", "a", 1), ("GET", "hash"), ("LPUSH", "hash", "x"), ("INCR", "hash")):
            self.assertError(client.call(*command), wrong)

    def test_dump_between_shards_and_names(self):
        """Small and large ones stay what they are, whatever shard they come to, also if another limit holds by then."""
        client = self.client()
        small = {b"f%d" % i: b"%d" % i for i in range(100)}
        for name, content in (("small", small), ("long value", {**small, b"f1": b"x" * 65}), ("many", {b"f%d" % i: b"v" * (i % 100) for i in range(3000)}),
                              ("one long", {b"f": b"x" * 100}), ("huge", {b"f": b"x" * MIB, bytes(range(256)): b""})):
            client.must("HSET", name, *[text for pair in content.items() for text in pair])
            client.must("EXPIREAT", name, 4000000000)
            encoding = client.call("OBJECT", "ENCODING", name)
            self.assertEqual(encoding, b"listpack" if name == "small" else b"hashtable")
            client.must("HDEL", name, "f99", "f98")
            content = pairs(client.call("HGETALL", name))
            client.must("CONFIG", "SET", "hash-max-listpack-entries", 50)
            for i in range(8):  # names on all shards
                self.assertEqual(client.call("COPY", name, "copy%d" % i, "REPLACE"), 1)
                client.must("RENAME", "copy%d" % i, "other%d" % i)
                self.assertEqual(pairs(client.call("HGETALL", "other%d" % i)), content)
                self.assertEqual(client.call("OBJECT", "ENCODING", "other%d" % i), encoding)
                self.assertEqual(client.call("EXPIRETIME", "other%d" % i), 4000000000)
            client.must("CONFIG", "SET", "hash-max-listpack-entries", 128)
            client.must("RESTORE", "restored", 0, client.call("DUMP", name), "REPLACE")
            self.assertEqual(pairs(client.call("HGETALL", "restored")), content)

    def test_watch_sees_every_change(self):
        client, other = self.client(), self.client()
        changes = [("HSET", "w", "a", "1"), ("HMSET", "w", "a", "1"), ("HSETNX", "w", "b", "1"), ("HINCRBY", "w", "a", 1), ("HINCRBYFLOAT", "w", "a", 1),
                   ("HDEL", "w", "a"), ("DEL", "w")]
        no_changes = [("HSETNX", "w", "x", "1"), ("HDEL", "w", "none"), ("HGETALL", "w"), ("HINCRBY", "w", "x", 1)]
        other.must("HSET", "w", "x", "y")
        for change in no_changes + changes:
            client.must("WATCH", "w")
            other.call(*change)
            client.must("MULTI")
            client.must("PING")
            expected = [resp.Simple(b"PONG")] if change in no_changes else resp.NULL_ARRAY
            self.assertEqual(client.call("EXEC"), expected, change)

    def test_random_fields_are_fair(self):
        """Each of them comes about as often, from small ones and from large ones, alone and several at a time."""
        client = self.client()
        for name, count in (("random few", 20), ("random many", 300)):
            client.must("HSET", name, *[text for i in range(count) for text in ("f%d" % i, i)])
            for ask, rounds in ((-count, 200), (count // 10, 2000), (count // 2, 400)):
                seen = {}
                for _ in range(rounds):
                    answer = client.call("HRANDFIELD", name, ask)
                    self.assertEqual(len(answer), abs(ask))
                    if ask > 0:
                        self.assertEqual(len(set(answer)), ask)
                    for field in answer:
                        seen[field] = seen.get(field, 0) + 1
                self.assertEqual(len(seen), count)
                mean = rounds * abs(ask) / count
                self.assertGreater(min(seen.values()), mean * 0.5, (name, ask))
                self.assertLess(max(seen.values()), mean * 1.6, (name, ask))

    def test_scan_while_others_write(self):
        """What is there all the time is found, each field once, while the table grows and shrinks."""
        client = self.client()
        stays = {b"stay%d" % i for i in range(2000)}
        client.must("HSET", "scanned", *[text for field in stays for text in (field, "x")])
        turn = 0

        def write():
            nonlocal turn
            turn += 1
            fields = ["go%d" % i for i in range(turn % 50 * 200, turn % 50 * 200 + 200)]
            if turn // 50 % 2 == 0:
                client.must("HSET", "scanned", *[text for field in fields for text in (field, "y")])
            else:
                client.must("HDEL", "scanned", *fields)

        found = [field for field, _ in scan(client, "scanned", "COUNT", 20, "MATCH", "stay*", between=write)]
        self.assertGreater(turn, 20)
        self.assertEqual(sorted(found), sorted(stays))


class LargeHashes(ServerCase):
    COUNT = 10_000_000 if LONG else 1_000_000

    def fill(self, client, name):
        step = 5_000
        for start in range(0, self.COUNT, step):
            client.send(resp.encode(["HSET", name] + [text for i in range(start, start + step) for text in ("field:%d" % i, i)]))
        for _ in range(0, self.COUNT, step):
            client.read()
        self.assertEqual(client.call("HLEN", name), self.COUNT)

    @sherd_only
    def test_freed_in_slices(self):
        client, neighbour = self.client(timeout=300), self.client()
        ways = {
            "deleted": lambda: client.must("DEL", "large"),
            "overwritten": lambda: client.must("SET", "large", "short"),
            "renamed over": lambda: (client.must("SET", "{large}", "short"), client.must("RENAME", "{large}", "large")),
            "expired": lambda: (client.must("PEXPIRE", "large", 1), wait_until(lambda: not client.call("EXISTS", "large"), 10, "expiry")),
            "flushed": lambda: client.must("FLUSHALL"),
        }
        before = int(info(client)["used_memory"])
        for way, end in ways.items():
            self.fill(client, "large")
            full, freed = int(info(client)["used_memory"]), int(info(client)["lazyfreed_objects"])
            self.assertGreater(full, before + 30 * self.COUNT, way)
            end()
            self.assertEqual(neighbour.call("PING"), resp.Simple(b"PONG"))
            wait_until(lambda: info(neighbour)["lazyfree_pending_objects"] == "0", 60, "%s hash to be freed" % way)
            self.assertGreater(int(info(client)["lazyfreed_objects"]), freed, "%s: it did not go through the reaper" % way)
            wait_until(lambda: int(info(client)["used_memory"]) < before + (full - before) // 20 + SLAB_KEEPS, 60, "memory of a %s hash" % way)
            client.call("DEL", "large")

    def test_scanned_in_steps(self):
        client = self.client(timeout=300)
        self.fill(client, "large")
        self.assertEqual(client.call("HGET", "large", "field:777"), b"777")
        found = scan(client, "large", "COUNT", 1000, "MATCH", "field:*99")
        self.assertEqual(len(found), self.COUNT // 100)
        self.assertEqual(len(set(found)), self.COUNT // 100)
        self.assertEqual(len(set(client.call("HRANDFIELD", "large", 1000))), 1000)
        client.must("DEL", "large")


if __name__ == "__main__":
    main()
