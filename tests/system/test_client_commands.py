#!/usr/bin/env python3
"""CLIENT: ID, names, LIST and INFO fields, every filter of KILL, PAUSE and UNPAUSE, REPLY, NO-EVICT, NO-TOUCH, SETINFO."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import time  # noqa: E402

from support import resp  # noqa: E402
from support.case import SLOW, ServerCase, main, sherd_only, wait_until  # noqa: E402

# What tools parse; Redis 7.0 has them all.
FIELDS = ("id addr laddr fd name age idle flags db sub psub ssub multi qbuf qbuf-free argv-mem multi-mem rbs rbp obl oll omem tot-mem events cmd "
          "user redir resp").split()


def fields(line):
    return dict(item.split("=", 1) for item in bytes(line).decode().split())


class ClientCommands(ServerCase):
    def text(self, value):
        return bytes(value).split(b":", 1)[1] if isinstance(value, resp.Verbatim) else value

    def list(self, client, *options):
        return [fields(line) for line in self.text(client.must("CLIENT", "LIST", *options)).splitlines()]

    def test_id(self):
        a, b = self.client(), self.client()
        first, second = a.must("CLIENT", "ID"), b.must("CLIENT", "ID")
        self.assertEqual(first, a.must("CLIENT", "ID"))
        self.assertNotEqual(first, second)
        self.assertGreater(self.client().must("CLIENT", "ID"), min(first, second))

    def test_names(self):
        a = self.client()
        self.assertIs(a.call("CLIENT", "GETNAME"), resp.NULL_BULK)
        self.assertEqual(a.call("CLIENT", "SETNAME", "me"), resp.OK)
        self.assertEqual(a.call("CLIENT", "GETNAME"), b"me")
        self.assertError(a.call("CLIENT", "SETNAME", "a b"), "ERR Client names cannot contain spaces, newlines or special characters.")
        self.assertEqual(a.call("CLIENT", "SETNAME", ""), resp.OK)
        self.assertIs(a.call("CLIENT", "GETNAME"), resp.NULL_BULK)

    def test_info_and_list(self):
        a, b = self.client(), self.client(proto=3)
        a.must("CLIENT", "SETNAME", "first")
        a.must("SELECT", "3")
        line = fields(self.text(a.must("CLIENT", "INFO")))
        for field in FIELDS:
            self.assertIn(field, line)
        self.assertEqual(line["name"], "first")
        self.assertEqual(line["db"], "3")
        self.assertEqual(line["cmd"], "client|info")
        self.assertEqual(line["resp"], "2")
        self.assertEqual(line["id"], str(a.must("CLIENT", "ID")))
        self.assertEqual(line["laddr"], "127.0.0.1:%d" % self.server.port)
        self.assertEqual(line["addr"], "127.0.0.1:%d" % a.sock.getsockname()[1])
        rows = self.list(b)
        self.assertIn("first", [row["name"] for row in rows])
        mine = next(row for row in rows if row["id"] == str(b.must("CLIENT", "ID")))
        self.assertEqual((mine["resp"], mine["cmd"]), ("3", "client|list"))
        self.assertEqual(len(self.list(b, "ID", line["id"], mine["id"])), 2)
        self.assertEqual(self.list(b, "ID", "99999999"), [])
        self.assertGreaterEqual(len(self.list(b, "TYPE", "normal")), 2)
        self.assertEqual(self.list(b, "TYPE", "pubsub"), [])
        self.assertError(b.call("CLIENT", "LIST", "TYPE", "foo"), "ERR Unknown client type 'foo'")
        self.assertError(b.call("CLIENT", "LIST", "FOO"), "ERR syntax error")
        self.assertError(b.call("CLIENT", "LIST", "ID", "x"), "ERR Invalid client ID")

    def test_closed_clients_leave_the_list(self):
        a, b = self.client(), self.client()
        a.must("CLIENT", "SETNAME", "leaving")
        a.close()
        wait_until(lambda: "leaving" not in [row["name"] for row in self.list(b)], what="a closed client to leave CLIENT LIST")

    def test_kill(self):
        killer = self.client()
        for how in ("old", "ADDR", "LADDR", "ID", "SKIPME", "TYPE+ID"):
            with self.subTest(how=how):
                victim, other = self.client(), self.client()
                number = str(victim.must("CLIENT", "ID"))
                other.must("PING")
                address = "127.0.0.1:%d" % victim.sock.getsockname()[1]
                if how == "old":
                    self.assertEqual(killer.call("CLIENT", "KILL", address), resp.OK)
                elif how == "ADDR":
                    self.assertEqual(killer.call("CLIENT", "KILL", "ADDR", address), 1)
                elif how == "ID":
                    self.assertEqual(killer.call("CLIENT", "KILL", "ID", number), 1)
                elif how == "LADDR":
                    self.assertEqual(killer.call("CLIENT", "KILL", "LADDR", "127.0.0.1:%d" % self.server.port, "ID", number), 1)
                elif how == "TYPE+ID":
                    self.assertEqual(killer.call("CLIENT", "KILL", "TYPE", "normal", "ID", number, "SKIPME", "yes"), 1)
                else:
                    self.assertEqual(killer.call("CLIENT", "KILL", "ID", str(killer.must("CLIENT", "ID"))), 0)  # skips me by default
                    self.assertEqual(killer.call("CLIENT", "KILL", "ID", number, "SKIPME", "no"), 1)
                self.assertTrue(victim.is_closed())
                self.assertEqual(other.call("PING"), resp.Simple(b"PONG"))
        self.assertEqual(killer.call("CLIENT", "KILL", "ID", "99999999"), 0)
        self.assertError(killer.call("CLIENT", "KILL", "1.1.1.1:1"), "ERR No such client")
        self.assertError(killer.call("CLIENT", "KILL", "ID", "x"), "ERR client-id should be greater than 0")
        self.assertError(killer.call("CLIENT", "KILL", "ID", "0"), "ERR client-id should be greater than 0")
        self.assertError(killer.call("CLIENT", "KILL", "TYPE", "foo"), "ERR Unknown client type 'foo'")
        self.assertError(killer.call("CLIENT", "KILL", "USER", "nosuch"), "ERR No such user 'nosuch'")
        self.assertError(killer.call("CLIENT", "KILL", "ID", "1", "FOO", "x"), "ERR syntax error")
        self.assertError(killer.call("CLIENT", "KILL", "ID", "1", "SKIPME", "x"), "ERR syntax error")

    def test_kill_me(self):
        """The reply comes before the end."""
        me = self.client()
        self.assertEqual(me.call("CLIENT", "KILL", "ID", str(me.must("CLIENT", "ID")), "SKIPME", "no"), 1)
        self.assertTrue(me.is_closed())

    def test_kill_everybody(self):
        killer = self.client()
        victims = [self.client() for _ in range(30)]
        for victim in victims:
            victim.must("PING")
        self.assertGreaterEqual(killer.call("CLIENT", "KILL", "TYPE", "normal"), 30)
        for victim in victims:
            self.assertTrue(victim.is_closed())
        self.assertEqual(killer.call("PING"), resp.Simple(b"PONG"))

    def test_pause_write(self):
        """Writes wait until UNPAUSE, reads go on; the waiting write is done after it."""
        boss, writer, reader = self.client(), self.client(), self.client()
        reader.must("DEL", "paused")
        self.assertEqual(boss.call("CLIENT", "PAUSE", "60000", "WRITE"), resp.OK)
        writer.send(resp.encode(("SET", "paused", "1")))
        wait_until(lambda: b"blocked_clients:1\r\n" in self.text(boss.must("INFO", "clients")), what="a paused client that counts as blocked")
        for _ in range(50):
            self.assertIs(reader.call("GET", "paused"), resp.NULL_BULK)
        self.assertEqual(boss.call("CLIENT", "UNPAUSE"), resp.OK)
        self.assertEqual(writer.read_one(), resp.OK)
        self.assertEqual(reader.call("GET", "paused"), b"1")
        self.assertIn(b"blocked_clients:0\r\n", self.text(boss.must("INFO", "clients")))

    def test_pause_write_holds_what_replicas_would_see(self):
        boss, reader = self.client(), self.client()
        commands = (("PUBLISH", "channel", "m"), ("SPUBLISH", "channel", "m"), ("PFCOUNT", "nosuch"))
        waiting = [self.client() for _ in commands]
        self.assertEqual(boss.call("CLIENT", "PAUSE", "60000", "WRITE"), resp.OK)
        for client, command in zip(waiting, commands):
            client.send(resp.encode(command))
        wait_until(lambda: b"blocked_clients:3\r\n" in self.text(boss.must("INFO", "clients")), what="all to wait")
        self.assertIs(reader.call("GET", "nosuch"), resp.NULL_BULK)
        self.assertEqual(boss.call("CLIENT", "UNPAUSE"), resp.OK)
        self.assertEqual([client.read_one() for client in waiting], [0, 0, 0])

    def test_pause_all(self):
        """Reads wait, too. (Redis lets even UNPAUSE wait in this mode, so the pause here is short.)"""
        boss, other = self.client(), self.client()
        other.must("PING")
        began = time.monotonic()
        self.assertEqual(boss.call("CLIENT", "PAUSE", "400"), resp.OK)
        self.assertIs(other.call("GET", "nosuch"), resp.NULL_BULK)
        self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_pause_ends_by_itself(self):
        boss, other = self.client(), self.client()
        began = time.monotonic()
        self.assertEqual(boss.call("CLIENT", "PAUSE", "150", "ALL"), resp.OK)
        self.assertEqual(other.call("SET", "x", "1"), resp.OK)
        self.assertGreaterEqual(time.monotonic() - began, 0.1)
        self.assertError(boss.call("CLIENT", "PAUSE", "x"), "ERR timeout is not an integer or out of range")
        self.assertError(boss.call("CLIENT", "PAUSE", "-1"), "ERR timeout is negative")
        self.assertError(boss.call("CLIENT", "PAUSE", "1", "FOO"), "ERR CLIENT PAUSE mode must be WRITE or ALL")

    def test_reply(self):
        a = self.client()
        a.send(b"".join(map(resp.encode, [("CLIENT", "REPLY", "OFF"), ("SET", "r", "1"), ("NOSUCH",), ("INCR", "r"), ("CLIENT", "REPLY", "ON"), ("GET", "r")])))
        self.assertEqual(a.read(2), [resp.OK, b"2"])
        a.send(b"".join(map(resp.encode, [("CLIENT", "REPLY", "SKIP"), ("SET", "r", "5"), ("GET", "r"), ("GET", "r")])))
        self.assertEqual(a.read(2), [b"5", b"5"])
        # Across shards and in one pipeline: only the answers that are due come, in order.
        commands = [("CLIENT", "REPLY", "OFF")] + [("SET", "r%d" % i, i) for i in range(200)] + [("CLIENT", "REPLY", "ON")]
        commands += [("GET", "r%d" % i) for i in range(200)]
        a.send(b"".join(map(resp.encode, commands)))
        self.assertEqual(a.read(201), [resp.OK] + [b"%d" % i for i in range(200)])
        self.assertError(a.call("CLIENT", "REPLY", "FOO"), "ERR syntax error")

    def test_no_evict(self):
        a = self.client()
        self.assertEqual(a.call("CLIENT", "NO-EVICT", "ON"), resp.OK)
        self.assertIn("e", fields(a.must("CLIENT", "INFO"))["flags"])
        self.assertEqual(a.call("CLIENT", "NO-EVICT", "OFF"), resp.OK)
        self.assertError(a.call("CLIENT", "NO-EVICT", "x"), "ERR syntax error")

    @sherd_only
    def test_no_touch_and_setinfo(self):
        """Redis 7.2's; the reference here is 7.0."""
        a = self.client()
        self.assertEqual(a.call("CLIENT", "NO-TOUCH", "ON"), resp.OK)
        self.assertEqual(a.call("CLIENT", "NO-TOUCH", "OFF"), resp.OK)
        self.assertIsInstance(a.call("CLIENT", "NO-TOUCH", "x"), resp.Error)
        self.assertEqual(a.call("CLIENT", "SETINFO", "LIB-NAME", "mylib"), resp.OK)
        self.assertEqual(a.call("CLIENT", "SETINFO", "lib-ver", "1.2.3"), resp.OK)
        line = fields(a.must("CLIENT", "INFO"))
        self.assertEqual((line["lib-name"], line["lib-ver"]), ("mylib", "1.2.3"))
        self.assertError(a.call("CLIENT", "SETINFO", "FOO", "x"), "ERR Unrecognized option 'FOO'")
        self.assertIsInstance(a.call("CLIENT", "SETINFO", "LIB-NAME", "a b"), resp.Error)
        # Probes that newer clients send and that must be plain errors, not trouble.
        self.assertIsInstance(a.call("CLIENT", "MAINT_NOTIFICATIONS", "ON"), resp.Error)
        self.assertEqual(a.call("PING"), resp.Simple(b"PONG"))

    def test_maxclients(self):
        a = self.client()
        a.must("CONFIG", "SET", "maxclients", "60")
        self.addCleanup(lambda: a.must("CONFIG", "SET", "maxclients", "10000"))
        extra, refused = [], 0
        for _ in range(80):
            client = self.client()
            extra.append(client)
            try:
                value = client.call("PING")
                if isinstance(value, resp.Error):
                    self.assertError(value, "ERR max number of clients reached")
                    refused += 1
            except (resp.Closed, ConnectionError):
                refused += 1
        self.assertGreaterEqual(refused, 15)
        for client in extra:
            client.close()


if __name__ == "__main__":
    main()
