#!/usr/bin/env python3
"""The power goes at random moments: what kill -9 cannot show, since the kernel keeps what a killed server wrote.

Proves   the same as tests/system/test_crash.py, where of everything that was not synced nothing, all or any parts are left,
         torn by sector: appendfsync always loses nothing that was acknowledged or read, everysec nothing older than two
         seconds, snapshots alone nothing from before the last save; no transaction is there by half; and a server starts by
         itself on whatever the cut has left, also when the power goes again while it recovers.
How      the data are on tests/support/powerfs, a filesystem that keeps apart what is durable. The disk is at times slow, so that
         more is under way. First nothing is told to the server any more and what survives is drawn, then the server is
         killed, then the power comes back. That the filesystem forgets what it should is tested, too, and that a disk whose
         syncs do nothing is found out.

SHERD_CUTS=N      rounds per scenario (else a few; they take two or three seconds each)
SHERD_SEED, SHERD_KEEP, SHERD_BIN: as for tests/system/test_crash.py, the reference included."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import contextlib  # noqa: E402
import mmap  # noqa: E402
import random  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

import test_crash  # noqa: E402
from support.case import SLOW, Server, main, redis_binary  # noqa: E402
from support.crowd import seed_of_run  # noqa: E402
from support.ledger import pause  # noqa: E402
from support.power import PowerDisk  # noqa: E402

ROUNDS = int(os.environ.get("SHERD_CUTS") or (1 if SLOW > 1 else 2))


def children_of(pid):
    """redis-server's, which would write on when the power is back. They end later than it does, being orphans then."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


class PowerCut(test_crash.Crash):
    rounds = ROUNDS

    def prepare(self, options):
        self.disk = PowerDisk(self.seed)
        self.addCleanup(self.disk.clean)
        self.lost = self.cuts = 0
        super().prepare([*options, "--dir", self.disk.dir])
        self.data = self.disk.dir
        if test_crash.KIND == "redis":  # which does not sync what it makes this directory in
            os.mkdir(os.path.join(self.data, "appendonlydir"))
            self.disk.cut(0, "keep")
            self.ended(orderly=False)

    def cut(self):
        toll = self.disk.cut(self.rng.randrange(1 << 32), self.rng.choice(["drop", "torn", "torn", "torn", "keep"]))
        self.cuts += 1
        self.lost += toll["sectors_lost"] + toll["names_lost"]

    def end(self, process):
        self.cut()
        end_ns = time.monotonic_ns()
        children = children_of(process.pid)
        process.kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self.disk.off()
        return end_ns

    def ended(self, orderly):
        if orderly:
            self.cut()  # an orderly end has synced all
        self.disk.on()
        self.disk.delay("write", *self.rng.choice([(0, 0), (0, 0), (0, 3)]))
        self.disk.delay("sync,name", *self.rng.choice([(0, 0), (0, 2), (3, 20)]))

    def crash_at_start(self, after_s):
        self.server.begin()
        time.sleep(after_s)
        self.end(self.server.process)
        self.server.kill()
        self.ended(orderly=False)

    def scenario(self, *options, **expected):
        if SLOW > 1 and "weight" in expected and not os.environ.get("SHERD_CUTS"):
            self.skipTest("long; test_crash.py has it under sanitizers")
        super().scenario(*options, **expected)
        print("(%d cuts; %d sectors and names were lost)" % (self.cuts, self.lost), end=" ", flush=True)


