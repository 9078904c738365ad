"""Is a recorded history linearisable? The search of Wing and Gong, with the memory of Lowe.

    Wing, Gong: Testing and Verifying Concurrent Objects (1993); Lowe: Testing for Linearizability (2017)

A history is a list of Op: who, when sent, when answered, what, and the reply. It is linearisable when some order of
all its operations gives exactly these replies on a naive single-threaded server, and respects real time: what was
answered before another was sent comes first. Operations of one client come in its order, also within a pipeline, where
their times overlap. An operation whose reply was lost (`reply is UNKNOWN`) may have taken effect at any time after it
was sent, or never.

The search goes depth first through configurations (how far each client is; the state). A configuration that was
visited is not visited again, which makes it quick in practice: with n clients there are at most n candidates for
the next step, and the one whose reply came first is nearly always the right one. Lost operations are the last ones of
their client (which goes on under another name) and are tried last. A configuration is also given up when it was visited
with fewer lost operations used, as an unused one can still be used: but only where a client has lost a single one, since of
several a later one needs the earlier ones. Leave lost reads out of a history: they say nothing.

Keys that belong together are judged together: one key with single commands, or a few keys with MSET, MGET, RENAME and
transactions over them. `Twin` is the naive server: its state is a tuple, one value (bytes or None) per key.
"""

from support import resp

UNKNOWN = object()  # a reply that nobody could read
NEVER = 1 << 62
CONFIGURATIONS_MAX = 400_000


class Op:
    __slots__ = ("client", "sent", "received", "commands", "reply")

    def __init__(self, client, sent, received, commands, reply):
        self.client, self.sent, self.commands, self.reply = client, sent, commands, reply
        self.received = NEVER if reply is UNKNOWN else received

    def __repr__(self):
        answer = "?" if self.reply is UNKNOWN else repr(self.reply)
        return "client %s [%d..%s] %r -> %s" % (self.client, self.sent, "?" if self.received == NEVER else self.received, self.commands, answer)


class Undecided(AssertionError):
    pass


def explain(ops, initial, step, configurations_max=CONFIGURATIONS_MAX):
    """None when the history is linearisable, else a text with the place where every order fails.

    step(state, commands) -> (new state, reply)."""
    lanes = {}
    for op in ops:
        lanes.setdefault(op.client, []).append(op)
    lanes = list(lanes.values())
    known_of = [sum(op.reply is not UNKNOWN for op in lane) for lane in lanes]
    assert all(op.reply is not UNKNOWN for lane, known in zip(lanes, known_of) for op in lane[:known])
    singles = [len(lane) == known + 1 for lane, known in zip(lanes, known_of)]
    owed, visited = sum(known_of), 1
    start = (tuple([0] * len(lanes)), initial)
    seen, stack = {start: [(0,) * len(lanes)]}, [(start, 0, _candidates(lanes, start[0]))]
    best, best_at = 0, start
    while stack:
        (at, state), done, candidates = stack[-1]
        if done == owed:
            return None
        if not candidates:
            stack.pop()
            continue
        lane = candidates.pop()
        op = lanes[lane][at[lane]]
        after, reply = step(state, op.commands)
        known = op.reply is not UNKNOWN
        if known and reply != op.reply:
            continue
        following = (at[:lane] + (at[lane] + 1,) + at[lane + 1 :], after)
        if _visited(seen, following, known_of, singles):
            continue
        visited += 1
        if visited > configurations_max:
            raise Undecided("more than %d configurations; %d of %d operations placed" % (configurations_max, best, owed))
        if done + known > best:
            best, best_at = done + known, following
        stack.append((following, done + known, _candidates(lanes, following[0])))
    return _text(lanes, best_at, best, owed, step)


def _visited(seen, configuration, known_of, singles):
    """Whether it was visited with the same or fewer lost operations used; remembers it if not."""
    at, state = configuration
    key = (tuple(map(min, at, known_of)), state)
    used = tuple([max(0, i - known) for i, known in zip(at, known_of)])
    before = seen.setdefault(key, [])
    for other in before:
        if all(a == b or (single and a < b) for a, b, single in zip(other, used, singles)):
            return True
    before.append(used)
    return False


