"""Latency under a load that does not wait: bench.py's section `open` (issue 6).

How fast redis-server is at most is found first, in a closed loop of 50 connections at pipeline 1. Then both servers get
half of that rate in an open loop: request i is due at its time, whatever the server does, and its latency counts from
then on, so that a server that stands still pays for everybody who would have come meanwhile. Sherd does the same at half
of its own maximum, beside which redis has no figure. All of it without persistence and with a log synced every second.

One repetition is measured on servers that stand ready, within seconds and in alternating order; what is judged is the
ratio of the p99.9, the median of the repetitions' ratios.
"""

import statistics
from contextlib import ExitStack
from dataclasses import dataclass


@dataclass(frozen=True)
class Open:
    """`half`: of what the closed loop brings. `at_most`: sherd's p99.9 over redis's at the same rate."""
    name: str
    op: str
    options: tuple = ()  # of both servers
    at_most: float = 1.0
    half: float = 0.5
    pipeline: int = 1


LOGGED = (("--appendonly", "yes"), ("--appendfsync", "everysec"), ("--auto-aof-rewrite-percentage", "0"))

OPEN = [
    Open("open loop: GET, no persistence", "get"),
    Open("open loop: SET, no persistence", "set"),
    Open("open loop: GET, everysec", "get", LOGGED),
    Open("open loop: SET, everysec", "set", LOGGED),
]

SAME, OWN = "half of redis's rate", "half of its own rate"


def run_open(bench):
    """Fills bench.opens with rows for the table, bench.checks with what is judged."""
    chosen = [o for o in OPEN if bench.wanted(o.name)]
    for options in dict.fromkeys(o.options for o in chosen):
        for rep in range(bench.args.reps):
            with ExitStack() as stack:
                servers = [stack.enter_context(s) for s in bench.servers(options=options)]
                for server in servers:
                    bench.generator.run(server, "--preload")
                for o in (o for o in chosen if o.options == options):
                    bench.say(f"repetition {rep + 1} of {bench.args.reps}: {o.name}")
                    measure(bench, o, servers if rep % 2 == 0 else servers[::-1])
    for o in chosen:
        show(bench, o)


def measure(bench, o, servers):
    fastest = {}
    for server in servers:
        bench.measure(bench.generator, server, o, f"{o.name}, saturated")
        record = bench.records[f"{o.name}, saturated", server.name][-1]
        if record is None:
            return
        fastest[server.name] = record["ops_per_s"]
    shared = fastest.get("redis", fastest["sherd"]) * o.half
    for server in servers:
        bench.measure(bench.generator, server, o, f"{o.name}, {SAME}", rate=("--rate", round(shared)))
    sherd = next(s for s in servers if s.name == "sherd")
    bench.measure(bench.generator, sherd, o, f"{o.name}, {OWN}",
                  rate=("--rate", round(fastest["sherd"] * o.half)))


def show(bench, o):
    for part in ("saturated", SAME, OWN):
        for server in ("sherd", "redis"):
            records = bench.known(f"{o.name}, {part}", server)
            if records:
                middle = {key: statistics.median(r[key] for r in records) for key in records[0]}
                bench.opens.append({"scenario": o.name, "server": server, "load": part, **middle})
    bench.ratio(f"{o.name}: p99.9 at {SAME}", bench.known(f"{o.name}, {SAME}", "sherd"),
                bench.known(f"{o.name}, {SAME}", "redis"), o.at_most, "x redis's p99.9", "p99.9_us")
