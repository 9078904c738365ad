#!/usr/bin/env python3
"""Saving and loading, as an operator sees it.

Proves   what was saved or logged is there after the next start, every key with its type, value and deadline, whatever the
         number of threads then and before; SAVE, BGSAVE, BGREWRITEAOF, LASTSAVE, SHUTDOWN and INFO persistence do and say what Redis's
         do; the log can be switched on and off while it runs; Redis's tools accept the files, and Redis's files are loaded; left-over
         files go, foreign ones stay; a directory has one server; a log cut short by a crash is loaded to its last whole write,
         and damage in its middle is refused, with words.
How      one server object per test: its directory stays over kill and start. tests/support/contents.py fills and compares.

What a crash in the midst of load loses is test_crash.py's matter.
SHERD_BIN=/usr/bin/redis-server runs what makes sense there against the reference."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import glob  # noqa: E402
import itertools  # noqa: E402
import shutil  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.beside import BesideCase  # noqa: E402
from support.case import SLOW, Server, ServerFailed, main, redis_binary, wait_until  # noqa: E402
from support.contents import contents, difference, dumps, fill  # noqa: E402
from support.crowd import seed_of_run  # noqa: E402
from support.server import sherd_binary  # noqa: E402

KIND = "redis" if "redis-server" in os.path.basename(sherd_binary()) else "sherd"
of_sherd = unittest.skipIf(KIND == "redis", "a property of sherd")
LOG = ("--appendonly", "yes", "--appendfsync", "always")
NO_LOG = ("--appendonly", "no")
COUNT = 600


def persistence(client):
    """INFO persistence as a dictionary."""
    lines = bytes(client.must("INFO", "persistence")).decode("latin-1").split("\r\n")
    return dict(line.split(":", 1) for line in lines if ":" in line)


def no_rewrite(client):
    """Neither under way nor to come, by one INFO."""
    info = persistence(client)
    return info["aof_rewrite_in_progress"] == "0" and info["aof_rewrite_scheduled"] == "0"


class PersistenceCase(unittest.TestCase):
    def setUp(self):
        self.seed = seed_of_run()

    def server(self, *options, threads=2, save="", start=True):
        server = Server("--save", save, *options, kind=KIND, binary=sherd_binary(), threads=threads, defaults=False, start=start)
        self.addCleanup(server.clean)
        return server

    def restart(self, server, threads=None):
        """kill -9, and start."""
        server.kill()
        server.threads = threads or server.threads
        server.start()
        return server.client()

    def stop_by(self, server, *command):
        """SHUTDOWN in some form; waits for the end."""
        client = server.client()
        client.send(resp.encode(command))
        self.assertEqual(server.process.wait(20 * SLOW), 0, server.tail())
        server.process = None

    def saved(self, client, command="BGSAVE"):
        client.must(command)
        wait_until(lambda: persistence(client)["rdb_bgsave_in_progress"] == "0", timeout=60, what="the end of %s" % command)
        self.assertEqual(persistence(client)["rdb_last_bgsave_status"], "ok")

    def rewritten(self, client):
        client.must("BGREWRITEAOF")
        wait_until(lambda: no_rewrite(client), timeout=60, what="the end of BGREWRITEAOF")
        self.assertEqual(persistence(client)["aof_last_bgrewrite_status"], "ok")

    def assertHolds(self, client, before, payloads=None):
        text = difference(before, contents(client))
        self.assertEqual(text, "", text)
        if payloads is None:
            return
        after = dumps(client)
        same = {key: value for key, value in payloads.items() if key in after and value[0] == after[key][0]}
        self.assertGreater(len(same), len(payloads) // 2, "few keys have kept their encoding")
        text = difference(same, {key: after[key] for key in same})
        self.assertEqual(text, "", text)


class Restart(PersistenceCase):
    """Everything is there again, with any other number of threads."""

    def goes_through(self, server, client, log):
        before, payloads = contents(client), dumps(client)
        self.assertGreater(len(before), COUNT / 2)
        for threads in (5, 1, 3):
            client = self.restart(server, threads)
            self.assertHolds(client, before, payloads)
            if log:
                fill(client, self.seed + threads, 100, "more%d" % threads)
                before, payloads = contents(client), dumps(client)

    def test_from_a_checkpoint(self):
        server = self.server(*NO_LOG)
        client = server.client()
        fill(client, self.seed, COUNT)
        client.must("SAVE")
        self.goes_through(server, client, log=False)

    def test_from_the_log(self):
        server = self.server(*LOG)
        client = server.client()
        fill(client, self.seed, COUNT)
        self.goes_through(server, client, log=True)

    def test_from_a_checkpoint_and_the_log_since(self):
        server = self.server(*LOG, threads=3)
        client = server.client()
        fill(client, self.seed, COUNT, "one")
        client.must("BGREWRITEAOF")
        fill(client, self.seed + 1, COUNT, "two")  # while it runs, or after it
        fill(client, self.seed + 2, COUNT, "one")
        self.goes_through(server, client, log=True)

    def test_several_checkpoints_leave_one(self):
        server = self.server(*LOG)
        client = server.client()
        for number in range(4):
            fill(client, self.seed + number, 300, "key%d" % number)
            self.rewritten(client)
        files = glob.glob(os.path.join(server.dir, "**", "*.rdb"), recursive=True)
        self.assertLessEqual(len(files), 2, files)  # one per thread (Redis: one)
        before = contents(client)
        self.assertHolds(self.restart(server, 3), before)

    @unittest.skipIf(KIND == "redis", "cannot read back what it writes here")
    def test_counts_that_wrap(self):
        """As in Redis they do; the log says so, and is believed."""
        server = self.server(*LOG)
        client = server.client()
        most = 2**63 - 1
        client.must("XADD", "s", "1-0", "f", "v")
        client.must("XSETID", "s", "1-0", "ENTRIESADDED", most)
        client.must("XADD", "s", "2-0", "f", "v")
        client.must("XGROUP", "CREATE", "s", "g", "0", "ENTRIESREAD", most)
        client.must("XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">")
        before, payload = client.must("XINFO", "GROUPS", "s"), client.must("DUMP", "s")
        self.assertIn(-(2**63), before[0])
        client = self.restart(server)
        self.assertEqual(client.must("XINFO", "GROUPS", "s"), before)
        self.assertEqual(client.must("DUMP", "s"), payload)

    @unittest.skipIf(KIND == "redis", "does not write it down")
    def test_what_no_watcher_sees(self):
        """A string that BITFIELD made longer for a write that failed: not a change to Redis. It comes back all the same."""
        server = self.server(*LOG)
        client = server.client()
        client.must("BITFIELD", "k", "OVERFLOW", "FAIL", "SET", "u8", 8, 256)
        client = self.restart(server)
        self.assertEqual(client.must("GET", "k"), bytes(2))

    def test_nothing_saved_is_nothing_there(self):
        server = self.server(*NO_LOG)
        server.client().must("SET", "k", "v")
        self.assertEqual(self.restart(server).must("DBSIZE"), 0)

    def test_last_save_counts_without_a_log(self):
        server = self.server(*NO_LOG)
        client = server.client()
        fill(client, self.seed, 300)
        self.saved(client)
        before = contents(client)
        client.must("SET", "late", "v")
        client.must("FLUSHDB")
        self.assertHolds(self.restart(server, 5), before)

    @unittest.skipIf(KIND == "redis", "saves in another way")
    def test_killed_in_its_first_save(self):
        """With no log there is nothing on the disk before: files of ours without a manifest would be no start at all."""
        server = self.server(*NO_LOG)
        client = server.client()
        value = os.urandom(1 << 20)
        for number in range(64):
            client.must("SET", "k%d" % number, value)
        client.must("BGSAVE")
        wait_until(lambda: glob.glob(os.path.join(server.dir, "**", "shard-*"), recursive=True), what="the first file", interval=0.001)
        client = self.restart(server)
        self.assertIn(client.must("DBSIZE"), (0, 64))  # 64: it was quicker than we
        client.must("SET", "k", "v")
        self.saved(client)
        self.assertIn(self.restart(server).must("DBSIZE"), (1, 65))

    def test_deadlines_pass_while_nobody_runs(self):
        server = self.server(*LOG)
        client = server.client()
        client.must("SET", "soon", "v", "PX", 200)
        client.must("HSET", "later", "f", "v")
        client.must("PEXPIREAT", "later", 4_000_000_000_123)
        server.kill()
        time.sleep(0.25)  # nobody is there whose clock could be asked
        server.start()
        client = server.client()
        self.assertEqual(client.must("EXISTS", "soon"), 0)
        self.assertEqual(client.must("PEXPIRETIME", "later"), 4_000_000_000_123)

    def test_flushall_and_swapdb_are_remembered(self):
        server = self.server(*LOG, threads=5)
        client = server.client()
        fill(client, self.seed, 300, "gone")
        client.must("FLUSHALL")
        fill(client, self.seed, 300)
        client.must("SWAPDB", 0, 9)
        before = contents(client)
        self.rewritten(client)
        client.must("SWAPDB", 1, 9)
        client.must("SWAPDB", 1, 9)
        self.assertHolds(self.restart(server, 2), before)


class Switch(PersistenceCase):
    """CONFIG SET appendonly while it runs."""

    def test_on(self):
        server = self.server(*NO_LOG)
        client = server.client()
        fill(client, self.seed, 300, "before")
        client.must("CONFIG", "SET", "appendonly", "yes", "appendfsync", "always")
        wait_until(lambda: no_rewrite(client), timeout=60, what="the first file of the log")
        if KIND == "sherd":
            self.assertEqual(persistence(client)["aof_rewrites"], "1")
        fill(client, self.seed, 300, "after")
        before = contents(client)
        server.options += ["--appendonly", "yes"]
        self.assertHolds(self.restart(server, 3), before)

    @of_sherd
    def test_on_at_the_second_try(self):
        """The checkpoint with which the log begins fails, as one of its files cannot be made: there is another one."""
        server = self.server(*NO_LOG)
        client = server.client()
        fill(client, self.seed, 100, "before")
        in_the_way = [os.path.join(server.dir, f"shard-001.{number:06}.rdb") for number in range(1, 20)]
        for path in in_the_way:
            os.mkdir(path)
        client.must("CONFIG", "SET", "appendonly", "yes", "appendfsync", "always")
        wait_until(lambda: persistence(client)["aof_last_bgrewrite_status"] == "err", timeout=60, what="the failure")
        for path in in_the_way:
            os.rmdir(path)
        fill(client, self.seed, 100, "between")
        wait_until(lambda: int(persistence(client)["aof_rewrites"]) > 0, timeout=60, what="the second try")
        fill(client, self.seed, 100, "after")
        before = contents(client)
        server.options += ["--appendonly", "yes"]
        self.assertHolds(self.restart(server, 3), before)

    def test_off(self):
        server = self.server(*LOG)
        client = server.client()
        client.must("SET", "logged", "v")
        client.must("CONFIG", "SET", "appendonly", "no")
        self.assertEqual(persistence(client)["aof_enabled"], "0")
        if KIND == "sherd":  # ends the log with a checkpoint
            wait_until(lambda: persistence(client)["aof_rewrites"] == "1", timeout=60, what="the last checkpoint")
        client.must("SET", "not-logged", "v")
        client = self.restart(server)
        self.assertEqual([client.must("EXISTS", key) for key in ("logged", "not-logged")], [1, 0])


class Commands(PersistenceCase):
    def test_info(self):
        """Each save sets its figures."""
        server = self.server(*NO_LOG)
        client = server.client()
        info = persistence(client)
        self.assertEqual((info["loading"], info["rdb_changes_since_last_save"], info["aof_enabled"]), ("0", "0", "0"))
        for number in range(5):
            client.must("SET", number, "v")
        self.assertEqual(persistence(client)["rdb_changes_since_last_save"], "5")
        began, before = int(time.time()), client.must("LASTSAVE")
        self.assertLessEqual(abs(before - began), 30 * SLOW)  # the start counts as a save
        self.assertEqual(client.call("BGSAVE"), resp.Simple(b"Background saving started"))
        wait_until(lambda: persistence(client)["rdb_changes_since_last_save"] == "0", what="BGSAVE")
        info = persistence(client)
        self.assertEqual(int(info["rdb_last_save_time"]), client.must("LASTSAVE"))
        self.assertGreaterEqual(client.must("LASTSAVE"), began)
        client.must("SET", "k", "v")
        self.assertEqual(client.call("SAVE"), resp.OK)
        self.assertEqual(persistence(client)["rdb_changes_since_last_save"], "0")

    def test_bgrewriteaof(self):
        client = self.server(*LOG).client()
        client.must("SET", "k", "v")
        self.assertEqual(client.call("BGREWRITEAOF"), resp.Simple(b"Background append only file rewriting started"))
        wait_until(lambda: no_rewrite(client), what="BGREWRITEAOF")
        self.assertEqual(persistence(client)["aof_last_bgrewrite_status"], "ok")
        self.assertEqual(persistence(client)["aof_last_write_status"], "ok")
        self.assertEqual(persistence(client)["aof_enabled"], "1")

    def test_save_rule(self):
        """`save 1 3`: three changes are saved after a second."""
        server = self.server(*NO_LOG, save="1 3")
        client = server.client()
        for number in range(3):
            client.must("SET", number, "v")
        wait_until(lambda: persistence(client)["rdb_changes_since_last_save"] == "0", timeout=20, what="the rule to save")
        wait_until(lambda: persistence(client)["rdb_bgsave_in_progress"] == "0", what="its end")
        self.assertEqual(self.restart(server).must("DBSIZE"), 3)


@unittest.skipIf(redis_binary() is None or KIND == "redis", "compares with redis-server")
class Words(BesideCase):
    """Replies and refusals, byte for byte."""

    def test_refusals(self):
        pair = self.pair()
        for command in (("SAVE", "x"), ("BGSAVE", "x"), ("BGSAVE", "SCHEDULE", "x"), ("BGREWRITEAOF", "x"), ("LASTSAVE", "x"),
                        ("SHUTDOWN", "x"), ("SHUTDOWN", "NOSAVE", "SAVE"), ("SHUTDOWN", "ABORT")):
            pair(*command)

    def test_in_a_transaction(self):
        for command in ("SAVE", "BGREWRITEAOF", "LASTSAVE", "SHUTDOWN"):
            pair = self.pair()
            pair("MULTI")
            pair(command)
            pair("EXEC", like=lambda ours, reference: type(ours) is type(reference))

    def test_fields_of_info(self):
        """Every field of Redis's INFO persistence is there, with a number where Redis has one."""
        fields = [persistence(server.client()) for server in self.servers]
        missing = [name for name in fields[1] if name not in fields[0] and not name.startswith("module")]
        self.assertEqual(missing, [])
        for name, value in fields[1].items():
            if value.lstrip("-").isdigit() and name in fields[0]:
                int(fields[0][name])


