#!/usr/bin/env python3
"""Tests the judge of histories (tests/support/linear.py), as a judge that always agrees would let every server pass:
  1. on hundreds of small random histories it says the same as trying all orders;
  2. it accepts long histories that were made by a naive server, with lost replies among them, and refuses each of them after
     one reply was changed to a value of another time;
  3. the textbook cases: a stale read, a lost update, a torn MSET, two winners, an order that differs between two readers."""

import itertools
import os
import random
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.crowd import seed_of_run  # noqa: E402
from support.linear import NEVER, UNKNOWN, Op, Twin, Undecided, explain  # noqa: E402

SEED = seed_of_run()
NIL, OK = resp.NULL_BULK, resp.OK


def brute(ops, initial, step):
    """All orders of all choices of lost operations."""
    known, lost = [op for op in ops if op.reply is not UNKNOWN], [op for op in ops if op.reply is UNKNOWN]
    rank = {id(op): i for i, op in enumerate(ops)}
    for count in range(len(lost) + 1):
        for some in itertools.combinations(lost, count):
            if any(other.client == op.client and rank[id(other)] < rank[id(op)] and other not in some for op in some for other in lost):
                continue  # what a client sent behind a lost operation cannot have happened without it
            for order in itertools.permutations(known + list(some)):
                if fits(order, rank, initial, step):
                    return True
    return False


def fits(order, rank, state, step):
    for i, op in enumerate(order):
        for later in order[i + 1 :]:
            if later.received < op.sent or (later.client == op.client and rank[id(later)] < rank[id(op)]):
                return False
        state, reply = step(state, op.commands)
        if op.reply is not UNKNOWN and op.reply != reply:
            return False
    return True


def random_command(rng, fresh, keys):
    key, other = rng.sample(keys, 2) if len(keys) > 1 else keys * 2
    value = b"%d" % next(fresh)
    return rng.choice([("GET", key), ("GET", other), ("SET", key, value), ("DEL", key), ("GETSET", key, value), ("MGET", *keys),
                       ("MSET", *[word for name in keys for word in (name, value)])])


def honest(rng, clients, count, lost=0.0, keys=("a", "b")):
    """A history of a naive server: operations take effect one by one at a moment within their time."""
    twin, fresh, ops, now = Twin(*keys), itertools.count(), [], 0
    state, open_ops, lives = twin.initial, {}, {}
    while len(ops) < count or open_ops:
        now += 1
        client = rng.randrange(clients)
        if client not in open_ops and len(ops) < count:
            who = (client, lives.setdefault(client, 0))
            op = Op(who, now, 0, [random_command(rng, fresh, keys)], None)
            ops.append(op)
            open_ops[client] = [op, False]
        elif client in open_ops:
            op, done = open_ops[client]
            if not done:
                state, op.reply = twin.step(state, op.commands)
                open_ops[client][1] = True
            if rng.random() < lost:
                op.reply, op.received = UNKNOWN, NEVER
                while open_ops[client][1] and rng.random() < 0.5:  # what it sent behind it is lost, too, done or not
                    ops.append(Op(op.client, op.sent, NEVER, [random_command(rng, fresh, keys)], UNKNOWN))
                    open_ops[client][1] = rng.random() < 0.6
                    if open_ops[client][1]:
                        state, _ = twin.step(state, ops[-1].commands)
                lives[client] += 1
                del open_ops[client]
            elif done:
                op.received = now
                del open_ops[client]
    return twin, ops


