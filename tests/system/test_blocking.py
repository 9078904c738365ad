#!/usr/bin/env python3
"""BLPOP, BRPOP, BLMOVE, BRPOPLPUSH and BLMPOP: every script runs on sherd and on redis-server side by side, with 1, 2 and 7
threads (the keys lie on different shards).

In order: what does not wait; timeouts and their errors; who is served, with what, in which order; what wakes and what does not;
moves that wake others; CLIENT UNBLOCK, KILL and closed connections; what is seen from outside; what waits behind a blocked
command; transactions, pauses, watches; crowds. No sleeps: a client counts as blocked when CLIENT LIST says so."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import time  # noqa: E402

from support import resp  # noqa: E402
from support.beside import BesideCase, Own, commands_of, multi  # noqa: E402
from support.case import Server, info_field, main, sherd_only, spread_keys, wait_until  # noqa: E402

OK, NIL, NONE = resp.OK, resp.NULL_BULK, resp.NULL_ARRAY
KEYS = spread_keys(7)
A, B, C, D = KEYS[0], KEYS[2], KEYS[4], KEYS[6]
script = commands_of(A=A, B=B, C=C, D=D)
UNBLOCKED = "UNBLOCKED client unblocked via CLIENT UNBLOCK"
WRONGTYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


def waits(key, timeout=0, other=B):
    """Each command that waits for `key`, and its reply when "x" is pushed there."""
    name = key.encode()
    return [(("BLPOP", key, timeout), [name, b"x"]), (("BRPOP", key, timeout), [name, b"x"]),
            (("BLMOVE", key, other, "LEFT", "RIGHT", timeout), b"x"), (("BRPOPLPUSH", key, other, timeout), b"x"),
            (("BLMPOP", timeout, 1, key, "LEFT"), [name, [b"x"]])]


class Case(BesideCase):
    required = ("BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "LPUSH", "LMOVE", "MULTI", "client|unblock")


class Immediate:
    def test_data_is_there(self):
        a = self.pair()
        a("RPUSH", B, *range(20))
        for command in script(
            "BLPOP B 0; BRPOP A B 0; BLPOP A B C 0; BLMOVE B C LEFT LEFT 0; BLMOVE B B LEFT RIGHT 0; "
            "BRPOPLPUSH B C 0; BLMPOP 0 1 B LEFT; BLMPOP 0 3 A B C RIGHT COUNT 3; blmove B C right left "
            "0; BLMPOP 0 1 C left count 100; BLPOP B B 0"):
            a(*command)
        a.all(("LRANGE", B, 0, -1), ("LRANGE", C, 0, -1), ("EXISTS", *KEYS))

    def test_leftmost_key_wins(self):
        a = self.pair()
        for keys in ((A, B, C), (C, B, A), (D, B, A), (B, A), (D, D, C)):
            a.all(("FLUSHALL",), ("RPUSH", A, "a"), ("RPUSH", B, "b"), ("RPUSH", C, "c"))
            first = next(key for key in keys if key in (A, B, C))
            self.assertEqual(a("BLPOP", *keys, 0), [first.encode(), {A: b"a", B: b"b", C: b"c"}[first]])
            a("BLMPOP", "0.01", len(keys), *keys, "RIGHT")

    def test_empty_lists_vanish(self):
        a = self.pair()
        a.all(*script("RPUSH A 1; BLPOP A 0; EXISTS A; RPUSH A 1; BLMOVE A B LEFT LEFT 0; EXISTS A B; RPUSH A 1 2; "
                      "BLMPOP 0 1 A LEFT COUNT 2; TYPE A"))

    def test_wrong_types(self):
        a = self.pair()
        a.all(("SET", A, "string"), ("RPUSH", B, "1"))
        for command in script("BLPOP A 0; BLPOP A B 0; BLPOP C A B 0; BRPOP A 0; BLMOVE A B LEFT LEFT 0; BLMOVE B A LEFT LEFT 0; "
                              "BRPOPLPUSH A B 0; BRPOPLPUSH B A 0; BLMPOP 0 2 A B LEFT"):
            self.assertError(a(*command), WRONGTYPE)
        self.assertEqual(a("BLPOP", B, A, 0), [B.encode(), b"1"])

    def test_resp3(self):
        a = self.pair(3)
        a("RPUSH", A, "1", "2", "3")
        a.all(("BLPOP", A, 0), ("BLMPOP", 0, 1, A, "LEFT"), ("BLMOVE", A, B, "LEFT", "LEFT", 0))
        for command, _ in waits(A, "0.01"):
            self.assertIs(a(*command), resp.NULL)


class Timeouts:
    def test_they_end(self):
        """Nil after the time and not before."""
        a = self.pair()
        for command, _ in waits(A, "0.05"):
            began = time.monotonic()
            self.assertIn(a(*command), (NIL, NONE))
            self.assertGreaterEqual(time.monotonic() - began, 0.045)
        self.assertEqual(a("DBSIZE"), 0)

    def test_order_of_ends(self):
        """The shorter ends first, whoever came first; who waits for ever is still there."""
        late, early, forever = self.pairs_of(3)
        forever.block("BLPOP", A, 0)
        late.block("BLPOP", A, B, "0.4")
        early.send("BLPOP", A, "0.1")
        self.assertIs(early.reply(), NONE)
        late.quiet()
        self.assertIs(late.reply(), NONE)
        forever.quiet()
        self.assertEqual(self.pair()("RPUSH", A, "x"), 1)
        self.assertEqual(forever.reply(), [A.encode(), b"x"])

    def test_errors(self):
        """Found before the keys are looked at."""
        a = self.pair()
        a("SET", A, "string")
        for timeout in ("-1", "-0.001", "abc", "", " 1", "1 ", "nan", "1e400", "9223372036854775807", "9223372036854776", "1e18", "0x",
                        "1,5", "--1", "1\0"):
            for command, _ in waits(A, timeout):
                with self.subTest(command=command):
                    self.assertIsInstance(a(*command), resp.Error)
        self.assertError(a("BLPOP", A, "-1"), "ERR timeout is negative")
        self.assertError(a("BLPOP", A, "abc"), "ERR timeout is not a float or out of range")

    def test_spellings(self):
        """With data there, a valid timeout is never waited for."""
        a = self.pair()
        for timeout in ("0", "0.0", "1", "0.1", "1e-3", "1e3", ".5", "5.", "+1", "0x10", "-0", "00", "1000000000", "9007199254740",
                        "0.0000001", "1E2"):
            for command, _ in waits(B, timeout, C):
                with self.subTest(command=command):
                    a.all(("DEL", B, C), ("RPUSH", B, "x"))
                    a(*command)

    def test_syntax(self):
        a = self.pair()
        a("RPUSH", A, "1", "2", "3")
        for command in script(
            "BLPOP A; BLPOP; BRPOP 0; BLMOVE A B LEFT LEFT; BLMOVE A B LEFT UP 0; BLMOVE A B '' LEFT 0; "
            "BLMOVE A B X LEFT x; BRPOPLPUSH A B; BRPOPLPUSH A B x; BLMPOP 0 0 A LEFT; BLMPOP 0 -1 A "
            "LEFT; BLMPOP 0 x A LEFT; BLMPOP 0 2 A LEFT; BLMPOP 0 1 A; BLMPOP 0 1 A UP; BLMPOP 0 1 A LEFT "
            "COUNT; BLMPOP 0 1 A LEFT COUNT 0; BLMPOP 0 1 A LEFT COUNT -1; BLMPOP 0 1 A LEFT COUNT x; "
            "BLMPOP 0 1 A LEFT COUNT 1 COUNT 1; BLMPOP 0 1 A LEFT FOO; BLMPOP x 1 A LEFT; BLMPOP -1 1 A "
            "LEFT; BLMPOP 0 99999999999999999999 A LEFT; BLMPOP 0 1 A LEFT RIGHT"):
            with self.subTest(command=command):
                self.assertIsInstance(a(*command), resp.Error)
        self.assertEqual(a("LLEN", A), 3)


class Serving:
    def test_each_command(self):
        a, b = self.pairs_of(2)
        for n, (command, reply) in enumerate(waits(A)):
            a.block(*command)
            self.assertEqual(b("LPUSH" if n % 2 else "RPUSH", A, "x"), 1)
            self.assertEqual(a.reply(), reply)
            b("EXISTS", A)
        b("LRANGE", B, 0, -1)

    def test_longest_waiting_first(self):
        clients, b = self.pairs_of(6), self.pair()
        for n, client in enumerate(clients):
            client.block("BLPOP", *[A, C][:: 1 if n % 2 else -1], B, 0)
        for n, key in enumerate((A, B, C, A, B, C)):
            b("RPUSH", key, n)
            self.assertEqual(clients[n].reply(), [key.encode(), b"%d" % n])
            for later in clients[n + 1 :]:
                later.quiet()

    def test_one_push_for_many(self):
        """Elements go to the waiting from the side they ask for; what is left stays."""
        clients, b = self.pairs_of(4), self.pair()
        for client, command in zip(clients, script("BLPOP A 0; BRPOP A 0; BLMPOP 0 1 A LEFT COUNT 2; BLPOP A 0")):
            client.block(*command)
        self.assertEqual(b("RPUSH", A, *range(1, 9)), 8)
        self.assertEqual([client.reply()[1] for client in clients], [b"1", b"8", [b"2", b"3"], b"4"])
        self.assertEqual(b("LRANGE", A, 0, -1), [b"5", b"6", b"7"])

    def test_lpush_of_several(self):
        """The pop comes after the whole push."""
        a, b = self.pairs_of(2)
        a.block("BLPOP", A, 0)
        b("LPUSH", A, "1", "2", "3")
        self.assertEqual(a.reply(), [A.encode(), b"3"])

    def test_several_shards_served_once(self):
        a, b = self.pairs_of(2)
        for i, key in enumerate(KEYS):
            a.block("BLPOP", *KEYS, 0)
            b("RPUSH", key, i)
            self.assertEqual(a.reply(), [key.encode(), b"%d" % i])
        a.block("BLPOP", *KEYS, 0)
        b.all(*[("RPUSH", key, "y") for key in KEYS])
        a.reply(like=lambda x, y: x[1] == y[1])
        self.assertEqual([len(side.must("KEYS", "*")) for side in b.sides], [6] * len(b.sides))

    def test_same_key_twice(self):
        a, b = self.pairs_of(2)
        a.block("BLPOP", A, A, B, A, 0)
        b("RPUSH", A, "1", "2", "3")
        self.assertEqual(a.reply(), [A.encode(), b"1"])
        self.assertEqual(b("LLEN", A), 2)
        a("PING")

    def test_databases(self):
        a, b = self.pairs_of(2)
        a("SELECT", 1)
        a.block("BLPOP", A, 0)
        b("RPUSH", A, "zero")
        a.quiet()
        b.all(("SELECT", 1), ("RPUSH", A, "one"))
        self.assertEqual(a.reply(), [A.encode(), b"one"])

    def test_count(self):
        """BLMPOP takes what is there, up to COUNT."""
        a, b = self.pairs_of(2)
        for count, pushed in ((10, 3), (2, 3), (1, 1)):
            a.block("BLMPOP", 0, 2, B, A, "RIGHT", "COUNT", count)
            b("RPUSH", A, *range(pushed))
            a.reply()
            b.all(("LRANGE", A, 0, -1), ("DEL", A))

    def test_again_and_again(self):
        a, b = self.pairs_of(2)
        for i in range(30):
            a.block("BLPOP", *KEYS[i % 3 :], 0)
            b("RPUSH", KEYS[3 + i % 4], i)
            a.reply()


class Waking:
    def wakes(self, *commands, before=(), reply=(A.encode(), b"x"), command=("BLPOP", A, 0)):
        with self.subTest(commands=commands, before=before):
            a, b = self.pairs_of(2)
            b.all(("FLUSHALL",), ("SELECT", 0), *before)
            a.block(*command)
            b.all(*commands)
            self.assertEqual(a.reply(), list(reply))
            b.all(("SELECT", 0), ("LRANGE", A, 0, -1), ("EXISTS", *KEYS))
            a.close()
            b.close()

    def test_every_way_to_come_into_being(self):
        source = [("RPUSH", B, "x", "y")]
        self.wakes(("RPUSH", A, "x"))
        self.wakes(("LPUSH", A, "x"))
        self.wakes(("RENAME", B, A), before=source)
        self.wakes(("RENAMENX", B, A), before=source)
        self.wakes(("COPY", B, A), before=source)
        self.wakes(("COPY", B, A, "REPLACE"), before=source)
        self.wakes(("SELECT", 1), ("RPUSH", A, "x"), ("MOVE", A, 0))
        self.wakes(("SELECT", 1), ("RPUSH", A, "x"), ("COPY", A, A, "DB", 0))
        self.wakes(("LMOVE", B, A, "LEFT", "LEFT"), before=source)
        self.wakes(("RPOPLPUSH", B, A), before=[("RPUSH", B, "y", "x")])
        self.wakes(("BLMOVE", B, A, "LEFT", "LEFT", 0), before=source)
        self.wakes(("SWAPDB", 0, 1), before=[("SELECT", 1), ("RPUSH", A, "x", "y"), ("SELECT", 0)])
        self.wakes(("SWAPDB", 1, 0), before=[("SELECT", 1), ("RPUSH", A, "x"), ("SELECT", 0)])
        self.wakes(("SET", A, "string"), ("DEL", A), ("RPUSH", A, "x"))
        self.wakes(("SET", A, "string"), ("RENAME", B, A), before=source)
        self.wakes(("FLUSHALL",), ("RPUSH", A, "x"))

    def test_restore(self):
        a, b = self.pairs_of(2)
        b("RPUSH", B, "x", "y")
        payload = Own(side.must("DUMP", B) for side in b.sides)
        a.block("BRPOP", A, 0)
        b("RESTORE", A, 0, payload)
        self.assertEqual(a.reply(), [A.encode(), b"y"])
        b("LRANGE", A, 0, -1)

    def test_what_does_not_wake(self):
        a, b = self.pairs_of(2)
        payload = Own(side.must("SET", B, "x") and side.must("DUMP", B) for side in b.sides)
        a.block("BLPOP", A, C, 0)
        for command in script(
                "SET A x; DEL A; RENAME B A; DEL A; RESTORE A 0 PAYLOAD; DEL A; LPUSHX A x; RPUSHX A x; LINSERT A BEFORE x y; SELECT 1; "
                "RPUSH A x; SELECT 0; FLUSHALL; SWAPDB 0 1; SWAPDB 0 1; RPUSH B x; EXPIRE A 10; SET A x PX 1"):
            b(*[payload if word == "PAYLOAD" else word for word in command])
        self.wait_ms(5)
        b.all(*script("MULTI; RPUSH A x; LPOP A; EXEC; MULTI; RPUSH A x; DEL A; EXEC; MULTI; RPUSH C x; RENAME C D; EXEC; "
                      "MULTI; RPUSH A x; FLUSHDB; EXEC; MULTI; RPUSH A x; DEL A; SET A x; EXEC; DEL A"))
        a.quiet()
        b("RPUSH", A, "z")
        self.assertEqual(a.reply(), [A.encode(), b"z"])

    def test_exec_serves_at_its_end(self):
        """The waiting gets what is there when all is done, not what was there for a moment."""
        a, b = self.pairs_of(2)
        for inside, got in (("RPUSH A 1 2 3; LPOP A", b"2"), ("RPUSH A 1; LPUSH A 0", b"0"), ("RPUSH A 1; DEL A; RPUSH A 2", b"2"),
                            ("RPUSH B 1; RENAME B A; LPUSH A 5", b"5"), ("SET A x; DEL A; RPUSH A 1; LSET A 0 7", b"7"),
                            ("RPUSH A 1; SELECT 3; SELECT 0", b"1")):
            b("DEL", A)
            a.block("BLPOP", A, 0)
            self.assertIsInstance(b.all(*multi(*script(inside)))[-1], list)
            self.assertEqual(a.reply(), [A.encode(), got])

    def test_key_that_was_pushed_first(self):
        """Several keys become ready in one transaction: the one written first counts, not the one named first. Over several shards
        that order is Redis's own: sherd serves a key that is ready, and the others keep what they got."""
        for order in ((2, 1, 0), (0, 2), (1, 0, 2), (3, 0)):
            near, far = ["{near}%d" % i for i in range(4)], [A, B, C, D]
            for keys, exact in ((near, True), (far, self.threads == 1)):
                a, b = self.pairs_of(2)
                b("FLUSHALL")
                a.block("BLPOP", *keys, 0)
                b.all(*multi(*[("RPUSH", keys[i], "v%d" % i) for i in order]))
                ready = [[keys[i].encode(), b"v%d" % i] for i in order]
                got = a.reply(like=None if exact else lambda x, y: x in ready and y in ready)
                self.assertIn(got, ready[:1] if exact else ready)
                for side in b.sides:
                    self.assertEqual(side.must("DBSIZE"), len(order) - 1)

    def test_two_clients_two_keys_one_exec(self):
        for first, second, exact in (("{near}1", "{near}2", True), (A, D, self.threads == 1)):
            a, b, c = self.pairs_of(3)
            b("FLUSHALL")
            a.block("BLPOP", first, second, 0)
            c.block("BRPOP", second, first, 0)
            b.all(*multi(("RPUSH", second, "1", "2"), ("RPUSH", first, "3", "4")))
            like = None if exact else lambda x, y: True
            got = [a.reply(like=like)[1], c.reply(like=like)[1]]
            left = b.all(("LRANGE", first, 0, -1), ("LRANGE", second, 0, -1)) if exact else [
                b.sides[0].must("LRANGE", key, 0, -1) for key in (first, second)]
            self.assertEqual(sorted(got + left[0] + left[1]), [b"1", b"2", b"3", b"4"])
            if exact:
                self.assertEqual(got, [b"1", b"2"])

    def test_wrong_type_meanwhile(self):
        """A key that becomes something else while a client waits is ignored until it is a list."""
        a, b = self.pairs_of(2)
        a.block("BLMPOP", 0, 2, A, B, "LEFT")
        b("SET", A, "x")
        a.quiet()
        b("RPUSH", B, "1")
        self.assertEqual(a.reply(), [B.encode(), [b"1"]])


