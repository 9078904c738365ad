"""Experiment e: a full cache in a memory cgroup of 512 MiB, and clients that do whatever comes to their minds.

`memory` plays what is known to kill servers; this one draws what nobody has thought of: pipelines of mixed commands on
values of all types, of a hundred bytes to a hundred megabytes, some in MULTI, some in RESP3, on new and old connections,
whose readers are quick, slow, or gone deaf, beside subscribers of all three kinds. What is large is built here, too,
while others read it.

Claims: it is never killed; a probe's reads are always answered; and whoever reads gets to the end of his replies or is
closed. At the peak of the resident set it is noted who asked for what, for whoever has to find out."""

import random
import selectors
import socket
import tempfile
import time

from promise import load
from promise.common import Impossible, binary_of
from support import cgroup, resp
from support.case import raise_file_limit
from support.server import SLOW, Server

LIMIT = 512 << 20
KEYS = 4  # of each type
STUCK_S = 60 * SLOW  # nothing came for so long to somebody who reads
FRESH = 0.3  # of the scripts begin on a new connection
CHUNK = 1 << 18


# --- what is asked for -----------------------------------------------------------------------------------------------


def size_of(draw, most):
    """Bytes, as many small ones as large ones."""
    return int(100 * (most / 100) ** draw.random())


def name(draw, kind):
    return "%s:%d" % (kind, draw.randrange(KEYS))


