"""What clients know of a server that may crash, and whether it keeps its word afterwards.

Every *subject* is a few keys, scripts that change and read them at full speed (for tests/support/crowd.py), and a check of
what is there after a restart. All subjects are built so that what they hold is numbered by something that only grows: a
version, a count, a step. So one number says how far a subject has come, and a `Known` says how far it must have come: the
largest number that any client was told, as an acknowledgement or as something it read, and when it was told.

    after the crash:   known.least(floor)  <=  what is there  <=  known.sent
    floor: the time up to which everything counts; appendfsync always: all of it; everysec: two seconds before the kill

and every subject also has what must hold at any moment: equal values, a constant sum, no gap, each thing once.

    Steps      one writer; step n is a command or a transaction, state(n) what the keys hold after it
    Counter    many writers; INCR, HINCRBY, ZINCRBY
    Transfers  many writers; transactions over several shards with a constant sum, counted twice
    Queue      one fills, many take; no gap, nothing twice
    Tokens     moved between lists by LMOVE, BLMOVE, RPOPLPUSH; each there once
    Chain      who read a number writes it elsewhere: no effect without its cause
"""

import time

from support import resp
from support.case import spread_keys
from support.crowd import Killed, transaction

NIL = resp.NULL_BULK


class Known:
    """Something that only grows: the largest number that was sent, and the largest anybody was told, with its time."""

    def __init__(self, value=0):
        self.settle(value)

    def settle(self, value):
        self.sent, self.points = value, [(0, value)]

    def sends(self, value):
        self.sent = max(self.sent, value)

    def saw(self, value):
        if value > self.points[-1][1]:
            self.points.append((time.monotonic_ns(), value))

    @property
    def latest(self):
        return self.points[-1][1]

    def least(self, floor_ns):
        return next(value for when, value in reversed(self.points) if when <= floor_ns)

    def judge(self, value, floor_ns):
        """Settles on what is there; a text when it breaks the promise."""
        low, high, latest = self.least(floor_ns), self.sent, self.latest
        self.settle(value)
        if not low <= value <= high:
            return "is at %d; must be at least %d, clients knew of %d, and sent was %d" % (value, low, latest, high)
        return None


def number(reply):
    return 0 if reply is NIL else int(bytes(reply)) if isinstance(reply, bytes) else reply


def no_errors(commands, replies):
    for command, reply in zip(commands, replies):
        if isinstance(reply, resp.Error):
            raise AssertionError("%.200r answered %r" % (command, reply))


def ask_within(commands):
    """In a script: the replies, and whether that was the end."""
    try:
        replies, lost = (yield commands), False
    except Killed as killed:
        replies, lost = killed.replies, True
    no_errors(commands, replies)
    return replies, lost


def pause(seconds):
    """A command that answers after so long."""
    return ("BLPOP", "nobody-fills-this", "%.3f" % seconds)


class Steps:
    """`step(n)` is a list of commands, `look` one that reads all it changes, in one moment; `state(n)` is the reply of its last
    command after step n, n = 0 being the beginning. Steps that leave equal states may be taken for each other."""

    def __init__(self, rng, name, step, look, state, batch=3, pause_s=0.0):
        self.rng, self.name, self.step, self.look, self.state = rng, name, step, look, state
        self.batch, self.pause_s, self.known = batch, pause_s, Known()

    def scripts(self):
        return [self.writer, self.reader]

    def prepare(self, ask):
        pass

    def writer(self, me):
        n = self.known.sent
        while not me.crowd.over:
            steps = [self.step(n + 1 + i) for i in range(self.rng.randrange(1, self.batch + 1))]
            self.known.sends(n + len(steps))
            replies, lost = yield from ask_within([command for step in steps for command in step])
            end = 0
            for step in steps:
                end += len(step)
                n += 1
                if len(replies) >= end:
                    self.known.saw(n)
            if lost or self.pause_s and (yield from ask_within([pause(self.rng.uniform(0, self.pause_s))]))[1]:
                return

    def reader(self, me):
        while not me.crowd.over:
            low = self.known.latest
            reply = (yield self.look)[-1]
            n = self.find(reply, low, self.known.sent, 1)
            if n is None:
                raise AssertionError("%s: read at steps %d to %d: %.300r" % (self.name, low, self.known.sent, reply))
            self.known.saw(n)
            if self.pause_s:
                yield [pause(self.pause_s / 3)]

    def find(self, reply, low, high, direction):
        steps = range(low, high + 1)
        return next((n for n in steps[::direction] if self.state(n) == reply), None)

    def verify(self, ask, floor_ns):
        reply, low, latest, high = ask(*self.look)[-1], self.known.least(floor_ns), self.known.latest, self.known.sent
        n = self.find(reply, low, high, -1)
        if n is not None:
            self.known.settle(n)
            return []
        n = self.find(reply, max(0, low - 5000), low, -1)
        where = "no state of any step: %.500r" % reply if n is None else "the state of step %d" % n
        return ["%s: %s; must be at least at %d, clients knew of %d, sent was %d" % (self.name, where, low, latest, high)]


