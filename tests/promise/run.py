#!/usr/bin/env python3
"""The promise, as experiments: never killed, never full, never stale.

    tests/promise/run.py                                    each once, half a minute, with 1 and 2 threads
    tests/promise/run.py memory --runs 20 --seconds 60      one of them, as often as the promise asks for
    tests/promise/run.py --kind redis                       the same done to redis-server
    tests/promise/run.py --patient                          claims about how long something takes do not count
    tests/promise/run.py --json FILE                        keeps all figures

memory   a memory cgroup of 512 MiB under everything that kills a server in it
mix      the same cgroup and a full cache under random commands on values of all sizes, quick, slow and deaf readers
full     a disk of 256 MiB that is filled by somebody else, and freed
slow     a disk that is slower than the writers, stands still or fails
churn    memory under values that change their sizes

Exit code 0: every claim held in every run. What a claim is stands in the experiment's file. Needs root for cgroups and
mounts; where that is missing an experiment says so and is left out (77 when nothing could be done)."""

import argparse
import importlib
import json
import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from promise.common import Impossible  # noqa: E402

EXPERIMENTS = ("memory", "mix", "full", "slow", "churn")


def show(value):
    return "%.3g" % value if isinstance(value, float) else str(value)


def play(name, kind, threads, seed, seconds, patient):
    """Prints what came of one run; (facts, broken claims), or None where it is impossible."""
    experiment = importlib.import_module("promise." + name)
    try:
        facts = experiment.run(kind, threads, seed, seconds)
    except Impossible as reason:
        print("%s: left out: %s" % (name, reason), flush=True)
        return None
    broken = [claim for claim in experiment.broken(facts) if not (patient and claim in getattr(experiment, "OF_TIME", ()))]
    print("%s  %s, %d threads, seed %d: %s" % (name, kind, threads, seed, "; ".join("%s %s" % (key, show(value)) for key, value in facts.items())))
    print("%s  %s" % (name, "BROKEN: " + "; ".join(broken) if broken else "holds"), flush=True)
    return facts, broken


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="*", choices=[*EXPERIMENTS, []], help="all, if none is named")
    parser.add_argument("--kind", choices=("sherd", "redis"), default="sherd")
    parser.add_argument("--runs", type=int, default=1, help="with a seed of its own each")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--patient", action="store_true", help="on a machine that is busy with other things")
    parser.add_argument("--json")
    args = parser.parse_args()
    rows, failed = [], 0
    for name in args.experiments or EXPERIMENTS:
        for number in range(args.runs):
            for threads in map(int, args.threads.split(",")) if args.kind == "sherd" else (1,):
                seed = args.seed + number
                result = play(name, args.kind, threads, seed, args.seconds, args.patient)
                if result is None:
                    continue
                rows.append({"experiment": name, "kind": args.kind, "threads": threads, "seed": seed, "facts": result[0], "broken": result[1]})
                failed += bool(result[1])
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
    print("%d runs, %d with a broken claim" % (len(rows), failed))
    return 77 if not rows else 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
