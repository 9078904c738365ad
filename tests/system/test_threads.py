#!/usr/bin/env python3
"""1, 2, 7, 16 and 64 threads, whatever the number of cores: start, a smoke run over all shards, clean end."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import IS_REDIS, Server, main  # noqa: E402


class Threads(unittest.TestCase):
    def smoke(self, threads):
        with Server(threads=threads) as server:
            if not IS_REDIS:
                self.assertEqual(server.client().must("CONFIG", "GET", "threads"), [b"threads", b"%d" % threads])
            clients = [server.client() for _ in range(min(2 * threads, 40))]
            keys = ["key:%d" % i for i in range(500)]
            for n, client in enumerate(clients):
                self.assertEqual(client.pipeline([("SET", key, n) for key in keys]), [resp.OK] * len(keys))
                self.assertEqual(clients[n - 1].call("MGET", *keys), [b"%d" % n] * len(keys))
            client = clients[0]
            self.assertEqual(client.call("DBSIZE"), 500)
            self.assertEqual(sorted(client.must("KEYS", "*")), sorted(key.encode() for key in keys))
            found, cursor = [], None
            while cursor != b"0":
                cursor, part = client.must("SCAN", cursor or b"0", "COUNT", 50)
                found += part
            self.assertEqual(sorted(found), sorted(key.encode() for key in keys))
            self.assertIn(client.must("RANDOMKEY").decode(), keys)
            self.assertEqual(client.call("RENAME", keys[0], "renamed"), resp.OK)
            self.assertEqual(client.call("COPY", "renamed", keys[0]), 1)
            self.assertEqual(client.call("MOVE", "renamed", 1), 1)
            self.assertEqual(client.call("SWAPDB", 0, 1), resp.OK)
            self.assertEqual(client.call("DBSIZE"), 1)
            self.assertEqual(client.call("SWAPDB", 0, 1), resp.OK)
            self.assertEqual(client.call("DEL", *keys), 500)
            self.assertEqual(client.call("MSET", *[word for key in keys for word in (key, "m")]), resp.OK)
            self.assertEqual(client.call("EXISTS", *keys), 500)
            self.assertEqual(client.call("FLUSHALL"), resp.OK)
            self.assertEqual(client.call("DBSIZE"), 0)

    def test_1(self):
        self.smoke(1)

    def test_2(self):
        self.smoke(2)

    def test_7(self):
        self.smoke(7)

    def test_16(self):
        self.smoke(16)

    def test_64(self):
        self.smoke(64)


if __name__ == "__main__":
    main()
