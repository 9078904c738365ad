#!/usr/bin/env python3
"""A disk that is full, and has room again.

Proves   while the log cannot be written, reads go on, writes wait or are refused with the reason, and nothing else happens; when there
         is room again, everything goes on by itself; and what was acknowledged before, meanwhile and after is there after kill -9.
         A save that finds no room fails with words, leaves the old one as it is, and works when there is room.
How      the data directory is a small tmpfs with a ballast file that is removed later. Needs the right to mount; else it skips."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import subprocess  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import SLOW, Server, info_field, main, spread_keys, wait_until  # noqa: E402
from support.server import sherd_binary  # noqa: E402

MB = 1 << 20
ROOM, BALLAST = 96 * MB, 64 * MB
VALUE = b"v" * 20_000
REASON = "No space left on device"


class FullDisk(unittest.TestCase):
    def setUp(self):
        if "redis-server" in sherd_binary():
            self.skipTest("Redis exits")
        self.dir = tempfile.mkdtemp(prefix="sherd-full-")
        self.addCleanup(os.rmdir, self.dir)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % ROOM, "sherd-test", self.dir], capture_output=True, check=False)
        if done.returncode:
            self.skipTest("may not mount: %s" % done.stderr.decode().strip())
        self.addCleanup(subprocess.run, ["umount", "-l", self.dir], check=False)
        self.ballast = os.path.join(self.dir, "ballast")
        with open(self.ballast, "wb") as file:
            file.write(b"x" * BALLAST)

    def server(self, *options):
        server = Server("--save", "", *options, "--dir", self.dir, threads=2, defaults=False)
        self.addCleanup(server.clean)
        return server

    def files(self):
        return sorted(name for name in os.listdir(self.dir) if name.startswith("shard-"))

    def write_until_full(self, client, patience_s):
        """Keys one after the other until one is refused, or not answered in time: (acknowledged keys, the last key's reply or None)."""
        client.timeout, done = patience_s, []
        for number in range(2 * ROOM // len(VALUE)):
            key = "key:%d" % number
            try:
                reply = client.call("SET", key, VALUE)
            except resp.NoReply:
                return done, None
            if reply != resp.OK:
                return done, reply
            done.append(key)
        self.fail("%d MB were written into %d" % (len(done) * len(VALUE) // MB, (ROOM - BALLAST) // MB))

    def goes_on(self, server, client, keys):
        """Everything while it is full, and afterwards."""
        with server.client() as other:
            self.assertEqual(other.must("GET", keys[0]), VALUE)
            self.assertRegex(info_field(other, "guard_reason"), REASON)
            os.unlink(self.ballast)
            names = spread_keys(2)
            wait_until(lambda: all(other.call("SET", name, "v") == resp.OK for name in names), timeout=30, what="writes to go on")
            wait_until(lambda: info_field(other, "aof_last_write_status") == "ok", timeout=30, what="aof_last_write_status:ok")
            # Not INFO's aof_buffer_length: what it says of the other shard is a moment old, and may be from before that SET.
            self.assertEqual(other.must("WAITAOF", "1", "0", "0"), [1, 0])
        server.kill()
        server.start()
        with server.client() as other:
            self.assertEqual([key for key in keys if other.must("EXISTS", key) == 0], [])
            self.assertEqual(other.must("MGET", *names), [b"v", b"v"])

    def test_everysec(self):
        """Writes are taken while they may still be kept, and then refused."""
        server = self.server("--appendonly", "yes", "--appendfsync", "everysec", "--persist-timeout", "1s")
        client = server.client()
        keys, reply = self.write_until_full(client, 60 * SLOW)
        self.assertRegex(bytes(reply or b"").decode(), "^MISCONF.*%s" % REASON)
        self.goes_on(server, client, keys)

    def test_always(self):
        """The write that does not fit waits for persist-timeout, or is refused at once; it is never acknowledged too early."""
        server = self.server("--appendonly", "yes", "--appendfsync", "always", "--persist-timeout", "1s")
        client = server.client()
        keys, reply = self.write_until_full(client, 60 * SLOW)
        self.assertRegex(bytes(reply or b"").decode(), "^MISCONF.*%s" % REASON)
        self.goes_on(server, client, keys)

    def test_budget(self):
        """Overwritten without end and as fast as can be, the files never take more than disk-budget; writes are slowed down, and none is refused."""
        os.unlink(self.ballast)
        server = self.server("--appendonly", "yes", "--auto-aof-rewrite-min-size", "1mb", "--disk-budget", "50mb")
        client = server.client()
        client.timeout, keys, most = 60 * SLOW, 1000, 0
        values = [os.urandom(len(VALUE)) for _ in range(64)]
        for number in range(keys):
            client.must("SET", "key:%d" % number, values[number % 64])
        wait_until(lambda: not isinstance(client.call("BGREWRITEAOF"), resp.Error), timeout=60, what="a snapshot of all to begin")
        wait_until(lambda: int(info_field(client, "aof_rewrites")) > 0 and info_field(client, "aof_rewrite_in_progress") == "0", timeout=60, what="a snapshot")
        until, number = time.monotonic() + 60 * SLOW, 0
        while time.monotonic() < until and (number <= keys or int(info_field(client, "aof_rewrites")) < 3):
            for reply in client.pipeline([("SET", "key:%d" % ((number + i) % keys), values[(number + i) % 64]) for i in range(20)]):
                self.assertEqual(reply, resp.OK)
            number += 20
            most = max(most, sum(os.stat(entry.path).st_blocks for entry in os.scandir(self.dir)) * 512)
        self.assertGreater(number, keys)
        self.assertLess(most, 51 * MB)
        self.assertGreater(int(info_field(client, "aof_rewrites")), 2)
        self.assertIn("the disk is nearly full", server.log())
        client.must("CONFIG", "SET", "disk-budget", "30mb")  # no snapshot fits any more
        wait_until(lambda: client.call("BGREWRITEAOF") and info_field(client, "aof_last_bgrewrite_status") == "err", timeout=30 * SLOW, what="a refusal")
        self.assertRegex(server.log(), "No checkpoint is begun.*disk-budget")

    def test_twice_the_data(self):
        """A disk-budget of 2.2 times the data, set while the server runs: two snapshots and a fifth for the log. All writers at full
        speed are slowed down to what is left, by waiting; none is refused."""
        os.unlink(self.ballast)
        server = self.server("--appendonly", "yes", "--auto-aof-rewrite-min-size", "1mb")
        client, keys, most = server.client(), 1500, 0
        client.timeout = 60 * SLOW
        values = [os.urandom(len(VALUE)) for _ in range(64)]

        def overwrite(first):
            return [client.call("SET", "key:%d" % ((first + i) % keys), values[(first + i) % 64]) for i in range(20)]

        for number in range(0, keys, 20):
            self.assertEqual(set(overwrite(number)), {resp.OK})
        wait_until(lambda: not isinstance(client.call("BGREWRITEAOF"), resp.Error), timeout=60, what="a snapshot of all to begin")
        wait_until(lambda: info_field(client, "aof_rewrite_in_progress") == "0", timeout=60, what="its end")
        budget = int(2.2 * keys * len(VALUE))
        client.must("CONFIG", "SET", "disk-budget", budget)
        before, until, number = int(info_field(client, "aof_rewrites")), time.monotonic() + 60 * SLOW, 0
        while time.monotonic() < until and (number <= keys or int(info_field(client, "aof_rewrites")) < before + 4):
            self.assertEqual(set(overwrite(number)), {resp.OK})
            number += 20
            if number > keys:  # what was there when the budget was set has gone
                most = max(most, sum(os.stat(entry.path).st_blocks for entry in os.scandir(self.dir)) * 512)
        self.assertGreater(number, keys)
        self.assertLess(most, budget + MB)

    def test_refused_since_a_save_failed(self):
        """Writes are refused since a save found no room (stop-writes-on-bgsave-error). When there is room, it is tried again without
        being asked for, and they go on."""
        server = Server("--save", "3600 1", "--appendonly", "no", "--dir", self.dir, threads=2, defaults=False)
        self.addCleanup(server.clean)
        client = server.client()
        for number in range(2 * (ROOM - BALLAST) // len(VALUE)):
            client.must("SET", "key:%d" % number, os.urandom(len(VALUE)))
        self.assertIsInstance(client.call("SAVE"), resp.Error)
        wait_until(lambda: isinstance(client.call("SET", "key:0", "v"), resp.Error), timeout=30, what="writes to be refused")
        os.unlink(self.ballast)
        wait_until(lambda: client.call("SET", "key:0", "v") == resp.OK, timeout=30, what="writes to go on")
        self.assertEqual(info_field(client, "rdb_last_bgsave_status"), "ok")

    def test_save(self):
        server = self.server("--appendonly", "no")
        client = server.client()
        client.must("SET", "old", "v")
        client.must("SAVE")
        for number in range(2 * (ROOM - BALLAST) // len(VALUE)):
            client.must("SET", "key:%d" % number, os.urandom(len(VALUE)))
        before = self.files()
        self.assertIsInstance(client.call("SAVE"), resp.Error)
        wait_until(lambda: self.files() == before, timeout=30 * SLOW, what="what was in vain to go")
        self.assertEqual(info_field(client, "rdb_last_bgsave_status"), "err")
        self.assertIn(REASON, server.log())
        with server.client() as other:  # no end without a save: who asked is told so
            reply = other.call("SHUTDOWN", "SAVE")
            self.assertEqual(bytes(reply).decode(), "ERR Errors trying to SHUTDOWN. Check logs.")
            self.assertEqual(other.must("ECHO", "there"), b"there")
        server.kill()
        server.start()
        client = server.client()
        self.assertEqual(client.must("KEYS", "*"), [b"old"])
        os.unlink(self.ballast)
        client.must("SET", "new", "v")
        self.assertEqual(client.call("SAVE"), resp.OK)
        self.assertEqual(info_field(client, "rdb_last_bgsave_status"), "ok")
        server.kill()
        server.start()
        self.assertEqual(sorted(server.client().must("KEYS", "*")), [b"new", b"old"])


if __name__ == "__main__":
    main()
