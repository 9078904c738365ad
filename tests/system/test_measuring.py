#!/usr/bin/env python3
"""The tools that measure: the floor stub answers every command however its bytes are cut, the bench compares two runs, flame
graphs have their boxes in their places, a profile leaves its files. What they measure is not tested here: a test does not
depend on time."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import contextlib  # noqa: E402
import io  # noqa: E402
import json  # noqa: E402
import random  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import unittest  # noqa: E402
import xml.etree.ElementTree as xml  # noqa: E402
from pathlib import Path  # noqa: E402

from support.case import SLOW, main, wait_until  # noqa: E402
from support.server import ROOT, free_port, sherd_binary  # noqa: E402

sys.path.insert(0, os.path.join(ROOT, "perf"))
import bench_show  # noqa: E402
import flame  # noqa: E402

TOOLS = Path(sherd_binary()).resolve().parent / "perf"
GET = b"*2\r\n$3\r\nGET\r\n$5\r\nhello\r\n"
SET = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n%s\r\n" % (len(GET), GET)  # its value looks like a command
VALUE = b"$64\r\n" + b"x" * 64 + b"\r\n"


@unittest.skipUnless((TOOLS / "sherd-floor").exists(), "sherd-floor is not built")
class Floor(unittest.TestCase):
    def setUp(self):
        self.port = free_port()
        self.process = subprocess.Popen([TOOLS / "sherd-floor", "--port", str(self.port)])
        self.addCleanup(self.end)

    def end(self):
        self.process.kill()
        self.process.wait()

    def connect(self):
        def attempt():
            with contextlib.suppress(ConnectionRefusedError):
                return socket.create_connection(("127.0.0.1", self.port), timeout=20 * SLOW)
        sock = wait_until(attempt, what="the floor listens")
        self.addCleanup(sock.close)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def read(self, sock, size):
        got = b""
        while len(got) < size:
            piece = sock.recv(size - len(got))
            self.assertTrue(piece, "closed after %r" % got)
            got += piece
        return got

    def test_each_answer(self):
        sock = self.connect()
        for command, reply in ((b"PING\r\n", b"+PONG\r\n"), (b"*1\r\n$4\r\nPING\r\n", b"+PONG\r\n"), (GET, VALUE), (SET, b"+OK\r\n")):
            sock.sendall(command)
            self.assertEqual(self.read(sock, len(reply)), reply)

    def test_bytes_cut_anywhere(self):
        sock, both = self.connect(), SET + GET
        for cut in range(1, len(both)):
            sock.sendall(both[:cut])
            sock.sendall(both[cut:])
            self.assertEqual(self.read(sock, 5 + len(VALUE)), b"+OK\r\n" + VALUE)

    def test_a_long_pipeline_of_several_clients(self):
        clients = [self.connect() for _ in range(5)]
        for sock in clients:
            sock.sendall(GET * 3000)
        for sock in clients:
            self.assertEqual(self.read(sock, 3000 * len(VALUE)), VALUE * 3000)

    def test_what_is_no_resp_is_hung_up_on(self):
        for garbage in (b"x" * 100, b"*0\r\n", b"$5\r\n"):
            sock = self.connect()
            sock.sendall(garbage)
            self.assertEqual(sock.recv(100), b"")
        self.connect().sendall(GET)
        self.assertIsNone(self.process.poll())


def record(cpu_us):
    return {"cpu_us": cpu_us, "ops_per_s": 1e6 / cpu_us, "p99_us": 100 * cpu_us}


def report(commit, sherd, redis, others=()):
    results = [{"scenario": scenario, "server": server, "reps": [record(cpu * 0.99), record(cpu * 1.01)],
                "median": record(cpu)} for scenario, server, cpu in (("GET P1", "sherd", sherd), ("GET P1", "redis", redis), *others)]
    check = {"name": "GET P1", "value": sherd / redis, "target": 0.7, "unit": "x redis's CPU per op", "or_us": None,
             "noisy": False, "ok": sherd / redis <= 0.7}
    return {"meta": {"commit": commit}, "results": results, "checks": [check]}


class Compare(unittest.TestCase):
    def compare(self, old, new):
        """Its exit code and what it prints."""
        with tempfile.TemporaryDirectory() as dir:
            paths = [os.path.join(dir, name) for name in ("old.json", "new.json")]
            for path, content in zip(paths, (old, new)):
                Path(path).write_text(json.dumps(content))
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                code = bench_show.compare(*paths)
            return code, out.getvalue()

    def test_a_change_beyond_the_noise(self):
        code, text = self.compare(report("aaa", 4.0, 8.0), report("bbb", 3.0, 8.0, [("SET P1", "sherd", 5.0)]))
        self.assertEqual(code, 0)
        self.assertRegex(text, r"GET P1 +sherd +4\.000 +3\.000 +-25\.0% +2% +-25\.0% .* faster")
        self.assertRegex(text, r"GET P1 +redis +8\.000 +8\.000 +\+0\.0% .* within noise")
        self.assertRegex(text, r"only in .*new\.json: SET P1 \(sherd\)")

    def test_a_slower_machine_is_seen_beside_redis(self):
        _, text = self.compare(report("aaa", 4.0, 8.0), report("bbb", 8.0, 16.0))
        self.assertRegex(text, r"GET P1 +sherd +4\.000 +8\.000 +\+100\.0% +2% +\+0\.0% .* slower")

    def test_runs_of_persist(self):
        figure = {"figure": "restart", "unit": "GB/s", "sherd": 1.0, "redis": 0.5, "ratio": 2.0}
        old = {"meta": {"commit": "aaa"}, "persist": [figure]}
        new = {"meta": {"commit": "bbb"}, "persist": [{**figure, "sherd": 1.5, "ratio": 3.0}]}
        code, text = self.compare(old, new)
        self.assertEqual(code, 0)
        self.assertRegex(text, r"restart +GB/s +1\.00 +1\.50 +\+50\.0% +\+50\.0%")
        self.assertEqual(self.compare(report("aaa", 4.0, 8.0), new)[0], 1)


PERF = """\
sherd-0 12/13  42.663178:    1001001 cpu-clock:
\tffffffff821ecc26 tcp_sendmsg+0x46 ([kernel.kallsyms])
\t           fce67 send+0x7 (/usr/lib/x86_64-linux-gnu/libc.so.6)
\t           32f72 conn_flush.lto_priv.0+0x712 (/opt/sherd)

