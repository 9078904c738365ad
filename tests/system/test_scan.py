#!/usr/bin/env python3
"""SCAN's guarantees: what is there from start to end is returned at least once, whatever else comes and goes in the meantime."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import threading  # noqa: E402

from support.case import ServerCase, main  # noqa: E402
from support.resp import Error  # noqa: E402


def whole(client, *options, between=lambda round: None):
    """All keys of a complete iteration, with something done between its calls."""
    cursor, found, rounds = b"0", [], 0
    while True:
        cursor, keys = client.must("SCAN", cursor, *options)
        assert int(cursor) < 1 << 64, "cursor %r" % cursor
        found += keys
        rounds += 1
        assert rounds < 1_000_000, "SCAN does not come to an end"
        if cursor == b"0":
            return found
        between(rounds)


class Scan(ServerCase):
    threads = 3

    def setUp(self):
        super().setUp()
        self.redis = self.client()
        self.redis.must("FLUSHALL")

    def fill(self, prefix, count, start=0):
        self.redis.pipeline([("SET", "%s%d" % (prefix, i), "x") for i in range(start, start + count)])
        return {b"%s%d" % (prefix.encode(), i) for i in range(start, start + count)}

    def test_empty_and_one(self):
        self.assertEqual(whole(self.redis), [])
        self.redis.must("SET", "", "x")
        self.assertEqual(whole(self.redis), [b""])

    def test_few_keys_come_in_one_call(self):
        """Whichever shards they are on; COUNT is looked at over all of them."""
        keys = self.fill("few", 8)
        self.assertEqual((lambda reply: (reply[0], set(reply[1])))(self.redis.must("SCAN", "0")), (b"0", keys))
        self.assertEqual(set(self.redis.must("SCAN", "0", "COUNT", "8")[1]), keys)
        self.redis.must("MULTI")
        self.redis.must("SCAN", "0", "TYPE", "string", "MATCH", "few*")
        (cursor, found), = self.redis.must("EXEC")
        self.assertEqual((cursor, set(found)), (b"0", keys))
        for number in range(1, 10):
            self.assertLess(len(self.redis.must("SCAN", "0", "COUNT", number)[1]), number + 6)

    def test_long_names_end_a_call(self):
        """However few they are: what a call answers is bounded."""
        keys = [b"%d" % i * 300_000 for i in range(9)]
        for key in keys:
            self.redis.must("SET", key, "x")
        cursor, found = self.redis.must("SCAN", "0", "COUNT", "1000")
        self.assertNotEqual(cursor, b"0")
        self.assertLess(len(found), 7)
        self.assertEqual(sorted(whole(self.redis)), sorted(keys))

    def test_errors(self):
        for arguments in (("x",), ("0", "COUNT"), ("0", "COUNT", "0"), ("0", "COUNT", "x"), ("0", "FOO", "1")):
            self.assertIsInstance(self.redis.call("SCAN", *arguments), Error, arguments)
        self.assertEqual(self.redis.must("SCAN", "0", *["COUNT", "1"] * 1000), [b"0", []])

    def test_quiet(self):
        """Without changes every key comes exactly once, for any COUNT; MATCH and TYPE only filter."""
        keys = self.fill("q", 3000)
        for count in (1, 7, 10, 1000, 100_000):
            found = whole(self.redis, "COUNT", count)
            self.assertEqual(len(found), 3000)
            self.assertEqual(set(found), keys)
        self.assertEqual(set(whole(self.redis, "MATCH", "q1?")), {b"q1%d" % i for i in range(10)})
        self.assertEqual(len(whole(self.redis, "TYPE", "string")), 3000)
        self.assertEqual(whole(self.redis, "TYPE", "hash"), [])

    def test_databases_are_apart(self):
        self.fill("a", 100)
        self.redis.must("SELECT", "1")
        keys = self.fill("b", 100)
        self.assertEqual(set(whole(self.redis, "COUNT", 5)), keys)

    def test_growth(self):
        stay = self.fill("stay", 2000)

        def grow(round):
            self.fill("new", 300, round * 300)

        found = whole(self.redis, "COUNT", 100, between=lambda round: grow(round) if round < 300 else None)
        self.assertLessEqual(stay, set(found))

    def test_shrink(self):
        stay = self.fill("stay", 1000)
        self.fill("leave", 60_000)

        def shrink(round):
            if round <= 60:
                self.redis.must("DEL", *["leave%d" % i for i in range((round - 1) * 1000, round * 1000)])

        found = whole(self.redis, "COUNT", 50, between=shrink)
        self.assertLessEqual(stay, set(found))

    def test_values_change_and_keys_move(self):
        """Overwriting with other sizes and deadlines moves entries in memory; they must not be skipped."""
        stay = self.fill("stay", 2000)

        def change(round):
            self.redis.pipeline([("SET", "stay%d" % ((round * 40 + i) % 2000), "y" * (round * 7 % 400)) for i in range(40)])
            self.redis.pipeline([("EXPIRE", "stay%d" % ((round * 31 + i) % 2000), 10_000) for i in range(20)])

        found = whole(self.redis, "COUNT", 20, between=change)
        self.assertLessEqual(stay, set(found))

    def test_concurrent_writers(self):
        """Other connections insert and delete all the time; many iterations, each complete."""
        stay = self.fill("stay", 1000)
        stop, failures = threading.Event(), []

        def write(number):
            try:
                client = self.server.client()
                round = 0
                while not stop.is_set():
                    names = ["w%d:%d:%d" % (number, round, i) for i in range(2000)]
                    for at in range(0, 2000, 200):
                        client.raw_pipeline([("SET", name, "x") for name in names[at : at + 200]])
                    client.must("DEL", *names)
                    round += 1
                client.close()
            except Exception as failure:  # noqa: BLE001: shown below
                failures.append(failure)

        threads = [threading.Thread(target=write, args=(n,)) for n in range(2)]
        for thread in threads:
            thread.start()
        try:
            for count in (10, 100, 1000, 37, 100):
                found = set(whole(self.redis, "COUNT", count))
                self.assertLessEqual(stay, found, "missing %r" % list(stay - found)[:5])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])

    def test_interrupted_iterations(self):
        """Cursors cost the server nothing: thousands begun and left, one continued on another connection."""
        keys = self.fill("k", 500)
        other = self.client()
        for _ in range(2000):
            self.redis.must("SCAN", "0", "COUNT", "1")
        cursor, found, turn = b"0", [], 0
        while turn == 0 or cursor != b"0":
            cursor, part = (self.redis, other)[turn % 2].must("SCAN", cursor, "COUNT", "7")
            found += part
            turn += 1
        self.assertEqual(set(found), keys)

    def test_any_cursor_is_harmless(self):
        self.fill("k", 100)
        for cursor in (1, 12345, 2**32, 2**63, 2**64 - 1, 2**48 + 7):
            reply = self.redis.must("SCAN", cursor)
            self.assertEqual(len(reply), 2)


if __name__ == "__main__":
    main()
