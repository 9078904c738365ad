#!/usr/bin/env python3
"""Atomic over all shards, as seen by many real clients at once, with 2 and with 7 threads.

Proves   no increment is lost; nobody sees a part of an MSET, DEL, FLUSHALL, SWAPDB, RENAME, MOVE or transaction; money that is
         moved in transactions stays the same in sum; MSETNX has one winner; WATCH misses no change and invents none;
         recorded histories are linearisable, per key and over several keys together; and afterwards no lock or queue entry
         is left.
How      tests/support/crowd.py drives some dozen scripted clients from one loop; keys lie on different shards
         (spread_keys). Each test plays for a moment (SHERD_LONG=1: longer). tests/support/linear.py judges the histories.

What needs a command that the server does not know skips."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import time  # noqa: E402
from itertools import zip_longest  # noqa: E402

from support import resp  # noqa: E402
from support.case import LONG, ServerCase, knows, main, spread_keys  # noqa: E402
from support.crowd import Crowded, Killed, transaction  # noqa: E402
from support.linear import UNKNOWN, Op, Twin, Undecided, explain  # noqa: E402

HISTORY_MAX = 6000 if LONG else 1000  # operations per history: no prefix of one is judged, as it would lack effects
KEYS = spread_keys(7)
READS = ("GET", "MGET", "EXISTS")
NIL, ABORTED = resp.NULL_BULK, resp.NULL_ARRAY


def words(keys, value):
    """The arguments of an MSET that sets all keys to one value."""
    return [word for key in keys for word in (key, value)]


def immortal(script):
    """A client that goes on with a new connection when it was killed. Fit for scripts that keep no books."""

    def run(me):
        while not me.crowd.over:
            try:
                yield from script(me)
                return
            except Killed:
                pass

    return run


class Atomicity(Crowded):
    def setUp(self):
        super().setUp()
        self.needs("MULTI", "WATCH")

    # --- counters ---

    def test_incr_loses_nothing(self):
        """Every value is answered exactly once."""
        seen = {key: [] for key in KEYS}

        def client(me):
            while not me.crowd.over:
                keys = [self.rng.choice(KEYS) for _ in range(20)]
                for key, value in zip(keys, (yield [("INCR", key) for key in keys])):
                    seen[key].append(value)

        self.play(*[client] * 20)
        for key, values in seen.items():
            self.assertEqual(sorted(values), list(range(1, len(values) + 1)), key)
            self.assertEqual(self.redis.call("GET", key), b"%d" % len(values))

    def test_watched_increments_lose_nothing(self):
        """Read, then write in a transaction if nobody wrote in between; over one key and over two shards."""
        done = {"one": 0, "two": 0}
        one, two, three = KEYS[0], KEYS[1], KEYS[-1]

        def single(me):
            while not me.crowd.over:
                _, value = yield [("WATCH", one), ("GET", one)]
                replies = yield transaction(("SET", one, int(value or 0) + 1))
                done["one"] += self.committed(replies[-1], [resp.OK])

        def double(me):
            while not me.crowd.over:
                _, values = yield [("WATCH", two, three), ("MGET", two, three)]
                replies = yield transaction(("SET", two, int(values[0] or 0) + 1), ("SET", three, int(values[1] or 0) + 1))
                done["two"] += self.committed(replies[-1], [resp.OK, resp.OK])

        self.play(*[single] * 6, *[double] * 6)
        self.assertTrue(sum(done.values()) > 0, done)
        self.assertEqual(self.redis.call("MGET", one, two, three), [b"%d" % done["one"]] + [b"%d" % done["two"]] * 2)

    def committed(self, reply, results):
        if reply is ABORTED:
            return 0
        self.assertEqual(reply, results)
        return 1

    def test_watch_invents_nothing(self):
        """Who watches a key that nobody else writes is never aborted, whatever happens to its neighbours."""
        count = []

        def own(me):
            mine = ["own:%d:%d" % (me.number, i) for i in range(3)]
            while not me.crowd.over:
                yield [("WATCH", *mine), ("SET", mine[0], 1)]  # its own change before EXEC does abort
                replies = yield transaction(("GET", mine[0]))
                self.assertIs(replies[-1], ABORTED)
                yield [("WATCH", *mine), ("GET", mine[0])]
                replies = yield transaction(("INCR", mine[1]), ("INCR", mine[2]))
                self.assertIsInstance(replies[-1], list)
                count.append(1)

        def noise(me):
            while not me.crowd.over:
                keys = ["noise:%d" % self.rng.randrange(3000) for _ in range(10)]
                yield [("MSET", *words(keys, "x")), ("DEL", *keys[:5]), *[("INCR", "own:n:%d" % i) for i in range(10)]]

        self.play(*[own] * 8, *[noise] * 4)
        self.assertGreater(len(count), 20)

    # --- several keys written as one ---

    def torn(self, writers, readers, per_round=1, at_least=1000):
        """Writers set all keys to one value, or delete all; readers must see one value in all keys. Counts the looks."""
        looks = [0]

        def write(me, make, round=0):
            while not me.crowd.over:
                round += 1
                yield [command for i in range(per_round) for command in make("%d.%d.%d" % (me.number, round, i))]

        def read(me, make, find):
            while not me.crowd.over:
                for reply in find((yield make() * per_round)):
                    looks[0] += 1
                    self.assertEqual(len(set(map(repr, reply))), 1, "torn: %r" % (reply,))

        self.play(*[lambda me, make=make: write(me, make) for make in writers],
                  *[lambda me, make=make, find=find: read(me, make, find) for make, find in readers], at_least=at_least)
        self.assertGreater(looks[0], 20)

    def by_mget(self, keys=KEYS):
        return (lambda: [("MGET", *keys)], lambda replies: replies)

    def by_exec(self, keys=KEYS):
        return (lambda: transaction(*[("GET", key) for key in keys]), lambda replies: replies[len(keys) + 1 :: len(keys) + 2])

    def by_exists(self, keys=KEYS):
        """0 or all: as a list with one value for all keys."""
        return (lambda: [("EXISTS", *keys)], lambda replies: [[1] * n + [0] * (len(keys) - n) for n in replies])

    def test_mset_is_not_torn_in_pipelines(self):
        self.torn([lambda v: [("MSET", *words(KEYS, v))]] * 6, [self.by_mget()] * 8, per_round=10, at_least=400)

    def test_mset_in_any_order_is_not_torn(self):
        """Writers and readers name the keys in different orders; locks that were taken in that order would meet head on."""
        mixed = lambda v: [("MSET", *words(self.rng.sample(KEYS, len(KEYS)), v))]  # noqa: E731
        shuffled = (lambda: [("MGET", *self.rng.sample(KEYS, len(KEYS)))], lambda replies: replies)
        self.torn([mixed] * 6, [shuffled] * 8)

    def test_large_mset_is_not_torn(self):
        keys = ["large:%d" % i for i in range(300)]
        self.torn([lambda v: [("MSET", *words(keys, v + "x" * 500))]] * 3, [self.by_mget(keys)] * 4, at_least=150)

    def test_del_is_not_torn(self):
        self.torn([lambda v: [("MSET", *words(KEYS, v))]] * 4 + [lambda v: [("DEL", *KEYS)], lambda v: [("UNLINK", *KEYS)]],
                  [self.by_mget()] * 4 + [self.by_exists()] * 4)

    def test_mset_is_not_torn_for_exec(self):
        self.torn([lambda v: [("MSET", *words(KEYS, v))]] * 6, [self.by_exec()] * 4 + [self.by_mget()] * 4)

    def test_exec_is_not_torn(self):
        write = lambda v: transaction(*[("SET", key, v) for key in KEYS])  # noqa: E731
        backwards = lambda v: transaction(*[("SET", key, v) for key in KEYS[::-1]])  # noqa: E731
        remove = lambda v: transaction(*[("DEL", key) for key in KEYS])  # noqa: E731
        self.torn([write, backwards] * 3 + [remove], [self.by_exec()] * 4 + [self.by_mget()] * 4 + [self.by_exists()])

    def test_exec_is_not_torn_in_pipelines(self):
        write = lambda v: transaction(*[("SET", key, v) for key in KEYS])  # noqa: E731
        self.torn([write] * 4 + [lambda v: [("MSET", *words(KEYS, v))]] * 2, [self.by_exec()] * 4 + [self.by_mget()] * 4, per_round=5, at_least=400)

    def test_one_writer_never_goes_back(self):
        """With a single writer what a client reads only grows, within a pipeline, too."""
        def writer(me):
            for n in range(1, 1 << 30):
                if me.crowd.over:
                    return
                yield [("MSET", *words(KEYS, n * 10 + i)) for i in range(3)]

        def reader(me):
            last = 0
            while not me.crowd.over:
                for reply in (yield [("MGET", *KEYS[i % 3 :]) for i in range(6)]):
                    values = [0 if value is NIL else int(value) for value in reply]
                    self.assertEqual(len(set(values)), 1, reply)
                    self.assertGreaterEqual(values[0], last)
                    last = values[0]

        self.play(writer, *[reader] * 8)

    # --- money ---

    def test_transfers_keep_the_sum(self):
        """Moved by WATCH and SET, by DECRBY and INCRBY, by clients that are killed at any point; seen by MGET and EXEC."""
        total = 1000 * len(KEYS)
        moved, looks = [0, 0], [0, 0]
        self.redis.must("MSET", *words(KEYS, 1000))

        def careful(me):
            while not me.crowd.over:
                source, target = self.rng.sample(KEYS, 2)
                amount = self.rng.randrange(1, 50)
                _, (a, b) = yield [("WATCH", source, target), ("MGET", source, target)]
                if int(a) < amount:
                    yield [("UNWATCH",)]
                    continue
                replies = yield transaction(("SET", source, int(a) - amount), ("SET", target, int(b) + amount))
                moved[0] += replies[-1] is not ABORTED

        def quick(me):
            while not me.crowd.over:
                source, target = self.rng.sample(KEYS, 2)
                amount = self.rng.randrange(1, 50)
                commands = transaction(("DECRBY", source, amount), ("INCRBY", target, amount))
                if self.rng.random() < 0.3:  # in two pieces, so that a killer may strike in between
                    yield commands[:2]
                    yield commands[2:]
                else:
                    yield commands
                moved[1] += 1

        def by_mget(me):
            while not me.crowd.over:
                for values in (yield [("MGET", *KEYS)] * 2):
                    looks[0] += 1
                    self.assertEqual(sum(map(int, values)), total, values)

        def by_exec(me):
            while not me.crowd.over:
                values = (yield transaction(*[("GET", key) for key in KEYS]))[-1]
                looks[1] += 1
                self.assertEqual(sum(map(int, values)), total, values)

        self.play(*map(immortal, [careful] * 6 + [quick] * 6 + [by_mget] * 3 + [by_exec] * 3), self.killer)
        self.assertTrue(sum(moved) > 0 and sum(looks) > 0, (moved, looks))  # which kind wins is a matter of speed
        self.assertEqual(sum(map(int, self.redis.call("MGET", *KEYS))), total)

    # --- names ---

    def test_rename_is_never_seen_halfway(self):
        """A key goes to and fro between two shards; exactly one name exists whenever somebody looks."""
        a, b = KEYS[0], KEYS[-1]
        text = "v" * 3000
        self.redis.must("SET", a, text)
        done, looks = [0], [0]

        def mover(me):
            pair = [a, b][:: 1 if me.number % 2 else -1]
            while not me.crowd.over:
                for reply in (yield [("RENAME", *pair)] * (1 + me.number % 3)):
                    if reply == resp.OK:
                        done[0] += 1
                    else:
                        self.assertError(reply, "ERR no such key")

        def reader(me):
            """Each way to look gives a list of how often the key was found, by name."""
            alone = [([("EXISTS", a, b)], lambda replies: replies), ([("MGET", a, b)], lambda replies: found(replies[0]))]
            inside = [(transaction(("EXISTS", a), ("EXISTS", b)), lambda replies: replies[-1]),
                      (transaction(("MGET", a, b), ("PING",)), lambda replies: found(replies[-1][0])),
                      (transaction(("GET", b), ("GET", a)), lambda replies: found(replies[-1]))]
            commands, look = (alone + inside)[me.number % 5]
            while not me.crowd.over:
                replies = yield commands
                looks[0] += 1
                self.assertEqual(sum(look(replies)), 1, "both names or none: %r" % replies)

        def found(values):
            return [value == text.encode() for value in values]

        self.play(*[mover] * 6, *[reader] * 10)
        self.assertTrue(done[0] > 0 and looks[0] > 20)

    def test_msetnx_has_one_winner(self):
        """Rounds of overlapping claims: of claims that share a key one wins, and the winner has all its keys."""
        winners = {}

        def client(me):
            for round in range(10_000):
                if me.crowd.over:
                    return
                keys = ["nx:%d:%d" % (round, (me.number + i) % 4) for i in range(3)]  # any two of these share a key
                if (yield [("MSETNX", *words(keys, me.number))])[0]:
                    self.assertNotIn(round, winners, "two winners")
                    winners[round] = (keys, me.number)
                values = (yield [("MGET", *["nx:%d:%d" % (round, i) for i in range(4)])])[0]
                values = [value for value in values if value is not NIL]
                self.assertTrue(len(values) == 3 and len(set(values)) == 1, values)

        self.play(*[client] * 12)
        self.assertGreater(len(winners), 5)
        for keys, number in winners.values():
            self.assertEqual(self.redis.call("MGET", *keys), [b"%d" % number] * 3)

    # --- whole databases ---

    def test_flush_is_all_or_nothing(self):
        looks = [0]
        command = ("FLUSHALL",) if self.rng.random() < 0.5 else ("FLUSHDB",)

        def writer(me):
            n = 0
            while not me.crowd.over:
                n += 1
                yield [("MSET", *words(KEYS, "%d.%d" % (me.number, n)))]

        def flusher(me):
            while not me.crowd.over:
                yield [command]
                yield [("PING",)] * 3

        def reader(me):
            inside = transaction(("DBSIZE",), ("MGET", *KEYS), ("KEYS", "*"))
            while not me.crowd.over:
                values, size = (yield [("MGET", *KEYS), ("DBSIZE",)])
                looks[0] += 1
                self.assertEqual(len(set(map(repr, values))), 1, values)
                self.assertIn(size, (0, len(KEYS)))
                size, values, names = (yield inside)[-1]
                self.assertEqual(len(set(map(repr, values))), 1, values)
                self.assertEqual((size, len(names)), (0, 0) if values[0] is NIL else (len(KEYS), len(KEYS)))

        self.play(*[writer] * 5, *[flusher] * 2, *[reader] * 6)
        self.assertGreater(looks[0], 20)

    def test_swapdb_is_seen_at_once(self):
        looks = [0]
        for db in (0, 1):
            self.redis.must("SELECT", db)
            self.redis.must("MSET", *words(KEYS, db))
        self.redis.must("SELECT", 0)

        def swapper(me):
            while not me.crowd.over:
                yield [("SWAPDB", 0, 1)]

        def reader(me):
            yield [("SELECT", me.number % 2)]
            while not me.crowd.over:
                values = (yield [("MGET", *KEYS)])[0]
                looks[0] += 1
                self.assertEqual(len(set(values)), 1, values)
                both = (yield transaction(("SELECT", 0), ("MGET", *KEYS), ("SELECT", 1), ("MGET", *KEYS)))[-1]
                self.assertEqual([len(set(both[1])), len(set(both[3])), len(set(both[1] + both[3]))], [1, 1, 2], both)
                yield [("SELECT", me.number % 2)]

        self.play(*[swapper] * 3, *[reader] * 8)
        self.assertGreater(looks[0], 20)

    def test_move_and_copy_keep_one(self):
        """A key moves between databases; whoever looks into both at once finds it once."""
        self.redis.must("SET", KEYS[2], "x")

        def mover(me):
            db = me.number % 2
            yield [("SELECT", db)]
            while not me.crowd.over:
                yield [("MOVE", KEYS[2], 1 - db)]

        def reader(me):
            while not me.crowd.over:
                reply = (yield transaction(("SELECT", 0), ("EXISTS", KEYS[2]), ("SELECT", 1), ("EXISTS", KEYS[2])))[-1]
                self.assertEqual(reply[1] + reply[3], 1, reply)

        self.play(*[mover] * 4, *[reader] * 6)


class Histories(Crowded):
    """Whatever clients saw, there is an order in which a naive server would have answered the same."""

    def test_each_key_is_linearisable(self):
        """Random commands on four keys, alone and in pipelines, some with WATCH; some clients are killed."""
        keys, ops, fresh = KEYS[:4], {}, iter(range(1 << 60))
        watch = knows(self.server, "WATCH")

        def command(key):
            value = "%d" % next(fresh)
            return self.rng.choice([("GET", key)] * 4 + [("SET", key, value)] * 2 + [
                ("GETSET", key, value), ("DEL", key), ("GETDEL", key), ("SETNX", key, value), ("EXISTS", key)])

        def note(who, me, command, reply):
            if reply is UNKNOWN and command[0] in READS:
                return
            ops.setdefault(command[1], []).append(Op(who, me.sent_ns, me.received_ns, [command], reply))

        def plain(me, who):
            commands = [command(self.rng.choice(keys)) for _ in range(self.rng.choice((1, 1, 1, 2, 4)))]
            try:
                replies, lost = (yield commands), False
            except Killed as killed:
                replies, lost, me.received_ns = killed.replies, True, time.monotonic_ns()
            for sent, reply in zip_longest(commands, replies, fillvalue=UNKNOWN):
                note(who, me, sent, reply)
            return lost

        def guarded(me, who):
            key = self.rng.choice(keys)
            try:
                _, old = yield [("WATCH", key), ("GET", key)]
            except Killed:
                return True
            note(who, me, ("GET", key), old)
            cas = ("CAS", key, old, "%d" % next(fresh))
            try:
                reply, lost = (yield transaction(("SET", key, cas[3])))[-1], False
            except Killed as killed:
                reply, lost, me.received_ns = killed.replies[2] if len(killed.replies) == 3 else UNKNOWN, True, time.monotonic_ns()
            if reply is not ABORTED:
                note(who, me, cas, UNKNOWN if reply is UNKNOWN else 1)
            return lost

        def client(me):
            life = 0
            while not me.crowd.over and sum(map(len, ops.values())) < HISTORY_MAX * len(keys):
                way = guarded if watch and self.rng.random() < 0.2 else plain
                life += yield from way(me, (me.number, life))

        self.play(*[client] * 8, self.few_kills)
        self.judge(ops.values(), lambda part: Twin(part[0].commands[0][1]))

    def judge(self, histories, twin_of):
        for part in histories:
            twin = twin_of(part)
            text = explain(part, twin.initial, twin.step)
            if text:
                self.fail(text)

    def test_several_keys_are_strictly_serialisable(self):
        """The same for commands over several shards and for transactions: all keys judged as one object. Where the machine is busy
        very many may overlap, so that a history has too many orders to be judged: then there is another one."""
        for _ in range(3):
            try:
                return self.play_and_judge_several_keys()
            except Undecided as reason:
                print(reason, end=" ")
                self.client().must("FLUSHALL")
        self.fail("three histories could not be judged")

    def play_and_judge_several_keys(self):
        keys, ops, fresh = spread_keys(4), [], iter(range(1 << 60))
        self.needs("MULTI")

        def command():
            a, b = self.rng.sample(keys, 2)
            value = "%d" % next(fresh)
            return self.rng.choice([
                ("GET", a), ("SET", a, value), ("MGET", *keys), ("MGET", a, b), ("MSET", a, value, b, value + "'"), ("DEL", a, b),
                ("RENAME", a, b), ("COPY", a, b, "REPLACE"), ("COPY", a, b), ("MSETNX", a, value, b, value + "'"), ("EXISTS", *keys)])

        def client(me):
            life = 0
            while not me.crowd.over and len(ops) < HISTORY_MAX:
                commands = [command()]
                if self.rng.random() < 0.4:
                    commands = transaction(*[command() for _ in range(self.rng.randrange(1, 5))])
                try:
                    replies = yield commands
                    ops.append(Op((me.number, life), me.sent_ns, me.received_ns, commands, replies[-1]))
                except Killed as killed:
                    if len(killed.replies) == len(commands):
                        ops.append(Op((me.number, life), me.sent_ns, time.monotonic_ns(), commands, killed.replies[-1]))
                    elif commands[0][0] not in READS:
                        ops.append(Op((me.number, life), me.sent_ns, 0, commands, UNKNOWN))
                    life += 1

        self.play(*[client] * 8, self.few_kills)
        self.judge([ops], lambda part: Twin(*keys))


class AtomicityTwo(Atomicity, ServerCase):
    threads = 2


class AtomicitySeven(Atomicity, ServerCase):
    threads = 7


class HistoriesTwo(Histories, ServerCase):
    threads = 2


class HistoriesSeven(Histories, ServerCase):
    threads = 7


if __name__ == "__main__":
    main()