class FailingDisk(PowerCut):
    """The same while writes and syncs fail or hang now and then. A sync that fails has lost what it was to sync, as on Linux, so all
    of that has to be written again elsewhere. A client that is refused does not come back before the next round."""

    rounds = (ROUNDS + 1) // 2
    refusable = True
    test_many_segments = test_snapshots_alone = None

    def prepare(self, options):
        self.harming, self.faulty = threading.Lock(), False
        super().prepare(options)
        for subject in self.subjects:
            subject.batch = 1  # or the next step could be taken where this one was refused

    def scenario(self, *options, lost_ns=0, **expected):
        super().scenario(*options, lost_ns=5 * lost_ns, **expected)

    def saver(self, me):
        self.faulty = True
        while not me.crowd.over:
            yield [pause(self.rng.choice([0.02, 0.1, 0.3, 0.6]))]
            deed = self.rng.choice(["write", "sync", "name"])
            if self.rng.random() < 0.3:
                self.harm(lambda deed=deed: self.disk.stick(deed))
                yield [pause(self.rng.choice([0.1, 0.5]))]
                self.disk.free(deed)
            else:
                error = self.rng.choice(["EIO", "ENOSPC"])
                self.harm(lambda deed=deed, error=error: self.disk.fail(deed, error, 1000, self.rng.randrange(1, 4)))

    def harm(self, what):
        """Unless it is healed already, by another thread."""
        with self.harming:
            if self.faulty:
                what()

    def heal(self):
        with self.harming:
            self.faulty = False
            self.disk.fail("all", "none")
            self.disk.free("all")

    def terminate(self, process):
        self.heal()
        super().terminate(process)

    def ended(self, orderly):
        self.heal()
        super().ended(orderly)


class Import(unittest.TestCase):
    """The power goes while Redis's files are taken over, several times: in the end all of it is there."""

    KEYS = 20_000

    def source(self, *options):
        """The directory of a redis-server that has ended; every key was written twice."""
        server = Server("--save", "", *options, kind="redis", defaults=False)
        self.addCleanup(server.clean)
        with server.client() as client:
            for value in ("old", "new"):
                client.pipeline([("SET", "key:%d" % i, "%s:%d" % (value, i)) for i in range(self.KEYS)])
            client.must("SAVE")
        server.stop()
        return server

    def imports(self, name, *options):
        if test_crash.KIND == "redis" or not redis_binary():
            self.skipTest("from redis-server to sherd")
        source, rng = self.source(*options), random.Random(seed_of_run())
        disk = PowerDisk(rng.randrange(1 << 31))
        self.addCleanup(disk.clean)
        copy = shutil.copytree if os.path.isdir(os.path.join(source.dir, name)) else shutil.copy
        copy(os.path.join(source.dir, name), os.path.join(disk.dir, name))
        disk.cut(0, "keep")
        server = Server("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dir", disk.dir, defaults=False, start=False)
        self.addCleanup(server.clean)
        for _ in range(2 * ROUNDS):
            disk.off()
            disk.on()
            disk.delay("all", *rng.choice([(0, 0), (0, 2), (5, 5)]))
            server.threads = rng.choice([1, 2, 5])
            server.begin()
            time.sleep(rng.uniform(0, 0.4) * SLOW)
            disk.cut(rng.randrange(1 << 32), rng.choice(["drop", "torn", "torn", "keep"]))
            server.process.kill()
            disk.off()
            server.kill()
        disk.on()
        disk.delay("all", 0)
        server.start()
        with server.client() as client:
            self.assertEqual(client.must("DBSIZE"), self.KEYS)
            values = client.must("MGET", *["key:%d" % i for i in range(self.KEYS)])
        self.assertEqual([i for i, value in enumerate(values) if value != b"new:%d" % i], [])
        server.stop()

    def test_dump(self):
        self.imports("dump.rdb")

    def test_log(self):
        self.imports("appendonlydir", "--appendonly", "yes")


class Liar(unittest.TestCase):
    def test_a_disk_that_forgets_what_it_synced_is_found_out(self):
        class Lied(PowerCut):
            rounds = 3

            def prepare(self, options):
                super().prepare(options)
                self.disk.lie()

            def cut(self):
                self.disk.cut(self.rng.randrange(1 << 32), "drop")

        result = unittest.TestResult()
        Lied("test_always").run(result)
        if result.skipped:
            self.skipTest(result.skipped[0][1])
        self.assertIn("must be at least", (result.failures + result.errors)[0][1])


