#!/usr/bin/env python3
"""Flame graphs: stacks with their weights as one SVG that any browser opens. The generator is ours and fetches nothing.

    perf script --no-inline -i perf.data | perf/flame.py perf - flame.svg
    perf/flame.py callgrind callgrind.out.1 flame.svg
    perf/flame.py folded stacks.txt flame.svg            lines "a;b;c 17"

A column is a stack, callers below, callees on top; its width is its share of the weight. Order from left to right is
alphabetical and means nothing. What is narrower than a fifth of a pixel is left out. Colours: orange is the kernel, green
the server, grey all else. Pointing at a frame shows its name and its share.

Callgrind knows who called whom how often and at what cost, but no stacks. They are unfolded from its arcs, as if a function
cost the same whoever calls it: where it does not, the widths above it are means."""

import re
import sys
from collections import defaultdict
from html import escape
from pathlib import Path

WIDTH, ROW, TEXT, MARGIN = 1600, 17, 7.0, 10  # pixels; TEXT of one character
LEAST_PX = 0.2
DEPTH_MAX = 120
SUFFIX = re.compile(r"\.(lto_priv|constprop|isra|part|cold|llvm)(\.\d+)*")  # what compilers add to a name
KERNEL, LIBRARY = "_[k]", "_[l]"  # marks at the end of a name in folded stacks


# --- reading ----------------------------------------------------------------------------------------------------------

def plain(symbol):
    return SUFFIX.sub("", symbol)


def frame_of_perf(line):
    """"  addr symbol+0x12 (object)" -> a name with the mark of where it is from; None when the line is none."""
    match = re.match(r"\s+[0-9a-f]+ (.*?)(?:\+0x[0-9a-f]+)? \((.*)\)$", line)
    if not match:
        return None
    symbol, thing = match.groups()
    if "kernel" in thing or "vmlinux" in thing or thing.endswith((".ko", ".ko.xz")):
        return plain(symbol) + KERNEL
    if symbol == "[unknown]":
        symbol = f"[{Path(thing.strip('[]')).name}]"
    return plain(symbol) + (LIBRARY if ".so" in thing or thing in ("[vdso]", "[unknown]") else "")


def read_perf(lines):
    """What perf script prints -> {(root, ..., leaf): samples}."""
    stacks, frames, name = defaultdict(int), [], None
    for line in [*lines, ""]:
        line = line.rstrip("\n")
        if not line:
            if name is not None:
                stacks[tuple([name, *reversed(frames)])] += 1
            frames, name = [], None
        elif line[0] not in " \t":
            name = re.match(r"(.*?)\s+\d+(?:/\d+)?\s", line).group(1)
        else:
            frame = frame_of_perf(line)
            if frame:
                frames.append(frame)
    return dict(stacks)


def read_folded(lines):
    stacks = defaultdict(int)
    for line in lines:
        if line.strip():
            stack, weight = line.rsplit(" ", 1)
            stacks[tuple(stack.split(";"))] += int(weight)
    return dict(stacks)


class Callgrind:
    """Self cost of each function, and for each arc from caller to callee what was spent in it."""

    NAMED = re.compile(r"(c?(?:fn|fi|fl|fe|ob|file))=\s*(?:\((\d+)\))?\s*(.*)")

    def __init__(self, lines):
        self.own, self.arcs = defaultdict(int), defaultdict(lambda: defaultdict(int))
        names, function, callee, after_calls = {}, None, None, False
        for line in lines:
            match = self.NAMED.match(line)
            if match:
                kind, number, name = match.groups()
                if kind not in ("fn", "cfn"):
                    continue
                name = names.setdefault(number, name) if number else name
                if kind == "fn":
                    function = plain(name)
                else:
                    callee = plain(name)
            elif line.startswith("calls="):
                after_calls = True
            elif re.match(r"[+\-*\d]", line) and function is not None:
                fields = line.split()
                cost = int(fields[1]) if len(fields) > 1 else 0
                if after_calls:
                    self.arcs[function][callee] += cost
                else:
                    self.own[function] += cost
                after_calls = False

    def roots(self):
        called = {callee for callees in self.arcs.values() for callee in callees}
        found = [f for f in {*self.own, *self.arcs} if f not in called]
        return found or sorted(self.own, key=self.own.get, reverse=True)[:1]

    def inclusive(self, function):
        return self.own[function] + sum(cost for callee, cost in self.arcs[function].items() if callee != function)

    def stacks(self):
        found = defaultdict(int)
        total = sum(self.own.values()) or 1
        least = total * LEAST_PX / WIDTH

        def unfold(function, path, weight):
            whole = self.inclusive(function) or 1
            stack = (*path, function)
            spent = 0
            for callee, cost in self.arcs[function].items():
                part = weight * cost / whole
                if part >= least and callee not in stack and len(stack) < DEPTH_MAX:
                    unfold(callee, stack, part)
                    spent += part
            found[stack] += max(0, round(weight - spent))

        for root in self.roots():
            unfold(root, (), self.inclusive(root))
        return {stack: weight for stack, weight in found.items() if weight > 0}