def build(draw, most):
    """Commands that make a value of some size anew."""
    kind, total = draw.choice(("string", "list", "set", "hash", "zset", "stream")), size_of(draw, most)
    key = name(draw, kind)
    if kind == "string":
        return [("SET", key, b"v" * total)]
    each = min(total, draw.choice((8, 60, 1000, 60_000, 2 << 20)))
    count, step = max(1, min(total // each, 200_000)), max(1, min(1000, (1 << 20) // each))
    commands = [("DEL", key)]
    for start in range(0, count, step):
        some = [b"%08d" % i + b"e" * (each - 8) for i in range(start, min(count, start + step))]
        if kind in ("list", "set"):
            commands.append(("RPUSH" if kind == "list" else "SADD", key, *some))
        elif kind == "hash":
            commands.append(("HSET", key, *(word for element in some for word in (element[:8], element))))
        elif kind == "zset":
            commands.append(("ZADD", key, *(word for element in some for word in (element[:8], element))))
        else:
            commands += [("XADD", key, "*", "f", element) for element in some]
    return commands


def read(draw):
    """One command that may answer much."""
    some = draw.choice((1, 100, 20_000))
    string, string2, lists, sets, sets2, hashes, zsets, zsets2, stream = (
        name(draw, kind) for kind in ("string", "string", "list", "set", "set", "hash", "zset", "zset", "stream"))
    return draw.choice((
        ("GET", string), ("GET", string), ("MGET", string, string2, "list:0"), ("GETRANGE", string, 0, size_of(draw, 100 << 20)), ("GETEX", string, "PERSIST"),
        ("SET", string, "small", "GET"), ("DUMP", name(draw, draw.choice(("string", "list", "set", "hash", "zset", "stream")))),
        ("LRANGE", lists, 0, -1), ("LRANGE", lists, 0, some), ("SORT", lists, "ALPHA", "LIMIT", 0, some), ("SORT", sets, "ALPHA"), ("LPOP", lists, some), ("LMPOP", 2, "list:0", "list:1", "LEFT", "COUNT", some),
        ("SMEMBERS", sets), ("SUNION", sets, sets2), ("SINTER", sets, sets2), ("SDIFF", sets, sets2), ("SRANDMEMBER", sets, -some), ("SPOP", sets, some), ("SSCAN", sets, 0, "COUNT", some),
        ("HGETALL", hashes), ("HVALS", hashes), ("HMGET", hashes, *("%08d" % i for i in range(min(some, 500)))), ("HRANDFIELD", hashes, -some, "WITHVALUES"), ("HSCAN", hashes, 0, "COUNT", some),
        ("ZRANGE", zsets, 0, -1, "WITHSCORES"), ("ZRANGE", zsets, 0, "+inf", "BYSCORE", "LIMIT", 0, some), ("ZUNION", 2, zsets, zsets2), ("ZDIFF", 2, zsets, zsets2), ("ZPOPMIN", zsets, some), ("ZRANDMEMBER", zsets, -some),
        ("XRANGE", stream, "-", "+"), ("XREVRANGE", stream, "+", "-", "COUNT", some), ("XREAD", "STREAMS", stream, "0"), ("XREADGROUP", "GROUP", "g", "c", "COUNT", some, "STREAMS", stream, ">"), ("XAUTOCLAIM", stream, "g", "d", 0, 0, "COUNT", some),
        ("XINFO", "STREAM", stream, "FULL", "COUNT", some), ("KEYS", draw.choice(("key:0000000*", "list:*"))), ("SCAN", 0, "COUNT", some), ("INFO",), ("COMMAND", "DOCS"), ("CLIENT", "LIST")))


def write(draw):
    """One command that stores, perhaps much."""
    kind = draw.choice(("string", "list", "set", "hash", "zset", "stream"))
    string, sets, zsets = (name(draw, one) for one in ("string", "set", "zset"))
    return draw.choice((
        ("COPY", name(draw, kind), name(draw, kind), "REPLACE"), ("RENAME", name(draw, kind), name(draw, kind)), ("DEL", name(draw, kind)), ("UNLINK", name(draw, kind)), ("EXPIRE", name(draw, kind), draw.choice((1, 100))),
        ("SET", "key:%012d" % draw.randrange(400_000), "v" * size_of(draw, 10_000)), ("SET", "key:%012d" % draw.randrange(400_000), "v" * size_of(draw, 10_000)),
        ("APPEND", string, "a" * size_of(draw, 1 << 20)), ("SETRANGE", string, size_of(draw, 100 << 20), "x"), ("BITOP", "OR", "string:0", "string:1", "string:2"),
        ("SUNIONSTORE", sets, "set:0", "set:1"), ("SINTERSTORE", sets, "set:1", "set:2"), ("ZUNIONSTORE", zsets, 2, "zset:0", "zset:1"), ("ZRANGESTORE", zsets, "zset:2", 0, -1), ("SORT", "list:0", "ALPHA", "STORE", "list:1"),
        ("LMOVE", "list:0", "list:1", "LEFT", "RIGHT"), ("SMOVE", "set:0", "set:1", "00000001"), ("XGROUP", "CREATE", name(draw, "stream"), "g", "0", "MKSTREAM"), ("XTRIM", name(draw, "stream"), "MAXLEN", 100), ("PUBLISH", "channel", "m" * size_of(draw, 8 << 20))))


def script(draw, most):
    """What a client sends at once; it ends with a word that comes back."""
    if draw.random() < 0.2:
        commands = build(draw, most)
    else:
        commands = [read(draw) if draw.random() < 0.7 else write(draw) for _ in range(draw.choice((1, 1, 2, 5, 30)))]
        if draw.random() < 0.2:
            commands = [("MULTI",), *commands, ("EXEC",)]
            if draw.random() < 0.3:
                commands.insert(0, ("WATCH", "string:0", "list:0"))
        if draw.random() < 0.3:
            commands = [part for command in commands for part in (command, ("GET", "probe"))]
    return commands


def shown(commands):
    return ", ".join(" ".join(str(word)[:20] for word in command[:3]) for command in commands[:8]) + (" ..." if len(commands) > 8 else "")


# --- who asks --------------------------------------------------------------------------------------------------------


class Asker:
    """One connection. rate: bytes per second that it reads, None: all there is, 0: nothing."""

    def __init__(self, crowd, number):
        self.crowd, self.number, self.sock, self.done = crowd, number, None, 0
        self.begin()

    def _connect(self):
        if self.sock:
            self.close()
        try:
            self.sock = socket.create_connection(("127.0.0.1", self.crowd.port), timeout=STUCK_S)
        except OSError:
            self.sock = None
            return False
        self.sock.setblocking(False)
        self.crowd.selector.register(self.sock, selectors.EVENT_READ, self)
        return True

    def begin(self):
        """The next script."""
        draw = self.crowd.draw
        fresh = self.sock is None or draw.random() < FRESH
        self.commands = []
        if fresh and not self._connect():
            return
        if fresh and draw.random() < 0.5:
            self.commands.append(("HELLO", "3"))
        subscribes = fresh and draw.random() < 0.1
        self.commands += [("SUBSCRIBE", "channel")] if subscribes else script(draw, self.crowd.most)
        self.rate = draw.choice((None, None, None, None, 50 << 20, 5 << 20, 0))
        self.word = b"end-%d-%d" % (self.number, self.done)
        self.unsent = memoryview(b"".join(map(resp.encode, [*self.commands, ("PING", self.word)])))
        self.tail, self.since, self.budget, self.heard = b"", time.monotonic(), 0.0, time.monotonic()
        self.until = self.since + (draw.uniform(1, 8) if subscribes or self.rate == 0 else 1e9)
        self.attend()

    def attend(self):
        want = selectors.EVENT_WRITE if len(self.unsent) else 0
        if self.rate is None or self.budget > 0:
            want |= selectors.EVENT_READ
        if self.sock.fileno() in self.crowd.selector.get_map():
            self.crowd.selector.unregister(self.sock)
        if want:
            self.crowd.selector.register(self.sock, want, self)

    def close(self):
        if self.sock.fileno() in self.crowd.selector.get_map():
            self.crowd.selector.unregister(self.sock)
        self.sock.close()
        self.sock = None

    def _lost(self):
        self.crowd.closed += 1
        self.close()
        self.begin()

    def ready(self, events):
        try:
            if events & selectors.EVENT_WRITE:
                self.unsent = self.unsent[self.sock.send(self.unsent[:CHUNK]) :]
                if not len(self.unsent):
                    self.attend()
            if events & selectors.EVENT_READ:
                self._receive()
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._lost()

    def _receive(self):
        data = self.sock.recv(CHUNK)
        if not data:
            self._lost()
            return
        self.heard = time.monotonic()
        self.crowd.bytes += len(data)
        self.tail = (self.tail + data)[-100:] if len(data) < 100 else data[-100:]
        if b"-OOM" in data[:100]:
            self.crowd.refused += 1
        if self.rate is not None:
            self.budget -= len(data)
            if self.budget <= 0:
                self.attend()
        if self.word in self.tail:
            self.done += 1
            self.crowd.done += 1
            self.crowd.slowest = max(self.crowd.slowest, (time.monotonic() - self.since, shown(self.commands)))
            self.begin()

    def tick(self, passed_s):
        now = time.monotonic()
        if self.sock is None:
            self.begin()
        elif now > self.until:
            self.close()
            self.begin()
        elif self.rate:
            before, self.budget = self.budget, min(self.budget + passed_s * self.rate, self.rate / 5)
            if before <= 0 < self.budget:
                self.attend()
        if self.sock and self.rate != 0 and self.until > 1e8 + now and now > self.heard + STUCK_S:
            self.crowd.stuck.append(shown(self.commands))
            self.close()
            self.begin()


class Crowd:
    def __init__(self, port, draw, count, most):
        self.port, self.draw, self.most = port, draw, most
        self.selector = selectors.DefaultSelector()
        self.done = self.closed = self.refused = self.bytes = 0
        self.slowest, self.stuck, self.lag = (0.0, ""), [], 0.0
        self.askers = [Asker(self, number) for number in range(count)]

    def play(self, seconds, each_tick):
        """each_tick() says whether it goes on."""
        end = last = time.monotonic()
        end += seconds
        while last < end and each_tick():
            for key, events in self.selector.select(0.005):
                if key.data.sock is key.fileobj:
                    key.data.ready(events)
            now = time.monotonic()
            self.lag = max(self.lag, now - last)
            if now > last + 0.01:
                for asker in self.askers:
                    asker.tick(now - last)
                last = now

    def stop(self):
        for asker in self.askers:
            if asker.sock:
                asker.close()
        self.selector.close()


# --- the experiment --------------------------------------------------------------------------------------------------


def options_of(kind, draw):
    policy = draw.choice(("allkeys-lru", "allkeys-lfu", "allkeys-random", "noeviction"))
    options = ["--maxmemory-policy", policy, "--appendonly", draw.choice(("yes", "no")), "--maxclients", "20000", "--save", ""]
    return policy, options + (["--maxmemory", "410mb"] if kind == "redis" else [])


def run(kind, threads, seed, seconds):
    draw = random.Random(seed)
    policy, options = options_of(kind, draw)
    group = cgroup.make(LIMIT)
    if not group:
        raise Impossible("no memory cgroup can be made here (needs root and a writable cgroup tree)")
    folder = tempfile.TemporaryDirectory(prefix="sherd-promise-")
    raise_file_limit(20_000)
    server = Server(*options, kind=kind, binary=group.wrap(binary_of(kind), folder.name), threads=threads, defaults=False)
    most, count = draw.choice((1 << 20, 20 << 20, 110 << 20)), draw.choice((3, 12, 50, 200))
    facts = {"policy": policy, "clients": count, "values up to MB": most / (1 << 20)}
    peak, at_peak = 0, ""
    crowd = None

    def look():
        nonlocal peak, at_peak
        resident = load.resident(server.pid)
        if resident > peak:
            peak = resident
            if crowd and peak > 0.9 * LIMIT:
                at_peak = "; ".join("%s %s" % (asker.rate, shown(asker.commands)) for asker in crowd.askers[:30])
        return server.alive()

    try:
        load.call(server.port, "SET", "probe", "v")
        filler = load.sets(server.port, draw.choice((100, 1024, 20_000)), 2_000_000)
        begun = time.monotonic()
        while load.resident(server.pid) < 0.75 * LIMIT and time.monotonic() < begun + 20:
            time.sleep(0.1)
        if draw.random() < 0.5:
            filler.stop()
        probe = load.Probe(server.port, "probe")
        crowd = Crowd(server.port, draw, count, most)
        began = time.monotonic()
        crowd.play(seconds, look)
        facts["seconds"] = time.monotonic() - began
        facts["alive"] = server.alive()
        probe.stop()
        filler.stop()
        crowd.stop()
        facts.update(probe.facts())
        facts.update({"scripts": crowd.done, "MB read": crowd.bytes >> 20, "refused": crowd.refused, "closed": crowd.closed, "stuck": len(crowd.stuck),
                      "own lag s": crowd.lag, "slowest s": crowd.slowest[0], "which": crowd.slowest[1], "resident peak / limit": peak / LIMIT, "killed by the kernel": group.killed()})
        if crowd.stuck:
            facts["who was stuck"] = "; ".join(crowd.stuck[:5])
        if at_peak:
            facts["at the peak"] = at_peak
    finally:
        server.clean()
        folder.cleanup()
        group.remove()
    return facts


def broken(facts):
    """The claims that do not hold."""
    claims = {"it is never killed": facts["alive"] and not facts["killed by the kernel"],
              "reads are always answered": facts["reads"] > 0 and not facts["reads failed"],
              "who reads gets to the end or is closed": not facts["stuck"]}
    return [claim for claim, holds in claims.items() if not holds]
