#!/usr/bin/env python3
"""DESIGN.md section 10, measured: sherd beside redis-server, on this machine, now.

    ./run bench                          everything (about fifteen minutes)
    ./run bench --quick --only 'GET'     short times, scenarios whose name matches
    ./run bench --only open              latency at half of redis's rate, open loop (bench_open.py)
    ./run bench --only eviction          what eviction costs, and hit ratios (bench_evict.py)
    ./run bench --json a.json            keep the figures;  --plot a.png  draw them
    ./run bench compare a.json b.json    what changed between two runs
    ./run bench persist [--full]         what the disk costs: journal, restart, checkpoints (bench_persist.py)

How: the servers stand ready, pinned to the first core; sherd-load is pinned to the second. A scenario is measured on
one server, then at once on the next, then the next scenario; all of it --reps times with fresh servers and the order
swapped. Beside sherd and redis stands the floor (floor.c), a stub that shows what the kernel alone costs. The figure
that counts is the server's CPU time per operation, and its ratio to redis and to the floor in the same repetition: a
busy neighbour disturbs all of them. README.md beside this file explains what can be trusted, and how to add a row.
"""

import argparse
import fnmatch
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench_evict import COSTS, HITS, run_eviction
from bench_open import OPEN, run_open
from bench_persist import FULL, QUICK, PersistBench
from bench_servers import BenchError, Floor, Generator, Server
from bench_show import CROWDED, compare, notes, plot, show, show_persist

ROOT = Path(__file__).resolve().parent.parent


# --- what is measured: rows to add to ---------------------------------------------------------------------------------

@dataclass(frozen=True)
class Scenario:
    """One load on loaded servers. Targets are DESIGN's: `ratio` to redis's CPU per operation, `cpu_us` absolute."""
    name: str
    op: str                # sherd-load --op; commands that take turns (;) count one each, joined ones (&) one together
    pipeline: int
    ratio: float = None
    cpu_us: float = None
    load: tuple = ()       # further options of sherd-load
    setup: tuple = ()      # options of a run before it, once per server
    floor: float = None    # to the floor stub's CPU per operation (issue 6)

    def suits_floor(self):
        """The stub has an answer of the right size for these, and needs no set-up."""
        return self.op in ("get", "set") and not self.setup


# Three commands on one slot, plainly and as a transaction: one operation each, and 15 data commands of a connection in
# flight in both.
THREE = "set {__key__}s __value__ & get {__same__}s & incr {__same__}n"
MULTI = f"multi & {THREE} & exec"
ON_TAGS = {"load": ("--keys", 100_000),
           "setup": ("--preload", "--keys", 100_000, "--preload-op", "set {__key__}s __value__ & set {__same__}n 0")}

SCENARIOS = [
    Scenario("GET P1", "get", 1, 0.70, 3.9, floor=1.25),
    Scenario("GET P16", "get", 16, 0.33, 0.45, floor=2.0),
    Scenario("GET P64", "get", 64, 0.25, 0.30),
    Scenario("SET P1", "set", 1, 0.72, 4.1),
    Scenario("SET P16", "set", 16, 0.36, 0.60),
    Scenario("MGET of 10 P16", "mget:10", 16, 0.25, 2.4),
    Scenario("MSET of 10 P16", "mset:10", 16, 0.30, 3.8),
    Scenario("INCR P16", "incr counter", 16, 0.50, 0.56),
    Scenario("SET GET INCR P5 (no MULTI)", THREE, 5, **ON_TAGS),
    Scenario("MULTI of 3 P5", MULTI, 5, **ON_TAGS),
    Scenario("LPUSH+LPOP P16", "lpush list __value__ ; lpop list", 16, 0.50),
    Scenario("LRANGE_100 P16", "lrange list100 0 99", 16, 0.50,
             setup=("--preload", "--keys", 100, "--preload-op", "rpush list100 __value__", "--value-len", 16)),
    Scenario("SADD P16", "sadd set member", 16, 0.50),
    Scenario("HSET P16", "hset hash field __value__", 16, 0.50),
    Scenario("ZADD P16", "zadd zset __rand__ member:__rand:100000__", 16, 0.50),
]