# --- drawing ----------------------------------------------------------------------------------------------------------

class Node:
    def __init__(self):
        self.weight, self.children = 0, {}


def tree_of(stacks):
    root = Node()
    for stack, weight in stacks.items():
        node = root
        node.weight += weight
        for frame in stack[:DEPTH_MAX]:
            node = node.children.setdefault(frame, Node())
            node.weight += weight
    return root


def colour_of(name):
    """Of the family, a little different from name to name and always the same for one."""
    shade = sum(ord(c) * (i + 1) for i, c in enumerate(name)) % 40
    if name.endswith(KERNEL):
        return f"rgb({235 - shade // 2},{130 + shade},{60 + shade})"
    if name.endswith(LIBRARY):
        return f"rgb({175 + shade},{175 + shade},{180 + shade})"
    return f"rgb({110 + shade},{185 + shade // 2},{105 + shade})"


def bare(name):
    return name.removesuffix(KERNEL).removesuffix(LIBRARY)


def boxes_of(root, pixels):
    """(depth, x, width, name, weight) of all frames that are wide enough."""
    found, pending = [], [(root, 0, 0.0)]
    while pending:
        node, depth, x = pending.pop()
        for name in sorted(node.children):
            child = node.children[name]
            width = child.weight * pixels
            if width >= LEAST_PX:
                found.append((depth, x, width, name, child.weight))
                pending.append((child, depth + 1, x))
            x += width
    return found


def draw(stacks, title, unit="samples"):
    """The SVG's text."""
    root = tree_of(stacks)
    total = root.weight or 1
    boxes = boxes_of(root, (WIDTH - 2 * MARGIN) / total)
    rows = 1 + max((depth for depth, *_ in boxes), default=0)
    height = rows * ROW + 3 * MARGIN + 2 * ROW
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
           'font-family="monospace" font-size="11">',
           f'<rect width="{WIDTH}" height="{height}" fill="#fbfaf6"/>',
           f'<text x="{MARGIN}" y="{MARGIN + 10}" font-size="14">{escape(title)}</text>',
           f'<text x="{MARGIN}" y="{MARGIN + 10 + ROW}" fill="#555">{total} {unit}; orange: kernel, green: server, '
           'grey: libraries; point at a frame for its share</text>']
    for depth, x, width, name, weight in boxes:
        y = height - MARGIN - (depth + 1) * ROW
        label = bare(name)
        room = int((width - 4) / TEXT)
        text = "" if room < 3 else label if len(label) <= room else label[:room - 2] + ".."
        out.append(f'<g><title>{escape(label)}: {weight} {unit}, {weight / total:.2%}</title>'
                   f'<rect x="{x + MARGIN:.1f}" y="{y}" width="{max(width - 0.3, LEAST_PX):.1f}" height="{ROW - 1}" '
                   f'fill="{colour_of(name)}"/>'
                   + (f'<text x="{x + MARGIN + 3:.1f}" y="{y + 12}">{escape(text)}</text>' if text else "") + "</g>")
    out.append("</svg>")
    return "\n".join(out) + "\n"


def fold(stacks):
    return "".join(f"{';'.join(stack)} {weight}\n" for stack, weight in sorted(stacks.items()))


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in ("perf", "callgrind", "folded"):
        sys.exit(__doc__)
    kind, source, target = sys.argv[1:]
    with sys.stdin if source == "-" else open(source, errors="replace") as lines:
        stacks = Callgrind(lines).stacks() if kind == "callgrind" else {"perf": read_perf, "folded": read_folded}[kind](lines)
    Path(target).write_text(draw(stacks, source, "instructions" if kind == "callgrind" else "samples"))


if __name__ == "__main__":
    main()
