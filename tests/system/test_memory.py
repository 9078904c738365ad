#!/usr/bin/env python3
"""maxmemory is a ceiling for the whole process: growth is refused in Redis's words, keys are evicted for it or commands wait,
one large command cannot jump over it, and reads, deletes and administration work whatever happens. In a memory cgroup of
its own the server chooses its ceiling by itself, fills it, follows it when the limit moves, and is never killed. Prints what it measures."""

import os
import random
import socket
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import tempfile  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import cgroup, resp  # noqa: E402
from support.case import SLOW, Server, ServerCase, info_field, main, sherd_only, spread_keys, wait_until  # noqa: E402
from support.server import sherd_binary  # noqa: E402

MIB = 1 << 20
OOM = "OOM command not allowed when used memory > 'maxmemory'."
NO_ROOM = "OOM no room for so large a reply under 'maxmemory': ask for less of it at once."
PRESET = "0"


def memory(client):
    """INFO memory as numbers, as far as they are."""
    lines = bytes(client.must("INFO", "memory")).decode("latin-1").split("\r\n")
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    return {name: int(value) for name, value in fields.items() if value.lstrip("-").isdigit()}


class Refusals(ServerCase):
    """Also true of redis-server."""

    def setUp(self):
        super().setUp()
        self.admin = self.client()
        self.addCleanup(self.admin.must, "CONFIG", "SET", "maxmemory", PRESET)

    def fill(self):
        """From here on there is no room."""
        self.admin.must("CONFIG", "SET", "maxmemory", "1")

    def test_growth_is_refused_and_nothing_else(self):
        client = self.client()
        keys = spread_keys(2)
        for key in keys:
            client.must("SET", key, "v")
        client.must("RPUSH", "list", "a", "b")
        self.fill()
        for key in keys:
            self.assertError(client.call("SET", key, "w"), OOM)
            self.assertError(client.call("APPEND", key, "w"), OOM)
            self.assertError(client.call("INCR", key), OOM)
            self.assertEqual(client.call("GET", key), b"v")
            self.assertEqual(client.call("EXPIRE", key, 1000), 1)
        self.assertError(client.call("MSET", keys[0], "1", keys[1], "2"), OOM)
        self.assertError(client.call("LPUSH", "list", "x"), OOM)
        self.assertError(client.call("HSET", "h", "f", "v"), OOM)
        self.assertEqual(client.call("LPOP", "list"), b"a")
        self.assertEqual(client.call("LRANGE", "list", 0, -1), [b"b"])
        self.assertEqual(client.call("MGET", *keys), [b"v", b"v"])
        self.assertEqual(client.call("DEL", keys[0]), 1)
        self.assertEqual(client.call("CLIENT", "SETNAME", "me"), resp.OK)
        self.assertEqual(client.call("PING"), resp.Simple(b"PONG"))
        self.assertEqual(client.call("FLUSHALL"), resp.OK)
        self.admin.must("CONFIG", "SET", "maxmemory", "0")
        self.assertEqual(client.call("SET", keys[0], "w"), resp.OK)

    def test_transactions_are_refused_as_a_whole(self):
        client = self.client()
        keys = spread_keys(2)
        client.must("SET", keys[0], "v")
        client.must("MULTI")
        self.fill()
        self.assertError(client.call("SET", keys[0], "w"), OOM)
        self.assertError(client.call("EXEC"), "EXECABORT Transaction discarded because of previous errors.")
        client.must("MULTI")
        self.assertError(client.call("GET", keys[0]), OOM)  # what is kept needs memory, too
        self.assertEqual(client.call("DISCARD"), resp.OK)
        self.admin.must("CONFIG", "SET", "maxmemory", "0")
        client.must("MULTI")
        for key in keys:
            client.must("SET", key, "w")
        self.fill()
        self.assertError(client.call("EXEC"), "EXECABORT Transaction discarded because of: " + OOM)
        self.assertEqual(client.call("MGET", *keys), [b"v", resp.NULL_BULK])
        client.must("MULTI")
        self.assertEqual(client.call("EXEC"), [])

    def test_a_pipeline_goes_on_when_room_was_made(self):
        client = self.client()
        self.admin.must("CONFIG", "SET", "maxmemory", "200mb")
        client.must("SET", "k", b"v" * 100)
        replies = client.pipeline([("CONFIG", "SET", "maxmemory", "1"), ("SET", "k", "w"), ("GET", "k"), ("CONFIG", "SET", "maxmemory", "200mb"), ("SET", "k", "w"), ("GET", "k")])
        self.assertError(replies[1], OOM)
        self.assertEqual(replies[2], b"v" * 100)
        self.assertEqual(replies[4:], [resp.OK, b"w"])


