#!/usr/bin/env python3
"""An idle server costs next to nothing, with 16 threads and whatever it holds: less than 0.5% of one CPU in all. What is counted are
nanoseconds of CPU of all its threads (schedstat) over three seconds by the clock. And it wakes up when it has to: keys that expire then go."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import glob  # noqa: E402
import time  # noqa: E402

from support.case import SLOW, Server, ServerCase, info_field, main, sherd_only, wait_until  # noqa: E402

SPAN_S, SHARE = 3, 0.005


def cpu_ns(server):
    """By thread, since threads of the kernel's that work for the ring come and go."""
    out = {}
    for path in glob.glob("/proc/%d/task/*/schedstat" % server.process.pid):
        try:
            with open(path, encoding="ascii") as file:
                out[path] = int(file.read().split()[0])
        except OSError:
            pass
    return out


@sherd_only
class Idle(ServerCase):
    threads = 16
    options = ("--cluster-ports", "yes", "--appendonly", "yes")

    def share(self):
        before, start = cpu_ns(self.server), time.monotonic_ns()
        time.sleep(SPAN_S)  # the one thing to be measured is what happens while nobody asks
        after = cpu_ns(self.server)
        return sum(ns - before.get(path, 0) for path, ns in after.items() if path in before) / (time.monotonic_ns() - start)

    def test_costs_next_to_nothing(self):
        """With connections, a log and keys that will expire. In one of several spans: what was begun before (a log that is
        written, memory that goes back) ends."""
        for _ in range(64):
            self.client().must("PING")
        self.client().pipeline([("SET", "k%d" % i, "v", "EX", 100_000) for i in range(20_000)])
        shares = []
        while len(shares) < 6 and (not shares or shares[-1] >= SHARE * SLOW):
            shares.append(self.share())
        print("; ".join("%.3f%%" % (share * 100) for share in shares))
        self.assertLess(shares[-1], SHARE * SLOW)

    def test_wakes_up_for_what_expires(self):
        """Asked before it is time, and then not before it should all be gone: nobody but itself wakes it up for that."""
        with Server(threads=16) as server:
            client = server.client()
            client.pipeline([("SET", "k%d" % i, "v", "PX", 1500) for i in range(1000)] + [("SET", "far", "v", "EX", 100_000)])
            asked = []
            wait_until(lambda: asked.append(info_field(client, "expired_keys")) or asked[-1] == "1000", interval=4.0, timeout=20, what="keys to expire")
            self.assertLessEqual(len(asked), 2 if SLOW == 1 else 5)


if __name__ == "__main__":
    main()
