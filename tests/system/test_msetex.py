#!/usr/bin/env python3
"""MSETEX, which redis-server 7.0 does not have: its rows, with keys on one shard and on three, alone and inside of EXEC."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.case import ServerCase, main, spread_keys  # noqa: E402

FAR = 4_000_000_000_000
ROWS = [
    ("MSETEX 3 A 1 B 2 C 3", 1), ("MGET A B C", [b"1", b"2", b"3"]), ("TTL A", -1), ("MSETEX 2 A x D 4 NX", 0), ("EXISTS D", 0), ("GET A", b"1"),
    ("MSETEX 2 A x D 4 XX", 0), ("MSETEX 2 A 5 B 6 XX PXAT %d" % FAR, 1), ("PEXPIRETIME A", FAR), ("PEXPIRETIME B", FAR), ("PEXPIRETIME C", -1),
    ("MSETEX 3 A 7 B 8 C 9 KEEPTTL", 1), ("PEXPIRETIME A", FAR), ("PEXPIRETIME C", -1), ("MSETEX 1 A 1 EXAT 4000000000 XX", 1), ("PEXPIRETIME A", FAR),
    ("MSETEX 2 A 1 A 2", 1), ("GET A", b"2"), ("TTL A", -1), ("MSETEX 2 A 1 A 2 XX", 1), ("MSETEX 2 A 1 B 2 EX 1000 NX", 0), ("DEL A B C", 3),
    ("MSETEX 2 A 1 B 2 EX 1000 NX", 1), ("DEL A B", 2), ("SADD A m", 1), ("MSETEX 2 A 1 B 2 XX", 0), ("MSETEX 2 A 1 B 2", 1), ("TYPE A", resp.Simple(b"string")),
    ("MSETEX 1 A 1 PXAT 1", 1), ("EXISTS A", 0), ("DEL B", 1),
    ("MSETEX x A 1", "ERR invalid numkeys value"), ("MSETEX 0 A 1", "ERR invalid numkeys value"), ("MSETEX 2 A 1 B", "ERR wrong number of key-value pairs"),
    ("MSETEX 1 A", "ERR wrong number of arguments for 'msetex' command"), ("MSETEX 2 A 1 B 2 NX XX", "ERR syntax error"), ("MSETEX 2 A 1 B 2 FOO", "ERR syntax error"),
    ("MSETEX 2 A 1 B 2 EX", "ERR syntax error"), ("MSETEX 2 A 1 B 2 EX 1 PX 1", "ERR syntax error"), ("MSETEX 2 A 1 B 2 EX 1 KEEPTTL", "ERR syntax error"),
    ("MSETEX 2 A 1 B 2 EX x", "ERR value is not an integer or out of range"), ("MSETEX 2 A 1 B 2 EX 0", "ERR invalid expire time in 'msetex' command"),
    ("MSETEX 2 A 1 B 2 EX 9223372036854775807", "ERR invalid expire time in 'msetex' command"), ("EXISTS A B C D", 0),
]


class Rows(ServerCase):
    threads = 3

    def check(self, reply, expected, what):
        if isinstance(expected, str):
            self.assertError(reply, expected)
        else:
            self.assertEqual(reply, expected, what)

    def test_rows(self):
        client = self.client()
        for names in (spread_keys(4), ["{x}1", "{x}2", "{x}3", "{x}4"]):
            keys = dict(zip("ABCD", names))
            commands = [[keys.get(word, word) for word in line.split()] for line, _ in ROWS]
            for command, (_, expected) in zip(commands, ROWS):
                self.check(client.call(*command), expected, command)
            client.must("MULTI")
            queued = [(command, expected) for command, (_, expected) in zip(commands, ROWS) if len(command) > 3 or command[0] != "MSETEX"]
            for command, _ in queued:
                client.must(*command)
            for reply, (command, expected) in zip(client.must("EXEC"), queued):
                self.check(reply, expected, command)

    def test_keys(self):
        client = self.client()
        self.assertEqual(client.must("COMMAND", "GETKEYS", "MSETEX", "2", "a", "1", "b", "2", "NX"), [b"a", b"b"])


if __name__ == "__main__":
    main()
