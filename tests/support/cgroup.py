"""A child memory cgroup for a server: version 1 or 2, wherever this process may make one.

    group = cgroup.make(512 << 20)          None: not root, or not allowed here
    server = Server(binary=group.wrap(server_binary, folder))
    group.killed(), group.peak(), group.set_limit(bytes)
    group.remove()                          when the server has ended
"""

import os
import stat
import time


class Group:
    def __init__(self, path, version):
        self.path = path
        self.version = version

    def _read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as file:
            return file.read()

    def _write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as file:
            file.write(str(value))

    def set_limit(self, limit):
        self._write("memory.max" if self.version == 2 else "memory.limit_in_bytes", limit)

    def killed(self):
        """How many processes the kernel has killed here."""
        text = self._read("memory.events" if self.version == 2 else "memory.oom_control")
        fields = dict(line.split() for line in text.splitlines())
        return int(fields.get("oom_kill", 0))

    def usage(self):
        return int(self._read("memory.current" if self.version == 2 else "memory.usage_in_bytes"))

    def wrap(self, binary, folder):
        """A program that enters the group and then is `binary`."""
        path = os.path.join(folder, "in-cgroup")
        with open(path, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\necho $$ > "%s/cgroup.procs" || exit 1\nexec "%s" "$@"\n' % (self.path, binary))
        os.chmod(path, stat.S_IRWXU)
        return path

    def remove(self):
        for _ in range(100):
            try:
                os.rmdir(self.path)
                return
            except OSError:
                time.sleep(0.05)  # the last process has not gone altogether


def _mounts():
    """(version, where, this process's cgroup) of every hierarchy that accounts memory."""
    own = {}
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            _, names, path = line.rstrip("\n").split(":", 2)
            own[names] = path
    with open("/proc/mounts", encoding="utf-8") as file:
        for line in file:
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup" and "memory" in options.split(","):
                yield 1, where, own.get("memory", "/")
            if kind == "cgroup2":
                yield 2, where, own.get("", "/")


def make(limit):
    try:
        mounts = list(_mounts())
    except OSError:
        return None
    for version, where, own in mounts:
        for parent in (where + own.rstrip("/"), where):
            group = Group(os.path.join(parent, "sherd-test-%d" % os.getpid()), version)
            try:
                os.mkdir(group.path)
            except OSError:
                continue
            try:
                group.set_limit(limit)
                return group
            except OSError:
                os.rmdir(group.path)
    return None
