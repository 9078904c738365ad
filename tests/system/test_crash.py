#!/usr/bin/env python3
"""Killed at random moments, and started again: nothing that a client was told is missing, and nothing is there by half.

Proves   appendfsync always: every write that was acknowledged, and everything that any client has read, is there after
         kill -9. appendfsync everysec: all but the last two seconds. appendonly no: all from before the last BGSAVE that
         finished, as it was at one moment. In each case a transaction, an MSET, a DEL, a RENAME or an LMOVE over several shards is
         there as a whole or not at all, also FLUSHDB and SWAPDB; nothing is there that nobody sent; an orderly end loses
         nothing that is logged.
How      some sixty clients play the subjects of tests/support/ledger.py, BGSAVE and BGREWRITEAOF come in between, and then the
         server is killed. It is started again with 1, 2 or 5 threads, at times killed once or twice more while it recovers, and
         every subject is checked; then the next round begins in the same directory. `sherd check` finds no damage in between.

SHERD_CRASHES=N   rounds per test (else a few; they take two or three seconds each)
SHERD_SEED=N      the same choices again, as far as time allows
SHERD_KEEP=DIR    before each restart the data are copied there: what a failed check was about
SHERD_BIN=/usr/bin/redis-server runs the same against the reference."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import random  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import ledger, resp  # noqa: E402
from support.case import SLOW, Server, main, spread_keys  # noqa: E402
from support.crowd import Crowd, seed_of_run, transaction  # noqa: E402
from support.ledger import NIL, Chain, Counter, Known, Queue, Steps, Tokens, Transfers, pause  # noqa: E402
from support.server import sherd_binary  # noqa: E402

ROUNDS = int(os.environ.get("SHERD_CRASHES") or (2 if SLOW > 1 else 5))
KEEP = os.environ.get("SHERD_KEEP")
KIND = "redis" if "redis-server" in os.path.basename(sherd_binary()) else "sherd"
LOST_NS = 2_000_000_000  # what everysec may lose
EVER = 1 << 62


# --- the subjects that are steps ---


def version(n):
    """The value of step n: mostly short, at times larger than a batch of the journal, seldom larger than many."""
    size = 300_000 if n % 499 == 0 else 70_000 if n % 97 == 0 else n * 2654435761 % 700
    return b"%d:" % n + b"%07d," % n * (size // 8)


def register(rng, key):
    return Steps(rng, key, lambda n: [("SET", key, version(n))] if n % 7 else [("DEL", key)],
                 [("GET", key)], lambda n: version(n) if n % 7 else NIL)


def heavy(rng, key):
    """A megabyte each time: the journal goes through several segments in a round, and its writes through many chunks."""
    value = lambda n: b"%d:" % n + b"%07d," % n * 131072 if n else NIL  # noqa: E731
    return Steps(rng, key, lambda n: [("SET", key, value(n))], [("GET", key)], value, batch=2)


def text(rng):
    begin = lambda n: n - n % 150  # noqa: E731
    return Steps(rng, "text", lambda n: [("APPEND", "text", "%d;" % n)] if n % 150 else [("SET", "text", "%d;" % n)],
                 [("GET", "text")],
                 lambda n: b"".join(b"%d;" % i for i in range(max(begin(n), 1), n + 1)) if n else NIL)


def row(rng):
    return Steps(rng, "row", lambda n: [("RPUSH", "row", n)] if n % 200 else [("DEL", "row")],
                 [("LRANGE", "row", 0, -1)], lambda n: [b"%d" % i for i in range(n - n % 200 + 1, n + 1)])


def board(rng):
    return Steps(rng, "board",
                 lambda n: transaction(("ZADD", "board", n, "m%d" % n), ("ZREMRANGEBYRANK", "board", 0, -21)),
                 [("ZRANGE", "board", 0, -1)], lambda n: [b"m%d" % i for i in range(max(n - 19, 1), n + 1)])


NO_GROUP = resp.Error(b"NOGROUP No such key 'flow' or consumer group 'g'")


def flow(rng):
    """A stream that is trimmed, and a worker that has its latest entry in hand."""
    work = ("XREADGROUP", "GROUP", "g", "w", "STREAMS", "flow", ">")
    entry = lambda n: [b"%d-1" % n, [b"n", b"%d" % n]]  # noqa: E731
    return Steps(rng, "flow",
                 lambda n: transaction(*([("XGROUP", "CREATE", "flow", "g", 0, "MKSTREAM")] if n == 1 else [("XACK", "flow", "g", "%d-1" % (n - 1))]),
                                       ("XADD", "flow", "MAXLEN", 20, "%d-1" % n, "n", n), work),
                 transaction(("XRANGE", "flow", "-", "+"), ("XPENDING", "flow", "g")),
                 lambda n: [[entry(i) for i in range(max(n - 19, 1), n + 1)], [1, b"%d-1" % n, b"%d-1" % n, [[b"w", b"1"]]]] if n else [[], NO_GROUP])


def card(rng):
    fields = ["f%d" % i for i in range(20)]
    last = lambda n, i: n - (n - i) % 20  # noqa: E731
    return Steps(rng, "card", lambda n: [("HSET", "card", "f%d" % (n % 20), n)], [("HMGET", "card", *fields)],
                 lambda n: [b"%d" % last(n, i) if last(n, i) > 0 else NIL for i in range(20)])


def group(rng):
    """MSET and DEL over all shards."""
    keys = spread_keys(7, "group")
    return Steps(rng, "group", lambda n: [("MSET", *[word for key in keys for word in (key, n)])] if n % 5 else [("DEL", *keys)],
                 [("MGET", *keys)], lambda n: [b"%d" % n if n % 5 else NIL] * 7)


def multi(rng):
    """Transactions over several shards with several types."""
    one, two, three, four = spread_keys(4, "multi")
    return Steps(rng, "multi",
                 lambda n: transaction(("SET", one, n), ("HSET", two, "f", n), ("INCR", three), ("LPUSH", four, n), ("LTRIM", four, 0, 4)),
                 transaction(("GET", one), ("HGET", two, "f"), ("GET", three), ("LRANGE", four, 0, 0)),
                 lambda n: [b"%d" % n] * 3 + [[b"%d" % n]] if n else [NIL, NIL, NIL, []])


def mover(rng):
    """One key that wanders over the shards by RENAME."""
    keys = spread_keys(4, "mover")
    return Steps(rng, "mover", lambda n: [("RENAME", keys[(n - 1) % 4], keys[n % 4])] if n > 1 else [("SET", keys[1], "x")],
                 [("MGET", *keys)], lambda n: [b"x" if n and i == n % 4 else NIL for i in range(4)])


def databases(rng):
    """MSET, SWAPDB and FLUSHDB in two databases that nobody else uses: over all shards, each of them."""
    keys = spread_keys(5, "key")
    each = lambda value: [b"%d" % value if value else NIL] * 5  # noqa: E731

    def step(n):
        deed = {0: ("SWAPDB", 5, 6), 2: ("SWAPDB", 5, 6), 4: ("SWAPDB", 5, 6), 5: ("FLUSHDB",)}
        return [("SELECT", 5), deed.get(n % 6, ("MSET", *[word for key in keys for word in (key, n)]))]

    def state(n):
        begin = n - n % 6
        five, six = {0: (begin and begin - 3, 0), 1: (begin + 1, 0), 2: (0, begin + 1), 3: (begin + 3, begin + 1),
                     4: (begin + 1, begin + 3), 5: (0, begin + 3)}[n % 6]
        return [resp.OK, each(five), resp.OK, each(six)]

    look = transaction(("SELECT", 5), ("MGET", *keys), ("SELECT", 6), ("MGET", *keys))
    return Steps(rng, "databases", step, look, state, batch=1, pause_s=0.2)


def subjects(rng, causal, weight):
    return [
        *[heavy(rng, key) for key in spread_keys(weight, "heavy")],
        *[register(rng, key) for key in spread_keys(3, "register")],
        text(rng), row(rng), board(rng), flow(rng), card(rng), group(rng), multi(rng), mover(rng), databases(rng),
        Counter(rng, "INCR", ("INCR", "count"), ("GET", "count")),
        Counter(rng, "HINCRBY", ("HINCRBY", "counts", "f", 1), ("HGET", "counts", "f")),
        Counter(rng, "ZINCRBY", ("ZINCRBY", "scores", 1, "m"), ("ZSCORE", "scores", "m")),
        Transfers(rng), Queue(rng), Tokens(rng), Chain(rng, causal),
    ]


# --- the crash ---


def persistence(replies):
    """INFO persistence as a dictionary."""
    lines = bytes(replies[0]).decode("latin-1").split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


class Crash(unittest.TestCase):
    """How a server ends is in methods of its own, for tests/system/test_power.py to end it otherwise."""

    rounds = ROUNDS
    refusable = False  # whether clients may be answered -MISCONF

    def prepare(self, options):
        """Makes self.server, and says in self.data where its files are."""
        self.server = Server(*options, kind=KIND, binary=sherd_binary(), defaults=False, start=False)
        self.addCleanup(self.server.clean)
        self.data = self.server.dir

    def terminate(self, process):
        """In good order."""
        process.terminate()

    def end(self, process):
        """Now, and returns when that was."""
        process.kill()
        return time.monotonic_ns()

    def ended(self, orderly):
        """The process is gone."""

    def crash_at_start(self, after_s):
        self.server.start_and_kill(after_s)

    def scenario(self, *options, lost_ns=0, snapshots=False, seconds=0.8, weight=0):
        self.seed = seed_of_run()
        self.rng = random.Random(self.seed)
        self.snapshots, self.lost_ns, self.seconds = snapshots, lost_ns, seconds
        self.round_trips = self.saves = self.kills = 0
        self.subjects = subjects(self.rng, lost_ns == 0 or KIND == "redis", weight)
        self.prepare([*options, "--save", ""])
        self.restart(interrupted=False)
        for self.round in range(self.rounds):
            killed, floor_ns = self.play()
            if KIND == "sherd" and self.rng.random() < 0.3:
                self.look_at_files()
            self.restart(interrupted=self.rng.random() < 0.4)
            self.check(killed, floor_ns)
        self.server.stop()
        print("(%d round trips, %d saves, %d kills)" % (self.round_trips, self.saves, self.kills), end=" ", flush=True)

    def restart(self, interrupted):
        if KEEP:
            shutil.rmtree(KEEP, ignore_errors=True)
            shutil.copytree(self.data, KEEP)
        for _ in range(self.rng.randrange(1, 3) if interrupted else 0):
            self.server.threads = self.rng.choice([1, 2, 5])
            self.crash_at_start(self.rng.uniform(0, 0.2) * SLOW)
            self.kills += 1
        self.server.threads = self.rng.choice([1, 2, 5])
        self.server.start()

    def look_at_files(self):
        """What a crash leaves is no damage."""
        done = subprocess.run([sherd_binary(), "check", self.data], capture_output=True, text=True, errors="replace",
                              timeout=60 * SLOW)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def ask(self, *commands):
        with self.server.client() as client:
            replies = client.pipeline(commands)
        ledger.no_errors(commands, replies)
        return replies

    def play(self):
        """One round until the server is gone. How it went, and up to when things must be there."""
        for subject in self.subjects:
            subject.prepare(self.ask)
        orderly = self.rng.random() < 0.2
        process, self.end_ns = self.server.process, 0

        def end():
            if orderly:
                self.terminate(process)
            else:
                self.end_ns = self.end(process)

        timer = threading.Timer(self.rng.uniform(0.1, 2) * self.seconds * SLOW, end)
        timer.start()
        self.saved_ns = 0  # when the last save of this round that is known to have finished began
        # A save syncs the log, so there are rounds without.
        self.lulls = [0.02, 0.1, 0.5] if self.snapshots or self.rng.random() < 0.6 else [60]
        scripts = [script for subject in self.subjects for script in subject.scripts()]
        crowd = Crowd(self.server.port, seed=self.seed, mortal=True, refusable=self.refusable)
        try:
            self.round_trips += crowd.run(*scripts, self.saver).round_trips
        except BaseException:
            timer.cancel()
            raise
        timer.join()
        code = process.wait(20 * SLOW)
        self.assertEqual(code, 0 if orderly else -signal.SIGKILL, self.server.tail())
        self.ended(orderly)
        self.kills += not orderly
        if self.snapshots:
            return orderly, self.saved_ns
        return orderly, EVER if orderly or not self.lost_ns else self.end_ns - self.lost_ns

    def saver(self, me):
        """A save every now and then, of either kind; the next not before it has finished."""
        while not me.crowd.over:
            yield [pause(self.rng.choice(self.lulls))]
            began_ns, command = time.monotonic_ns(), "BGSAVE" if self.snapshots else self.rng.choice(["BGSAVE", "BGREWRITEAOF"])
            reply = (yield [(command,)])[0]
            refused = isinstance(reply, resp.Error)
            if refused and b"in progress" not in reply and b"is active" not in reply:  # one that it has begun by itself
                raise AssertionError("%s answered %r" % (command, reply))
            while True:
                yield [pause(0.02)]
                info = persistence((yield [("INFO", "persistence")]))
                if info["rdb_bgsave_in_progress"] == "0" and info["aof_rewrite_in_progress"] == "0":
                    break
            if refused:
                continue
            if info["rdb_last_bgsave_status"] != "ok":
                raise AssertionError("%s failed" % command)
            self.saved_ns = began_ns
            self.saves += 1

    def check(self, orderly, floor_ns):
        wrong = [line for subject in self.subjects for line in subject.verify(self.ask, floor_ns)]
        if wrong:
            self.fail("seed %d, round %d, after %s, now with %s threads:\n  %s\n--- end of its log\n%s" % (
                self.seed, self.round, "an orderly end" if orderly else "a crash", self.server.threads, "\n  ".join(wrong),
                self.server.tail(40)))

    def test_always(self):
        self.scenario("--appendonly", "yes", "--appendfsync", "always")

    def test_everysec(self):
        self.scenario("--appendonly", "yes", "--appendfsync", "everysec", lost_ns=LOST_NS, seconds=2, weight=1)

    def test_many_segments(self):
        """always, with a megabyte per write, so that segments are filled, begun and used again."""
        self.scenario("--appendonly", "yes", "--appendfsync", "always", seconds=2, weight=2)

    def test_snapshots_alone(self):
        self.scenario("--appendonly", "no", snapshots=True)


class Judgement(unittest.TestCase):
    """The judge himself: what is missing, half there or invented is found."""

    def test_known(self):
        known = Known()
        known.sends(10)
        known.saw(7)
        self.assertIsNone(Known.judge(known, 8, EVER))
        self.assertEqual(known.latest, 8)
        self.assertIsNotNone(known.judge(7, EVER))
        self.assertIsNotNone(known.judge(8, EVER))

    def test_steps(self):
        steps = multi(random.Random(1))
        steps.known.sends(9)
        steps.known.saw(5)
        verify = lambda state: steps.verify(lambda *_: [state], EVER)  # noqa: E731
        self.assertIn("the state of step 4", verify(steps.state(4))[0])
        self.assertIn("no state", verify([b"6", b"6", b"6", [b"5"]])[0])
        self.assertIn("no state", verify(steps.state(10))[0])
        self.assertEqual(verify(steps.state(9)), [])
        self.assertIn("the state of step 8", verify(steps.state(8))[0])

    def test_transfers(self):
        transfers = Transfers(random.Random(1))
        for known in [transfers.count, *transfers.own]:
            known.sends(100)
        values = [5, 1, 1, -2, 0, 0, 1, 1, 1, 1, 1]
        verify = lambda values: transfers.verify(lambda *_: [[b"%d" % value for value in values]], EVER)  # noqa: E731
        self.assertEqual(verify(values), [])
        self.assertTrue(verify([5, 1, 1, -1, 0, 0, 1, 1, 1, 1, 1]))
        self.assertTrue(verify([6, 1, 1, -2, 0, 0, 1, 1, 1, 1, 1]))


if __name__ == "__main__":
    main()
