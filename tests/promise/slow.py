"""Experiment c: a disk at a fraction of the speed that writers ask for, and one that stands still for a while, with the
log synced every second; then kill -9 and a power cut at once.

The disk is tests/support/powerfs: what was not synced is lost in the cut. So what is gone afterwards is what the log was
behind. A disk that stands still lets what waits for it grow old; what the server can do, and promises, is to acknowledge
nothing more once the oldest has waited for max-staleness (2 s). So all that is lost was acknowledged within such a time.

Claims: what is lost was acknowledged within the bound, and while the disk goes on, however slowly, nothing is older than
it; reads are always answered; and with the disk at half speed a pipeline of eight writes takes 50 ms at the 99th
percentile and no longer than 200 ms. That is judged only where reads show that the machine is not busy with other
things: they do not wait for the disk, and eight writes that are let in one by one are held up eight times as often."""

import random
import time

from promise import load
from promise.common import Books, Impossible, binary_of
from support.power import PowerDisk
from support.server import SLOW, Server

BOUND_S = 2.0
SLACK_S = 1.0 * SLOW  # until a client has noticed
RATE = 4 << 20  # bytes a second; writers ask for several times that


QUIET_P99_MS, QUIET_MAX_MS = 10, 50  # of reads

OF_TIME = ("few wait", "nobody waits for long")


def percentile(times, share):
    times = sorted(times) or [0.0]
    return 1000 * times[min(len(times) - 1, int(len(times) * share))]


def run(kind, threads, seed, seconds):
    draw = random.Random(seed)
    facts = {"disk": draw.choice(("half", "stuck", "failing"))}
    try:
        disk = PowerDisk(seed)
    except BaseException as refusal:  # unittest.SkipTest
        raise Impossible(str(refusal)) from None
    server = Server("--appendonly", "yes", "--appendfsync", "everysec", "--save", "", "--dir", disk.dir, kind=kind, binary=binary_of(kind), threads=threads, defaults=False)
    try:
        load.call(server.port, "SET", "probe", "v")
        disk.rate(RATE)
        books = Books(server.port, 8, 4000, 1000)
        probe = load.Probe(server.port, "probe")
        stale, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end and server.alive():
            if facts["disk"] == "stuck" and draw.random() < 0.2:
                disk.delay("sync", draw.choice((500, 1500, 3000)))
            elif facts["disk"] == "failing" and draw.random() < 0.2:
                disk.fail("write", draw.choice(("EIO", "ENOSPC")), count=draw.randrange(1, 20))
            elif facts["disk"] != "half":
                disk.delay("sync", 0)
            fields = load.info(server.port, "persistence")
            stale = max(stale, max((int(part.split("staleness_ms=")[1].split(",")[0]) for name, part in fields.items() if "staleness_ms=" in part), default=0) / 1000)
            time.sleep(0.25)
        facts["alive"] = server.alive()
        probe.stop()
        facts.update(probe.facts())
        times = list(books.times)
        cut = time.monotonic()
        disk.cut(seed)
        server.process.kill()
        disk.off()  # else what waits for the disk would keep the process
        server.kill()
        books.stop()
        disk.rate(0)
        disk.delay("all", 0)
        disk.fail("all", "none")
        disk.on()
        server.start()
        facts["lost"], oldest, newest = books.lost(server.port)
        facts["lost, oldest s"] = round(cut - oldest, 2) if oldest else 0.0
        facts["lost, span s"] = round(newest - oldest, 2) if oldest else 0.0
        facts["staleness told, max s"] = round(stale, 2)
        facts["writes"] = len(times) * 8
        facts["write p99 ms"], facts["write max ms"] = percentile(times[len(times) // 10 :], 0.99), percentile(times[len(times) // 10 :], 1)
        facts["errors"] = sorted(books.errors)
    finally:
        server.clean()
        disk.clean()
    return facts


def broken(facts):
    claims = {"it lives": facts["alive"],
              "reads are always answered": facts["reads"] > 0 and not facts["reads failed"],
              "what is lost was acknowledged within the bound": facts["lost, span s"] <= BOUND_S + SLACK_S}
    if facts["disk"] == "half":
        claims["nothing lost is older than the bound"] = facts["lost, oldest s"] <= BOUND_S + SLACK_S
        claims["staleness keeps to the bound"] = facts["staleness told, max s"] <= BOUND_S + SLACK_S
        claims["few wait"] = facts["write p99 ms"] <= 50 * SLOW or facts["read p99 ms"] > QUIET_P99_MS
        claims["nobody waits for long"] = facts["write max ms"] <= 200 * SLOW or facts["read max ms"] > QUIET_MAX_MS
    return [claim for claim, holds in claims.items() if not holds]
