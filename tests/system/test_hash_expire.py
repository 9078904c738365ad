#!/usr/bin/env python3
"""Fields of hashes that end by themselves, as the documentation of Redis 7.4 and 8.0 has them (redis-server 7.0 does not):
every reply of every command, row by row; fields are gone exactly on time for whoever looks, and without anybody looking;
what other commands on hashes do to deadlines; and they survive copies, other names, other shards, snapshots and the log."""

import os
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.case import Server, ServerCase, info_field, main, sherd_only, spread_keys, wait_until  # noqa: E402

A, B, C = spread_keys(3)
FAR, NEAR = 4_000_000_000, 3_000_000_000  # Unix times
NIL = resp.NULL_BULK
MISSING = "ERR Mandatory argument FIELDS is missing or not at the right position"
COUNT = "ERR The `numfields` parameter must match the number of arguments"
POSITIVE = "ERR Number of fields must be a positive integer"



class Near(int):
    """So many seconds, when they were set; some may have gone by."""

    def __eq__(self, other):
        return isinstance(other, int) and self - 30 <= other <= int(self)

    __hash__ = None


S100 = Near(100)

# Each row: a command, and its reply. The hash is h: a 1 b 2 c 3.
ROWS = [
    ("HEXPIRE h 100 FIELDS 3 a b x", [1, 1, -2]), ("HTTL h FIELDS 4 a b c x", [S100, S100, -1, -2]),
    ("HEXPIRE h 50 NX FIELDS 2 a c", [0, 1]), ("HEXPIRE h 60 XX FIELDS 2 a c", [1, 1]), ("HPERSIST h FIELDS 3 c b x", [1, 1, -2]),
    ("HEXPIRE h 60 XX FIELDS 1 c", [0]), ("HEXPIRE h 20 GT FIELDS 2 a c", [0, 0]), ("HEXPIRE h 200 GT FIELDS 1 a", [1]),
    ("HEXPIRE h 300 LT FIELDS 2 a c", [0, 1]), ("HEXPIRE h 50 LT FIELDS 2 a c", [1, 1]), ("HPERSIST h FIELDS 2 b x", [-1, -2]),
    ("HEXPIREAT h %d FIELDS 2 a b" % FAR, [1, 1]), ("HEXPIRETIME h FIELDS 3 a b x" , [FAR, FAR, -2]),
    ("HPEXPIRETIME h FIELDS 2 a b", [FAR * 1000] * 2), ("HPEXPIREAT h %d001 FIELDS 1 a" % NEAR, [1]),
    ("HEXPIRETIME h FIELDS 1 a", [NEAR + 1]), ("HPEXPIRETIME h FIELDS 1 a", [NEAR * 1000 + 1]), ("HPEXPIRE h 100000 FIELDS 1 a", [1]),
    ("HTTL h FIELDS 1 a", [S100]), ("HEXPIRE h 0 FIELDS 2 a a", [2, -2]), ("HEXPIREAT h 1 FIELDS 1 b", [2]), ("HKEYS h", [b"c"]),
    ("HPEXPIREAT h 1 NX FIELDS 1 c", [0]), ("HPEXPIREAT h 0 FIELDS 1 c", [2]), ("EXISTS h", 0),
    # what is not there
    ("HEXPIRE none 1 FIELDS 2 a b", [-2, -2]), ("HTTL none FIELDS 1 a", [-2]), ("HPERSIST none FIELDS 1 a", [-2]),
    ("HGETDEL none FIELDS 2 a b", [NIL, NIL]), ("HGETEX none EX 5 FIELDS 1 a", [NIL]), ("EXISTS none", 0),
    # deadlines and other commands
    ("HSET h a 1 b 2 c 3", 3), ("HEXPIREAT h %d FIELDS 3 a b c" % FAR, [1, 1, 1]), ("HSET h a 5", 0), ("HTTL h FIELDS 1 a", [-1]),
    ("HINCRBY h b 1", 3), ("HINCRBYFLOAT h c 0.5", b"3.5"), ("HEXPIRETIME h FIELDS 2 b c", [FAR, FAR]), ("HSETNX h b 9", 0),
    ("HDEL h b", 1), ("HSET h b 7", 1), ("HTTL h FIELDS 1 b", [-1]), ("HMSET h c 1", resp.OK), ("HTTL h FIELDS 1 c", [-1]),
    ("OBJECT ENCODING h", b"hashtable"), ("TTL h", -1), ("HLEN h", 3), ("HSTRLEN h a", 1),
    # HGETEX
    ("HGETEX h FIELDS 2 a x", [b"5", NIL]), ("HTTL h FIELDS 1 a", [-1]), ("HGETEX h EXAT %d FIELDS 2 a b" % FAR, [b"5", b"7"]),
    ("HEXPIRETIME h FIELDS 3 a b c", [FAR, FAR, -1]), ("HGETEX h PERSIST FIELDS 1 a", [b"5"]), ("HEXPIRETIME h FIELDS 2 a b", [-1, FAR]),
    ("HGETEX h EX 100 FIELDS 1 a", [b"5"]), ("HTTL h FIELDS 1 a", [S100]), ("HGETEX h PX 100000 FIELDS 1 a", [b"5"]), ("HTTL h FIELDS 1 a", [S100]),
    ("HGETEX h PXAT 1 FIELDS 2 a c", [b"5", b"1"]), ("HGETALL h", [b"b", b"7"]),
    # HGETDEL
    ("HSET h a 1", 1), ("HGETDEL h FIELDS 3 a x a", [b"1", NIL, NIL]), ("HGETDEL h FIELDS 1 b", [b"7"]), ("EXISTS h", 0),
    # HSETEX
    ("HSETEX h EXAT %d FIELDS 2 a 1 b 2" % FAR, 1), ("HEXPIRETIME h FIELDS 2 a b", [FAR, FAR]), ("HSETEX h FNX FIELDS 2 c 1 a 2", 0),
    ("HSETEX h FXX FIELDS 2 c 1 a 2", 0), ("HSETEX h FNX EX 100 FIELDS 1 c 3", 1), ("HTTL h FIELDS 1 c", [S100]), ("HSETEX h FXX KEEPTTL FIELDS 1 a 9", 1),
    ("HEXPIRETIME h FIELDS 1 a", [FAR]), ("HSETEX h FIELDS 1 a 8", 1), ("HTTL h FIELDS 1 a", [-1]), ("HSETEX h PX 100000 FIELDS 1 a 8", 1),
    ("HTTL h FIELDS 1 a", [S100]), ("HSETEX h PXAT 1 FIELDS 3 a 1 b 1 d 1", 1), ("HKEYS h", [b"c"]), ("HSETEX h FXX EX 1 FIELDS 2 c 1 d 1", 0),
    ("HSETEX none FXX FIELDS 1 a 1", 0), ("HSETEX none EXAT 1 FIELDS 1 a 1", 1), ("EXISTS none", 0), ("DEL h", 1),
    # errors, in Redis's order
    ("SET s x", resp.OK), ("HSET h a 1", 1),
    *[(command, "WRONGTYPE Operation against a key holding the wrong kind of value")
      for command in ("HEXPIRE s x FIELDS 1 a", "HTTL s x 1 a", "HPERSIST s FIELDS x a", "HGETDEL s FIELDS 1 a", "HGETEX s EX 1 FIELDS 1 a", "HSETEX s FIELDS 1 a 1",
                      "HPEXPIRETIME s FIELDS 1 a")],
    ("HEXPIRE h x FIELDS 1 a", "ERR value is not an integer or out of range"), ("HEXPIRE h -1 FIELDS 1 a", "ERR invalid expire time, must be >= 0"),
    ("HEXPIRE h 70368744177664 FIELDS 1 a", "ERR invalid expire time in 'hexpire' command"),
    ("HPEXPIREAT h 70368744177664 FIELDS 1 a", "ERR invalid expire time in 'hpexpireat' command"), ("HPEXPIREAT h 70368744177663 FIELDS 1 a", [1]),
    ("HEXPIRE h 1 FOO FIELDS 1 a", MISSING), ("HEXPIRE h 1 NX FOO 1 a", MISSING), ("HEXPIRE h 1 FIELDS 0 a", "ERR Parameter `numFields` should be greater than 0"),
    ("HEXPIRE h 1 FIELDS x a", "ERR Parameter `numFields` should be greater than 0"), ("HEXPIRE h 1 FIELDS 2 a", COUNT), ("HEXPIRE h 1 NX FIELDS 1", COUNT),
    ("HTTL h FOO 1 a", MISSING), ("HTTL h FIELDS 0 a", POSITIVE), ("HTTL h FIELDS 2 a", COUNT), ("HPERSIST h FIELDS x a", POSITIVE),
    ("HGETDEL h FIELDS 1 a b", COUNT), ("HGETDEL h FOO 1 a", MISSING), ("HGETEX h EX x FIELDS 1 a", "ERR value is not an integer or out of range"),
    ("HGETEX h EX -1 FIELDS 1 a", "ERR invalid expire time, must be >= 0"), ("HGETEX h FOO FIELDS 1 a", MISSING), ("HGETEX h EX 10 FIELDS", COUNT),
    ("HGETEX h PERSIST FIELDS 0 a", POSITIVE), ("HSETEX h FIELDS 2 a 1", "ERR wrong number of arguments for 'hsetex' command"),
    ("HSETEX h FIELDS 0 a 1", "ERR invalid number of fields"), ("HSETEX h FNX FXX FIELDS 1 a 1", "ERR Only one of FXX or FNX arguments can be specified"),
    ("HSETEX h EX 1 KEEPTTL FIELDS 1 a 1", "ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified"),
    ("HSETEX h FOO FIELDS 1 a 1", "ERR unknown argument: FOO"), ("HSETEX h EX 0x FIELDS 1 a 1", "ERR value is not an integer or out of range"),
    ("HEXPIRE h 1 FIELDS 1", "ERR wrong number of arguments for 'hexpire' command"), ("HGETALL h", [b"a", b"1"]), ("DEL h s", 2),
]