class Linear(unittest.TestCase):
    def setUp(self):
        self.rng = random.Random(SEED)

    def test_agrees_with_all_orders(self):
        rng, verdicts = self.rng, [0, 0]
        for _ in range(500):
            twin, ops = honest(rng, 3, rng.randrange(2, 5), 0.15)
            if rng.random() < 0.7:
                a, b = rng.choice(ops), rng.choice(ops)
                if a.reply is not UNKNOWN and b.reply is not UNKNOWN:
                    a.reply = b.reply
            if len(ops) > 5:
                continue
            expected = brute(ops, twin.initial, twin.step)
            self.assertEqual(explain(ops, twin.initial, twin.step) is None, expected, ops)
            verdicts[expected] += 1
        self.assertGreater(min(verdicts), 20)

    def test_long_histories(self):
        for lost in (0.0, 0.003):
            twin, ops = honest(self.rng, 8, 600, lost)
            self.assertIsNone(explain(ops, twin.initial, twin.step))
            reads = [op for op in ops if op.commands[0][0] == "GET" and type(op.reply) is bytes]
            early, late = reads[len(reads) // 3], reads[-len(reads) // 3]
            self.assertNotEqual(early.reply, late.reply)  # every value is written once, so this one comes from the future
            early.reply = late.reply
            try:
                self.assertIn("not linearisable", explain(ops, twin.initial, twin.step, 30_000) or "")
            except Undecided:  # lost replies leave many ways to search in vain
                self.assertTrue(lost)

    def judge(self, *rows):
        """rows: client, sent, received, command, reply."""
        twin = Twin("a", "b")
        ops = [Op(client, sent, received, command if isinstance(command, list) else [command], reply)
               for client, sent, received, command, reply in rows]
        return explain(ops, twin.initial, twin.step) is None

    def test_textbook(self):
        one = (1, 0, 1, ("SET", "a", "1"), OK)
        self.assertTrue(self.judge(one, (2, 0, 3, ("GET", "a"), NIL), (2, 4, 5, ("GET", "a"), b"1")))
        self.assertFalse(self.judge(one, (2, 2, 3, ("GET", "a"), NIL)), "stale")
        self.assertFalse(self.judge((1, 0, 9, ("SET", "a", "1"), OK), (2, 1, 2, ("GET", "a"), b"1"), (3, 3, 4, ("GET", "a"), NIL)), "goes back")
        self.assertFalse(self.judge((1, 0, 9, ("INCR", "a"), 1), (2, 0, 9, ("INCR", "a"), 1)), "lost update")
        both = (1, 0, 9, ("MSET", "a", "1", "b", "1"), OK)
        self.assertFalse(self.judge(both, (2, 1, 8, ("MGET", "a", "b"), [b"1", NIL])), "torn")
        inside = [("MULTI",), ("GET", "b"), ("SET", "b", "2"), ("EXEC",)]
        self.assertTrue(self.judge(both, (2, 1, 8, inside, [b"1", OK]), (3, 10, 11, ("GET", "b"), b"2")))
        self.assertFalse(self.judge((1, 0, 9, ("MSETNX", "a", "1", "b", "1"), 1), (2, 0, 9, ("MSETNX", "b", "2", "a", "2"), 1)), "two winners")
        writes = [(1, 0, 9, ("SET", "a", "1"), OK), (2, 0, 9, ("SET", "b", "1"), OK)]
        first, second = (3, 1, 8, ("MGET", "a", "b"), [b"1", NIL]), (4, 1, 8, ("MGET", "a", "b"), [NIL, b"1"])
        self.assertTrue(self.judge(*writes, first) and self.judge(*writes, second))
        self.assertFalse(self.judge(*writes, first, second), "two readers, two orders")

    def test_lost_replies(self):
        lost = (1, 0, 0, ("SET", "a", "1"), UNKNOWN)
        self.assertTrue(self.judge(lost, (2, 5, 6, ("GET", "a"), NIL), (2, 7, 8, ("GET", "a"), b"1")), "late")
        self.assertTrue(self.judge(lost, (2, 5, 6, ("GET", "a"), NIL)), "never")
        self.assertFalse(self.judge(lost, (2, 5, 6, ("GET", "a"), b"1"), (2, 7, 8, ("DEL", "a"), 1), (2, 9, 10, ("GET", "a"), b"1")), "twice")


if __name__ == "__main__":
    unittest.main(verbosity=2)
