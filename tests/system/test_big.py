#!/usr/bin/env python3
"""Large things: values of 64 MiB (512 MiB with SHERD_LONG=1), 10,000 idle connections, a reader that does not read, and what
FLUSHALL, KEYS and DEL of large things do to the latency of others. Prints what it measures; the bounds are generous."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import socket  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import IS_REDIS, LONG, SLOW, Server, ServerCase, main, raise_file_limit, sherd_only, wait_until  # noqa: E402

MIB = 1 << 20
LATENCY_BOUND_S = 0.2 * SLOW  # for CI machines; the aim is 5 ms


def available_memory():
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 0


class BigValues(ServerCase):
    def test_in_and_out(self):
        size = (512 if LONG else 64) * MIB
        if available_memory() < 8 * size:
            self.skipTest("needs %d MiB of free memory" % (8 * size // MIB))
        client = self.client(timeout=300 * SLOW)
        block = bytes(range(256)) * 4096  # 1 MiB, with CRLF in it
        value = block * (size // MIB)
        self.assertEqual(client.call("SET", "big", value), resp.OK)
        self.assertEqual(client.call("STRLEN", "big"), size)
        self.assertEqual(client.call("GETRANGE", "big", size - 300, -1), value[-300:])
        # assertTrue, as a failing assertEqual would print it all
        self.assertTrue(client.call("GET", "big") == value, "the value came back changed")
        if size < 512 * MIB:
            self.assertEqual(client.call("APPEND", "big", "x"), size + 1)
        self.assertError(client.call("SETRANGE", "big", 512 * MIB, "x"), "ERR string exceeds maximum allowed size (proto-max-bulk-len)")
        self.assertEqual(client.call("DEL", "big"), 1)
        rss = wait_until(lambda: self.server.rss() < 400 * MIB + (size if LONG else 0) and self.server.rss(), 30, "memory to come back")
        print("RSS after DEL %d MiB" % (rss // MIB))

    def test_many_large_ones_from_many_connections(self):
        value = bytes(range(256)) * 8192  # 2 MiB
        clients = [self.client() for _ in range(8)]
        data = [resp.encode(("SET", "large%d" % i, value)) + resp.encode(("GET", "large%d" % i)) for i in range(8)]
        resp.exchange_all([(client, part, 2) for client, part in zip(clients, data)])
        for client in clients:
            ok, got = map(resp.decode, client.take(2))
            self.assertEqual(ok, resp.OK)
            self.assertTrue(got == value)


class Idle(unittest.TestCase):
    COUNT = 10_000

    def test_idle_connections(self):
        if not raise_file_limit(self.COUNT + 500):
            self.skipTest("cannot open %d files (RLIMIT_NOFILE)" % (self.COUNT + 500))
        with Server("--maxclients", self.COUNT + 100, threads=2) as server:
            warm = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(50)]
            for sock in warm:
                sock.sendall(b"PING\r\n")
                self.assertEqual(sock.recv(7), b"+PONG\r\n")
            before = server.rss()
            socks = []
            try:
                for i in range(self.COUNT):
                    socks.append(socket.create_connection(("127.0.0.1", server.port), timeout=60 * SLOW))
                    if i % 500 == 499:  # each has been served once before it idles
                        for sock in socks[-500:]:
                            sock.sendall(b"PING\r\n")
                        for sock in socks[-500:]:
                            self.assertEqual(sock.recv(7), b"+PONG\r\n")
                wait_until(lambda: server.rss() - before <= 3072 * self.COUNT or IS_REDIS, 10,
                           lambda: "RSS per idle connection <= 3 KiB; it is %d B" % ((server.rss() - before) // self.COUNT))
                print("RSS per idle connection: %d B" % ((server.rss() - before) // self.COUNT))
                with resp.Client(server.port, timeout=10 * SLOW) as client:
                    self.assertEqual(client.call("SET", "k", "v"), resp.OK)
            finally:
                for sock in socks + warm:
                    sock.close()


class SlowReader(ServerCase):
    @sherd_only
    def test_pipelining_without_reading(self):
        """A million GETs of 100 KB, nothing read: the server stops reading that client, keeps its memory and serves others."""
        other = self.client()
        other.must("SET", "big", b"x" * 100_000)
        before = self.server.rss()
        command, peak, sent = resp.encode(("GET", "big")) * 1000, 0, 0
        with socket.create_connection(("127.0.0.1", self.server.port)) as sock:
            sock.setblocking(False)
            quiet_since = time.monotonic()
            while sent < 1000 * len(command) and time.monotonic() - quiet_since < 2 * SLOW:
                try:
                    sent += sock.send(command[sent % len(command) :])
                    quiet_since = time.monotonic()
                except BlockingIOError:
                    self.assertEqual(other.call("PING"), resp.Simple(b"PONG"))
                peak = max(peak, self.server.rss())
            began = time.monotonic()
            self.assertEqual(other.call("STRLEN", "big"), 100_000)
            waited = time.monotonic() - began
            print("accepted %d KB of commands, RSS grew by %d MiB, a neighbour waited %.1f ms"
                  % (sent // 1000, (peak - before) // MIB, waited * 1000))
            self.assertLess(peak - before, 300 * MIB)
            self.assertLess(waited, 1 * SLOW)
            # And when it reads after all, every answer is there and right.
            sock.setblocking(True)
            sock.settimeout(60 * SLOW)
            frame = b"$100000\r\n" + b"x" * 100_000 + b"\r\n"
            for _ in range(2000):
                got = bytearray()
                while len(got) < len(frame):
                    got += sock.recv(len(frame) - len(got))
                self.assertTrue(got == frame)
        self.assertEqual(other.call("PING"), resp.Simple(b"PONG"))

    def test_many_slow_readers_of_small_replies(self):
        """Pipelines of small commands from clients that read only at the end."""
        count = 50_000
        clients = [self.client() for _ in range(5)]
        for client in clients:
            client.sock.setblocking(True)
        data = b"PING\r\n" * count

        def send(client):
            client.sock.settimeout(60 * SLOW)
            client.sock.sendall(data)

        threads = [threading.Thread(target=send, args=(client,)) for client in clients]
        for thread in threads:
            thread.start()
        self.assertEqual(self.client().call("PING"), resp.Simple(b"PONG"))
        for client in clients:
            got = 0
            while got < 7 * count:
                part = client.sock.recv(1 << 16)
                self.assertTrue(part)
                got += len(part)
        for thread in threads:
            thread.join()


class Latency(ServerCase):
    KEYS = 1_000_000 if LONG else 300_000

    def fill(self, client):
        for at in range(0, self.KEYS, 20_000):
            data = b"".join([b"*3\r\n$3\r\nSET\r\n$10\r\nkey%07d\r\n$20\r\n%020d\r\n" % (i, i) for i in range(at, at + 20_000)])
            client.exchange(data, 20_000)
        self.assertEqual(client.call("DBSIZE"), self.KEYS)

    def worst_while(self, action):
        """The largest latency of a neighbour's PING and GET while action runs, in seconds."""
        stop, worst, ready = threading.Event(), [0.0], threading.Event()
        neighbours = [self.client() for _ in range(4)]  # on every thread

        def ping():
            while not stop.is_set():
                for neighbour in neighbours:
                    began = time.monotonic()
                    neighbour.raw("GET", "nosuch")
                    worst[0] = max(worst[0], time.monotonic() - began)
                ready.set()

        thread = threading.Thread(target=ping)
        thread.start()
        ready.wait(30)
        worst[0] = 0.0
        try:
            action()
        finally:
            stop.set()
            thread.join()
        return worst[0]

    def measure(self, name, prepare, action, bound=LATENCY_BOUND_S):
        """The better of up to three attempts, as other people's builds share the machine."""
        found = []
        for _ in range(3):
            prepare()
            found.append(self.worst_while(action))
            if found[-1] < bound:
                break
        print("%s: a neighbour waited at most %s ms" % (name, ", ".join("%.1f" % (s * 1000) for s in found)))
        if not IS_REDIS:
            self.assertLess(min(found), bound)

    def refill(self):
        self.client().must("FLUSHALL")
        self.fill(self.client())

    def raw_keys(self, client):
        """KEYS *, read without parsing, as Python's parser would be what is measured."""
        client.send(resp.encode(("KEYS", "*")))
        size = len(b"*%d\r\n" % self.KEYS) + self.KEYS * len(b"$10\r\nkey0000000\r\n")
        got = 0
        client.sock.settimeout(60 * SLOW)
        while got < size:
            part = client.sock.recv(1 << 20)
            self.assertTrue(part)
            got += len(part)
        client.close()

    def test_keys(self):
        self.refill()
        self.measure("KEYS * of %d" % self.KEYS, lambda: None, lambda: self.raw_keys(self.client()))

    def test_flushall(self):
        for words in (("FLUSHALL",), ("FLUSHALL", "ASYNC"), ("FLUSHDB", "SYNC")):
            self.measure(" ".join(words), self.refill, lambda: self.client().must(*words))
            self.assertEqual(self.client().call("DBSIZE"), 0)

    def test_del_of_large_value(self):
        value = b"x" * (64 * MIB)
        client = self.client()
        self.measure("DEL of 64 MiB", lambda: client.must("SET", "big", value), lambda: client.must("DEL", "big"))

    def test_del_of_many(self):
        client = self.client()
        data = resp.encode(["DEL"] + ["key%07d" % i for i in range(self.KEYS)])
        self.measure("DEL of %d keys in one command" % self.KEYS, self.refill, lambda: client.exchange(data, 1),
                     bound=5 * LATENCY_BOUND_S)  # one atomic command: it is not sliced


if __name__ == "__main__":
    main()
