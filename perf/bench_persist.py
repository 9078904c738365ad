"""./run bench persist: what the disk costs, sherd beside redis-server. Issue 4's figures and DESIGN.md section 10's.

    ./run bench persist                    everything, some five minutes
    ./run bench persist --full             2M keys of 1 KiB in the checkpoints and restarts, longer windows
    ./run bench persist --only restart     parts whose name matches
    ./run bench persist --json a.json      keep the figures

Both servers run with one thread, pinned to the first core (with their background threads and, for redis, its child);
the generator is pinned to the second. What is compared is measured within seconds, repetition by repetition with the
order swapped, and the medians are shown. A figure of sherd's that has an aim is judged by its own value or by its ratio
to redis's, as the table says. README.md beside this file tells what each figure is and what can be trusted.
"""

import os
import re
import signal
import statistics
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from bench_servers import BenchError, Generator, Server, machine_busy_s
from bench_show import CROWDED

LOG_ONLY = {"--appendonly": "yes", "--auto-aof-rewrite-percentage": "0"}
EVERYSEC = {**LOG_ONLY, "--appendfsync": "everysec"}
ALWAYS = {**LOG_ONLY, "--appendfsync": "always"}
KIB = ("--value-len", 1024, "--noise")
STEADY = 20_000  # writes a second
MB = 1_000_000


class Aim:
    """`over`: "value" of sherd's, or its "ratio" to redis's."""

    def __init__(self, over, at_most=None, at_least=None):
        self.over, self.at_most, self.at_least = over, at_most, at_least

    def __str__(self):
        sign, limit = ("<=", self.at_most) if self.at_least is None else (">=", self.at_least)
        return f"{sign} {limit}" + (" x redis" if self.over == "ratio" else "")

    def reached(self, value):
        return value <= self.at_most if self.at_least is None else value >= self.at_least


