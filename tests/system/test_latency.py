#!/usr/bin/env python3
"""LATENCY: spikes are noted, told in Redis's forms and forgotten, whichever threads saw them. redis-server stands beside and
answers the same questions. INFO commandstats and latencystats have Redis's lines."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import re  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support.case import ServerCase, main, redis_binary  # noqa: E402
from support.server import Server  # noqa: E402

SLEEP = ("DEBUG", "SLEEP", "0.2")  # one command, 200 ms or, as turns begin, a little less
THRESHOLD = 100  # other commands do not come near that, even on a busy machine


def shape(value):
    """A reply without what differs from run to run: numbers, and how many samples there are."""
    if isinstance(value, list):
        shapes = [shape(v) for v in value]
        return [s for i, s in enumerate(shapes) if i == 0 or not isinstance(s, list) or s != shapes[i - 1]]
    if isinstance(value, bytes) and value.startswith(b"command - "):
        return re.sub(rb"\d+", b"N", value.split(b"\n", 1)[0])
    return type(value) if isinstance(value, int) else value


class Spikes(ServerCase):
    threads = 3

    def setUp(self):
        super().setUp()
        self.redis = self.client()
        self.redis.must("CONFIG", "SET", "latency-monitor-threshold", THRESHOLD)
        self.redis.must("LATENCY", "RESET")
        self.addCleanup(self.redis.must, "CONFIG", "SET", "latency-monitor-threshold", "0")

    def events(self):
        return {bytes(e[0]).decode(): e[1:] for e in self.redis.must("LATENCY", "LATEST")}

    def test_a_long_command(self):
        before = int(time.time())
        self.redis.must(*SLEEP)
        when, latest, longest = self.events()["command"]
        self.assertIn(when, range(before - 1, int(time.time()) + 2))
        self.assertGreaterEqual(longest, 190)
        self.assertIn([when, latest], self.redis.must("LATENCY", "HISTORY", "command"))
        self.assertRegex(self.redis.must("LATENCY", "DOCTOR"), rb"1\. command: \d+ latency spikes")
        self.assertIn(b"command - high %d ms" % longest, self.redis.must("LATENCY", "GRAPH", "command"))

    def test_reset(self):
        self.redis.must(*SLEEP)
        self.assertEqual(self.redis.must("LATENCY", "RESET", "nosuch"), 0)
        self.assertEqual(self.redis.must("LATENCY", "RESET", "command", "command"), 1)
        self.assertEqual(self.redis.must("LATENCY", "HISTORY", "command"), [])
        self.assertNotIn("command", self.events())

    def test_nothing_below_the_threshold(self):
        self.redis.must("CONFIG", "SET", "latency-monitor-threshold", "100000")
        self.redis.must(*SLEEP)
        self.redis.must("CONFIG", "SET", "latency-monitor-threshold", "0")
        self.redis.must(*SLEEP)
        self.assertEqual(self.redis.must("LATENCY", "LATEST"), [])
        self.assertIn(b"switched off", self.redis.must("LATENCY", "DOCTOR"))

    def test_what_several_threads_saw(self):
        """A command over all shards takes long as a whole, and so do the turns in which its parts ran."""
        self.redis.must("CONFIG", "SET", "latency-monitor-threshold", "1")
        self.redis.must("DEL", *("k%d" % i for i in range(200_000)))
        self.assertLessEqual({"command", "turn"}, set(self.events()))
        history = self.redis.must("LATENCY", "HISTORY", "turn")
        self.assertEqual(history, sorted(history))
        self.assertEqual(len({when for when, _ in history}), len(history))
        self.redis.must("CONFIG", "SET", "latency-monitor-threshold", "0")  # nothing is added, what is there can be forgotten
        self.assertGreaterEqual(self.redis.must("LATENCY", "RESET"), 2)
        self.assertEqual(self.redis.must("LATENCY", "RESET", "command"), 0)

    @unittest.skipUnless(redis_binary(), "redis-server is not installed")
    def test_forms_are_redis_s(self):
        questions = [("LATENCY", "RESET"), ("LATENCY", "LATEST"), ("LATENCY", "HISTORY", "command"), ("LATENCY", "HISTORY", "x"),
                     ("LATENCY", "GRAPH", "command"), ("LATENCY", "GRAPH", "nosuch"), ("LATENCY", "GRAPH", "COMMAND"),
                     SLEEP, ("LATENCY", "LATEST"), ("LATENCY", "HISTORY", "command"), ("LATENCY", "GRAPH", "command"),
                     ("LATENCY", "HISTORY"), ("LATENCY", "LATEST", "x"), ("LATENCY", "GRAPH"), ("LATENCY", "RESET", "command"),
                     ("LATENCY", "HISTORY", "command"), ("LATENCY", "RESET", "command", "nosuch"), ("LATENCY", "HELP")]
        with Server("--enable-debug-command", "yes", kind="redis") as redis, redis.client() as reference:
            reference.must("CONFIG", "SET", "latency-monitor-threshold", THRESHOLD)
            for words in questions:
                mine, theirs = self.redis.call(*words), reference.call(*words)
                if words == ("LATENCY", "LATEST"):  # a busy machine makes other spikes
                    mine, theirs = ([e for e in events if e[0] == b"command"] for events in (mine, theirs))
                if words == ("LATENCY", "RESET"):
                    mine = theirs = 0
                self.assertEqual(shape(mine), shape(theirs), words)


class Statistics(ServerCase):
    threads = 2
    maxDiff = None

    def lines(self, client, section):
        return bytes(client.must("INFO", section)).decode().splitlines()[1:]

    @unittest.skipUnless(redis_binary(), "redis-server is not installed")
    def test_commandstats_and_latencystats(self):
        """The same commands give the same lines but for times; rejected and failed calls are told apart."""
        def play(client):
            client.must("CONFIG", "RESETSTAT")
            client.must("CONFIG", "SET", "latency-tracking-info-percentiles", "50 99.9 100")
            client.must("SET", "text", "a")
            client.call("INCR", "text")  # fails
            client.call("GET")           # is rejected
            for _ in range(3):
                client.must("GET", "text")
            client.call("CLIENT", "NOSUCH")
            client.must("CLIENT", "ID")
            client.must("MULTI")
            client.must("GET", "text")
            client.must("EXEC")
            return [re.sub(r"=[\d.]+", "=N", line) if kind == "latencystats" else re.sub(r"(usec\w*)=[\d.]+", r"\1=N", line)
                    for kind in ("commandstats", "latencystats") for line in sorted(self.lines(client, kind)) if "info" not in line]
        with Server(kind="redis") as redis, redis.client() as reference:
            self.assertEqual(play(self.client()), play(reference))


if __name__ == "__main__":
    main()
