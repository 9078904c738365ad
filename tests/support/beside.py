"""The same script on sherd and on redis-server, side by side, every reply compared byte for byte.

    class Transactions(BesideCase):
        def test_exec(self):
            a, b = self.pair(), self.pair()
            a("MULTI")
            a("SET", "k", "1")
            self.assertEqual(a("EXEC"), [resp.OK])

A Pair is one client of the script: a connection to each server. What it answers is the (typed) reply of sherd, after it
was found equal to the reference's. Where redis-server is not installed the scripts run on sherd alone, and the
expectations that a test spells out remain.

Scripts in which clients block have no sleeps: block() returns when both servers say that the client is blocked, and
quiet() proves that a client got nothing by a round trip of somebody else.
"""

import select

from support import resp
from support.case import Server, ServerCase, redis_binary, wait_until
from support.server import SLOW

OPTIONS = ("--enable-debug-command", "yes")


class Own(tuple):
    """An argument, or an expected reply, that differs between the servers: one item per server."""


def commands_of(**keys):
    """A function that makes commands out of text: "SET A 1; DEL A B", where A and B are the names given here, and '' is an
    empty argument."""
    words = {"''": "", **keys}
    return lambda text: [tuple([words.get(word, word) for word in line.split()]) for line in text.split(";") if line.strip()]


def fields(line):
    return dict(item.split("=", 1) for item in bytes(line).decode().split())


def text_of(value):
    """The bytes of a bulk or of a verbatim string."""
    return bytes(value).split(b":", 1)[1] if isinstance(value, resp.Verbatim) else bytes(value)


class Pair:
    def __init__(self, case, proto=2):
        self.case, self.protos = case, proto
        self.sides = [server.client(proto=proto, timeout=20 * SLOW) for server in case.servers]
        self.id = Own(side.must("CLIENT", "ID") for side in self.sides)

    # --- one reply now ---

    def __call__(self, *args, like=None):
        """Runs one command on both. `like(ours, reference)` judges typed replies that need not be the same bytes."""
        self.send(*args)
        return self.reply(like=like, what=args)

    def all(self, *commands):
        """A pipeline; the list of its replies."""
        self.send_all(*commands)
        return [self.reply(what=command) for command in commands]

    # --- sending and reading apart ---

    def send(self, *args):
        self.send_all(args)

    def send_all(self, *commands):
        for n, side in enumerate(self.sides):
            side.send(b"".join(resp.encode([arg[n] if isinstance(arg, Own) else arg for arg in command]) for command in commands))

    def raw(self, data):
        for side in self.sides:
            side.send(data)

    def reply(self, like=None, what="?"):
        raw = [side.exchange(b"", 1)[0] for side in self.sides]
        ours, reference = resp.decode(raw[0]), resp.decode(raw[-1])
        if raw[0] != raw[-1] and not (like and like(ours, reference)):
            self.case.fail("%.300r answered\n  %.1000r and by redis-server\n  %.1000r" % (what, raw[0], raw[-1]))
        return ours

    def bytes_until(self, end):
        """All bytes up to `end`, compared without looking at frames."""
        got = []
        for side in self.sides:
            data = b""
            while not data.endswith(end):
                data += side.read_bytes(1)
            got.append(data)
        self.case.assertEqual(got[0], got[-1])
        return got[0]

    # --- blocking ---

    def block(self, *args):
        """Sends a command that is to block, and waits until it does."""
        self.send(*args)
        self.wait_blocked(args)

    def wait_blocked(self, what="a command"):
        wait_until(lambda: all("b" in flags for flags in self.flags()), what=lambda: "%r to block; flags %r" % (what, self.flags()))

    def flags(self):
        return [self.line(n).get("flags", "gone") for n in range(len(self.sides))]

    def line(self, n=0):
        """Its line in CLIENT LIST of one server, as seen by somebody else."""
        listing = text_of(self.case.observers[n].must("CLIENT", "LIST", "ID", self.id[n]))
        return fields(listing) if listing else {}

    def quiet(self):
        """Nothing has come for this client."""
        for n, side in enumerate(self.sides):
            self.case.observers[n].must("PING")
            poller = select.poll()
            poller.register(side.sock, select.POLLIN)
            self.case.assertFalse(side.ready or poller.poll(0), "a reply that nobody expects")

    # --- the end ---

    def close(self):
        for side in self.sides:
            side.close()

    def gone(self):
        """Waits until both servers have forgotten this client, which was closed or killed."""
        wait_until(lambda: not any(self.line(n) for n in range(len(self.sides))), what="a client to leave CLIENT LIST")

    def assertClosed(self):
        self.case.assertTrue(all([side.is_closed(10 * SLOW) for side in self.sides]), "not closed")


class BesideCase(ServerCase):
    """Pairs of clients; each test starts with empty databases and must leave no client, lock or waiter."""

    required = ()  # commands without which no test of the class makes sense

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reference = Server(*OPTIONS, kind="redis") if redis_binary() else None

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            if cls.reference:
                cls.reference.stop()
                cls.reference.clean()

    def setUp(self):
        super().setUp()
        self.servers = [self.server] + ([self.reference] if self.reference else [])
        self.observers = [server.client() for server in self.servers]
        for observer in self.observers:
            observer.must("FLUSHALL")
        self.pairs = []
        self.needs(*self.required)

    def tearDown(self):
        super().tearDown()
        for pair in self.pairs:
            pair.close()
        for observer in self.observers:
            observer.close()
        self.assertNothingLeft()

    def pair(self, proto=2):
        pair = Pair(self, proto)
        self.pairs.append(pair)
        return pair

    def pairs_of(self, count):
        return [self.pair() for _ in range(count)]

    def server_time_ms(self, observer):
        seconds, micros = map(int, observer.must("TIME"))
        return seconds * 1000 + micros // 1000

    def wait_ms(self, ms):
        """Until the clocks of both servers have moved on by so much: for deadlines that nobody may look at before."""
        for observer in self.observers:
            end = self.server_time_ms(observer) + ms
            wait_until(lambda: self.server_time_ms(observer) > end, what="the clock")


class TransactionCase(BesideCase):
    required = ("MULTI", "EXEC", "DISCARD", "WATCH", "UNWATCH")

    def exec(self, client, *commands, like=None):
        """A whole transaction, one command after the other; the reply of EXEC."""
        self.assertEqual(client("MULTI"), resp.OK)
        for command in commands:
            self.assertEqual(client(*command), resp.Simple(b"QUEUED"), command)
        return client("EXEC", like=like)


def multi(*commands):
    return [("MULTI",), *commands, ("EXEC",)]


def same_kind(ours, reference):
    return type(ours) is type(reference)
