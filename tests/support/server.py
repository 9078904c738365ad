"""Starts a server for a test and makes sure it ends well.

    with Server("--threads", "2") as server:
        client = server.client()

Kinds: "sherd" (binary from --bin of the script, env SHERD_BIN, or <root>/build/release/sherd) and "redis" (the real
redis-server, the reference). Every server has its own temporary directory and a free port. Leaving the block sends
SIGTERM and insists on exit code 0 within a bound and on a log without sanitizer reports; a crash prints the log.

Environment
    SHERD_BIN       binary under test
    SHERD_IS_REDIS  1: that binary is a wrapper around redis-server (for testing the tests): sherd-only checks skip
    SHERD_SLOW      factor on every time bound (sanitizers, emulation); default 1
    SHERD_LONG      1: the long variants of tests
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True  # tests leave nothing behind in the source tree

from support import resp  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
IS_REDIS = os.environ.get("SHERD_IS_REDIS") == "1"
SLOW = float(os.environ.get("SHERD_SLOW", "1"))
LONG = os.environ.get("SHERD_LONG") == "1"
START_S = 30 * SLOW
STOP_S = 20 * SLOW
TRACES = ("AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "UndefinedBehaviorSanitizer", "runtime error:")


class ServerFailed(AssertionError):
    pass


def sherd_binary():
    return os.environ.get("SHERD_BIN") or os.path.join(ROOT, "build", "release", "sherd")


def redis_binary():
    """Path of the reference, or None where it is not installed."""
    return os.environ.get("REDIS_BIN") or shutil.which("redis-server")


def free_port(count=1):
    """One that is free, and so are the count - 1 behind it. Several are taken from below those that the system hands out to
    clients, because there one of them would often be somebody's."""
    for _ in range(1000):
        first = 0 if count == 1 else random.randrange(10_000, 32_000 - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    sock = stack.enter_context(socket.socket())
                    sock.bind(("127.0.0.1", port))
                return sock.getsockname()[1] - count + 1
            except OSError:
                continue
    raise ServerFailed("no %d free ports in a row" % count)


def begin_until_killed(server, commands):
    """Each command by a client and a thread of its own, which end when it is answered or the server is killed. Returns the threads."""
    def run(command):
        with contextlib.suppress(OSError, resp.Closed):
            server.client(timeout=120).call(*command)

    threads = [threading.Thread(target=run, args=(command,)) for command in commands]
    for thread in threads:
        thread.start()
    return threads


def wait_until(condition, timeout=10.0, what="condition", interval=0.01):
    """Polls until condition() is truthy and returns that; AssertionError after `timeout` seconds (times SHERD_SLOW).
    `what` is a text, or a function that makes it when the wait was in vain."""
    deadline = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("waited %.1f s in vain for: %s" % (timeout * SLOW, what() if callable(what) else what))
        time.sleep(interval)


class Server:
    """Options are command-line words, redis style: Server("--maxclients", "50").

    `threads` is for sherd only and is dropped for redis. `config` is the text of a configuration file that goes
    before the options. With start=False, call start() yourself."""

    def __init__(self, *options, kind="sherd", threads=None, config=None, start=True, port=None, binary=None,
                 defaults=True):
        self.kind = kind
        self.options = [str(option) for option in options]
        self.threads = threads
        self.config = config
        self.defaults = defaults
        self.fixed_port = port
        self.port_count = 1 + (threads or os.cpu_count() if "--cluster-ports" in options else 0)
        self.binary = binary or (redis_binary() if kind == "redis" else sherd_binary())
        if not self.binary or not os.path.exists(self.binary):
            raise ServerFailed("no such binary: %s" % self.binary)
        self.dir = tempfile.mkdtemp(prefix="sherd-test-")
        self.log_path = os.path.join(self.dir, "output.log")
        self.process = None
        self.port = None
        self.clients = []
        self.known = {}  # command name: whether the server has it (support.case.knows)
        if start:
            try:
                self.start()
            except BaseException:
                self.clean()
                raise

    # --- life ---

    def command_line(self):
        line = [self.binary]
        if self.config is not None:
            path = os.path.join(self.dir, "test.conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write(self.config)
            line.append(path)
        line += ["--port", str(self.port), "--dir", self.dir]
        if self.defaults:
            line += ["--save", "", "--appendonly", "no"]
        if self.threads and self.kind == "sherd":
            line += ["--threads", str(self.threads)]
        return line + self.options

    def start(self):
        """Starts and waits until it answers PING. A port that somebody took in between is tried again elsewhere."""
        for attempt in range(5):
            self.port = self.fixed_port or free_port(self.port_count)
            taken = self.fixed_port and self._port_answers()
            self._launch()
            try:
                if taken:  # a PONG would be somebody else's: this start can only fail
                    self._wait_refusal()
                self._wait_ready()
                return self
            except ServerFailed as failure:
                self.kill()
                if attempt == 4 or self.fixed_port or "in use" not in str(failure).lower():
                    raise
        return self

    def start_and_kill(self, after_s):
        """Starts, and kills so many seconds later, in whatever it is doing then."""
        self.begin()
        time.sleep(after_s)
        self.kill()

    def begin(self):
        """Starts, and does not wait for anything."""
        self.port = self.fixed_port or free_port(self.port_count)
        self._launch()

    def start_and_stop(self, text):
        """Starts, and stops as soon as the log says so, in whatever it is doing then."""
        before = self.log().count(text)
        self.begin()
        wait_until(lambda: self.log().count(text) > before or self.process.poll() is not None, 30, text)
        self.stop()

    def _launch(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command_line(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir
            )

    def _port_answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=2).close()
            return True
        except OSError:
            return False

    def _wait_refusal(self):
        try:
            self.process.wait(START_S)
        except subprocess.TimeoutExpired:
            raise ServerFailed("port %d was taken, and yet it runs\n%s" % (self.port, self.tail())) from None
        raise ServerFailed("ended at start with code %s\n%s" % (self.process.returncode, self.tail()))

    def _wait_ready(self):
        deadline = time.monotonic() + START_S
        while True:
            if self.process.poll() is not None:
                raise ServerFailed("ended at start with code %s\n%s" % (self.process.returncode, self.tail()))
            try:
                with resp.Client(self.port, timeout=2 * SLOW) as client:
                    # NOAUTH is an answer, too; LOADING is not yet one.
                    answer = client.call("PING")
                    if answer == resp.Simple(b"PONG") or bytes(answer).startswith(b"NOAUTH"):
                        break
            except (OSError, resp.Closed, resp.NoReply):
                pass
            if time.monotonic() > deadline:
                raise ServerFailed("no PONG within %.0f s\n%s" % (START_S, self.tail()))
            time.sleep(0.01)
        if self.process.poll() is not None:  # somebody else answered at this port
            raise ServerFailed("address in use: ended with code %s\n%s" % (self.process.returncode, self.tail()))

    def stop(self):
        """SIGTERM; exit code 0 within the bound and a clean log, or ServerFailed."""
        if self.process is None:
            return
        process = self.process
        if process.poll() is not None:
            self.process = None
            raise ServerFailed("%s had died with code %s\n%s" % (self.kind, process.returncode, self.tail()))
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed("still there %.0f s after SIGTERM\n%s" % (STOP_S, self.tail())) from None
        self.process = None
        if code != 0:
            raise ServerFailed("exit code %s after SIGTERM\n%s" % (code, self.tail()))
        self.check_log()

    def check_log(self):
        text = self.log()
        if any(trace in text for trace in TRACES):
            raise ServerFailed("sanitizer report in the log\n%s" % self.tail(200))

    def kill(self):
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            self.process = None

    def clean(self):
        for client in self.clients:
            client.close()
        self.clients = []
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def check_alive(self):
        if not self.alive():
            code = self.process.returncode if self.process else None
            raise ServerFailed("%s is gone (code %s)\n%s" % (self.kind, code, self.tail()))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            if kind is None:
                for client in self.clients:
                    client.close()
                self.stop()
            elif not self.alive():
                print("--- %s died; end of its log:\n%s" % (self.kind, self.tail()), file=sys.stderr)
        finally:
            self.clean()

    # --- use ---

    def client(self, **options):
        """A resp.Client that is closed with the server."""
        client = resp.Client(self.port, **{"timeout": 60 * SLOW, **options})
        self.clients.append(client)
        return client

    @property
    def pid(self):
        return self.process.pid

    def rss(self):
        """Resident set of the process in bytes."""
        with open("/proc/%d/status" % self.pid, encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def log(self):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def tail(self, lines=60):
        return "\n".join(self.log().splitlines()[-lines:])
