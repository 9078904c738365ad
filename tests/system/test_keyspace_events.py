#!/usr/bin/env python3
"""Keyspace events beside redis-server: the same commands on both, and what each then publishes, with 1, 2 and 7 threads.

A subscriber listens to all events. Commands come one after the other, and what happened to one key must be told in the same
words and in the same order; of several keys, which may live on several threads, each is compared by itself. First a table of
everything that a command can do, then what the classes select, expiry, databases and blocked clients, then thousands of random
commands as the differential driver makes them."""

import os
import random
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.beside import BesideCase, commands_of  # noqa: E402
from support.case import SLOW, ServerCase, info_field, main, sherd_only, spread_keys, wait_until  # noqa: E402

KEYS = spread_keys(7)
A, B, C = KEYS[0], KEYS[3], KEYS[6]
script = commands_of(A=A, B=B, C=C, NOW="1", LONG="9999999999999")

STRINGS = """
SET A 1; SET A 2; SET A 1 NX; SET B 1 XX; SET A 1 EX 100; SET A 1 KEEPTTL; SET A 1 PX 100000 GET; SET A 1 EXAT 9999999999; GET A
SETNX A 1; SETNX B 1; SETEX A 100 1; PSETEX A 100000 1; GETSET A 2; GETDEL A; GETDEL A
SET A 1; GETEX A; GETEX A EX 100; GETEX A PERSIST; GETEX A PERSIST; GETEX A PXAT 1; GETEX A
APPEND A x; APPEND A y; APPEND A ''; SETRANGE A 3 z; SETRANGE A 0 ''; SETRANGE B 0 ''; STRLEN A; GETRANGE A 0 1
INCR A; DECR A; INCRBY A 5; DECRBY A 5; INCRBYFLOAT A 1.5; SET B x; INCR B
MSET A 1 B 2 C 3; MSETNX A 1 B 2; DEL A B; MSETNX A 1 B 2; MGET A B C nosuch
SETBIT A 7 1; SETBIT A 7 1; SETBIT A 100 0; GETBIT A 7; BITCOUNT A; BITOP AND C A B; BITOP NOT C A; BITOP OR C nosuch other
BITFIELD A SET u8 0 5; BITFIELD A GET u8 0; BITFIELD A INCRBY u8 0 1 SET u8 0 6; BITFIELD A SET u8 0 6
PFADD A a b; PFADD A a; PFADD A; PFADD B; PFCOUNT A B; PFCOUNT A nosuch; PFCOUNT nosuch; PFMERGE C A nosuch; PFMERGE C A B; PFMERGE A B
"""
GENERIC = """
SET A 1; DEL A B; UNLINK A; SET A 1; UNLINK A; SET A 1; EXPIRE A 100; PEXPIRE A 100 XX; EXPIRE A 100 NX; EXPIREAT A 9999999999
SET A 1; PERSIST A; EXPIRE A 100; PERSIST A; EXPIRE A -1; EXPIRE A 1; SET A 1; PEXPIREAT A 1; TTL A; EXISTS A; TYPE A; TOUCH A
SET A 1; RENAME A B; RENAME nosuch A; SET A 2; RENAME A B; RENAME B B; SET A 1; RENAMENX A B; RENAMENX A C; EXISTS A
SET A 1; COPY A B; COPY A B; COPY A B REPLACE; COPY A A DB 1; COPY A A DB 1 REPLACE; COPY nosuch B
SET A 1; MOVE A 1; MOVE A 1; SET A 2; MOVE A 1; SELECT 1; DEL A; SELECT 0
OBJECT ENCODING A; OBJECT ENCODING nosuch; DUMP nosuch; RANDOMKEY; KEYS *; DBSIZE
RPUSH A 3 1 2; SORT A; SORT A STORE B; SORT A STORE B; SORT A STORE C; SORT nosuch STORE C; SORT nosuch STORE C; SET C 1; SORT A STORE C; SORT A STORE A
SET A 1; FLUSHALL; SET A 1; SWAPDB 0 1; SWAPDB 0 1; FLUSHDB
"""
LISTS = """
LPUSH A 1; RPUSH A 2 3; LPUSHX B 1; RPUSHX A 4; LINSERT A BEFORE 2 x; LINSERT A AFTER nosuch x; LSET A 0 y; LREM A 0 nosuch; LREM A 0 x
LTRIM A 0 -1; LTRIM A 0 1; LPOP A; RPOP A; LPOP A; RPUSH A 1 2 3; LPOP A 2; RPOP A 5; RPUSH A 1; LTRIM A 5 9; RPUSH A 1; LREM A 0 1
RPUSH A 1 2 3; LMOVE A B LEFT RIGHT; RPOPLPUSH A B; LMOVE A A LEFT RIGHT; LMOVE A B LEFT LEFT; LMOVE A B LEFT LEFT; LMPOP 2 A B LEFT
LMPOP 2 A B RIGHT COUNT 9; LMPOP 2 A B LEFT; RPUSH A 1 2; BLPOP A 0; BRPOP B A 0; RPUSH A 1; BLMOVE A B LEFT LEFT 0; BLMPOP 0 1 B LEFT
LRANGE A 0 -1; LLEN A; LINDEX A 0; LPOS A x; LPOP nosuch; SET C 1; LPUSH C 1
"""
SETS = """
SADD A 1 2 3; SADD A 1; SREM A 9; SREM A 1; SPOP A; SPOP A; SADD A a b c; SPOP A 2; SPOP A 5; SADD A a; SREM A a
SADD A a b; SMOVE A B a; SMOVE A B nosuch; SADD B b; SMOVE A B b; SMOVE nosuch B a; SMOVE B B a
SADD A a b; SINTERSTORE C A B; SUNIONSTORE C A B; SDIFFSTORE C A B; SINTERSTORE C A nosuch; SINTERSTORE C A nosuch; SUNIONSTORE C A nosuch; SINTERSTORE C nosuch A B; SDIFFSTORE C nosuch A; SDIFFSTORE C A A
SMEMBERS A; SISMEMBER A a; SCARD nosuch; SRANDMEMBER A; SINTER A nosuch; SMISMEMBER nosuch a; SINTERCARD 2 A nosuch
"""
HASHES = """
HSET A f 1 g 2; HSET A f 1; HMSET A f 2; HSETNX A f 3; HSETNX A h 3; HSETNX B h 3; HINCRBY A f 5; HINCRBYFLOAT A f 1.5; HINCRBY C n 1
HDEL A nosuch; HDEL A f g; HDEL A h; HGET A f; HGETALL nosuch; HMGET nosuch f; HLEN A; HEXISTS A f; HSTRLEN A f; HKEYS A; HVALS A
"""
ZSETS = """
ZADD A 1 a 2 b; ZADD A 1 a; ZADD A NX 3 a; ZADD A INCR 1 a; ZADD A XX INCR 1 nosuch; ZINCRBY A 1 a; ZINCRBY A 0 a; ZINCRBY B 1 x; ZREM A nosuch; ZREM A a
ZREM A b; ZADD A 1 a 2 b 3 c 4 d 5 e; ZREMRANGEBYRANK A 0 0; ZREMRANGEBYSCORE A 2 2; ZREMRANGEBYSCORE A 99 99; ZREMRANGEBYLEX A [c [c
ZPOPMIN A; ZPOPMAX A; ZADD A 1 a 2 b 3 c; ZPOPMIN A 2; ZMPOP 2 B A MIN; ZMPOP 1 A MAX COUNT 5; ZMPOP 1 A MIN; ZADD A 1 a; BZPOPMIN A 0; ZADD A 1 a; BZPOPMAX A 0
ZADD A 1 a; BZMPOP 0 1 A MIN; ZADD A 1 a 2 b; ZADD B 1 a; ZUNIONSTORE C 2 A B; ZINTERSTORE C 2 A B; ZDIFFSTORE C 2 A B; ZDIFFSTORE C 2 A A; ZDIFFSTORE C 2 A A
ZADD A 1 a; ZUNIONSTORE C 2 A nosuch; ZINTERSTORE C 2 nosuch A; ZDIFFSTORE C 2 nosuch A; ZUNION 2 A nosuch; ZRANGESTORE C nosuch 0 -1; ZINTERCARD 2 A nosuch
ZRANGESTORE C A 0 -1; ZRANGESTORE C A 5 9; ZRANGESTORE C A 5 9; ZREMRANGEBYRANK A 0 -1; ZRANGE A 0 -1; ZSCORE A a; ZCARD nosuch; ZRANK A a; ZCOUNT A 0 1
GEOADD A 1 1 x 2 2 y; GEOADD A 1 1 x; GEOSEARCHSTORE B A FROMLONLAT 1 1 BYRADIUS 500 km; GEORADIUS A 1 1 500 km STORE C; GEORADIUSBYMEMBER A x 500 km STOREDIST C
GEOSEARCHSTORE B A FROMLONLAT 50 50 BYRADIUS 1 m; GEOSEARCHSTORE B A FROMLONLAT 50 50 BYRADIUS 1 m; GEOSEARCH A FROMLONLAT 1 1 BYRADIUS 500 km; GEODIST A x y; GEOPOS nosuch x
"""
STREAMS = """
XADD A 1-1 a b; XADD A NOMKSTREAM 2-1 a b; XADD B NOMKSTREAM 2-1 a b; XADD A MAXLEN 1 3-1 a b; XADD A MAXLEN 9 4-1 a b; XADD A MAXLEN ~ 0 5-1 a b; XDEL A 9-9
XADD A 6-1 a b; XADD A 7-1 a b; XDEL A 6-1 7-1; XADD A 8-1 a b; XADD A 9-1 a b; XTRIM A MAXLEN 1; XTRIM A MAXLEN 1; XTRIM A MINID 99; XSETID A 99-1
XGROUP CREATE A g 0; XGROUP CREATE A g 0; XGROUP CREATE C g 0 MKSTREAM; XGROUP SETID A g 0; XGROUP CREATECONSUMER A g c; XGROUP CREATECONSUMER A g c
XADD A 100-1 a b; XADD A 101-1 a b; XREADGROUP GROUP g c STREAMS A >; XGROUP CREATE A g 0; XGROUP CREATE C g 0 MKSTREAM
XADD A 100-1 a b; XADD A 101-1 a b; XGROUP CREATE A g 0; XGROUP CREATE C g 0 MKSTREAM; XREADGROUP GROUP g d COUNT 1 STREAMS A C 0 >; XREADGROUP GROUP g c STREAMS A >; XACK A g 100-1; XACK A g 100-1; XCLAIM A g e 0 101-1; XDEL A 101-1; XCLAIM A g f 0 101-1; XREADGROUP GROUP g c STREAMS A 0; XAUTOCLAIM A g c 0 0; XPENDING A g; XREAD STREAMS A nosuch 0 0
XGROUP DELCONSUMER A g c; XGROUP DELCONSUMER A g c; XGROUP DESTROY A g; XGROUP DESTROY A g; XLEN A; XRANGE nosuch - +; XINFO STREAM A; XLEN nosuch
"""


