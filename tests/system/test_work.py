#!/usr/bin/env python3
"""Commands on large values take turns (shards/work.h): right in their results, one atomic whole to everybody else, while other
keys go on; whether their client goes away, a source's time is over meanwhile, or the server starts again."""

import os
import sys
import threading
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support.resp import NULL_BULK, Double, Simple, encode  # noqa: E402
from support.case import ServerCase, info_field, main, wait_until  # noqa: E402
from support.server import Server, begin_until_killed  # noqa: E402

COUNT = 16_000  # elements: some sixteen slices
STEP = 4000
LOG = ("--appendonly", "yes", "--appendfsync", "always")


def fill(client, tag):
    """s and t overlap in half of their members, as z and y do; h, x and g are others of the same size."""
    client.must("DEL", *[tag + name for name in "stzyhd"])
    for begin in range(0, COUNT, STEP):
        numbers = range(begin, begin + STEP)
        client.must("SADD", tag + "s", *["m%d" % i for i in numbers])
        client.must("SADD", tag + "t", *["m%d" % (i + COUNT // 2) for i in numbers])
        client.must("ZADD", tag + "z", *[word for i in numbers for word in (str(i), "m%d" % i)])
        client.must("ZADD", tag + "y", *[word for i in numbers for word in (str(i), "m%d" % (i + COUNT // 2))])
        client.must("HSET", tag + "h", *[word for i in numbers for word in ("m%d" % i, "v%d" % i)])


def members(first, end):
    return {b"m%d" % i for i in range(first, end)}


def scores(first, end, score):
    return {b"m%d" % i: float(score(i)) for i in range(first, end)}


HALF, END = COUNT // 2, COUNT + COUNT // 2


def bitop(name, sources):
    """What BITOP makes of these strings."""
    length = max(len(source) for source in sources)
    first, *rest = (int.from_bytes(source.ljust(length, b"\0"), "big") for source in sources)
    every, some, odd, once, twice = first, first, first, first, 0
    for bits in rest:
        every, some, odd, once, twice = every & bits, some | bits, odd ^ bits, once | bits, twice | once & bits
    others = 0
    for bits in rest:
        others |= bits
    result = {"NOT": ~first & ((1 << 8 * length) - 1), "AND": every, "OR": some, "XOR": odd, "DIFF": first & ~others, "DIFF1": others & ~first,
              "ANDOR": first & others, "ONE": once & ~twice}[name]
    return result.to_bytes(length, "big")


class Results:
    """Each kind of command, by what it leaves."""

    tag = "{a}"

    def of_set(self, client, key):
        return set(client.must("SMEMBERS", key))

    def of_zset(self, client, key):
        flat = client.must("ZRANGE", key, "0", "-1", "WITHSCORES")
        return {flat[i]: float(flat[i + 1]) for i in range(0, len(flat), 2)}

    def of_hash(self, client, key):
        flat = client.must("HGETALL", key)
        return {flat[i]: flat[i + 1] for i in range(0, len(flat), 2)}

    def cases(self):
        s, t, z, y, h, d = (self.tag + name for name in ("s", "t", "z", "y", "h", "d"))
        inter, union, first = members(HALF, COUNT), members(0, END), members(0, HALF)
        return [
            (("SINTERSTORE", d, s, t), HALF, self.of_set, inter),
            (("SUNIONSTORE", d, s, t), END, self.of_set, union),
            (("SDIFFSTORE", d, s, t), HALF, self.of_set, first),
            (("SUNIONSTORE", d, d, s, t), END, self.of_set, union),
            (("SINTERSTORE", d, s, self.tag + "absent"), 0, self.of_set, set()),
            (("SDIFFSTORE", d, s, s), 0, self.of_set, set()),
            (("COPY", s, d, "REPLACE"), 1, self.of_set, members(0, COUNT)),
            (("COPY", z, d, "REPLACE"), 1, self.of_zset, scores(0, COUNT, lambda i: i)),
            (("COPY", h, d, "REPLACE"), 1, self.of_hash, {b"m%d" % i: b"v%d" % i for i in range(COUNT)}),
            (("COPY", s, d), 0, self.of_hash, {b"m%d" % i: b"v%d" % i for i in range(COUNT)}),
            (("DEL", d), 1, None, None),
            (("ZUNIONSTORE", d, "2", z, y), END, self.of_zset,
             {b"m%d" % i: float((i if i < COUNT else 0) + (i - HALF if i >= HALF else 0)) for i in range(END)}),
            (("ZUNIONSTORE", d, "2", s, y, "WEIGHTS", "2", "1", "AGGREGATE", "MIN"), END, self.of_zset,
             {b"m%d" % i: float(i - HALF if i >= COUNT else 2 if i < HALF else min(2, i - HALF)) for i in range(END)}),
            (("ZINTERSTORE", d, "3", z, y, s), HALF, self.of_zset, scores(HALF, COUNT, lambda i: 2 * i - HALF + 1)),
            (("ZDIFFSTORE", d, "2", z, t), HALF, self.of_zset, scores(0, HALF, lambda i: i)),
            (("ZRANGESTORE", d, z, "5", "-1"), COUNT - 5, self.of_zset, scores(5, COUNT, lambda i: i)),
            (("ZREMRANGEBYRANK", d, "10", "9009"), 9000, self.of_zset, scores(5, 15, lambda i: i) | scores(9015, COUNT, lambda i: i)),
            (("ZRANGESTORE", d, z, str(COUNT), "-inf", "BYSCORE", "REV", "LIMIT", "7", "9000"), 9000, self.of_zset,
             scores(COUNT - 9007, COUNT - 7, lambda i: i)),
            (("ZREMRANGEBYSCORE", d, "-inf", str(COUNT - 1008)), 8000, self.of_zset, scores(COUNT - 1007, COUNT - 7, lambda i: i)),
            (("ZINTERSTORE", d, "2", z, self.tag + "absent"), 0, self.of_zset, {}),
            (("ZINTERCARD", "2", z, y), HALF, None, None),
            (("ZINTERCARD", "2", s, y, "LIMIT", "5000"), 5000, None, None),
            (("SINTERCARD", "2", s, t), HALF, None, None),
            (("SINTERCARD", "2", s, t, "LIMIT", "5000"), 5000, None, None),
        ]

    def check(self, client, case):
        command, reply, read, value = case
        self.assertEqual(client.call(*command), reply, command)
        if read:
            self.assertEqual(read(client, command[2] if command[0] == "COPY" else command[1]), value, command)

    def test_results(self):
        client = self.client(timeout=120)
        fill(client, self.tag)
        for case in self.cases():
            self.check(client, case)

    def test_places(self):
        """A search over turns finds what one in a transaction, which is made at once, finds."""
        client = self.client(timeout=120)
        g, d, e, h = self.tag + "g", self.tag + "d", "{there}e", "{there}g"
        for begin in range(0, COUNT, STEP):
            client.must("GEOADD", g, *[word for i in range(begin, begin + STEP)
                                       for word in ("%f" % (i * 7919 % 36000 / 100 - 180), "%f" % (i % 1700 / 10 - 85), "p%d" % i)])
        around = ("FROMLONLAT", "10", "20", "BYRADIUS", "12000", "km")
        for command in (("GEOSEARCH", g, *around, "COUNT", "20", "WITHDIST"), ("GEOSEARCH", g, *around, "COUNT", "20", "DESC", "WITHHASH"),
                        ("GEOSEARCH", g, *around, "COUNT", "6000", "ANY"),
                        ("GEOSEARCH", g, *around, "WITHCOORD"), ("GEOSEARCH", g, *around, "COUNT", "5000", "ASC"),
                        ("GEOSEARCH", g, "FROMLONLAT", "10", "20", "BYBOX", "0.01", "15000", "km"), ("GEORADIUS", g, "10", "20", "12000", "km", "COUNT", "3", "WITHCOORD")):
            found = client.must(*command)
            self.assertTrue(found or "0.01" in command)
            self.assertEqual(found, client.pipeline([("MULTI",), command, ("EXEC",)])[-1][0], command)
        client.must("COPY", g, h, "REPLACE")
        for command in (("GEOSEARCHSTORE", d, g, *around), ("GEOSEARCHSTORE", d, g, *around, "STOREDIST"), ("GEOSEARCHSTORE", d, g, *around, "COUNT", "6000", "DESC"),
                        ("GEOSEARCHSTORE", d, g, *around, "COUNT", "50"), ("GEOSEARCHSTORE", d, g, *around, "COUNT", "5000", "ANY"),
                        ("GEORADIUS", g, "10", "20", "12000", "km", "STORE", d)):
            other = [{d: e, g: h}.get(word, word) for word in command]
            self.assertEqual([client.must(*command)], client.pipeline([("MULTI",), other, ("EXEC",)])[-1])
            self.assertGreater(client.must("ZCARD", d), 0)
            self.assertEqual(self.of_zset(client, d), self.of_zset(client, e), command)

    def fill_stream(self, client, key):
        """Entries 1-0 ... all of which two consumers have; every third is no longer in the stream."""
        client.must("DEL", key)
        client.pipeline([("XADD", key, "%d-0" % i, "f", "v%d" % i) for i in range(1, COUNT + 1)])
        client.must("XGROUP", "CREATE", key, "g", "0")
        client.must("XREADGROUP", "GROUP", "g", "alice", "COUNT", str(HALF), "STREAMS", key, ">")
        client.must("XREADGROUP", "GROUP", "g", "bob", "STREAMS", key, ">")
        for begin in range(3, COUNT, STEP):
            client.must("XDEL", key, *["%d-0" % i for i in range(begin, min(begin + STEP, COUNT), 3)])

    def of_stream(self, client, key):
        """But for the times, which differ."""
        groups = client.must("XPENDING", key, "g")
        about = client.must("XINFO", "STREAM", key)
        parts = [client.must("XPENDING", key, "g", begin, "+", "100") for begin in ("-", "2000", "%d" % (HALF - 50), "%d" % (COUNT - 99))]
        return groups, about, [[(row[0], row[1], row[3]) for row in part] for part in parts]

    def test_pending(self):
        """Commands on what is pending do over turns what they do in a transaction, which is at once."""
        client = self.client(timeout=120)
        x, a, b = (self.tag + name for name in ("x", "a", "b"))
        self.fill_stream(client, x)
        for command, replied in (
                (("XPENDING", "KEY", "g", "IDLE", "100000000", "-", "+", "5"), lambda r: r == []),
                (("XPENDING", "KEY", "g", "9000-0", "+", "5000", "bob"), lambda r: len(r) == 5000),
                (("XAUTOCLAIM", "KEY", "g", "carol", "100000000", "0", "COUNT", "9000"), lambda r: r[1] == [] and r[2]),
                (("XAUTOCLAIM", "KEY", "g", "carol", "0", "0", "COUNT", "5000", "JUSTID"), lambda r: len(r[1]) + len(r[2]) == 5000),
                (("XAUTOCLAIM", "KEY", "g", "dave", "0", "0", "COUNT", "5000"), lambda r: len(r[1]) + len(r[2]) == 5000),
                (("XCLAIM", "KEY", "g", "carol", "0", *["%d-0" % i for i in range(2, 7002)]), lambda r: 4000 < len(r) < 7000),
                (("XCLAIM", "KEY", "g", "carol", "1", *["%d-0" % i for i in range(100, 4100)] * 2, "JUSTID", "RETRYCOUNT", "7"), lambda r: 2000 < len(r) < 4000),
                (("XCLAIM", "KEY", "g", "carol", "0", *["%d-0" % i for i in range(100, 6000)], "FORCE", "LASTID", "99999-5", "TIME", "1000"), lambda r: 3000 < len(r)),
                (("XCLAIM", "KEY", "g", "carol", "100000000", *["%d-0" % i for i in range(100, 6000)], "LASTID", "99999-5"), lambda r: r == []),
                (("XGROUP", "DELCONSUMER", "KEY", "g", "bob"), lambda r: r == HALF),
                (("XGROUP", "DELCONSUMER", "KEY", "g", "alice"), lambda r: r == HALF)):
            for key in (a, b):
                self.assertEqual(client.must("COPY", x, key, "REPLACE"), 1)
            self.assertEqual(client.raw("XRANGE", a, "-", "+"), client.raw("XRANGE", x, "-", "+"))
            self.assertEqual(self.of_stream(client, a), self.of_stream(client, x))
            over_turns = client.must(*[a if word == "KEY" else word for word in command])
            at_once = client.pipeline([("MULTI",), [b if word == "KEY" else word for word in command], ("EXEC",)])[-1][0]
            self.assertEqual(len(client.must("XINFO", "CONSUMERS", a, "g")), len(client.must("XINFO", "CONSUMERS", b, "g")))
            if command[0] == "XPENDING":
                over_turns, at_once = ([(row[0], row[1], row[3]) for row in rows] for rows in (over_turns, at_once))
            self.assertEqual(over_turns, at_once, command)
            self.assertTrue(replied(over_turns), command)
            self.assertEqual(self.of_stream(client, a), self.of_stream(client, b), command)
            if over_turns and command[0] != "XPENDING":
                client = self.start_again(client, (a, b), self.of_stream)

    def test_copies(self):
        """A copy made over turns is what one made in a transaction is: lists, hashes whose fields have deadlines, long strings."""
        client = self.client(timeout=120)
        names = a, b, c, d, e, f = [self.tag + name for name in ("l", "h", "b", "d", "e", "r")]
        client.must("DEL", *names)
        for begin in range(0, COUNT, STEP):
            client.must("RPUSH", a, *["element %d of a list of some length %d" % (i, i * i) for i in range(begin, begin + STEP)])
            client.must("HSET", b, *[word for i in range(begin, begin + STEP) for word in ("m%d" % i, "v%d" % i)])
            client.must("HPEXPIREAT", b, str(4_000_000_000_000 + begin), "FIELDS", str(STEP // 2), *["m%d" % i for i in range(begin, begin + STEP, 2)])
        for i in range(5):
            client.must("APPEND", c, bytes(range(256)) * 4000)
        for source, field in ((a, None), (b, "m4000"), (c, None), (b, "m1")):
            self.assertEqual(client.must("COPY", source, d, "REPLACE"), 1)
            self.assertEqual(client.pipeline([("MULTI",), ("COPY", source, e, "REPLACE"), ("EXEC",)])[-1], [1])
            read = {a: ("LRANGE", "0", "-1"), b: ("HGETALL",), c: ("GET",)}[source]
            found, expected = (client.must(read[0], key, *read[1:]) for key in (d, source))
            self.assertEqual(sorted(found) if source == b else found, sorted(expected) if source == b else expected)
            self.assertEqual(client.must("OBJECT", "ENCODING", d), client.must("OBJECT", "ENCODING", e))
            if source == b:
                times = [client.must("HPEXPIRETIME", key, "FIELDS", "3", "m0", "m1", "m12000") for key in (d, e)]
                self.assertEqual(times, [[4_000_000_000_000, -1, 4_000_000_012_000]] * 2)
            client = self.start_again(client, (d, e), lambda client, key: (client.must("TYPE", key), client.must("DUMP", key) if source != b
                                      else sorted(client.must("HGETALL", key)) + client.must("HPEXPIRETIME", key, "FIELDS", "2", "m0", "m12000")))

    def test_lists(self):
        """What passes over many elements of a list does over turns what it does in a transaction."""
        client = self.client(timeout=120)
        l, d, e = (self.tag + name for name in ("l", "d", "e"))
        client.must("DEL", l)
        for begin in range(0, 100_000, 20_000):
            client.must("RPUSH", l, *["m%d" % (i // 2 if i % 5 else 7) for i in range(begin, begin + 20_000)])
        for key in (d, e):
            self.assertEqual(client.must("COPY", l, key, "REPLACE"), 1)
        for words in (("LPOS", "KEY", "m49999"), ("LPOS", "KEY", "nobody"), ("LPOS", "KEY", "m0", "RANK", "-1"), ("LPOS", "KEY", "m7", "COUNT", "0"),
                      ("LPOS", "KEY", "m7", "COUNT", "3", "RANK", "-15000"), ("LPOS", "KEY", "m49999", "MAXLEN", "90000", "COUNT", "1"),
                      ("LINSERT", "KEY", "BEFORE", "m49999", "new"), ("LINSERT", "KEY", "AFTER", "m49999", "m7"), ("LINSERT", "KEY", "AFTER", "nobody", "x"),
                      ("LREM", "KEY", "-9000", "m7"), ("LREM", "KEY", "0", "nobody"), ("LREM", "KEY", "0", "m7"), ("LREM", "KEY", "1", "m49999")):
            over_turns = client.call(*[d if word == "KEY" else word for word in words])
            self.assertTrue(client.pipeline([("MULTI",), [e if word == "KEY" else word for word in words], ("EXEC",)])[-1] == [over_turns], words)
            if words[0] != "LPOS":
                self.assertTrue(client.raw("LRANGE", d, "0", "-1") == client.raw("LRANGE", e, "0", "-1"), words)
        self.start_again(client, (d, e), lambda client, key: client.raw("LRANGE", key, "0", "-1"))

    def test_bits(self):
        client = self.client(timeout=120)
        a, b, c, d, e = (self.tag + name for name in ("p", "q", "r", "d", "e"))
        client.must("DEL", a, b, c)
        values = {a: bytes(range(256)) * 8000, b: bytes(range(1, 256)) * 7000, c: b"123"}
        for key, value in values.items():
            client.must("SET", key, value)
        for words in (("NOT", d, a), ("AND", d, a, b, c), ("OR", d, b, a), ("XOR", d, a, self.tag + "absent", b), ("DIFF", d, a, b),
                      ("ONE", d, a, b, c), ("ANDOR", d, a, b, c), ("DIFF1", d, a, b)):
            expected = bitop(words[0], [values.get(key, b"") for key in words[2:]])
            self.assertEqual(client.must("BITOP", *words), len(expected), words)
            at_once = client.pipeline([("MULTI",), ("BITOP", words[0], e, *words[2:]), ("EXEC",)])[-1]
            self.assertEqual(at_once, [len(expected)], words)
            self.assertTrue(client.must("GET", d) == client.must("GET", e) == expected, words)
        client.must("SET", d, bytes(range(256)) * 8000)
        self.assertEqual(client.must("BITOP", "NOT", d, d), 256 * 8000)
        self.start_again(client, (d, e), lambda client, key: client.must("BITCOUNT", key))

    def test_copy_loses_fields(self):
        """Fields end while their hash is copied: the copy has the others."""
        client = self.client(timeout=120)
        fill(client, self.tag)
        h, d = self.tag + "h", self.tag + "d"
        for begin in range(0, COUNT, STEP):
            client.must("HPEXPIRE", h, "40", "FIELDS", str(STEP // 2), *["m%d" % i for i in range(begin, begin + STEP, 2)])
        self.assertEqual(client.must("COPY", h, d), 1)
        wait_until(lambda: client.must("HLEN", h) == client.must("HLEN", d) == COUNT // 2, what="the fields to end")
        self.assertEqual(sorted(client.must("HKEYS", d)), sorted(b"m%d" % i for i in range(1, COUNT, 2)))

    def test_pops(self):
        """What is taken out is what was answered, and the rest stays."""
        client = self.client(timeout=120)
        s, z, l = (self.tag + name for name in ("s", "z", "l"))
        for resp3 in (False, True):
            if resp3:
                client.hello(3)
            fill(client, self.tag)
            client.must("DEL", l)
            for begin in range(0, COUNT, STEP):
                client.must("RPUSH", l, *["m%d" % i for i in range(begin, begin + STEP)])
            pair = lambda i: [b"m%d" % i, Double(b"%d" % i) if resp3 else b"%d" % i]  # noqa: E731
            flat = (lambda pairs: pairs) if resp3 else (lambda pairs: [word for two in pairs for word in two])
            for command, reply in ((("ZPOPMIN", z, "5000"), flat([pair(i) for i in range(5000)])),
                                   (("ZMPOP", "1", z, "MAX", "COUNT", "5000"), [z.encode(), [pair(COUNT - 1 - i) for i in range(5000)]]),
                                   (("LPOP", l, "5000"), [b"m%d" % i for i in range(5000)]),
                                   (("RPOP", l, "5000"), [b"m%d" % (COUNT - 1 - i) for i in range(5000)])):
                self.assertTrue(client.must(*command) == reply, command)
            client.must("COPY", l, self.tag + "d", "REPLACE")
            self.assertEqual(client.must("LMPOP", "2", self.tag + "absent", self.tag + "d", "RIGHT", "COUNT", "5500"),
                             [b"%sd" % self.tag.encode(), [b"m%d" % (COUNT - 5001 - i) for i in range(5500)]])
            self.assertEqual(client.must("LLEN", self.tag + "d"), 500)
            popped = list(client.must("SPOP", s, "9000"))
            self.assertEqual(len(set(popped)), 9000)
            self.assertTrue(set(client.must("SMEMBERS", s)) | set(popped) == members(0, COUNT))
            self.assertEqual([client.must("SCARD", s), client.must("ZCARD", z), client.must("LLEN", l)], [COUNT - 9000, 6000, 6000])
            popped = set(client.must("SPOP", s, str(COUNT - 9002))) | set(popped)
            self.assertEqual(len(popped), COUNT - 2)
            self.assertEqual([client.must("ZRANGE", z, "0", "0"), client.must("LINDEX", l, "0")], [[b"m5000"], b"m5000"])
            client = self.start_again(client, (s, z, l), lambda client, key: client.must("SORT", key, "ALPHA"))
            self.assertTrue(set(client.must("SMEMBERS", s)) | popped == members(0, COUNT))
            self.assertEqual(len(client.must("ZPOPMAX", z, "5999")), 5999 if resp3 and client.proto == 3 else 2 * 5999)
            self.assertEqual(len(client.must("LPOP", l, "6000")), 6000)
            self.assertEqual(client.must("EXISTS", z, l), 1)
            fill(client, self.tag)
            popped = list(client.must("SPOP", s, str(COUNT + 5)))
            self.assertEqual(len(popped), COUNT)
            self.assertTrue(set(popped) == members(0, COUNT))
            client = self.start_again(client, (s,), lambda client, key: client.must("EXISTS", key))
            self.assertEqual(client.must("EXISTS", s), 0)

    def start_again(self, client, keys, read):
        """With a log: what was done is still there when it is read. Returns a client."""
        return client

    def test_answers(self):
        client = self.client(timeout=120)
        for proto in ("2", "3"):
            client.must("HELLO", proto)
            fill(client, self.tag)
            s, t, z, y = (self.tag + name for name in "stzy")
            for command, value in ((("SUNION", s, t), members(0, END)), (("SINTER", t, s), members(HALF, COUNT)), (("SDIFF", s, t), members(0, HALF))):
                found = client.must(*command)
                self.assertEqual(len(found), len(value), command)
                self.assertEqual(set(found), value, command)
            both = scores(HALF, COUNT, lambda i: 2 * i - HALF)
            for command, value in ((("ZUNION", "2", z, y), scores(0, HALF, lambda i: i) | both | scores(COUNT, END, lambda i: i - HALF)),
                                   (("ZINTER", "2", z, y), both), (("ZDIFF", "2", z, y), scores(0, HALF, lambda i: i))):
                order = sorted(value, key=lambda member: (value[member], member))
                self.assertEqual(client.must(*command), order, command)
                found = client.must(*command, "WITHSCORES")
                pairs = found if proto == "3" else zip(found[::2], found[1::2])
                self.assertEqual([(member, float(score)) for member, score in pairs], [(member, value[member]) for member in order], command)
        client.must("HELLO", "2")

    def looked_up(self, client):
        return [int(info_field(client, name)) for name in ("keyspace_hits", "keyspace_misses")]

    def test_hits(self):
        """A key that is read counts once, however many turns it takes."""
        client = self.client(timeout=120)
        fill(client, self.tag)
        client.must("SET", self.tag + "other", "x")
        s, t, z, y, d = (self.tag + name for name in "stzyd")
        for command, hits, misses in ((("SUNIONSTORE", d, s, t, self.tag + "absent"), 2, 1), (("SINTERCARD", "2", s, t), 2, 0), (("SUNION", s, t), 2, 0),
                                      (("ZUNIONSTORE", d, "3", z, y, self.tag + "absent"), 2, 1), (("ZINTERCARD", "2", z, y), 2, 0),
                                      (("COPY", s, d, "REPLACE"), 1, 0), (("ZRANGESTORE", d, z, "0", "-1"), 1, 0)):
            before = self.looked_up(client)
            client.must(*command)
            self.assertEqual([after - then for after, then in zip(self.looked_up(client), before)], [hits, misses], command)

    def test_rename(self):
        client = self.client(timeout=120)
        fill(client, self.tag)
        for begin in range(0, COUNT, STEP):
            client.must("RPUSH", self.tag + "l", *[str(i) for i in range(begin, begin + STEP)])
        order = [b"%d" % i for i in range(COUNT)]
        self.fill_stream(client, self.tag + "x")
        stream = self.of_stream(client, self.tag + "x")
        client.must("SET", self.tag + "p", bytes(range(256)) * 6000)
        client.must("HPEXPIREAT", self.tag + "h", "4000000000001", "FIELDS", "1", "m7")
        self.assertEqual(client.must("COPY", self.tag + "l", self.tag + "d", "REPLACE"), 1)
        self.assertEqual(client.must("LRANGE", self.tag + "d", "0", "-1"), order)
        for name, read, value in (("s", self.of_set, members(0, COUNT)), ("z", self.of_zset, scores(0, COUNT, lambda i: i)),
                                  ("h", self.of_hash, {b"m%d" % i: b"v%d" % i for i in range(COUNT)}),
                                  ("l", lambda of, key: of.must("LRANGE", key, "0", "-1"), order), ("x", self.of_stream, stream),
                                  ("p", lambda of, key: of.must("GET", key), bytes(range(256)) * 6000)):
            key, other, third = self.tag + name, self.tag + "d", self.tag + "e"
            client.must("PEXPIREAT", key, "4000000000000")
            encoding = client.must("OBJECT", "ENCODING", key)
            self.assertEqual(client.call("RENAMENX", key, other), 0)
            client.must("RENAME", key, other)
            self.assertEqual(client.must("EXISTS", key), 0)
            client.must("DEL", third)
            self.assertEqual(client.call("RENAMENX", other, third), 1)
            self.assertEqual(read(client, third), value)
            self.assertEqual(client.must("PEXPIRETIME", third), 4000000000000)
            self.assertEqual(client.must("OBJECT", "ENCODING", third), encoding)
            if name == "h":
                self.assertEqual(client.must("HPEXPIRETIME", third, "FIELDS", "2", "m7", "m8"), [4000000000001, -1])
            client.must("RENAME", third, other)
        self.assertNothingLeft()

    def test_in_transaction(self):
        client = self.client(timeout=120)
        fill(client, self.tag)
        for command, reply, read, value in self.cases():
            self.assertEqual(client.pipeline([("MULTI",), command, ("EXEC",)])[-1], [reply], command)

    def test_order(self):
        """Commands of one connection and of others stand behind it; keys that it does not use go on."""
        a, b, c = (self.client(timeout=120) for _ in range(3))
        fill(a, self.tag)
        s, t, d = (self.tag + name for name in ("s", "t", "d"))
        a.send(encode(["SUNIONSTORE", d, s, t]))
        a.send(encode(["SCARD", d]))
        a.send(encode(["SREM", s, "m0"]))
        a.send(encode(["SUNIONSTORE", d, s, t]))
        seen = b.must("SCARD", d)
        self.assertIn(seen, (0, END, END - 1))
        self.assertEqual([a.read_one() for _ in range(4)], [END, END, 1, END - 1])
        self.assertEqual(c.must("SCARD", d), END - 1)

    def test_neighbour(self):
        """Somebody who looks all the time sees all of it or nothing."""
        client, other = self.client(timeout=120), self.client(timeout=120)
        fill(client, self.tag)
        s, t, d = (self.tag + name for name in ("s", "t", "d"))
        stop, seen, turns = threading.Event(), set(), [0]

        def look():
            while not stop.is_set():
                seen.add(other.must("SCARD", d))
                other.must("INCR", self.tag + "n")
                turns[0] += 1

        thread = threading.Thread(target=look)
        thread.start()
        try:
            for _ in range(3):
                self.assertEqual(client.call("SUNIONSTORE", d, s, t), END)
                self.assertEqual(client.call("SINTERSTORE", d, s, t), HALF)
                self.assertEqual(client.call("DEL", d), 1)
        finally:
            stop.set()
            thread.join()
        self.assertLessEqual(seen, {0, END, HALF})
        self.assertGreater(turns[0], 0)

    def test_client_goes(self):
        """Its work is done all the same, and nothing is left of it."""
        client = self.client(timeout=120)
        fill(client, self.tag)
        s, t, d = (self.tag + name for name in ("s", "t", "d"))
        gone = self.server.client()
        gone.send(encode(["SUNIONSTORE", d, s, t]))
        gone.close()
        wait_until(lambda: client.must("SCARD", d) in (0, END), what="the work to end")
        client.must("DEL", d)
        self.assertNothingLeft()

    def test_time(self):
        """A source's time is over, before or while it is read: it was there, or it was not."""
        client = self.client(timeout=120)
        for millis in (1, 5):
            fill(client, self.tag)
            s, t, d = (self.tag + name for name in ("s", "t", "d"))
            client.must("PEXPIRE", t, str(millis))
            self.assertIn(client.must("SUNIONSTORE", d, s, t), (END, COUNT))
            fill(client, self.tag)
            client.must("PEXPIRE", s, str(millis))
            self.assertIn(client.must("SDIFFSTORE", d, s, t), (HALF, 0))
            for command, counts in ((("SUNION", s, t), (END, COUNT)), (("SDIFF", t, s), (HALF, COUNT)), (("ZUNION", "2", s, t), (END, COUNT)), (("SPOP", s, "1000000"), range(COUNT + 1))):
                fill(client, self.tag)
                client.must("PEXPIRE", s, str(millis))
                self.assertIn(len(client.must(*command)), counts, command)

    def test_copy_with_time(self):
        """The copy has the source's deadline, also after a restart from the log."""
        client = self.client(timeout=120)
        fill(client, self.tag)
        for name in "szh":
            client.must("PEXPIREAT", self.tag + name, "4000000000000")
            self.assertEqual(client.must("COPY", self.tag + name, self.tag + "d", "REPLACE"), 1)
            self.assertEqual(client.must("PEXPIRETIME", self.tag + "d"), 4000000000000)
            client.must("PEXPIRE", self.tag + name, "2")
            copied = client.must("COPY", self.tag + name, self.tag + "d", "REPLACE")
            self.assertIn(copied, (0, 1))
            wait_until(lambda: not client.must("EXISTS", self.tag + name), what="its time to be over")
            self.assertEqual(client.must("EXISTS", self.tag + "d"), 1 - copied)
            self.assertEqual(client.must("PEXPIRETIME", self.tag + "d"), -2 if copied else 4000000000000)

    def test_whole_database(self):
        """FLUSHALL waits for its turn."""
        a, b = self.client(timeout=120), self.client(timeout=120)
        fill(a, self.tag)
        a.send(encode(["SUNIONSTORE", self.tag + "d", self.tag + "s", self.tag + "t"]))
        b.must("FLUSHALL")
        self.assertIn(a.read_one(), (END, 0))
        self.assertIn(b.must("SCARD", self.tag + "d"), (0, END))


class Parts(Results):
    """Also with very many arguments, and with strings of several stretches."""

    def test_bit_ranges(self):
        """Bits are counted and found beyond the first stretch of a string, as Python and a transaction, which is at once, find them."""
        client = self.client(timeout=120)
        key, size = self.tag + "bits", 5 << 20
        for fill in (0, 0xFF):
            text = bytearray([fill]) * size
            for place in (3, (3 << 20) - 1, 3 << 20, (4 << 20) + 77, size - 1):
                text[place] = 0x30 ^ fill
            client.must("SET", key, bytes(text))
            ones = sum(bin(byte).count("1") * text.count(byte) for byte in range(256))
            self.assertEqual(client.must("BITCOUNT", key), ones)
            first = 8 * 3 + 2
            self.assertEqual(client.must("BITPOS", key, "1" if fill == 0 else "0"), first)
            self.assertEqual(client.must("BITPOS", key, "1" if fill == 0 else "0", "4"), 8 * ((3 << 20) - 1) + 2)
            commands = [("BITCOUNT", key, str(first), str(last), "BIT") for first, last in ((26, -1), (27, -3), (5, 8 * size - 9), (-8 * size + 26, -4))]
            commands += [("BITCOUNT", key, str(first), str(last)) for first, last in ((0, -2), (3, -1), (4, size - 2), (1 << 20, 4 << 20))]
            for bit in "01":
                commands += [("BITPOS", key, bit, str(first)) for first in (0, 4, (3 << 20) + 1, (4 << 20) + 78, size - 1)]
                commands += [("BITPOS", key, bit, str(first), str(last)) for first, last in ((4, -2), ((3 << 20) + 1, (4 << 20) + 76), (5, (3 << 20) - 2))]
                commands += [("BITPOS", key, bit, str(first), str(last), "BIT") for first, last in ((28, 8 * (3 << 20) - 7), (8 * (3 << 20) + 4, 8 * size - 6))]
            for command in commands:
                self.assertEqual([client.must(*command)], client.pipeline([("MULTI",), command, ("EXEC",)])[-1], command)
        client.must("SET", key, bytes([0xFF]) * size)
        self.assertEqual([client.must("BITPOS", key, "0", *more) for more in ((), ("0", "-1"), ("0",))], [8 * size, -1, 8 * size])
        client.must("DEL", key)

    def test_digests(self):
        """Of a long string: what it is at once, in a transaction, and what is compared with it."""
        client = self.client(timeout=120)
        key, other = self.tag + "long", self.tag + "short"
        client.must("SET", key, bytes(range(256)) * 40_000)
        before = self.looked_up(client)
        digest = client.must("DIGEST", key)
        self.assertEqual([after - then for after, then in zip(self.looked_up(client), before)], [1, 0])
        self.assertEqual(client.pipeline([("MULTI",), ("DIGEST", key), ("EXEC",)])[-1], [digest])
        wrong = b"0" * 16
        for command, reply in ((("DELEX", key, "IFDEQ", wrong), 0), (("DELEX", key, "IFDNE", digest.upper()), 0), (("SET", key, "x", "IFDEQ", wrong), NULL_BULK),
                               (("SET", key, "x", "IFDNE", digest), NULL_BULK), (("COPY", key, other, "REPLACE"), 1), (("DELEX", other, "IFDEQ", digest), 1),
                               (("EXISTS", other), 0), (("COPY", key, other, "REPLACE"), 1), (("SET", other, "x", "IFDNE", wrong, "EX", "1000"), Simple(b"OK")),
                               (("GET", other), b"x"), (("SET", key, "new", "IFDEQ", digest), Simple(b"OK")), (("GET", key), b"new")):
            self.assertEqual(client.call(*command), reply, command)
        self.assertIn(client.must("TTL", other), range(900, 1001))
        client = self.start_again(client, (key, other), lambda client, key: client.must("GET", key))
        for millis in (1, 3, 7):
            client.must("SET", key, bytes(range(256)) * 40_000, "PX", str(millis))
            self.assertIn(client.call("DIGEST", key), (digest, NULL_BULK))
        client.must("DEL", key, other)

    def of_any(self, client, key):
        """What the key holds, in an order that does not depend on how it came about."""
        kind = bytes(client.must("TYPE", key))
        read = {b"set": ("SMEMBERS",), b"hash": ("HGETALL",), b"list": ("LRANGE", "0", "-1"), b"zset": ("ZRANGE", "0", "-1", "WITHSCORES"),
                b"stream": ("XRANGE", "-", "+"), b"string": ("GET",), b"none": ("GET",)}[kind]
        value = client.must(read[0], key, *read[1:])
        if kind == b"hash":
            names = value[::2]
            times = client.must("HPEXPIRETIME", key, "FIELDS", str(len(names)), *names)
            value = list(zip(names, value[1::2], times))
        return sorted(value) if kind in (b"set", b"hash") else value

    def arguments(self):
        """Commands with so many arguments that they take turns; for each whether its reply is a list."""
        several = range(5000)
        names = ["m%d" % (i % 4500) for i in several]
        other = ["m%d" % (i + 3000) for i in several]
        pairs = [word for i in several for word in ("m%d" % (i % 4500), "v%d" % i)]
        scores = [word for i in several for word in ("%d.5" % (i % 977), "m%d" % (i % 4500))]
        places = [word for i in several for word in ("%f" % (i % 360 - 180), "%f" % (i % 170 - 85), "m%d" % (i % 4500))]
        ids = ["%d-0" % i for i in range(2, 5000)]
        fields = ("FIELDS", "5000", *names)
        later = "4000000000"
        return [("SADD", "s", *names), ("SADD", "s", *other), ("SMISMEMBER", "s", *other), ("SREM", "s", *names), ("SREM", "s", *other),
                ("SADD", "i", *map(str, several)), ("RPUSH", "l", *names), ("LPUSH", "l", *other), ("RPUSHX", "l", *other), ("LPUSHX", "none", *other),
                ("HSET", "h", *pairs), ("HMSET", "h", *pairs[::-1]), ("HMGET", "h", *other), ("HPEXPIREAT", "h", later + "000", "NX", *fields),
                ("HEXPIREAT", "h", later, "XX", *fields), ("HEXPIREAT", "h", "4000000001", "GT", *fields), ("HEXPIREAT", "h", later, "GT", *fields),
                ("HEXPIRETIME", "h", *fields), ("HPEXPIRETIME", "h", *fields), ("HGETEX", "h", "EXAT", "4100000000", *fields), ("HPERSIST", "h", *fields),
                ("HSETEX", "h", "PXAT", later + "000", "FIELDS", "5000", *pairs), ("HGETEX", "h", "PERSIST", *fields), ("HGETDEL", "h", "FIELDS", "4800", *other[:4800]),
                ("HPEXPIRE", "h", "0", *fields), ("HDEL", "h", *other), ("HDEL", "h", *pairs), ("HTTL", "none", *fields),
                ("ZADD", "z", *scores), ("ZADD", "z", "CH", "GT", *scores[2:], "1", "m0"), ("ZADD", "z", "XX", *[w for name in other for w in ("7", name)]),
                ("ZMSCORE", "z", *other), ("ZREM", "z", *names[:4800]), ("GEOADD", "g", *places), ("GEOADD", "g", "NX", "CH", *places), ("GEOPOS", "g", *other),
                ("GEOHASH", "g", *other), ("XACK", "x", "grp", *ids), ("XDEL", "x", *ids), ("PFADD", "p", *names), ("PFADD", "p", *names), ("PFADD", "p", *other)]

    def test_many_arguments(self):
        """Part by part: the same replies, contents and events as of the same in a transaction, which is done at once."""
        client = self.client(timeout=120)
        listener = self.client(timeout=120)
        listener.must("CONFIG", "SET", "notify-keyspace-events", "KA")
        names = [self.tag + way + name for way in "ab" for name in "silhzgxp"]
        client.must("DEL", *names)
        for way in "ab":
            x = self.tag + way + "x"
            client.pipeline([("XADD", x, "%d-0" % i, "f", "v") for i in range(1, 5001)] + [("XGROUP", "CREATE", x, "grp", "0"), ("XREADGROUP", "GROUP", "grp", "c", "STREAMS", x, ">")])
        for channel in names:
            listener.must("SUBSCRIBE", "__keyspace@0__:" + channel)
        for command in self.arguments():
            a, b = (self.tag + way + command[1] for way in "ab")
            self.assertTrue([client.call(command[0], a, *command[2:])] == client.pipeline([("MULTI",), (command[0], b, *command[2:]), ("EXEC",)])[-1], command[:4])
            self.assertTrue(self.of_any(client, a) == self.of_any(client, b), command[:4])
        client.must("PUBLISH", "__keyspace@0__:" + names[0], "end")
        told = {}
        while True:
            message = listener.read_one()
            if message[2] == b"end":
                break
            told.setdefault(message[1].decode()[len("__keyspace@0__:") + len(self.tag):], []).append(message[2])
        self.assertEqual({key[1:]: events for key, events in told.items() if key[0] == "a"}, {key[1:]: events for key, events in told.items() if key[0] == "b"})
        self.assertEqual(told["as"], [b"sadd", b"sadd", b"srem", b"srem", b"del"])
        client.must("CONFIG", "SET", "notify-keyspace-events", "")
        self.start_again(client, names, self.of_any)

    def test_arguments_and_time(self):
        """The key's time may be over meanwhile: it was there for all of them or for none."""
        client = self.client(timeout=120)
        names = ["m%d" % i for i in range(20_000)]
        for millis in (1, 5, 20):
            key = self.tag + "s"
            client.must("DEL", key)
            client.must("SADD", key, "other")
            client.must("PEXPIRE", key, str(millis))
            self.assertEqual(client.must("SADD", key, *names), len(names))
            self.assertIn(client.must("SCARD", key), (0, len(names), len(names) + 1))
            client.must("DEL", key)
            client.must("SADD", key, *names)
            client.must("PEXPIRE", key, str(millis))
            self.assertIn(sum(client.must("SMISMEMBER", key, *names)), (0, len(names)))
        client.must("HSET", self.tag + "h", *[word for name in names for word in (name, "v")])
        self.assertEqual(set(client.must("HPEXPIRE", self.tag + "h", "100000", "FIELDS", str(len(names)), *names)), {1})
        self.assertEqual(len(set(client.must("HPEXPIRETIME", self.tag + "h", "FIELDS", str(len(names)), *names))), 1)
        client.must("DEL", self.tag + "h")
        client.must("SET", self.tag + "h", "x")
        before = info_field(client, "total_error_replies")
        self.assertIn("WRONGTYPE", client.raw("HSET", self.tag + "h", *names).decode())
        self.assertEqual(int(info_field(client, "total_error_replies")), int(before) + 1)
        client.must("DEL", self.tag + "h")


class OneThread(Parts, ServerCase):
    threads = 1


class Across(Results, ServerCase):
    """Its keys live on different shards: in steps of a transaction."""

    threads = 4
    tag = ""


class WithLog(Parts, ServerCase):
    threads = 2
    options = LOG

    def start_again(self, client, keys, read):
        before = [read(client, key) for key in keys]
        self.server.stop()
        self.server.start()
        client = self.client(timeout=120)
        self.assertEqual([read(client, key) for key in keys], before)
        return client


class StartsAgain(unittest.TestCase):
    def test_starts_again_across(self):
        """The same of what was made on several shards, all at once."""
        test = Results()
        with Server(*LOG, threads=3) as server:
            client = server.client(timeout=120)
            fill(client, "")
            commands = [("SUNIONSTORE", "d1", "s", "t"), ("SINTERSTORE", "d2", "s", "t"), ("ZUNIONSTORE", "d3", "2", "z", "y"), ("ZUNIONSTORE", "d4", "2", "s", "y"),
                        ("COPY", "z", "d5"), ("PEXPIREAT", "h", "4000000000000"), ("COPY", "h", "d6"), ("RENAME", "h", "d7"), ("RENAME", "s", "d8"),
                        ("SET", "p", bytes(range(256)) * 8000), ("BITOP", "NOT", "d9", "p"), ("COPY", "d9", "d10"), ("COPY", "x", "d11"), ("COPY", "x", "d12")]
            test.fill_stream(client, "x")
            for command in commands:
                client.must(*command)

            def state():
                now = [test.of_set(client, key) for key in ("d1", "d2", "d8")] + [test.of_zset(client, key) for key in ("d3", "d4", "d5")]
                return now + [test.of_hash(client, key) for key in ("d6", "d7")] + [client.must("PEXPIRETIME", key) for key in ("d5", "d6", "d7", "s", "h")] + \
                    [client.must("BITCOUNT", "d9"), client.must("GET", "d10") == client.must("GET", "d9"), test.of_stream(client, "d11"), test.of_stream(client, "d12")]

            before = state()
            server.stop()
            server.start()
            client = server.client(timeout=120)
            self.assertEqual(state(), before)
            self.assertEqual(before[0], members(0, END))

    def test_starts_again(self):
        """What was answered is there after a restart from the log."""
        test = Results()
        with Server(*LOG, threads=2) as server:
            client = server.client(timeout=120)
            fill(client, "{a}")
            kept = 0
            for command, reply, read, value in test.cases():
                if not read:
                    continue
                if reply == 0 and command[0] == "COPY":
                    continue
                self.assertEqual(client.call(*command), reply)
                server.stop()
                server.start()
                client = server.client(timeout=120)
                self.assertEqual(read(client, command[2] if command[0] == "COPY" else command[1]), value, command)
                kept += 1
            self.assertGreater(kept, 3)


class Killed(unittest.TestCase):
    """kill -9 while the log is told of large results, piece by piece (shards/effect.h)."""

    def test_acknowledged(self):
        """What took turns and was acknowledged is there: its reply waits for the log's end of it, not just for what its slices have seen."""
        with Server(*LOG, threads=2) as server:
            for count in range(5000, 5015):
                client = server.client(timeout=120)
                client.must("DEL", "k")
                client.must("RPUSH", "k", "first")
                client.must("RPUSH", "k", *["m%d" % i for i in range(count)])
                server.kill()
                server.start()
                self.assertEqual(server.client(timeout=120).must("LLEN", "k"), count + 1)

    def test_whole_or_not_at_all(self):
        """A result is there as a whole or not at all, and what was acknowledged meanwhile is there."""
        test, long = Results(), os.urandom(1 << 20) * 24
        commands = [("COPY", "{a}long", "{a}d", "REPLACE"), ("SUNIONSTORE", "{a}e", "{a}s", "{a}t"), ("COPY", "{a}h", "other", "REPLACE")]
        with Server(*LOG, threads=2) as server:
            client = server.client(timeout=120)
            fill(client, "{a}")
            client.must("SET", "{a}long", long)
            for count in (4, 16, 40, 80):
                client.must("MSET", "{a}d", "old", "{a}e", "old", "other", "old", "{a}n", "0")
                threads = begin_until_killed(server, commands)
                for _ in range(count):
                    client.must("INCR", "{a}n")
                server.kill()
                for thread in threads:
                    thread.join()
                server.start()
                client = server.client(timeout=120)
                self.assertEqual(client.must("GET", "{a}n"), b"%d" % count)
                self.assertIn(client.must("GET", "{a}d"), (b"old", long))
                if client.must("TYPE", "{a}e") != Simple(b"string"):
                    self.assertEqual(test.of_set(client, "{a}e"), members(0, END))
                if client.must("TYPE", "other") != Simple(b"string"):
                    self.assertEqual(len(test.of_hash(client, "other")), COUNT)


if __name__ == "__main__":
    main()
