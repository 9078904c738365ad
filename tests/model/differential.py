#!/usr/bin/env python3
"""Differential test: the same random commands to sherd and to redis-server, every reply compared byte for byte.

    differential.py --commands 1000000 --threads 2 --proto both           all families, a new seed
    differential.py --seed 7 --families string --pipeline 1 --commands 50000

What it proves: for the commands of the chosen families (families/*.py) a client cannot tell the servers apart, on RESP2
and RESP3 connections, alone and in deep pipelines, in several databases, through errors and edges. Where equality is
legitimately not byte-wise (clocks, orders, ids), families/compare.py says how it is judged.

How: few keys and few values, so that commands meet. A batch of `--pipeline` commands goes to both servers at once over one
connection each; connections take turns. Every 5000 commands all keys of all databases are compared (type, value,
deadline, encoding). Every 50,000 commands both are flushed, so that a failure has a history that can be replayed.

On a difference the history since the last flush is replayed and shrunk (delta debugging), the shortest sequence found is printed, and the
exit code is 1. The same seed and options play the same commands (only clocks differ).
"""

import argparse
import collections
import os
import random
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

import families  # noqa: E402
from families import compare as same  # noqa: E402
from families.gen import Cmd, Gen  # noqa: E402
from support import resp  # noqa: E402
from support.server import SLOW, Server, ServerFailed  # noqa: E402

DATABASES = 4
STATE_EVERY = 5000
FLUSH_EVERY = 50_000
SHRINK_S = 90
OPTIONS = ["--enable-debug-command", "yes", "--maxclients", "500", "--databases", "16"]


class Difference:
    def __init__(self, index, cmd, ours, reference, text=""):
        self.index, self.cmd, self.ours, self.reference, self.text = index, cmd, ours, reference, text


class Broken(Exception):
    """A connection failed: ours, the reference's, or nobody knows."""


def show(value, limit=400):
    if isinstance(value, (tuple, list)):
        return " ".join(show(item, 120) for item in value)
    text = repr(value)[1:] if type(value) is bytes else repr(value)
    return text if len(text) <= limit else "%s...(%d bytes)" % (text[:limit], len(value))


def in_any_order(command, value, ordered=False):
    """The content of a key, sorted where its order is the server's own. A hash is, also as a listpack: one that was
    restored has the order of the table it was saved from. ordered says that this one never was a table."""
    if not isinstance(value, list):
        return value
    if command == b"SMEMBERS":
        return sorted(value)
    if command == b"HGETALL" and not ordered:
        return sorted(zip(value[::2], value[1::2]))
    return without_clocks(value) if command == b"XINFO" else value


KEY = None  # in words that read a value: where the key stands, unless it is the second


def read_words(read, key):
    return tuple(key if word is KEY else word for word in read) if KEY in read else (read[0], key, *read[1:])


def without_clocks(facts):
    """What XINFO STREAM ... FULL says, but for when consumers were seen and were given something."""
    facts = dict(zip(facts[::2], facts[1::2]))
    for group in facts.pop(b"groups"):
        group = dict(zip(group[::2], group[1::2]))
        group[b"pending"] = [entry[:2] + entry[3:] for entry in group[b"pending"]]
        consumers = [dict(zip(consumer[::2], consumer[1::2])) for consumer in group[b"consumers"]]
        for consumer in consumers:
            del consumer[b"seen-time"]
            consumer[b"pending"] = [entry[:1] + entry[2:] for entry in consumer[b"pending"]]
        group[b"consumers"] = consumers
        facts[group[b"name"], b"group"] = group
    return facts


# --- what is played ---


# Cursors and random choices are each server's own: their comparison fits the arguments they were given with.
OWN = (b"SCAN", b"HSCAN", b"SSCAN", b"ZSCAN", b"SPOP", b"SRANDMEMBER", b"HRANDFIELD", b"ZRANDMEMBER")


