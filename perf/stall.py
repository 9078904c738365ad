#!/usr/bin/env python3
"""How long does one large command hold up everybody else? sherd beside redis-server, on this machine, now.

    perf/stall.py                        1,000,000 keys; sherd with 1 and 2 threads, and redis-server
    perf/stall.py --keys 5000000 --only keys
    perf/stall.py --rounds 5 --json a.json
    perf/stall.py --elements 1000000 --only sort        commands on large values instead (stall_values.py)

A neighbour, a process of its own, sends a GET every half millisecond, on one connection per thread of the server in
turn and for keys of all shards. Meanwhile this process runs the large command on a connection of its own. What counts
is the neighbour's longest wait for a reply in that time. Beside it stand the same without a large command (`quiet`)
and how late the neighbour itself woke up at worst (`late`), which is the scheduler's doing, not the server's.

One round's longest wait may be anybody's fault. A server that holds its turn does so in every round, so the least of
the rounds' longest waits is the figure to believe. README.md beside this file says more.
"""

import argparse
import json
import multiprocessing
import os
import socket
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import stall_values  # noqa: E402
from support.resp import encode  # noqa: E402
from support.server import Server, redis_binary  # noqa: E402

PACE_S = 0.0005
QUIET_S = 1.0
AFTER_S = 0.7  # watched after the reply: memory goes back then
VALUE_BYTES = (64 << 20, 512 << 20)


# --- the neighbour ----------------------------------------------------------------------------------------------------

def prefer(tasks, priority):
    """Realtime if we may (root may), so that other processes' share of the cores is not measured; else as it comes."""
    for task in tasks:
        try:
            os.sched_setscheduler(task, os.SCHED_FIFO, os.sched_param(priority))
        except OSError:
            pass


def neighbour(port, connections, pipe):
    """Asks until told to stop; answers all it saw: (when asked, how long it took, how late it was itself)."""
    prefer([0], 2)
    socks = [connect(port) for _ in range(connections)]
    questions = [encode(["GET", "key:%d" % i]) for i in range(64)]
    seen, turn = [], 0
    pipe.send("ready")
    due = time.monotonic()
    while not pipe.poll():
        due += PACE_S
        left = due - time.monotonic()
        if left > 0:
            time.sleep(left)
        begin = time.monotonic()
        sock = socks[turn % connections]
        sock.sendall(questions[turn % len(questions)])
        sock.recv(4096)
        end = time.monotonic()
        seen.append((begin, end - begin, max(0.0, begin - due)))
        due = max(due, end)
        turn += 1
    pipe.send(seen)


class Neighbour:
    def __init__(self, port, connections):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=neighbour, args=(port, connections, theirs))
        self.process.start()
        self.pipe.recv()

    def stop(self):
        self.pipe.send("stop")
        seen = self.pipe.recv()
        self.process.join()
        return seen


def worst(seen, begin, end):
    """Longest wait and largest lateness, in ms, among the questions that overlap with [begin, end)."""
    inside = [(wait, late) for at, wait, late in seen if at + wait >= begin and at < end]
    return [round(1000 * max(column), 2) for column in zip(*inside)] if inside else [float("nan")] * 2


# --- the large commands -----------------------------------------------------------------------------------------------

def connect(port):
    sock = socket.create_connection(("127.0.0.1", port), timeout=300)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def finish(sock, data):
    """Sends commands and reads until the PONG behind their replies; returns how many bytes came."""
    sock.sendall(data + encode(["PING"]))
    count, end = 0, b""
    while not end.endswith(b"+PONG\r\n"):
        piece = sock.recv(1 << 20)
        if not piece:
            raise ConnectionError("the server hung up")
        count += len(piece)
        end = (end + piece)[-16:]
    return count


def load_keys(sock, count):
    for start in range(0, count, 1000):
        pairs = []
        for i in range(start, min(start + 1000, count)):
            pairs += ["key:%d" % i, "value:%d" % i]
        finish(sock, encode(["MSET"] + pairs))


def load_value(sock, size):
    sock.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$%d\r\n" % size)
    piece = b"x" * (1 << 20)
    for _ in range(size >> 20):
        sock.sendall(piece)
    finish(sock, b"\r\n")