class Disk(unittest.TestCase):
    """The filesystem itself: what is durable stays, and what is not may go, but nothing else comes."""

    def setUp(self):
        self.seed = seed_of_run()
        self.rng = random.Random(self.seed)
        self.disk = PowerDisk(self.seed)
        self.addCleanup(self.disk.clean)

    def path(self, name):
        return os.path.join(self.disk.dir, name)

    def open(self, name, flags=0):
        return os.open(self.path(name), os.O_RDWR | os.O_CREAT | flags)

    def cut(self, how):
        self.disk.cut(self.rng.randrange(1 << 32), how)
        self.disk.off()
        self.disk.on()

    def sync_directory(self):
        fd = os.open(self.disk.dir, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def test_bytes(self):
        fd, direct, durable = self.open("plain"), self.open("direct", os.O_DIRECT), self.open("durable", os.O_DSYNC)
        self.sync_directory()
        page = mmap.mmap(-1, 4096)
        page.write(b"p" * 4096)
        os.pwritev(direct, [page], 0, os.RWF_DSYNC)
        os.pwritev(direct, [page], 4096)  # which is only in the disk's cache
        os.write(durable, b"kept")
        os.write(fd, b"kept")
        os.fdatasync(fd)
        os.write(fd, b"lost")
        self.assertEqual(self.content("plain"), b"keptlost")
        self.cut("drop")
        for name, bytes_left in [("plain", b"kept"), ("durable", b"kept"), ("direct", b"p" * 4096)]:
            self.assertEqual(self.content(name), bytes_left, name)
        self.assertRaises(OSError, os.write, fd, b"of an earlier life")
        for each in (fd, direct, durable):
            os.close(each)

    def test_names(self):
        for name in ("old", "other"):
            os.close(self.open(name))
        self.sync_directory()
        fd = self.open("new")
        os.write(fd, b"new")
        os.fsync(fd)  # not its name
        os.close(fd)
        os.rename(self.path("new"), self.path("old"))
        os.unlink(self.path("other"))
        self.assertEqual(os.listdir(self.disk.dir), ["old"])
        self.cut("drop")
        self.assertEqual((sorted(os.listdir(self.disk.dir)), self.content("old")), (["old", "other"], b""))

    def test_torn(self):
        """Of each sector the last synced version or a later one; of a file that was shortened all or nothing."""
        left = b""
        for _ in range(30):
            before = left  # where shortening it is not durable
            fd = self.open("file", os.O_TRUNC)
            versions = [{0}] * 16
            self.sync_directory()
            for version in range(1, self.rng.randrange(2, 12)):
                first, end = sorted(self.rng.sample(range(17), 2))
                os.pwrite(fd, bytes([version]) * 512 * (end - first), 512 * first)
                versions = [seen | {version} if first <= i < end else seen for i, seen in enumerate(versions)]
                if self.rng.randrange(8) == 0:
                    os.fsync(fd)
                    before, now = None, self.content("file").ljust(16 * 512, b"\0")
                    versions = [{now[512 * i]} for i in range(16)]
            os.close(fd)
            self.cut("torn")
            left = self.content("file").ljust(16 * 512, b"\0")
            for i, seen in enumerate(versions if left != before else []):
                sector = left[512 * i : 512 * i + 512]
                self.assertEqual(len(set(sector)), 1, "half a sector")
                self.assertIn(sector[0], seen, "seed %d, sector %d" % (self.seed, i))

    def test_faults(self):
        fd = self.open("file")
        self.disk.fail("write", "ENOSPC", 1000, 1)
        self.assertRaisesRegex(OSError, "No space", os.write, fd, b"x")
        os.write(fd, b"x")
        self.disk.space(1000)
        self.assertEqual(os.write(fd, b"x" * 2000), 999)
        self.assertRaisesRegex(OSError, "No space", os.write, fd, b"x")
        self.disk.space(0)
        self.disk.fail("sync", "EIO")
        self.assertRaisesRegex(OSError, "Input/output", os.fsync, fd)
        self.disk.fail("sync", "none")
        self.disk.delay("sync", 30)
        self.disk.rate(100_000)
        began = time.monotonic()
        os.fsync(fd)
        os.write(fd, b"x" * 5000)
        self.assertGreater(time.monotonic() - began, 0.075)
        self.assertEqual((self.disk.status()["write_failed"], self.disk.status()["sync_failed"]), (1, 1))
        os.close(fd)


if __name__ == "__main__":
    main()
