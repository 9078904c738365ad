"""Experiment a: a memory cgroup of 512 MiB, and everything at once that is known to kill a server in it.

Full-speed overwriting and growth of small and large values and of hashes with many fields, a log, one snapshot after the
other, readers of huge replies that do not read, a flood to subscribers that do not read, and thousands of connections
with full pipelines. Beside it a probe reads a key.

Claims: it is never killed; every read is answered; and with plain data at least 0.8 of its ceiling is theirs."""

import random
import tempfile
import time

from promise import load
from promise.common import Impossible, binary_of
from support import cgroup
from support.case import raise_file_limit
from support.server import Server

LIMIT = 512 << 20
VALUE = 1024
OF_REDIS = ("--maxmemory", "410mb")  # as its documentation advises: some room for what is not counted


def options_of(kind, policy):
    shared = ["--appendonly", "yes", "--maxmemory-policy", policy, "--maxclients", "20000"]
    return shared + list(OF_REDIS) if kind == "redis" else shared


class Pressure:
    """All the trouble; stop() ends it."""

    def __init__(self, port, draw, connections):
        self.port = port
        large = [("SET", "large:%d" % i, "v" * (4 << 20)) for i in range(3)]
        for command in large:
            load.call(port, *command)
        self.writers = [load.sets(port, 64, 300_000), load.sets(port, VALUE, 400_000), load.sets(port, draw.choice((8_000, 60_000)), 3_000, pipeline=4),
                        load.Writer(port, "-r", 2_000_000, "HSET", "hash:%d" % draw.randrange(4), "field:__rand_int__", "v" * 50),
                        load.Writer(port, "-r", 1_000_000, "LPUSH", "list:__rand_int__", "v" * 100, connections=5)]
        self.deaf = [(load.Deaf(port, 8, [("GET", "large:0")] * 50), 8),
                     (load.Deaf(port, 4, [("SUBSCRIBE", "flood")]), 4),
                     (load.Deaf(port, connections, [("GET", "key:%012d" % draw.randrange(400_000)) for _ in range(40)]), connections)]
        self.writers.append(load.Writer(port, "PUBLISH", "flood", "m" * 8_000, connections=2, pipeline=8))

    def go_on(self):
        for deaf, count in self.deaf:
            deaf.keep(count)

    def stop(self):
        for writer in self.writers:
            writer.stop()
        for deaf, _ in self.deaf:
            deaf.stop()


def usable(port):
    """Bytes of keys and values that fit, over the ceiling: plain SETs until some are refused or evicted."""
    load.call(port, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    load.call(port, "FLUSHALL")
    ceiling = int(load.info(port, "memory").get("maxmemory", 0))
    if not ceiling:
        return None
    keys = 2 * ceiling // VALUE
    done, kept, refused, client = 0, 0, 0, None
    while refused < 20 and done < keys:
        try:
            client = client or load.resp.Client(port, timeout=60 * load.SLOW)
            replies = client.pipeline([("SET", "key:%012d" % (done + i), "v" * VALUE) for i in range(100)])
        except (OSError, load.resp.Closed):  # while memory of those before comes back, the fattest clients may go
            client, refused = None, refused + 1
            time.sleep(0.1)
            continue
        taken = sum(reply == load.resp.OK for reply in replies)
        done += 100
        kept += taken
        refused = 0 if taken else refused + 1  # what waits for memory to come back is taken later
    return kept * (VALUE + 16) / ceiling


def run(kind, threads, seed, seconds):
    draw = random.Random(seed)
    policy = draw.choice(("allkeys-lru", "allkeys-lfu", "noeviction"))
    group = cgroup.make(LIMIT)
    if not group:
        raise Impossible("no memory cgroup can be made here (needs root and a writable cgroup tree)")
    folder = tempfile.TemporaryDirectory(prefix="sherd-promise-")
    raise_file_limit(20_000)
    server = Server(*options_of(kind, policy), kind=kind, binary=group.wrap(binary_of(kind), folder.name), threads=threads, defaults=False)
    facts = {"policy": policy}
    try:
        load.call(server.port, "SET", "probe", "v")
        probe = load.Probe(server.port, "probe")
        pressure = Pressure(server.port, draw, 5000 if seconds >= 30 else 500)
        end, peak, saves = time.monotonic() + seconds, 0, 0
        while time.monotonic() < end and server.alive():
            pressure.go_on()
            saves += load.call(server.port, "BGSAVE") == load.resp.Simple(b"Background saving started")
            for _ in range(25):
                peak = max(peak, load.resident(server.pid))
                time.sleep(0.02)
        facts["seconds"] = round(seconds - max(0, end - time.monotonic()))
        facts["alive"] = server.alive()
        probe.stop()
        pressure.stop()
        facts.update(probe.facts())
        facts.update({"snapshots": saves, "resident peak / limit": peak / LIMIT})
        facts["killed by the kernel"] = group.killed()
        facts["usable / ceiling"] = usable(server.port) if server.alive() else None
        facts["alive"] = facts["alive"] and server.alive()
        facts["killed by the kernel"] = group.killed()
    finally:
        server.clean()
        folder.cleanup()
        group.remove()
    return facts


def broken(facts):
    """The claims that do not hold."""
    claims = {"it is never killed": facts["alive"] and not facts["killed by the kernel"],
              "reads are always answered": facts["reads"] > 0 and not facts["reads failed"],
              "0.8 of the ceiling is usable": (facts["usable / ceiling"] or 0) >= 0.8}
    return [claim for claim, holds in claims.items() if not holds]
