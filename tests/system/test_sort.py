#!/usr/bin/env python3
"""SORT: who waits for its destination is served, watched keys see it, EXEC holds it together with what stands around it, and
one of 300,000 elements, with weights and values on all shards, is right and lets others through meanwhile."""

import os
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.beside import BesideCase, commands_of  # noqa: E402
from support.case import ServerCase, main, spread_keys  # noqa: E402

KEYS = spread_keys(7)
A, B, C = KEYS[0], KEYS[3], KEYS[6]
script = commands_of(A=A, B=B, C=C)


class Together:
    def test_waiting(self):
        """A stored result serves who waits for a list."""
        a, b = self.pairs_of(2)
        for wait in script("BLPOP C 0; BLMPOP 0 2 C B RIGHT; BLMOVE C B LEFT LEFT 0"):
            for sort in script("SORT A STORE C; SORT A BY w_* GET # STORE C; SORT A BY nosort LIMIT 1 1 STORE C"):
                b.all(("DEL", A, B, C), ("SADD", A, "3", "1", "2"))
                a.block(*wait)
                b(*sort) if sort[3] != "nosort" else b("SORT", A, "LIMIT", "1", "1", "STORE", C)
                a.reply()
                b("LRANGE", C, 0, -1)

    def test_in_transactions(self):
        for protocol in (2, 3):
            a, b = self.pair(protocol), self.pair()
            a.all(("DEL", A, B, C), ("RPUSH", A, "2", "10", "1"), ("MSET", "w_1", "5", "w_2", "4", "w_10", "3"))
            a("WATCH", C)
            b("SORT", A, "STORE", C)
            self.assertNotIsInstance(a.all(("MULTI",), ("PING",), ("EXEC",))[-1], list)
            a("WATCH", A)
            b("SORT_RO", A)
            a("MULTI")
            for command in script("RPUSH A 7; SORT A DESC; SORT A BY w_* GET w_* GET #; SORT A STORE C; LPOP C; SORT C LIMIT 0 1 DESC; SORT C STORE; SORT_RO B; "
                                  "SET w_7 1; SORT A BY w_*"):
                a(*command)
            a("EXEC")
            a("SORT", C)

    def test_one_shard(self):
        """EXEC that would be one shard's is not, with SORT in it."""
        a = self.pair()
        a.all(("DEL", A), ("RPUSH", A, "3", "2"))
        a.all(("MULTI",), ("RPUSH", A, "1"), ("SORT", A), ("SORT", A, "STORE", A), ("LRANGE", A, "0", "-1"), ("EXEC",))


class OneThread(Together, BesideCase):
    threads = 1


class TwoThreads(Together, BesideCase):
    threads = 2


class SevenThreads(Together, BesideCase):
    threads = 7


class Many(ServerCase):
    """Numbers whose weights turn their order around."""

    threads = 2
    COUNT = 100_000

    def fill(self, client):
        for begin in range(0, self.COUNT, 5000):
            numbers = [str(i * 7919 % self.COUNT) for i in range(begin, begin + 5000)]
            client.must("RPUSH", "list", *numbers)
            client.must("SADD", "set", *numbers)
            client.must("MSET", *[word for i in numbers for word in ("w_" + i, "-" + i)])

    def test_many(self):
        client, neighbour = self.client(timeout=300), self.client(timeout=300)
        self.fill(client)
        up = [b"%d" % i for i in range(self.COUNT)]
        stop, turns = threading.Event(), [0]

        def talk():
            while not stop.is_set():
                self.assertEqual(neighbour.call("SET", "other", "x"), resp.OK)
                turns[0] += 1

        thread = threading.Thread(target=talk)
        thread.start()
        try:
            for name in ("list", "set"):
                self.assertEqual(client.call("SORT", name), up)
                self.assertEqual(client.call("SORT", name, "LIMIT", "70000", "3"), up[70000:70003])
                self.assertEqual(client.call("SORT", name, "DESC", "STORE", "result"), self.COUNT)
                self.assertEqual(client.call("LRANGE", "result", "0", "-1"), up[::-1])
            self.assertEqual(client.call("SORT", "list", "BY", "w_*", "LIMIT", "0", "5", "GET", "#", "GET", "w_*"),
                             [word for i in range(5) for word in (b"%d" % (self.COUNT - 1 - i), b"-%d" % (self.COUNT - 1 - i))])
            self.assertEqual(client.call("SORT", "list", "BY", "w_*"), up[::-1])
        finally:
            stop.set()
            thread.join()
        self.assertGreater(turns[0], 20)
        self.assertEqual(client.must("DEL", "list", "set", "result"), 3)


if __name__ == "__main__":
    main()
