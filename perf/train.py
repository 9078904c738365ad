#!/usr/bin/env python3
"""Training for a build that counts (SHERD_PGO=generate): ./run pgo calls it between its two steps.

    perf/train.py build/pgo

Every scenario of the bench for so many requests, GETs and SETs of other sizes, keys that expire and that are evicted,
alone and with two threads that send each other commands, without a log and with one. Requests are counted and not timed:
what is learnt does not depend on the machine. A server writes its counts when it ends in order.
"""

import sys
from pathlib import Path

from bench import SCENARIOS
from bench_servers import Generator, Server

KEYS, REQUESTS = 100_000, 100_000
MORE = [  # op, pipeline, further options
    ("get", 16, ("--dist", "zipf:0.99")),
    ("setget:0.2", 4, ("--dist", "zipf:0.99")),
    ("get", 1, ("--key-prefix", "none:")),
    ("set", 16, ("--value-len", 1024, "--key-prefix", "kib:")),
    ("get", 16, ("--key-prefix", "kib:")),
    ("set __key__ __value__ ex 100", 16, ("--key-prefix", "ex:")),
    ("del gone:__rand:1000__ ; set gone:__rand:1000__ __value__", 16, ()),
    ("hgetall h ; hset h f:__rand:50__ __value__", 16, ()),
    ("zrange zset 0 99 ; zincrby zset 1 member:__rand:1000__", 16, ()),
    ("xadd stream maxlen ~ 1000 * field __value__", 16, ()),
]
RUNS = [  # threads, options of the server
    (1, {}),
    (2, {}),
    (1, {"--appendonly": "yes", "--appendfsync": "everysec"}),
    (1, {"--maxmemory": "64mb", "--maxmemory-policy": "allkeys-lrfu"}),
]


def train(binary, generator, threads, options):
    with Server("sherd", binary, threads=threads, options=options) as server:
        generator.run(server, "--preload")
        for s in SCENARIOS:
            if s.setup:
                generator.run(server, *s.setup)
            generator.run(server, "--op", s.op, "--pipeline", s.pipeline, *s.load, "--requests", REQUESTS)
        for op, pipeline, load in MORE:
            generator.run(server, "--op", op, "--pipeline", pipeline, *load, "--requests", REQUESTS)
        server.stop(patience_s=60)
        if server.process.returncode != 0:
            sys.exit(f"the server did not end in order:\n{server.tail()}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = Path(sys.argv[1]).resolve()
    generator = Generator(build / "perf/sherd-load", None, KEYS)
    for threads, options in RUNS:
        print(f"training: {threads} threads, {' '.join(f'{k} {v}' for k, v in options.items()) or 'no options'}", flush=True)
        train(build / "sherd", generator, threads, options)
    if not any((build / "profile").rglob("*.gcda")):
        sys.exit("no counts were written: is this a build with SHERD_PGO=generate?")


if __name__ == "__main__":
    main()
