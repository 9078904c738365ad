"""What bench.py runs: a server process, and sherd-load against it."""

import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path


class BenchError(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A server process in a directory of its own; `with` stops it and removes the directory. `options`: of its command
    line, over those that keep nothing on the disk."""

    def __init__(self, name, binary, cpus=None, threads=None, options=()):
        self.name, self.binary, self.cpus, self.threads = name, binary, cpus, threads
        self.options = {"--save": "", "--appendonly": "no", **dict(options)}
        self.process = None

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix=f"bench-{self.name}-")
        self.port = free_port()
        self.output = open(os.path.join(self.dir, "output"), "wb")
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, ready_s=15):
        """Again, after stop: on the same port and directory. Returns when it has loaded what is there."""
        command = self.command()
        pin = (lambda: os.sched_setaffinity(0, self.cpus)) if self.cpus else None
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.output,
                                        stderr=subprocess.STDOUT, preexec_fn=pin, cwd=self.dir)
        self._wait_ready(ready_s)

    def command(self):
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir]
        if self.threads is not None:
            command += ["--threads", str(self.threads)]
        for name, value in self.options.items():
            command += [name, value]
        return command

    def _wait_ready(self, ready_s):
        deadline = time.monotonic() + ready_s
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

    def ask(self, *words):
        """One command, whose reply is a line or one string (INFO)."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as s, s.makefile("rb") as replies:
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words))
            line = replies.readline().rstrip()
            if line[:1] == b"$":
                line = replies.read(int(line[1:]))
            if line[:1] == b"-":
                raise BenchError(f"{self.name}: {' '.join(words)}: {line.decode()}")
            return line.decode()

    def status_bytes(self, field):
        """VmRSS, RssAnon ... Cheap: counters, nothing is walked."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{field}:\s+(\d+)", text).group(1)) * 1024

    def rss(self):
        return self.status_bytes("VmRSS")

    def cpu_s(self):
        """utime + stime since it was started, also of threads that are over."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def bytes_written(self):
        """That it caused to be written to disks."""
        return int(re.search(r"^write_bytes: (\d+)", Path(f"/proc/{self.process.pid}/io").read_text(), re.M).group(1))

    def stop(self, patience_s=10):
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __exit__(self, *_):
        self.stop()
        self.output.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Floor(Server):
    """The stub of floor.c: answers as many bytes as GET and SET would, and does nothing else."""

    def __init__(self, binary, cpus=None):
        super().__init__("floor", binary, cpus)

    def command(self):
        return [self.binary, "--port", str(self.port)]


def machine_busy_s():
    """Seconds of CPU the whole machine has used (user, nice, system, irq, softirq, steal)."""
    fields = [int(x) for x in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return sum(fields[i] for i in (0, 1, 2, 5, 6, 7)) / os.sysconf("SC_CLK_TCK")


class Generator:
    def __init__(self, binary, cpu, keys):
        self.binary, self.cpu, self.keys = binary, cpu, keys

    def command(self, server, options):
        command = [self.binary, "--port", str(server.port), "--pid", str(server.process.pid), *map(str, options)]
        if "--keys" not in command:
            command += ["--keys", str(self.keys)]
        if self.cpu is not None:
            command += ["--cpu", str(self.cpu)]
        return command

    def start(self, server, *options):
        """sherd-load in the background; finish() takes what it says. --json is implied."""
        return subprocess.Popen(self.command(server, [*options, "--json"]), stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    def finish(self, server, process, allow_errors=False):
        """Its report. None when replies were errors and that is allowed."""
        try:
            output, errors = process.communicate(timeout=600)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode == 3 and allow_errors:
            return None
        if process.returncode != 0:
            text = errors.strip() or output.strip()[-600:]
            raise BenchError(f"{server.name}: {' '.join(process.args[5:])}: {text}\n{server.tail()}")
        return json.loads(output) if output else {}

    def run(self, server, *options, allow_errors=False):
        return self.finish(server, self.start(server, *options), allow_errors)

    def prepare(self, server, op, pipeline, load=(), setup=()):
        """Runs what a scenario needs beforehand and tries its operation. False: the server does not know a command."""
        if setup and self.run(server, *setup, allow_errors=True) is None:
            return False
        return self.run(server, "--op", op, "--pipeline", pipeline, *load, "--requests", 500, allow_errors=True) is not None

    def measure(self, server, op, pipeline, args, load=(), beside=None):
        """A timed run; the flat record of it. `beside`: options of a second sherd-load, which runs all the while; its
        record is in "beside"."""
        before, began = machine_busy_s(), time.monotonic()
        if beside:
            other = self.start(server, *beside, "--warmup", args.warmup, "--time", args.time + LEAD_S)
            time.sleep(LEAD_S / 2)
        try:
            got = self.run(server, "--op", op, "--pipeline", pipeline, *load, "--warmup", args.warmup, "--time", args.time)
        finally:
            neighbour = self.finish(server, other) if beside else None
        wall = time.monotonic() - began
        busy = (machine_busy_s() - before) / wall
        record = flat(got)
        busy -= record["server_busy"] + record["generator_busy"]
        if neighbour:
            record["beside"] = flat(neighbour)
            busy -= record["beside"]["generator_busy"]
        record["others"] = max(0.0, busy / os.cpu_count())
        return record


LEAD_S = 0.4  # a neighbour begins half of it earlier and ends about as much later than what is measured beside it


def flat(got):
    return {
        "cpu_us": got["server"]["cpu_us_per_op"], "ops_per_s": got["ops_per_s"],
        "p50_us": got["latency_us"]["p50"], "p99_us": got["latency_us"]["p99"],
        "p99.9_us": got["latency_us"]["p99.9"], "max_us": got["latency_us"]["max"],
        "server_busy": got["server"]["cpu_share"], "generator_busy": got["generator"]["cpu_share"],
        "generator_us": got["generator"]["cpu_us_per_op"], "wakes": got["server"]["voluntary_per_op"], "nils": got["nils"],
        "slowest_ops": got["conn_ops"]["min"], "fastest_ops": got["conn_ops"]["max"],
    }
