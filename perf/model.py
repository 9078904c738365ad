#!/usr/bin/env python3
"""Scaling beyond this machine, on paper: what one operation costs, from a bench's "by threads" rows, and 8 to 128 cores.

    perf/model.py perf/runs/2026-11-28-bench.json          fit, how well it fits, predictions
    perf/model.py a.json --batch 64 --far 2                other assumptions

CPU time of an operation with n threads, in microseconds:

    cost(n) = cost(1) + key x (keys that live elsewhere) + part x (pieces of split commands sent elsewhere)
                      + message x (messages sent) + wake x (sleeps of the server's threads, where the run has counted them)

Keys are uniform and connections stay where they are, so a key lives elsewhere with probability 1 - 1/n. A command of k
keys goes in pieces to all owners of its keys: (n-1) (1 - (1-1/n)^k) of them are others. A turn of B commands makes one
message for each owner that any of them needs; that is why large n is dear: there are fewer commands in each message.
The four prices are one set for all operations, found by least squares of the relative error, none below zero.

Assumptions of the predictions: each thread has a core and enough to do never to sleep (no wakes); connections grow with
the cores, so that a turn still has --batch commands; a price is paid for lines moving within one socket, and beyond
--socket cores a part of the messages goes farther and costs --far times as much. The network's limit is computed from
payload bytes alone. Nothing is said about memory bandwidth, and the kernel's share of an operation is taken as constant.
"""

import argparse
import json
import re
from pathlib import Path

OPS = {  # scenario -> keys, split into pieces, payload bytes of request and reply (keys of 16 bytes, values of 64)
    "GET P16 by threads": (1, False, 36 + 71),
    "MGET of 10 P16 by threads": (10, True, 245 + 716),
    "MSET of 10 P16 by threads": (10, True, 960 + 5),
}
PRICES = ("key", "part", "message", "wake")
CORES = (1, 2, 4, 8, 16, 32, 64, 128)
MEASURED_BATCH = 16  # of one connection: what a turn has at least, and with as many threads as here about what it has


def features(op, threads, batch, wakes=0.0):
    keys, split, _ = OPS[op]
    others, near = threads - 1, 1 - 1 / threads
    return (keys * others / threads, others * (1 - near ** keys) if split else 0.0,
            others * (1 - near ** (batch * keys)) / batch, wakes)


def points(report):
    """(operation, threads, CPU in us, wakes per operation) of sherd's rows."""
    found = []
    for r in report["results"]:
        match = re.fullmatch(r"(.*): (\d+)", r["scenario"])
        if match and match[1] in OPS and r["server"] == "sherd" and r["median"]:
            found.append((match[1], int(match[2]), r["median"]["cpu_us"], r["median"].get("wakes", 0.0)))
    return found


def fit(samples, base):
    """Prices that make the squares of the relative errors least: one price at a time, as long as that helps."""
    rows = []
    for op, threads, cpu, wakes in samples:
        if threads > 1:
            x = features(op, threads, MEASURED_BATCH, max(0.0, wakes - base[op][1]))
            rows.append(([v / cpu for v in x], (cpu - base[op][0]) / cpu))
    prices = [0.0] * len(PRICES)
    for _ in range(20_000):
        for i in range(len(prices)):
            weight = sum(x[i] * x[i] for x, _ in rows)
            if weight > 0:
                rest = sum(x[i] * (y - sum(p * v for p, v in zip(prices, x)) + prices[i] * x[i]) for x, y in rows)
                prices[i] = max(0.0, rest / weight)
    return prices


def predicted(op, threads, base, prices, batch, wakes=0.0, farther=1.0):
    x = features(op, threads, batch, wakes)
    return base[op][0] + farther * sum(p * v for p, v in zip(prices, x))


def show_fit(samples, base, prices):
    print("prices, us: " + ", ".join(f"{name} {p:.3f}" for name, p in zip(PRICES, prices)))
    if not any(wakes for *_, wakes in samples):
        print("(this run has not counted wakes: they are in the other prices)")
    print(f"\n{'operation':34} threads  measured  model   error")
    for op, threads, cpu, wakes in samples:
        model = predicted(op, threads, base, prices, MEASURED_BATCH, max(0.0, wakes - base[op][1]))
        print(f"{op:34} {threads:7} {cpu:9.3f} {model:6.3f} {(model / cpu - 1) * 100:+6.0f}%")


def show_predictions(base, prices, args):
    print(f"\npredicted, {args.batch} commands in a turn, sockets of {args.socket} cores, {args.far:g} times the price "
          f"between them; million operations a second")
    print(f"{'operation':34} cores  CPU us/op  M ops/s  x 1 core  if clients know the owner  {args.gbit:g} Gbit/s carry")
    for op in base:
        for cores in CORES:
            away = 1 - args.socket / cores if cores > args.socket else 0.0
            cost = predicted(op, cores, base, prices, args.batch, farther=1 + away * (args.far - 1))
            carried = args.gbit * 1000 / 8 / OPS[op][2]
            rate = cores / cost
            print(f"{op:34} {cores:5} {cost:10.2f} {rate:8.2f} {base[op][0] * rate:9.1f} {cores / base[op][0]:26.2f} "
                  f"{carried:13.0f}{'  <- the network' if rate > carried else ''}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("run", help="--json of ./run bench")
    p.add_argument("--batch", type=int, default=64, help="commands in a turn on the large machine [64]")
    p.add_argument("--socket", type=int, default=64, help="cores of a socket [64]")
    p.add_argument("--far", type=float, default=2.5, help="price between sockets, times that within one [2.5]")
    p.add_argument("--gbit", type=float, default=100, help="of the network [100]")
    args = p.parse_args()
    samples = points(json.loads(Path(args.run).read_text()))
    base = {op: (cpu, wakes) for op, threads, cpu, wakes in samples if threads == 1}
    samples = [s for s in samples if s[0] in base]
    if len(samples) - len(base) < len(PRICES):
        raise SystemExit("too few rows 'by threads' in this run")
    prices = fit(samples, base)
    show_fit(samples, base, prices)
    show_predictions(base, prices, args)


if __name__ == "__main__":
    main()
