#!/usr/bin/env python3
"""A log is told of large values over several turns (shards/tell_work.h, effect_payload.h): what a client is answered, what is there
after a crash, that Redis and its tools read it, and that what is told waits for the disk."""

import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.case import info_field, main, wait_until  # noqa: E402
from support.power import PowerDisk  # noqa: E402
from support.resp import Simple  # noqa: E402
from support.server import Server, begin_until_killed, redis_binary  # noqa: E402

LOG = ("--appendonly", "yes", "--appendfsync", "always")
LONG = bytes(range(256)) * 8192  # 2 MiB: four pieces
COUNT = 12_000
KINDS = ("list", "set", "zset", "hash", "stream", "string")
LATER = "4000000000000"


def fill(client):
    """One large value of each kind; the stream has entries that are gone and yet pending."""
    for begin in range(0, COUNT, 2000):
        numbers = range(begin, begin + 2000)
        client.must("RPUSH", "list", *["element %d" % i for i in numbers])
        client.must("SADD", "set", *["member %d" % i for i in numbers])
        client.must("ZADD", "zset", *[word for i in numbers for word in (str(i), "member %d" % i)])
        client.must("HSET", "hash", *[word for i in numbers for word in ("field %d" % i, "value %d" % i)])
        client.pipeline([["XADD", "stream", "%d-1" % (i + 1), "field", hashlib.md5(b"%d" % i).hexdigest()] for i in numbers])
    client.must("XGROUP", "CREATE", "stream", "group", "0")
    client.must("XREADGROUP", "GROUP", "group", "consumer", "COUNT", "5000", "STREAMS", "stream", ">")
    client.pipeline([["XDEL", "stream", "%d-1" % i] for i in range(1, COUNT, 3)])
    client.must("SET", "string", LONG)


def value(client, key):
    kind = bytes(client.must("TYPE", key))
    if kind == b"set":
        return sorted(client.must("SMEMBERS", key))
    if kind == b"hash":
        flat = client.must("HGETALL", key)
        return sorted(zip(flat[::2], flat[1::2]))
    if kind == b"zset":
        return client.must("ZRANGE", key, "0", "-1", "WITHSCORES")
    if kind == b"list":
        return client.must("LRANGE", key, "0", "-1")
    if kind == b"stream":
        return [client.must("XRANGE", key, "-", "+"), client.must("XPENDING", key, "group"), client.must("XINFO", "STREAM", key)]
    return client.must("GET", key)


def contents(client):
    found = {}
    for db in ("1", "0"):
        client.must("SELECT", db)
        for key in client.must("KEYS", "*"):
            found[db, key] = (hashlib.md5(repr(value(client, key)).encode()).hexdigest(), client.must("PEXPIRETIME", key))
    return found


def strings(tag):
    k = tag + "k"
    return [("SET", k, LONG), ("SET", k, LONG[1:], "GET"), ("GETSET", k, LONG), ("SET", k, LONG[2:], "PXAT", LATER), ("SET", k, LONG, "KEEPTTL"),
            ("SET", k, LONG, "NX"), ("APPEND", k, LONG), ("SETRANGE", k, "77", LONG), ("STRLEN", k), ("APPEND", tag + "a", LONG),
            ("SETRANGE", tag + "r", "1000", LONG), ("SETNX", tag + "n", LONG), ("SETNX", tag + "n", LONG), ("PSETEX", tag + "p", "90000000", LONG),
            ("PEXPIREAT", tag + "p", LATER),             ("MSET", tag + "m", LONG), ("MSETNX", tag + "mx", LONG), ("MSET", tag + "m1", LONG, tag + "m2", "few"), ("SET", tag + "i", LONG, "IFEQ", "x"),
            ("RENAME", k, tag + "k2"), ("RENAMENX", tag + "a", tag + "r"), ("MOVE", tag + "k2", "1"), ("EXISTS", k, tag + "k2")]


