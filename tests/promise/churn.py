"""Experiment d: values that change their sizes, from 50 bytes to 5 KB and back, again and again.

The amount of data stays about the same: as values grow there are fewer keys, and all of them are overwritten in random
order, each at least once. An allocator that keeps each size's memory for itself grows with every size it sees.

Claims: at the end of a phase, what is resident beyond an empty server is at most RATIO times the data, and SPARE; and where a size
comes again it is at most DRIFT times what it was the first time. Thirty minutes are asked for (--seconds 1800); a round takes a few seconds
at least."""

import random
import time

from promise import load
from promise.common import binary_of
from support import resp
from support.server import SLOW, Server

DATA = 16 << 20
SIZES = (50, 150, 500, 1500, 5000, 1500, 500, 150)
KEY = len("key:0000000000")
PER_KEY = 40  # what a server may take for a key beyond its bytes
RATIO = 1.5
SPARE = 8 << 20  # pages kept for later, buffers of clients
DRIFT = 1.15
SETTLE_S, QUIET_S = 10, 2
BATCH = 500


def values(draw, count, size):
    """So many values that are about so long."""
    pad = b"x" * (2 * size)
    return [pad[: draw.randrange(size // 2, size * 3 // 2)] for _ in range(count)]


def phase(client, draw, size, keys_before, seconds):
    """Overwrites all keys in random order, again and again. Returns how many there are now, and what they and their values
    would take."""
    keys = DATA // (size + KEY + PER_KEY)
    gone = ["key:%010d" % number for number in range(keys, keys_before)]
    draw.shuffle(gone)
    for at in range(0, len(gone), BATCH):
        client.call("DEL", *gone[at : at + BATCH])
    end, lengths, order = time.monotonic() + seconds, {}, []
    while time.monotonic() < end or len(lengths) < keys:  # every one at least once, however slow the machine
        order = order or draw.sample(range(keys), keys)
        batch, order = order[:BATCH], order[BATCH:]
        written = values(draw, len(batch), size)
        replies = client.pipeline([("SET", "key:%010d" % key, value) for key, value in zip(batch, written)])
        assert all(reply == resp.OK for reply in replies), replies[:3]
        lengths.update((key, len(value)) for key, value in zip(batch, written))
    return keys, sum(lengths.values()) + keys * (KEY + PER_KEY)


def settled(pid):
    """What is resident when it falls no more, or after SETTLE_S."""
    end, least, since = time.monotonic() + SETTLE_S, load.resident(pid), time.monotonic()
    while time.monotonic() < min(end, since + QUIET_S):
        time.sleep(0.1)
        now = load.resident(pid)
        if now < least - (least >> 7):
            least, since = now, time.monotonic()
    return load.resident(pid)


def run(kind, threads, seed, seconds):
    draw = random.Random(seed)
    server = Server("--save", "", "--appendonly", "no", kind=kind, binary=binary_of(kind), threads=threads, defaults=False)
    facts, first, drift, ratio, keys, rounds = {}, {}, 0.0, 0.0, 0, 0
    try:
        base = load.resident(server.pid)
        end = time.monotonic() + seconds
        with resp.Client(server.port, timeout=60 * SLOW) as client:
            while rounds < 2 or time.monotonic() < end:
                for size in SIZES:
                    keys, data = phase(client, draw, size, keys, seconds / 3 / len(SIZES))
                    assert client.call("DBSIZE") == keys
                    held = settled(server.pid) - base
                    ratio = max(ratio, (held - SPARE) / data)
                    drift = max(drift, held / first.setdefault(size, held))
                rounds += 1
        facts = {"rounds": rounds, "resident / data": ratio, "drift": drift}
    finally:
        server.clean()
    return facts


def broken(facts):
    claims = {"resident memory follows the data": facts["resident / data"] <= RATIO, "no drift": facts["drift"] <= DRIFT}
    return [claim for claim, holds in claims.items() if not holds]
