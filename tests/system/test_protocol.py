#!/usr/bin/env python3
"""The wire: inline and multibulk, torn and hostile input, HELLO and AUTH. The expected bytes are redis-server 7.0.15's;
when it is installed the same input goes to it as well, so that the expectations themselves are checked."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import SLOW, LONG, Server, ServerCase, main, redis_binary  # noqa: E402

INLINE_MAX = 64 * 1024

# Input, exact answer; the connection stays usable.
OPEN = [
    (b"PING\r\n", b"+PONG\r\n"),
    (b"PING\n", b"+PONG\r\n"),
    (b"ping hello\r\n", b"$5\r\nhello\r\n"),
    (b"   PING   \r\n", b"+PONG\r\n"),
    (b"\r\n\r\nPING\r\n", b"+PONG\r\n"),
    (b"SET \"a b\" 'c d'\r\nGET \"a b\"\r\n", b"+OK\r\n$3\r\nc d\r\n"),
    (b'ECHO "\\x41\\n\\"q"\r\n', b'$4\r\nA\n"q\r\n'),
    (b"ECHO 'it\\'s'\r\n", b"$4\r\nit's\r\n"),
    (b'ECHO ""\r\n', b"$0\r\n\r\n"),
    (b'""\r\n', b"-ERR unknown command '', with args beginning with: \r\n"),
    (b"*-1\r\nPING\r\n", b"+PONG\r\n"),
    (b"*0\r\nPING\r\n", b"+PONG\r\n"),
    (b"*-10\r\nPING\r\n", b"+PONG\r\n"),
    (b"*1\r\n$4\r\nPINGxxPING\r\n", b"+PONG\r\n+PONG\r\n"),
    (b"*1\r\n$0\r\n\r\n", b"-ERR unknown command '', with args beginning with: \r\n"),
    (b"*2\r\n$4\r\nECHO\r\n$0\r\n\r\n", b"$0\r\n\r\n"),
    (b"*3\r\n$3\r\nSET\r\n$4\r\n\x00\r\n\xff\r\n$2\r\n\r\n\r\n*2\r\n$3\r\nGET\r\n$4\r\n\x00\r\n\xff\r\n", b"+OK\r\n$2\r\n\r\n\r\n"),
    (b"NOSUCH a 'b c'\r\n", b"-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b c' \r\n"),
    (b"GET\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
    (b"HELLO 4\r\n", b"-NOPROTO unsupported protocol version\r\n"),
    (b"HELLO 1\r\n", b"-NOPROTO unsupported protocol version\r\n"),
    (b"HELLO x\r\n", b"-ERR Protocol version is not an integer or out of range\r\n"),
    (b"HELLO 2 FOO\r\n", b"-ERR Syntax error in HELLO option 'FOO'\r\n"),
    (b"AUTH x\r\n", b"-ERR AUTH <password> called without any password configured for the default user. "
                    b"Are you sure your configuration is correct?\r\n"),
    (b"AUTH a b\r\n", b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"),
    (b"AUTH a b c\r\n", b"-ERR syntax error\r\n"),
    (b"AUTH default x\r\n", b"+OK\r\n"),
]

# Input, exact answer, and then the connection must be closed by the server.
CLOSING = [
    (b'ECHO "a"b\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b'ECHO "abc\r\n', b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"ECHO 'abc\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"*abc\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*01\r\n$4\r\nPING\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*+1\r\n$4\r\nPING\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$abc\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$+4\r\nPING\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$536870913\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\nx\r\n", b"-ERR Protocol error: expected '$', got 'x'\r\n"),
    (b"*1\r\n:1\r\n", b"-ERR Protocol error: expected '$', got ':'\r\n"),
    (b"*1\r\n\r\n", b"-ERR Protocol error: expected '$', got ' '\r\n"),
    (b"a" * (INLINE_MAX + 10), b"-ERR Protocol error: too big inline request\r\n"),
    (b"*" + b"1" * (INLINE_MAX + 10), b"-ERR Protocol error: too big mbulk count string\r\n"),
    (b"*1\r\n$" + b"1" * (INLINE_MAX + 10), b"-ERR Protocol error: too big bulk count string\r\n"),
    (b"PING\r\nQUIT\r\nPING\r\n", b"+PONG\r\n+OK\r\n"),
    (b"PING\r\n*x\r\nPING\r\n", b"+PONG\r\n-ERR Protocol error: invalid multibulk length\r\n"),
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", None),  # cross-protocol scripting: closed; the GET may be answered or not
    (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b""),
]

WRONGPASS = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"
NOAUTH = b"-NOAUTH Authentication required.\r\n"
HELLO_NOAUTH = (b"-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option "
                b"can be used to authenticate the client and select the RESP protocol version at the same time\r\n")
OPEN_AUTH = [
    (b"PING\r\n", NOAUTH),
    (b"GET k\r\n", NOAUTH),
    (b"COMMAND\r\n", NOAUTH),
    (b"NOSUCH\r\n", b"-ERR unknown command 'NOSUCH', with args beginning with: \r\n"),
    (b"GET\r\n", b"-ERR wrong number of arguments for 'get' command\r\n"),
    (b"AUTH x\r\n", WRONGPASS),
    (b"AUTH nosuch pw\r\n", WRONGPASS),
    (b"AUTH pw\r\nPING\r\n", b"+OK\r\n+PONG\r\n"),
    (b"AUTH default pw\r\nPING\r\n", b"+OK\r\n+PONG\r\n"),
    (b"AUTH pw\r\nAUTH x\r\nPING\r\n", b"+OK\r\n" + WRONGPASS + b"+PONG\r\n"),
    (b"AUTH pw\r\nRESET\r\nPING\r\n", b"+OK\r\n+RESET\r\n" + NOAUTH),
    (b"HELLO\r\n", HELLO_NOAUTH),
    (b"HELLO 3\r\n", HELLO_NOAUTH),
    (b"HELLO 4\r\n", b"-NOPROTO unsupported protocol version\r\n"),
    (b"HELLO 2 AUTH default no\r\n", WRONGPASS),
]
CLOSING_AUTH = [
    (b"*11\r\n", b"-ERR Protocol error: unauthenticated multibulk length\r\n"),
    (b"*1\r\n$16385\r\n", b"-ERR Protocol error: unauthenticated bulk length\r\n"),
    (b"QUIT\r\n", b"+OK\r\n"),
]


class Exact:
    """The tables above, on a given kind of server. Mixed into one class per kind."""

    kind = "sherd"

    @classmethod
    def setUpClass(cls):
        cls.server = Server(kind=cls.kind, threads=2)
        cls.locked = Server("--requirepass", "pw", kind=cls.kind, threads=2)

    @classmethod
    def tearDownClass(cls):
        for server in (cls.server, cls.locked):
            try:
                for client in server.clients:
                    client.close()
                server.stop()
            finally:
                server.clean()

    def check_open(self, server, data, expected, pieces=False):
        with resp.Client(server.port, timeout=20 * SLOW) as client:
            if pieces:
                for i in range(len(data)):
                    client.send(data[i : i + 1])
            else:
                client.send(data)
            self.assertEqual(client.read_bytes(len(expected)), expected)
            mark = b"still-here"  # nothing else came before the next answer, and the connection still works
            client.send(b"ECHO " + mark + b"\r\n")
            answer = b"$10\r\n" + mark + b"\r\n"
            got = client.read_bytes(min(len(answer), len(NOAUTH)))
            self.assertTrue(answer.startswith(got) or NOAUTH.startswith(got), got)

    def check_closing(self, server, data, expected):
        with resp.Client(server.port, timeout=20 * SLOW) as client:
            try:
                client.send(data)
            except resp.Closed:
                pass
            got = client.read_to_end()
            if expected is not None:
                self.assertEqual(got, expected)

    def test_open(self):
        for data, expected in OPEN:
            with self.subTest(data=data[:60]):
                self.check_open(self.server, data, expected)

    def test_open_byte_by_byte(self):
        for data, expected in OPEN:
            with self.subTest(data=data[:60]):
                self.check_open(self.server, data, expected, pieces=True)

    def test_closing(self):
        """The offender gets the text and is closed; a neighbour notices nothing."""
        neighbour = self.server.client()
        for data, expected in CLOSING:
            with self.subTest(data=data[:60]):
                self.check_closing(self.server, data, expected)
                self.assertEqual(neighbour.call("PING"), resp.Simple(b"PONG"))

    def test_password_open(self):
        for data, expected in OPEN_AUTH:
            with self.subTest(data=data[:60]):
                self.check_open(self.locked, data, expected)

    def test_password_closing(self):
        for data, expected in CLOSING_AUTH:
            with self.subTest(data=data[:60]):
                self.check_closing(self.locked, data, expected)

    def test_hello_3_with_auth(self):
        client = self.locked.client()
        value = client.must("HELLO", "3", "AUTH", "default", "pw", "SETNAME", "me")
        self.assertIsInstance(value, resp.Map)
        self.assertEqual(client.call("CLIENT", "GETNAME"), b"me")


class Ours(Exact, unittest.TestCase):
    pass


@unittest.skipUnless(redis_binary(), "redis-server is not installed")
class Reference(Exact, unittest.TestCase):
    kind = "redis"


class Protocol(ServerCase):
    def test_hello_map(self):
        client = self.client()
        flat = client.must("HELLO", "2")
        self.assertEqual(flat[::2], [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"])
        value = client.must("HELLO", "3")
        self.assertIsInstance(value, resp.Map)
        self.assertEqual(value.get(b"proto"), 3)
        self.assertEqual(value.get(b"mode"), b"standalone")
        self.assertEqual(value.get(b"role"), b"master")
        self.assertEqual(value.get(b"modules"), [])
        self.assertIsInstance(value.get(b"id"), int)
        self.assertIs(client.call("GET", "nosuch"), resp.NULL)
        self.assertIsInstance(client.must("CONFIG", "GET", "maxclients"), resp.Map)
        client.must("HELLO", "2")
        self.assertIs(client.call("GET", "nosuch"), resp.NULL_BULK)

    def test_torn_at_every_byte(self):
        """A pipeline cut in two at every place, both halves sent apart."""
        data = b"".join(resp.encode(c) for c in (("SET", "torn", b"a\r\nb" * 5), ("GET", "torn"), ("INCR", "torncount"), ("DEL", "torn", "torncount")))
        data += b"PING\r\n"
        expected = b"+OK\r\n$20\r\n" + b"a\r\nb" * 5 + b"\r\n:1\r\n:2\r\n+PONG\r\n"
        client = self.client()
        for cut in range(1, len(data)):
            client.send(data[:cut])
            client.send(data[cut:])
            self.assertEqual(client.read_bytes(len(expected)), expected, "cut at %d" % cut)

    def test_huge_pipeline(self):
        """200,000 commands in one piece, replies in order."""
        count = 1_000_000 if LONG else 200_000
        client = self.client()
        data = b"".join(b"*2\r\n$4\r\nECHO\r\n$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(count))
        expected = b"".join(b"$%d\r\n%d\r\n" % (len(str(i)), i) for i in range(count))
        self.assertEqual(b"".join(client.exchange(data, count)), expected)

    def test_million_element_commands(self):
        """MSET, MGET and DEL with a million words."""
        keys = [b"big:%d" % i for i in range(500_000)]
        client = self.client(timeout=300 * SLOW)
        self.assertEqual(client.call("MSET", *[word for key in keys for word in (key, key)]), resp.OK)
        self.assertEqual(client.call("DBSIZE"), len(keys))
        self.assertEqual(client.call("MGET", *keys), keys)
        self.assertEqual(client.call("DEL", *keys, *keys), len(keys))

    def test_more_than_the_multibulk_limit(self):
        with resp.Client(self.server.port, timeout=20) as client:
            client.send(b"*2147483647\r\n")  # allowed as a number; nothing may be allocated for it yet
            rss = self.server.rss()
            client.send(b"$4\r\nPING\r\n")
            self.assertEqual(self.client().call("PING"), resp.Simple(b"PONG"))
            self.assertLess(self.server.rss() - rss, 64 << 20)

    def test_many_hostile_connections(self):
        """Hundreds of broken connections, half of them cut off in the middle; memory and neighbours stay as they were."""
        for i in range(300):
            with resp.Client(self.server.port) as client:
                client.send((b"*3\r\n$3\r\nSET\r\n$1000000\r\nabc", b"*2\r\n$3\r\nGE", b"*1\r\n$", b"*1\r\n$x\r\n", b"'", b"\x00" * 100)[i % 6])
        self.assertEqual(self.client().call("PING"), resp.Simple(b"PONG"))

    def test_declared_size_is_not_taken_at_its_word(self):
        """A bulk announced with 512 MB that never comes must not cost 512 MB."""
        before = self.server.rss()
        clients = [self.client() for _ in range(8)]
        for client in clients:
            client.send(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n" + b"x" * 100_000)
        self.assertEqual(self.client().call("PING"), resp.Simple(b"PONG"))
        self.assertLess(self.server.rss() - before, 256 << 20)


if __name__ == "__main__":
    main()