def _candidates(lanes, at):
    """Lanes whose next operation may come next, the most likely one last."""
    heads = [(lane[i], n) for n, (lane, i) in enumerate(zip(lanes, at)) if i < len(lane)]
    first_end = min([op.received for op, _ in heads], default=0)
    fit = [(op.received, op.sent, n) for op, n in heads if op.sent <= first_end]
    return [n for _, _, n in sorted(fit, reverse=True)]


def _text(lanes, configuration, done, owed, step):
    at, state = configuration
    lines = ["not linearisable: %d of %d operations can be ordered; then the state is %r, and none of these fits:" % (done, owed, state)]
    for lane in _candidates(lanes, at)[::-1]:
        op = lanes[lane][at[lane]]
        lines.append("  %r (here it would answer %r)" % (op, step(state, op.commands)[1]))
    lines.append("the operations before it, per client:")
    for lane, i in zip(lanes, at):
        lines += ["  %r" % op for op in lane[max(0, i - 2) : i]]
    return "\n".join(lines)


class Twin:
    """The naive server for strings under a fixed set of keys."""

    def __init__(self, *keys):
        self.index = {key: i for i, key in enumerate(keys)}
        self.initial = (None,) * len(keys)

    def step(self, state, commands):
        """One round trip: a single command, or several of which all take effect as one (MULTI to EXEC)."""
        if len(commands) == 1:
            return self.run(state, commands[0])
        assert commands[0] == ("MULTI",) and commands[-1] == ("EXEC",), commands
        replies = []
        for command in commands[1:-1]:
            state, reply = self.run(state, command)
            replies.append(reply)
        return state, replies

    def run(self, state, command):
        values = list(state)
        reply = getattr(self, "_" + command[0].lower())(values, *command[1:])
        return tuple(values), reply

    def _get(self, values, key):
        return self._bulk(values[self.index[key]])

    def _set(self, values, key, value):
        values[self.index[key]] = self._bytes(value)
        return resp.OK

    def _getset(self, values, key, value):
        old = self._get(values, key)
        self._set(values, key, value)
        return old

    def _setnx(self, values, key, value):
        return self._msetnx(values, key, value)

    def _append(self, values, key, value):
        at = self.index[key]
        values[at] = (values[at] or b"") + self._bytes(value)
        return len(values[at])

    def _incr(self, values, key):
        at = self.index[key]
        number = int(values[at] or 0) + 1
        values[at] = b"%d" % number
        return number

    def _del(self, values, *keys):
        count = 0
        for key in keys:
            at = self.index[key]
            count += values[at] is not None
            values[at] = None
        return count

    def _getdel(self, values, key):
        old = self._get(values, key)
        values[self.index[key]] = None
        return old

    def _exists(self, values, *keys):
        return sum(values[self.index[key]] is not None for key in keys)

    def _mget(self, values, *keys):
        return [self._get(values, key) for key in keys]

    def _mset(self, values, *words):
        for key, value in zip(words[::2], words[1::2]):
            self._set(values, key, value)
        return resp.OK

    def _msetnx(self, values, *words):
        if any(values[self.index[key]] is not None for key in words[::2]):
            return 0
        self._mset(values, *words)
        return 1

    def _rename(self, values, source, target):
        a, b = self.index[source], self.index[target]
        if values[a] is None:
            return resp.Error(b"ERR no such key")
        value, values[a] = values[a], None
        values[b] = value
        return resp.OK

    def _copy(self, values, source, target, *replace):
        a, b = self.index[source], self.index[target]
        if values[a] is None or (values[b] is not None and not replace):
            return 0
        values[b] = values[a]
        return 1

    def _cas(self, values, key, old, new):
        """WATCH, GET and a transaction that was or was not aborted, for values that never come again."""
        if self._get(values, key) != old:
            return 0
        self._set(values, key, new)
        return 1

    @staticmethod
    def _bytes(value):
        return value if isinstance(value, bytes) else str(value).encode()

    @staticmethod
    def _bulk(value):
        return resp.NULL_BULK if value is None else value
