#!/usr/bin/env python3
"""BITOP DIFF, DIFF1, ANDOR and ONE, which redis-server 7.0 does not have: random strings, also of different lengths and absent
ones, on one shard and on several, against the same done in Python; and what is refused."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.case import ServerCase, main, spread_keys  # noqa: E402
from support.crowd import seed_of_run  # noqa: E402


def expected(operation, sources):
    length = max(map(len, sources))
    rows = [source.ljust(length, b"\0") for source in sources]
    out = bytearray()
    for column in zip(*rows):
        first, rest, twice, union = column[0], 0, 0, 0
        for byte in column[1:]:
            rest |= byte
        for byte in column:
            twice |= union & byte
            union |= byte
        out.append({"DIFF": first & ~rest, "DIFF1": rest & ~first, "ANDOR": first & rest, "ONE": union & ~twice}[operation] & 255)
    return bytes(out)


class Pairs(ServerCase):
    threads = 3

    def test_random(self):
        rng = random.Random(seed_of_run())
        client = self.client()
        for names in (spread_keys(7), ["{x}%d" % i for i in range(7)]):
            for _ in range(200):
                values = [rng.randbytes(rng.choice((0, 1, 3, 8, 9, 40))) for _ in names]
                client.must("DEL", *names)
                for name, value in zip(names, values):
                    if value:
                        client.must("SET", name, value)
                operation = rng.choice(("DIFF", "DIFF1", "ANDOR", "ONE"))
                sources = rng.choices(range(7), k=rng.randint(1 if operation == "ONE" else 2, 6))
                result = expected(operation, [values[i] for i in sources])
                what = operation, [values[i] for i in sources]
                self.assertEqual(client.must("BITOP", operation.lower(), names[0], *[names[i] for i in sources]), len(result), what)
                self.assertEqual(client.must("GETRANGE", names[0], 0, -1), result, what)

    def test_refused(self):
        client = self.client()
        for operation in ("DIFF", "DIFF1", "ANDOR"):
            self.assertError(client.call("BITOP", operation, "d", "a"), "ERR BITOP %s must be called with at least two source keys." % operation)
        self.assertError(client.call("BITOP", "TWO", "d", "a"), "ERR syntax error")
        client.must("RPUSH", "list", "x")
        for name in spread_keys(3):
            self.assertError(client.call("BITOP", "ONE", name, name, "list"), "WRONGTYPE Operation against a key holding the wrong kind of value")


if __name__ == "__main__":
    main()
