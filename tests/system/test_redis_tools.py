#!/usr/bin/env python3
"""Redis's own tools work unchanged: redis-cli (--scan, --bigkeys, --stat, --latency, --pipe, -3) and redis-benchmark."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import shutil  # noqa: E402
import subprocess  # noqa: E402
import unittest  # noqa: E402

from support.case import LONG, SLOW, ServerCase, main  # noqa: E402

CLI, BENCHMARK = shutil.which("redis-cli"), shutil.which("redis-benchmark")


class Tools(ServerCase):
    def run_tool(self, *command, data=None, code=0, timeout=120):
        """Output of a tool that must end with this code and write nothing to stderr."""
        done = subprocess.run([str(word) for word in command], input=data, stdin=None if data is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * SLOW, check=False)
        output, errors = (part.decode("utf-8", "replace") for part in (done.stdout, done.stderr))
        self.assertEqual(done.returncode, code, output[-2000:] + errors[-2000:])
        self.assertEqual(errors, "")
        return output

    def setUp(self):
        super().setUp()
        self.redis = self.client()
        self.redis.must("FLUSHALL")


@unittest.skipUnless(CLI, "redis-cli is not installed")
class Cli(Tools):
    def cli(self, *words, **options):
        return self.run_tool(CLI, "-p", self.server.port, *words, **options)

    def test_commands(self):
        self.assertEqual(self.cli("SET", "k", "v"), "OK\n")
        self.assertEqual(self.cli("GET", "k"), "v\n")
        self.assertEqual(self.cli("--no-raw", "GET", "nosuch"), "(nil)\n")
        self.assertEqual(self.cli("-3", "--no-raw", "INCR", "n"), "(integer) 1\n")
        self.assertIn("ERR unknown command", self.cli("NOSUCH"))
        self.assertEqual(self.cli("-n", "3", "DBSIZE"), "0\n")
        self.assertEqual(self.cli("-x", "SET", "x", data=b"from stdin"), "OK\n")
        self.assertEqual(self.cli(data=b"PING\nECHO hi\n"), "PONG\nhi\n")
        self.assertIn("redis_version:", self.cli("INFO", "server"))

    def test_scan(self):
        self.redis.pipeline([("SET", "s:%d" % i, "x") for i in range(5000)] + [("SET", "t", "x")])
        self.assertEqual(len(set(self.cli("--scan").split())), 5001)
        self.assertEqual(len(set(self.cli("--scan", "--pattern", "s:1*").split())), 1111)

    def test_bigkeys_and_memkeys(self):
        self.redis.pipeline([("SET", "s:%d" % i, "x" * (i % 50)) for i in range(3000)] + [("SET", "largest", "x" * 10_000)])
        output = self.cli("--bigkeys")
        self.assertRegex(output, "Biggest string found .*largest.* has 10000 bytes")
        self.assertIn("3001 strings with", output)
        self.assertIn("largest", self.cli("--memkeys"))

    def test_stat(self):
        """A few lines of figures; it runs until it is stopped."""
        tool = subprocess.Popen([CLI, "-p", str(self.server.port), "-i", "0.05", "--stat"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            lines = [tool.stdout.readline().decode() for _ in range(4)]
        finally:
            tool.terminate()
            tool.communicate(timeout=30)
        self.assertIn("keys", lines[1])
        self.assertRegex(lines[2], r"^\d+\s+\S+\s+\d+")

    def test_latency(self):
        output = self.cli("--latency", "-i", "0.3", "--csv")
        self.assertRegex(output.strip(), r"^\d+,\d+,\d+\.\d+,\d+$")

    def test_pipe(self):
        """Mass insertion in the protocol; 100,000, with SHERD_LONG=1 a million."""
        count = 1_000_000 if LONG else 100_000
        data = b"".join(b"*3\r\n$3\r\nSET\r\n$%d\r\nk%d\r\n$%d\r\n%d\r\n" % (len(str(i)) + 1, i, len(str(i)), i) for i in range(count))
        output = self.cli("--pipe", data=data, timeout=300)
        self.assertIn("errors: 0, replies: %d" % count, output)
        self.assertEqual(self.redis.call("DBSIZE"), count)
        self.assertEqual(self.redis.call("GET", "k%d" % (count - 1)), b"%d" % (count - 1))

    def test_pipe_counts_errors(self):
        data = b"SET a 1\r\nNOSUCH\r\nINCR a\r\n"
        output = self.run_pipe_with_errors(data)
        self.assertIn("errors: 1, replies: 3", output)

    def run_pipe_with_errors(self, data):
        done = subprocess.run([CLI, "-p", str(self.server.port), "--pipe"], input=data, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=60 * SLOW, check=False)
        return done.stdout.decode()


@unittest.skipUnless(BENCHMARK, "redis-benchmark is not installed")
class Benchmark(Tools):
    TESTS = "ping,set,get,incr,mset"

    def benchmark(self, *words):
        output = self.run_tool(BENCHMARK, "-p", self.server.port, "-t", self.TESTS, "-c", 50, "-r", 10_000, "--csv", *words, timeout=300)
        self.assertNotIn("WARN", output)
        self.assertNotIn("rror", output)
        rows = [line.split(",") for line in output.splitlines() if line.startswith('"') and not line.startswith('"test"')]
        names = {row[0].strip('"').split(" ")[0] for row in rows}
        self.assertLessEqual({"PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"}, names)
        print("; ".join("%s %s/s" % (row[0].strip('"'), row[1].strip('"')) for row in rows))

    def test_pipeline_1(self):
        self.benchmark("-n", 20_000, "-P", 1)

    def test_pipeline_16(self):
        self.benchmark("-n", 100_000, "-P", 16)

    def test_threads_and_resp3(self):
        self.benchmark("-n", 20_000, "--threads", 2, "-3", "-P", 4)


del Tools
if __name__ == "__main__":
    main()