@dataclass(frozen=True)
class Memory:
    """Resident bytes per key beyond its key and value, after writing `keys` keys into an empty server."""
    name: str
    write: str
    at_most: float
    keys: int = 2_000_000
    key_len: int = 16
    value_len: int = 32


MEMORY = [
    Memory("bytes per key", "set", 24),
    Memory("bytes per key with TTL", "set __key__ __value__ ex 1000000", 32),
]


@dataclass(frozen=True)
class Threads:
    """Not pinned, server and generator sharing all cores; sherd's CPU per operation against that of its 1 thread."""
    name: str
    op: str
    pipeline: int
    at_most: dict = field(default_factory=dict)  # threads -> times the 1-thread figure
    load: tuple = ()
    setup: tuple = ()


THREADS = [
    Threads("GET P16 by threads", "get", 16, {1: None, 2: 1.4, 4: None, 16: 2.0}),
    Threads("MGET of 10 P16 by threads", "mget:10", 16, {1: None, 2: 2.0, 4: None, 16: None}),
    Threads("MSET of 10 P16 by threads", "mset:10", 16, {1: None, 2: 2.0, 4: None, 16: None}),
    Threads("SET GET INCR P5 (no MULTI) by threads", THREE, 5, {1: None, 2: None}, **ON_TAGS),
    Threads("MULTI of 3 P5 by threads", MULTI, 5, {1: None, 2: None}, **ON_TAGS),
]


@dataclass(frozen=True)
class Surcharge:
    """What one scenario may cost over another, in CPU per operation of the same server (and number of threads)."""
    name: str
    dear: str   # a Scenario or Threads
    cheap: str
    at_most: float


SURCHARGES = [
    Surcharge("MULTI of 3 over the same three", "MULTI of 3 P5", "SET GET INCR P5 (no MULTI)", 1.3),
    Surcharge("MULTI of 3 over the same three by threads", "MULTI of 3 P5 by threads",
              "SET GET INCR P5 (no MULTI) by threads", 1.3),
]


@dataclass(frozen=True)
class Stall:
    """Two groups of 50 clients, all cores shared: latency of the first alone and beside the second, which writes the
    same few keys all the time. A third time the second group writes keys of its own: that shows what its CPU time alone
    does to the first. Starvation: operations of the second group's fastest client over those of its slowest."""
    name: str
    op: str
    pipeline: int
    beside: tuple          # options of the second group
    apart: tuple           # the same without contention
    at_most: float         # p99 beside / p99 alone
    unfair_at_most: float  # fastest / slowest
    threads: int = 2


STALLS = [
    Stall("stall: 80% GET, 20% SET", "setget:0.2", 1,
          ("--op", "mset:10", "--keys", 20, "--key-prefix", "hot:"),
          ("--op", "mset:10", "--keys", 100_000, "--key-prefix", "cold:"), 1.5, 2.0),
]


