#!/usr/bin/env python3
"""Expiry: nobody sees a key after its time, on access or by iteration, and memory comes back without any access."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import time  # noqa: E402

from support import resp  # noqa: E402
from support.case import ServerCase, main, wait_until  # noqa: E402


class Expiry(ServerCase):
    def setUp(self):
        super().setUp()
        self.redis = self.client()
        self.redis.must("FLUSHALL")

    def test_gone_on_access_never_before(self):
        """Read in a loop: the value is there until the deadline that the server itself names, and not after it."""
        r = self.redis
        r.must("SET", "k", "v", "PX", "300")
        deadline = r.must("PEXPIRETIME", "k")
        while True:
            before = self.now_ms(r)
            value = r.call("GET", "k")
            after = self.now_ms(r)
            if value is resp.NULL_BULK:
                self.assertGreaterEqual(after, deadline)
                break
            self.assertLessEqual(before, deadline)
        self.assertEqual(r.call("TTL", "k"), -2)
        self.assertEqual(r.call("EXISTS", "k"), 0)

    def now_ms(self, client):
        seconds, micros = client.must("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def test_every_kind_of_access(self):
        r = self.redis
        for i, command in enumerate((("GET", "%s"), ("EXISTS", "%s"), ("STRLEN", "%s"), ("TYPE", "%s"), ("TTL", "%s"), ("PERSIST", "%s"), ("EXPIRE", "%s", 100),
                                     ("DEL", "%s"), ("GETDEL", "%s"), ("GETEX", "%s"), ("RENAMENX", "%s", "new"), ("COPY", "%s", "new"), ("DUMP", "%s"),
                                     ("OBJECT", "ENCODING", "%s"), ("TOUCH", "%s"), ("SET", "%s", "v", "XX"), ("MOVE", "%s", 1), ("GETRANGE", "%s", 0, -1))):
            key = "key%d" % i
            words = [word % key if word == "%s" else word for word in command]
            missing = r.raw(*[word % "nosuch" if word == "%s" else word for word in command])
            with self.subTest(command=command):
                r.must("SET", key, "12", "PX", 1)
                deadline = r.call("PEXPIRETIME", key)
                wait_until(lambda: self.now_ms(r) > deadline + 1, what="one millisecond to pass")
                self.assertEqual(r.raw(*words), missing)

    def test_write_after_expiry_starts_anew(self):
        r = self.redis
        for command, value in ((("INCR", "n"), b"1"), (("APPEND", "n", "x"), b"x"), (("SETRANGE", "n", 1, "x"), b"\0x"), (("SETNX", "n", "x"), b"x")):
            r.must("SET", "n", "41", "PX", 1)
            wait_until(lambda: r.call("PTTL", "n") == -2, what="n to expire")
            r.must(*command)
            self.assertEqual(r.call("GET", "n"), value)
            self.assertEqual(r.call("TTL", "n"), -1)
            r.must("DEL", "n")

    def test_vanish_without_access(self):
        """DBSIZE falls to what is left within a second or two, though nobody asks for the keys; also in other databases."""
        r = self.redis
        for database in (0, 5):
            r.must("SELECT", database)
            r.pipeline([("SET", "short%d" % i, "x" * 50, "PX", 200 + i % 200) for i in range(20_000)])
            r.pipeline([("SET", "long%d" % i, "x", "EX", 10_000) for i in range(1000)])
            r.pipeline([("SET", "stay%d" % i, "x") for i in range(1000)])
        began = time.monotonic()
        for database in (0, 5):
            r.must("SELECT", database)
            wait_until(lambda: r.call("DBSIZE") == 2000, 20, lambda: "20,000 keys to vanish; DBSIZE %s" % r.call("DBSIZE"))
        print("gone %.2f s after the last write" % (time.monotonic() - began))
        info = bytes(r.must("INFO", "stats")).decode()
        self.assertGreaterEqual(int(info.split("expired_keys:")[1].split()[0]), 40_000)

    def test_not_shown_by_iteration(self):
        r = self.redis
        r.pipeline([("SET", "s%d" % i, "x", "PX", 1) for i in range(200)] + [("SET", "stay", "x")])
        wait_until(lambda: r.call("EXISTS", *["s%d" % i for i in range(200)]) == 0, what="200 keys to expire")
        self.assertEqual(r.must("KEYS", "*"), [b"stay"])
        self.assertEqual(r.must("SCAN", "0", "COUNT", "1000")[1], [b"stay"])
        self.assertEqual(r.must("RANDOMKEY"), b"stay")

    def test_moved_deadlines(self):
        """A deadline that was moved, copied or removed holds in its last form only."""
        r = self.redis
        r.pipeline([("SET", "persisted", 1, "PX", 80), ("PERSIST", "persisted"), ("SET", "later", 1, "PX", 80), ("PEXPIRE", "later", 1_000_000),
                    ("SET", "plain", 1, "PX", 80), ("SET", "plain", 2), ("SET", "kept", 1, "PX", 80), ("SET", "kept", 2, "KEEPTTL"),
                    ("SET", "old", 1, "PX", 80), ("RENAME", "old", "new"), ("SET", "src", 1, "PX", 80), ("COPY", "src", "dst"),
                    ("SET", "sooner", 1, "PX", 1_000_000), ("PEXPIRE", "sooner", 80), ("SET", "counted", 1, "PX", 80), ("INCR", "counted")])
        gone = ("kept", "new", "src", "dst", "sooner", "counted")
        wait_until(lambda: r.call("EXISTS", *gone) == 0, what="keys to expire")
        self.assertEqual(r.call("EXISTS", "persisted", "later", "plain"), 3)
        wait_until(lambda: r.call("DBSIZE") == 3, what="DBSIZE to agree")

    def test_flush_and_reuse_with_deadlines(self):
        """Deadlines of flushed keys must not hit keys of the same name that come later."""
        r = self.redis
        names = ["f%d" % i for i in range(500)]
        r.pipeline([("SET", name, "x", "PX", 100) for name in names])
        r.must("FLUSHALL")
        r.pipeline([("SET", name, "y") for name in names] + [("SET", "probe", "x", "PX", 150)])
        wait_until(lambda: r.call("EXISTS", "probe") == 0, what="the probe to expire")
        self.assertEqual(r.call("EXISTS", *names), 500)


if __name__ == "__main__":
    main()