class Listener:
    """All events of both servers, by key."""

    def __init__(self, case):
        self.case = case
        self.pair = case.pair(proto=3)
        for side in self.pair.sides:
            side.pushes_in_line = True
        self.pair("PSUBSCRIBE", "__key*__:*")
        self.marks = 0

    def events(self, side, observer):
        """Everything up to a mark, which somebody sets when all else is done. Marks are set on keys of all shards, since
        what different shards say comes in no order."""
        marks = ["mark:%s" % key for key in KEYS]
        for mark in marks:
            observer.must("SET", mark, self.marks)
        left, by_key, last = {mark.encode() for mark in marks}, {}, {}
        while left:
            frame = side.read_one()
            kind, rest = frame[2][2:].split(b"@", 1)
            db, about = rest.split(b"__:", 1)
            key, event = (about, frame[3]) if kind == b"keyspace" else (frame[3], about)
            if key.startswith(b"mark:"):
                if kind == b"keyevent" and event == b"set":
                    left.discard(key)
                continue
            by_key.setdefault((int(db), key), []).append((kind, event))
        return by_key

    def same(self, what):
        self.marks += 1
        got = [self.events(side, observer) for side, observer in zip(self.pair.sides, self.case.observers)]
        self.case.assertEqual(got[0], got[-1], what)
        return got[0]