class Moving:
    def test_chain(self):
        """a -> b -> c -> somebody: one push sets all of it in motion."""
        first, second, third, b = self.pairs_of(4)
        first.block("BLMOVE", A, B, "LEFT", "RIGHT", 0)
        second.block("BRPOPLPUSH", B, C, 0)
        third.block("BLPOP", C, 0)
        b("RPUSH", A, "x")
        self.assertEqual((first.reply(), second.reply(), third.reply()), (b"x", b"x", [C.encode(), b"x"]))
        self.assertEqual(b("EXISTS", A, B, C), 0)

    def test_chain_backwards(self):
        """The same when they came in the other order."""
        first, second, third, b = self.pairs_of(4)
        third.block("BLPOP", C, 0)
        second.block("BLMOVE", B, C, "LEFT", "RIGHT", 0)
        first.block("BLMOVE", A, B, "LEFT", "RIGHT", 0)
        b("RPUSH", A, "x", "y")
        self.assertEqual((first.reply(), second.reply(), third.reply()), (b"x", b"x", [C.encode(), b"x"]))
        self.assertEqual(b("LRANGE", A, 0, -1), [b"y"])

    def test_circle(self):
        one, two, three, b = self.pairs_of(4)
        one.block("BLMOVE", A, B, "LEFT", "RIGHT", 0)
        two.block("BLMOVE", B, C, "LEFT", "RIGHT", 0)
        three.block("BLMOVE", C, A, "LEFT", "RIGHT", 0)
        b("RPUSH", B, "x")
        self.assertEqual((two.reply(), three.reply(), one.reply()), (b"x", b"x", b"x"))
        self.assertEqual(b("LRANGE", B, 0, -1), [b"x"])

    def test_onto_itself(self):
        a, b = self.pairs_of(2)
        a.block("BLMOVE", A, A, "LEFT", "RIGHT", 0)
        b("RPUSH", A, "1", "2")
        self.assertEqual(a.reply(), b"1")
        self.assertEqual(b("LRANGE", A, 0, -1), [b"2", b"1"])
        self.assertEqual(a("BLMOVE", A, A, "LEFT", "RIGHT", 0), b"2")

    def test_target_of_another_type(self):
        """Found when it is served: an error, and the element stays for the next one."""
        a, b, c = self.pairs_of(3)
        b("SET", B, "string")
        a.block("BLMOVE", A, B, "LEFT", "RIGHT", 0)
        c.block("BLPOP", A, 0)
        b("RPUSH", A, "x")
        self.assertError(a.reply(), WRONGTYPE)
        self.assertEqual(c.reply(), [A.encode(), b"x"])
        a.block("BRPOPLPUSH", A, B, 0)
        b.all(("DEL", B), ("RPUSH", A, "y"))
        self.assertEqual(a.reply(), b"y")

    def test_ends(self):
        a, b = self.pairs_of(2)
        b("RPUSH", B, "m")
        for n, (start, end) in enumerate((("LEFT", "LEFT"), ("LEFT", "RIGHT"), ("RIGHT", "LEFT"), ("RIGHT", "RIGHT"))):
            a.block("BLMOVE", A, B, start, end, 0)
            b("RPUSH", A, "%da" % n, "%db" % n)
            a.reply()
            b("DEL", A)
        b("LRANGE", B, 0, -1)