# --- running ----------------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, args):
        self.args = args
        cores = sorted(os.sched_getaffinity(0))
        self.pinned = len(cores) >= 2
        self.server_cpus = {cores[0]} if self.pinned else None
        self.generator = Generator(args.load_bin, cores[1] if self.pinned else None, args.keys)
        self.unpinned = Generator(args.load_bin, None, args.keys)
        self.records = {}  # (scenario, server) -> a record or None per repetition
        self.results = []  # {"scenario", "server", "reps": [record or None, ...], "median": record}
        self.stalls = []   # {"scenario", "server", "group", medians}
        self.opens = []    # {"scenario", "server", "load", medians}: bench_open.py
        self.evictions = []  # {"scenario", "server", "policy", "cpu_us", "ops_per_s", "keys", "hits"}: bench_evict.py
        self.checks = []   # {"name", "value", "target", "unit", "ok": bool or None}
        self.failures = []

    def wanted(self, name):
        pattern = self.args.only
        return pattern is None or fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*") or \
            bool(re.search(pattern, name, re.IGNORECASE))

    def servers(self, pinned=True, threads=1, options=()):
        cpus = self.server_cpus if pinned else None
        found = [Server("sherd", self.args.sherd_bin, cpus, threads, options)] if self.args.sherd_bin else []
        if self.args.redis_bin:
            found.append(Server("redis", self.args.redis_bin, cpus, None, options))
        return found

    def floor(self):
        return [Floor(self.args.floor_bin, self.server_cpus)] if self.args.floor_bin else []

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    def measure(self, generator, server, scenario, label, load=(), beside=None, rate=()):
        """Keeps a record; None when the server does not know the command, or when it failed, which is kept too."""
        got = None
        try:
            if generator.prepare(server, scenario.op, scenario.pipeline, load, getattr(scenario, "setup", ())):
                got = generator.measure(server, scenario.op, scenario.pipeline, self.args, (*load, *rate), beside)
        except BenchError as error:
            self.failures.append(f"{label}: {error}")
        if got and got["nils"] and scenario.op.startswith(("get", "mget")):
            self.failures.append(f"{label}: {server.name} answered nil for {got['nils']} loaded keys")
            got = None
        self.records.setdefault((label, server.name), []).append(got)

    def known(self, label, server):
        """All records, or None when one is missing."""
        records = self.records.get((label, server))
        return None if not records or None in records else records

    def ratio(self, name, over, under, target, unit, key="cpu_us"):
        """A check: the median of `key` of `over` to that of `under`, repetition by repetition."""
        if over and under:
            value = statistics.median(a[key] / b[key] for a, b in zip(over, under))
            self.check(name, value, target, unit, over + under)

    def check(self, name, value, target, unit, records=(), or_us=None):
        self.checks.append({"name": name, "value": value, "target": target, "unit": unit, "or_us": or_us,
                            "noisy": any(r["others"] > CROWDED for r in records),
                            "ok": None if target is None else value <= target})

    def check_least(self, name, value, target, unit):
        """Of what should be large and does not depend on how busy the machine is."""
        self.check(name, value, target, unit)
        self.checks[-1] |= {"at_least": True, "ok": value >= target}

    # rates and CPU per operation

    def run_scenarios(self):
        chosen = [s for s in SCENARIOS if self.wanted(s.name)]
        if not chosen:
            return
        for rep in range(self.args.reps):
            with ExitStack() as stack:
                servers = [stack.enter_context(s) for s in self.servers()]
                for server in servers:
                    self.generator.run(server, "--preload")
                servers += [stack.enter_context(f) for f in self.floor()]
                for s in chosen:
                    self.say(f"repetition {rep + 1} of {self.args.reps}: {s.name}")
                    for server in servers if rep % 2 == 0 else reversed(servers):
                        if server.name != "floor" or s.suits_floor():
                            self.measure(self.generator, server, s, s.name, s.load)
        for s in chosen:
            for server in ("sherd", "redis", "floor"):
                if (s.name, server) in self.records:
                    self.results.append(summary(s.name, server, self.records[s.name, server]))
            self.check_scenario(s, self.known(s.name, "sherd"), self.known(s.name, "redis"))
        for s in chosen:
            self.ratio(f"{s.name} over the floor", self.known(s.name, "sherd"), self.known(s.name, "floor"), s.floor,
                       "x the floor's CPU per op")

    def check_scenario(self, s, sherd, redis):
        if sherd and redis and s.ratio:
            value = statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in zip(sherd, redis))
            self.check(s.name, value, s.ratio, "x redis's CPU per op", sherd + redis, s.cpu_us)
        elif sherd and not redis and s.cpu_us:
            self.check(s.name, statistics.median(a["cpu_us"] for a in sherd), s.cpu_us, "us CPU per op", sherd)

    # memory

    def run_memory(self):
        for m in MEMORY:
            if not self.wanted(m.name):
                continue
            for server in self.servers(pinned=False):
                self.say(f"{m.name}: {server.name}")
                with server:
                    time.sleep(0.3)
                    before = server.rss()
                    self.unpinned.run(server, "--preload", "--preload-op", m.write, "--keys", m.keys,
                                      "--key-len", m.key_len, "--value-len", m.value_len)
                    time.sleep(0.3)
                    overhead = (server.rss() - before) / m.keys - m.key_len - m.value_len
                self.check(f"{m.name}, {server.name}", overhead, m.at_most if server.name == "sherd" else None,
                           "bytes over key and value")

    # threads

    def run_threads(self):
        """Servers of every number of threads stand ready (an idle one costs nothing), so that what is compared is
        measured within seconds. Redis stands beside 1 thread of sherd."""
        chosen = [t for t in THREADS if self.wanted(t.name)]
        if not chosen:
            return
        counts = sorted({n for t in chosen for n in t.at_most})
        for rep in range(self.args.reps):
            with ExitStack() as stack:
                servers = [stack.enter_context(s) for n in counts for s in self.servers(False, n)
                           if n == 1 or s.name == "sherd"]
                for server in servers:
                    self.unpinned.run(server, "--preload")
                for t in chosen:
                    self.say(f"repetition {rep + 1} of {self.args.reps}: {t.name}")
                    for server in servers if rep % 2 == 0 else reversed(servers):
                        if server.threads in t.at_most or server.name == "redis":
                            label = f"{t.name}: {server.threads or 1}"
                            self.measure(self.unpinned, server, t, label, t.load)
        for t in chosen:
            for threads, limit in t.at_most.items():
                label = f"{t.name}: {threads}"
                for server in ("sherd", "redis"):
                    if (label, server) in self.records:
                        self.results.append(summary(label, server, self.records[label, server], shared=True))
                if threads != 1:
                    self.ratio(label, self.known(label, "sherd"), self.known(f"{t.name}: 1", "sherd"), limit,
                               "x the CPU per op of 1 thread")

    def check_surcharges(self):
        for s in SURCHARGES:
            for at in ["", *(f": {n}" for n in (1, 2, 4, 16))]:
                for server in ("sherd", "redis"):
                    self.ratio(f"{s.name}{at}, {server}", self.known(s.dear + at, server),
                               self.known(s.cheap + at, server), s.at_most if server == "sherd" else None, "x their CPU")

    # stalls

    def run_stalls(self):
        groups = ("alone", "beside others' keys", "beside the same keys")
        for s in STALLS:
            if not self.wanted(s.name):
                continue
            for rep in range(self.args.reps):
                for server in self.servers(False, s.threads):
                    self.say(f"repetition {rep + 1} of {self.args.reps}: {s.name}, {server.name}")
                    with server:
                        self.unpinned.run(server, "--preload")
                        for group, beside in zip(groups, (None, s.apart, s.beside)):
                            self.measure(self.unpinned, server, s, f"{s.name}, {group}", beside=beside)
            for server in ("sherd", "redis"):
                self.show_stall(s, server, [(g, self.known(f"{s.name}, {g}", server)) for g in groups])

    def show_stall(self, s, server, groups):
        alone, judged = groups[0][1], server == "sherd"
        for group, records in groups:
            if not records:
                continue
            self.stalls.append({"scenario": s.name, "server": server, "group": group, **medians(records)})
            if group == "alone":
                continue
            others = [{**r["beside"], "others": r["others"]} for r in records]
            self.stalls.append({"scenario": s.name, "server": server, "group": "  (the others)", **medians(others)})
            same = judged and group.endswith("same keys")
            self.ratio(f"{s.name}, {group}, {server}", records, alone, s.at_most if same else None, "x p99 alone",
                       "p99_us")
            unfair = statistics.median(r["fastest_ops"] / max(1, r["slowest_ops"]) for r in others)
            self.check(f"{s.name}, {group}: fairness, {server}", unfair, s.unfair_at_most if same else None,
                       "x ops, fastest to slowest client", others)


