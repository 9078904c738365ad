#!/usr/bin/env python3
"""WATCH and UNWATCH: every script runs on sherd and on redis-server side by side, with 1, 2 and 7 threads (the keys lie on different
shards).

The tables below hold everything that changes a watched key, and everything that looks like it and does not: each is done by
another client and by the watching client itself, between WATCH and MULTI. Then: what ends a watch, databases, many keys and
many watchers, and deadlines that pass."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.beside import TransactionCase, commands_of, multi, same_kind  # noqa: E402
from support.case import SLOW, main, sherd_only, spread_keys  # noqa: E402

OK, NIL, ABORTED = resp.OK, resp.NULL_BULK, resp.NULL_ARRAY
KEYS = spread_keys(7)
A, B, C = KEYS[0], KEYS[3], KEYS[6]
script = commands_of(A=A, B=B, C=C)

CHANGES = [  # what there was before WATCH, and what is done then
    ("", "SET A 1"), ("", "DEL A"), ("SET A 1", "SET A 1"), ("SET A 1", "DEL A"), ("SET A 1", "UNLINK A"),
    ("SET A 1", "GETDEL A"), ("", "GETDEL A"), ("SET A 1", "GET A"), ("SET A 1", "TOUCH A"),
    ("SET A 1", "EXPIRE A 1000"), ("", "EXPIRE A 1000"), ("SET A 1", "EXPIRE A 1000 XX"), ("SET A 1", "EXPIRE A -1"),
    ("SET A 1", "PERSIST A"), ("SET A 1 EX 1000", "PERSIST A"), ("SET A 1", "GETEX A"), ("SET A 1", "GETEX A EX 100"),
    ("SET A 1", "GETEX A PERSIST"), ("SET A 1 EX 1000", "GETEX A PERSIST"), ("SET A 1", "APPEND A ''"),
    ("SET A 1", "APPEND A x"), ("SET A 1", "SETRANGE A 0 ''"), ("SET A 1", "SETRANGE A 0 1"), ("", "SETRANGE A 5 ''"),
    ("SET A 1", "INCR A"), ("SET A 1", "INCRBY A 0"), ("SET A x", "INCR A"), ("SET A 1", "INCRBYFLOAT A 0"),
    ("SET A 1", "SETNX A 2"), ("", "SETNX A 2"), ("SET A 1", "SET A 2 NX"), ("", "SET A 2 XX"),
    ("SET A 1", "GETSET A 1"), ("SET A 1", "MSET B 1 A 1"), ("SET A 1", "MSETNX B 1 A 1"), ("", "MSETNX B 1 A 1"),
    ("SET A 1", "MGET A B"), ("SET A 1", "EXISTS A"), ("SET A 1", "SET B 1"), ("SET A 1", "RENAME A B"),
    ("SET B 1", "RENAME B A"), ("SET A 1; SET B 1", "RENAME B A"), ("SET A 1", "RENAME A A"),
    ("SET A 1", "RENAMENX A A"), ("SET A 1; SET B 1", "RENAMENX B A"), ("SET A 1; SET B 1", "RENAMENX A B"),
    ("", "RENAME A B"), ("SET A 1", "COPY A B"), ("SET B 1", "COPY B A"), ("SET A 1; SET B 1", "COPY B A"),
    ("SET A 1; SET B 1", "COPY B A REPLACE"), ("SET A 1", "COPY A A DB 1"), ("SET A 1", "MOVE A 1"), ("", "MOVE A 1"),
    ("", "SELECT 1; SET A 1; MOVE A 0"), ("SET A 1", "SELECT 1; SET A 1; MOVE A 0"),
    ("SET A 1", "SELECT 1; SET A 2; DEL A"), ("SET A 1", "FLUSHALL"), ("", "FLUSHALL"), ("SET B 1", "FLUSHALL"),
    ("SET A 1", "FLUSHDB"), ("", "FLUSHDB"), ("SET A 1", "SELECT 1; FLUSHDB"), ("SET A 1", "SELECT 1; FLUSHALL"),
    ("SET A 1", "SWAPDB 0 1"), ("", "SWAPDB 0 1"), ("SET A 1", "SWAPDB 1 2"),
    ("COPY A A DB 1; SET A 1; COPY A A DB 1", "SWAPDB 0 1"), ("SELECT 1; SET A 1; SELECT 0", "SWAPDB 0 1"),
    ("SET A 1", "SWAPDB 0 1; SWAPDB 0 1"), ("SET A 1", "DUMP A"), ("SET A 1", "OBJECT ENCODING A"),
    ("SET A 1", "SCAN 0"), ("SET A 1", "MULTI; SET A 2; EXEC"), ("SET A 1", "MULTI; SET A 2; DISCARD"),
    ("SET A 1", "MULTI; GET A; EXEC"), ("SET A 1", "SET A 2; SET A 1"),
    ("", "BITFIELD A OVERFLOW FAIL SET u8 0 256"), ("SET A 1", "BITFIELD A OVERFLOW FAIL SET u8 64 256"),
    ("SET A 1", "BITFIELD A OVERFLOW FAIL SET u8 64 256 SET u8 0 49"), ("SET A 1", "BITFIELD A SET u8 0 49"),
    ("SET A 1", "BITFIELD A OVERFLOW FAIL SET u8 64 256 GET u8 0"),
    ("PFADD A x", "PFADD A x"), ("PFADD A x", "PFADD A y"), ("PFADD A x", "PFCOUNT A"), ("PFADD A x", "PFMERGE A B"),
    ("PFADD A x", "PFDEBUG ENCODING A"), ("PFADD A x", "PFDEBUG TODENSE A"), ("PFADD A x", "PFDEBUG GETREG A"),
]
LIST_CHANGES = [
    ("", "LPUSH A x"), ("RPUSH A x", "RPUSH A x"), ("RPUSH A x", "LPOP A"), ("", "LPOP A"),
    ("RPUSH A x", "LRANGE A 0 -1"), ("RPUSH A x", "LSET A 0 x"), ("RPUSH A x", "LSET A 9 x"),
    ("RPUSH A x", "LTRIM A 0 -1"), ("RPUSH A x", "LREM A 0 nosuch"), ("RPUSH A x", "LREM A 0 x"),
    ("RPUSH A x", "LMOVE A B LEFT LEFT"), ("RPUSH A x", "LMOVE A A LEFT LEFT"), ("RPUSH B x", "LMOVE B A LEFT LEFT"),
    ("", "LPUSHX A x"), ("RPUSH A x", "LINSERT A BEFORE nosuch y"), ("RPUSH A x", "LPOP A 0"),
    ("RPUSH A x", "LMPOP 2 B A LEFT"), ("RPUSH A x", "BLPOP A 0"), ("RPUSH A x", "RPOPLPUSH A B"),
    ("RPUSH A x", "LLEN A"),
]


class Watching:
    def changes(self, table):
        """Somebody else, or the watching client itself, does something between WATCH and MULTI."""
        a, b = self.pairs_of(2)
        for before, then in table:
            for actor in (b, a):
                with self.subTest(before=before, then=then, by="itself" if actor is a else "another"):
                    b.all(("FLUSHALL",), ("SELECT", 0), *script(before))
                    a.all(("SELECT", 0), ("WATCH", A))
                    for command in script(then):
                        actor(*command, like=self.like_of(command))
                    a.all(*multi(("SELECT", 0), ("GET", "nosuch")))
                    b("SELECT", 0)

    @staticmethod
    def like_of(command):
        return same_kind if command[0] in ("SCAN", "DUMP") else None

    def test_what_changes_a_key(self):
        self.changes(CHANGES)

    def test_what_changes_a_list(self):
        self.needs("LPUSH", "LMOVE", "LMPOP", "BLPOP", "LINSERT")
        self.changes(LIST_CHANGES)

    def test_swapdb_with_itself(self):
        a = self.pair()
        a.all(("SET", A, "1"), ("WATCH", A), ("SWAPDB", 0, 0))
        self.assertEqual(self.exec(a, ("GET", A)), [b"1"])

    def test_inside_is_no_change(self):
        a = self.pair()
        a("WATCH", A)
        self.assertEqual(self.exec(a, ("SET", A, "1"), ("SET", A, "2")), [OK, OK])
        self.assertEqual(self.exec(a, ("GET", A)), [b"2"])

    def test_while_queueing(self):
        a, b = self.pairs_of(2)
        a.all(("WATCH", A, C), ("MULTI",), ("SET", B, "1"))
        b("SET", C, "x")
        self.assertIs(a("EXEC"), ABORTED)
        self.assertIs(a("GET", B), NIL)
        self.assertEqual(self.exec(a, ("SET", B, "1")), [OK])

    def test_what_ends_a_watch(self):
        for end in ([("UNWATCH",)], [("MULTI",), ("DISCARD",)], multi(), multi(("SET", C, "1")), [("RESET",)], multi(("UNWATCH",))):
            with self.subTest(end=end):
                a, b = self.pairs_of(2)
                a.all(("WATCH", A, B, C), *end)
                b("MSET", A, "1", B, "2", C, "3")
                self.assertIsInstance(self.exec(a, ("PING",)), list)

    def test_a_failed_exec_ends_it(self):
        a, b = self.pairs_of(2)
        a("WATCH", A)
        b("SET", A, "1")
        self.assertIs(self.exec(a), ABORTED)
        b("SET", A, "2")
        self.assertEqual(self.exec(a), [])

    def test_changed_watch_survives_more_watching(self):
        a, b = self.pairs_of(2)
        a("WATCH", A)
        b("SET", A, "1")
        a("WATCH", A, B)
        self.assertIs(self.exec(a), ABORTED)

    def test_databases(self):
        """A watched key is one of its database."""
        for db, aborted in ((0, True), (1, False)):
            a, b = self.pairs_of(2)
            a.all(("WATCH", A), ("SELECT", 1))
            b.all(("SELECT", db), ("SET", A, "1"))
            self.assertEqual(self.exec(a) is ABORTED, aborted)

    def test_many_keys_and_many_watchers(self):
        a, b = self.pairs_of(2)
        names = ["w%d" % i for i in range(1500)]
        a.all(("WATCH", *names), ("WATCH", *names), ("WATCH", names[7]))
        b("SET", "other", "1")
        self.assertEqual(self.exec(a), [])
        a("WATCH", *names)
        b("SET", names[-1], "1")
        self.assertIs(self.exec(a), ABORTED)
        crowd = self.pairs_of(20)
        for client in crowd:
            client("WATCH", A, B)
        b("INCR", B)
        for client in crowd:
            self.assertIs(self.exec(client, ("INCR", A)), ABORTED)

    @sherd_only
    def test_very_many_keys(self):
        """100,000 keys, three times. It took time by their square, and other clients waited meanwhile."""
        client, names = self.client(timeout=20 * SLOW), ["w%d" % i for i in range(100_000)]
        for _ in range(3):
            client.must("WATCH", *names)
        client.must("SELECT", 1)
        client.must("WATCH", *names[:100])
        self.observers[0].must("SET", names[99_000], "1")
        client.must("MULTI")
        self.assertIs(client.call("EXEC"), ABORTED)
        for _ in range(2):
            client.must("WATCH", *names[:17])
        client.must("UNWATCH")
        client.close()

    def test_one_of_the_watchers_wins(self):
        a, b = self.pairs_of(2)
        for client in (a, b):
            client("WATCH", A)
        self.assertEqual(self.exec(a, ("INCR", A)), [1])
        self.assertIs(self.exec(b, ("INCR", A)), ABORTED)

    def expired(self, *, look):
        """A key that is there at WATCH and not at EXEC, since its time has come."""
        a, b = self.pairs_of(2)
        a.all(("SET", A, "1", "PX", 30), ("WATCH", A))
        self.wait_ms(40)
        if look:
            b("GET", A)
        return self.exec(a, ("PING",))

    def test_expiry(self):
        self.assertIs(self.expired(look=True), ABORTED)

    def test_expiry_that_nobody_saw(self):
        switch = self.pair()
        switch("DEBUG", "SET-ACTIVE-EXPIRE", 0)
        self.addCleanup(lambda: [server.client().must("DEBUG", "SET-ACTIVE-EXPIRE", 1) for server in self.servers])
        self.assertIs(self.expired(look=False), ABORTED)
        # Already expired at WATCH, though still in memory: it is as if it had never been there.
        a = self.pair()
        a("SET", A, "1", "PX", 20)
        self.wait_ms(30)
        a("WATCH", A)
        self.assertEqual(self.exec(a), [])
        a("WATCH", A)
        a("SET", A, "2")
        self.assertIs(self.exec(a), ABORTED)


class WatchOne(Watching, TransactionCase):
    threads = 1


class WatchTwo(Watching, TransactionCase):
    threads = 2


class WatchSeven(Watching, TransactionCase):
    threads = 7


if __name__ == "__main__":
    main()