class Counter:
    def __init__(self, rng, name, bump, look):
        self.rng, self.name, self.bump, self.look, self.known = rng, name, bump, look, Known()

    def scripts(self):
        return [self.writer] * 3 + [self.reader]

    def prepare(self, ask):
        pass

    def writer(self, me):
        lost = False
        while not me.crowd.over and not lost:
            commands = [self.bump] * self.rng.randrange(1, 6)
            self.known.sends(self.known.sent + len(commands))
            replies, lost = yield from ask_within(commands)
            for reply in replies:
                self.known.saw(number(reply))

    def reader(self, me):
        while not me.crowd.over:
            self.known.saw(number((yield [self.look])[0]))

    def verify(self, ask, floor_ns):
        text = self.known.judge(number(ask(self.look)[0]), floor_ns)
        return ["%s %s" % (self.name, text)] if text else []


class Transfers:
    """Each transaction moves an amount, bumps the common count, and notes the writer's own count: the sum of the amounts is 0,
    and the counts of the writers sum up to the common one."""

    WRITERS = 5

    def __init__(self, rng):
        self.rng = rng
        self.accounts = spread_keys(5, "account")
        self.lasts = spread_keys(self.WRITERS, "last")
        self.count, self.own = Known(), [Known() for _ in self.lasts]

    def scripts(self):
        return [lambda me, i=i: self.writer(me, i) for i in range(self.WRITERS)] + [self.reader]

    def prepare(self, ask):
        pass

    def writer(self, me, i):
        n, lost = self.own[i].sent, False
        while not me.crowd.over and not lost:
            n += 1
            (one, other), amount = self.rng.sample(self.accounts, 2), self.rng.randrange(1, 100)
            self.own[i].sends(n)
            self.count.sends(self.count.sent + 1)
            replies, lost = yield from ask_within(transaction(
                ("DECRBY", one, amount), ("INCR", "transfers"), ("SET", self.lasts[i], n), ("INCRBY", other, amount)))
            if len(replies) == 6:
                self.own[i].saw(n)
                self.count.saw(replies[-1][1])

    def look(self):
        return ("MGET", "transfers", *self.accounts, *self.lasts)

    def wrong(self, values):
        count, accounts, lasts = values[0], values[1 : 1 + len(self.accounts)], values[1 + len(self.accounts) :]
        if sum(accounts) or sum(lasts) != count:
            return ["transfers: %d of them, %r of each writer (%d), accounts %r (%d)"
                    % (count, lasts, sum(lasts), accounts, sum(accounts))]
        return []

    def reader(self, me):
        while not me.crowd.over:
            values = list(map(number, (yield [self.look()])[0]))
            if self.wrong(values):
                raise AssertionError(self.wrong(values)[0])
            for known, value in zip([self.count] + self.own, values[:1] + values[1 + len(self.accounts) :]):
                known.saw(value)

    def verify(self, ask, floor_ns):
        values = list(map(number, ask(self.look())[0]))
        knowns = [("transfers", self.count)] + list(zip(self.lasts, self.own))
        texts = [(name, known.judge(value, floor_ns))
                 for (name, known), value in zip(knowns, values[:1] + values[1 + len(self.accounts) :])]
        return self.wrong(values) + ["transfers: %s %s" % (name, text) for name, text in texts if text]


