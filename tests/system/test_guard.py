#!/usr/bin/env python3
"""A disk that is slower than the writers, or stands still.

Proves   with a slow disk, writes settle at its speed: what is not on it never gets older than max-staleness, nobody stands still,
         nobody is refused, each client's commands keep their order, and readers notice nothing. With one that stands still, writes
         wait, are refused after persist-timeout with the reason and the figure, and then at once; reads go on; with `always` also
         those that wait for the disk already, and who would see what it does not have. All goes on by itself.
How      the data directory is tests/support/powerfs. Needs FUSE; else it skips."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import threading  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import SLOW, Server, info_field, main, wait_until  # noqa: E402
from support.power import PowerDisk  # noqa: E402
from support.server import sherd_binary  # noqa: E402

RATE = 2_000_000
VALUE = b"v" * 4000
WRITERS = 8


def text(reply):
    return bytes(reply).decode() if isinstance(reply, bytes) else str(reply)


class Guard(unittest.TestCase):
    def setUp(self):
        if "redis-server" in sherd_binary():
            self.skipTest("Redis holds nobody back")
        self.disk = PowerDisk()
        self.addCleanup(self.disk.clean)

    def server(self, *options):
        server = Server("--save", "", "--appendonly", "yes", *options, "--dir", self.disk.dir, threads=2, defaults=False)
        self.addCleanup(server.clean)
        self.addCleanup(self.disk.free, "all")  # or the server could not end
        return server

    def write(self, server, number, until, times, failures):
        """SET and INCR, two at a time, in order; how long each pair took."""
        with server.client() as client:
            client.timeout, count = 60 * SLOW, 0
            while time.monotonic() < until:
                began = time.monotonic()
                client.send(resp.encode(("SET", "value:%d:%d" % (number, count % 50), VALUE)) + resp.encode(("INCR", "count:%d" % number)))
                count += 1
                replies = client.read(2)
                times.append(time.monotonic() - began)
                if replies != [resp.OK, count]:
                    failures.append(replies)
                    return

    def test_slow(self):
        server = self.server("--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0")
        self.disk.rate(RATE)
        times, failures, until = [], [], time.monotonic() + 5
        writers = [threading.Thread(target=self.write, args=(server, i, until, times, failures)) for i in range(WRITERS)]
        for writer in writers:
            writer.start()
        with server.client() as reader:
            states, slowest = set(), 0
            while any(writer.is_alive() for writer in writers):
                began = time.monotonic()
                reader.must("GET", "value:0:0")
                slowest = max(slowest, time.monotonic() - began)
                states.add(info_field(reader, "guard_state"))
                time.sleep(0.02)
            for writer in writers:
                writer.join()
            self.assertEqual(failures, [])
            self.assertIn("braking", states)
            self.assertNotIn("refusing", states)
            self.assertLess(int(info_field(reader, "guard_staleness_max_ms")), 2000 * SLOW)
            self.assertGreater(int(info_field(reader, "braked_writes")), 0)
            self.assertLess(slowest, 1.0 * SLOW, "a reader waited")
            self.assertLess(max(times), 2.0 * SLOW, "a writer stood still")
            # The disk was busy for all of the time.
            self.assertGreater(len(times) * len(VALUE), RATE * 5 / 3 / SLOW)
            self.disk.rate(0)
            wait_until(lambda: info_field(reader, "guard_state") == "open", timeout=20 * SLOW, what="the brake to open")

    def test_stands_still(self):
        server = self.server("--appendfsync", "everysec", "--max-staleness", "500ms", "--persist-timeout", "1s")
        with server.client() as client, server.client() as reader:
            client.timeout = 60 * SLOW
            client.must("SET", "before", "v")
            self.disk.stick("write,sync")
            began, number = time.monotonic(), 0
            while True:
                reply = client.call("SET", "key:%d" % number, "v")
                if reply != resp.OK:
                    break
                number += 1
                time.sleep(0.01)
            self.assertLess(time.monotonic() - began, 20 * SLOW)
            self.assertRegex(text(reply), r"^MISCONF The disk does not keep up: .*max-staleness 0\.5 s.*persist-timeout \(1\.0 s\)")
            wait_until(lambda: info_field(reader, "guard_state") == "refusing", timeout=20 * SLOW, what="refusing")
            self.assertRegex(text(client.call("SET", "other", "v")), "^MISCONF The disk does not keep up: ")
            self.assertEqual(reader.must("GET", "before"), b"v")
            self.assertRegex(info_field(reader, "guard_reason"), "the oldest write waits for the disk since")
            self.disk.free("write,sync")
            wait_until(lambda: client.call("SET", "after", "v") == resp.OK, timeout=20 * SLOW, what="writes to go on")
            wait_until(lambda: info_field(reader, "guard_state") == "open", timeout=20 * SLOW, what="the brake to open")
        server.kill()
        server.start()
        with server.client() as client:
            self.assertEqual([i for i in range(number) if client.must("EXISTS", "key:%d" % i) == 0], [])

    def test_always(self):
        server = self.server("--appendfsync", "always", "--persist-timeout", "1s")
        with server.client() as client, server.client() as reader:
            client.timeout = reader.timeout = 60 * SLOW
            client.must("SET", "before", "v")
            self.disk.stick("write,sync")
            self.assertRegex(text(client.call("SET", "key", "v")), r"^MISCONF The disk has not taken this for persist-timeout \(1\.0 s\)")
            self.assertEqual(reader.must("GET", "before"), b"v")
            self.assertRegex(text(reader.call("GET", "key")), "^MISCONF The disk has not taken this")
            self.assertRegex(text(client.call("SET", "key", "w")), "^MISCONF The disk does not keep up")
            self.disk.free("write,sync")
            wait_until(lambda: client.call("SET", "after", "v") == resp.OK, timeout=20 * SLOW, what="writes to go on")
            self.assertEqual(reader.must("GET", "key"), b"v")


if __name__ == "__main__":
    main()