class Rows(ServerCase):
    threads = 3

    def test_rows(self):
        for name in (A, B, C):
            client = self.client()
            client.must("HSET", name, "a", "1", "b", "2", "c", "3")
            for command, expected in ROWS:
                words = [name if word == "h" else name + word if word in ("s", "none") else word for word in command.split()]
                reply = client.call(*words)
                if isinstance(expected, str):
                    self.assertError(reply, expected)
                else:
                    self.assertTrue(expected == reply, "%s: %r and not %r" % (command, reply, expected))

    def test_resp3(self):
        client = self.client(proto=3)
        client.must("HSET", "three", "a", "1")
        self.assertEqual(client.call("HGETEX", "three", "EXAT", FAR, "FIELDS", 2, "a", "x"), [b"1", resp.NULL])
        self.assertEqual(client.call("HGETALL", "three"), resp.Map([(b"a", b"1")]))
        client.must("DEL", "three")

    def test_on_time(self):
        """Whoever looks does not see it any more, though nothing has swept."""
        client = self.client()
        looks = ["HGET a", "HEXISTS a", "HSTRLEN a", "HLEN", "HGETALL", "HKEYS", "HVALS", "HMGET a b", "HSCAN 0", "HRANDFIELD 5", "HTTL FIELDS 1 a", "HDEL a", "HINCRBY a 1",
                 "HSETNX a new", "HGETDEL FIELDS 1 a", "HEXPIRE 100 FIELDS 1 a", "HPERSIST FIELDS 1 a", "DUMP", "MEMORY"]
        for look in looks:
            for key in ("there", "never"):
                client.must("DEL", key)
            client.must("HSET", "there", "a", "1", "b", "2")
            client.must("HSET", "never", "b", "2")
            client.must("HEXPIREAT", "never", FAR, "FIELDS", 1, "b")
            client.must("HPERSIST", "never", "FIELDS", 1, "b")  # the same form
            client.must("HPEXPIRE", "there", 1, "FIELDS", 1, "a")
            time.sleep(0.002)  # the time itself is what is tested
            if look == "MEMORY":
                self.assertEqual(client.call("EXISTS", "there"), 1)
                continue
            name, *words = look.split()
            replies = [client.call(name, key, *words) for key in ("there", "never")]
            self.assertEqual(replies[0], replies[1], look)
        client.must("HPEXPIRE", "never", 1, "FIELDS", 1, "b")
        time.sleep(0.002)
        self.assertEqual(client.call("EXISTS", "never"), 0)

    def test_without_looking(self):
        """Ten thousand fields of one hash, and the only fields of a hundred others."""
        client = self.client()
        client.must("FLUSHALL")
        client.must("HSET", "large", *[word for i in range(10000) for word in (i, i)], "stays", "1")
        full = int(client.must("MEMORY", "USAGE", "large"))
        for i in range(100):
            client.must("HSETEX", "small%d" % i, "PX", 20, "FIELDS", 1, "f", "v")
        for at in range(0, 10000, 1000):
            client.must("HPEXPIRE", "large", 20, "FIELDS", 1000, *range(at, at + 1000))
        wait_until(lambda: client.must("DBSIZE") == 1, what="small hashes to go by themselves")
        wait_until(lambda: client.must("HLEN", "large") == 1, what="fields to go")
        self.assertLess(int(client.must("MEMORY", "USAGE", "large")), full / 10)
        self.assertEqual(client.must("HGETALL", "large"), [b"stays", b"1"])
        self.assertGreaterEqual(int(info_field(client, "expired_subkeys")), 10100)

    def test_watched(self):
        client, other = self.client(), self.client()
        for command in (("HPEXPIRE", A, 1, "FIELDS", 1, "f"), ("HEXPIRE", A, 100, "FIELDS", 1, "f"), ("HGETEX", A, "EX", 100, "FIELDS", 1, "f"),
                        ("HSETEX", A, "FIELDS", 1, "g", "2"), ("HGETDEL", A, "FIELDS", 1, "f")):
            other.must("HSET", A, "f", "1", "h", "1")
            client.must("WATCH", A)
            other.must(*command)
            client.must("MULTI")
            client.must("PING")
            self.assertNotIsInstance(client.call("EXEC"), list, command)
        for wait_ms in (5, 50, 500, 5000):
            other.must("HSETEX", A, "PX", wait_ms, "FIELDS", 1, "f", "1")
            client.must("WATCH", A)
            if other.must("HEXISTS", A, "f"):
                break
            client.must("UNWATCH")
        wait_until(lambda: other.must("HEXISTS", A, "f") == 0, what="the field to go")
        client.must("MULTI")
        client.must("PING")
        self.assertNotIsInstance(client.call("EXEC"), list, "a field that ended")
        client.must("DEL", A)

    def test_other_names(self):
        client = self.client()
        client.must("FLUSHALL")
        client.must("HSETEX", A, "EXAT", FAR, "FIELDS", 2, "a", "1", "b", "2")
        client.must("HSET", A, "c", "3")
        seen = lambda key: (client.must("HGETALL", key) and sorted(client.must("HGETALL", key)), client.must("HEXPIRETIME", key, "FIELDS", 3, "a", "b", "c"))  # noqa: E731
        before = seen(A)
        for command in (("COPY", A, B), ("COPY", A, C), ("RENAME", B, "elsewhere"), ("RENAME", C, B), ("RENAME", A, C)):
            client.must(*command)
            self.assertEqual(seen(command[2]), before, command)
        client.must("RESTORE", A, 0, client.must("DUMP", C))
        self.assertEqual(seen(A), before)
        client.must("MOVE", A, 1)
        client.must("SELECT", 1)
        self.assertEqual(seen(A), before)
        client.must("FLUSHALL")


