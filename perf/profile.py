#!/usr/bin/env python3
"""Where the time of a scenario goes, in one directory: flame graph, phases of the turn, batches, hops, the slowest turns.

    ./run profile 'GET P16'                     a scenario of the bench (./run bench --list), by its name or a part of it
    ./run profile 'SET P16' --threads 2 --server '--appendonly yes'
    ./run profile 'GET P1' --with callgrind     instructions instead of samples: the same on a busy machine
    ./run profile --op 'hgetall h:__rand:1000__' --pipeline 16

The directory (--out, or profile/NAME) gets

    report.txt   what the rest comes to; also printed
    flame.svg    for a browser; stacks.txt, the same folded, for other tools and for diff
    info.txt     INFO turns, shards, commandstats, latencystats and stats of the measured time
    load.json    what sherd-load measured

One server, with one thread unless --threads says otherwise, on the first core; sherd-load on the second. With more threads
both share all cores. Samples come from perf record, of hardware cycles where the machine counts them and of its clock
elsewhere; without perf from callgrind. README.md beside this file explains what to believe."""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import flame
from bench import ROOT, SCENARIOS, THREADS, Scenario, find_program, leave
from bench_servers import BenchError, Generator, Server
from bench_show import table

SECTIONS = ("turns", "shards", "commandstats", "latencystats", "stats")
FREQUENCY = 1999  # samples a second and thread; no divisor of timers that tick 100, 250 or 1000 times a second
BAR = 40


# --- what is measured -------------------------------------------------------------------------------------------------

def chosen(args):
    """The scenario to run. SystemExit with the names when it is not one."""
    if args.op:
        return Scenario(args.op, args.op, args.pipeline or 1)
    known = {s.name: s for s in [*THREADS, *SCENARIOS]}
    wanted = args.scenario or ""
    exact = [s for name, s in known.items() if name.lower() == wanted.lower()]
    near = exact or [s for name, s in known.items() if wanted.lower() in name.lower()]
    if len(near) == 1:
        return near[0]
    sys.exit(f"{'which' if near else 'no such'} scenario: {wanted or '(none given)'}\n  "
             + "\n  ".join(s.name for s in near or known.values()))


class CallgrindServer(Server):
    """Under callgrind, which counts from `collect` on and writes into `profile`."""
    profile = None

    def command(self):
        self.profile = os.path.join(self.dir, "callgrind.out")
        return ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.profile}",
                *super().command()]

    def start(self, ready_s=120):
        super().start(ready_s)

    def control(self, *words):
        done = subprocess.run(["callgrind_control", *words, str(self.process.pid)], capture_output=True, text=True,
                              timeout=120)
        if done.returncode:
            raise BenchError(f"callgrind_control: {done.stdout}{done.stderr}")

    def stop(self, patience_s=0):
        super().stop(patience_s)  # it takes minutes to end by itself, and what it wrote is there


def perf_event(perf):
    """The event to sample: cycles where they can be counted, else the clock; None: perf may not sample here."""
    for event in ("cycles", "cpu-clock"):
        try:
            done = subprocess.run([perf, "record", "-q", "-e", event, "-o", "/dev/null", "--", "true"], capture_output=True,
                                  text=True, timeout=30)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode == 0 and "not supported" not in done.stderr:
            return event
    return None


def choose_tool(wanted):
    """(tool, event of perf)."""
    perf = shutil.which("perf")
    event = perf_event(perf) if perf and wanted in (None, "perf") else None
    if event:
        return "perf", event
    if wanted == "perf":
        sys.exit("perf is not there or may not sample (kernel.perf_event_paranoid; containers): --with callgrind, or none")
    if wanted == "none":
        return "none", None
    if shutil.which("valgrind"):
        return "callgrind", None
    if wanted:
        sys.exit("valgrind is not installed")
    print("neither perf nor valgrind can be used: counters only, no flame graph", file=sys.stderr)
    return "none", None


