#!/usr/bin/env python3
"""Many connections at once, with 2 and with 7 threads: no lost increment, replies of a pipeline in order, values read back as written,
multi-key commands sum up, and connections dropped in the middle of a pipeline harm nobody."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import random  # noqa: E402
import socket  # noqa: E402
import struct  # noqa: E402

from support import resp  # noqa: E402
from support.case import ServerCase, main, wait_until  # noqa: E402


class Concurrency:
    CONNECTIONS = 40

    def setUp(self):
        super().setUp()
        self.redis = self.client()
        self.redis.must("FLUSHALL")
        self.clients = [self.client() for _ in range(self.CONNECTIONS)]

    def rounds(self, count, commands_of):
        """Plays commands_of(connection, round) on all connections at once; yields (connection, commands, replies)."""
        for round in range(count):
            work = [commands_of(n, round) for n in range(len(self.clients))]
            resp.exchange_all([(client, b"".join(map(resp.encode, commands)), len(commands)) for client, commands in zip(self.clients, work)])
            for n, (client, commands) in enumerate(zip(self.clients, work)):
                yield n, commands, [resp.decode(raw) for raw in client.take(len(commands))]

    def test_counters_lose_nothing(self):
        """Each connection sees a counter only grow, and the sum is the number of increments."""
        last = {}
        for n, commands, replies in self.rounds(10, lambda n, round: [("INCR", "c%d" % (i % 10)) for i in range(200)]):
            for (_, key), value in zip(commands, replies):
                self.assertGreater(value, last.get((n, key), 0))
                last[n, key] = value
        total = 10 * self.CONNECTIONS * 200
        self.assertEqual(sum(map(int, self.redis.must("MGET", *["c%d" % i for i in range(10)]))), total)

    def test_order_of_replies(self):
        """Keys of all slots, one pipeline; each reply names its command."""
        def commands(n, round):
            out = []
            for i in range(150):
                key = "o:%d:%d" % (n, random.randrange(10_000))
                out += [("SET", key, "%s=%d.%d" % (key, round, i)), ("GET", key), ("ECHO", "%d.%d" % (round, i)), ("STRLEN", key)]
            return out

        for _, sent, replies in self.rounds(4, commands):
            for i in range(0, len(sent), 4):
                value = sent[i][2].encode()
                self.assertEqual(replies[i : i + 4], [resp.OK, value, sent[i + 2][1].encode(), len(value)])

    def test_barriers_within_a_pipeline(self):
        """A multi-key command sees all earlier single-key ones of its connection and none of the later."""
        def commands(n, round):
            out = []
            for i in range(20):
                keys = ["b:%d:%d" % (n, k) for k in range(8)]
                out += [("SET", key, "%d" % i) for key in keys]
                out += [("MGET", *keys), ("DEL", *keys[:4]), ("EXISTS", *keys), ("MSET", *[w for key in keys for w in (key, "m%d" % i)])]
                out += [("GET", key) for key in keys]
            return out

        for _, sent, replies in self.rounds(3, commands):
            for at in range(0, len(sent), 20):
                i = at // 20
                self.assertEqual(replies[at + 8 : at + 12], [[b"%d" % i] * 8, 4, 4, resp.OK])
                self.assertEqual(replies[at + 12 : at + 20], [b"m%d" % i] * 8)

    def test_values_read_back(self):
        """Sizes from 0 to 40 KB; written by one connection, read by another."""
        rng = random.Random(1)
        values = {"v%d" % i: rng.randbytes(rng.choice((0, 1, 44, 45, 64, 255, 256, 1000, 4096, 40_000))) for i in range(2000)}
        names = sorted(values)
        share = len(names) // self.CONNECTIONS
        for _, _, replies in self.rounds(1, lambda n, _: [("SET", k, values[k]) for k in names[n * share : (n + 1) * share]]):
            self.assertTrue(all(reply == resp.OK for reply in replies))
        for _, sent, replies in self.rounds(1, lambda n, _: [("GET", k) for k in names[(n * 7 % self.CONNECTIONS) * share :][:share]]):
            for (_, key), value in zip(sent, replies):
                self.assertTrue(value == values[key], key)
        self.assertEqual(self.redis.call("DBSIZE"), len(names))
        self.assertEqual(len(self.redis.must("KEYS", "*")), len(names))

    def test_setnx_has_one_winner(self):
        winners = {}
        for n, sent, replies in self.rounds(1, lambda n, _: [("SETNX", "lock%d" % i, n) for i in range(300)]):
            for (_, key, _), won in zip(sent, replies):
                if won:
                    self.assertNotIn(key, winners)
                    winners[key] = n
        self.assertEqual(len(winners), 300)
        for i in range(300):
            self.assertEqual(int(self.redis.must("GET", "lock%d" % i)), winners["lock%d" % i])

    def test_dropped_connections(self):
        """Half of the connections vanish in the middle of a command or with replies unread; what a neighbour does is unharmed."""
        steady = self.clients[0]
        for round in range(15):
            doomed = [socket.create_connection(("127.0.0.1", self.server.port)) for _ in range(20)]
            for i, sock in enumerate(doomed):
                data = b"".join(resp.encode(("INCR", "d%d" % (k % 50))) + resp.encode(("GET", "d%d" % k)) for k in range(200))
                sock.setblocking(False)
                sock.send(data[: len(data) - 7 * (i % 3)])
                if i % 2:  # reset instead of an orderly end
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            replies = steady.pipeline([("SET", "s%d" % k, "%d" % round) for k in range(100)] + [("GET", "s%d" % k) for k in range(100)])
            self.assertEqual(replies, [resp.OK] * 100 + [b"%d" % round] * 100)
            for sock in doomed:
                sock.close()
        count = lambda: int(bytes(self.redis.must("INFO", "clients")).split(b"connected_clients:")[1].split()[0])  # noqa: E731
        wait_until(lambda: count() <= self.CONNECTIONS + 1, what=lambda: "dropped clients to be forgotten; %d" % count())

    def test_connect_storm(self):
        """Connections come and go quickly; each is served."""
        for _ in range(300):
            with resp.Client(self.server.port) as client:
                self.assertEqual(client.call("INCR", "storm"), client.call("INCR", "storm") - 1)
        self.assertEqual(self.redis.call("GET", "storm"), b"600")


class OneThread(Concurrency, ServerCase):
    threads = 1


class TwoThreads(Concurrency, ServerCase):
    threads = 2


class SevenThreads(Concurrency, ServerCase):
    threads = 7



if __name__ == "__main__":
    main()