def cases():
    """(name, what prepares it, the command). FLUSHALL comes last: it takes the keys with it."""
    found = [("KEYS *", None, ["KEYS", "*"])]
    found += [("DEL of %d MiB" % (size >> 20), lambda sock, size=size: load_value(sock, size), ["DEL", "large"])
              for size in VALUE_BYTES]
    found += [("FLUSHALL", None, ["FLUSHALL"])]
    return found


def load(sock, commands):
    """Many commands, a few hundred KiB at a time."""
    waiting = []
    for command in commands:
        waiting.append(encode(command))
        if len(waiting) >= 500 or len(command) > 500:
            finish(sock, b"".join(waiting))
            waiting = []
    finish(sock, b"".join(waiting))


def cases_on_values(elements):
    return [(name, (lambda sock, before=before: load(sock, before)) if before else None, command)
            for name, before, command in stall_values.commands(elements)]


# --- a round ----------------------------------------------------------------------------------------------------------

def measure(server, connections, prepare, command):
    with connect(server.port) as sock:
        if prepare:
            prepare(sock)
            time.sleep(0.3)
        watcher = Neighbour(server.port, connections)
        try:
            begin = time.monotonic()
            time.sleep(QUIET_S)
            middle = time.monotonic()
            finish(sock, encode(command))
            took = time.monotonic() - middle
            time.sleep(AFTER_S)
            end = time.monotonic()
        finally:
            seen = watcher.stop()
    quiet, late_quiet = worst(seen, begin, middle)
    busy, late = worst(seen, middle, end)
    return {"busy_ms": busy, "quiet_ms": quiet, "late_ms": max(late, late_quiet), "took_ms": round(1000 * took, 1)}


def run_round(kind, threads, args):
    results = {}
    options = ("--protected-mode", "no")
    with Server(*options, kind=kind, threads=threads, binary=args.sherd_bin if kind == "sherd" else None) as server:
        prefer(map(int, os.listdir("/proc/%d/task" % server.pid)), 1)
        with connect(server.port) as sock:
            load_keys(sock, args.keys)
            for commands in stall_values.values(args.elements) if args.elements else ():
                load(sock, commands)
        for name, prepare, command in cases_on_values(args.elements) if args.elements else cases():
            if args.only.lower() in name.lower():
                results[name] = measure(server, threads or 1, prepare, command)
                print("    %-20s %s" % (name, results[name]), file=sys.stderr, flush=True)
    return results


def servers(args):
    found = [("sherd", threads) for threads in args.threads]
    if redis_binary() and not args.no_redis:
        found.append(("redis", None))
    return found


def least(rounds, name, column):
    return min(results[name][column] for results in rounds)


def report(label, rounds):
    for name in rounds[0]:
        every = " ".join("%.1f" % results[name]["busy_ms"] for results in rounds)
        print("%-16s %-20s %9.2f %9.2f %9.2f %10.0f   (%s)" % (
            label, name, least(rounds, name, "busy_ms"), least(rounds, name, "quiet_ms"),
            least(rounds, name, "late_ms"), least(rounds, name, "took_ms"), every), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--elements", type=int, default=0, help="commands on values of so many elements")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2], help="of sherd (default: 1 2)")
    parser.add_argument("--only", default="", help="commands whose name contains this")
    parser.add_argument("--no-redis", action="store_true")
    parser.add_argument("--sherd-bin", default=str(ROOT / "build" / "release" / "sherd"))
    parser.add_argument("--json", help="keep every round's figures here")
    args = parser.parse_args()
    print("%d keys, %d rounds; longest wait of a neighbour in ms, least of the rounds (each round's behind it)"
          % (args.keys, args.rounds))
    print("%-16s %-20s %9s %9s %9s %10s" % ("server", "command", "longest", "quiet", "late", "took"))
    kept = {}
    for kind, threads in servers(args):
        label = "%s, %d threads" % (kind, threads) if threads else kind
        kept[label] = [run_round(kind, threads, args) for _ in range(args.rounds)]
        report(label, kept[label])
    if args.json:
        Path(args.json).write_text(json.dumps({"keys": args.keys, "rounds": kept}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