class Queue:
    """Numbers without a gap, in order; the last one pushed is noted on another shard by the same transaction."""

    def __init__(self, rng):
        self.rng = rng
        self.key, self.last = spread_keys(2, "queue")
        self.pushed, self.popped = Known(), Known()

    def scripts(self):
        return [self.writer, self.taker, self.taker, self.waiter]

    def prepare(self, ask):
        pass

    def writer(self, me):
        n, lost = self.pushed.sent, False
        while not me.crowd.over and not lost:
            n += 1
            self.pushed.sends(n)
            replies, lost = yield from ask_within(transaction(("RPUSH", self.key, n), ("SET", self.last, n)))
            if len(replies) == 4:
                self.pushed.saw(n)

    def takes(self, me, command):
        before, lost = 0, False
        while not me.crowd.over and not lost:
            self.popped.sends(self.popped.sent + 1)
            replies, lost = yield from ask_within([command])
            for reply in replies:
                value = number(reply[1]) if isinstance(reply, list) else number(reply) if reply is not resp.NULL_ARRAY else 0
                if value and value <= before:
                    raise AssertionError("queue: %d came after %d" % (value, before))
                before = value or before
                self.popped.saw(value)
                self.pushed.saw(value)

    def taker(self, me):
        return self.takes(me, ("LPOP", self.key))

    def waiter(self, me):
        return self.takes(me, ("BLPOP", self.key, "0.05"))

    def verify(self, ask, floor_ns):
        items, last = ask(*transaction(("LRANGE", self.key, 0, -1), ("GET", self.last)))[-1]
        last, items = number(last), list(map(number, items))
        first = last - len(items)
        wrong = []
        if items != list(range(first + 1, last + 1)):
            wrong.append("queue: last is %d, and there are %.300r" % (last, items))
        texts = [("pushed", self.pushed.judge(last, floor_ns)), ("popped", self.popped.judge(first, floor_ns))]
        return wrong + ["queue: %s %s" % (name, text) for name, text in texts if text]


class Tokens:
    COUNT = 12

    def __init__(self, rng):
        self.rng, self.lists, self.made = rng, spread_keys(3, "tokens"), Known()

    def scripts(self):
        return [self.mover] * 3 + [self.reader]

    def prepare(self, ask):
        if not self.made.latest:
            self.made.sends(1)
            ask(("RPUSH", self.lists[0], *range(self.COUNT)))
            self.made.saw(1)

    def mover(self, me):
        while not me.crowd.over:
            one, other = self.rng.sample(self.lists, 2)
            yield [self.rng.choice([
                ("LMOVE", one, other, "LEFT", "RIGHT"), ("RPOPLPUSH", one, other), ("LMOVE", one, one, "RIGHT", "LEFT"),
                ("BLMOVE", one, other, "RIGHT", "LEFT", "0.02")])]

    def look(self):
        return transaction(*[("LRANGE", key, 0, -1) for key in self.lists])

    def wrong(self, lists):
        tokens = sorted(number(token) for tokens in lists for token in tokens)
        return tokens != list(range(self.COUNT)) and "tokens: %r" % lists

    def reader(self, me):
        while not me.crowd.over:
            text = self.wrong((yield self.look())[-1])
            if text:
                raise AssertionError(text)

    def verify(self, ask, floor_ns):
        lists = ask(*self.look())[-1]
        there = 1 if any(lists) else 0
        wrong = [self.wrong(lists)] if there and self.wrong(lists) else []
        text = self.made.judge(there, floor_ns)
        return wrong + (["tokens: made %s" % text] if text else [])


class Chain:
    """The first key counts; each next copies what it reads in the one before. When `causal`, none is ahead of the one before
    it: that is so when nobody reads what may still be lost, or when all that is lost is lost from one moment on."""

    def __init__(self, rng, causal):
        self.rng, self.causal, self.keys = rng, causal, spread_keys(3, "chain")
        self.known = [Known() for _ in self.keys]

    def scripts(self):
        return [self.source] + [lambda me, i=i: self.copier(me, i) for i in range(1, len(self.keys))]

    def prepare(self, ask):
        pass

    def source(self, me):
        n, lost = self.known[0].sent, False
        while not me.crowd.over and not lost:
            n += 1
            self.known[0].sends(n)
            replies, lost = yield from ask_within([("SET", self.keys[0], n)])
            if replies:
                self.known[0].saw(n)

    def copier(self, me, i):
        lost = False
        while not me.crowd.over and not lost:
            n = number((yield [("GET", self.keys[i - 1])])[0])
            self.known[i - 1].saw(n)
            if n < self.known[i].sent:
                continue  # after a crash that need not be causal
            self.known[i].sends(n)
            replies, lost = yield from ask_within([("SET", self.keys[i], n)])
            if replies:
                self.known[i].saw(n)

    def verify(self, ask, floor_ns):
        values = list(map(number, ask(("MGET", *self.keys))[0]))
        wrong = ["chain: %r" % values] if self.causal and sorted(values, reverse=True) != values else []
        texts = [(key, known.judge(value, floor_ns)) for key, known, value in zip(self.keys, self.known, values)]
        return wrong + ["chain: %s %s" % (key, text) for key, text in texts if text]
