#!/usr/bin/env python3
"""MULTI, EXEC, DISCARD, WATCH and UNWATCH, to the byte: every script runs on sherd and on redis-server side by side, with 1, 2
and 7 threads (the keys lie on different shards).

In order: queueing and its errors; what EXEC answers; the end of a transaction by RESET, QUIT and disconnecting; commands on the
connection, on all shards and of every other kind inside; size; what other clients see of it; a client library. WATCH has its own
file, test_watch.py."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import unittest  # noqa: E402

try:
    import redis  # noqa: E402
except ImportError:
    redis = None

from support import resp  # noqa: E402
from support.beside import Own, TransactionCase, commands_of, multi, same_kind, text_of  # noqa: E402
from support.case import ServerCase, main, sherd_only, spread_keys, wait_until  # noqa: E402

OK, QUEUED, NIL, ABORTED = resp.OK, resp.Simple(b"QUEUED"), resp.NULL_BULK, resp.NULL_ARRAY
KEYS = spread_keys(7)
A, B, C = KEYS[0], KEYS[3], KEYS[6]
script = commands_of(A=A, B=B, C=C)
EXECABORT = "EXECABORT Transaction discarded because of previous errors."


class Queueing:
    def test_nothing_happens_before_exec(self):
        a, b = self.pairs_of(2)
        a("SET", A, "old")
        self.assertEqual(a.all(("MULTI",), ("SET", A, "new"), ("GET", A), ("DEL", B)), [OK, QUEUED, QUEUED, QUEUED])
        self.assertEqual(b("GET", A), b"old")
        self.assertEqual(a("EXEC"), [OK, b"new", 0])
        self.assertEqual(b("GET", A), b"new")

    def test_empty(self):
        a = self.pair()
        self.assertEqual(self.exec(a), [])
        self.assertEqual(a.all(("MULTI",), ("DISCARD",)), [OK, OK])

    def test_discard(self):
        a = self.pair()
        self.assertEqual(a.all(("MULTI",), ("SET", A, "1"), ("SELECT", 3), ("DISCARD",), ("GET", A)), [OK, QUEUED, QUEUED, OK, NIL])
        self.assertError(a("EXEC"), "ERR EXEC without MULTI")
        self.assertEqual(a("DBSIZE"), 0)

    def test_without_multi(self):
        a = self.pair()
        self.assertError(a("EXEC"), "ERR EXEC without MULTI")
        self.assertError(a("DISCARD"), "ERR DISCARD without MULTI")
        self.assertEqual(a("UNWATCH"), OK)

    def test_nested(self):
        """An error that does not spoil the transaction."""
        a = self.pair()
        a.all(("MULTI",), ("SET", A, "1"))
        self.assertError(a("MULTI"), "ERR MULTI calls can not be nested")
        a("SET", B, "2")
        self.assertIsInstance(a("EXEC"), (list, resp.Error))
        a("GET", A)

    def test_watch_inside(self):
        a, b = self.pairs_of(2)
        a("MULTI")
        self.assertError(a("WATCH", A), "ERR WATCH inside MULTI is not allowed")
        a("SET", B, "2")
        b("SET", A, "changed")
        a("EXEC")
        self.assertEqual(self.exec(a, ("UNWATCH",), ("PING",)), [OK, resp.Simple(b"PONG")])

    def test_arity(self):
        a = self.pair()
        for command in (("MULTI", "x"), ("EXEC", "x"), ("DISCARD", "x"), ("WATCH",), ("UNWATCH", "x")):
            self.assertIsInstance(a(*command), resp.Error)
            a("MULTI")
            self.assertIsInstance(a(*command), resp.Error)
            self.assertIsInstance(a("EXEC"), (list, resp.Error))
            a("DISCARD")

    def test_errors_while_queueing(self):
        """Each spoils the transaction, in which nothing is run then; the next one is a new one."""
        a = self.pair()
        bad = script(
            "NOSUCH x y; GET; SET A; MSET; GET A B; CLIENT FOO; CONFIG FOO; OBJECT FOO A; CLIENT; nosuch; "
            "''; CLIENT SETNAME; EXPIRE A")
        for command in bad:
            with self.subTest(command=command):
                self.assertEqual(a.all(("MULTI",), ("SET", A, "1")), [OK, QUEUED])
                self.assertIsInstance(a(*command), resp.Error)
                self.assertEqual(a("SET", B, "1"), QUEUED)
                self.assertError(a("EXEC"), EXECABORT)
                self.assertError(a("EXEC"), "ERR EXEC without MULTI")
                self.assertEqual(a("EXISTS", A, B), 0)
                self.assertEqual(a.all(("MULTI",), ("NOSUCH",))[0], OK)
                self.assertEqual(a.all(("SET", C, "x"), ("DISCARD",), ("GET", C)), [QUEUED, OK, NIL])

    def test_spoiled_and_unwatched(self):
        """EXECABORT ends the watch, too."""
        a, b = self.pairs_of(2)
        a.all(("WATCH", A), ("MULTI",), ("NOSUCH",))
        self.assertError(a("EXEC"), EXECABORT)
        b("SET", A, "1")
        self.assertEqual(self.exec(a, ("GET", A)), [b"1"])

    def test_spoiled_and_changed(self):
        """Both reasons at once: the error wins over the nil."""
        a, b = self.pairs_of(2)
        a.all(("WATCH", A), ("MULTI",), ("NOSUCH",))
        b("SET", A, "1")
        self.assertError(a("EXEC"), EXECABORT)

    def test_not_allowed_inside(self):
        """Every command that both know and that Redis marks as no_multi is refused when it would be queued."""
        a = self.pair()
        infos = {row[0]: row for row in self.observers[-1].must("COMMAND") if isinstance(row, list)}
        ours = {row[0] for row in self.observers[0].must("COMMAND") if isinstance(row, list)}
        for name, row in sorted(infos.items()):
            flags = {bytes(flag) for flag in row[2]}
            if b"no_multi" not in flags or name not in ours or name == b"watch":
                continue
            with self.subTest(command=name):
                arity = abs(row[1])
                a("MULTI")
                self.assertIsInstance(a(name, *["x"] * (arity - 1)), resp.Error)
                self.assertError(a("EXEC"), EXECABORT)

    def test_inline(self):
        a = self.pair()
        a.raw(b"MULTI\r\nSET k0 1\r\nGET k0\r\nFOO\r\nDISCARD\r\nMULTI\r\nINCR k0\r\nEXEC\r\n")
        self.assertEqual([a.reply() for _ in range(8)][-1], [1])

    def test_states_one_after_the_other(self):
        a = self.pair()
        replies = a.all(("SET", A, 1), *multi(("INCR", A)), ("GET", A), ("MULTI",), ("INCR", A), ("DISCARD",), ("GET", A), ("EXEC",),
                        *multi(("INCR", A), ("GET", A)))
        self.assertEqual(replies[3:5], [[2], b"2"])
        self.assertEqual(replies[8], b"2")
        self.assertEqual(replies[-1], [3, b"3"])


class Replies:
    def test_errors_while_running(self):
        """What fails while it runs is one reply among others; the rest is done."""
        a = self.pair()
        a.all(("SET", A, "text"), ("SET", C, "9223372036854775807"))
        reply = self.exec(a, *script(
            "SET B 1; INCR A; INCR B; INCR C; SETRANGE B -1 x; RENAME nosuch A; SELECT 99; EXPIRE B x; "
            "SET B 1 FOO; GET B"))
        self.assertError(reply[1], "ERR value is not an integer or out of range")
        self.assertError(reply[5], "ERR no such key")
        self.assertEqual((reply[2], reply[-1]), (2, b"2"))

    def test_several_shards(self):
        """Every way to use several keys, all at once; later commands see the earlier ones."""
        a = self.pair()
        pairs = [word for key in KEYS for word in (key, "v" + key)]
        reply = self.exec(a, ("MSET", *pairs), ("MGET", *KEYS), ("EXISTS", *KEYS), ("TOUCH", *KEYS), *script(
            "RENAME A z1; MGET A z1; COPY z1 A; COPY z1 A; COPY B A REPLACE; MSETNX A 1 new 2; MSETNX n1 1 n2 2 n3 3; RENAMENX n1 n2; "
            "RENAMENX n1 n4; DEL B nosuch n2; UNLINK n3 nosuch; MGET A B C z1 n1 n2 n3 n4; MOVE C 1; SELECT 1; GET C; SET C x; SELECT 0; "
            "GET C; DBSIZE; SET B w; LCS A B; APPEND A B; STRLEN A; GETDEL A; GETEX B PERSIST; SET B w GET; EXPIREAT B 4000000000; "
            "EXPIRETIME B"))
        self.assertEqual(reply[1], [b"v" + key.encode() for key in KEYS])
        self.assertEqual(reply[-1], 4000000000)

    def test_both_protocols(self):
        """RESP3 nulls, maps and doubles are inside, too; a nil EXEC is a null of the protocol."""
        for proto, nothing in ((2, ABORTED), (3, resp.NULL)):
            a, b = self.pair(proto), self.pair()
            reply = self.exec(a, *script("GET nosuch; MGET A nosuch; CONFIG GET appendonly; INCRBYFLOAT f 1.5"))
            self.assertEqual(len(reply), 4)
            a("WATCH", A)
            b("SET", A, proto)
            self.assertIs(self.exec(a, ("PING",)), nothing)

    def test_large_replies(self):
        a = self.pair()
        value = "x" * 20_000
        a("SET", B, value)
        reply = a.all(*multi(*[("GET", B)] * 300))[-1]
        self.assertEqual(reply, [value.encode()] * 300)

    def test_effects_are_seen_by_the_rest_of_the_pipeline(self):
        a = self.pair()
        commands = []
        for i in range(50):
            commands += script("SET A {0}; SET C {0}; MULTI; INCR A; INCR C; MSET B {0} e {0}; EXEC; MGET A B C e; GET C".format(i))
        replies = a.all(*commands)
        for i in range(50):
            now, then = b"%d" % i, b"%d" % (i + 1)
            self.assertEqual(replies[i * 9 + 6 : i * 9 + 9], [[i + 1, i + 1, OK], [then, now, then, now], then])


class Ends:
    def test_reset(self):
        a = self.pair()
        a.all(("SELECT", 2), ("MULTI",), ("SET", A, "1"))
        self.assertEqual(a("RESET"), resp.Simple(b"RESET"))
        self.assertError(a("EXEC"), "ERR EXEC without MULTI")
        self.assertEqual(a.all(("GET", A), ("SELECT", 2), ("GET", A)), [NIL, OK, NIL])

    def test_quit(self):
        a, b = self.pairs_of(2)
        a.all(("MULTI",), ("SET", A, "1"))
        self.assertEqual(a("QUIT"), OK)
        a.assertClosed()
        self.assertIs(b("GET", A), NIL)

    def test_disconnect(self):
        a, b, c = self.pairs_of(3)
        a.all(("WATCH", A, B), ("MULTI",), ("SET", A, "1"), ("SET", C, "1"))
        a.close()
        a.gone()
        self.assertEqual(b("EXISTS", A, B, C), 0)
        c.all(("WATCH", A), ("MULTI",), ("INCR", B))
        b("CLIENT", "KILL", "ID", c.id)
        c.assertClosed()
        self.assertEqual(b("EXISTS", A, B, C), 0)

    def test_protocol_error(self):
        a, b = self.pairs_of(2)
        a.all(("MULTI",), ("SET", A, "1"))
        a.raw(b"*1\r\n$x\r\n")
        self.assertIsInstance(a.reply(), resp.Error)
        a.assertClosed()
        self.assertIs(b("GET", A), NIL)

    def test_killed_by_itself(self):
        """CLIENT KILL of itself inside: the rest is done. (The reply of Redis ends with that of CLIENT KILL.)"""
        a, b = self.pairs_of(2)
        a.all(("MULTI",), ("SET", A, "1"), ("CLIENT", "KILL", "ID", a.id, "SKIPME", "no"), ("SET", B, "1"))
        a.send("EXEC")
        for side in a.sides:
            self.assertEqual(side.read_to_end()[:13], b"*3\r\n+OK\r\n:1\r\n"[:13])
        self.assertEqual(b("EXISTS", A, B), 2)


class Inside:
    def test_select(self):
        a = self.pair()
        self.assertEqual(self.exec(a, ("SELECT", 1), ("SET", A, "one"), ("SELECT", 2), ("SET", A, "two")), [OK] * 4)
        self.assertEqual(a("GET", A), b"two")
        self.assertEqual(self.exec(a, ("SELECT", 1), ("GET", A), ("SELECT", 99), ("GET", A), ("SELECT", 0))[3], b"one")
        self.assertIs(a("GET", A), NIL)

    def test_connection(self):
        a, b = self.pairs_of(2)
        reply = self.exec(a, *script(
            "PING; PING x; ECHO y; CLIENT SETNAME me; CLIENT GETNAME; CLIENT NO-EVICT ON; CLIENT NO-EVICT "
            "OFF; AUTH x; CLIENT REPLY ON; CLIENT UNPAUSE"))
        self.assertEqual(reply[4], b"me")
        self.assertEqual(self.exec(a, ("CLIENT", "ID"), like=same_kind), [a.id[0]])
        reply = self.exec(a, ("CLIENT", "INFO"), ("CLIENT", "LIST"), ("TIME",), ("COMMAND", "COUNT"), like=same_kind)
        self.assertEqual([type(part) for part in reply], [bytes, bytes, list, int])
        self.assertEqual(self.exec(a, ("CLIENT", "KILL", "ID", b.id)), [1])
        b.assertClosed()

    def test_hello(self):
        """The protocol changes in the middle of the reply of EXEC."""
        a = self.pair()
        like = lambda x, y: len(x) == len(y) and x[0] is y[0] and x[2] is y[2]  # noqa: E731
        reply = self.exec(a, ("GET", "nosuch"), ("HELLO", 3), ("GET", "nosuch"), like=like)
        self.assertIs(reply[0], NIL)
        self.assertIsInstance(reply[1], resp.Map)
        self.assertIs(reply[2], resp.NULL)
        reply = self.exec(a, ("CONFIG", "GET", "appendonly"), ("HELLO", 2), ("CONFIG", "GET", "appendonly"), like=same_kind)
        self.assertEqual((type(reply[0]), type(reply[2])), (resp.Map, list))
        self.assertIsInstance(self.exec(a, ("HELLO", 9), ("HELLO", 2, "AUTH"), like=same_kind)[0], resp.Error)

    def test_whole_databases(self):
        a = self.pair()
        a("MSET", *[word for key in KEYS for word in (key, "x")])
        by_name = lambda x, y: len(x) == len(y) and all(p == q or sorted(p) == sorted(q) for p, q in zip(x, y))  # noqa: E731
        reply = self.exec(a, *script(
            "DBSIZE; KEYS *; DEL A; DBSIZE; KEYS k*; KEYS nosuch*; FLUSHDB; DBSIZE; RANDOMKEY; KEYS *; "
            "SET A 1; RANDOMKEY; SWAPDB 0 1; GET A; DBSIZE; SELECT 1; GET A; FLUSHALL ASYNC; DBSIZE; "
            "SELECT 0"), like=by_name)
        self.assertEqual(reply[0], 7)
        self.assertEqual(len(reply[1]), 7)
        self.assertEqual(reply[11:14], [A.encode(), OK, NIL])
        self.assertEqual(reply[-2], 0)

    def test_scan(self):
        """A whole iteration in one transaction is not possible, since a cursor comes out of a reply; but each step is."""
        a = self.pair()
        a("MSET", *[word for i in range(300) for word in ("s%d" % i, i)])
        for side in a.sides:
            found, cursor = set(), b"0"
            while True:
                replies = side.pipeline(multi(("SCAN", cursor, "COUNT", 20), ("PING",)))
                cursor, part = replies[-1][0]
                found.update(part)
                if cursor == b"0":
                    break
            self.assertEqual(len(found), 300)

    def test_server(self):
        a = self.pair()
        a("SET", A, "12345")
        kinds = lambda x, y: [type(p) for p in x] == [type(p) for p in y]  # noqa: E731
        reply = self.exec(a, *script(
            "INFO; INFO keyspace; CONFIG GET maxclients; CONFIG SET slowlog-log-slower-than 20000; CONFIG "
            "SET nosuch 1; COMMAND INFO get; COMMAND GETKEYS MSET a 1 b 2; MEMORY USAGE A; OBJECT "
            "ENCODING A; OBJECT HELP; SLOWLOG LEN; LATENCY HISTOGRAM get; DEBUG OBJECT A; CONFIG "
            "RESETSTAT; DUMP A; ACL WHOAMI; LOLWUT; COMMAND DOCS get; CLIENT PAUSE 0; WAIT 0 0"), like=kinds)
        self.assertIn(b"redis_version", text_of(reply[0]))
        self.assertEqual(reply[6], [b"a", b"b"])

    def test_restore(self):
        a = self.pair()
        a("SET", A, "payload")
        payload = Own(side.must("DUMP", A) for side in a.sides)
        restore = ("RESTORE", B, 0, payload)
        self.assertEqual(self.exec(a, restore, restore, ("GET", B), ("RESTORE", C, 0, "bad"))[2], b"payload")

    def test_lists(self):
        self.needs("LPUSH", "LMOVE", "LMPOP")
        a = self.pair()
        reply = self.exec(a, *script(
            "RPUSH A a b c d; LMOVE A C LEFT RIGHT; RPOPLPUSH A B; LRANGE A 0 -1; LMPOP 3 nosuch A B "
            "RIGHT COUNT 5; LLEN A; EXISTS A B C; LPOP C 2; TYPE C; SET C x; LPUSH C x; RENAME B C; "
            "LINDEX C 0"))
        self.assertEqual(reply[-1], b"d")

    def test_blocking_commands_do_not_block(self):
        self.needs("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP")
        for proto in (2, 3):
            a = self.pair(proto)
            a("FLUSHALL")
            a("SET", "string", "x")
            reply = self.exec(a, *script(
                "BLPOP A B C 0; BRPOP A 100; BLMOVE A B LEFT RIGHT 0; BRPOPLPUSH A B 0; BLMPOP 0 2 A B "
                "LEFT; BLPOP A string 0; BLPOP A x; BLPOP A -1; RPUSH B 1 2 3 4 5 6; BLPOP A B C 0; BRPOP "
                "C B 0; BLMOVE B C LEFT RIGHT 0; BRPOPLPUSH B C 0; BLMPOP 0 2 A B RIGHT COUNT 9; BLPOP B "
                "C 0.5; BLMOVE C string LEFT LEFT 0; LRANGE C 0 -1"))
            self.assertEqual(reply[9], [B.encode(), b"1"])
            self.assertEqual(reply[-1], [b"2"])

    def test_client_reply(self):
        """Silence that began before MULTI covers all of it; so does a silence that ends with it."""
        a = self.pair()
        a.send_all(("CLIENT", "REPLY", "OFF"), *multi(("SET", A, "1"), ("INCR", A)), ("CLIENT", "REPLY", "ON"), ("GET", A))
        self.assertEqual([a.reply(), a.reply()], [OK, b"2"])
        a.send_all(("CLIENT", "REPLY", "SKIP"), ("MULTI",), ("INCR", A), ("INCR", A), ("EXEC",))
        self.assertEqual([a.reply(), a.reply(), a.reply()], [QUEUED, QUEUED, [3, 4]])
        a.send_all(("MULTI",), ("INCR", A), ("CLIENT", "REPLY", "SKIP"), ("EXEC",), ("PING",))

    def test_client_reply_off_inside(self):
        """What Redis sends then is no longer a valid reply, and a client that does this knows it."""
        a, b = self.pairs_of(2)
        a.send_all(*script("MULTI; SET A 1; CLIENT REPLY OFF; SET B 1; EXEC; SET C 1; CLIENT REPLY ON; PING"))
        for side in a.sides:
            got = b""
            while not got.endswith(b"+PONG\r\n"):
                got += side.read_bytes(1)
        self.assertEqual(b("MGET", A, B, C), [b"1"] * 3)


class Sizes:
    def test_many_transactions_in_a_pipeline(self):
        a = self.pair()
        commands = []
        for i in range(400):
            commands += multi(("INCR", KEYS[i % 7]), ("INCR", KEYS[(i + 3) % 7]), ("MGET", *KEYS[:3]))
        commands.insert(1000, ("PING",))
        a.all(*commands)

    @sherd_only
    def test_size_is_limited(self):
        """What MULTI keeps counts as input (client-query-buffer-limit); it was not limited at all."""
        client, other = self.client(), self.observers[0]
        other.must("CONFIG", "SET", "client-query-buffer-limit", "2mb")
        client.pipeline(multi(*[("SET", A, "x" * 100_000)] * 15))
        client.must("MULTI")
        kept = 0
        with self.assertRaises((OSError, resp.Closed)):
            while kept < 30:
                self.assertEqual(client.call("SET", A, "y" * 100_000), QUEUED)
                kept += 1
        self.assertIn(kept, (20, 21))
        other.must("CONFIG", "SET", "client-query-buffer-limit", "1gb")
        self.assertEqual(other.must("GETRANGE", A, 0, 2), b"xxx")

    def test_huge(self):
        """10,000 commands in one transaction, over 1000 keys."""
        a = self.pair()
        commands = [("SET", "h%d" % (i % 1000), i) if i % 3 else ("GET", "h%d" % (i * 7 % 1000)) for i in range(10_000)]
        replies = a.all(*multi(*commands))
        self.assertEqual(len(replies[-1]), 10_000)
        a("MGET", *["h%d" % i for i in range(1000)])
        a.all(("MULTI",), *commands[:3000])
        self.assertEqual(a("DISCARD"), OK)

    def test_many_keys(self):
        a = self.pair()
        names = ["m%d" % i for i in range(2000)]
        twice = [word for name in names for word in (name, name)]
        reply = a.all(*multi(("MSET", *twice), ("MGET", *names), ("DEL", *names), ("EXISTS", *names)))[-1]
        self.assertEqual(reply, [OK, [name.encode() for name in names], 2000, 0])

    def test_large_values(self):
        a = self.pair()
        large = [bytes([65 + i]) * (1 << 20) for i in range(6)]
        replies = a.all(*multi(*[("SET", key, value) for key, value in zip(KEYS, large)], *[("GETRANGE", key, -10, -1) for key in KEYS[:6]],
                               ("MGET", *KEYS[:3])))
        self.assertEqual(replies[-1][-1], large[:3])
        self.assertEqual(a.all(("MULTI",), ("SET", A, large[5]), ("DISCARD",), ("STRLEN", A), ("GETRANGE", A, 0, 0))[-1], b"A")

    def test_slow_arrival(self):
        """A transaction that comes byte by byte."""
        a = self.pair()
        data = b"".join(map(resp.encode, multi(("SET", A, "1"), ("MSET", B, "2", C, "3"), ("MGET", *KEYS))))
        for i in range(len(data)):
            a.raw(data[i : i + 1])
        self.assertEqual([a.reply() for _ in range(5)][-1][1], OK)


class Others:
    def test_client_list(self):
        """multi= counts what is queued (-1: none), and flags show x. (Redis also shows at once, by d, that a watched key has changed;
        sherd finds out at EXEC.)"""
        a, b = self.pairs_of(2)
        see = lambda *names: [[a.line(n)[name] for name in names] for n in range(len(a.sides))]  # noqa: E731
        both = lambda *values: [list(values)] * len(a.sides)  # noqa: E731
        self.assertEqual(see("multi", "flags"), both("-1", "N"))
        a("MULTI")
        self.assertEqual(see("multi", "flags"), both("0", "x"))
        a.all(("SET", A, "1"), ("GET", A))
        self.assertEqual(see("multi", "flags"), both("2", "x"))
        a("EXEC")
        a("WATCH", A)
        self.assertEqual(see("multi", "flags"), both("-1", "N"))
        b("SET", A, "2")
        a("UNWATCH")
        self.assertEqual(see("multi", "flags"), both("-1", "N"))

    def test_pause(self):
        """CLIENT PAUSE WRITE holds back an EXEC that writes, and no other."""
        boss, reader, writer = self.pairs_of(3)
        reader.all(("MULTI",), ("GET", A))
        writer.all(("MULTI",), ("SET", A, "1"))
        boss("CLIENT", "PAUSE", 100_000, "WRITE")
        self.assertEqual(reader("EXEC"), [NIL])
        writer.send("EXEC")
        self.assertIs(reader("GET", A), NIL)
        writer.quiet()
        boss("CLIENT", "UNPAUSE")
        self.assertEqual(writer.reply(), [OK])
        self.assertEqual(reader("GET", A), b"1")

    def test_password(self):
        boss = self.pair()
        boss("CONFIG", "SET", "requirepass", "secret")
        try:
            a = [server.client() for server in self.servers]
            for command in (("MULTI",), ("WATCH", A), ("EXEC",), ("DISCARD",), ("UNWATCH",)):
                replies = [client.call(*command) for client in a]
                self.assertIn(b"NOAUTH", bytes(replies[0]))
                self.assertEqual(replies[0], replies[-1])
        finally:
            boss("CONFIG", "SET", "requirepass", "")


class Transactions(Queueing, Replies, Ends, Inside, Sizes, Others):
    pass


class TransactionsOne(Transactions, TransactionCase):
    threads = 1


class TransactionsTwo(Transactions, TransactionCase):
    threads = 2


class TransactionsSeven(Transactions, TransactionCase):
    threads = 7


class StandsInLine(ServerCase):
    """EXEC whose keys are held by another one, which takes its time."""

    threads = 1

    def test_commands_of_the_connection(self):
        """SELECT in it needs its client, later, too: with one thread the server crashed."""
        slow, late, other = self.client(), self.client(), self.client()
        slow.send(b"".join(resp.encode(command) for command in multi(("SET", A, "1"), ("DEBUG", "SLEEP", "0.2"), ("SET", B, "1"))))
        wait_until(lambda: b"gathers:1" in text_of(other.must("DEBUG", "TXN")), what="the transaction to hold its keys")
        replies = late.pipeline(multi(("GET", B), ("PING",), ("SELECT", 1), ("SET", A, "2"), ("CLIENT", "GETNAME")) + [("GET", A)])
        self.assertEqual(replies[-2:], [[b"1", resp.Simple(b"PONG"), OK, OK, NIL], b"2"])
        self.assertEqual(other.must("GET", A), b"1")


class StandsInLineTwo(StandsInLine):
    threads = 2


@unittest.skipUnless(redis, "python3-redis is not installed")
class PythonRedis(ServerCase):
    def setUp(self):
        super().setUp()
        self.needs("MULTI", "WATCH")
        self.redis = redis.Redis(port=self.server.port)
        self.addCleanup(self.redis.close)
        self.redis.flushall()

    def test_pipeline(self):
        pipe = self.redis.pipeline(transaction=True)
        pipe.set("a", 1).incr("a").mget("a", "nosuch").delete("a")
        self.assertEqual(pipe.execute(), [True, 2, [b"2", None], 1])
        pipe.set("a", "text").incr("a").set("b", 1)
        with self.assertRaises(redis.ResponseError):
            pipe.execute()
        self.assertEqual(self.redis.get("b"), b"1")
        pipe.execute_command("NOSUCH").set("c", 1)
        with self.assertRaises(redis.ResponseError):
            pipe.execute()
        self.assertIsNone(self.redis.get("c"))

    def test_watch(self):
        with self.redis.pipeline() as pipe:
            pipe.watch("a")
            self.assertIsNone(pipe.get("a"))
            self.redis.set("a", 1)
            pipe.multi()
            pipe.set("a", 5)
            with self.assertRaises(redis.WatchError):
                pipe.execute()
        self.assertEqual(self.redis.get("a"), b"1")

    def test_transaction(self):
        """The helper tries again until it fits."""
        tries = []

        def double(pipe):
            value = int(pipe.get("a"))
            if not tries:
                self.redis.incr("a")
            tries.append(value)
            pipe.multi()
            pipe.set("a", value * 2)
            pipe.get("a")

        self.redis.set("a", 3)
        self.assertEqual(self.redis.transaction(double, "a"), [True, b"8"])
        self.assertEqual(tries, [3, 4])

    def test_lock(self):
        self.needs("SET")
        with self.redis.pipeline() as pipe:
            pipe.set("lock", "me", nx=True, px=10_000).set("lock", "you", nx=True).pttl("lock")
            first, second, left = pipe.execute()
        self.assertTrue(first and second is None and 0 < left <= 10_000)
        wait_until(lambda: self.redis.get("lock") == b"me", what="the lock")


if __name__ == "__main__":
    main()
