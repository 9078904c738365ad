#!/usr/bin/env python3
"""Very many elements for who may have to wait for them: BLMPOP and BZMPOP take turns (shards/pop_work.h), also when they were served
later, by a push or by a key that came into being in another way; over several shards they go in pieces (shards/pop_gather.c)."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.resp import NULL_ARRAY, Closed, encode  # noqa: E402
from support.case import ServerCase, info_field, main, wait_until  # noqa: E402

COUNT = 12_000  # elements: some twelve slices of a list, and more of a sorted set
COUNTS = (4096, 4097, 5000, COUNT - 1, COUNT, COUNT + 1, 10 ** 15)
ELEMENTS = [b"m%d" % i for i in range(COUNT)]


class Pops:
    """keys: what is asked for, the last of which will have something; z stands for the same as sorted sets."""

    keys = ("{a}l",)

    def zkeys(self):
        return [key.replace("l", "z") for key in self.keys]

    def push(self, client, key):
        client.must("RPUSH", key, *ELEMENTS)

    def add(self, client, key):
        client.must("ZADD", key, *[word for i, name in enumerate(ELEMENTS) for word in (b"%d" % i, name)])

    def of_list(self, count, end="LEFT"):
        return [self.keys[-1].encode(), (ELEMENTS if end == "LEFT" else ELEMENTS[::-1])[:count]]

    def of_zset(self, count, end="MIN"):
        pairs = [[name, b"%d" % i] for i, name in enumerate(ELEMENTS)]
        return [self.zkeys()[-1].encode(), (pairs if end == "MIN" else pairs[::-1])[:count]]

    def lists(self, name, end, count):
        return [name, *(["0"] if name[0] == "B" else []), str(len(self.keys)), *self.keys, end, "COUNT", str(count)]

    def zsets(self, name, end, count):
        return [name, *(["0"] if name[0] == "B" else []), str(len(self.keys)), *self.zkeys(), end, "COUNT", str(count)]

    def wait_blocked(self, client, count):
        wait_until(lambda: info_field(client, "blocked_clients") == str(count), what="%d blocked clients" % count)

    def start_again(self, client, keys):
        return client

    def test_at_once(self):
        """There is something already: what is answered is what is gone."""
        client = self.client(timeout=120)
        l, z = self.keys[-1], self.zkeys()[-1]
        client.must("DEL", *self.keys, *self.zkeys())
        for count in COUNTS:
            for name, end in (("BLMPOP", "LEFT"), ("BLMPOP", "RIGHT"), ("LMPOP", "LEFT"), ("LMPOP", "RIGHT")):
                self.push(client, l)
                self.assertTrue(client.must(*self.lists(name, end, count)) == self.of_list(count, end), (name, end, count))
                rest = ELEMENTS[count:] if end == "LEFT" else ELEMENTS[:max(0, COUNT - count)]
                self.assertTrue(client.must("LRANGE", l, "0", "-1") == rest, (name, end, count))
                client.must("DEL", l)
            for name, end in (("BZMPOP", "MIN"), ("ZMPOP", "MAX")):
                self.add(client, z)
                self.assertTrue(client.must(*self.zsets(name, end, count)) == self.of_zset(count, end), (name, end, count))
                self.assertEqual(client.must("ZCARD", z), max(0, COUNT - count))
                client.must("DEL", z)
        self.assertNothingLeft()

    def test_nothing_and_wrong(self):
        client = self.client(timeout=120)
        client.must("DEL", *self.keys)
        self.assertEqual(client.call(*self.lists("LMPOP", "LEFT", 5000)), NULL_ARRAY)
        self.assertEqual(client.pipeline([("MULTI",), self.lists("BLMPOP", "LEFT", 5000), ("EXEC",)])[-1], [NULL_ARRAY])
        client.must("SET", self.keys[-1], "x")
        for name in ("LMPOP", "BLMPOP"):
            self.assertIn("WRONGTYPE", client.raw(*self.lists(name, "LEFT", 5000)).decode())
            self.assertIn("syntax", client.raw(*self.lists(name, "LEFT", 5000), "COUNT", "6000").decode())
        client.must("DEL", self.keys[-1])

    def ways(self, client):
        """How the list and the sorted set may come into being while somebody waits."""
        l, z, other = self.keys[-1], self.zkeys()[-1], "{%s}other" % self.keys[-1].strip("{}al")
        for key, fill in ((l, self.push), (z, self.add)):
            yield key, lambda: fill(client, key)
            for make in (("RENAME", "from", "key"), ("COPY", "from", "key"), ("RESTORE",)):
                def come(make=make, key=key, fill=fill):
                    fill(client, other)
                    if make[0] == "RESTORE":
                        client.must("RESTORE", key, "0", client.must("DUMP", other))
                    else:
                        client.must(make[0], other, key)
                    client.must("DEL", other)
                yield key, come

    def test_served(self):
        """Whoever waits is served by whatever brings the key, and what it does not want stays."""
        client, waiter = self.client(timeout=120), self.client(timeout=120)
        client.must("DEL", *self.keys, *self.zkeys())
        for count in (5000, COUNT, 10 ** 15):
            for key, come in self.ways(client):
                is_list = key == self.keys[-1]
                waiter.send(encode(self.lists("BLMPOP", "LEFT", count) if is_list else self.zsets("BZMPOP", "MIN", count)))
                self.wait_blocked(client, 1)
                come()
                reply = waiter.read_one()
                self.assertTrue(reply == (self.of_list(count) if is_list else self.of_zset(count)), (key, count))
                self.assertEqual(client.must("LLEN" if is_list else "ZCARD", key), max(0, COUNT - count))
                client.must("DEL", key)
        self.assertNothingLeft()

    def test_served_in_their_order(self):
        """Several wait: the first has its part, then the next, and another command's only after that."""
        client = self.client(timeout=120)
        client.must("DEL", *self.keys)
        waiters = [self.client(timeout=120) for _ in range(3)]
        for i, waiter in enumerate(waiters):
            waiter.send(encode(self.lists("BLMPOP", "LEFT", 5000)))
            self.wait_blocked(client, i + 1)
        client.send(encode(["RPUSH", self.keys[-1], *ELEMENTS]) + encode(["RPUSH", self.keys[-1], "last"]) + encode(["LLEN", self.keys[-1]]))
        parts = [waiter.read_one()[1] for waiter in waiters]
        self.assertTrue(parts == [ELEMENTS[:5000], ELEMENTS[5000:10_000], ELEMENTS[10_000:]])
        self.assertEqual([client.read_one() for _ in range(3)], [COUNT, 1, 1])
        client.must("DEL", self.keys[-1])

    def test_goes_away(self):
        """Its client goes, is let go or runs out of time while it is served: it has all or nothing, and nothing is left."""
        client = self.client(timeout=120)
        client.must("DEL", *self.keys)
        for way in ("close", "unblock", "kill", "time"):
            waiter = self.client(timeout=120)
            number = waiter.must("CLIENT", "ID")
            command = self.lists("BLMPOP", "LEFT", COUNT)
            command[1] = "0.02" if way == "time" else "0"
            waiter.send(encode(command))
            if way != "time":
                self.wait_blocked(client, 1)
            client.send(encode(["RPUSH", self.keys[-1], *ELEMENTS]))
            if way == "close":
                waiter.close()
            elif way != "time":
                client.send(encode(["CLIENT", "UNBLOCK" if way == "unblock" else "KILL", *(["ID"] if way == "kill" else []), str(number)]))
            self.assertEqual(client.read_one(), COUNT)
            unblocked = client.read_one() if way in ("unblock", "kill") else None
            served = None
            if way in ("unblock", "time"):
                reply = waiter.read_one()
                served = reply != NULL_ARRAY
                self.assertTrue(not served or reply == self.of_list(COUNT))
            if way == "unblock":
                self.assertEqual(unblocked, 0 if served else 1)
            if way == "kill":
                with self.assertRaises((Closed, OSError)):
                    while True:
                        waiter.read_one()
            self.wait_blocked(client, 0)
            left = client.must("LLEN", self.keys[-1])
            self.assertIn(left, (0, COUNT) if served is None else (0,) if served else (COUNT,), way)
            client.must("DEL", self.keys[-1])
        self.assertNothingLeft()

    def test_in_transaction(self):
        client = self.client(timeout=120)
        client.must("DEL", *self.keys, *self.zkeys())
        for _ in range(2):
            self.push(client, self.keys[-1])
            self.add(client, self.zkeys()[-1])
            replies = client.pipeline([("MULTI",), self.lists("BLMPOP", "RIGHT", 5000), self.zsets("BZMPOP", "MAX", 5000), self.lists("LMPOP", "LEFT", COUNT),
                                       ("LLEN", self.keys[-1]), ("EXEC",)])[-1]
            self.assertTrue(replies == [self.of_list(5000, "RIGHT"), self.of_zset(5000, "MAX"), self.of_list(COUNT - 5000), 0])
            client.must("DEL", self.zkeys()[-1])

    def test_events(self):
        """Once for all that is taken, however long that takes, and once for the watchers."""
        client, listener, watcher, waiter = (self.client(timeout=120) for _ in range(4))
        client.must("DEL", *self.keys, *self.zkeys())
        client.must("CONFIG", "SET", "notify-keyspace-events", "KA")
        channels = ["__keyspace@0__:" + key for key in (self.keys[-1], self.zkeys()[-1])]
        listener.must("SUBSCRIBE", channels[0])
        listener.must("SUBSCRIBE", channels[1])
        self.push(client, self.keys[-1])
        watcher.must("WATCH", self.keys[-1])
        client.must(*self.lists("BLMPOP", "LEFT", 5000))
        self.assertEqual(watcher.pipeline([("MULTI",), ("PING",), ("EXEC",)])[-1], NULL_ARRAY)
        client.must(*self.lists("LMPOP", "RIGHT", COUNT))
        waiter.send(encode(self.zsets("BZMPOP", "MIN", COUNT - 1)))
        self.wait_blocked(client, 1)
        self.add(client, self.zkeys()[-1])
        self.assertEqual(len(waiter.read_one()[1]), COUNT - 1)
        client.must(*self.zsets("BZMPOP", "MAX", 5000))
        client.must("PUBLISH", channels[0], "end")
        client.must("PUBLISH", channels[1], "end")
        told = {channel: [] for channel in channels}
        while any(events[-1:] != [b"end"] for events in told.values()):
            message = listener.read_one()
            told[message[1].decode()].append(message[2])
        self.assertEqual(told[channels[0]], [b"rpush", b"lpop", b"rpop", b"del", b"end"])
        self.assertEqual(told[channels[1]], [b"zadd", b"zpopmin", b"zpopmax", b"del", b"end"])
        client.must("CONFIG", "SET", "notify-keyspace-events", "")

    def test_time(self):
        """The key's time is over while it is taken from: what was taken by then is the reply."""
        client = self.client(timeout=120)
        for millis in (1, 2, 4, 8, 16):
            for name in ("LMPOP", "BLMPOP"):
                client.must("DEL", *self.keys)
                self.push(client, self.keys[-1])
                client.send(encode(["PEXPIRE", self.keys[-1], str(millis)]))
                command = self.lists(name, "LEFT", COUNT)
                if name == "BLMPOP":
                    command[1] = "0.01"
                client.send(encode(command))
                self.assertEqual(client.read_one(), 1)
                reply = client.read_one()
                if reply != NULL_ARRAY:
                    self.assertTrue(reply == self.of_list(len(reply[1])))
                    wait_until(lambda: not client.must("EXISTS", self.keys[-1]), what="its time to be over")
        self.assertNothingLeft()

    def test_neighbour(self):
        """Commands on the key wait until all is taken; others go on."""
        client, waiter, other = (self.client(timeout=120) for _ in range(3))
        client.must("DEL", *self.keys, "n")
        for _ in range(3):
            waiter.send(encode(self.lists("BLMPOP", "LEFT", COUNT - 7)))
            self.wait_blocked(client, 1)
            client.send(encode(["RPUSH", self.keys[-1], *ELEMENTS]))
            seen = set()
            while 7 not in seen:
                seen.add(other.must("LLEN", self.keys[-1]))
                other.must("INCR", "n")
            self.assertLessEqual(seen, {0, 7})
            self.assertEqual(client.read_one(), COUNT)
            self.assertTrue(waiter.read_one() == self.of_list(COUNT - 7))
            client.must("DEL", self.keys[-1])

    def test_starts_again(self):
        """What was taken by whoever waited is gone after a restart from the log, and nothing else."""
        client, waiter = self.client(timeout=120), self.client(timeout=120)
        l, z = self.keys[-1], self.zkeys()[-1]
        client.must("DEL", *self.keys, *self.zkeys())
        waiter.send(encode(self.lists("BLMPOP", "LEFT", 5000)))
        self.wait_blocked(client, 1)
        self.push(client, l)
        waiter.read_one()
        waiter.send(encode(self.zsets("BZMPOP", "MAX", 5000)))
        self.wait_blocked(client, 1)
        self.add(client, z)
        waiter.read_one()
        client.must(*self.zsets("BZMPOP", "MIN", 4500))
        client.must(*self.lists("BLMPOP", "RIGHT", 4500))
        client = self.start_again(client, (l, z))
        self.assertTrue(client.must("LRANGE", l, "0", "-1") == ELEMENTS[5000:COUNT - 4500])
        self.assertTrue(client.must("ZRANGE", z, "0", "-1") == ELEMENTS[4500:COUNT - 5000])
        client.must("DEL", l, z)


class OneThread(Pops, ServerCase):
    threads = 1


class TwoThreads(Pops, ServerCase):
    """Both of who waits and of who pushes live now here, now there."""

    threads = 2
    keys = ("{b}l2", "{b}l")


class Across(Pops, ServerCase):
    """Its keys live on different shards."""

    threads = 4
    keys = ("l3", "l1", "l2", "l0", "l")


class WithLog(Pops, ServerCase):
    threads = 2
    options = ("--appendonly", "yes", "--appendfsync", "always")

    def start_again(self, client, keys):
        self.server.stop()
        self.server.start()
        return self.client(timeout=120)


class AcrossWithLog(WithLog):
    threads = 4
    keys = Across.keys


if __name__ == "__main__":
    main()