class PersistBench:
    def __init__(self, args):
        self.args = args
        cores = sorted(os.sched_getaffinity(0))
        self.pinned = len(cores) >= 2
        self.cpus = {cores[0]} if self.pinned else None
        self.generator = Generator(args.load_bin, cores[1] if self.pinned else None, args.keys)
        self.samples = {}   # (figure, server) -> a value per repetition
        self.units = {}     # figure -> (unit, aim)
        self.figures = []
        self.others = []
        self.failures = []

    # --- helpers ---

    def say(self, text):
        self.args.say(text)

    def server(self, name, options):
        sherd = name == "sherd"
        return Server(name, self.args.sherd_bin if sherd else self.args.redis_bin, self.cpus, 1 if sherd else None, options)

    def names(self, rep):
        names = ["sherd"] + (["redis"] if self.args.redis_bin else [])
        return names if rep % 2 == 0 else names[::-1]

    def add(self, figure, server, value, unit, aim=None):
        self.samples.setdefault((figure, server), []).append(value)
        self.units.setdefault(figure, (unit, aim))

    def load(self, server, *options, seconds=None):
        """A run of sherd-load; notes how busy the rest of the machine was."""
        before, began = machine_busy_s(), time.monotonic()
        timed = ("--warmup", self.args.warmup, "--time", seconds or self.args.time)
        got = self.generator.run(server, *options, *(() if "--requests" in options else timed))
        wall = time.monotonic() - began
        ours = got["server"]["cpu_share"] + got["generator"]["cpu_share"]
        self.others.append(max(0.0, ((machine_busy_s() - before) / wall - ours) / os.cpu_count()))
        return got

    # --- everysec: what it adds to a SET, and what reaches the disk ---

    def part_everysec(self):
        for rep in range(self.args.reps):
            with ExitStack() as stack:
                pairs = [(name, [stack.enter_context(self.server(name, o)) for o in ({}, EVERYSEC)])
                         for name in self.names(rep)]
                for _, pair in pairs:
                    for server in pair:
                        self.generator.run(server, "--preload")
                for name, (without, with_log) in pairs:
                    self.say(f"repetition {rep + 1} of {self.args.reps}: everysec, {name}")
                    self.everysec_added(name, without, with_log)
                    self.bytes_per_set(name, with_log, "everysec", 16, 400_000)

    def everysec_added(self, name, without, with_log):
        """Turn by turn: a machine that gets slower meanwhile is so for both."""
        added = []
        for i in range(self.args.turns):
            cost = {}
            for server in (without, with_log) if i % 2 == 0 else (with_log, without):
                cost[server] = self.load(server, "--op", "set", "--pipeline", 16)["server"]["cpu_us_per_op"]
            added.append(cost[with_log] - cost[without])
        self.add("everysec: CPU added per SET, pipeline 16", name, statistics.median(added), "us", Aim("value", at_most=0.2))

    def bytes_per_set(self, name, server, policy, pipeline, requests):
        before = server.bytes_written()
        self.load(server, "--op", "set", "--pipeline", pipeline, "--requests", requests)
        time.sleep(1.3)  # the last second's sync
        self.add(f"{policy}: bytes to the disk per SET of 64 bytes, pipeline {pipeline}", name,
                 (server.bytes_written() - before) / requests, "bytes", Aim("ratio", at_most=1.02))

    # --- always: group commit ---

    def part_always(self):
        for rep in range(self.args.reps):
            with ExitStack() as stack:
                servers = [stack.enter_context(self.server(name, ALWAYS)) for name in self.names(rep)]
                for server in servers:
                    self.generator.run(server, "--preload")
                for pipeline in (1, 16):
                    for server in servers:
                        self.always(f"repetition {rep + 1} of {self.args.reps}", server, pipeline, ", log never rewritten")
                for server in servers:
                    self.age(server)
                for pipeline, aim in ((1, 1.5), (16, 3.0)):
                    for server in servers:
                        self.always(f"repetition {rep + 1} of {self.args.reps}", server, pipeline, "", Aim("ratio", at_least=aim))
                        self.bytes_per_set(server.name, server, "always", pipeline, 40_000 * (1 if pipeline == 1 else 5))

    def always(self, when, server, pipeline, state, aim=None):
        self.say(f"{when}: always P{pipeline}{state}, {server.name}")
        got = self.load(server, "--op", "set", "--pipeline", pipeline)
        self.add(f"always: SETs per second, pipeline {pipeline}{state}", server.name, got["ops_per_s"] / 1000, "thousand", aim)
        self.add(f"always: CPU per SET, pipeline {pipeline}{state}", server.name, got["server"]["cpu_us_per_op"], "us")

    def age(self, server):
        """As servers are that have been up for a while: the log has been rewritten more than once."""
        for _ in range(3):
            self.generator.run(server, "--preload")
            server.ask("BGREWRITEAOF")
            while not rewrite_is_over(server):
                time.sleep(0.05)

    def part_gets_beside_always(self):
        """GETs of keys that nobody writes, at a fixed rate, beside SETs at a fixed rate."""
        for rep in range(self.args.reps):
            for name in self.names(rep):
                self.say(f"repetition {rep + 1} of {self.args.reps}: GETs beside always, {name}")
                p99 = [self.gets_beside_sets(name, options) for options in ({}, ALWAYS)]
                self.add("GETs beside SETs under always: p99 over that without persistence", name, p99[1] / p99[0], "x",
                         Aim("value", at_most=1.2))

    def gets_beside_sets(self, name, options):
        with self.server(name, options) as server:
            self.generator.run(server, "--preload")
            writer = self.generator.start(server, "--op", "set", "--key-prefix", "w:", "--rate", STEADY,
                                          "--time", self.args.time + self.args.warmup + 0.5)
            time.sleep(0.3)
            try:
                return self.load(server, "--op", "get", "--rate", 10_000)["latency_us"]["p99"]
            finally:
                self.generator.finish(server, writer)

    # --- restart ---

    def part_restart(self):
        self.restart("restart from a checkpoint of 1 KiB values", {}, self.fill_checkpoint, Aim("value", at_least=1000))
        self.restart("restart from a log of SETs of 64 bytes", EVERYSEC, self.fill_log, Aim("ratio", at_least=2.0))

    def fill_checkpoint(self, server):
        self.generator.run(server, "--preload", "--keys", self.args.kib_keys, *KIB)
        server.ask("SAVE")
        return sum(p.stat().st_size for p in Path(server.dir).rglob("*.rdb"))

    def fill_log(self, server):
        self.generator.run(server, "--op", "set", "--pipeline", 64, "--requests", self.args.log_sets)
        time.sleep(1.3)
        return self.args.log_sets * SET_IN_LOG

    def restart(self, figure, options, fill, aim):
        with ExitStack() as stack:
            servers = [stack.enter_context(self.server(name, options)) for name in self.names(0)]
            sizes = {server: fill(server) for server in servers}
            for rep in range(self.args.reps):
                for server in servers if rep % 2 == 0 else servers[::-1]:
                    self.say(f"repetition {rep + 1} of {self.args.reps}: {figure}, {server.name}")
                    server.stop(120)
                    read_all(server.dir)
                    began = time.monotonic()
                    server.start(ready_s=300)
                    wall, cpu = time.monotonic() - began, server.cpu_s()
                    self.add(f"{figure}, per second of CPU", server.name, sizes[server] / MB / cpu, "MB", aim)
                    self.add(f"{figure}, per second", server.name, sizes[server] / MB / wall, "MB")

    # --- checkpoint under writes ---

    def part_checkpoint(self):
        """1 KiB values overwritten at random all the while, as fast as it goes, then at a steady rate."""
        for rep in range(self.args.long_reps):
            for name in self.names(rep):
                with self.server(name, {}) as server:
                    self.generator.run(server, "--preload", "--keys", self.args.kib_keys, *KIB)
                    write = ("--op", "set", "--keys", self.args.kib_keys, *KIB)
                    self.say(f"repetition {rep + 1} of {self.args.long_reps}: checkpoint under overwrite, {name}")
                    self.under_save("checkpoint under overwrite", server, write, closed=True)
                    self.say(f"repetition {rep + 1} of {self.args.long_reps}: checkpoint at {STEADY} writes/s, {name}")
                    self.under_save(f"checkpoint at {STEADY} writes/s", server, (*write, "--rate", STEADY), closed=False)

    def part_hashes(self):
        """6,000 hashes: one of 1M fields, ten of 100,000, the rest of 100; fields of all of them written meanwhile."""
        kinds = (("huge", 1_000_000), ("mid:__rand:10__", 1_000_000), ("small:__rand:5989__", 600_000))
        for rep in range(self.args.long_reps):
            for name in self.names(rep):
                self.say(f"repetition {rep + 1} of {self.args.long_reps}: checkpoint of 6000 hashes, {name}")
                with self.server(name, {}) as server:
                    for key, fields in kinds:
                        self.generator.run(server, "--preload", "--preload-op", f"hset {key} __key__ v:__rand__",
                                           "--keys", fields)
                    write = " ; ".join(f"hset {key} __key__ v:__rand__" for key, _ in kinds)
                    self.under_save("checkpoint of 6000 hashes", server,
                                    ("--op", write, "--keys", 600_000, "--rate", STEADY), closed=False)

    def under_save(self, figure, server, write, closed):
        name = server.name
        before = self.load(server, *write, seconds=self.args.time)
        memory = Memory(server)
        generator = self.generator.start(server, *write, "--warmup", self.args.warmup, "--time", 600)
        try:
            time.sleep(self.args.warmup + 0.2)
            began = time.monotonic()
            server.ask("BGSAVE")
            while bgsave_runs(server):
                time.sleep(0.05)
            took = time.monotonic() - began
        finally:
            generator.send_signal(signal.SIGTERM)
            during = self.generator.finish(server, generator)
            peak = memory.peak_over_start()
        latency = {when: got["latency_us"] for when, got in (("before", before), ("during", during))}
        self.add(f"{figure}: peak memory over before", name, peak, "x", Aim("value", at_most=1.05))
        if closed:
            self.add(f"{figure}: throughput over before", name, during["ops_per_s"] / before["ops_per_s"], "x",
                     Aim("value", at_least=0.80))
            self.add(f"{figure}: p99.9 over before", name, latency["during"]["p99.9"] / latency["before"]["p99.9"], "x",
                     Aim("value", at_most=2.0))
        else:
            self.add(f"{figure}: p99.9", name, latency["during"]["p99.9"] / 1000, "ms", Aim("value", at_most=3.0))
        self.add(f"{figure}: largest latency more than before", name,
                 (latency["during"]["max"] - latency["before"]["max"]) / 1000, "ms", Aim("value", at_most=5.0))
        self.add(f"{figure}: it took", name, took, "s")

    # --- all of it ---

    def run(self):
        parts = {name[5:]: getattr(self, name) for name in dir(self) if name.startswith("part_")}
        for name in ("everysec", "always", "gets_beside_always", "restart", "checkpoint", "hashes"):
            if self.args.only and not re.search(self.args.only, name, re.IGNORECASE):
                continue
            try:
                parts[name]()
            except BenchError as error:
                self.failures.append(f"{name}: {error}")
        for figure, (unit, aim) in self.units.items():
            self.figures.append(self.summary(figure, unit, aim))

    def summary(self, figure, unit, aim):
        reps = {server: self.samples.get((figure, server)) for server in ("sherd", "redis")}
        medians = {server: statistics.median(values) if values else None for server, values in reps.items()}
        ratio = medians["sherd"] / medians["redis"] if medians["sherd"] and medians["redis"] else None
        judged = None if aim is None else medians["sherd"] if aim.over == "value" else ratio
        return {"figure": figure, "unit": unit, **medians, "ratio": ratio, "aim": str(aim) if aim else None,
                "ok": None if judged is None else aim.reached(judged), "reps": reps}

    def notes(self):
        crowded = [x for x in self.others if x > CROWDED]
        if not crowded:
            return []
        return [f"others used up to {max(crowded) * 100:.0f} % of this machine's CPUs during {len(crowded)} of "
                f"{len(self.others)} measurements: repeat when it is quiet"]