sherd-0 12/13  42.663179:    1001001 cpu-clock:
\t           32f72 cmd_get.constprop.0.isra.0+0x712 (/opt/sherd)
\t           32000 run (/opt/sherd)

"""

CALLGRIND = """\
events: Ir
fl=(1) a.c
fn=(1) main
10 5
cfn=(2) work.lto_priv.0
calls=3 20
11 90
cfn=(3) leaf
calls=1 30
12 10
fn=(2)
20 60
+1 10
cfn=(3)
calls=2 30
* 20
fn=(3)
30 30
totals: 105
"""


class Flame(unittest.TestCase):
    def test_samples_of_perf(self):
        self.assertEqual(flame.read_perf(PERF.splitlines()), {
            ("sherd-0", "conn_flush", "send_[l]", "tcp_sendmsg_[k]"): 1, ("sherd-0", "run", "cmd_get"): 1})

    def test_arcs_of_callgrind(self):
        """`leaf` cost 30, of which a third was for main."""
        self.assertEqual(flame.Callgrind(CALLGRIND.splitlines()).stacks(), {
            ("main",): 5, ("main", "work"): 70, ("main", "work", "leaf"): 20, ("main", "leaf"): 10})

    def test_recursion_ends(self):
        text = "fn=(1) a\n1 5\ncfn=(2) b\ncalls=1 1\n1 9\nfn=(2)\n1 4\ncfn=(1)\ncalls=1 1\n1 5\n"
        self.assertGreater(sum(flame.Callgrind(text.splitlines()).stacks().values()), 0)

    def test_boxes_stand_on_their_callers(self):
        seed = int(os.environ.get("SHERD_SEED") or random.randrange(1 << 30))
        print("seed", seed)
        draw = random.Random(seed)
        stacks = {tuple(draw.choice("abcde<&") for _ in range(draw.randint(1, 12))): draw.randint(1, 50) for _ in range(300)}
        boxes = flame.boxes_of(flame.tree_of(stacks), 1000 / sum(stacks.values()))
        rows = {}
        for depth, x, width, *_ in boxes:
            rows.setdefault(depth, []).append((x, x + width))
        self.assertAlmostEqual(sum(b - a for a, b in rows[0]), 1000)
        for depth, row in rows.items():
            row.sort()
            self.assertTrue(all(a[1] <= b[0] + 1e-6 for a, b in zip(row, row[1:])), "boxes of a row overlap")
            for left, right in row if depth else ():
                self.assertTrue(any(a <= left + 1e-6 and right <= b + 1e-6 for a, b in rows[depth - 1]), "no caller below")
        xml.fromstring(flame.draw(stacks, "<title> & more"))
        self.assertEqual(flame.read_folded(flame.fold(stacks).splitlines()), stacks)


@unittest.skipUnless((TOOLS / "sherd-load").exists(), "sherd-load is not built")
class Profile(unittest.TestCase):
    def test_counters_alone(self):
        with tempfile.TemporaryDirectory() as out:
            done = subprocess.run(
                [sys.executable, os.path.join(ROOT, "perf", "profile.py"), "set get incr p5 (no multi)", "--with", "none",
                 "--time", "0.5", "--keys", "1000", "--threads", "2", "--out", out, "--sherd-bin", sherd_binary(),
                 "--load-bin", TOOLS / "sherd-load"], capture_output=True, text=True, timeout=60 * SLOW)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(sorted(os.listdir(out)), ["info.txt", "load.json", "report.txt"])
            report = Path(out, "report.txt").read_text()
            for words in ("phases of the turn", "batches by commands", "messages between shards", "the slowest turns", "shard1"):
                self.assertIn(words, report)
            self.assertIn("# Commandstats", Path(out, "info.txt").read_text())

    def test_an_unknown_scenario_is_answered_by_their_names(self):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "perf", "profile.py"), "nosuch"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("GET P16\n", done.stderr)


if __name__ == "__main__":
    main()