class Shutdown(PersistenceCase):
    def test_forms(self):
        """SAVE saves, NOSAVE does not; else it depends on whether there is a rule to save."""
        for save, command, kept in (("", ("SHUTDOWN", "SAVE"), 1), ("900 1", ("SHUTDOWN", "NOSAVE"), 0), ("900 1", ("SHUTDOWN",), 1),
                                    ("", ("SHUTDOWN",), 0)):
            with self.subTest(save=save, command=command):
                server = self.server(*NO_LOG, save=save)
                server.client().must("SET", "k", "v")
                self.stop_by(server, *command)
                server.start()
                self.assertEqual(server.client().must("DBSIZE"), kept)

    def test_sigterm_saves_when_there_is_a_rule(self):
        for save, kept in (("", 0), ("900 1", 1)):
            server = self.server(*NO_LOG, save=save)
            server.client().must("SET", "k", "v")
            server.stop()
            server.start()
            self.assertEqual(server.client().must("DBSIZE"), kept)

    def test_log_is_complete_after_an_orderly_end(self):
        for fsync in ("everysec", "no"):
            server = self.server("--appendonly", "yes", "--appendfsync", fsync)
            client = server.client()
            fill(client, self.seed, 500)
            before = contents(client)
            self.stop_by(server, "SHUTDOWN", "NOSAVE")
            server.threads = 3
            server.start()
            self.assertHolds(server.client(), before)

    def test_orderly_end_while_saving(self):
        server = self.server(*LOG)
        client = server.client()
        fill(client, self.seed, COUNT)
        before = contents(client)
        client.must("BGSAVE")
        server.stop()
        server.start()
        self.assertHolds(server.client(), before)


