#!/usr/bin/env python3
"""1, 2, 7, 16 and 64 threads, whatever the number of cores: start, a smoke run over all shards, clean end; how often they write; that
they cost nothing while nobody asks anything."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import glob  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import IS_REDIS, SLOW, Server, main  # noqa: E402


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


class Sends(unittest.TestCase):
    """Replies of a pipeline come from several shards at different times. They leave together, since a send costs as much as ten
    commands; but nothing waits for what takes long."""

    def test_one_send_per_pipeline(self):
        with Server(threads=4) as server:
            client, rounds = server.client(), 200
            commands = [("GET", "key:%d" % i) for i in range(64)]

            def writes():
                text = client.must("INFO", "stats").decode()
                return int(text.split("total_writes_processed:")[1].split()[0])

            before = writes()
            for _ in range(rounds):
                client.pipeline(commands)
            self.assertLessEqual(writes() - before, rounds * 11 // 10)

    def test_earlier_replies_do_not_wait_for_a_slow_command(self):
        with Server(threads=4) as server:
            clients, other = [server.client() for _ in range(4)], server.client()

            def first_replies_come(client, commands, slow, within):
                client.send(b"".join(map(resp.encode, commands)) + resp.encode(slow))
                began = time.monotonic()
                self.assertEqual(client.read(len(commands)), [resp.OK] * len(commands))
                self.assertLess(time.monotonic() - began, within)

            first_replies_come(clients[0], [("SET", "key:%d" % i, i) for i in range(16)], ("DEBUG", "SLEEP", "1"), 0.9)
            self.assertEqual(clients[0].read_one(), resp.OK)
            for i in range(64):  # wherever key, list and client live
                key, lists = "key:%d" % i, ["q%d" % i] if i % 8 else ["q%d" % n for n in range(8)]
                first_replies_come(clients[i % 4], [("SET", key, i)], ("BLPOP", *lists, 60), 50)
                other.must("RPUSH", lists[0], "x")
                self.assertEqual(clients[i % 4].read_one(), [lists[0].encode(), b"x"])


class Idle(unittest.TestCase):
    def cpu_ms(self, server):
        total = 0
        for path in glob.glob("/proc/%d/task/*/schedstat" % server.pid):
            with open(path, encoding="ascii") as file:
                total += int(file.read().split()[0])
        return total / 1e6

    def test_idle_threads_sleep(self):
        """Also when there are more of them than CPUs, and after they had something to do."""
        with Server(threads=16) as server:
            client = server.client()
            for _ in range(50):
                client.pipeline([("SET", "key:%d" % i, i) for i in range(100)])
            time.sleep(0.2)
            before = self.cpu_ms(server)
            time.sleep(3)
            self.assertLess(self.cpu_ms(server) - before, 100 * SLOW)  # of 48,000


if __name__ == "__main__":
    main()