def values(tag, payloads):
    for kind, payload in payloads.items():
        d = tag + kind
        yield ("RESTORE", d, "0", payload)
        yield ("RESTORE", d, "0", payload)
        yield ("RESTORE", d, LATER, payload, "REPLACE", "ABSTTL")
        yield ("COPY", d, d + "copy")
        yield ("RENAME", d + "copy", d + "named")
        yield ("MOVE", d + "named", "1")
        yield ("RENAME", d, d + "2")


class Telling(unittest.TestCase):
    def commands(self, client, tag):
        return strings(tag) + list(values(tag, {kind: client.must("DUMP", kind) for kind in KINDS}))

    def start(self, threads):
        server = Server(*LOG, threads=threads)
        self.addCleanup(server.clean)
        client = server.client(timeout=120)
        fill(client)
        return server, client

    def told(self, threads, others):
        """Over turns: as in a transaction, which is told at once; and all is there after kill -9, also on other numbers of threads."""
        server, client = self.start(threads)
        for turns, once in zip(self.commands(client, "{t}"), self.commands(client, "{o}")):
            client.must("MULTI")
            client.must(*once)
            reply = client.must("EXEC")[0]
            self.assertEqual(client.call(*turns), reply, turns[:2])
        stats = bytes(client.must("INFO", "commandstats")).decode()
        self.assertNotIn("sherd.", stats)
        self.assertEqual(re.search("cmdstat_setrange:calls=([0-9]+)", stats)[1], "4")
        before = contents(client)
        for (db, key), what in before.items():
            if key.startswith(b"{t}"):
                self.assertEqual(what, before[db, b"{o}" + key[3:]], key)
        for count in others:
            server.kill()
            server.threads = count
            server.start()
            client = server.client(timeout=120)
            self.assertEqual(contents(client), before)
        server.stop()

    def test_told(self):
        self.told(1, (3,))

    def test_told_by_others(self):
        self.told(3, (2,))

    def test_slow_log(self):
        """It is there under its own name, with all of its time."""
        server, client = self.start(1)
        client.must("CONFIG", "SET", "slowlog-log-slower-than", "0")
        client.must("SLOWLOG", "RESET")
        client.must("SET", "k", LONG)
        self.assertIn([b"set", b"k"], [line[3] for line in client.must("SLOWLOG", "GET", "10")])
        server.stop()

    def test_killed(self):
        """Each is there as a whole or not at all, and so is what was acknowledged meanwhile."""
        server, client = self.start(2)
        long, payload = LONG * 6, client.must("DUMP", "stream")
        stream = value(client, "stream")
        for count in (1, 4, 12, 30):
            client.must("SELECT", "0")
            client.must("COPY", "stream", "from", "REPLACE")
            client.pipeline([["SET", key, "old"] for key in ("a", "b", "c", "d", "n")] + [["SET", "n", "0"], ["DEL", "to"]])
            commands = [("SET", "a", long), ("APPEND", "b", long), ("RESTORE", "c", "0", payload, "REPLACE"), ("COPY", "stream", "d", "REPLACE"),
                        ("RENAME", "from", "{from}to")]
            threads = begin_until_killed(server, commands)
            for _ in range(count):
                client.must("INCR", "n")
            server.kill()
            for thread in threads:
                thread.join()
            server.start()
            client = server.client(timeout=120)
            self.assertEqual(client.must("GET", "n"), b"%d" % count)
            self.assertIn(client.must("GET", "a"), (b"old", long))
            self.assertIn(client.must("GET", "b"), (b"old", b"old" + long))
            for key in "cd":
                if client.must("TYPE", key) != Simple(b"string"):
                    self.assertEqual(value(client, key), stream)
            there = client.must("EXISTS", "from"), client.must("EXISTS", "{from}to")
            self.assertIn(there, ((1, 0), (0, 1)))
            self.assertEqual(value(client, "from" if there[0] else "{from}to"), stream)
            client.must("DEL", "{from}to")

    def test_time_is_over(self):
        """A key whose time ends while it is told of is gone, also after a restart."""
        server, client = self.start(1)
        client.must("SET", "a", "x", "PX", "2000")
        if client.must("APPEND", "a", LONG * 16) == len(LONG) * 16:
            client.must("DEL", "a")  # it was over before, on a slow machine
        client.must("SET", "s", LONG * 16, "PX", "1")
        wait_until(lambda: not client.must("EXISTS", "a", "s"), what="their time to be over")
        server.kill()
        server.start()
        self.assertEqual(server.client().must("EXISTS", "a", "s"), 0)

    @unittest.skipIf(redis_binary() is None or shutil.which("redis-check-aof") is None, "needs redis-server and its tools")
    def test_redis_reads_it(self):
        """The segments pass redis-check-aof, and Redis plays them to the same contents."""
        server, client = self.start(1)
        for command in self.commands(client, "{t}"):
            client.call(*command)
        before = contents(client)
        server.stop()
        segments = [path for path in sorted(glob.glob(server.dir + "/shard-000.*.aof")) if os.path.getsize(path)]
        for path in segments:
            done = subprocess.run(["redis-check-aof", path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(subprocess.run(["grep", "-q", "EVAL", *segments], check=False).returncode, 0)
        redis = Server("--appendonly", "yes", "--appenddirname", "aofs", kind="redis", start=False)
        self.addCleanup(redis.clean)
        os.mkdir(redis.dir + "/aofs")
        with open(redis.dir + "/aofs/appendonly.aof.manifest", "w", encoding="ascii") as manifest:
            for number, path in enumerate(segments, 1):
                shutil.copy(path, redis.dir + "/aofs")
                manifest.write("file %s seq %d type i\n" % (os.path.basename(path), number))
        redis.start()
        self.assertEqual({key: what for key, what in contents(redis.client(timeout=120)).items()}, before)
        redis.stop()


class SlowDisk(unittest.TestCase):
    """What is told waits for the disk instead of piling up in memory; but not for ever."""

    def setUp(self):
        self.disk = PowerDisk()
        self.addCleanup(self.disk.clean)

    def server(self, *options):
        server = Server("--save", "", "--appendonly", "yes", *options, "--dir", self.disk.dir, threads=1, defaults=False)
        self.addCleanup(server.clean)
        self.addCleanup(self.disk.free, "all")  # or the server could not end
        return server

    def server_with(self, pieces):
        server = self.server("--persist-timeout", "1000")
        client = server.client(timeout=120)
        client.must("SET", "long", LONG * pieces)
        wait_until(lambda: self.waiting(client) == 0, what="the disk to have it")
        return server, client

    def waiting(self, client):
        return int(info_field(client, "guard_unsynced_bytes", "persistence"))

    def copy(self, server, client):
        """The most that waited for the disk meanwhile."""
        done = []

        def run():
            with server.client(timeout=300) as copier:
                done.append(copier.must("COPY", "long", "copy"))

        thread, most = threading.Thread(target=run), 0
        thread.start()
        while thread.is_alive():
            most = max(most, self.waiting(client))
        thread.join()
        self.assertEqual(done, [1])
        return most

    def test_waits_for_it(self):
        """A copy of 48 MB leaves less than half of that in memory, on whatever disk."""
        server, client = self.server_with(24)
        self.disk.rate(30_000_000)
        self.assertLess(self.copy(server, client), 20 << 20)
        self.disk.rate(0)
        server.kill()
        server.start()
        client = server.client(timeout=120)
        self.assertIn(client.must("STRLEN", "copy"), (0, len(LONG) * 24))
        server.stop()

    def test_but_not_for_ever(self):
        """On a disk that stands still it goes on in the end, and new writes are refused as ever."""
        server, client = self.server_with(24)
        self.disk.stick("write,sync")
        self.assertGreater(self.copy(server, client), 40 << 20)
        self.assertRegex(str(client.call("SET", "k", "v")), "MISCONF")
        self.assertEqual(client.must("STRLEN", "copy"), len(LONG) * 24)
        self.disk.free("write,sync")
        wait_until(lambda: self.waiting(client) == 0, what="the disk to have it")
        client.must("SET", "k", "v")
        server.kill()
        server.start()
        self.assertEqual(server.client(timeout=120).must("STRLEN", "copy"), len(LONG) * 24)
        server.stop()


if __name__ == "__main__":
    main()
