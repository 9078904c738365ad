"""Transactions and waiting: MULTI blocks full of commands of all other families, whatever happens to them, and the blocking list
commands where they need not wait.

A whole transaction is one step. Each command in it is compared twice: its reply when it is queued (or refused, or run at once, as
RESET is), and its part of the reply of EXEC, in the way its own family says."""

from families import compare as same
from families import list as lists
from families.gen import BAD_FLOATS, Cmd, one

WEIGHT = 25
MUTATE = False


# --- the parts of a transaction ---


def exec_of(queued):
    """The reply of EXEC is as good as its parts."""

    def compare(ours, reference, session):
        a, b = same.elements(ours), same.elements(reference)
        if a is None or b is None or not len(a) == len(b) == len(queued):
            return False
        return all(x == y or (cmd.compare and cmd.compare(x, y, session)) for cmd, x, y in zip(queued, a, b))

    return compare


def steps_of_others(g, low, high):
    """Steps of other families. What needs a conversation, sends no reply or ends a transaction has no place in one."""
    out = []
    for _ in range(g.between(low, high)):
        step = g.step_of_others()
        while any(cmd.live or cmd.quiet or cmd.args[0].upper() == b"RESET" for cmd in step):
            step = g.step_of_others()
        out.append(step)
    return out


def others(g, low, high):
    return [cmd for step in steps_of_others(g, low, high) for cmd in step]


def inside(g, low=0, high=8):
    """What stands between MULTI and its end, and those of it that are queued."""
    steps = steps_of_others(g, low, high)
    for _ in range(g.between(0, 2)):
        steps.insert(g.between(0, len(steps)), [blocking(g)])
    commands = [command for step in steps for command in step]
    queued = list(commands)
    if g.flip(0.08):
        refused = g.pick([(b"MULTI",), (b"WATCH", g.key()), (b"WATCH",), (b"DISCARD", b"x"), (b"NOSUCH", b"a"), (b"GET",)])
        commands.insert(g.between(0, len(commands)), Cmd(*refused))
    if g.flip(0.01):
        commands.append(Cmd(b"EXEC", b"x"))  # ends it: nothing that waits may follow
    return commands, queued


def end(g, queued):
    r = g.random()
    if r < 0.9:
        return [Cmd(g.word(b"EXEC"), compare=exec_of(queued))]
    if r < 0.97:
        return [Cmd(g.word(b"DISCARD"))]
    return [Cmd(b"RESET"), Cmd(b"HELLO", b"%d" % g.proto, compare=same.hello)]


# --- the steps ---


def transaction(g):
    commands, queued = inside(g)
    return [Cmd(g.word(b"MULTI"))] + commands + end(g, queued)


def long_transaction(g):
    commands, queued = inside(g, 50, 300)
    return [Cmd(b"MULTI")] + commands + end(g, queued)


def watched(g):
    """The connection watches, and changes something itself, or not."""
    steps = [Cmd(g.word(b"WATCH"), *g.some_keys(1, 5))]
    steps += others(g, 0, 2)
    if g.flip(0.1):
        steps.append(Cmd(g.word(b"UNWATCH")))
    return steps + transaction(g)


def watched_by_two(g):
    """Somebody else changes something, or only looks, between WATCH and EXEC."""
    keys, meanwhile = g.some_keys(1, 4), [cmd for cmd in others(g, 1, 3) if cmd.args[0].upper() not in CONNECTION]
    queued = [Cmd(b"INCR", b"watched"), Cmd(b"EXISTS", *keys)]
    at = g.between(0, 3)

    def live(session):
        own = [(b"SELECT", b"0"), (b"WATCH", *keys), (b"MULTI",), queued[0].args, queued[1].args]
        for n, command in enumerate(own):
            if n == 2 + at // 2:
                for side in session.sides:
                    side.must(b"SELECT", b"0")
                    for cmd in meanwhile:
                        side.raw(*cmd.args)
            ours, reference = session.both(*command)
            if ours != reference:
                return "%r answered %r and %r" % (command, ours, reference)
        ours, reference = session.both(b"EXEC")
        return None if ours == reference else "after %r by another client EXEC answered %r and %r" % (
            [cmd.args for cmd in meanwhile], ours, reference)

    return [Cmd(b"(watched)", *keys, *[arg for cmd in meanwhile for arg in cmd.args], live=live)]


CONNECTION = (b"HELLO", b"RESET", b"AUTH", b"CLIENT", b"QUIT", b"CONFIG", b"DEBUG")


def without(g):
    return one(*g.pick([(b"EXEC",), (b"DISCARD",), (b"UNWATCH",), (b"EXEC", b"x"), (b"DISCARD", b"x"), (b"MULTI", b"x"), (b"WATCH",), (b"UNWATCH", b"x")]))


# --- waiting ---


def timeout(g):
    """None of them is waited for."""
    return b"0" if g.flip(0.6) else g.pick([b"1", b"0.5", b"100", b"1e3", b".5", b"5.", b"0.000001", b"9007199254740", b"-0", b"+1", b"0x10"])


def bad_timeout(g):
    return g.pick(BAD_FLOATS + [b"-1", b"-0.1", b"1e18", b"9223372036854775807", b"9223372036854776"])


def blocking(g, *last):
    """Any of the five, with one thing wrong at most. With `last` as a key that is there it does not wait."""
    keys = [lists.key(g) for _ in range(g.between(0 if last else 1, 4))] + list(last)
    until = timeout(g) if g.flip(0.9) else bad_timeout(g)
    r = g.random()
    if r < 0.4:
        return Cmd(g.word(g.pick([b"BLPOP", b"BRPOP"])), *keys, until)
    if r < 0.6:
        return Cmd(g.word(b"BLMOVE"), keys[-1], lists.key(g), lists.end(g), lists.end(g), timeout(g))
    if r < 0.7:
        return Cmd(g.word(b"BRPOPLPUSH"), keys[-1], lists.key(g), until)
    options = [g.word(b"COUNT"), lists.count(g)] if g.flip(0.5) else []
    numkeys = b"%d" % len(keys) if last or g.flip(0.9) else g.pick([b"0", b"-1", b"x", b"7"])
    return Cmd(g.word(b"BLMPOP"), until, numkeys, *keys, lists.end(g), *options)


def with_data(g):
    """The last key holds a list, or something that is none: no wait in either case."""
    key = lists.key(g)
    return [Cmd(b"RPUSH", key, *lists.elements(g)), blocking(g, key)]


def short_wait(g):
    """Rarely, since Redis looks at such deadlines ten times a second."""
    key = lists.key(g)
    return [Cmd(b"DEL", key), Cmd(*g.pick([(b"BLPOP", key, b"0.001"), (b"BRPOPLPUSH", key, key, b"0.001"), (b"BLMPOP", b"0.001", b"1", key, b"LEFT")]))]


def unblock(g):
    return one(b"CLIENT", g.word(b"UNBLOCK"), g.pick([b"999999999", b"-1", b"abc", b"", b"9223372036854775807", b"9223372036854775808"]),
               *g.pick([[], [], [b"TIMEOUT"], [b"error"], [b"FOO"], [b""], [b"ERROR", b"x"]]))


PRODUCERS = [
    (20, transaction), (0.05, long_transaction), (8, watched), (0.6, watched_by_two), (3, without), (12, with_data), (0.02, short_wait), (1, unblock),
]
