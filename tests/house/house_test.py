#!/usr/bin/env python3
"""The rules of the house that a machine can check (STYLE.md):

1. Includes point downwards only: core <- shards <- persist <- net.
2. There are no mutable globals: no symbol of the product in .data or .bss, thread-locals included, but for the ones
   named below with their reason.
3. Every header compiles by itself.
4. At the top level stands what is to stand there, and nothing that a server left.

usage: house_test.py BUILD_DIR"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLOORS = ["core", "shards", "persist", "net"]
# Why each is allowed stands where it is defined.
ALLOWED_GLOBALS = {"current_shard", "config", "config_path"}


TOP = {*FLOORS, "tests", "perf", "CMakeLists.txt", "CMakePresets.json", "README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "LICENSE", "run"}


def top_level():
    git = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True)
    names = {path.split("/")[0] for path in git.stdout.split("\0") if path}
    return [f"{name}: does not belong to the top level" for name in sorted(names - TOP) if not name.startswith(".")]


def arrows():
    wrong = []
    for height, floor in enumerate(FLOORS):
        for path in sorted((ROOT / floor).glob("*.[ch]")):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = re.match(r'#include "(\w+)/', line)
                if not match:
                    if re.match(r'#include "', line):
                        wrong.append(f"{path}:{number}: include names no floor: {line}")
                    continue
                target = match.group(1)
                if target not in FLOORS or FLOORS.index(target) > height:
                    wrong.append(f"{path}:{number}: {floor} may not include {target}")
                if target != floor and line.rstrip().endswith('_priv.h"'):
                    wrong.append(f"{path}:{number}: private header of another floor")
    return wrong


def mutable_globals(build):
    wrong = []
    for floor in FLOORS:
        library = build / f"lib{floor}.a"
        if not library.exists():
            continue
        text = subprocess.run(["nm", "-A", "--defined-only", "--format=sysv", str(library)], capture_output=True,
                              text=True).stdout
        for line in text.splitlines():
            fields = [field.strip() for field in line.split("|")]
            if len(fields) < 7:
                continue
            name, section = fields[0].split(":")[-1].split(".")[0], fields[6].split()[0] if fields[6] else ""
            if section.startswith((".data.rel.ro", ".data.rel.local.ro")):
                continue
            if section.startswith((".data", ".bss", ".tdata", ".tbss")) and name not in ALLOWED_GLOBALS:
                wrong.append(f"{floor}: mutable global {name} in {section}")
    return wrong


def self_contained():
    wrong = []
    for floor in FLOORS:
        for path in sorted((ROOT / floor).glob("*.h")):
            done = subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-x", "c", f"-I{ROOT}",
                                   "-include", str(path), "/dev/null"], capture_output=True, text=True)
            if done.returncode:
                wrong.append(f"{path} does not compile by itself:\n{done.stderr}")
    return wrong


def main():
    build = pathlib.Path(sys.argv[1])
    wrong = top_level() + arrows() + mutable_globals(build) + self_contained()
    for line in wrong:
        print(line)
    print(f"house: {len(wrong)} violations")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
