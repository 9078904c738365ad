#!/usr/bin/env python3
"""DESIGN.md section 10, measured: sherd beside redis-server, on this machine, now.

    ./run bench                          everything (about seven minutes)
    ./run bench --quick --only 'GET'     short times, scenarios whose name matches
    ./run bench --json a.json            keep the figures;  --plot a.png  draw them
    perf/bench.py compare a.json b.json  what changed between two runs

How: both servers stand ready, pinned to the first core; sherd-load is pinned to the second. A scenario is measured on
one server, then at once on the other, then the next scenario; all of it --reps times with fresh servers and the
order swapped. The figure that counts is the server's CPU time per operation, and its ratio to redis in the same
repetition: a busy neighbour disturbs both. README.md beside this file explains what can be trusted, and how to add a row.
"""

import argparse
import fnmatch
import json
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


# --- what is measured: rows to add to ---------------------------------------------------------------------------------

@dataclass(frozen=True)
class Scenario:
    """One load on loaded servers. Targets are DESIGN's: `ratio` to redis's CPU per operation, `cpu_us` absolute."""
    name: str
    op: str                # sherd-load --op; every command of a raw operation counts as one operation
    pipeline: int
    ratio: float = None
    cpu_us: float = None
    load: tuple = ()       # further options of sherd-load