class Events:
    def setUp(self):
        super().setUp()
        self.flags("KEA")

    def flags(self, flags):
        for observer in self.observers:
            observer.must("CONFIG", "SET", "notify-keyspace-events", flags)

    def tearDown(self):
        self.flags("")
        super().tearDown()

    def play(self, lines, flags="KEAnm"):
        """One line is one script; databases are emptied between them."""
        self.flags(flags)
        listener, client = Listener(self), self.pair()
        for line in lines.strip().splitlines():
            client("FLUSHALL")
            for command in script(line):
                client(*command, like=lambda ours, theirs: type(ours) is type(theirs))
                listener.same(command)

    def test_strings(self):
        self.play(STRINGS)

    def test_generic(self):
        self.play(GENERIC)

    def test_lists(self):
        self.play(LISTS)

    def test_sets(self):
        self.play(SETS)

    def test_hashes(self):
        self.play(HASHES)

    def test_sorted_sets(self):
        self.play(ZSETS)

    def test_streams(self):
        self.play(STREAMS)

    def test_restore(self):
        client = self.pair()
        client("SET", B, "1")
        dumps = [side.must("DUMP", B) for side in client.sides]
        self.flags("KEAn")
        listener = Listener(self)
        for words in ((), ("REPLACE",), ("REPLACE", "ABSTTL")):
            client("RESTORE", A, "1" if "ABSTTL" in words else "0", dumps[-1], *words)
            listener.same(words)

    def test_in_transactions(self):
        listener, client = Listener(self), self.pair()
        client.all(("MULTI",), ("SET", A, "1"), ("RPUSH", B, "x"), ("INCR", A), ("LPOP", B), ("RENAME", A, C), ("DEL", C), ("EXEC",))
        self.assertEqual(len(listener.same("MULTI")[0, C.encode()]), 4)
        client.all(("MULTI",), ("SET", A, "1"), ("INCR", A), ("EXEC",))
        listener.same("MULTI of one key")

    def test_classes(self):
        lines = "SET A 1; EXPIRE A 100; LPUSH B x; DEL A; SADD A x; DEL A; HSET A f v; DEL A; ZADD A 1 x; GET nosuch"
        listener, client = Listener(self), self.pair()
        for flags in ("", "K", "E", "KA", "EA", "A", "K$", "El", "Ks", "Eh", "Kz", "Eg", "Km", "En", "KEx", "KEg$lshzxetdmn"):
            self.flags("KEA")
            client("FLUSHALL")
            listener.same("before")
            self.flags(flags)
            for command in script(lines):
                client(*command)
            self.flags("KEA")
            listener.same(flags)

    def test_channels_of_one_key_and_one_event(self):
        a, b = self.pair(), self.pair()
        a.all(("SUBSCRIBE", "__keyspace@0__:" + A), ("SUBSCRIBE", "__keyevent@0__:del"))
        b.all(("SET", A, "1"), ("SET", B, "1"), ("DEL", B))
        frames = [sorted(side.exchange(b"", 2)) for side in a.sides]
        self.assertEqual(frames[0], frames[-1])
        a.quiet()

    def test_expired(self):
        listener, client = Listener(self), self.pair()
        client.all(("SET", A, "1", "PX", "1"), ("SET", B, "1", "PX", "1"), ("HSET", C, "f", "v"), ("PEXPIRE", C, "1"))
        self.wait_ms(5)
        client("GET", A)  # on access; the others by and by
        wait_until(lambda: all(observer.must("DBSIZE") <= 0 or observer.must("EXISTS", C, B) == 0 for observer in self.observers),
                   what="keys to expire")
        got = listener.same("expired")
        for key in (A, B, C):
            self.assertEqual(got[0, key.encode()][-1], (b"keyevent", b"expired"))

    def test_expired_without_anybody_looking(self):
        side = self.server.client(proto=3)
        self.addCleanup(side.close)
        side.pushes_in_line = True
        side.must("SUBSCRIBE", "__keyevent@0__:expired")
        for key in KEYS:
            self.observers[0].must("SET", key, "1", "PX", "1")
        got = {side.read_one()[2] for _ in KEYS}
        self.assertEqual(got, {key.encode() for key in KEYS})

    @sherd_only
    def test_fields_that_end(self):
        """Not in Redis 7.0: from its documentation."""
        side, client = self.server.client(proto=3), self.client()
        self.addCleanup(side.close)
        side.pushes_in_line = True
        side.must("SUBSCRIBE", "__keyspace@0__:" + A)
        for line, events in (
            ("HSET A f 1 g 2 h 3", "hset"), ("HEXPIRE A 100 FIELDS 2 f g", "hexpire"), ("HPERSIST A FIELDS 1 f", "hpersist"),
            ("HPERSIST A FIELDS 1 f", ""), ("HGETEX A EX 100 FIELDS 1 f", "hexpire"), ("HGETEX A PERSIST FIELDS 1 f", "hpersist"),
            ("HGETEX A FIELDS 1 f", ""), ("HSETEX A EX 100 FIELDS 1 i 1", "hset hexpire"), ("HSETEX A FIELDS 1 i 1", "hset"),
            ("HGETDEL A FIELDS 1 i", "hdel"), ("HEXPIRE A 0 FIELDS 1 h", "hdel"), ("HGETDEL A FIELDS 2 f g", "hdel del"),
            ("HSET A f 1", "hset"), ("HPEXPIRE A 1 FIELDS 1 f", "hexpire hexpired del"), ("HSET A f 1", "hset"),
            ("HEXPIREAT A 1 FIELDS 1 f", "hdel del")):
            for command in script(line):
                client.must(*command)
            for event in events.split():
                self.assertEqual(side.read_one()[2], event.encode(), line)

    def test_blocked_clients(self):
        listener, a, b = Listener(self), self.pair(), self.pair()
        for block, serve in ((("BLPOP", A, "0"), ("RPUSH", A, "x")), (("BLMOVE", A, B, "LEFT", "RIGHT", "0"), ("RPUSH", A, "x", "y")),
                             (("BZPOPMIN", C, "0"), ("ZADD", C, "1", "x"))):
            a.block(*block)
            b(*serve)
            a.reply()
            listener.same(block)

    def test_a_subscriber_that_changes_keys_itself(self):
        """RESP3: its events come, none in the middle of a reply."""
        side = self.server.client(proto=3)
        self.addCleanup(side.close)
        side.pushes_in_line = True
        side.must("PSUBSCRIBE", "__keyevent*")
        side.send(b"".join(resp.encode(command) for command in (
            ("SADD", A, "a", "b", "c"), ("SPOP", A, "9"), ("MULTI",), ("SET", B, "1"), ("DEL", B), ("EXEC",), ("PING",))))
        frames = [side.read_one() for _ in range(7 + 5)]
        pushes = [frame[2:] for frame in frames if isinstance(frame, resp.Push)]
        replies = [frame for frame in frames if not isinstance(frame, resp.Push)]
        self.assertEqual(sorted(frame[0][15:] for frame in pushes), [b"del", b"del", b"sadd", b"set", b"spop"])
        self.assertEqual([len(replies[1]), replies[5], replies[6]], [3, [resp.OK, 1], resp.Simple(b"PONG")])

    def test_random(self):
        seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
        print("seed %d" % seed, file=sys.stderr)
        rng = random.Random(seed)
        listener, client = Listener(self), self.pair()
        lines = [line for table in (STRINGS, GENERIC, LISTS, SETS, HASHES, ZSETS, STREAMS) for line in table.strip().splitlines()]
        pool = [command for line in lines for command in script(line) if command[0] not in ("SELECT", "SPOP", "RANDOMKEY", "SWAPDB") and command[0][0] != "B"]
        for _ in range(60 if SLOW == 1 else 20):
            batch = rng.choices(pool, k=25)
            if rng.random() < 0.2:
                batch = [("MULTI",)] + batch + [("EXEC",)]
            for command in batch:
                client(*command, like=lambda ours, theirs: type(ours) is type(theirs))
            listener.same(batch)