class Ending:
    def test_unblock(self):
        a, b = self.pairs_of(2)
        for command, _ in waits(A):
            a.block(*command)
            self.assertEqual(b("CLIENT", "UNBLOCK", a.id), 1)
            self.assertIn(a.reply(), (NIL, NONE))
            a.block(*command)
            self.assertEqual(b("CLIENT", "UNBLOCK", a.id, "ERROR"), 1)
            self.assertError(a.reply(), UNBLOCKED)
            a.block(*command)
            self.assertEqual(b("client", "unblock", a.id, "timeout"), 1)
            a.reply()
            self.assertEqual(b("CLIENT", "UNBLOCK", a.id), 0)
        b("RPUSH", A, "stays")
        a.quiet()
        self.assertEqual(b("LLEN", A), 1)

    def test_unblock_errors(self):
        a, b = self.pairs_of(2)
        for command in (("x",), ("-1",), ("0",), ("99999999",), (a.id, "FOO"), (a.id, "ERROR", "x"), (), ("9223372036854775808",),
                        (a.id, "")):
            b("CLIENT", "UNBLOCK", *command)
        self.assertEqual(b("CLIENT", "UNBLOCK", b.id), 0)
        self.assertEqual(b.all(*multi(("CLIENT", "UNBLOCK", a.id)))[-1], [0])
        a.block("BLPOP", A, 0)
        self.assertEqual(b.all(*multi(("CLIENT", "UNBLOCK", a.id), ("RPUSH", A, "x")))[-1], [1, 1])
        self.assertIs(a.reply(), NONE)

    def test_closed(self):
        """A client that went is not served, whichever way it went."""
        for how in ("close", "kill", "kill by address", "unblock and close"):
            a, b, c = self.pairs_of(3)
            b("FLUSHALL")
            a.block("BLPOP", *KEYS, 0)
            c.block("BRPOP", *KEYS, 0)
            if how == "kill":
                self.assertEqual(b("CLIENT", "KILL", "ID", a.id), 1)
            elif how == "kill by address":
                self.assertEqual(b("CLIENT", "KILL", Own("127.0.0.1:%d" % side.sock.getsockname()[1] for side in a.sides)), OK)
            elif how != "close":
                b("CLIENT", "UNBLOCK", a.id)
            if how.startswith("kill"):
                a.assertClosed()
            a.close()
            a.gone()
            b("RPUSH", B, "1", "2")
            self.assertEqual(c.reply(), [B.encode(), b"2"])
            self.assertEqual(b("LRANGE", B, 0, -1), [b"1"])

    def test_hung_up_before_it_waits(self):
        """The connection ends while its command is on the way to the keys' shards: nothing is taken for it. Once it was, since
        nobody looked at a connection that ended before its client was blocked."""
        b = self.pair()
        clients = self.pairs_of(28)
        for i, client in enumerate(clients):
            client.send("BLPOP", KEYS[i % 7], *KEYS[: i // 7], 0)
            client.close()
        for client in clients:
            client.gone()
        for key in KEYS:
            self.assertEqual(b.all(("RPUSH", key, "x"), ("LLEN", key)), [1, 1])

    def test_hung_up_with_much_behind(self):
        """The same for one that has sent more than is read of a client that waits for replies."""
        a, b = self.pairs_of(2)
        a.block("BLPOP", *KEYS, 0)
        for _ in range(3):
            a.send("SET", B, "x" * 100_000)
        a.close()
        a.gone()
        self.assertEqual(b.all(("RPUSH", A, "x"), ("LLEN", A)), [1, 1])

    def test_unblocked_is_an_error_that_counts(self):
        a, b = self.pairs_of(2)
        b("CONFIG", "RESETSTAT")
        for why in ("ERROR", "TIMEOUT", "ERROR"):
            a.block("BLPOP", A, 0)
            b("CLIENT", "UNBLOCK", a.id, why)
            a.reply()
        for observer in self.observers:
            self.assertEqual(info_field(observer, "errorstat_UNBLOCKED"), "count=2")
            self.assertEqual(info_field(observer, "total_error_replies"), "2")
            stats = info_field(observer, "cmdstat_blpop", "commandstats")
            self.assertTrue(stats.startswith("calls=3,") and stats.endswith(",failed_calls=3"), stats)

    def test_reset_and_quit_wait(self):
        a, c, b = self.pairs_of(3)
        a.send_all(("SELECT", 0), ("BLPOP", A, 0), ("RESET",), ("PING",))
        a.reply()
        a.wait_blocked()
        c.send_all(("BLPOP", A, 0), ("QUIT",))
        c.wait_blocked()
        b("RPUSH", A, "1")
        self.assertEqual([a.reply(), a.reply(), a.reply()], [[A.encode(), b"1"], resp.Simple(b"RESET"), resp.Simple(b"PONG")])
        b("RPUSH", A, "2")
        self.assertEqual([c.reply(), c.reply()], [[A.encode(), b"2"], OK])
        c.assertClosed()

    @sherd_only
    def test_shutdown(self):
        """The server ends in time though clients wait."""
        with Server(threads=self.threads) as server:
            clients = [server.client() for _ in range(20)]
            for client in clients:
                client.send(resp.encode(("BLPOP", *KEYS, 0)))
            observer = server.client()
            wait_until(lambda: info_field(observer, "blocked_clients") == "20", what="20 blocked clients")


class Outside:
    def test_client_list_and_info(self):
        a, b = self.pairs_of(2)
        blocked = lambda: [info_field(observer, "blocked_clients") for observer in self.observers]  # noqa: E731
        self.assertEqual(set(blocked()), {"0"})
        for command, _ in waits(A):
            a.block(*command)
            self.assertEqual(set(blocked()), {"1"})
            for n in range(len(a.sides)):
                line = a.line(n)
                self.assertEqual((line["cmd"], line["flags"]), (command[0].lower(), "b"))
            b("RPUSH", A, "x")
            a.reply()
            self.assertEqual(a.flags(), ["N"] * len(a.sides))
            self.assertEqual(set(blocked()), {"0"})

    def test_statistics(self):
        """A command that waited is one call, which failed if what it was served with is an error, and is in the slow log
        when it ends."""
        a, b = self.pairs_of(2)
        for command in (("BLPOP", A, 0), ("BRPOP", A, B, C, 0), ("BLMOVE", A, B, "LEFT", "LEFT", 0), ("BLMPOP", 0, 2, B, A, "LEFT"),
                        ("BRPOPLPUSH", A, D, 0)):
            with self.subTest(command=command):
                b.all(("FLUSHALL",), ("SET", D, "x"), ("CONFIG", "RESETSTAT"), ("CONFIG", "SET", "slowlog-log-slower-than", "0"))
                a.block(*command)
                b("SLOWLOG", "RESET")
                b("RPUSH", A, "x")
                error = isinstance(a.reply(), resp.Error)
                self.assertEqual(error, command[0] == "BRPOPLPUSH")
                for observer in self.observers:
                    stats = info_field(observer, "cmdstat_" + command[0].lower(), "commandstats")
                    self.assertIn("calls=1,", stats)
                    self.assertTrue(stats.endswith("failed_calls=%d" % error), stats)
                    self.assertEqual(info_field(observer, "errorstat_WRONGTYPE", "errorstats") if error else None, "count=1" if error else None)
                    slow = [entry[3] for entry in observer.call("SLOWLOG", "GET", "10")]
                    self.assertIn([str(word).encode() for word in command], slow)
        b("CONFIG", "SET", "slowlog-log-slower-than", "10000")

    def test_pushers_do_not_notice(self):
        """A push answers the length as if nobody waited."""
        a, b = self.pairs_of(2)
        a.block("BLPOP", A, 0)
        self.assertEqual(b.all(("RPUSH", A, "1", "2", "3"), ("LLEN", A)), [3, 2])
        a.reply()

    def test_watchers_notice(self):
        """Who watches the key that a waiting client pops, or the target of its move, is aborted."""
        a, b, c = self.pairs_of(3)
        for command in (("BLPOP", A, 0), ("BLMOVE", A, B, "LEFT", "LEFT", 0)):
            for watched in (A, B):
                b("DEL", A, B)
                a.block(*command)
                c("WATCH", watched)
                b("RPUSH", A, "x")
                a.reply()
                c.all(*multi(("PING",)))

    def test_own_watch(self):
        a, b = self.pairs_of(2)
        a("WATCH", A)
        a.block("BLPOP", A, 0)
        b("RPUSH", A, "x")
        a.reply()
        a.all(*multi(("PING",)))


class Behind:
    def test_pipeline_waits(self):
        """What a client sent behind a blocking command happens after it."""
        a, b = self.pairs_of(2)
        a.send_all(*script("SET C before; BLPOP A 0; SET C after; GET C; MULTI; INCR D; EXEC; BLPOP B 0; GET D"))
        self.assertEqual(a.reply(), OK)
        a.wait_blocked()
        self.assertEqual(b.all(("GET", C), ("GET", D)), [b"before", NIL])
        b("RPUSH", A, "1")
        self.assertEqual([a.reply() for _ in range(6)], [[A.encode(), b"1"], OK, b"after", OK, resp.Simple(b"QUEUED"), [1]])
        a.wait_blocked()
        b("RPUSH", B, "2")
        self.assertEqual([a.reply(), a.reply()], [[B.encode(), b"2"], b"1"])

    def test_blocking_pipeline(self):
        a, b = self.pairs_of(2)
        a.send_all(*[("BLPOP", A, B, 0), ("BRPOP", B, A, 0)] * 10)
        a.wait_blocked()
        for key, count in ((A, 12), (B, 7), (A, 1)):
            b("RPUSH", key, *range(count))
            for _ in range(count):
                a.reply()
        self.assertEqual(b("EXISTS", A, B), 0)

    def test_ends_by_timeout(self):
        a = self.pair()
        self.assertEqual(a.all(("BLPOP", A, "0.02"), ("RPUSH", A, "x"), ("BLPOP", A, 0), ("BLPOP", A, "0.02"), ("PING",)),
                         [NONE, 1, [A.encode(), b"x"], NONE, resp.Simple(b"PONG")])

    def test_much_input_behind(self):
        """A lot of input behind a blocked command is kept, or not read, and then all of it is done."""
        a, b = self.pairs_of(2)
        a.send_all(("BLPOP", A, 0))
        a.wait_blocked()
        commands = [("APPEND", C, "x" * 1000)] * 60 + [("STRLEN", C)]
        a.send_all(*commands)
        self.assertIs(b("GET", C), NIL)
        b("RPUSH", A, "1")
        replies = [a.reply() for _ in range(len(commands) + 1)]
        self.assertEqual(replies[-1], 60_000)


class Together:
    def test_pause(self):
        """A pause of writes holds back the push, and a new BLPOP though there is data; the waiting stay."""
        a, b, c, boss = self.pairs_of(4)
        b("RPUSH", C, "there")
        a.block("BLPOP", A, 0)
        boss("CLIENT", "PAUSE", 100_000, "WRITE")
        b.send("RPUSH", A, "1")
        c.send("BLPOP", C, 0)
        boss("GET", "nosuch")
        a.quiet()
        b.quiet()
        c.quiet()
        boss("CLIENT", "UNPAUSE")
        self.assertEqual((a.reply(), b.reply(), c.reply()), ([A.encode(), b"1"], 1, [C.encode(), b"there"]))

    def test_timeout_during_pause(self):
        a, boss = self.pairs_of(2)
        a.send("BLPOP", A, "0.1")
        a.wait_blocked()
        boss("CLIENT", "PAUSE", 100_000, "WRITE")
        self.assertIs(a.reply(), NONE)
        boss("CLIENT", "UNPAUSE")

    @sherd_only
    def test_no_touch(self):
        """CLIENT NO-TOUCH is Redis 7.2's: it changes nothing about waiting."""
        with self.server.client() as a, self.server.client() as b:
            a.must("CLIENT", "NO-TOUCH", "ON")
            a.send(resp.encode(("BLPOP", A, B, 0)))
            wait_until(lambda: info_field(b, "blocked_clients") == "1", what="a blocked client")
            self.assertEqual(b.must("RPUSH", B, "x"), 1)
            self.assertEqual(a.read_one(), [B.encode(), b"x"])

    def test_silent_client(self):
        """With CLIENT REPLY OFF it waits and pops without an answer."""
        a, b = self.pairs_of(2)
        a.send_all(("CLIENT", "REPLY", "OFF"), ("BLPOP", A, 0), ("CLIENT", "REPLY", "ON"))
        a.wait_blocked()
        b("RPUSH", A, "1", "2")
        self.assertEqual(a.reply(), OK)
        self.assertEqual(b("LRANGE", A, 0, -1), [b"2"])

    def test_big_elements(self):
        a, b = self.pairs_of(2)
        big = b"e" * (1 << 20)
        a.block("BLMPOP", 0, 1, A, "LEFT", "COUNT", 3)
        b("RPUSH", A, big, "small", big)
        self.assertEqual(a.reply(), [A.encode(), [big, b"small", big]])
        a.block("BLMOVE", A, B, "LEFT", "LEFT", 0)
        b("RPUSH", A, big)
        self.assertEqual(a.reply(), big)
        b("STRLEN", B)

    def test_expired_lists_are_no_lists(self):
        a, b = self.pairs_of(2)
        b.all(("RPUSH", A, "old"), ("PEXPIRE", A, 20))
        self.wait_ms(30)
        a.block("BLPOP", A, 0)
        b("RPUSH", A, "new")
        self.assertEqual(a.reply(), [A.encode(), b"new"])


class Crowds:
    def test_many_on_one_key(self):
        """200 clients; one push serves all in the order in which they came."""
        clients, b = self.pairs_of(200), self.pair()
        for client in clients:
            client.block("BLPOP", A, 0)
        b("RPUSH", A, *range(len(clients) + 1))
        for n, client in enumerate(clients):
            self.assertEqual(client.reply(), [A.encode(), b"%d" % n])
        self.assertEqual(b("LLEN", A), 1)

    def test_many_keys(self):
        """One client waits for 2000 keys; others for some of them."""
        names = ["b%d" % i for i in range(2000)]
        a, c, b = self.pairs_of(3)
        a.block("BLPOP", *names, 0)
        c.block("BLPOP", *names[::3], 0)
        b("RPUSH", names[600], "1", "2")
        self.assertEqual((a.reply(), c.reply()), ([b"b600", b"1"], [b"b600", b"2"]))
        a.block("BLPOP", *names, 0)
        self.assertEqual(b("CLIENT", "UNBLOCK", a.id), 1)
        a.reply()

    def test_many_leave(self):
        """50 wait for all keys and are killed at once; the last one gets the element."""
        clients, last, b = self.pairs_of(50), self.pair(), self.pair()
        for client in clients:
            client.send("BLPOP", *KEYS, 0)
        for client in clients:
            client.wait_blocked()
        last.block("BLPOP", *KEYS, 0)
        for client in clients:
            client.close()
        wait_until(lambda: {info_field(observer, "blocked_clients") for observer in self.observers} == {"1"}, what="one to be left")
        b("RPUSH", D, "x")
        self.assertEqual(last.reply(), [D.encode(), b"x"])


class Blocking(Immediate, Timeouts, Serving, Waking, Moving, Ending, Outside, Behind, Together, Crowds):
    pass


class BlockingOne(Blocking, Case):
    threads = 1


class BlockingTwo(Blocking, Case):
    threads = 2


class BlockingSeven(Blocking, Case):
    threads = 7


if __name__ == "__main__":
    main()