class Files(PersistenceCase):
    def paths(self, server, pattern):
        return sorted(glob.glob(os.path.join(server.dir, "**", pattern), recursive=True))

    @unittest.skipIf(shutil.which("redis-check-rdb") is None, "needs redis-check-rdb")
    def test_redis_tools_accept_them(self):
        server = self.server(*LOG, threads=3)
        client = server.client()
        fill(client, self.seed, COUNT)
        self.rewritten(client)
        fill(client, self.seed + 1, COUNT)
        server.stop()
        checked = 0
        for tool, pattern in (("redis-check-rdb", "*.rdb"), ("redis-check-aof", "*.aof")):
            for path in self.paths(server, pattern):
                done = subprocess.run([tool, path], capture_output=True, text=True, stdin=subprocess.DEVNULL)
                self.assertEqual(done.returncode, 0, "%s %s\n%s%s" % (tool, path, done.stdout, done.stderr))
                checked += 1
        self.assertGreaterEqual(checked, 2)

    @of_sherd
    def test_left_over_files_go_and_foreign_ones_stay(self):
        server = self.server(*LOG)
        client = server.client()
        client.must("SET", "k", "v")
        self.rewritten(client)
        server.kill()
        names = ["shard-000.000900.rdb.tmp", "shard-001.000901.aof.tmp", "sherd.manifest.tmp", "shard-000.000900.rdb"]
        foreign = ["notes.txt", "shard-000.rdb", "dump.rdb.bak", "temp-1234.rdb"]
        for name in names + foreign:
            with open(os.path.join(server.dir, name), "wb") as file:
                file.write(b"REDIS0011 not really")
        server.start()
        self.assertEqual(server.client().must("GET", "k"), b"v")
        there = os.listdir(server.dir)
        self.assertEqual([name for name in names if name in there], [])
        self.assertEqual([name for name in foreign if name not in there], [])

    @of_sherd
    def test_a_directory_has_one_server(self):
        server = self.server(*LOG)
        server.client().must("SET", "k", "v")
        second = self.server(*LOG, "--dir", server.dir, start=False)
        with self.assertRaisesRegex(ServerFailed, r"code 1(?s:.)*in use by process %d" % server.pid):
            second.start()
        self.assertEqual(self.restart(server).must("GET", "k"), b"v")  # the lock dies with its holder

    def newest_segment(self, server):
        """The one in use, and where what is written in it ends: a tail of zeros follows, and so does a segment of zeros."""
        for path in reversed(self.paths(server, "shard-*.aof")):
            with open(path, "rb") as file:
                end = len(file.read().rstrip(b"\0"))
            if end:
                return path, end
        raise AssertionError("nothing is written")

    def write_at(self, path, offset, data):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    def logged(self, *keys):
        """A killed server with one thread and so many writes, one after the other."""
        server = self.server(*LOG, threads=1)
        client = server.client()
        for key in keys:
            client.must("SET", key, key * 100)
        server.kill()
        return server

    @of_sherd
    def test_torn_tail(self):
        """The last write is cut short in the file, in each of several places: it is gone, and all before it is there."""
        for lost in (1, 50, 150):
            server = self.logged("one", "two", "three")
            path, end = self.newest_segment(server)
            os.truncate(path, end - lost)
            server.start()
            self.assertEqual(server.client().must("MGET", "one", "two", "three"), [b"one" * 100, b"two" * 100, resp.NULL_BULK])
            self.assertRegex(server.log(), "inside of a write that a crash interrupted")
            before = contents(server.client())
            self.assertHolds(self.restart(server, 2), before)

    @of_sherd
    def test_next_segment_not_begun(self):
        """The crash came while the next segment was prepared: it is not there, empty, short or full of zeros."""
        for content in (None, b"", b"\0" * 100, b"\0" * 70000):
            server = self.logged("one", "two")
            path, _ = self.newest_segment(server)
            following = "%s%06d.aof" % (path[:-10], int(path[-10:-4]) + 1)
            if os.path.exists(following):
                os.unlink(following)
            if content is not None:
                with open(following, "wb") as file:
                    file.write(content)
            server.start()
            self.assertEqual(server.client().must("MGET", "one", "two"), [b"one" * 100, b"two" * 100])

    @of_sherd
    def test_garbage_behind_the_end(self):
        server = self.logged("one", "two")
        path, end = self.newest_segment(server)
        self.write_at(path, end, b"#B 00000100 0000 and then the power failed \xff\x00\xfe")
        server.start()
        self.assertEqual(server.client().must("MGET", "one", "two"), [b"one" * 100, b"two" * 100])
        self.assertRegex(server.log(), "inside of a write that a crash interrupted")

    @of_sherd
    def test_damage_in_the_middle(self):
        """Refused, naming the file; the operator may go on without what is broken."""
        server = self.logged("one", "two", "three")
        path, _ = self.newest_segment(server)
        with open(path, "rb") as file:
            at = file.read().index(b"two" * 50)
        self.write_at(path, at, b"X")
        with self.assertRaisesRegex(ServerFailed, r"code 1(?s:.)*%s" % os.path.basename(path)):
            server.start()
        server.options += ["--recovery-damage", "truncate"]
        server.start()
        self.assertEqual(server.client().must("MGET", "one", "two", "three"), [b"one" * 100, resp.NULL_BULK, resp.NULL_BULK])

    @of_sherd
    def test_damaged_checkpoint_is_refused(self):
        server = self.server(*NO_LOG)
        client = server.client()
        fill(client, self.seed, 300)
        client.must("SAVE")
        server.kill()
        path = self.paths(server, "shard-*.rdb")[0]
        self.write_at(path, os.path.getsize(path) // 2, b"\xff\x00\xff\x00")
        with self.assertRaisesRegex(ServerFailed, r"code 1(?s:.)*%s" % os.path.basename(path)):
            server.start()


def tool(*words):
    """Runs sherd as a tool; (exit code, all it printed)."""
    done = subprocess.run([sherd_binary(), *words], capture_output=True, text=True, errors="replace", timeout=60 * SLOW)
    return done.returncode, done.stdout + done.stderr


@of_sherd
class Tools(PersistenceCase):
    def filled(self):
        server = self.server(*LOG, threads=3)
        client = server.client()
        fill(client, self.seed, COUNT)
        self.rewritten(client)
        fill(client, self.seed + 1, COUNT, "more")
        return server, contents(client)

    def test_check(self):
        """A directory is fine after a kill and after an orderly end, is not to be looked at while in use, and damage is found."""
        server, _ = self.filled()
        code, text = tool("check", server.dir)
        self.assertEqual(code, 1, text)
        self.assertIn("in use by process %d" % server.pid, text)
        server.kill()
        self.assertEqual(tool("check", server.dir)[0], 0, tool("check", server.dir)[1])
        server.start()
        server.stop()
        self.assertEqual(tool("check", server.dir)[0], 0, tool("check", server.dir)[1])
        path = sorted(glob.glob(os.path.join(server.dir, "shard-*.rdb")))[-1]
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            file.write(b"\xff\x00\xff\x00")
        code, text = tool("check", server.dir)
        self.assertEqual(code, 1, text)
        self.assertIn(os.path.basename(path), text)

    @unittest.skipIf(redis_binary() is None, "needs redis-server")
    def test_export(self):
        """Redis holds the same, from either kind of file."""
        server, before = self.filled()
        server.kill()
        for form, options in (("rdb", NO_LOG), ("aof", LOG)):
            redis = Server("--save", "", *options, kind="redis", defaults=False, start=False)
            self.addCleanup(redis.clean)
            path = os.path.join(redis.dir, "dump.rdb")
            if form == "aof":
                os.mkdir(os.path.join(redis.dir, "appendonlydir"))
                path = os.path.join(redis.dir, "appendonlydir", "appendonly.aof.1.incr.aof")
                with open(os.path.join(redis.dir, "appendonlydir", "appendonly.aof.manifest"), "w", encoding="ascii") as file:
                    file.write("file appendonly.aof.1.incr.aof seq 1 type i\n")
            code, text = tool("export", "--" + form, path, server.dir)
            self.assertEqual(code, 0, text)
            redis.start()
            self.assertHolds(redis.client(), before)
            redis.stop()


@of_sherd
class LiveExport(PersistenceCase):
    """EXPORT while clients write."""

    def exported(self, client, *words):
        client.must("EXPORT", *words)
        wait_until(lambda: persistence(client)["export_in_progress"] == "0", timeout=60, what="the end of EXPORT")
        return persistence(client)

    def loaded(self, server, name):
        """A Redis that has read the file, or another sherd where there is none."""
        kind = "redis" if redis_binary() else KIND
        other = Server("--save", "", *NO_LOG, kind=kind, defaults=False, start=False)
        self.addCleanup(other.clean)
        shutil.copy(os.path.join(server.dir, name), os.path.join(other.dir, "dump.rdb"))
        return other.start().client()

    def test_one_instant(self):
        """Keys that are written together, on several shards, are together in the file; what was answered is in it."""
        for options in (LOG, NO_LOG):
            server = self.server(*options, threads=3)
            client = server.client()
            fill(client, self.seed, COUNT)
            before = contents(client)
            stop = threading.Event()

            def write(name):
                with server.client() as writer:
                    for i in itertools.count():
                        if stop.is_set():
                            break
                        writer.must("MSET", *(word for twin in "abc" for word in ("twin:%s:%s" % (name, twin), i)))

            writers = [threading.Thread(target=write, args=(str(i),)) for i in range(4)]
            for writer in writers:
                writer.start()
            try:
                wait_until(lambda: client.call("EXISTS", *("twin:%d:a" % i for i in range(4))) == 4, what="writers")
                info = self.exported(client, "RDB", "whole.rdb")
            finally:
                stop.set()
                for writer in writers:
                    writer.join()
            self.assertEqual((info["export_last_status"], info["export_last_file"]), ("ok", "whole.rdb"), server.tail())
            reader = self.loaded(server, "whole.rdb")
            for i in range(4):
                twins = reader.must("MGET", *("twin:%d:%s" % (i, twin) for twin in "abc"))
                self.assertIsNotNone(twins[0])
                self.assertEqual(len(set(map(bytes, twins))), 1, twins)
                reader.must("DEL", *("twin:%d:%s" % (i, twin) for twin in "abc"))
            self.assertHolds(reader, before)
            self.assertFalse(os.path.exists(os.path.join(server.dir, "sherd.exporting")))

    def test_refusals(self):
        server = self.server(*NO_LOG)
        client = server.client()
        client.must("SET", "k", "1")
        for words in (("RDB",), ("TXT", "a"), ("RDB", "a", "OVER"), ("RDB", "a", "REPLACE", "b")):
            self.assertRegex(bytes(client.call("EXPORT", *words)), rb"^ERR (syntax|wrong number)")
        for name in ("", "../up", "/tmp/x", ".hidden", "-rf", "sherd.manifest", "shard-000.000001.rdb", "a b", "x" * 200):
            self.assertRegex(bytes(client.call("EXPORT", "RDB", name)), rb"^ERR The file is a plain name", name)
        self.assertEqual(self.exported(client, "AOF", "one.aof")["export_last_status"], "ok")
        self.assertRegex(bytes(client.call("EXPORT", "AOF", "one.aof")), rb"^ERR A file of that name")
        client.must("SET", "k", "2")
        self.assertEqual(self.exported(client, "AOF", "one.aof", "REPLACE")["export_last_status"], "ok")
        with open(os.path.join(server.dir, "one.aof"), "rb") as file:
            self.assertIn(b"$1\r\n2\r\n", file.read())
        self.assertEqual(client.call("EXPORT", "RDB", "next.rdb"), resp.Simple(b"Background export started"))
        client = self.restart(server)  # what a crash leaves of it is cleared up
        self.assertFalse(os.path.exists(os.path.join(server.dir, "sherd.exporting")))
        client.must("EXPORT", "RDB", "next.rdb", "REPLACE")
        server.stop()
        self.assertFalse(os.path.exists(os.path.join(server.dir, "sherd.exporting")))


@of_sherd
@unittest.skipIf(redis_binary() is None, "needs redis-server")
class Import(PersistenceCase):
    """sherd starts where Redis ended."""

    def goes_over(self, *options, files):
        redis = Server("--save", "", *options, kind="redis", defaults=False)
        self.addCleanup(redis.clean)
        client = redis.client()
        fill(client, self.seed, COUNT, groups=False)
        before = contents(client)
        if "no" in options:
            client.must("SAVE")
        redis.stop()
        server = self.server(*options, threads=3, start=False)
        for name in files:
            path = os.path.join(redis.dir, name)
            (shutil.copytree if os.path.isdir(path) else shutil.copy)(path, os.path.join(server.dir, name))
        server.start()
        self.assertHolds(server.client(), before)
        client = self.restart(server, 5)  # killed before it ever saved anything itself
        self.assertHolds(client, before)
        self.rewritten(client)
        self.assertHolds(self.restart(server, 2), before)

    def test_dump_rdb(self):
        self.goes_over(*NO_LOG, files=["dump.rdb"])

    def test_appendonlydir(self):
        self.goes_over(*LOG, files=["appendonlydir"])

    def test_option_import(self):
        """From anywhere, and only while there is nothing of sherd's own."""
        redis = Server("--save", "", *LOG, kind="redis", defaults=False)
        self.addCleanup(redis.clean)
        client = redis.client()
        fill(client, self.seed, COUNT, groups=False)
        before = contents(client)
        client.must("SAVE")
        redis.stop()
        for name, mode in (("dump.rdb", LOG), ("dump.rdb", NO_LOG), ("appendonlydir", LOG)):
            with self.subTest(name=name, mode=mode):
                server = self.server(*mode, "--import", os.path.join(redis.dir, name), threads=2, start=False)
                server.start()
                self.assertHolds(server.client(), before)
                server.client().must("SET", "after", "import")
                self.rewritten(server.client())
                client = self.restart(server, 3)
                self.assertEqual(client.must("GET", "after"), b"import")
                client.must("DEL", "after")
                self.assertHolds(client, before)
        server = self.server("--import", os.path.join(redis.dir, "no-such.rdb"), start=False)
        with self.assertRaises(ServerFailed):
            server.start()

    def test_stopped_while_importing(self):
        """Commands of the log are under way on other shards; nothing is changed, and the next start begins anew."""
        server = self.server(*LOG, threads=3, start=False)
        with open(os.path.join(server.dir, "appendonly.aof"), "wb") as log:
            for i in range(20000):
                pairs = (b"k%d" % ((7 * i + j) % 5000) for j in range(20))
                log.write(resp.encode((b"MSET", *pairs)) + resp.encode((b"INCR", b"n")))
        for _ in range(3):
            server.start_and_stop("Loading '")
        server.start()
        self.assertEqual(server.client().must("GET", "n"), b"20000")


if __name__ == "__main__":
    main()
