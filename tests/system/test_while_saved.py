#!/usr/bin/env python3
"""Large values that change while they are saved.

Proves   the file of a checkpoint in the midst of which a large value of each type is written all the time is one that redis-check-rdb and
         redis-server accept, with every value in it; and with the log it makes the state that was answered, after a kill -9.
How      values of some ten thousand elements, a writer of all of them in a thread, several checkpoints. What exactly is in the file is
         compared where that can be seen at leisure, in tests/shards/dump_pieces_test.c and tests/persist/checkpoint_test.c.

SHERD_BIN=/usr/bin/redis-server is of no use here: it forks."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import glob  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import unittest  # noqa: E402

from support.case import Server, main, redis_binary, wait_until  # noqa: E402
from support.contents import contents, difference  # noqa: E402
from support.crowd import seed_of_run  # noqa: E402

COUNT, CHUNK, ROUNDS = 40_000, 500, 3
LARGE = (b"hash", b"list", b"set", b"stream", b"zset")


def fill(client):
    for at in range(0, COUNT, CHUNK):
        some = range(at, at + CHUNK)
        client.must("HSET", "hash", *(word for i in some for word in ("f%d" % i, "value %d" % i)))
        client.must("RPUSH", "list", *("element %d" % i for i in some))
        client.must("SADD", "set", *("member %d" % i for i in some))
        client.must("ZADD", "zset", *(word for i in some for word in (i * 7919 % COUNT, "member %d" % i)))
        client.pipeline([("XADD", "stream", "%d-1" % (i + 1), "field", "value %d" % i) for i in some])
    client.must("XGROUP", "CREATE", "stream", "group", "0")


def some_writes(prng):
    def any_of():
        return prng.randrange(COUNT)

    return [("HSET", "hash", "f%d" % any_of(), "new"), ("HINCRBY", "hash", "n%d" % any_of(), 3), ("HDEL", "hash", "f%d" % any_of()),
            ("LPUSH", "list", "new %d" % any_of()), ("RPOP", "list"), ("RPUSH", "list", "new"), ("LPOP", "list", 3), ("LTRIM", "list", 1, -2),
            ("SADD", "set", "new %d" % any_of()), ("SREM", "set", "member %d" % any_of()),
            ("ZADD", "zset", any_of(), "member %d" % any_of()), ("ZINCRBY", "zset", 5, "member %d" % any_of()), ("ZPOPMIN", "zset"),
            ("ZREM", "zset", "member %d" % any_of()),
            ("XADD", "stream", "MAXLEN", "~", COUNT - 100, "*", "field", "new"), ("XDEL", "stream", "%d-1" % any_of()),
            ("XREADGROUP", "GROUP", "group", "me", "COUNT", 3, "STREAMS", "stream", ">"), ("XACK", "stream", "group", "%d-1" % any_of())]


class WhileSaved(unittest.TestCase):
    def persistence(self, client, field):
        return int(dict(line.split(b":") for line in client.must("INFO", "persistence").split(b"\r\n") if b":" in line)[field])

    def check_file(self, server):
        """Threads: 1, so there is one."""
        path, = glob.glob(os.path.join(server.dir, "shard-*.rdb"))
        if shutil.which("redis-check-rdb"):
            done = subprocess.run(["redis-check-rdb", path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        if not redis_binary():
            return
        redis = Server("--save", "", kind="redis", defaults=False, start=False)
        self.addCleanup(redis.clean)
        shutil.copy(path, os.path.join(redis.dir, "dump.rdb"))
        client = redis.start().client()
        self.assertEqual(sorted(client.must("KEYS", "*")), list(LARGE))
        redis.stop()

    def test_written_all_the_time(self):
        server = Server("--save", "", "--appendonly", "yes", "--appendfsync", "always", threads=1, defaults=False, start=False)
        self.addCleanup(server.clean)
        client, prng, stop = server.start().client(), random.Random(seed_of_run()), threading.Event()
        fill(client)

        def write():
            with server.client() as writer:
                while not stop.is_set():
                    writer.pipeline(some_writes(prng))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(ROUNDS):
                client.must("BGREWRITEAOF")
                wait_until(lambda: not self.persistence(client, b"aof_rewrite_in_progress") and
                           not self.persistence(client, b"aof_rewrite_scheduled"), timeout=60, what="the end of a checkpoint")
        finally:
            stop.set()
            writer.join()
        before = contents(client)
        server.kill()
        self.check_file(server)
        self.assertEqual(difference(before, contents(server.start().client())), "")


if __name__ == "__main__":
    main()
