#!/usr/bin/env python3
"""Free memory goes back to the system: fill, delete a random half, and what is resident follows within half a minute.

Entries of several sizes, and collections whose elements are blocks of their own. What is left is then read whole."""

import os
import random
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from promise import load  # noqa: E402
from support.case import main  # noqa: E402
from support.server import SLOW, Server, wait_until  # noqa: E402

DATA = (24 << 20) // (4 if SLOW > 1 else 1)
ELEMENTS = 600  # more than any of them has as one run
# Of what was resident: half of it; an eighth, which is not worth moving; a megabyte of spare pages; the buffers of clients.
SHARE = 0.77
SHARE_OF_COLLECTIONS = 0.85  # their tables are blocks of the heap, which gives whole pages back only


def text(number, size):
    return (b"%d:" % number) * (size // 4 + 1)


class Fragmentation(unittest.TestCase):
    def setUp(self):
        """A server for each test, so that none finds what the one before has left."""
        self.server = Server("--save", "", "--appendonly", "no", threads=1)
        self.addCleanup(self.server.clean)
        self.client_ = self.server.client()
        self.addCleanup(self.client_.close)

    def tearDown(self):
        self.client_.close()
        self.server.stop()

    def shrinks(self, names, commands, bound):
        """commands: those that fill each name. Deletes half of the names and waits for the memory."""
        base = self.resident()
        batch = []
        for name in names:
            batch.extend(commands(name))
            if len(batch) >= 500:
                self.client_.pipeline(batch)
                batch = []
        self.client_.pipeline(batch)
        full = self.resident() - base
        gone = random.Random(1).sample(names, len(names) // 2)
        for at in range(0, len(gone), 500):
            self.client_.call("DEL", *gone[at : at + 500])
        if SLOW == 1:  # a sanitizer keeps what is freed
            share = lambda: (self.resident() - base) / full  # noqa: E731
            wait_until(lambda: share() <= bound, 30, what=lambda: "%.2f of what was resident" % share())
        return sorted(set(names) - set(gone))

    def resident(self):
        return load.resident(self.server.pid)

    def strings(self, size):
        names = ["s:%d" % i for i in range(DATA // (size + 24))]
        left = self.shrinks(names, lambda name: [("SET", name, text(int(name[2:]), size)[:size])], SHARE)
        for at in range(0, len(left), 1000):
            some = left[at : at + 1000]
            self.assertEqual(self.client_.call("MGET", *some), [text(int(name[2:]), size)[:size] for name in some])

    def test_50(self):
        self.strings(50)

    def test_300(self):
        self.strings(300)

    def test_2000(self):
        self.strings(2000)

    def collections(self, command, elements, count, per_key):
        names = ["c:%d" % i for i in range(DATA // per_key)]
        for name in self.shrinks(names, lambda name: [(command, name, *elements(name))], SHARE_OF_COLLECTIONS):
            self.assertEqual(self.client_.call(count, name), ELEMENTS)

    def test_hashes(self):
        def elements(name):
            return [word for i in range(ELEMENTS) for word in ("field:%d" % i, "%s %d" % (name * 5, i))]

        self.collections("HSET", elements, "HLEN", ELEMENTS * 60)

    def test_sets(self):
        self.collections("SADD", lambda name: ["%s member %d" % (name * 3, i) for i in range(ELEMENTS)], "SCARD", ELEMENTS * 50)

    def test_sorted_sets(self):
        def elements(name):
            return [word for i in range(ELEMENTS) for word in (i * 7 % 100, "%s member %d" % (name * 3, i))]

        self.collections("ZADD", elements, "ZCARD", ELEMENTS * 60)


if __name__ == "__main__":
    main()
