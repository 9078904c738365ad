#!/usr/bin/env python3
"""SET with IFEQ, IFNE, IFDEQ and IFDNE, DELEX, DELIFEQ and DIGEST, which redis-server 7.0 does not have: rows after Redis's
documentation, alone, inside of EXEC, and again after a restart from the log. And WAITAOF: it answers when the disk has what was written."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.case import Server, ServerCase, main, spread_keys  # noqa: E402

OK, NIL = resp.OK, resp.NULL_BULK
HELLO, WORLD = "9555e8555c62dcfd", "6c2ceb0da7cbd4e8"  # digests of hello and of something else
WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
NO_STRING = "ERR Key should be of string type if conditions are specified"
NO_DIGEST = "ERR must be exactly 16 hexadecimal characters"
NO_CONDITION = "ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"
SET_ROWS = [
    ("SET A hello", OK), ("SET A x IFEQ world", NIL), ("SET A hello IFEQ hello", OK), ("SET A x IFNE hello", NIL), ("SET A hello IFNE x", OK),
    ("DIGEST A", HELLO.encode()), ("SET A x IFDEQ " + WORLD, NIL), ("SET A x IFDNE " + HELLO, NIL), ("GET A", b"hello"), ("SET A hello IFDEQ " + HELLO, OK),
    ("SET A hello ifdeq " + HELLO.upper(), OK), ("SET A hello IFDNE " + WORLD, OK), ("SET A x IFDEQ 12", NO_DIGEST), ("SET A x IFDNE 12 GET", NO_DIGEST),
    ("SET A x IFDEQ not16digits-but1", NIL), ("GET A", b"hello"), ("SET B x IFDEQ 12", NIL), ("SET B x IFDNE 12", OK), ("DEL B", 1),
    ("SET B x IFEQ x", NIL), ("SET B x IFDEQ " + HELLO, NIL), ("EXISTS B", 0), ("SET B x IFNE x", OK), ("DEL B", 1), ("SET B x IFDNE " + HELLO, OK), ("DEL B", 1),
    ("SET A world IFEQ hello GET", b"hello"), ("SET A x IFEQ hello GET", b"world"), ("GET A", b"world"), ("SET B x IFNE y GET", NIL), ("GET B", b"x"), ("SET C x IFEQ y GET", NIL),
    ("SET A 12 IFNE x EX 1000", OK), ("TTL A", 1000), ("SET A 13 IFEQ 12 KEEPTTL", OK), ("TTL A", 1000), ("SET A 14 IFEQ 13", OK), ("TTL A", -1),
    ("SADD C m", 1), ("SET C x IFEQ x", WRONGTYPE), ("SET C x IFNE x", WRONGTYPE), ("SET C x IFDNE " + HELLO, WRONGTYPE), ("DIGEST C", WRONGTYPE), ("DIGEST D", NIL),
    ("SET A x IFEQ", "ERR syntax error"), ("SET A x IFDNE", "ERR syntax error"), ("SET A x IFEQ 1 IFEQ 1", "ERR syntax error"), ("SET A x NX IFNE 1", "ERR syntax error"),
    ("SET A x IFNE 1 XX", "ERR syntax error"), ("SET A x IFDEQ 1 IFNE 1", "ERR syntax error"), ("SET A x IFNE 1 EX 0", "ERR invalid expire time in 'set' command"), ("GET A", b"14"),
]
DELEX_ROWS = [
    ("SET A hello", OK), ("DELEX A IFEQ x", 0), ("DELEX A IFNE hello", 0), ("DELEX A IFDEQ " + WORLD, 0), ("DELEX A IFDNE " + HELLO, 0), ("GET A", b"hello"),
    ("DELEX A IFEQ hello", 1), ("EXISTS A", 0), ("SET A hello", OK), ("DELEX A ifne x", 1), ("SET A hello", OK), ("DELEX A IFDEQ " + HELLO, 1),
    ("SET A hello", OK), ("DELEX A IfDnE " + WORLD, 1), ("SET A 12", OK), ("DELEX A IFEQ 12", 1), ("SET A hello", OK), ("DELEX A", 1), ("DELEX A", 0),
    ("DELEX A IFEQ x", 0), ("DELEX A IFNE x", 0), ("DELEX A FOO x", 0), ("SADD C m", 1), ("DELEX C IFEQ m", NO_STRING), ("DELEX C FOO m", NO_STRING), ("DELEX C", 1),
    ("DELEX A IFDEQ 12", 0), ("SET A x", OK), ("DELEX A IFDEQ 12", NO_DIGEST), ("DELEX A IFDNE 12", NO_DIGEST), ("DELEX A FOO x", NO_CONDITION), ("DELEX A IFEQ", "ERR wrong number of arguments for 'delex' command"),
    ("DELEX A IFEQ x y", "ERR wrong number of arguments for 'delex' command"), ("DELIFEQ A y", 0), ("DELIFEQ A x", 1), ("DELIFEQ A x", 0),
    ("SADD C m", 1), ("DELIFEQ C m", WRONGTYPE), ("EXISTS A", 0),
]


class Rows(ServerCase):
    threads = 3
    options = ("--appendonly", "yes")

    def check(self, reply, expected, what):
        if isinstance(expected, str):
            self.assertError(reply, expected)
        else:
            self.assertEqual(reply, expected, what)

    def play(self, rows):
        client = self.client()
        client.must("FLUSHALL")
        keys = dict(zip("ABCD", spread_keys(4)))
        commands = [[keys.get(word, word) for word in line.split()] for line, _ in rows]
        for command, (_, expected) in zip(commands, rows):
            self.check(client.call(*command), expected, command)
        client.must("FLUSHALL")
        client.must("MULTI")
        queued = [(command, expected) for command, (_, expected) in zip(commands, rows) if len(command) != 5 or command[0] != "DELEX"]
        for command, _ in queued:
            client.must(*command)
        for reply, (command, expected) in zip(client.must("EXEC"), queued):
            self.check(reply, expected, command)

    def test_set(self):
        self.play(SET_ROWS)

    def test_delex(self):
        self.play([row for row in DELEX_ROWS if "wrong number" not in str(row[1])])
        self.check(self.client().call("DELEX", "A", "IFEQ"), "ERR wrong number of arguments for 'delex' command", "arity")

    def test_resp3_and_keys(self):
        client = self.client()
        client.must("HELLO", "3")
        self.assertIs(client.must("DIGEST", "nothing"), resp.NULL)
        self.assertEqual(client.must("COMMAND", "GETKEYS", "DELEX", "a", "IFEQ", "b"), [b"a"])
        self.assertEqual(client.must("PFSELFTEST"), OK)


class Waitaof(ServerCase):
    """What it answers, and that it tells the truth: killed right behind it, the server still has what was written."""
    threads = 3
    options = ("--appendonly", "yes", "--appendfsync", "everysec")

    def test_errors(self):
        client = self.client()
        for line, error in (("x 0 0", "ERR value is not an integer or out of range"), ("2 0 0", "ERR value is out of range, value must between 0 and 1"),
                            ("-1 0 0", "ERR value is out of range, value must between 0 and 1"), ("1 -1 0", "ERR value is out of range, must be positive"),
                            ("1 x 0", "ERR value is not an integer or out of range"), ("1 0 x", "ERR timeout is not an integer or out of range"),
                            ("1 0 -1", "ERR timeout is negative"), ("1 0 9223372036854775807", "ERR timeout is out of range")):
            self.assertError(client.call("WAITAOF", *line.split()), error)

    def test_waits(self):
        client = self.client()
        for key in spread_keys(8):
            client.must("SET", key, "v")
        self.assertEqual(client.must("WAITAOF", "1", "0", "0"), [1, 0])
        self.assertEqual(client.must("WAITAOF", "1", "3", "0"), [1, 0])  # there are no replicas
        self.assertIn(client.must("WAITAOF", "0", "0", "0"), ([0, 0], [1, 0]))
        client.must("MULTI")
        client.must("SET", "k", "v")
        client.must("WAITAOF", "1", "0", "0")
        self.assertIn(client.must("EXEC")[1], ([0, 0], [1, 0]))

    def test_what_it_promises(self):
        with Server(*self.options, threads=3) as server:
            client = server.client()
            for n, key in enumerate(spread_keys(16)):
                client.must("SET", key, str(n), "IFNE", "x")
            self.assertEqual(client.must("WAITAOF", "1", "0", "0"), [1, 0])
            server.kill()
            server.start()
            client = server.client()
            self.assertEqual([client.must("GET", key) for key in spread_keys(16)], [b"%d" % n for n in range(16)])


class NoLog(ServerCase):
    def test_refused(self):
        client = self.client()
        self.assertError(client.call("WAITAOF", "1", "0", "0"), "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.")
        self.assertEqual(client.must("WAITAOF", "0", "1", "10"), [0, 0])


if __name__ == "__main__":
    main()