class Grammar:
    """Draws steps from the chosen families by weight."""

    def __init__(self, names, seed, ignore=()):
        self.gen = Gen(seed)
        self.ignore = [prefix.upper().encode().split() for prefix in ignore]
        self.producers, self.weights, self.mutable = [], [], set()
        for name in names:
            family = families.load(name)
            total = sum(weight for weight, _ in family.PRODUCERS)
            for weight, producer in family.PRODUCERS:
                self.producers.append(producer)
                self.weights.append(family.WEIGHT * weight / total)
                if family.MUTATE:
                    self.mutable.add(producer)
        self.others = self.without(names, "transaction")
        self.gen.step_of_others = self.step_of_others

    @staticmethod
    def without(names, left_out):
        """Producers and weights of the chosen families but one, or of all others when nothing else is chosen."""
        chosen = [name for name in names if name != left_out] or [name for name in families.names() if name != left_out]
        rows = []
        for family in map(families.load, chosen):
            total = sum(weight for weight, _ in family.PRODUCERS)
            rows += [(producer, family.WEIGHT * weight / total) for weight, producer in family.PRODUCERS]
        return [producer for producer, _ in rows], [weight for _, weight in rows]

    def step_of_others(self):
        """For a family whose steps contain those of others."""
        return self.gen.rng.choices(*self.others)[0](self.gen)

    def steps(self, count):
        """Steps of about `count` commands in all."""
        out, size, gen = [], 0, self.gen
        while size < count:
            for producer in gen.rng.choices(self.producers, self.weights, k=max(1, (count - size) // 2)):
                step = producer(gen)
                if producer in self.mutable and gen.flip(0.008):
                    step = self.mutated(step)
                if self.ignore and any(self.ignored(cmd) for cmd in step):
                    continue
                out.append(step)
                size += len(step)
                if size >= count:
                    break
        return out

    def mutated(self, step):
        if len(step) > 1 or step[0].live or step[0].args[0].upper() in OWN:
            return step
        args = list(step[0].args)
        at = self.gen.between(0, len(args) - 1)
        if at and self.gen.flip(0.5):
            del args[at]
        else:
            args.insert(at + 1, args[at])
        return [Cmd(*args, compare=step[0].compare)]

    def ignored(self, cmd):
        words = [word.upper() for word in cmd.args[:3]]
        return any(words[: len(prefix)] == prefix for prefix in self.ignore)


# --- both servers, seen as one ---


class Session:
    """The pair of servers with one connection per protocol to each, and side connections for checks."""

    def __init__(self, ours, reference, protos, gen, batch):
        self.servers = (ours, reference)
        self.protos, self.gen, self.batch = protos, gen, batch
        self.pairs, self.sides, self.active = [], None, 0
        self.connect()

    def connect(self):
        """Fresh connections and empty databases on both."""
        self.disconnect()
        for server in self.servers:
            if isinstance(server, Server) and not server.alive():
                print("restarting %s, which has died" % server.kind)
                server.process = None
                server.start()
        timeout = 60 * SLOW
        try:
            self.sides = tuple(resp.Client(server.port, timeout=timeout) for server in self.servers)
            self.pairs = [tuple(resp.Client(server.port, proto=proto, timeout=timeout) for server in self.servers)
                          for proto in self.protos]
            for side in self.sides:
                side.must("FLUSHALL")
        except (OSError, resp.Closed, resp.NoReply, resp.ProtocolError) as failure:
            raise Broken("cannot connect: %s" % failure) from None
        self.active = 0
        self.table_was_dumped = False

    def disconnect(self):
        for client in [client for pair in self.pairs for client in pair] + list(self.sides or ()):
            client.close()
        self.pairs, self.sides = [], None

    def current(self):
        return self.pairs[self.active]

    def both(self, *args):
        data = resp.encode(args)
        return tuple(replies[0] for replies in self.exchange(self.current(), data, 1))

    def exchange(self, pair, data, count):
        try:
            resp.exchange_all([(client, data, count) for client in pair])
        except (resp.Closed, resp.NoReply, resp.ProtocolError, OSError) as failure:
            where = ["%s: %d of %d replies" % (name, len(client.ready), count) for name, client in zip(("sherd", "redis"), pair)]
            raise Broken("%s (%s)" % (failure, ", ".join(where))) from None
        return [client.take(count) for client in pair]

    def same_when_restored(self, ours, reference):
        """Each payload's body, under a footer that the other side accepts, gives the same value on both."""
        body_a, body_b = ours[:-10], reference[:-10]
        # A hashtable's order is the server's own, also when it has come back as a listpack, which may be this one.
        self.table_was_dumped |= body_a[:1] == b"\x04"
        dumps, values = [], []
        for side, body, version in ((self.sides[1], body_a, reference[-10:-8]), (self.sides[0], body_b, ours[-10:-8])):
            payload = body + version
            payload += same.crc64(payload).to_bytes(8, "little")
            side.must("SELECT", "15")
            restored = side.call("RESTORE", "__cross__", "0", payload, "REPLACE")
            dumps.append(side.call("DUMP", "__cross__")[:-10] if restored == resp.OK else restored)
            values.append(self._read_whole(side, b"__cross__", not self.table_was_dumped))
            side.call("DEL", "__cross__")
        # A string: each side dumped what it understood of the other's payload, which must be its own way to say the same.
        # A collection may be divided into nodes as one likes: then what counts is what is in it.
        return dumps[0] == body_b and dumps[1] == body_a if body_a[:1] == b"\x00" else values[0] == values[1] is not None

    def _read_whole(self, side, key, ordered):
        """Type and content; None when there is nothing."""
        kind = bytes(side.call("TYPE", key))
        read = self.READ.get(kind)
        if not read:
            return None
        encoding, value = side.call("OBJECT", "ENCODING", key), side.call(*read_words(read, key))
        return kind, encoding, in_any_order(read[0], value, ordered and encoding == b"listpack")

    # --- playing ---

    def play(self, history):
        """Plays [(connection, step)] from here on; the first Difference (index into history) or None."""
        start = 0
        while start < len(history):
            connection, end, size = history[start][0], start, 0
            while end < len(history) and history[end][0] == connection and size < self.batch:
                live = history[end][1][0].live
                if live and end > start:
                    break
                size += len(history[end][1])
                end += 1
                if live:
                    break
            difference = self.play_batch(start, history[start:end])
            if difference:
                return difference
            start = end
        return None

    def play_batch(self, start, part):
        self.active = part[0][0]
        pair = self.current()
        if part[0][1][0].live:
            cmd = part[0][1][0]
            try:
                text = cmd.live(self)
            except (resp.Closed, resp.NoReply, resp.ProtocolError, OSError, Broken) as failure:
                text = "connection failed: %s" % failure
            return Difference(start, cmd, None, None, text) if text else None
        cmds = [(start + i, cmd) for i, (_, step) in enumerate(part) for cmd in step]
        data = b"".join([resp.encode(cmd.args) for _, cmd in cmds])
        answered = [(index, cmd) for index, cmd in cmds if not cmd.quiet]
        failure = None
        try:
            replies = self.exchange(pair, data, len(answered))
        except Broken as broken:  # compare what came; the culprit is at the latest the first one without a reply
            failure = broken
            replies = [client.take(len(client.ready)) for client in pair]
        for (index, cmd), ours, reference in zip(answered, *replies):
            if ours != reference and not (cmd.compare and self.judge(cmd, ours, reference)):
                return Difference(index, cmd, ours, reference)
        if failure:
            index, cmd = answered[min(len(replies[0]), len(replies[1]), len(answered) - 1)] if answered else cmds[0]
            return Difference(index, cmd, None, None, str(failure))
        for name, client in zip(("sherd", "redis"), pair):
            if client.ready or client.scanner.rest() or client.pushes:
                extra = client.ready or client.pushes or [client.scanner.rest()]
                index, cmd = cmds[-1]
                return Difference(index, cmd, None, None, "%s sent more than was asked for: %s" % (name, show(extra[0])))
        return None

    def judge(self, cmd, ours, reference):
        try:
            return cmd.compare(ours, reference, self)
        except (ValueError, TypeError, IndexError, AssertionError, resp.ProtocolError):
            return False

    # --- the whole state ---

    READ = {
        b"string": [b"GET"], b"list": [b"LRANGE", b"0", b"-1"], b"hash": [b"HGETALL"], b"set": [b"SMEMBERS"],
        b"zset": [b"ZRANGE", b"0", b"-1", b"WITHSCORES"], b"stream": [b"XINFO", b"STREAM", KEY, b"FULL", b"COUNT", b"0"],
    }

    def compare_state(self):
        """Text of the first difference between the two contents, or None."""
        try:
            return self._compare_state()
        except (Broken, resp.Closed, resp.NoReply, resp.ProtocolError, OSError) as failure:
            return "state check failed: %s" % failure

    def _compare_state(self):
        for database in range(DATABASES):
            both = self._both_sides([(b"SELECT", b"%d" % database), (b"KEYS", b"*"), (b"DBSIZE",)])
            (_, keys_a, size_a), (_, keys_b, size_b) = both
            if not isinstance(keys_a, list) or sorted(keys_a) != sorted(keys_b) or size_a != size_b:
                only = "only sherd %s, only redis %s" % (show(list(set(keys_a) - set(keys_b))), show(list(set(keys_b) - set(keys_a))))
                return "database %d: DBSIZE %r and %r; %s" % (database, size_a, size_b, only)
            keys = sorted(keys_a)
            ours, reference = self._both_sides([(b"TYPE", key) for key in keys])
            commands = []
            for key, type_a, type_b in zip(keys, ours, reference):
                if type_a != type_b:
                    return "database %d, key %s: type %r and %r" % (database, show(key), type_a, type_b)
                read = self.READ.get(bytes(type_a), [b"DUMP"])
                commands += [read_words(read, key), (b"OBJECT", b"ENCODING", key), (b"PEXPIRETIME", key), (b"EXISTS", key)]
            ours, reference = self._both_sides(commands)
            for replies in (ours, reference):
                for at in range(0, len(replies), 4):
                    replies[at] = in_any_order(commands[at][0], replies[at])
            for command, a, b in zip(commands, ours, reference):
                if command[0] == b"PEXPIRETIME":
                    equal = a == b or same.DEADLINE_MS(b":%d\r\n" % a, b":%d\r\n" % b, self)
                else:
                    equal = type(a) is type(b) and a == b
                if not equal:
                    return "database %d: %s gives %s and %s" % (database, show(command), show(a), show(b))
        return None

    def _both_sides(self, commands):
        data = b"".join(map(resp.encode, commands))
        return [[resp.decode(raw) for raw in replies] for replies in self.exchange(self.sides, data, len(commands))]


# --- shrinking ---


class Shrinker:
    """Looks for a short sequence that still makes a difference, by replay on flushed servers."""

    def __init__(self, session, budget_s):
        self.session = session
        self.deadline = time.monotonic() + budget_s
        self.replays = 0

    def failing(self, history):
        """The difference that this history makes on empty servers, and the history up to it; None when there is none."""
        self.replays += 1
        try:
            self.session.connect()
        except Broken as failure:
            return Difference(len(history) - 1, history[-1][1][0], None, None, str(failure)), history
        difference = self.session.play(history)
        if difference:
            return difference, history[: difference.index + 1]
        text = self.session.compare_state()
        if text:
            return Difference(len(history) - 1, history[-1][1][-1], None, None, text), history
        return None

    def shrink(self, history):
        best = self.failing(history)
        if best is None:
            return None
        history = best[1]
        for tail in (50, 500, 5000):
            if tail < len(history) and (found := self.failing(history[-tail:])):
                best, history = found, found[1]
                break
        keys = set(best[0].cmd.args) & self.session.gen.key_set
        if keys and len(history) > 20:
            related = [(c, step) for c, step in history
                       if any(keys & set(cmd.args) or cmd.args[0].upper() in GLOBAL for cmd in step)]
            if len(related) < len(history) and related and (found := self.failing(related)):
                best, history = found, found[1]
        pieces = 2
        while len(history) > 1 and time.monotonic() < self.deadline:
            size = max(1, len(history) // pieces)
            at = 0
            shorter = False
            while at < len(history) and time.monotonic() < self.deadline:
                candidate = history[:at] + history[at + size :]
                found = self.failing(candidate) if candidate else None
                if found:
                    best, history, shorter = found, found[1], True
                else:
                    at += size
            if size == 1 and not shorter:
                break
            pieces = max(2, min(len(history), pieces * 2 if not shorter or size > 1 else pieces))
        return best


GLOBAL = (b"SELECT", b"SWAPDB", b"FLUSHALL", b"FLUSHDB", b"RESET", b"HELLO")


# --- the run ---


def report(difference, history, seed, protos, first_index):
    """Prints what differs and what happened before to the keys involved."""
    proto = protos[history[difference.index][0]]
    print("\nDIFFERENCE at step %d (seed %d), RESP%d connection" % (first_index + difference.index, seed, proto))
    print_difference(difference)
    keys = set(difference.cmd.args) & set(Gen(seed).keys)
    past = [(i, step) for i, (_, step) in enumerate(history[: difference.index])
            if any(keys & set(cmd.args) or cmd.args[0].upper() in GLOBAL for cmd in step)]
    print("last steps before it on its keys, of %d:" % len(past))
    for i, step in past[-12:]:
        print("  [%d] %s" % (first_index + i, "; ".join(show(cmd.args) for cmd in step)))


def print_difference(difference):
    print("  command: %s" % show(difference.cmd.args))
    if difference.text:
        print("  %s" % difference.text)
    if difference.ours is not None:
        print("  sherd:   %s" % show(difference.ours, 1500))
        print("  redis:   %s" % show(difference.reference, 1500))


def print_history(history, protos):
    for connection, step in history:
        for cmd in step:
            print("  RESP%d%s  %s" % (protos[connection], " (no reply)" if cmd.quiet else "", show(cmd.args)))


class Attached:
    """A server that somebody else runs."""

    kind = "attached"

    def __init__(self, port):
        self.port = port


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=None, help="or SHERD_SEED; a new one otherwise")
    parser.add_argument("--threads", type=int, default=2, help="of sherd")
    parser.add_argument("--proto", choices=["2", "3", "both"], default="both")
    parser.add_argument("--families", default="all", help="comma-separated: %s" % ",".join(families.names()))
    parser.add_argument("--pipeline", type=int, default=200, help="commands per batch")
    parser.add_argument("--bin", help="sherd's binary (or SHERD_BIN); 'redis' plays redis-server against itself")
    parser.add_argument("--attach", type=int, metavar="PORT", help="test the server at this port instead of starting one")
    parser.add_argument("--ignore", action="append", default=[], metavar="PREFIX", help="leave out commands such as 'OBJECT FREQ'")
    parser.add_argument("--server-option", action="append", default=[], metavar="WORD", help="passed on to sherd; write --server-option=--name")
    parser.add_argument("--shrink-seconds", type=float, default=SHRINK_S, help="0: do not shrink")
    parser.add_argument("--stats", action="store_true", help="print how often each command ran")
    return parser.parse_args(arguments)


def run(options):
    seed = options.seed
    if seed is None:
        seed = int(os.environ.get("SHERD_SEED") or os.environ.get("SEED") or random.SystemRandom().randrange(1 << 31))
    names = families.names() if options.families == "all" else options.families.split(",")
    protos = {"2": [2], "3": [3], "both": [2, 3]}[options.proto]
    print("differential: seed %d, %d commands, families %s, RESP %s, pipeline %d, threads %d"
          % (seed, options.commands, ",".join(names), options.proto, options.pipeline, options.threads), flush=True)
    grammar = Grammar(names, seed, options.ignore)
    ours = None
    with Server(*OPTIONS, kind="redis") as reference:
        if options.attach:
            return play_all(options, seed, protos, grammar, Attached(options.attach), reference)
        if options.bin == "redis":
            ours = Server(*OPTIONS, kind="redis")
        else:
            ours = Server(*OPTIONS, *options.server_option, threads=options.threads,
                          binary=options.bin and os.path.abspath(options.bin))
        try:
            code = play_all(options, seed, protos, grammar, ours, reference)
            if ours.alive():
                ours.stop()
            return code
        finally:
            ours.clean()


def play_all(options, seed, protos, grammar, ours, reference):
    session = Session(ours, reference, protos, grammar.gen, options.pipeline)
    began, played, history, next_state, next_flush = time.monotonic(), 0, [], STATE_EVERY, FLUSH_EVERY
    counts, turn, steps_before = collections.Counter(), 0, 0
    while played < options.commands:
        turn = (turn + 1) % len(protos)
        grammar.gen.proto = protos[turn]
        part = [(turn, step) for step in grammar.steps(min(options.pipeline, options.commands - played))]
        first = len(history)
        history.extend(part)
        difference = session.play(part)
        if difference:
            difference.index += first
        else:
            played += sum(len(step) for _, step in part)
            if options.stats:
                counts.update(cmd.args[0].upper() for _, step in part for cmd in step)
            if played >= next_state or played >= options.commands:
                next_state += STATE_EVERY
                text = session.compare_state()
                if text:
                    difference = Difference(len(history) - 1, history[-1][1][-1], None, None, "after it, " + text)
        if difference:
            return failed(options, seed, protos, session, history, difference, steps_before)
        if played >= next_flush:
            next_flush += FLUSH_EVERY
            steps_before += len(history)
            history = []
            session.connect()
    session.disconnect()
    seconds = time.monotonic() - began
    print("no difference in %d commands, %.0f s, %.0f commands/s" % (played, seconds, played / seconds))
    if options.stats:
        print("  " + ", ".join("%s %d" % (name.decode("latin-1")[:20], n) for name, n in counts.most_common(90)))
    return 0


def failed(options, seed, protos, session, history, difference, steps_before):
    report(difference, history, seed, protos, steps_before)
    ours = session.servers[0]
    if isinstance(ours, Server) and "closed" in difference.text:
        try:  # a crash closes connections a little before the process is gone (it prints a stack trace first)
            ours.process.wait(2 * SLOW)
        except subprocess.TimeoutExpired:
            pass
    if isinstance(ours, Server) and not ours.alive():
        print("sherd has died (code %s); end of its log:\n%s" % (ours.process.returncode, ours.tail()))
    if options.shrink_seconds > 0:
        print("shrinking %d steps (at most about %.0f s) ..." % (difference.index + 1, options.shrink_seconds), flush=True)
        shrinker = Shrinker(session, options.shrink_seconds)
        try:
            best = shrinker.shrink(history[: difference.index + 1])
        except ServerFailed as failure:
            best = None
            print("cannot restart: %s" % failure)
        if best is None:
            print("it did not come again on replay (timing? order between threads?), %d replays" % shrinker.replays)
        else:
            print("shortest sequence found on flushed servers (%d steps, %d replays):" % (len(best[1]), shrinker.replays))
            print_history(best[1][-200:], protos)
            print_difference(best[0])
    print("again: %s --seed %d --commands %d --families %s --proto %s --pipeline %d --threads %d"
          % (sys.argv[0], seed, options.commands, options.families, options.proto, options.pipeline, options.threads), flush=True)
    session.disconnect()
    return 1


if __name__ == "__main__":
    sys.exit(run(parse(sys.argv[1:])))