measurable = unittest.skipIf(SLOW > 1, "what a sanitizer adds to the resident set is more than all else")


@sherd_only
@measurable
class Ceiling(ServerCase):
    """A server for each test: its largest resident set is what it is about."""

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.server = Server("--maxmemory", "64mb", threads=self.threads)
        self.addCleanup(self.server.clean)
        self.admin = self.client()

    def fill(self, count=200000):
        """Small values until no more are taken, or more than there is room for."""
        client = self.client()
        for start in range(0, count, 1000):
            replies = client.pipeline([("SET", "k%d" % i, b"v" * 300) for i in range(start, start + 1000)])
            if any(isinstance(reply, resp.Error) for reply in replies):
                return

    def tearDown(self):
        self.server.check_alive()
        self.admin.close()
        self.server.stop()

    def test_one_large_command_cannot_jump_over_it(self):
        client = self.client()
        with self.assertRaises((resp.Closed, OSError)):  # -OOM, and the rest of the command is not even read
            self.assertError(client.call("SET", "large", b"v" * (200 * MIB)), OOM)
            client.call("PING")
        self.assertLess(self.server.rss(), 64 * MIB)
        self.assertEqual(self.admin.call("EXISTS", "large"), 0)
        self.assertEqual(self.admin.call("SET", "fits", b"v" * (8 * MIB)), resp.OK)

    def say_behind_others(self, size):
        """In one packet two commands, and the beginning of a large one behind them."""
        client = self.client()
        large = resp.encode(("SET", "large", b"v" * size))
        client.send(resp.encode(("PING",)) + resp.encode(("GET", "none")) + large[:3000])
        self.assertEqual([client.read_one(), client.read_one()], [resp.Simple(b"PONG"), resp.NULL_BULK])
        return client, large[3000:]

    def test_commands_run_before_the_next_waits_for_room(self):
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.fill()
        client, rest = self.say_behind_others(8 * MIB)
        client.send(rest)
        self.assertEqual(client.read_one(), resp.OK)
        self.assertEqual(self.admin.call("STRLEN", "large"), 8 * MIB)

    def test_large_values_leave_many_of_the_small_ones(self):
        """What small ones leave in pages is no room for a large one, until pages were emptied by moving what is left."""
        self.admin.must("CONFIG", "SET", "maxmemory", "128mb", "maxmemory-policy", "allkeys-lru")
        self.fill(450000)
        before = self.admin.call("DBSIZE")
        for number in range(8):
            self.assertEqual(self.admin.call("SET", "large%d" % number, b"v" * (4 * MIB)), resp.OK)
        after = self.admin.call("DBSIZE")
        print("%d of %d keys are left" % (after, before))
        self.assertGreater(after, before * 2 // 5)

    def test_a_refusal_comes_behind_the_replies_before_it(self):
        self.fill()
        client, _ = self.say_behind_others(20 * MIB)
        self.assertError(client.read_one(), OOM)

    def test_nothing_is_evicted_while_writes_are_paused(self):
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.fill()
        self.admin.must("CLIENT", "PAUSE", 600000, "WRITE")
        evicted, waited = info_field(self.admin, "evicted_keys"), memory(self.admin)["memory_commands_waited"]
        client, rest = self.say_behind_others(8 * MIB)
        sender = threading.Thread(target=client.send, args=(rest,))
        sender.start()
        wait_until(lambda: memory(self.admin)["memory_commands_waited"] > waited, what="the large command to wait")
        self.assertEqual(info_field(self.admin, "evicted_keys"), evicted)
        self.admin.must("CLIENT", "UNPAUSE")
        sender.join()
        self.assertEqual(client.read_one(), resp.OK)
        self.assertNotEqual(info_field(self.admin, "evicted_keys"), evicted)

    def test_growth_without_arguments(self):
        for command in (("SETRANGE", "k", 200 * MIB, "x"), ("SETBIT", "k", 1600 * MIB, 1), ("BITFIELD", "k", "SET", "u8", 1600 * MIB, 1)):
            self.assertError(self.admin.call(*command), OOM)
        for name in ("source", "{x}a"):
            self.admin.must("SET", name, b"v" * (8 * MIB))
        for number in range(10):
            reply = self.admin.call("COPY", "source", "copy%d" % number)
            if isinstance(reply, resp.Error):
                break
        self.assertError(reply, OOM)
        self.assertError(self.admin.call("BITOP", "NOT", "bits", "source"), OOM)
        self.admin.must("DEL", "copy0")  # so that there is room for one, and a small one
        self.admin.must("MULTI")
        for name in "bcd":
            self.admin.must("COPY", "{x}a", "{x}" + name)
        self.assertError(self.admin.call("EXEC"), "EXECABORT Transaction discarded because of: " + OOM)
        self.assertEqual(self.admin.call("EXISTS", "{x}b"), 0)
        self.admin.must("MULTI")
        self.admin.must("SET", "small", "v")
        self.assertError(self.admin.call("SETRANGE", "k", 200 * MIB, "x"), OOM)
        self.assertError(self.admin.call("EXEC"), "EXECABORT Transaction discarded because of previous errors.")
        self.assertEqual(self.admin.call("EXISTS", "small"), 0)

    def test_eviction_keeps_below_it(self):
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
        client = self.client()
        value = b"v" * 200
        for start in range(0, 300000, 1000):
            replies = client.pipeline([("SET", "k%d" % i, value) for i in range(start, start + 1000)])
            self.assertEqual(replies.count(resp.OK), 1000)
        facts = memory(self.admin)
        print("overshoot: largest resident set %d permille of the ceiling; evicted %s" % (facts["resident_peak_permille"], info_field(self.admin, "evicted_keys")))
        self.assertLessEqual(facts["resident_peak_permille"], 1010)
        self.assertGreater(facts["used_memory_dataset"], 36 * MIB)

    def test_large_values_evict_small_ones(self):
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.fill()
        client = self.client()
        for number in range(6):
            self.assertEqual(client.call("SET", "large%d" % number, b"v" * MIB), resp.OK)
        peak = memory(self.admin)["resident_peak_permille"]
        print("large values: largest resident set %d permille of the ceiling" % peak)
        self.assertLessEqual(peak, 1150)  # 1010 is wanted: blocks of small values come back in pieces

    def test_clients_share(self):
        """maxmemory-clients: the fattest goes, and the others do not notice."""
        self.admin.must("SET", "large", b"v" * (12 * MIB))
        self.admin.must("CONFIG", "SET", "maxmemory-clients", "8mb")
        slow = self.client()
        slow.must("CLIENT", "SETNAME", "slow")
        slow.sock.sendall(resp.encode(("GET", "large")))
        wait_until(lambda: b"name=slow" not in bytes(self.admin.must("CLIENT", "LIST")), what="the fattest client to be closed")
        self.assertIn("the most of all", self.server.log())
        self.assertGreaterEqual(int(info_field(self.admin, "evicted_clients")), 1)
        self.assertEqual(self.admin.call("STRLEN", "large"), 12 * MIB)

    def test_info(self):
        facts = memory(self.admin)
        self.assertEqual(facts["maxmemory"], 64 * MIB)
        self.assertIn("the ceiling is 64 MiB, as asked for", self.server.log())
        self.assertGreater(facts["used_memory_rss"], facts["used_memory"])
        classes = sum(value for name, value in facts.items() if name.startswith("used_memory_class_"))
        self.assertLess(abs(classes - facts["used_memory"]), MIB)


@sherd_only
class CgroupCase(unittest.TestCase):
    limit = 256 * MIB
    threads = 2

    def setUp(self):
        self.group = cgroup.make(self.limit)
        if not self.group:
            self.skipTest("no memory cgroup can be made here")
        self.addCleanup(self.group.remove)
        self.folder = tempfile.TemporaryDirectory(prefix="sherd-test-")
        self.addCleanup(self.folder.cleanup)
        self.server = Server(binary=self.group.wrap(sherd_binary(), self.folder.name), threads=self.threads)
        self.addCleanup(self.server.clean)
        self.admin = self.server.client()
        self.addCleanup(self.admin.close)

    def deaf(self, count, *commands):
        """Clients that ask and never read."""
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", self.server.port))
            self.addCleanup(sock.close)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.sendall(b"".join(map(resp.encode, commands)))

    def check(self, what):
        facts = memory(self.admin)
        self.server.check_alive()
        self.assertEqual(self.group.killed(), 0)
        data = facts["used_memory_class_data"] + facts["used_memory_class_index"]
        print("%s: data %.3f of the ceiling, largest resident set %.3f" % (what, data / facts["maxmemory"], facts["resident_peak_permille"] / 1000))
        self.assertLessEqual(facts["resident_peak_permille"], 1010)
        return facts, data / facts["maxmemory"]

    def end(self):
        self.admin.close()
        self.server.stop()
        self.assertEqual(self.group.killed(), 0)


@measurable
class InACgroup(CgroupCase):
    def test_fill_then_follow_the_limit(self):
        """Without eviction: filled until growth is refused. Then the cgroup gets more, and less."""
        facts = memory(self.admin)
        self.assertEqual(facts["maxmemory"], self.limit // 100 * 80)
        self.assertIn("80% of what the cgroup allows", self.server.log())
        client = self.server.client()
        number, rounds = 0, 0
        while rounds < 2:  # pages that were being given back may leave room for some more
            before, refused = number, 0
            while not refused:
                replies = client.pipeline([("SET", "key:%d" % i, b"v" * (i % 1000)) for i in range(number, number + 500)])
                refused = replies.count(resp.Error(OOM.encode()))
                number += 500
            rounds = rounds + 1 if number - before < 10000 else 0
        self.assertEqual(client.call("GET", "key:1"), b"v")
        _, share = self.check("filled")
        self.assertGreaterEqual(share, 0.8)
        self.group.set_limit(self.limit * 2)
        wait_until(lambda: memory(self.admin)["maxmemory"] == self.limit * 2 // 100 * 80, what="the ceiling to follow the cgroup")
        self.assertEqual(client.call("SET", "key:0", b"v" * 2000), resp.OK)
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        client.close()
        self.end()


@measurable
class RepliesOfOneThread(CgroupCase):
    threads = 1
    keys = ["k%d" % i for i in range(10)]

    def small_ones_go_on(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.assertEqual(self.admin.must("PING"), resp.Simple(b"PONG"))
            for name in ("small:1", "small:2", "small:3"):
                self.assertEqual(self.admin.must("GET", name), resp.NULL_BULK)
            time.sleep(0.05)
        self.assertEqual(self.group.killed(), 0)
        self.server.check_alive()

    def fill(self, size):
        for key in self.keys:
            self.admin.must("SET", key, b"v" * size)
            self.admin.must("HSET", "h" + key, "f", b"v" * size)

    def test_large_values_that_nobody_reads(self):
        """Of clients that nothing is known of, for longer than they wait until they go beyond the ceiling (5 s)."""
        self.fill(2 * MIB)
        for commands in ([("GET",)], [("GETRANGE", 0, -1)], [("GETEX",)], [("HGET", "f")], [("MULTI",), ("GET",), ("GETEX",), ("EXEC",)]):
            for key in self.keys:
                name = "h" + key if commands[0][0] == "HGET" else key
                words = [(word[0], name, *word[1:]) if word[0] not in ("MULTI", "EXEC") else word for word in commands]
                self.deaf(8, *words * 2)
            self.small_ones_go_on(7 if commands[0][0] == "GET" else 1)
        reader = self.server.client()
        self.assertEqual(len(reader.must("GET", self.keys[0])), 2 * MIB)  # when those before it were dropped
        reader.close()
        self.end()

    def fill_up(self):
        """With values of 2 MiB, as many as are taken."""
        writer, keys = self.server.client(timeout=60 * SLOW), []
        try:
            while writer.call("SET", "big%d" % len(keys), b"%04d" % len(keys) * (MIB // 2)) == resp.OK:
                keys.append("big%d" % len(keys))
        except (resp.Closed, OSError):  # -OOM before all of it was read
            pass
        writer.close()
        return keys

    def test_replies_for_which_there_is_no_room(self):
        """All that is there, when that is as much as may be: refused, and smaller ones are not. Where keys may go they do."""
        keys = self.fill_up()
        self.assertGreater(len(keys) * 2 * MIB, self.limit * 0.8 * 0.75)
        reader = self.server.client(timeout=60 * SLOW)
        asked = [("MGET", *keys), ("MULTI",), *[("GET", key) for key in keys], ("EXEC",)]
        asked += [("MULTI",), ("MGET", *keys), ("DBSIZE",), ("EXEC",)]  # step by step
        asked += [("SELECT", 1), ("MULTI",), ("SELECT", 0), ("MGET", *keys), ("DBSIZE",), ("EXEC",)]  # of another database
        asked += [("SELECT", 0), ("STRLEN", keys[0])]
        replies = reader.pipeline(asked)
        self.assertEqual(replies[0], resp.Error(NO_ROOM.encode()))
        for at in (-13, -9, -3):
            self.assertEqual(replies[at], resp.Error(("EXECABORT Transaction discarded because of: " + NO_ROOM).encode()))
        self.assertEqual(replies[-1], 2 * MIB)
        self.assertTrue(reader.must("MGET", keys[0], keys[1]) == [b"0000" * (MIB // 2), b"0001" * (MIB // 2)])
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        self.assertEqual([len(value) for value in reader.must("MGET", *keys[:20])], [2 * MIB] * 20)
        self.assertLess(self.admin.must("DBSIZE"), len(keys))
        reader.close()
        self.small_ones_go_on(1)
        self.end()

    def one_large_key(self, add, *asked):
        """Half of what there may be, made by `add` of numbered texts: whichever command asks for all of it, alone or in EXEC,
        nothing is killed."""
        for begin in range(0, 80000, 2000):
            self.admin.pipeline(add([b"%05d" % i + b"v" * 1000 for i in range(begin, begin + 2000)]))
        self.admin.must("DEL", self.fill_up()[0])  # what MULTI keeps needs room, too
        reader = self.server.client(timeout=60 * SLOW)
        for command in asked:
            replies = reader.pipeline([command, ("MULTI",), command, ("EXEC",)])
            self.assertEqual(replies[0], resp.Error(NO_ROOM.encode()), command)
            self.assertIn(NO_ROOM, repr(replies[-1]), command)  # of a union over shards: inside, when its turn has come
        self.assertEqual(reader.must("EXISTS", "large"), 1)
        reader.close()
        self.small_ones_go_on(1)

    def test_one_key_that_is_large(self):
        self.one_large_key(lambda texts: [("RPUSH", "large", *texts)], ("LRANGE", "large", 0, -1), ("DUMP", "large"))
        self.assertEqual(self.admin.must("LLEN", "large"), 80000)
        sort = self.admin.call("SORT", "large", "BY", "nosort")  # in EXEC it asks when its turn has come
        self.assertEqual(sort, resp.Error(NO_ROOM.encode()))
        self.assertEqual(len(self.admin.must("LRANGE", "large", 0, 99)), 100)
        self.end()

    def test_another_key_that_is_large(self):
        """A stream, a sorted set or a set; which one is drawn."""
        kinds = {
            "stream": (
                [("COPY", "large", "stored")],
                lambda texts: [("XADD", "large", "*", "f", text) for text in texts],
                [("XRANGE", "large", "-", "+"), ("XREAD", "STREAMS", "large", "0")],
            ),
            "sorted set": (
                [("ZRANGESTORE", "stored", "large", 0, -1), ("ZUNIONSTORE", "stored", 2, "large", "none")],
                lambda texts: [("ZADD", "large", *[word for text in texts for word in (1, text)])],
                [("ZRANGE", "large", 0, -1), ("ZRANGEBYSCORE", "large", "-inf", "+inf"), ("ZUNION", 2, "large", "none")],
            ),
            "set": (
                [("SUNIONSTORE", "stored", "large", "none"), ("SORT", "large", "BY", "nosort", "STORE", "stored")],
                lambda texts: [("SADD", "large", *texts)],
                [("SMEMBERS", "large"), ("SUNION", "large", "none")],
            ),
        }
        kind = random.choice(list(kinds))
        print(kind, end=" ", flush=True)
        stores, add, asked = kinds[kind]
        self.one_large_key(add, *asked)
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        for command in stores:  # keys go for it, perhaps all of it
            self.admin.call("TOUCH", "large")
            stored = self.admin.call(*command)
            self.assertTrue(isinstance(stored, int) or "OOM" in repr(stored), stored)
        self.small_ones_go_on(1)
        self.end()

    def ask_as_somebody_new(self):
        client = self.server.client(timeout=10 * SLOW)
        self.assertEqual(client.must("GET", "small:1"), resp.NULL_BULK)
        client.close()

    def test_small_reads_beside_large_replies(self):
        """Of a reader that takes its time, who is not closed for that, and of clients that do not read what is not quite large."""
        self.fill_up()
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        for _ in range(20):
            self.admin.must("RPUSH", "large", *[b"v" * 1000] * 2000)
        for key in self.keys:
            self.admin.must("SET", key, b"v" * 60000)
        count = self.admin.must("LLEN", "large")  # some of it went, perhaps
        size, got = len(b"*%d\r\n" % count) + count * len(b"$1000\r\n" + b"v" * 1000 + b"\r\n"), 0
        reader = socket.create_connection(("127.0.0.1", self.server.port), timeout=60 * SLOW)
        self.addCleanup(reader.close)
        reader.sendall(b"TOUCH large\r\nLRANGE large 0 -1\r\n")
        self.assertEqual(reader.recv(4, socket.MSG_WAITALL), b":1\r\n")
        began, data = None, True
        while got < size and data:
            data = reader.recv(MIB)
            began = began or time.monotonic()
            got += len(data)
            self.ask_as_somebody_new()
            time.sleep(0.1 if time.monotonic() < began + 2 else 0)
        if time.monotonic() < began + 4:  # a second was too long once, five may be
            self.assertEqual(got, size)
        for key in self.keys:
            self.deaf(60, *[("GET", key)] * 20)
            self.ask_as_somebody_new()
        for _ in range(20):
            self.ask_as_somebody_new()
        self.small_ones_go_on(2)
        self.end()

    def publish(self, count, text):
        """One after the other, and all of them are answered; how many each reached."""
        publisher = self.server.client(timeout=60 * SLOW)
        reached = [publisher.must("PUBLISH", "news", text) for _ in range(count)]
        publisher.close()
        return reached

    def test_large_messages_that_nobody_reads(self):
        """Three hundred times 4 MiB with each, until all have been closed by client-output-buffer-limit."""
        self.deaf(300, ("SUBSCRIBE", "news"))
        wait_until(lambda: self.admin.must("PUBSUB", "NUMSUB", "news")[1] == 300, what="all to subscribe")
        reached = self.publish(14, b"v" * (4 * MIB))
        self.assertEqual(reached[0], 300)
        self.assertEqual(reached[-1], 0)
        self.small_ones_go_on(1)
        self.end()

    def test_small_messages_that_nobody_reads(self):
        """1000 times 1000 bytes with each, in a pipeline: who publishes waits until some have been closed."""
        self.deaf(1000, ("SUBSCRIBE", "news"))
        wait_until(lambda: self.admin.must("PUBSUB", "NUMSUB", "news")[1] == 1000, what="all to subscribe")
        publisher = self.server.client(timeout=60 * SLOW)
        for _ in range(20):
            for raw in publisher.exchange(resp.encode(("PUBLISH", "news", b"v" * 1000)) * 100, 100):
                self.assertIsInstance(resp.decode(raw), int)
        publisher.close()
        self.small_ones_go_on(1)
        self.end()

    def feed(self, entry):
        """Streams of 2 MiB with a group for each of many clients, and one with all given to a consumer."""
        for key in self.keys[:3]:
            name = "x" + key
            for _ in range(2 * MIB // len(entry)):
                self.admin.must("XADD", name, "*", "f", entry)
            for number in range(100):
                self.admin.must("XGROUP", "CREATE", name, "g%d" % number, "0")
            self.admin.must("XREADGROUP", "GROUP", "g0", "me", "COUNT", 1000, "STREAMS", name, ">")

    def test_streams_that_nobody_reads(self):
        """What groups are given and consumers take over, and one entry for all who wait for it."""
        entry = b"v" * 50000
        self.feed(entry)
        name = "x" + self.keys[0]
        for number in range(1, 90):
            self.deaf(1, ("XREADGROUP", "GROUP", "g%d" % number, "me", "STREAMS", "x" + self.keys[number % 3], ">"))
            self.deaf(1, ("XAUTOCLAIM", "x" + self.keys[number % 3], "g0", "me%d" % number, 0, 0, "COUNT", 1000))
        self.small_ones_go_on(1)
        reader = self.server.client()
        given = reader.must("XREADGROUP", "GROUP", "g95", "me", "STREAMS", name, ">")
        self.assertEqual([fields for _, fields in given[0][1]], [[b"f", entry]] * (2 * MIB // len(entry)))
        self.assertEqual(self.admin.must("XPENDING", name, "g95")[0], len(given[0][1]))
        reader.send(resp.encode(("XREAD", "BLOCK", 0, "STREAMS", "wake", "$")))
        wait_until(lambda: int(info_field(self.admin, "blocked_clients")) == 1, what="the reader to wait")
        self.deaf(100, ("XREAD", "BLOCK", 0, "STREAMS", "wake", "$"))
        wait_until(lambda: int(info_field(self.admin, "blocked_clients")) == 101, what="all to wait")
        self.admin.must("XADD", "wake", "*", "f", b"w" * 2 * MIB)
        self.assertEqual(reader.read_one()[0][1][0][1], [b"f", b"w" * 2 * MIB])
        self.small_ones_go_on(2)
        reader.close()
        self.end()

    def test_joins_that_nobody_reads(self):
        """Unions that take turns, of which each makes 5 MiB and answers half of it; a reader gets one all the same."""
        for number in range(5):
            members = [b"%d-%05d-" % (number, i) + b"v" * 90 for i in range(5000)]
            self.admin.must("SADD", "s{t}:%d" % number, *members)
            self.admin.must("ZADD", "z{t}:%d" % number, *[word for i, member in enumerate(members) for word in (i, member)])
        sets, sorted_sets = (["%s{t}:%d" % (kind, number) for number in range(5)] for kind in "sz")
        self.deaf(60, *[("SUNION", *sets)] * 2)
        self.deaf(60, *[("ZUNION", 5, *sorted_sets, "WITHSCORES")] * 2)
        self.small_ones_go_on(3)
        reader = self.server.client()
        self.assertEqual(len(reader.must("SUNION", *sets)), 25000)
        reader.close()
        self.end()


@measurable
class RepliesInACgroup(RepliesOfOneThread):
    threads = 4
    test_joins_that_nobody_reads = None  # all on one thread

    def test_replies_over_shards_that_nobody_reads(self):
        """Two hundred times 10 MiB from all threads, of which nothing is known before it is there."""
        self.admin.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        for key in self.keys:
            self.admin.must("SET", key, b"v" * MIB)
        for commands in ([("MGET", *self.keys)] * 2, [("MULTI",), *[("GET", key) for key in self.keys], ("EXEC",)]):
            self.deaf(100, *commands)
            for _ in range(20):
                self.assertEqual(self.admin.must("PING"), resp.Simple(b"PONG"))
                self.assertEqual(self.admin.must("MGET", "none:1", "none:2", "none:3"), [resp.NULL_BULK] * 3)
                time.sleep(0.05)
        self.assertEqual(self.group.killed(), 0)
        self.server.check_alive()
        self.end()


@measurable
class RepliesOverShards(CgroupCase):
    """MGET and EXEC whose large strings are on several shards, all at once, from clients that nothing is known of and that
    never read: what each comes to is known before it runs, so they wait for one another. Meanwhile all others go on,
    and who reads gets all of it, in order."""

    threads = random.choice((2, 4))  # with two all can be tried in one message

    def test_replies_that_nobody_expected(self):
        print("%d threads" % self.threads, end=" ", flush=True)
        keys, small = spread_keys(4), spread_keys(4, "small")
        values = [b"%d" % i * (2 * MIB) for i in range(4)]
        for key, value, little in zip(keys, values, small):
            self.admin.must("SET", key, value)
            self.admin.must("SET", little, "v" + little)
        told = [b"v" + key.encode() for key in small]
        asked, known = [("MGET", *small), ("GET", small[0]), ("PING",), ("MGET", small[2], "none")], [told, told[0], resp.Simple(b"PONG"), [told[2], resp.NULL_BULK]]
        self.assertEqual(self.admin.pipeline(asked), known)
        for commands in ([("MGET", *keys * 3)], [("MULTI",), *[("GET", key) for key in keys * 2], ("EXEC",)]):
            self.deaf(50, *commands)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                self.assertEqual(self.admin.pipeline(asked), known)
                time.sleep(0.05)
            self.assertEqual(self.group.killed(), 0)
            self.server.check_alive()
        reader = self.server.client(timeout=120)
        self.addCleanup(reader.close)
        replies = reader.pipeline([("MGET", keys[3], "none", keys[0], keys[2]), ("GET", small[0]), ("MGET", keys[1], keys[2]), ("PING",)])
        self.assertTrue(replies[0] == [values[3], resp.NULL_BULK, values[0], values[2]])  # not printed: they are large
        self.assertEqual(replies[1], told[0])
        self.assertTrue(replies[2] == values[1:3])
        self.assertEqual(replies[3], resp.Simple(b"PONG"))
        together = [("MULTI",), ("GET", keys[1]), ("SET", "written", "v"), ("GET", keys[3]), ("GET", "written"), ("EXEC",)]
        # A write finds no room until enough of those that do not read have been closed.
        wait_until(lambda: reader.pipeline(together)[-1] == [values[1], resp.OK, values[3], b"v"], timeout=60, what="room for a transaction")
        self.deaf(20, ("MGET", *keys * 3))  # the end comes while they wait
        self.end()


if __name__ == "__main__":
    main()
