#!/usr/bin/env python3
"""XREAD and XREADGROUP that wait, and a queue of work on a group: scripts beside redis-server, with 1, 2 and 7 threads (the keys lie on
different shards).

In order: what does not wait; timeouts; who is woken by what, with what; the end of a group, a stream or its database; many readers and
many workers; then what python3-redis makes of a queue whose workers die, and time that passes while a command is under way."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import itertools  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402

try:
    import redis
except ImportError:
    redis = None

from support import resp  # noqa: E402
from support.beside import BesideCase, Own, commands_of, multi  # noqa: E402
from support.case import ServerCase, main, sherd_only, spread_keys, wait_until  # noqa: E402

NONE = resp.NULL_ARRAY
KEYS = spread_keys(7)
A, B, C, D = KEYS[0], KEYS[2], KEYS[4], KEYS[6]
script = commands_of(A=A, B=B, C=C, D=D)
GONE = "NOGROUP the consumer group this client was blocked on no longer exists"
QUEUES, JOBS = [A, C, D], 600
NO_STREAM = "UNBLOCKED the stream key no longer exists"


def of(key, *ids):
    return [[key.encode(), [[i.encode(), [b"f", b"v"]] for i in ids]]]


class Case(BesideCase):
    required = ("XADD", "XREAD", "XREADGROUP", "xgroup|create", "client|unblock")


class Immediate:
    def test_data_is_there(self):
        a = self.pair()
        a.all(*script("XADD A 1-1 f v; XADD A 2-1 f v; XADD C 1-1 f v; XGROUP CREATE A g 0; XGROUP CREATE C g 0; XGROUP CREATE B g 0 MKSTREAM"))
        a.all(*script("XREAD BLOCK 0 STREAMS A 0; XREAD BLOCK 0 STREAMS B A 0 0; XREAD BLOCK 0 COUNT 1 STREAMS A B C 1 $ 0; XREAD BLOCK 5 STREAMS D $; "
                      "XREADGROUP GROUP g c BLOCK 0 COUNT 1 STREAMS B A C > > >; XREADGROUP GROUP g c BLOCK 0 STREAMS B A C 0 0 >; "
                      "XREADGROUP GROUP g c BLOCK 0 STREAMS A B > 5; XREADGROUP GROUP g d BLOCK 5 STREAMS A B C > > >"))

    def test_errors_come_first(self):
        """Of all keys before any of them is read, in their order, also when they live apart."""
        a = self.pair()
        a.all(*script("XADD A 1-1 f v; XADD C 1-1 f v; XGROUP CREATE A g 0; SET B x"))
        for command in script(
                "XREADGROUP GROUP g c BLOCK 0 STREAMS A C > >; XREADGROUP GROUP g c BLOCK 0 STREAMS A B > >; XREADGROUP GROUP g c BLOCK 0 STREAMS C B > >; "
                "XREADGROUP GROUP g c BLOCK 0 STREAMS A D > >; XREADGROUP GROUP g c BLOCK 0 STREAMS A A > $; XREAD BLOCK 0 STREAMS D B 0 0; "
                "XREAD BLOCK 0 STREAMS D A 0 x; XREAD BLOCK 0 STREAMS D A 0; XREAD BLOCK x STREAMS D A 0 0; XREAD BLOCK -1 STREAMS D 0; XREAD BLOCK STREAMS D 0; "
                "XGROUP CREATE D g 0 MKSTREAM MKSTREAM ENTRIESREAD 0; XGROUP CREATE D g 0 ENTRIESREAD 0 ENTRIESREAD 1"):
            self.assertIsInstance(a(*command), resp.Error)
        a.all(*script("XPENDING A g; XLEN A"))

    def test_inside_of_multi(self):
        a = self.pair()
        a.all(*multi(*script("XREAD BLOCK 0 STREAMS A B $ $; XREADGROUP GROUP g c BLOCK 0 STREAMS A >; XADD A 1-1 f v; XREAD BLOCK 0 STREAMS B A 0 0")))


class Waiting:
    def test_timeouts(self):
        for proto in (2, 3):
            a = self.pair(proto)
            a.all(*script("XGROUP CREATE A g $ MKSTREAM; XREAD BLOCK 20 STREAMS A $; XREAD BLOCK 20 STREAMS A B C 0 $ 5; XREADGROUP GROUP g c BLOCK 20 STREAMS A >; "
                          "XGROUP CREATE C g $ MKSTREAM; XREADGROUP GROUP g c BLOCK 20 STREAMS A C > >; XPENDING A g"))

    def test_dollar_is_now(self):
        a, b, c = self.pairs_of(3)
        b.all(*script("XADD A 5-1 f v; XADD A 6-1 f v"))
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, "$")
        c.block("XREAD", "BLOCK", 0, "STREAMS", D, A, B, "$", "$", "0")
        b("XADD", A, "6-2", "f", "v")
        self.assertEqual(a.reply(), of(A, "6-2"))
        self.assertEqual(c.reply(), of(A, "6-2"))
        c.block("XREAD", "BLOCK", 0, "STREAMS", D, A, B, "$", "$", "0")
        b("XADD", B, "1-1", "f", "v")
        self.assertEqual(c.reply(), of(B, "1-1"))

    def test_an_id_ahead(self):
        """Woken by what exceeds its id alone."""
        a, b = self.pairs_of(2)
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, "9-9")
        b.all(*script("XADD A 5-1 f v; XADD A 9-8 f v; XADD A 9-9 f v"))
        a.quiet()
        b("XADD", A, "10-0", "f", "v")
        self.assertEqual(a.reply(), of(A, "10-0"))

    def test_all_readers_and_one_worker(self):
        """What is read goes to everybody, what is given to a group to the one that waits longest."""
        readers, workers, b = self.pairs_of(3), self.pairs_of(3), self.pair()
        b.all(*script("XGROUP CREATE A g $ MKSTREAM; XGROUP CREATE A h $"))
        for i, (reader, worker) in enumerate(zip(readers, workers)):
            worker.block("XREADGROUP", "GROUP", "g", "w%d" % i, "BLOCK", 0, "STREAMS", A, ">")
            reader.block("XREAD", "BLOCK", 0, "STREAMS", B, A, "$", "$")
        for i in range(3):
            b("XADD", A, "%d-1" % (i + 1), "f", "v")
            self.assertEqual(workers[i].reply(), of(A, "%d-1" % (i + 1)))
            for reader in readers if i == 0 else []:
                self.assertEqual(reader.reply(), of(A, "1-1"))
            for later in workers[i + 1:]:
                later.quiet()
        b.all(*script("XPENDING A g; XPENDING A h"))

    def test_in_resp3(self):
        a, b, c = self.pair(3), self.pair(3), self.pair(3)
        b("XGROUP", "CREATE", C, "g", "$", "MKSTREAM")
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, B, "$", "$")
        c.block("XREADGROUP", "GROUP", "g", "c", "NOACK", "BLOCK", 0, "STREAMS", C, ">")
        b.all(*script("XADD B 1-1 f v; XADD C 1-1 f v"))
        a.reply()
        c.reply()
        b.all(*script("XREAD STREAMS A B C 0 0 0; XREADGROUP GROUP g c STREAMS C 0; XPENDING C g"))

    def test_exec_serves_at_its_end(self):
        a, b, c = self.pairs_of(3)
        b("XGROUP", "CREATE", A, "g", "$", "MKSTREAM")
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, "$")
        c.block("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", A, ">")
        b.all(*multi(*script("XADD A 1-1 f v; XADD A 2-1 f v; XDEL A 1-1; XADD B 1-1 f v; XADD C 1-1 f v")))
        self.assertEqual(a.reply(), of(A, "2-1"))
        self.assertEqual(c.reply(), of(A, "2-1"))
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, "$")
        b.all(*multi(*script("XADD A 3-1 f v; XDEL A 3-1")))
        a.reply()

    def test_counts(self):
        a, b = self.pairs_of(2)
        for ms, count in enumerate(([], ["COUNT", 2], ["COUNT", 0]), 1):
            a.block("XREAD", *count, "BLOCK", 0, "STREAMS", A, "$")
            b.all(*multi(*[("XADD", A, "%d-%d" % (ms, i), "f", "v") for i in range(1, 6)]))
            a.reply()
        a.block("XREAD", "BLOCK", 0, "STREAMS", B, "$")
        b.all(*multi(*[("XADD", B, "1-%d" % i, "f", "v") for i in range(1, 1501)]))
        self.assertEqual(len(a.reply()[0][1]), 1000)

    def test_other_ways_to_come(self):
        """RENAME, RESTORE, COPY, MOVE and SWAPDB bring streams, too."""
        for how in ("RENAME D A", "COPY D A", "SELECT 1; XADD A 1-1 f v; MOVE A 0", "SELECT 1; XADD A 1-1 f v; SWAPDB 0 1", "SET A x; RENAME D A"):
            with self.subTest(how=how):
                a, b = self.pairs_of(2)
                b.all(("FLUSHALL",), ("XADD", D, "1-1", "f", "v"))
                a.block("XREAD", "BLOCK", 0, "STREAMS", A, "0")
                b.all(*script(how))
                self.assertEqual(a.reply(), of(A, "1-1"))
                a.close()
                b.close()

    def test_unblock(self):
        a, b = self.pairs_of(2)
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, B, "$", "$")
        b("CLIENT", "UNBLOCK", a.id, "ERROR")
        self.assertError(a.reply(), "UNBLOCKED client unblocked via CLIENT UNBLOCK")
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, B, "$", "$")
        b("CLIENT", "UNBLOCK", a.id)
        self.assertIs(a.reply(), NONE)
        b.all(*script("XADD A 1-1 f v; XADD B 1-1 f v"))
        a.quiet()
        a("PING")


class Ends:
    def ends(self, how, error, before="", keys=(A,)):
        with self.subTest(how=how, keys=keys):
            a, b = self.pairs_of(2)
            b.all(("FLUSHALL",), *[("XGROUP", "CREATE", key, "g", "$", "MKSTREAM") for key in keys], *script(before))
            a.block("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", *keys, *[">"] * len(keys))
            b.all(*script(how))
            self.assertError(a.reply(), error)
            a("PING")
            a.close()
            b.close()

    def test_of_the_group(self):
        for keys in ((A,), (C, A), (A, B, C)):
            self.ends("XGROUP DESTROY A g", GONE, keys=keys)
        self.ends("MULTI; DEL A; XADD A 1-1 f v; EXEC", GONE)
        self.ends("MULTI; XGROUP DESTROY A g; XGROUP CREATE A other 0; EXEC", GONE)
        self.ends("RENAME B A", GONE, before="XADD B 1-1 f v")

    def test_of_the_stream(self):
        for how in ("DEL A", "UNLINK A", "SET A x", "RENAME A B", "FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "MOVE A 1", "MULTI; DEL A; SADD A x; EXEC", "EXPIRE A -1",
                    "MSET A 1", "SUNIONSTORE A B"):
            self.ends(how, NO_STREAM, before="SADD B x" if how.startswith("SUNION") else "")
        self.ends("DEL A", NO_STREAM, keys=(C, A))
        self.ends("PEXPIRE A 1", NO_STREAM)

    def test_readers_do_not_mind(self):
        a, b = self.pairs_of(2)
        b("XADD", A, "5-1", "f", "v")
        a.block("XREAD", "BLOCK", 0, "STREAMS", A, C, "$", "$")
        b.all(*script("XGROUP CREATE A g 0; XGROUP DESTROY A g; DEL A; SET A x; DEL A; XADD A 1-1 f v; XADD A 5-1 f v"))
        a.quiet()
        b("XADD", A, "5-2", "f", "v")
        self.assertEqual(a.reply(), of(A, "5-2"))

    def test_a_group_that_moves(self):
        """XGROUP SETID gives nothing by itself; the next entry brings what is before it."""
        a, b = self.pairs_of(2)
        b.all(*script("XADD A 1-1 f v; XGROUP CREATE A g $"))
        a.block("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", A, ">")
        b("XGROUP", "SETID", A, "g", "0")
        a.quiet()
        b("XADD", A, "2-1", "f", "v")
        self.assertEqual(a.reply(), of(A, "1-1", "2-1"))

    def test_clients_that_go(self):
        """Take nothing with them."""
        a, b, c = self.pairs_of(3)
        b("XGROUP", "CREATE", A, "g", "$", "MKSTREAM")
        a.block("XREADGROUP", "GROUP", "g", "a", "BLOCK", 0, "STREAMS", A, ">")
        c.block("XREADGROUP", "GROUP", "g", "c", "BLOCK", 0, "STREAMS", A, ">")
        a.close()
        a.gone()
        b("XADD", A, "1-1", "f", "v")
        self.assertEqual(c.reply(), of(A, "1-1"))
        b("XPENDING", A, "g")


@sherd_only
class Queue(ServerCase):
    """Workers of python3-redis take jobs from streams of several shards, and some die with jobs in hand: others claim those, and in the
    end each job was done once, though perhaps begun more often."""

    threads = 3

    def worker(self, name, die_after, done, lock):
        client = redis.Redis(port=self.server.port)
        for turn in range(10_000):
            got = client.xreadgroup("workers", name, {key: ">" for key in QUEUES}, count=3, block=100)
            if turn == die_after and got:
                return
            if not got:
                for key in QUEUES:
                    got.append((key.encode(), client.xautoclaim(key, "workers", name, 0, count=5)[1]))
            for key, jobs in got:
                for job, fields in jobs:
                    if client.xack(key, "workers", job):
                        with lock:
                            done.append((key, fields[b"n"]))
            if len(done) >= JOBS:
                return

    def test_queue(self):
        if not redis:
            self.skipTest("python3-redis is not installed")
        client = redis.Redis(port=self.server.port)
        for key in QUEUES:
            client.xgroup_create(key, "workers", "$", mkstream=True)
        done, lock = [], threading.Lock()
        workers = [threading.Thread(target=self.worker, args=("w%d" % i, 3 if i < 3 else -1, done, lock)) for i in range(8)]
        for worker in workers:
            worker.start()
        for n in range(JOBS):
            client.xadd(QUEUES[n % len(QUEUES)], {"n": n}, maxlen=JOBS, approximate=True)
        for worker in workers:
            worker.join()
        self.assertEqual(sorted(int(n) for _, n in done), list(range(JOBS)))
        for key in QUEUES:
            self.assertEqual(client.xpending(key, "workers")["pending"], 0)
            self.assertEqual(client.xinfo_groups(key)[0]["lag"], 0)


@sherd_only
class Clocks(ServerCase):
    """A command over two shards has several rounds, and time may pass between them: a moment that is up just then is aimed at, often enough to
    be hit. What is answered depends on that; all of it is fine."""

    rounds, keys = 150, spread_keys(2)

    def setUp(self):
        super().setUp()
        self.reader, self.other = self.client(), self.client()

    def test_a_key_expires(self):
        for n in range(self.rounds):
            mortal, wait = self.keys[n % 2], ("BLOCK", 0) if n & 2 else ()
            for key in self.keys:
                self.reader.must("XGROUP", "CREATE", key, "g", "$", "MKSTREAM")
            self.reader.must("PEXPIRE", mortal, 2)
            time.sleep(0.002 - 0.001 * n / self.rounds)
            self.reader.send(resp.encode(("XREADGROUP", "GROUP", "g", "c", *wait, "STREAMS", *self.keys, ">", ">")))
            wait_until(lambda: self.other.must("EXISTS", mortal) == 0, what="a key to expire", interval=0.001)
            reply = resp.decode(self.reader.exchange(b"", 1)[0])
            self.assertTrue(isinstance(reply, resp.Error) or (reply is NONE and not wait), reply)
            self.reader.must("DEL", *self.keys)

    def test_the_edge_of_time(self):
        for n in range(2 * self.rounds):
            edge = 2**63 - 1 - int(time.time() * 1000) - n % 2
            self.reader.send(resp.encode(("XREAD", "BLOCK", edge, "STREAMS", *self.keys, "0", "0")))
            self.other.must("XADD", self.keys[1], "1-1", "f", "v")
            reply = resp.decode(self.reader.exchange(b"", 1)[0])
            self.assertTrue(isinstance(reply, resp.Error) or reply == of(self.keys[1], "1-1"), reply)
            self.other.must("DEL", self.keys[1])


@sherd_only
class GoesBack(ServerCase):
    """XSETID goes back behind entries that were taken out: the next block begins below what the one before had. All that writes and
    reads a whole stream knows that, or a snapshot could not be loaded."""

    def test_every_copy_is_whole(self):
        client, copy, other = self.client(), *spread_keys(2)
        for line in ("XADD %s 5-0 f v", "XADD %s 100-0 f v", "XDEL %s 100-0", "XSETID %s 5-0", "XADD %s 6-0 f v"):
            client.must(*(line % copy).split())
        client.must("RESTORE", "restored", "0", client.must("DUMP", copy))
        client.must("COPY", copy, other)
        for key in (copy, other, "restored"):
            self.assertEqual([entry[0] for entry in client.must("XRANGE", key, "-", "+")], [b"5-0", b"6-0"])
            self.assertEqual(client.must("XREAD", "STREAMS", key, "5-0"), of(key, "6-0"))
        self.assertError(client.call("ZUNION", "2", copy, other), "WRONGTYPE Operation against a key holding the wrong kind of value")


class Immediate1(Immediate, Case):
    threads = 1


class Immediate7(Immediate, Case):
    threads = 7


class Waiting1(Waiting, Case):
    threads = 1


class Waiting2(Waiting, Case):
    threads = 2


class Waiting7(Waiting, Case):
    threads = 7


class Ends1(Ends, Case):
    threads = 1


class Ends7(Ends, Case):
    threads = 7


if __name__ == "__main__":
    main()