def medians(records):
    return {key: statistics.median(r[key] for r in records) for key in records[0] if key != "beside"}


def summary(scenario, server, reps, shared=False):
    return {"scenario": scenario, "server": server, "reps": reps, "median": None if None in reps else medians(reps),
            "shared_cores": shared}


# --- wiring -----------------------------------------------------------------------------------------------------------

def first_line(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip().split("\n")[0]
    except OSError:
        return ""


def describe(args, pinned):
    model = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    version = first_line([args.redis_bin, "--version"]) if args.redis_bin else ""
    found = re.search(r"v=(\S+)", version)
    return {"date": time.strftime("%Y-%m-%d %H:%M"), "cpu": model.group(1) if model else platform.machine(),
            "cores": os.cpu_count(), "kernel": platform.release(),
            "commit": first_line(["git", "describe", "--always", "--dirty"]) or "unknown",
            "redis": f"redis-server {found.group(1)}" if found else version, "keys": args.keys, "reps": args.reps,
            "time": args.time, "pinned": pinned}


def find_program(given, *places):
    for place in [given] if given else places:
        found = shutil.which(str(place))
        if found:
            return os.path.abspath(found)
    return None


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", nargs="?", choices=["persist"], help="what the disk costs, instead of the scenarios")
    p.add_argument("--full", action="store_true", help="persist: 2M keys of 1 KiB, more and longer repetitions")
    p.add_argument("--quick", action="store_true", help="1 repetition of 1 s, 200k keys: a look, not a figure")
    p.add_argument("--only", metavar="PATTERN", help="scenarios whose name contains or matches this")
    p.add_argument("--reps", type=int, help="repetitions [3]")
    p.add_argument("--time", type=float, help="seconds measured each [3]")
    p.add_argument("--warmup", type=float, help="seconds before that [0.5]")
    p.add_argument("--keys", type=int, help="keys loaded [1000000]")
    p.add_argument("--json", metavar="FILE", help="keep every figure")
    p.add_argument("--plot", metavar="FILE.png", help="draw CPU per operation (gnuplot)")
    p.add_argument("--list", action="store_true", help="only list the scenarios")
    p.add_argument("--sherd-bin", help="[build/release/sherd]")
    p.add_argument("--redis-bin", help="[redis-server]")
    p.add_argument("--load-bin", help="[build/release/perf/sherd-load]")
    p.add_argument("--floor-bin", help="[build/release/perf/sherd-floor]")
    args = p.parse_args()
    defaults = {"reps": 1, "time": 1.0, "warmup": 0.2, "keys": 200_000} if args.quick else \
        {"reps": 3, "time": 3.0, "warmup": 0.5, "keys": 1_000_000}
    if args.what == "persist":
        defaults = FULL if args.full else QUICK
    for name, value in defaults.items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    return args


def leave(number, _frame):
    """Unwinds, which stops the servers; further signals (timeout, an impatient ^C) must not interrupt that."""
    for other in (signal.SIGTERM, signal.SIGINT):
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "compare":
        return compare(sys.argv[2], sys.argv[3])
    if len(sys.argv) == 4 and sys.argv[1] == "plot":
        return plot(json.loads(Path(sys.argv[2]).read_text()), sys.argv[3])
    args = parse()
    if args.list:
        return print("\n".join(s.name for s in [*SCENARIOS, *MEMORY, *THREADS, *STALLS, *OPEN, *COSTS, *HITS]))
    args.sherd_bin = find_program(args.sherd_bin, ROOT / "build/release/sherd")
    args.redis_bin = find_program(args.redis_bin, "redis-server")
    args.load_bin = find_program(args.load_bin, ROOT / "build/release/perf/sherd-load")
    args.floor_bin = find_program(args.floor_bin, ROOT / "build/release/perf/sherd-floor")
    if args.load_bin is None:
        sys.exit("no sherd-load: ./run build first, or --load-bin")
    if args.sherd_bin is None:
        sys.exit("no sherd: ./run build first, or --sherd-bin")
    if args.redis_bin is None:
        print("redis-server is not installed: sherd is measured alone, ratios are left out\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    return bench_persist(args) if args.what == "persist" else bench_all(args)


def bench_persist(args):
    args.say = lambda text: print(text, file=sys.stderr, flush=True)
    bench = PersistBench(args)
    bench.run()
    report = {"meta": describe(args, bench.pinned), "persist": bench.figures, "notes": bench.notes(),
              "failures": bench.failures}
    show_persist(report)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    return 1 if bench.failures else 0


def bench_all(args):
    bench = Bench(args)
    bench.run_scenarios()
    bench.run_memory()
    bench.run_threads()
    bench.check_surcharges()
    bench.run_stalls()
    run_open(bench)
    run_eviction(bench)
    report = {"meta": describe(args, bench.pinned), "results": bench.results, "stalls": bench.stalls,
              "opens": bench.opens, "evictions": bench.evictions, "checks": bench.checks, "failures": bench.failures}
    report["notes"] = notes(report)
    show(report)
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    if args.plot:
        plot(report, args.plot)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"bench: {error}")
