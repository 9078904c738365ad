#!/usr/bin/env python3
"""INFO and what it counts: errors by code, traffic, time left, clients on their way out, shards; the slow log's order over
shards; access frequencies; DEBUG SLEEP, which waits without work."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import time  # noqa: E402

from support.case import IS_REDIS, ServerCase, main, sherd_only, wait_until  # noqa: E402


def info(client, section):
    text = bytes(client.must("INFO", section)).decode()
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def parts(line):
    return dict(item.split("=", 1) for item in line.split(","))


class Info(ServerCase):
    threads = 3

    @sherd_only
    def test_turns(self):
        """The sums fit together: each turn has a length, each batch and message its commands; RESETSTAT forgets."""
        client = self.client()
        for _ in range(20):
            client.pipeline([("SET", "k%d" % i, "v") for i in range(100)])
        got = info(client, "turns")
        counts = lambda name: {int(k): int(v) for k, v in parts(got[name]).items()}  # noqa: E731
        self.assertEqual(sum(counts("turn_ns").values()), int(got["turns"]))
        self.assertGreaterEqual(sum(k * v for k, v in counts("batch_commands").items()), 1000)
        self.assertLessEqual(sum(counts("hop_ns").values()), sum(counts("hop_commands").values()))
        self.assertGreater(sum(counts("hop_ns").values()), 0)
        self.assertEqual(sum(int(parts(got["turns_shard%d" % i])["turns"]) for i in range(3)), int(got["turns"]))
        client.must("CONFIG", "RESETSTAT")
        client.must("DEL", *("k%d" % i for i in range(100_000)))  # some milliseconds on each shard; 0.1 are told of
        slow = [parts(value) for name, value in info(client, "turns").items() if name.startswith("slow_turn")]
        self.assertEqual(slow, sorted(slow, key=lambda turn: -int(turn["usec"])))
        self.assertIn("del", [turn.get("longest") for turn in slow])
        self.assertLess(int(info(client, "turns")["turns"]), int(got["turns"]))
        self.assertNotIn("turns", info(client, "default"))

    @sherd_only
    def test_errors_by_code(self):
        client = self.client()
        client.must("CONFIG", "RESETSTAT")
        client.must("SET", "text", "abc")
        client.call("INCR", "text")
        client.call("NOSUCH")
        client.call("GET")
        client.call("SET", "text", "1", "EX", "0")
        client.call("RESTORE", "text", "0", "x")  # BUSYKEY
        client.call("DEBUG", "ERROR", "ODD:CODE text")
        client.call("RENAME", "absent", "b")  # on one shard or over two
        client.call("RENAME", "absent", "c")
        counts = info(client, "errorstats")
        expected = {"errorstat_BUSYKEY": "count=1", "errorstat_ERR": "count=6", "errorstat_ODD_CODE": "count=1"}
        self.assertEqual(list(counts.items()), list(expected.items()))
        client.must("CONFIG", "RESETSTAT")
        self.assertEqual(info(client, "errorstats"), {})

    @sherd_only
    def test_an_error_over_several_shards_is_one(self):
        client = self.client()
        client.must("CONFIG", "RESETSTAT")
        client.call("MSET", "a", "1", "b")
        client.call("DEBUG", "HTSTATS", "99")
        counts = info(client, "errorstats")
        self.assertEqual(counts, {"errorstat_ERR": "count=2"})
        self.assertEqual(info(client, "stats")["total_error_replies"], "2")

    def test_protocol_errors_count(self):
        client, other = self.client(), self.client()
        client.must("CONFIG", "RESETSTAT")
        other.sock.sendall(b"*1\r\n$x\r\n")
        wait_until(lambda: info(client, "errorstats").get("errorstat_ERR") == "count=1", what="a protocol error in INFO")

    def test_reads_and_writes(self):
        client = self.client()
        before = info(client, "stats")
        client.must("SET", "long", "x" * 100000)
        client.must("GET", "long")
        after = info(client, "stats")
        for name in ("total_reads_processed", "total_writes_processed"):
            self.assertGreater(int(after[name]), int(before[name]))
        if not IS_REDIS:  # its figure is of the last seconds
            self.assertGreaterEqual(int(info(client, "clients")["client_recent_max_output_buffer"]), 100000)

    def test_time_left(self):
        client = self.client()
        client.must("SELECT", "5")
        for i in range(300):
            client.must("SET", "t:%d" % i, "v", "PX", "100000")
            client.must("SET", "n:%d" % i, "v")
        shown = parts(info(client, "keyspace")["db5"])
        self.assertEqual(shown["expires"], "300")
        if not IS_REDIS:  # it samples once a second or so
            self.assertTrue(50000 < int(shown["avg_ttl"]) <= 100000, shown)

    def test_closing_clients_are_not_connected(self):
        client = self.client()
        wait_until(lambda: info(client, "clients")["connected_clients"] == "1", what="one client")
        victims = [self.client() for _ in range(20)]
        for victim in victims:
            victim.must("PING")  # it has arrived
        self.assertEqual(info(client, "clients")["connected_clients"], "21")
        self.assertEqual(client.must("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"), len(victims))
        self.assertEqual(info(client, "clients")["connected_clients"], "1")

    @sherd_only
    def test_shards(self):
        client = self.client()
        for i in range(100):
            client.must("SET", "k:%d" % i, "v")
        shown = info(client, "shards")
        for i in range(self.threads):
            shard = parts(shown["shard%d" % i])
            self.assertGreater(int(shard["turns"]), 0)
            self.assertTrue(0 <= float(shard["busy_share"]) <= 1)
            self.assertGreaterEqual(float(shard["messages_per_hop"]), 0)  # above 1 just after CONFIG RESETSTAT
        self.assertEqual(sum(int(parts(shown["shard%d" % i])["turns"]) > 0 for i in range(self.threads)), self.threads)

    def test_slow_log_names_split_commands(self):
        """A command over several shards is logged with its name at least; it had no arguments at all."""
        client, keys = self.client(), ["split:%d" % i for i in range(40)]
        client.must("CONFIG", "SET", "slowlog-log-slower-than", "0")
        try:
            client.must("SLOWLOG", "RESET")
            client.must("MGET", *keys)
            entries = client.must("SLOWLOG", "GET", "-1")
        finally:
            client.must("CONFIG", "SET", "slowlog-log-slower-than", "10000")
        self.assertIn(b"mget", [bytes(entry[3][0]).lower() for entry in entries])

    def test_slow_log_goes_by_time(self):
        client = self.client()
        client.must("CLIENT", "SETNAME", "slow-one")
        client.must("CONFIG", "SET", "slowlog-log-slower-than", "0")
        try:
            client.must("SLOWLOG", "RESET")
            for i in range(60):
                client.must("SET", "order:%d" % i, "v")
            entries = client.must("SLOWLOG", "GET", "-1")
        finally:
            client.must("CONFIG", "SET", "slowlog-log-slower-than", "10000")
        entries = [entry for entry in entries if bytes(entry[3][0]).lower() == b"set"]
        self.assertEqual([bytes(entry[3][1]).decode() for entry in entries],
                         ["order:%d" % i for i in reversed(range(60))])
        address = b"%s:%d" % (client.sock.getsockname()[0].encode(), client.sock.getsockname()[1])
        self.assertEqual({(bytes(entry[4]), bytes(entry[5])) for entry in entries}, {(address, b"slow-one")})

    def test_access_frequency(self):
        client = self.client()
        client.must("SET", "before", "v")
        self.assertIn(b"An LFU maxmemory policy is not selected", client.call("OBJECT", "FREQ", "before"))
        client.must("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu", "lfu-log-factor", "0")
        try:
            client.must("SET", "counted", "v")
            self.assertEqual(client.must("OBJECT", "FREQ", "counted"), 5)
            for _ in range(10):
                client.must("GET", "counted")
            self.assertTrue(14 <= client.must("OBJECT", "FREQ", "counted") <= 15)  # a minute may have begun meanwhile
            client.must("SET", "counted", "other")  # it is used, and keeps its count
            self.assertTrue(15 <= client.must("OBJECT", "FREQ", "counted") <= 16)
            self.assertIn(b"An LFU maxmemory policy is selected", client.call("OBJECT", "IDLETIME", "counted"))
        finally:
            client.must("CONFIG", "SET", "maxmemory-policy", "noeviction", "lfu-log-factor", "10")

    def guard(self, client):
        """GUARD STATUS: (state, {name: fields}); INFO guard agrees on what there is."""
        def pairs(words):
            return {bytes(name).decode(): value for name, value in zip(words[::2], words[1::2])}
        status = pairs(client.must("GUARD", "STATUS"))
        limits = {bytes(fields["name"]).decode(): fields for fields in map(pairs, status["limits"])}
        fields = {name for name, value in info(client, "guard").items() if value.startswith("state=")}
        self.assertEqual(fields, {"guard_" + name.replace("-", "_") for name in limits})
        return bytes(status["state"]), limits

    @sherd_only
    def test_guard(self):
        """How near each limit is: nothing is near an idle server's; at the ceiling it says what is done, and then that it is over."""
        client = self.client()
        ceiling = info(client, "memory")["maxmemory"]
        state, limits = self.guard(client)
        self.assertEqual(state, b"ok")
        self.assertLessEqual({"memory", "connections"}, set(limits))
        for fields in limits.values():
            self.assertEqual((fields["state"], fields["reason"]), (b"ok", b""))
            self.assertLess(fields["value"], fields["limit"])
        client.must("CONFIG", "SET", "maxmemory", "1")
        state, limits = self.guard(client)
        self.assertEqual((state, limits["memory"]["state"], limits["memory"]["seconds-left"]), (b"refusing", b"refusing", 0))
        self.assertIn(b"-OOM", limits["memory"]["reason"])
        client.must("CONFIG", "SET", "maxmemory", ceiling)
        wait_until(lambda: self.guard(client)[0] == b"ok", what="the guard to be content")
        self.assertIn(b"STATUS", client.must("GUARD", "HELP")[1])
        self.assertError(client.call("GUARD"), "ERR wrong number of arguments for 'guard' command")

    @sherd_only
    def test_debug_sleep_burns_nothing(self):
        client = self.client()
        client.must("DEBUG", "SLEEP", "0")

        def burnt():
            with open("/proc/%d/stat" % self.server.process.pid, encoding="ascii") as file:
                words = file.read().rsplit(")", 1)[1].split()
            return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

        before, began = burnt(), time.monotonic()
        client.must("DEBUG", "SLEEP", "0.7")
        self.assertGreaterEqual(time.monotonic() - began, 0.69)
        self.assertLess(burnt() - before, 0.35)


if __name__ == "__main__":
    main()