class Events1(Events, BesideCase):
    threads = 1


class Events2(Events, BesideCase):
    threads = 2


class Events7(Events, BesideCase):
    threads = 7


@unittest.skipIf(SLOW > 1, "what a sanitizer adds to the resident set is more than all else")
class Evicted(ServerCase):
    options = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-random", "--notify-keyspace-events", "Ee")

    def test_each_key_that_is_evicted_is_told_once(self):
        side, client = self.client(proto=3), self.client()
        side.pushes_in_line = True
        side.must("SUBSCRIBE", "__keyevent@0__:evicted")
        keys = [b"k%d" % n for n in range(6000)]
        for start in range(0, len(keys), 100):
            client.pipeline([("SET", key, "x" * 16000) for key in keys[start:start + 100]])
        client.must("CONFIG", "SET", "maxmemory", "1gb")  # no more from here on
        gone = {key for key, there in zip(keys, client.pipeline([("EXISTS", key) for key in keys])) if not there}
        self.assertEqual(int(info_field(client, "evicted_keys")), len(gone))
        self.assertGreater(len(gone), 0)
        self.assertEqual({side.read_one()[2] for _ in gone}, gone)


class Million(ServerCase):
    """What one command tells its own client counts against the client's limit while the command runs."""
    options = ("--notify-keyspace-events", "KEA", "--client-output-buffer-limit", "pubsub", "1mb", "0", "0")
    threads = 1

    def test_one_that_floods_itself_is_closed(self):
        side, client = self.client(proto=3), self.client()
        client.pipeline([("SET", "k%d" % n, "v") for n in range(20000)])
        side.pushes_in_line = True
        side.exchange(resp.encode(["PSUBSCRIBE"] + ["__key*%s" % ("*" * n) for n in range(50)]), 50)
        before = int(info_field(client, "used_memory_rss_peak"))
        side.send(resp.encode(["DEL"] + ["k%d" % n for n in range(20000)]))  # two million messages, 200 MB
        self.assertTrue(side.is_closed(20 * SLOW))
        self.assertEqual(client.must("DBSIZE"), 0)
        self.assertLess(int(info_field(client, "used_memory_rss_peak")), before + (50 << 20))


if __name__ == "__main__":
    main()