# *3, SET, a key of 16 bytes, a value of 64, each with its length and line ends: as both logs write it.
SET_IN_LOG = len("*3\r\n$3\r\nSET\r\n$16\r\n\r\n$64\r\n\r\n") + 16 + 64


def read_all(path):
    """So that both find their files in the page cache: the disk is not what is measured."""
    for file in Path(path).rglob("*"):
        if file.is_file():
            with open(file, "rb") as f:
                while f.read(1 << 20):
                    pass


def bgsave_runs(server):
    return "rdb_bgsave_in_progress:1" in server.ask("INFO", "persistence")


def rewrite_is_over(server):
    info = server.ask("INFO", "persistence")
    return "aof_rewrite_in_progress:0" in info and "aof_rewrite_scheduled:0" in info


class Memory(threading.Thread):
    """The largest memory while it runs. Sherd's is its own anonymous memory. What redis's child and the copies of pages
    take cannot be read from either process cheaply, so for redis it is the machine's (AnonPages): a neighbour that
    grows meanwhile is counted too."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server = server
        self.start_bytes = server.status_bytes("RssAnon")
        self.machine_start = anon_pages()
        self.grown = 0
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.03):
            if self.server.name == "sherd":
                self.grown = max(self.grown, self.server.status_bytes("RssAnon") - self.start_bytes)
            else:
                self.grown = max(self.grown, anon_pages() - self.machine_start)

    def peak_over_start(self):
        self.over.set()
        self.join()
        return 1 + self.grown / self.start_bytes


def anon_pages():
    return int(re.search(r"AnonPages:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) * 1024


QUICK = {"reps": 3, "long_reps": 1, "turns": 3, "time": 2.0, "warmup": 0.3, "keys": 1_000_000, "kib_keys": 500_000,
         "log_sets": 2_000_000}
FULL = {"reps": 5, "long_reps": 3, "turns": 5, "time": 4.0, "warmup": 0.5, "keys": 1_000_000, "kib_keys": 2_000_000,
        "log_sets": 4_000_000}
