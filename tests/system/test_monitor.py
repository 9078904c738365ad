#!/usr/bin/env python3
"""MONITOR beside redis-server, with 1, 2 and 7 threads: what is shown, and how, line by line but for time and port. Then what
is sherd's own: several monitors on several threads see each client's commands in their order; one that does not read is
closed; passwords are not shown; nobody who does not monitor is shown anything."""

import os
import re
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.beside import BesideCase, commands_of  # noqa: E402
from support.case import SLOW, ServerCase, info_field, main, spread_keys, wait_until  # noqa: E402

KEYS = spread_keys(7)
A, B, C = KEYS[0], KEYS[3], KEYS[6]
script = commands_of(A=A, B=B, C=C)
LINES = """
SET A 1; GeT A; FOO; GET; LPUSH A x; MGET A B C; MSET A 1 B 2 C 3; RENAME A B; DEL A B C; CLIENT ID; CLIENT LIST; CLIENT SETNAME me; CONFIG GET port; PING; ECHO hi
SELECT 2; SET A 1; SELECT 0; SELECT 99; SCAN 0; INFO server; SLOWLOG LEN; DEBUG SLEEP 0; COMMAND COUNT; TIME; OBJECT ENCODING A; DBSIZE; KEYS *; PUBLISH c m; FLUSHALL
AUTH secret; AUTH user secret; HELLO 2; HELLO 3 AUTH default secret SETNAME me; RPUSH A x; LMOVE A B LEFT LEFT; BLPOP B 0; BLPOP B 0.01; RESET
MULTI; SET A 1; GET A; CONFIG GET port; EXEC; MULTI; SET A 1; SET B 2; SET C 3; EXEC; MULTI; FOO; EXEC; MULTI; SET A 1; DISCARD; EXEC; WATCH A; UNWATCH; MULTI; PING; EXEC
SUBSCRIBE c; UNSUBSCRIBE c; SSUBSCRIBE c; SUNSUBSCRIBE c
"""


class Monitor:
    def __init__(self, client):
        self.client = client
        self.client.must("MONITOR")

    def until(self, mark):
        """The lines up to one that echoes the mark: (db, words)."""
        lines = []
        while True:
            line = bytes(self.client.read_one())
            found = re.fullmatch(rb"(\d{10})\.(\d{6}) \[(\d+) (\S+)\] (.*)", line, re.S)
            if not found:
                raise AssertionError("not a line of MONITOR: %r" % line)
            if found[5] == b'"ECHO" "%s"' % mark:
                return lines
            lines.append((int(found[3]), found[4], found[5]))


class Beside:
    def test_what_is_shown(self):
        monitors = [Monitor(server.client()) for server in self.servers]
        for monitor in monitors:
            self.addCleanup(monitor.client.close)
        for number, line in enumerate(LINES.strip().splitlines()):
            client = self.pair()
            for command in script(line):
                client(*command, like=lambda ours, theirs: type(ours) is type(theirs) or isinstance(ours, (resp.Map, list)))
            mark = b"mark%d" % number
            for side in client.sides:
                side.must("ECHO", mark)
            got = [monitor.until(mark) for monitor in monitors]
            shown = [[(db, words) for db, _, words in lines] for lines in got]
            self.assertEqual(shown[0], shown[-1], line)

    def test_quoting(self):
        monitors = [Monitor(server.client()) for server in self.servers]
        client = self.pair()
        client("SET", "bin", bytes(range(256)))
        client("SET", "", "")
        for side in client.sides:
            side.must("ECHO", "mark")
        got = [[words for _, _, words in monitor.until(b"mark")] for monitor in monitors]
        self.assertEqual(got[0], got[-1])
        for monitor in monitors:
            monitor.client.close()

    def test_what_a_monitor_may_do(self):
        a = self.pair()
        a("MONITOR")
        strip = lambda raw: re.sub(rb"^\+\d{10}\.\d{6} \[(\d+) \S+\]", rb"+\1", raw)  # noqa: E731
        a.send_all(("MONITOR",), ("PING",), ("GET", "k"), ("SET", "k", "v"), ("ECHO", "x"), ("SELECT", "1"), ("PFCOUNT", "k"))
        got = [[strip(raw) for raw in side.exchange(b"", 9)] for side in a.sides]
        self.assertEqual(got[0], got[-1])
        self.assertEqual(a.line()["flags"], "O")
        a("RESET")
        a("GET", "k")
        self.observers[0].must("PING")
        a.quiet()
        b = self.pair()
        b.all(("MULTI",), ("MONITOR",), ("EXEC",))
        b("MONITOR", "x")


