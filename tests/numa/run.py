#!/usr/bin/env python3
"""Memory is on the node of its thread: boots a guest with two nodes and four CPUs, in which a server of four threads is loaded, and
asks the kernel where the pages of each shard are (INFO shards; net/placement.h).

    ./run numa                        builds, installs what is missing, and runs this
    tests/numa/run.py [--here]        --here: no guest, this machine, which should then have several nodes itself

Right   with `numa on` both nodes have two shards, and at least 99% of the pages of each are on its own; with `numa off` they are
        not, but spread over both.
How     QEMU with two -numa nodes, by KVM where that works, else emulated (some minutes). The kernel is the newest of
        Debian's in /boot (or SHERD_KERNEL); the system is an archive in memory, made here: tests/numa/guest.c as /init, the
        server, its libraries. Nothing else is needed in it, and nothing is written anywhere but to a temporary directory.
Skips   with exit code 77 and the reason, where QEMU or a kernel is missing. Not part of ./run test: it wants packages of
        several hundred MB and, without KVM, minutes.

Environment: SHERD_BIN, SHERD_NUMA_GUEST: the binaries, else those of build/release. SHERD_KERNEL. SHERD_MB: what is loaded, 128."""

import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SERVER = os.environ.get("SHERD_BIN", os.path.join(ROOT, "build/release/sherd"))
GUEST = os.environ.get("SHERD_NUMA_GUEST", os.path.join(ROOT, "build/release/tests/numa_guest"))
MEGABYTES = int(os.environ.get("SHERD_MB", "128"))
THREADS, NODES = 4, 2
LOCAL_MIN, SPREAD_MAX = 990, 900  # permille: of `on` at least, of `off` at most
SEEN_MIN = 600  # pages, of all shards: else nothing was shown
TIMEOUT_S = 1800
KVM_TIMEOUT_S = 120  # a machine that is a guest itself may have a /dev/kvm with which nothing goes on


def skip(reason):
    print("skipped: " + reason)
    sys.exit(77)


# --- the guest's system: a cpio archive, "newc" as the kernel unpacks it ---


class Archive:
    """Entries are a header of hexadecimal fields, the name and the bytes, each padded to 4."""

    def __init__(self):
        self.out, self.number, self.folders = bytearray(), 0, set()

    def add(self, path, mode, data=b"", device=(0, 0)):
        self.number += 1
        name = path.strip("/").encode() + b"\0"
        fields = (self.number, mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(name), 0)
        self.out += b"070701" + b"".join(b"%08x" % field for field in fields) + name
        self.pad()
        self.out += data
        self.pad()

    def pad(self):
        self.out += b"\0" * (-len(self.out) % 4)

    def folder(self, path):
        path = path.strip("/")
        if path and path not in self.folders:
            self.folder(os.path.dirname(path))
            self.folders.add(path)
            self.add(path, 0o040755)

    def file(self, path, source):
        self.folder(os.path.dirname(path))
        with open(source, "rb") as file:
            self.add(path, 0o100755, file.read())

    def finish(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.out)


def libraries(binary):
    """Paths of the shared libraries and of their loader."""
    listing = subprocess.run(["ldd", binary], stdout=subprocess.PIPE, check=True).stdout.decode()
    return sorted(set(re.findall(r"(/\S+) \(0x", listing)))


def make_system():
    archive = Archive()
    for path in ("dev", "proc", "sys", "tmp"):
        archive.folder(path)
    archive.add("dev/console", 0o020600, device=(5, 1))
    archive.file("init", GUEST)
    archive.file("sherd", SERVER)
    for path in libraries(SERVER):
        archive.file(path, path)
    return archive.finish()


# --- running it ---


def kernel():
    path = os.environ.get("SHERD_KERNEL")
    found = [path] if path else sorted(glob.glob("/boot/vmlinuz-*"), key=os.path.getmtime)
    found = [path for path in found if os.access(path, os.R_OK)]
    if not found:
        skip("no kernel that may be read in /boot (package linux-image-amd64, or SHERD_KERNEL=FILE)")
    return found[-1]


