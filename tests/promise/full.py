"""Experiment b: a disk of 256 MiB that somebody else fills, in the middle of a snapshot and of a segment of the log, and
frees later; once with kill -9 and a start while it is full.

Claims: the server lives and answers every read; nothing that was acknowledged is lost (under everysec and after kill -9:
nothing but what was acknowledged within max-staleness, before the disk said that it is full); it starts on a full disk;
and when there is room again, writes and snapshots go on by themselves."""

import os
import random
import subprocess
import tempfile
import time

from promise import load
from promise.common import Books, Impossible, binary_of
from support.server import SLOW, Server, ServerFailed

ROOM = 256 << 20
RESUME_S = 30 * SLOW


class SmallDisk:
    """A tmpfs, or ext4 in a file on a loop device."""

    def __init__(self, kind):
        self.dir = tempfile.mkdtemp(prefix="sherd-promise-")
        self.image = None
        words = ["-t", "tmpfs", "-o", "size=%d" % ROOM, "sherd-promise"]
        if kind == "ext4":
            self.image = tempfile.NamedTemporaryFile(prefix="sherd-promise-", suffix=".img")
            self.image.truncate(ROOM)
            subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image.name], check=True)
            words = ["-o", "loop", self.image.name]
        done = subprocess.run(["mount", *words, self.dir], capture_output=True, check=False)
        if done.returncode:
            os.rmdir(self.dir)
            raise Impossible("may not mount: %s" % done.stderr.decode().strip())

    def fill(self):
        """Somebody else takes all that is left."""
        with open(os.path.join(self.dir, "ballast"), "ab", buffering=0) as file:
            try:
                while file.write(b"x" * (1 << 20)):
                    pass
            except OSError:
                pass

    def free(self):
        os.unlink(os.path.join(self.dir, "ballast"))

    def clean(self):
        subprocess.run(["umount", "-l", self.dir], check=False)
        os.rmdir(self.dir)
        if self.image:
            self.image.close()


def start(server, facts):
    try:
        server.start()
        return True
    except ServerFailed:
        facts["starts while full"] = False
        return False


def wait_for_writes(port):
    """Seconds until a write is taken; None: not within the bound."""
    begun = time.monotonic()
    while time.monotonic() - begun < RESUME_S:
        if load.call(port, "SET", "again", "v", timeout=RESUME_S) == load.resp.OK:
            return time.monotonic() - begun
        time.sleep(0.1)
    return None


def wait_for_snapshot(port):
    """Does one work within the bound?"""
    begun = time.monotonic()
    while time.monotonic() - begun < RESUME_S:
        facts = load.info(port, "persistence")
        if facts.get("rdb_bgsave_in_progress") == "0" and facts.get("aof_rewrite_in_progress") == "0":
            if facts.get("rdb_last_bgsave_status") == "ok" and load.call(port, "BGSAVE") is not None:
                return True
            load.call(port, "BGSAVE")
        time.sleep(0.2)
    return False


def run(kind, threads, seed, seconds):
    draw = random.Random(seed)
    facts = {"disk": draw.choice(("tmpfs", "ext4")), "appendfsync": draw.choice(("always", "everysec")), "starts while full": True}
    disk = SmallDisk(facts["disk"])
    data = os.path.join(disk.dir, "data")
    os.mkdir(data)
    server = Server("--appendonly", "yes", "--appendfsync", facts["appendfsync"], "--save", "3600 1", "--dir", data, kind=kind, binary=binary_of(kind), threads=threads, defaults=False)
    try:
        load.call(server.port, "SET", "probe", "v")
        books = Books(server.port, 6, 2000, 1000, patience_s=5)
        probe = load.Probe(server.port, "probe")
        time.sleep(seconds * draw.uniform(0.1, 0.3))
        if draw.random() < 0.5:  # in the middle of one
            load.call(server.port, "BGSAVE")
            time.sleep(draw.uniform(0, 0.05))
        disk.fill()
        time.sleep(max(1.0, seconds * 0.3))
        facts["alive"] = server.alive()
        killed = draw.random() < 0.5 or not facts["alive"]
        facts["killed while full"] = killed
        books.stop()
        probe.stop()
        facts.update(probe.facts())
        if killed:
            server.kill()
            alive = start(server, facts)
            if alive:
                facts["lost"], oldest, newest = books.lost(server.port)
                facts["lost, span s"] = round(newest - oldest, 2) if oldest else 0.0
        else:
            alive = True
        disk.free()
        if not alive:
            alive = start(server, {})
        facts["writes again after s"] = wait_for_writes(server.port) if alive else None
        if not killed and facts["writes again after s"] is not None:
            facts["lost"], _, _ = books.lost(server.port)
        facts["snapshot again"] = wait_for_snapshot(server.port) if alive else False
        facts["errors"] = sorted(books.errors)
    finally:
        server.clean()
        disk.clean()
    return facts


def broken(facts):
    allowed_s = 0.0 if facts["appendfsync"] == "always" else 2.5 * SLOW
    kept = facts.get("lost") == 0 or (facts["killed while full"] and facts.get("lost, span s", 1e9) <= allowed_s and "lost" in facts)
    claims = {"it lives": facts["alive"],
              "reads are always answered": facts["reads"] > 0 and not facts["reads failed"],
              "nothing acknowledged is lost": kept,
              "it starts on a full disk": facts["starts while full"],
              "writes go on by themselves": facts["writes again after s"] is not None,
              "snapshots go on by themselves": facts["snapshot again"]}
    return [claim for claim, holds in claims.items() if not holds]