class Beside1(Beside, BesideCase):
    threads = 1


class Beside2(Beside, BesideCase):
    threads = 2


class Beside7(Beside, BesideCase):
    threads = 7


class Threads(ServerCase):
    threads = 4
    options = ("--client-output-buffer-limit", "pubsub", "8mb", "0", "0")

    def test_each_client_in_its_order(self):
        monitors = [Monitor(self.client()) for _ in range(4)]
        clients = [self.client() for _ in range(4)]
        count = 2000 if SLOW == 1 else 300

        def work(number):
            for at in range(0, count, 50):
                clients[number].exchange(b"".join(resp.encode(("GET", "k%d:%d" % (number, n))) for n in range(at, at + 50)), 50)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for monitor in monitors:
            latest, seen = {}, 0
            while seen < 4 * count:
                who, number = re.search(rb'"GET" "k(\d):(\d+)"', bytes(monitor.client.read_one())).groups()
                self.assertEqual(int(number), latest.get(who, -1) + 1)
                latest[who] = int(number)
                seen += 1
        for thread in threads:
            thread.join()

    def test_they_come_and_go(self):
        client = self.client()
        for turn in range(20):
            monitor = Monitor(self.server.client())
            client.must("ECHO", "mark%d" % turn)
            monitor.until(b"mark%d" % turn)
            monitor.client.close()
        client.must("PING")

    def test_no_line_in_the_middle_of_a_reply(self):
        """Unlike in Redis, where a monitor's own EXEC is answered with lines in between."""
        for _ in range(8):  # on some thread
            client = self.client()
            client.must("MONITOR")
            client.send(b"".join(resp.encode(command) for command in (("MULTI",), ("PING",), ("ECHO", "x"), ("EXEC",), ("RESET",))))
            frames = []
            while resp.Simple(b"RESET") not in frames:
                frames.append(client.read_one())
            self.assertIn([resp.Simple(b"PONG"), b"x"], frames)

    def test_long_commands_are_cut(self):
        monitor, client = Monitor(self.client()), self.client()
        client.must("ECHO", b"\0" * 3000000)
        client.must("DEL", *["k%07d" % n for n in range(200000)])
        client.must("SET", "k", b'a"b' * 300000)
        client.must("ECHO", "end")
        echo, delete, whole = [bytes(line[2]) for line in monitor.until(b"end")]
        shown = (1 << 20) - len("ECHO ")
        self.assertTrue(echo == b'"ECHO" "%s"... (%d more bytes)' % (b"\\x00" * shown, 3000000 - shown), echo[-60:])
        shown = re.fullmatch(rb'"DEL"((?: "k\d{7}")+) \.\.\. \((\d+) more arguments\)', delete)
        self.assertTrue(shown, delete[-60:])
        self.assertEqual(len(shown[1]) // len(' "k0000000"') + int(shown[2]), 200000)
        self.assertTrue(whole == b'"SET" "k" "%s"' % (b'a\\"b' * 300000), whole[:60])

    def test_one_that_does_not_read_is_closed(self):
        stuck, client = self.client(), self.client()
        stuck.must("MONITOR")
        for _ in range(2000):
            client.must("ECHO", "x" * 30000)
            if info_field(client, "client_output_buffer_limit_disconnections") != "0":
                break
        self.assertTrue(stuck.is_closed(20 * SLOW))
        wait_until(lambda: b"flags=O" not in bytes(client.must("CLIENT", "LIST")), what="the monitor to be gone")


if __name__ == "__main__":
    main()
