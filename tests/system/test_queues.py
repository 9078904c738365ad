#!/usr/bin/env python3
"""Lists as queues, with many real clients at once and 2 and 7 threads: nothing is lost and nothing is delivered twice.

Producers push in every way, consumers pop in every way, waiting and not, others move elements from list to list, and some
clients are killed while they wait. At the end, when all is quiet, what was pushed is what was popped and what is left.
An element that the server popped for a client whose connection just broke may be lost (Redis promises no more): such pops are
counted as "maybe", and no more than those may be missing. Clients that are unblocked at the end are unblocked in a race
with pushes, which must not lose anything either. Skips where the server lacks a command."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from collections import Counter  # noqa: E402

from support import resp  # noqa: E402
from support.case import ServerCase, main, spread_keys  # noqa: E402
from support.crowd import Crowded, Killed, transaction  # noqa: E402


class Queues(Crowded):
    def setUp(self):
        super().setUp()
        self.needs("LPUSH", "BLPOP", "BLMOVE", "LMPOP", "BLMPOP", "MULTI", "client|unblock")
        self.queues = spread_keys(5, "q")
        self.pushed, self.popped, self.maybe, self.stopping = [], [], [0], False

    # --- the scripts ---

    def producer(self, me):
        """Producers are not killed: their books would need a maybe, too."""
        me.role, number = "producer", 0
        while not me.crowd.over:
            items = ["%d.%d" % (me.number, number + i) for i in range(self.rng.choice((1, 1, 1, 2, 5)))]
            number += len(items)
            queue = self.rng.choice(self.queues)
            push = (self.rng.choice(("LPUSH", "RPUSH")), queue, *items)
            way = self.rng.random()
            if way < 0.7:
                commands = [push]
            elif way < 0.85:
                other = self.rng.choice(self.queues)
                commands = transaction(push, ("LPUSH", other, "%d.%d" % (me.number, number)))
                items.append("%d.%d" % (me.number, number))
                number += 1
            else:  # made elsewhere and renamed: a key that appears without a push
                temporary = "t:%d" % me.number
                commands = transaction(("RPUSH", temporary, *items), ("RENAMENX", temporary, queue), ("DEL", temporary))
            replies = yield commands
            if commands[-1] == ("EXEC",) and replies[-1][1] == 0:
                continue  # RENAMENX found the queue there, and the items were deleted
            self.pushed += [item.encode() for item in items]

    def consumer(self, me):
        """Pops in every way there is. What a killed client had asked for may have been popped for it."""
        rng = self.rng
        while not self.stopping:
            some = rng.sample(self.queues, rng.randrange(1, 4))
            timeout = rng.choice(("0", "0", "0.01", "0.05", "1"))
            command, count = rng.choice([
                (("BLPOP", *some, timeout), 1), (("BRPOP", *some, timeout), 1), (("BLPOP", *some, timeout), 1),
                (("BLMPOP", timeout, len(some), *some, rng.choice(("LEFT", "RIGHT")), "COUNT", 3), 3),
                (("LMPOP", len(some), *some, "LEFT", "COUNT", 2), 2), (("LPOP", some[0], 3), 3), (("RPOP", some[0]), 1),
                (("EXEC",), 2)])
            commands = [command]
            if command == ("EXEC",):
                commands = transaction(("LPOP", some[0]), ("BLPOP", *some, 0))
            try:
                self.popped += found((yield commands)[-1], self.queues)
            except Killed as killed:
                if len(killed.replies) == len(commands):
                    self.popped += found(killed.replies[-1], self.queues)
                else:
                    self.maybe[0] += count

    def mover(self, me):
        """Moves elements from queue to queue: that loses none, whoever is killed."""
        rng = self.rng
        while not self.stopping:
            source, target = rng.choice(self.queues), rng.choice(self.queues)
            command = rng.choice([("LMOVE", source, target, "LEFT", "RIGHT"), ("RPOPLPUSH", source, target),
                                  ("BLMOVE", source, target, "RIGHT", "LEFT", rng.choice(("0", "0.01", "0.05"))),
                                  ("BRPOPLPUSH", source, target, rng.choice(("0", "0.01")))])
            try:
                yield [command]
            except Killed:
                pass

    def usher(self, me):
        """When time is over: no new pops, and who still waits is unblocked."""
        me.role = "usher"
        while not me.crowd.over:
            yield [("PING",)]
        self.stopping = True
        while True:
            waiting = [peer for peer in me.crowd.peers if peer is not me and peer.in_flight]
            if not waiting:
                return
            listing = (yield [("CLIENT", "LIST", "TYPE", "normal")])[0]
            ids = {line.split(b"addr=")[1].split(b" ")[0]: line.split(b" ")[0][3:] for line in listing.splitlines()}
            names = [ids.get(b"%s:%d" % (host.encode(), port)) for host, port in
                     (peer.sock.getsockname() for peer in waiting if peer.sock and peer.in_flight)]
            yield [("CLIENT", "UNBLOCK", name) for name in names if name] or [("PING",)]

    # --- the books ---

    def balance(self):
        left = [item for queue in self.queues for item in self.redis.must("LRANGE", queue, 0, -1)]
        out = self.popped + left
        self.assertGreater(len(self.popped), 20)
        self.assertEqual(len(out), len(set(out)), "delivered twice: %r" % [x for x, n in Counter(out).most_common(10) if n > 1])
        self.assertEqual(set(out) - set(self.pushed), set(), "never pushed")
        lost = set(self.pushed) - set(out)
        self.assertLessEqual(len(lost), self.maybe[0], "lost: %r" % sorted(lost)[:10])

    def test_each_element_is_popped_once(self):
        self.play(*[self.producer] * 4, *[self.consumer] * 10, *[self.mover] * 3, self.usher)
        self.assertEqual(self.maybe, [0])
        self.balance()

    def test_nothing_is_lost_with_killed_clients(self):
        self.play(*[self.producer] * 4, *[self.consumer] * 12, *[self.mover] * 3, self.usher, self.killer)
        self.assertGreater(self.maybe[0], 0)
        self.balance()

    def test_waiters_are_served_in_order_of_waiting(self):
        """A queue with one producer at a time: the numbers that a consumer gets only grow."""
        queue = self.queues[0]

        def producer(me):
            for number in range(1 << 30):
                if me.crowd.over:
                    break
                yield [("RPUSH", queue, number)]
            yield [("RPUSH", queue, *["end"] * 12)]

        def consumer(me):
            last = -1
            while True:
                _, item = (yield [("BLPOP", queue, *self.queues[1:3], 0)])[0]
                if item == b"end":
                    return
                self.assertGreater(int(item), last)
                last = int(item)

        self.play(producer, *[consumer] * 12)
        self.assertEqual(self.redis.call("EXISTS", queue), 0)


def found(reply, queues):
    """The elements in the reply of any pop."""
    names = [queue.encode() for queue in queues]
    if isinstance(reply, list):
        return [item for part in reply for item in found(part, queues)]
    return [] if reply in resp.NOTHING or reply in names or isinstance(reply, resp.Error) else [reply]


class QueuesTwo(Queues, ServerCase):
    threads = 2


class QueuesSeven(Queues, ServerCase):
    threads = 7


if __name__ == "__main__":
    main()