class Profile:
    def __init__(self, args, scenario, out):
        self.args, self.scenario, self.out = args, scenario, out
        cores = sorted(os.sched_getaffinity(0))
        self.pinned = len(cores) >= 2 and args.threads == 1
        self.cpus = {cores[0]} if self.pinned else None
        self.generator = Generator(args.load_bin, cores[1] if self.pinned else None, args.keys)
        self.tool, self.event = choose_tool(args.tool)
        self.stacks = None

    def run(self):
        words = shlex.split(self.args.server or "")
        options = dict(zip(words[::2], words[1::2]))
        kind = CallgrindServer if self.tool == "callgrind" else Server
        with kind("sherd", self.args.sherd_bin, self.cpus, self.args.threads, options) as server:
            self.generator.run(server, "--preload", "--preload-pipeline", 16)
            if not self.generator.prepare(server, self.scenario.op, self.scenario.pipeline, self.scenario.load,
                                          self.scenario.setup):
                raise BenchError(f"the server does not know {self.scenario.op}")
            server.ask("CONFIG", "RESETSTAT")
            got = self.measure(server)
            info = {section: server.ask("INFO", section) for section in SECTIONS}
        return got, info

    def load(self, server, *more):
        return self.generator.run(server, "--op", self.scenario.op, "--pipeline", self.scenario.pipeline, *self.scenario.load,
                                  *more)

    def measure(self, server):
        if self.tool == "perf":
            return self.measure_with_perf(server)
        if self.tool == "callgrind":
            return self.measure_with_callgrind(server)
        return self.load(server, "--time", self.args.time)

    def measure_with_perf(self, server):
        data = os.path.join(server.dir, "perf.data")
        record = subprocess.Popen(["perf", "record", "-q", "-e", self.event, "-F", str(FREQUENCY), "--call-graph", "fp", "-p",
                                   str(server.process.pid), "-o", data], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        try:
            got = self.load(server, "--time", self.args.time)
        finally:
            record.send_signal(signal.SIGINT)  # asks it to write what it has
            errors = record.communicate(timeout=120)[1].decode()
        script = subprocess.run(["perf", "script", "--no-inline", "-i", data], stdout=subprocess.PIPE,
                                stderr=subprocess.DEVNULL, text=True, errors="replace", timeout=300)
        self.stacks = flame.read_perf(script.stdout.splitlines())
        if not self.stacks:
            raise BenchError(f"perf has no samples: {errors.strip()}")
        return got

    def measure_with_callgrind(self, server):
        server.control("--instr=on")
        got = self.load(server, "--requests", self.args.requests)
        server.control("--dump")
        written = sorted(Path(server.dir).glob("callgrind.out*"), key=lambda path: path.stat().st_size)
        if not written:
            raise BenchError("callgrind has written nothing")
        with open(written[-1], errors="replace") as lines:
            self.stacks = flame.Callgrind(lines).stacks()
        return got


# --- what it says -----------------------------------------------------------------------------------------------------

def fields_of(text):
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def pairs_of(value):
    return dict(pair.split("=", 1) for pair in value.split(",") if "=" in pair)


def bar(share):
    return "#" * round(share * BAR)


def show_phases(turns):
    """Shares of the time in which the threads were not asleep."""
    phases = {name.removeprefix("turn_phase_"): pairs_of(value) for name, value in turns.items()
              if name.startswith("turn_phase_")}
    asleep = float(phases["wait"]["share"])
    print(f"\nphases of the turn, of {turns['turns_sampled']} sampled turns of {turns['turns']}; asleep {asleep:.0%} of the time, "
          "the rest is:")
    table([[name, bar(share / (1 - asleep) if asleep < 1 else 0), f"{share / (1 - asleep) if asleep < 1 else 0:.1%}",
            p["ns_per_turn"], p["ns_per_command"]]
           for name, p in phases.items() if name != "wait" for share in [float(p["share"])]],
          ["phase", "", "share", "ns per turn", "ns per command"])


def percentile(counts, share):
    """The start of the range in which this share of all is reached."""
    wanted = share * sum(counts.values())
    for start, count in counts.items():
        wanted -= count
        if wanted <= 0:
            return start
    return 0


def show_histogram(turns, name, title):
    counts = {int(start): int(count) for start, count in pairs_of(turns[name]).items()}
    total = sum(counts.values())
    if not total:
        return
    print(f"\n{title}; median from {percentile(counts, 0.5):,} on, p99 from {percentile(counts, 0.99):,} on")
    table([[f"{start:,}", bar(count / total), f"{count / total:.1%}", count] for start, count in counts.items()],
          ["from", "", "share", "count"])


def show_slowest(turns):
    slowest = [pairs_of(value) for name, value in turns.items() if name.startswith("slow_turn")]
    if not slowest:
        return
    phases = [name for name in ("kernel", "receive", "parse", "execute", "messages", "journal", "reply")]
    print("\nthe slowest turns, us (receive: with parsing, where parse is empty)")
    table([[turn["shard"], time.strftime("%H:%M:%S", time.localtime(int(turn["began"]) / 1000)) + f".{int(turn['began']) % 1000:03}",
            turn["usec"], *(turn.get(phase, "") for phase in phases), turn["commands"], turn["messages_in"], turn["bytes_in"],
            f"{turn['longest']} {turn['longest_usec']}" if "longest" in turn else ""] for turn in slowest],
          ["shard", "began", "us", *phases, "commands", "messages in", "bytes in", "longest command"])


def show_shards(turns):
    shards = {name.removeprefix("turns_"): pairs_of(value) for name, value in turns.items()
              if re.fullmatch(r"turns_shard\d+", name)}
    if len(shards) < 2:
        return
    names = [name for name in next(iter(shards.values())) if name not in ("turns", "samples")]
    print("\nshares of the time, by shard")
    table([[shard, "", s["turns"], *(f"{float(s[name]):.1%}" for name in names)] for shard, s in shards.items()],
          ["shard", "", "turns", *names])


def show_functions(stacks, unit, count=25):
    """Who spent most by itself."""
    own, total = {}, sum(stacks.values())
    for stack, weight in stacks.items():
        own[stack[-1]] = own.get(stack[-1], 0) + weight
    print(f"\nfunctions by their own {unit} (kernel's marked [k], libraries' [l]); who called them shows flame.svg")
    table([[name.replace("_[", " ["), bar(weight / total), f"{weight / total:.1%}"]
           for name, weight in sorted(own.items(), key=lambda item: -item[1])[:count]], ["function", "", "share"])


def show_load(profile, got):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    args = profile.args
    print(f"{profile.scenario.name}: {args.threads} thread{'s' if args.threads > 1 else ''}, {args.keys} keys"
          + (f", {args.server}" if args.server else "") + f"; commit {commit or 'unknown'}, {time.strftime('%Y-%m-%d %H:%M')}"
          + ("" if profile.pinned else "; not pinned"))
    latency = got["latency_us"]
    print(f"{got['ops_per_s']:,.0f} operations/s, server {got['server']['cpu_us_per_op']:.3f} us CPU per operation, "
          f"{got['server']['cpu_share']:.0%} of a core; latency us p50 {latency['p50']:.0f}, p99 {latency['p99']:.0f}, "
          f"p99.9 {latency['p99.9']:.0f}, max {latency['max']:.0f}")
    if profile.tool == "callgrind":
        print("under callgrind: times and rates are those of a simulation, only counts mean something")


def report(profile, got, info):
    turns = fields_of(info["turns"])
    unit = "instructions" if profile.tool == "callgrind" else f"samples of {profile.event}"
    show_load(profile, got)
    show_phases(turns)
    show_shards(turns)
    show_histogram(turns, "batch_commands", "batches by commands")
    show_histogram(turns, "hop_commands", "messages between shards by commands")
    show_histogram(turns, "hop_ns", "there and back between shards, ns")
    show_histogram(turns, "turn_ns", "turns by length without sleep, ns")
    show_slowest(turns)
    if profile.stacks:
        show_functions(profile.stacks, unit)


def write(profile, got, info):
    out = profile.out
    out.mkdir(parents=True, exist_ok=True)
    for name in ("flame.svg", "stacks.txt"):
        (out / name).unlink(missing_ok=True)  # of an earlier run with another tool
    (out / "load.json").write_text(json.dumps(got, indent=1) + "\n")
    (out / "info.txt").write_text("\n".join(info.values()).replace("\r\n", "\n"))
    if profile.stacks:
        unit = "instructions" if profile.tool == "callgrind" else "samples"
        title = f"{profile.scenario.name}, {profile.args.threads} thread(s) {profile.args.server or ''}"
        (out / "flame.svg").write_text(flame.draw(profile.stacks, title, unit))
        (out / "stacks.txt").write_text(flame.fold(profile.stacks))
    with open(out / "report.txt", "w") as file:
        screen, sys.stdout = sys.stdout, file
        try:
            report(profile, got, info)
        finally:
            sys.stdout = screen
    print((out / "report.txt").read_text())
    print(f"all of it: {out}/ ({', '.join(sorted(path.name for path in out.iterdir()))})")


# --- wiring -----------------------------------------------------------------------------------------------------------

def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("scenario", nargs="?", help="one of the bench's, or a part of its name")
    p.add_argument("--op", help="instead of a scenario: an operation of sherd-load")
    p.add_argument("--pipeline", type=int, help="of --op [1]")
    p.add_argument("--threads", type=int, default=1, help="of the server [1]")
    p.add_argument("--server", metavar="OPTIONS", help="further options of the server, in one word: '--appendonly yes'")
    p.add_argument("--time", type=float, default=5.0, help="seconds measured [5]")
    p.add_argument("--requests", type=int, default=100_000, help="instead of a time, with callgrind [100000]")
    p.add_argument("--keys", type=int, default=200_000, help="keys loaded [200000]")
    p.add_argument("--with", dest="tool", choices=["perf", "callgrind", "none"], help="[the first of them that works]")
    p.add_argument("--out", type=Path, help="directory to write to [profile/NAME]")
    p.add_argument("--sherd-bin", help="[build/release/sherd]")
    p.add_argument("--load-bin", help="[build/release/perf/sherd-load]")
    return p.parse_args()


def main():
    args = parse()
    scenario = chosen(args)
    args.sherd_bin = find_program(args.sherd_bin, ROOT / "build/release/sherd")
    args.load_bin = find_program(args.load_bin, ROOT / "build/release/perf/sherd-load")
    if not args.sherd_bin or not args.load_bin:
        sys.exit("no sherd or no sherd-load: ./run build, or --sherd-bin and --load-bin")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    name = re.sub(r"[^a-z0-9]+", "-", f"{scenario.name} {args.threads}t {args.server or ''}".lower()).strip("-")
    profile = Profile(args, scenario, args.out or ROOT / "profile" / name)
    got, info = profile.run()
    write(profile, got, info)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BenchError as error:
        sys.exit(f"profile: {error}")
