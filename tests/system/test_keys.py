#!/usr/bin/env python3
"""KEYS whose reply is far too long for one turn: complete, in its place among other replies, for readers that read slowly,
go away, are killed or want no reply; and what it took comes back."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import time  # noqa: E402

from support import resp  # noqa: E402
from support.case import ServerCase, info_field, main, sherd_only, wait_until  # noqa: E402

COUNT = 50_000
PAD = "x" * 250  # some 13 MB of reply, more than the sockets' buffers take
MIB = 1 << 20


class Keys(ServerCase):
    threads = 2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        with cls.server.client() as client:
            for start in range(0, COUNT, 5000):
                pairs = [word for i in range(start, start + 5000) for word in ("%s%d" % (PAD, i), "v")]
                client.must("MSET", *pairs)
        cls.keys = {b"%s%d" % (PAD.encode(), i) for i in range(COUNT)}

    def used(self):
        """Memory of replies and messages, in bytes."""
        return int(info_field(self.client(), "used_memory"))

    def assertComes(self, reply):
        self.assertEqual(len(reply), COUNT)
        self.assertTrue(set(map(bytes, reply)) == self.keys)  # assertEqual would print it all

    def test_all_of_them(self):
        for proto in (2, 3):
            self.assertComes(self.client(proto=proto).must("KEYS", "*"))

    def test_in_its_place(self):
        """Between other replies of a pipeline, several times, and in a transaction."""
        for proto in (2, 3):
            client = self.client(proto=proto)
            key = PAD + "7"
            replies = client.pipeline([("GET", key), ("KEYS", "*"), ("GET", key), ("KEYS", key), ("KEYS", PAD + "*"),
                                       ("PING",), ("MULTI",), ("DBSIZE",), ("KEYS", "*"), ("EXEC",), ("PING",)])
            self.assertEqual([bytes(replies[i]) for i in (0, 2, 5, 10)], [b"v", b"v", b"PONG", b"PONG"])
            self.assertEqual(replies[3], [key.encode()])
            self.assertComes(replies[1])
            self.assertComes(replies[4])
            self.assertEqual(replies[9][0], COUNT)
            self.assertComes(replies[9][1])

    def test_slow_reader(self):
        """Others go on while it does not read; its later commands wait; nothing is lost."""
        client, other = self.client(), self.client()
        client.send(resp.encode(("KEYS", "*")) + resp.encode(("INCR", "counter")))
        wait_until(lambda: int(info_field(other, "mem_clients_normal")) > 3 * MIB, what="the reply to wait")
        for i in range(100):
            self.assertEqual(bytes(other.must("GET", "%s%d" % (PAD, i))), b"v")
        self.assertFalse(other.must("GET", "counter"))
        keys, counter = client.read(2)
        self.assertComes(keys)
        self.assertEqual(counter, 1)
        other.must("DEL", "counter")

    def test_several_at_once(self):
        clients = [self.client() for _ in range(6)]
        resp.exchange_all([(client, resp.encode(("KEYS", "*")), 1) for client in clients])
        for client in clients:
            self.assertComes(resp.decode(client.take(1)[0]))

    def test_silence(self):
        client = self.client()
        client.send(resp.encode(("CLIENT", "REPLY", "OFF")) + resp.encode(("KEYS", "*")) * 3)
        client.send(resp.encode(("CLIENT", "REPLY", "ON")))
        self.assertEqual(client.read_one(), resp.OK)
        client.send(resp.encode(("CLIENT", "REPLY", "SKIP")) + resp.encode(("KEYS", "*")) + resp.encode(("PING",)))
        self.assertEqual(bytes(client.read_one()), b"PONG")

    @sherd_only
    def test_readers_that_go_away(self):
        """At any moment, by themselves or killed: all memory comes back."""
        control, before = self.client(), self.used()
        for turn in range(30):
            with self.server.client() as client:
                number = client.must("CLIENT", "ID")
                client.send(resp.encode(("KEYS", "*")) * 3)
                time.sleep(0.004 * (turn % 10))
                if turn % 3 == 0:
                    client.read_bytes(100_000 * (turn % 5))
                if turn % 2:
                    control.must("CLIENT", "KILL", "ID", number)
        wait_until(lambda: int(info_field(control, "connected_clients")) <= 2, what="the clients to be gone")
        wait_until(lambda: self.used() < before + 4 * MIB, what=lambda: "%d bytes, %d before" % (self.used(), before))


if __name__ == "__main__":
    main()
