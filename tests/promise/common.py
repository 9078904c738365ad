"""What the experiments share: books of what was acknowledged, and how a server is told apart from Redis."""

import threading
import time

from support import resp
from support.server import SLOW, redis_binary, sherd_binary


class Impossible(Exception):
    """This machine does not allow the experiment; the reason."""


def binary_of(kind):
    binary = redis_binary() if kind == "redis" else sherd_binary()
    if not binary:
        raise Impossible("there is no redis-server")
    return binary


class Books:
    """Clients that count up, each its own keys, and remember what was acknowledged when.

    A key's value only grows, so what it is after a crash says which of its writes are lost. `pad` makes the values so
    long that the disk has something to do."""

    def __init__(self, port, clients, keys, pad, patience_s=60):
        self.port, self.keys, self.pad, self.patience_s = port, keys, b"." * pad, patience_s
        self.over = threading.Event()
        self.acknowledged = [{} for _ in range(clients)]  # key: [(number, when), ...] the last few
        self.errors, self.times = {}, []
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def _run(self, me):
        mine, number, client = self.acknowledged[me], 0, None
        while not self.over.is_set():
            number += 1
            batch = ["book:%d:%d" % (me, (number * 8 + i) % self.keys) for i in range(8)]
            try:
                client = client or resp.Client(self.port, timeout=self.patience_s * SLOW)
                begun = time.monotonic()
                replies = client.pipeline([("SET", key, b"%d %s" % (number, self.pad)) for key in batch])
                now = time.monotonic()
            except (OSError, resp.Closed, resp.NoReply):
                client = None
                self.over.wait(0.05)
                continue
            self.times.append(now - begun)
            for key, reply in zip(batch, replies):
                if reply == resp.OK:
                    mine[key] = (mine.get(key, ()) + ((number, now),))[-200:]
                else:
                    text = str(reply).split(":")[0][:60]
                    self.errors[text] = self.errors.get(text, 0) + 1
            if replies and replies[0] != resp.OK:
                self.over.wait(0.02)  # refused: not a busy loop
        if client:
            client.close()

    def count(self):
        return len(self.times) * 8

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def lost(self, port):
        """(acknowledged writes that are not there, when the oldest and the newest of them were acknowledged, or None)."""
        missing, times = 0, []
        with resp.Client(port, timeout=60 * SLOW) as client:
            for mine in self.acknowledged:
                keys = list(mine)
                for start in range(0, len(keys), 500):
                    some = keys[start : start + 500]
                    for key, value in zip(some, client.pipeline([("GET", key) for key in some])):
                        has = int(bytes(value).split(b" ")[0]) if value != resp.NULL_BULK else 0
                        gone = [when for number, when in mine[key] if number > has]
                        missing += len(gone)
                        times += gone
        return missing, min(times, default=None), max(times, default=None)