def in_guest():
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        skip("no qemu-system-x86_64 (package qemu-system-x86)")
    image = kernel()
    megabytes = 512 + 2 * MEGABYTES  # of each node: the archive lies in one, and either may have to hold more than its part
    with tempfile.TemporaryDirectory(prefix="sherd-numa-") as folder:
        system = os.path.join(folder, "system.cpio")
        with open(system, "wb") as file:
            file.write(make_system())
        line = [qemu, "-cpu", "max", "-smp", "4,sockets=2,cores=2,threads=1", "-m", "%dM" % (NODES * megabytes)]
        for node in range(NODES):
            line += ["-object", "memory-backend-ram,id=m%d,size=%dM" % (node, megabytes)]
            line += ["-numa", "node,nodeid=%d,cpus=%d-%d,memdev=m%d" % (node, 2 * node, 2 * node + 1, node)]
        line += ["-kernel", image, "-initrd", system]
        line += ["-append", "console=ttyS0 quiet panic=-1 SHERD_MB=%d SHERD_THREADS=%d" % (MEGABYTES, THREADS)]
        line += ["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"]
        text = ""
        if os.access("/dev/kvm", os.W_OK):
            print("guest: %s, KVM" % image, flush=True)
            text = run(line + ["-accel", "kvm"], KVM_TIMEOUT_S)
        if "=== done" not in text:
            print("guest: %s, emulated, which takes some minutes%s" % (image, ", as it did not run with KVM" if text else ""), flush=True)
            text = run(line + ["-accel", "tcg"], TIMEOUT_S)
        return text


def run(line, timeout_s, **options):
    try:
        done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout_s, check=False, **options)
        return done.stdout.decode("utf-8", "replace")
    except subprocess.TimeoutExpired as late:
        return (late.stdout or b"").decode("utf-8", "replace") + "\n=== failed: nothing more within %d s" % timeout_s


def here():
    return run([GUEST, SERVER], TIMEOUT_S, env={**os.environ, "SHERD_MB": str(MEGABYTES), "SHERD_THREADS": str(THREADS), "SHERD_PORT": os.environ.get("SHERD_PORT", "16379")})


# --- judging ---


def shards_of(text, numa):
    """[{field: number}] of the shards, and how many pages were looked at."""
    part = re.search(r"=== numa %s\r?\n(.*?)=== end" % numa, text, re.S)
    if not part:
        return [], 0
    lines = re.findall(r"^shard\d+:(\S+)", part.group(1), re.M)
    shards = [{name: int(value) for name, value in re.findall(r"(\w+)=(\d+)(?=,|$)", line)} for line in lines]
    seen = re.search(r"^local_pages_looked_at:(\d+)", part.group(1), re.M)
    return shards, int(seen.group(1)) if seen else 0


def faults(text, nodes):
    out = []
    for numa in ("on", "off"):
        shards, seen = shards_of(text, numa)
        shares = [shard["local_pages_permille"] for shard in shards]
        print("numa %-3s nodes %s, permille of pages that are local %s, of %d looked at" % (numa, [shard["node"] for shard in shards], shares, seen))
        if len(shards) != THREADS or not all(shard["keys"] for shard in shards):
            out.append("numa %s: not %d shards with keys" % (numa, THREADS))
        elif seen < SEEN_MIN:
            out.append("numa %s: only %d pages were looked at" % (numa, seen))
        elif numa == "on" and min(shares) < LOCAL_MIN:
            out.append("numa on: a shard has only %d permille of its pages on its node" % min(shares))
        elif numa == "off" and max(shares) > SPREAD_MAX:
            out.append("numa off: a shard has %d permille of its pages on its node" % max(shares))
        if nodes and sorted(shard["node"] for shard in shards) != nodes:
            out.append("numa %s: not two shards on each node" % numa)
    return out


def main():
    for path in (SERVER, GUEST):
        if not os.path.exists(path):
            sys.exit("no %s: ./run numa builds it" % path)
    at_home = "--here" in sys.argv[1:]
    if at_home and len(glob.glob("/sys/devices/system/node/node[0-9]*")) < 2:
        skip("this machine has one node")
    text = here() if at_home else in_guest()
    wrong = faults(text, None if at_home else [0, 0, 1, 1])
    if wrong or "=== done" not in text:
        print(text[-6000:])
        sys.exit("\n".join(wrong) or "it did not get to its end")
    print("2 passed, 0 failed")


if __name__ == "__main__":
    main()
