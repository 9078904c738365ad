"""A disk whose power can be cut, that is slow, that fails: tests/support/powerfs, mounted at a directory of its own.

    with PowerDisk() as disk:
        ...a server with its data in disk.dir...
        disk.cut(seed)          nothing that the disk does is told to anybody any more
        server.kill()
        disk.off(), disk.on()   what was under way has failed; in disk.dir is what survived

What the words mean is in tests/support/powerfs/control.h. Nothing is left behind, whatever happens to the test: the
filesystem ends with the process that started it.

SHERD_POWERFS   the program, else that of the build the server's binary is from, or of build/release or build/dev
"""

import os
import shutil
import subprocess
import tempfile
import threading
import unittest

from support.server import ROOT, sherd_binary


def powerfs_binary():
    near = [os.path.join(os.path.dirname(sherd_binary()), "tests", "powerfs")]
    near += [os.path.join(ROOT, "build", preset, "tests", "powerfs") for preset in ("release", "dev")]
    return os.environ.get("SHERD_POWERFS") or next(filter(os.path.exists, near), None)


class PowerDisk:
    def __init__(self, seed=1):
        """Raises unittest.SkipTest with the reason where it cannot be mounted."""
        binary = powerfs_binary()
        if not binary:
            raise unittest.SkipTest("no powerfs: built without libfuse3, or not yet")
        if not os.access("/dev/fuse", os.R_OK | os.W_OK):
            raise unittest.SkipTest("no /dev/fuse, or no right to use it")
        self.lock = threading.Lock()
        self.dir = tempfile.mkdtemp(prefix="sherd-power-")
        self.process = subprocess.Popen([binary, self.dir, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            reason = self.process.communicate()[1].strip()
            shutil.rmtree(self.dir)
            raise unittest.SkipTest("cannot mount powerfs: %s" % reason)

    def tell(self, *words):
        """What it answered, as a dictionary of numbers. Any thread may ask."""
        with self.lock:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().split()
        if answer[:1] != ["ok"]:
            raise AssertionError("powerfs: %r answered %r" % (words, answer))
        return {name: int(value) for name, value in (word.split("=") for word in answer[1:])}

    def cut(self, seed, how="torn"):
        return self.tell("cut", seed, how)

    def off(self):
        self.tell("off")

    def on(self):
        self.tell("on")

    def delay(self, deeds, ms, more_ms=0):
        self.tell("delay", deeds, ms, more_ms)

    def rate(self, bytes_per_s):
        self.tell("rate", bytes_per_s)

    def fail(self, deeds, error, permille=1000, count=1 << 62):
        self.tell("fail", deeds, error, permille, count)

    def stick(self, deeds):
        self.tell("stick", deeds)

    def free(self, deeds):
        self.tell("free", deeds)

    def space(self, size):
        self.tell("space", size)

    def lie(self, lies=True):
        self.tell("lie", "yes" if lies else "no")

    def status(self):
        return self.tell("status")

    def clean(self):
        """The mount goes with its program, also when somebody still has files open there."""
        if self.process.poll() is None:
            self.process.communicate()
        try:
            os.rmdir(self.dir)
        except OSError:  # it was killed
            subprocess.run(["umount", "-l", self.dir], stderr=subprocess.DEVNULL, check=False)
            shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.clean()
