"""What the experiments do to a server: writers at full speed, readers that do not read, and a probe that keeps asking.

Writers are redis-benchmark processes, so that Python is not what limits them. Everything here ends when it is told to,
also when the server has died."""

import os
import shutil
import socket
import subprocess
import threading
import time

from support import resp
from support.server import SLOW

PROBE_S = 10 * SLOW  # a read that takes longer counts as not answered


def benchmark_binary():
    return shutil.which("redis-benchmark")


class Writer:
    """redis-benchmark, again and again until stop(): it gives up when it is answered with an error."""

    def __init__(self, port, *words, connections=20, pipeline=16):
        self.line = [benchmark_binary(), "-p", str(port), "-c", str(connections), "-P", str(pipeline), "-n", "100000000", "-q", *map(str, words)]
        self.over = threading.Event()
        self.process, self.rounds = None, 0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            self.process = subprocess.Popen(self.line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while self.process.poll() is None and not self.over.wait(0.02):
                pass
            self.rounds += 1
            self._end()
            self.over.wait(0.05)

    def _end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def stop(self):
        self.over.set()
        self.thread.join()


def sets(port, size, keys, **options):
    """SET of values of one size, over so many keys."""
    return Writer(port, "-r", keys, "-d", size, "-t", "set", **options)


class Probe:
    """One client that reads a key every few milliseconds and keeps books of how long that took."""

    def __init__(self, port, key, pause_s=0.005):
        self.port, self.key, self.pause_s = port, key, pause_s
        self.times, self.failures = [], []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        client = None
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                client = client or resp.Client(self.port, timeout=PROBE_S)
                reply = client.call("GET", self.key)
                if isinstance(reply, resp.Error):
                    self.failures.append(str(reply))
                else:
                    self.times.append(time.monotonic() - begun)
            except (OSError, resp.Closed, resp.NoReply) as failure:
                if not self.over.is_set():
                    self.failures.append("%s after %.1f s" % (type(failure).__name__, time.monotonic() - begun))
                client = None
                self.over.wait(0.1)
            self.over.wait(self.pause_s)
        if client:
            client.close()

    def stop(self):
        self.over.set()
        self.thread.join()

    def facts(self):
        times = sorted(self.times) or [0.0]
        return {"reads": len(self.times), "reads failed": len(self.failures), "first failure": self.failures[0] if self.failures else "",
                "read p99 ms": 1000 * times[len(times) * 99 // 100], "read max ms": 1000 * times[-1]}


class Deaf:
    """Connections that ask and never read. keep() sends more where the socket takes it."""

    def __init__(self, port, count, commands):
        self.port, self.commands = port, b"".join(map(resp.encode, commands))
        self.sockets = []
        for _ in range(count):
            self._connect()

    def _connect(self):
        try:
            sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setblocking(False)
            self.sockets.append(sock)
            self._send(sock)
        except OSError:
            pass

    def _send(self, sock):
        try:
            sock.send(self.commands)
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            sock.close()
            self.sockets.remove(sock)

    def keep(self, count):
        for sock in list(self.sockets):
            self._send(sock)
        while len(self.sockets) < count:
            before = len(self.sockets)
            self._connect()
            if len(self.sockets) == before:
                return

    def stop(self):
        for sock in self.sockets:
            sock.close()
        self.sockets = []


def call(port, *words, timeout=60 * SLOW):
    """One command on a connection of its own; None when there is no answer."""
    try:
        with resp.Client(port, timeout=timeout) as client:
            return client.call(*words)
    except (OSError, resp.Closed, resp.NoReply):
        return None


def info(port, section):
    """INFO's section as a dictionary; empty when there is no answer."""
    reply = call(port, "INFO", section)
    if reply is None or isinstance(reply, resp.Error):
        return {}
    lines = bytes(reply).decode("latin-1").split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def resident(pid):
    """Bytes; 0 when it has gone."""
    try:
        with open("/proc/%d/statm" % pid, encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError):
        return 0