@sherd_only
class OnDisk(ServerCase):
    def server_with(self, *options):
        server = Server(*options, threads=2, defaults=False)
        self.addCleanup(server.clean)
        return server

    def fill(self, client):
        client.must("HSET", A, "past", "1", "far", "2", "none", "3", "back", "4")
        client.must("HPEXPIRE", A, 30, "FIELDS", 1, "past")
        client.must("HEXPIREAT", A, FAR, "FIELDS", 2, "far", "back")
        client.must("HPERSIST", A, "FIELDS", 1, "back")
        client.must("HINCRBYFLOAT", A, "far", "0.5")
        client.must("HSETEX", B, "EXAT", FAR, "FIELDS", 1000, *[word for i in range(1000) for word in (i, "v%d" % i)])
        client.must("HGETEX", B, "EXAT", NEAR, "FIELDS", 1, "7")
        client.must("HGETDEL", B, "FIELDS", 1, "8")
        client.must("COPY", B, C)
        wait_until(lambda: client.must("HEXISTS", A, "past") == 0, what="a field to end")
        client.must("HINCRBY", A, "past", 5)  # a new one, for ever
        client.must("HSETEX", "whole", "PX", 30, "FIELDS", 1000, *[word for i in range(1000) for word in (i, "v%d" % i)])
        wait_until(lambda: client.must("EXISTS", "whole") == 0, what="all fields to end")
        client.must("HSET", "whole", "new", "1")

    def check(self, client):
        self.assertEqual(client.must("HMGET", A, "past", "far", "none", "back"), [b"5", b"2.5", b"3", b"4"])
        self.assertEqual(client.must("HEXPIRETIME", A, "FIELDS", 4, "past", "far", "none", "back"), [-1, FAR, -1, -1])
        self.assertEqual(client.must("HGETALL", "whole"), [b"new", b"1"])
        for key in (B, C):
            self.assertEqual(client.must("HLEN", key), 999)
            self.assertEqual(client.must("HEXPIRETIME", key, "FIELDS", 4, "0", "7", "8", "999"), [FAR, NEAR, -2, FAR])

    def test_log(self):
        server = self.server_with("--appendonly", "yes", "--appendfsync", "always", "--save", "")
        self.fill(server.client())
        for threads in (3, 1):
            server.kill()
            server.threads = threads
            server.start()
            self.check(server.client())

    def test_snapshot(self):
        server = self.server_with("--save", "")
        self.fill(server.client())
        server.client().must("HSETEX", "late", "PX", 50, "FIELDS", 1, "f", "v")
        server.client().must("SAVE")
        server.kill()
        server.threads = 3
        server.start()
        client = server.client()
        self.check(client)
        wait_until(lambda: client.must("DBSIZE") == 4, what="what ended in the snapshot to go")
        self.assertEqual(info_field(client, "loading"), "0")


if __name__ == "__main__":
    main()