SCENARIOS = [
    Scenario("GET P1", "get", 1, 0.70, 3.9),
    Scenario("GET P16", "get", 16, 0.33, 0.45),
    Scenario("GET P64", "get", 64, 0.25, 0.30),
    Scenario("SET P1", "set", 1, 0.72, 4.1),
    Scenario("SET P16", "set", 16, 0.36, 0.60),
    Scenario("MGET of 10 P16", "mget:10", 16, 0.25, 2.4),
    Scenario("MSET of 10 P16", "mset:10", 16, 0.30, 3.8),
    Scenario("INCR P16", "incr counter", 16, 0.50, 0.56),
    Scenario("LPUSH+LPOP P16", "lpush list __value__ ; lpop list", 16, 0.50),
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
    """sherd alone, not pinned, server and generator sharing all cores; CPU per operation against that of 1 thread."""
    name: str
    op: str
    pipeline: int
    at_most: dict = field(default_factory=dict)  # threads -> times the 1-thread figure


THREADS = [
    Threads("GET P16 by threads", "get", 16, {1: None, 2: 1.4, 4: None, 16: 2.0}),
    Threads("MGET of 10 P16 by threads", "mget:10", 16, {1: None, 2: 2.0, 4: None, 16: None}),
]


CROWDED = 0.10  # share of the machine used by others above which a verdict is marked noisy


# --- servers and the generator ----------------------------------------------------------------------------------------

class BenchError(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server process in a directory of its own; `with` stops it and removes the directory."""

    def __init__(self, name, binary, cpus=None, threads=None):
        self.name, self.binary, self.cpus, self.threads = name, binary, cpus, threads

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix=f"bench-{self.name}-")
        self.port = free_port()
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                   "--dir", self.dir]
        if self.threads is not None:
            command += ["--threads", str(self.threads)]
        pin = (lambda: os.sched_setaffinity(0, self.cpus)) if self.cpus else None
        self.output = open(os.path.join(self.dir, "output"), "wb")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, preexec_fn=pin, cwd=self.dir)
        try:
            self._wait_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_ready(self):
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as s:
                    s.sendall(b"PING\r\n")
                    if s.recv(64).startswith(b"+PONG"):
                        return
            except OSError:
                pass
            time.sleep(0.02)
        raise BenchError(f"{self.name} does not start:\n" + self.tail())

    def tail(self):
        self.output.flush()
        return Path(self.dir, "output").read_text(errors="replace")[-2000:]

    def rss(self):
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1)) * 1024

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.output.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def machine_busy_s():
    """Seconds of CPU the whole machine has used (user, nice, system, irq, softirq, steal)."""
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6, 7)) / os.sysconf("SC_CLK_TCK")


class Generator:
    def __init__(self, binary, cpu, keys):
        self.binary, self.cpu, self.keys = binary, cpu, keys

    def run(self, server, *options, allow_errors=False):
        """One run of sherd-load against the server. None when replies were errors and that is allowed."""
        command = [self.binary, "--port", str(server.port), "--pid", str(server.process.pid), *map(str, options)]
        if "--keys" not in command:
            command += ["--keys", str(self.keys)]
        if self.cpu is not None:
            command += ["--cpu", str(self.cpu)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        if done.returncode == 3 and allow_errors:
            return None
        if done.returncode != 0:
            text = done.stderr.strip() or done.stdout.strip()[-600:]
            raise BenchError(f"{server.name}: {' '.join(command[5:])}: {text}\n{server.tail()}")
        return json.loads(done.stdout) if "--json" in command else {}

    def measure(self, server, op, pipeline, args, extra=()):
        """A timed run; the flat record of it, or None when the server does not know the command."""
        base = ["--op", op, "--pipeline", pipeline, "--json", *extra]
        if self.run(server, *base, "--requests", 500, allow_errors=True) is None:
            return None
        before, began = machine_busy_s(), time.monotonic()
        got = self.run(server, *base, "--warmup", args.warmup, "--time", args.time)
        wall = time.monotonic() - began
        others = (machine_busy_s() - before) / wall - got["server"]["cpu_share"] - got["generator"]["cpu_share"]
        return {
            "cpu_us": got["server"]["cpu_us_per_op"], "ops_per_s": got["ops_per_s"],
            "p50_us": got["latency_us"]["p50"], "p99_us": got["latency_us"]["p99"],
            "p99.9_us": got["latency_us"]["p99.9"], "max_us": got["latency_us"]["max"],
            "server_busy": got["server"]["cpu_share"], "generator_busy": got["generator"]["cpu_share"],
            "generator_us": got["generator"]["cpu_us_per_op"], "nils": got["nils"],
            "others": max(0.0, others / os.cpu_count()),
        }


# --- running ----------------------------------------------------------------------------------------------------------

class Bench:
    def __init__(self, args):
        self.args = args
        cores = sorted(os.sched_getaffinity(0))
        self.pinned = len(cores) >= 2
        self.server_cpus = {cores[0]} if self.pinned else None
        self.generator = Generator(args.load_bin, cores[1] if self.pinned else None, args.keys)
        self.unpinned = Generator(args.load_bin, None, args.keys)
        self.results = []  # {"scenario", "server", "reps": [record or None, ...], "median": record}
        self.checks = []   # {"name", "value", "target", "unit", "ok": bool or None}
        self.failures = []

    def wanted(self, name):
        pattern = self.args.only
        return pattern is None or fnmatch.fnmatch(name.lower(), f"*{pattern.lower()}*") or \
            bool(re.search(pattern, name, re.IGNORECASE))

    def servers(self, pinned=True, threads=1):
        cpus = self.server_cpus if pinned else None
        found = [Server("sherd", self.args.sherd_bin, cpus, threads)] if self.args.sherd_bin else []
        if self.args.redis_bin:
            found.append(Server("redis", self.args.redis_bin, cpus))
        return found

    def say(self, text):
        print(text, file=sys.stderr, flush=True)

    # rates and CPU per operation

    def measure(self, generator, server, scenario, extra=()):
        """A record; None when the server does not know the command, or when it failed, which is kept too."""
        try:
            got = generator.measure(server, scenario.op, scenario.pipeline, self.args, extra)
        except BenchError as error:
            self.failures.append(f"{scenario.name}: {error}")
            return None
        if got and got["nils"] and scenario.op.startswith(("get", "mget")):
            self.failures.append(f"{scenario.name}: {server.name} answered nil for {got['nils']} loaded keys")
            return None
        return got

    def run_scenarios(self):
        chosen = [s for s in SCENARIOS if self.wanted(s.name)]
        if not chosen:
            return
        records = {}
        for rep in range(self.args.reps):
            with ExitStack() as stack:
                servers = [stack.enter_context(s) for s in self.servers()]
                for server in servers:
                    self.generator.run(server, "--preload")
                for s in chosen:
                    self.say(f"repetition {rep + 1} of {self.args.reps}: {s.name}")
                    for server in servers if rep % 2 == 0 else reversed(servers):
                        got = self.measure(self.generator, server, s, s.load)
                        records.setdefault((s.name, server.name), []).append(got)
        for s in chosen:
            for server in ("sherd", "redis"):
                if (s.name, server) in records:
                    self.results.append(summary(s.name, server, records[s.name, server]))
            self.check_scenario(s, records.get((s.name, "sherd")), records.get((s.name, "redis")))

    def check_scenario(self, s, sherd, redis):
        if not sherd or None in sherd:
            return
        if redis and None not in redis and s.ratio:
            value = statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in zip(sherd, redis))
            self.check(s.name, value, s.ratio, "x redis's CPU per op", sherd + redis)
        elif not redis and s.cpu_us:
            self.check(s.name, statistics.median(a["cpu_us"] for a in sherd), s.cpu_us, "us CPU per op", sherd)

    def check(self, name, value, target, unit, records=()):
        self.checks.append({"name": name, "value": value, "target": target, "unit": unit,
                            "noisy": any(r["others"] > CROWDED for r in records),
                            "ok": None if target is None else value <= target})

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
                    self.unpinned.run(server, "--preload", "--preload-op", m.write, "--keys", m.keys, "--key-len", m.key_len,
                                      "--value-len", m.value_len)
                    time.sleep(0.3)
                    overhead = (server.rss() - before) / m.keys - m.key_len - m.value_len
                self.check(f"{m.name}, {server.name}", overhead, m.at_most if server.name == "sherd" else None,
                           "bytes over key and value")

    # threads

    def run_threads(self):
        chosen = [t for t in THREADS if self.wanted(t.name)]
        if not chosen or not self.args.sherd_bin:
            return
        records = {}
        counts = sorted({n for t in chosen for n in t.at_most})
        for rep in range(self.args.reps):
            for threads in counts:
                self.say(f"repetition {rep + 1} of {self.args.reps}: {threads} threads")
                with Server("sherd", self.args.sherd_bin, None, threads) as server:
                    self.unpinned.run(server, "--preload")
                    for t in chosen:
                        if threads in t.at_most:
                            got = self.measure(self.unpinned, server, t)
                            records.setdefault((t.name, threads), []).append(got)
        for t in chosen:
            one = records.get((t.name, 1))
            for threads, limit in t.at_most.items():
                label = f"{t.name}: {threads}"
                mine = records[t.name, threads]
                self.results.append(summary(label, "sherd", mine, shared=True))
                if threads != 1 and one and None not in one and None not in mine:
                    value = statistics.median(a["cpu_us"] / b["cpu_us"] for a, b in zip(mine, one))
                    self.check(label, value, limit, "x the CPU per op of 1 thread", mine + one)


def summary(scenario, server, reps, shared=False):
    known = [r for r in reps if r is not None]
    median = {key: statistics.median(r[key] for r in known) for key in known[0]} if len(known) == len(reps) else None
    return {"scenario": scenario, "server": server, "reps": reps, "median": median, "shared_cores": shared}


# --- showing ----------------------------------------------------------------------------------------------------------

def table(rows, header):
    widths = [max(len(str(r[i])) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, ["-" * w for w in widths], *rows]:
        print("  ".join(str(cell).ljust(w) if i < 2 else str(cell).rjust(w)
                        for i, (cell, w) in enumerate(zip(row, widths))).rstrip())


def spread(result):
    values = [r["cpu_us"] for r in result["reps"]]
    return (max(values) - min(values)) / statistics.median(values)


def show_results(report):
    if not report["results"]:
        return
    checks = {c["name"]: c for c in report["checks"]}
    targets = {s.name: f"{s.ratio:.2f}" + (f" / {s.cpu_us} us" if s.cpu_us else "") for s in SCENARIOS if s.ratio}
    rows = []
    for r in report["results"]:
        m, check = r["median"], checks.get(r["scenario"]) if r["server"] == "sherd" else None
        if m is None:
            rows.append([r["scenario"], r["server"], "n/a"] + [""] * 9)
            continue
        rows.append([
            r["scenario"], r["server"], f"{m['cpu_us']:.3f}", f"{spread(r) * 100:.0f}%", f"{m['ops_per_s'] / 1000:.0f}",
            f"{m['p50_us']:.0f}", f"{m['p99_us']:.0f}", f"{m['p99.9_us']:.0f}",
            f"{m['server_busy'] * 100:.0f}%", f"{m['generator_busy'] * 100:.0f}%",
            f"{check['value']:.2f}" if check else "",
            verdict(check, targets.get(r["scenario"])) if check else "",
        ])
    table(rows, ["scenario", "server", "CPU us/op", "+-", "kops/s", "p50 us", "p99", "p99.9", "server", "generator",
                 "ratio", "target"])


def verdict(check, target=None):
    if check["ok"] is None:
        return "-"
    return f"{target or check['target']} {'ok' if check['ok'] else 'MISSED'}{' (noisy)' if check['noisy'] else ''}"


def show_checks(report):
    shown = {s.name for s in SCENARIOS}
    rows = [[c["name"], c["unit"], f"{c['value']:.2f}", verdict(c)] for c in report["checks"] if c["name"] not in shown]
    if rows:
        print()
        table(rows, ["figure", "unit", "value", "target"])


def notes(report):
    found = []
    idle, crowded, weak = [], [], []
    for r in report["results"]:
        m = r["median"]
        if m is None:
            continue
        label = f"{r['scenario']} ({r['server']})"
        if not r["shared_cores"] and m["server_busy"] < 0.9:
            idle.append(f"{label} {m['server_busy'] * 100:.0f}%")
            if m["generator_busy"] > 0.85:
                weak.append(label)
        crowded += [x["others"] for x in r["reps"] if x["others"] > CROWDED]
    if idle:
        found.append("the server was less than 90 % busy, so throughput and percentiles are not its limit (CPU per op is "
                     "still its own): " + ", ".join(idle))
    if weak:
        found.append("THE GENERATOR WAS THE BOTTLENECK in: " + ", ".join(weak))
    if crowded:
        found.append(f"others used {max(crowded) * 100:.0f} % of this machine's CPUs during a measurement: only ratios mean "
                     "anything, and they little; repeat when it is quiet")
    return found


def show(report):
    meta = report["meta"]
    print(f"{meta['date']}  {meta['cpu']}, {meta['cores']} cores, Linux {meta['kernel']}, commit {meta['commit']}; "
          f"{meta['redis'] or 'no redis-server'}; {meta['keys']} keys, {meta['reps']} x {meta['time']} s, medians"
          + ("" if meta["pinned"] else "; NOT PINNED: fewer than two cores") + "\n", flush=True)
    show_results(report)
    show_checks(report)
    for note in report["notes"]:
        print(f"\nnote: {note}")
    for failure in report["failures"]:
        print(f"\nFAILED: {failure}")
    judged = [c for c in report["checks"] if c["ok"] is not None]
    if judged:
        noisy = sum(c["noisy"] for c in judged)
        print(f"\n{sum(c['ok'] for c in judged)} of {len(judged)} targets reached"
              + (f"; {noisy} of these verdicts are noisy and prove nothing" if noisy else ""))


def compare(old_path, new_path):
    old, new = (json.loads(Path(p).read_text()) for p in (old_path, new_path))
    before = {(r["scenario"], r["server"]): r for r in old["results"]}
    rows = []
    for r in new["results"]:
        was = before.get((r["scenario"], r["server"]))
        if was is None or was["median"] is None or r["median"] is None:
            continue
        a, b = was["median"], r["median"]
        change, noise = b["cpu_us"] / a["cpu_us"] - 1, max(spread(was), spread(r))
        word = "within noise" if abs(change) <= noise else ("slower" if change > 0 else "faster")
        rows.append([r["scenario"], r["server"], f"{a['cpu_us']:.3f}", f"{b['cpu_us']:.3f}", f"{change * 100:+.1f}%",
                     f"{noise * 100:.0f}%", f"{(b['ops_per_s'] / a['ops_per_s'] - 1) * 100:+.1f}%",
                     f"{(b['p99_us'] / a['p99_us'] - 1) * 100:+.1f}%", word])
    print(f"{old_path} ({old['meta']['commit']}) -> {new_path} ({new['meta']['commit']})\n")
    table(rows, ["scenario", "server", "CPU us/op", "now", "change", "+-", "throughput", "p99", ""])
    was = {c["name"]: c for c in old["checks"]}
    rows = [[c["name"], c["unit"], f"{was[c['name']]['value']:.2f}", f"{c['value']:.2f}", verdict(c)]
            for c in new["checks"] if c["name"] in was]
    if rows:
        print()
        table(rows, ["figure", "unit", "was", "now", "target"])


def plot(report, path):
    """CPU per operation as bars, a pair per scenario, logarithmic. Needs gnuplot."""
    gnuplot = shutil.which("gnuplot")
    if gnuplot is None:
        return print(f"gnuplot is not installed: {path} not drawn (the --json file can be drawn later: bench.py plot)")
    cells = {}
    for r in report["results"]:
        if r["median"]:
            cells.setdefault(r["scenario"], {})[r["server"]] = r["median"]["cpu_us"]
    lines = [f'"{name}" {by.get("sherd", "?")} {by.get("redis", "?")}' for name, by in cells.items()]
    script = f"""set terminal pngcairo size 1400,700 font "sans,11"
set output "{path}"
set title "CPU per operation, microseconds ({report['meta']['date']}, {report['meta']['commit']})"
set style data histograms
set style fill solid 0.8
set datafile missing "?"
set logscale y
set grid ytics
set xtics rotate by -35
$data << EOD
{chr(10).join(lines)}
EOD
plot $data using 2:xtic(1) title "sherd", "" using 3 title "redis"
"""
    done = subprocess.run([gnuplot], input=script, text=True, capture_output=True)
    print(f"drawn: {path}" if done.returncode == 0 else f"gnuplot: {done.stderr.strip()}")


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
    args = p.parse_args()
    defaults = {"reps": 1, "time": 1.0, "warmup": 0.2, "keys": 200_000} if args.quick else \
        {"reps": 3, "time": 3.0, "warmup": 0.5, "keys": 1_000_000}
    for name, value in defaults.items():
        if getattr(args, name) is None:
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
        return print("\n".join(s.name for s in [*SCENARIOS, *MEMORY, *THREADS]))
    args.sherd_bin = find_program(args.sherd_bin, ROOT / "build/release/sherd")
    args.redis_bin = find_program(args.redis_bin, "redis-server")
    args.load_bin = find_program(args.load_bin, ROOT / "build/release/perf/sherd-load")
    if args.load_bin is None:
        sys.exit("no sherd-load: ./run build first, or --load-bin")
    if args.sherd_bin is None:
        sys.exit("no sherd: ./run build first, or --sherd-bin")
    if args.redis_bin is None:
        print("redis-server is not installed: sherd is measured alone, ratios are left out\n")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    bench = Bench(args)
    bench.run_scenarios()
    bench.run_memory()
    bench.run_threads()
    report = {"meta": describe(args, bench.pinned), "results": bench.results, "checks": bench.checks,
              "failures": bench.failures}
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
