"""Lists: every list command that does not wait, short lists and long ones, every order of arguments and error."""

import time

from families import compare as same
from families.gen import BAD_INTS, I64_MAX, I64_MIN, Cmd, one

WEIGHT = 45
MUTATE = True

# Where lists meet lists; one time in four any key, so that they also meet everything else.
LISTS = [b"k%d" % i for i in range(14, 20)] + [b"{tag1}:%d" % i for i in range(4)] + [b"user:%d" % i for i in range(3)]

FEW = [b"a", b"b", b"c", b"", b"0", b"1", b"-1", b"2", b"127", b"128", b"-4096", b"-4097", b"32768", b"8388608", b"-2147483649",
       I64_MAX, I64_MIN, b"01", b"+1", b"-0", b"1.0", b" 1", b"9223372036854775808", b"\x00", b"\r\n", b"\xff\xfe", b"A"]
LONG = [b"x" * 62, b"x" * 63, b"x" * 64, b"y" * 65, b"z" * 130, b"w" * 500, b"v" * 4095, b"u" * 4096]
HUGE = [b"h" * 8150, b"H" * 8192, b"i" * 9000, b"j" * 20000, bytes(range(256)) * 60]


def key(g):
    return g.pick(LISTS) if g.flip(0.75) else g.key()


def element(g):
    r = g.random()
    if r < 0.75:
        return g.pick(FEW)
    if r < 0.93:
        return b"%d" % g.between(-300, 70000)
    return g.pick(LONG) if r < 0.995 else g.pick(HUGE)


def elements(g):
    """Mostly a few; now and then so many that the list gets another node."""
    r = g.random()
    if r < 0.85:
        return [element(g) for _ in range(g.between(1, 4))]
    if r < 0.98:
        return [element(g) for _ in range(g.between(5, 40))]
    return [element(g) for _ in range(g.between(100, 700))]


def index(g):
    r = g.random()
    if r < 0.55:
        return b"%d" % g.between(-6, 6)
    if r < 0.9:
        return b"%d" % g.between(-400, 400)
    return g.pick([b"100000", b"-100000", I64_MAX, I64_MIN, b"-9223372036854775807", b"4294967296"]) if r < 0.96 else g.pick(BAD_INTS)


def count(g):
    """Of LPOP, LMPOP and LPOS."""
    r = g.random()
    if r < 0.75:
        return b"%d" % g.between(0, 5)
    return g.pick([b"100", b"1000", b"-1", I64_MAX, I64_MIN, b"4294967296"]) if r < 0.92 else g.pick(BAD_INTS)


def end(g):
    return g.word(g.pick([b"LEFT", b"RIGHT"])) if g.flip(0.98) else g.pick([b"", b"UP", b"LEF", b"LEFT ", b"HEAD"])


def push(g):
    return one(g.word(g.pick([b"LPUSH", b"RPUSH"])), key(g), *elements(g))


def pushx(g):
    return one(g.word(g.pick([b"LPUSHX", b"RPUSHX"])), key(g), *elements(g))


def pop(g):
    return one(g.word(g.pick([b"LPOP", b"RPOP"])), key(g), *([count(g)] if g.flip(0.4) else []))


def pop_extra(g):
    return one(g.pick([b"LPOP", b"RPOP"]), key(g), b"1", b"2")


def llen(g):
    return one(g.word(b"LLEN"), key(g))


def lindex(g):
    return one(g.word(b"LINDEX"), key(g), index(g))


def lrange(g):
    if g.flip(0.1):
        return one(b"LRANGE", key(g), b"0", b"-1")
    return one(g.word(b"LRANGE"), key(g), index(g), index(g))


def lset(g):
    return one(g.word(b"LSET"), key(g), index(g), element(g))


def linsert(g):
    where = g.word(g.pick([b"BEFORE", b"AFTER"])) if g.flip(0.98) else g.pick([b"", b"BESIDE", b"LEFT"])
    return one(g.word(b"LINSERT"), key(g), where, element(g), element(g))


def lrem(g):
    return one(g.word(b"LREM"), key(g), index(g) if g.flip(0.4) else g.pick([b"0", b"1", b"-1", b"2", b"-2"]), element(g))


def ltrim(g):
    """Half of them keep most of a list."""
    if g.flip(0.5):
        return one(g.word(b"LTRIM"), key(g), b"%d" % g.between(-1, 2), b"%d" % g.between(-3, 0) if g.flip(0.5) else b"300")
    return one(g.word(b"LTRIM"), key(g), index(g), index(g))


def lpos(g):
    options = []
    if g.flip(0.4):
        options.append([g.word(b"RANK"), g.pick([b"1", b"-1", b"2", b"-2", b"3", b"0"]) if g.flip(0.85) else index(g)])
    if g.flip(0.5):
        options.append([g.word(b"COUNT"), count(g)])
    if g.flip(0.3):
        options.append([g.word(b"MAXLEN"), g.pick([b"0", b"1", b"3", b"10", b"1000", b"-1"]) if g.flip(0.85) else index(g)])
    if g.flip(0.04):
        options.append(g.pick([[b"RANK"], [b"COUNT"], [b"FOO"], [b""], [b"RANK", b"1"], [b"MAXLEN"]]))
    g.rng.shuffle(options)
    return one(g.word(b"LPOS"), key(g), element(g), *[word for option in options for word in option])


def move(g):
    """Often onto itself."""
    source = key(g)
    target = source if g.flip(0.2) else key(g)
    if g.flip(0.3):
        return one(g.word(b"RPOPLPUSH"), source, target)
    return one(g.word(b"LMOVE"), source, target, end(g), end(g))


def lmpop(g):
    keys = [key(g) for _ in range(g.between(1, 6))]
    numkeys = b"%d" % len(keys) if g.flip(0.96) else g.pick([b"0", b"-1", b"1", b"2", b"7", b"abc", b"", I64_MAX, b"4294967297"])
    options = []
    if g.flip(0.5):
        options += [g.word(b"COUNT"), count(g)]
    if g.flip(0.03):
        options += g.pick([[b"COUNT"], [b"COUNT", b"1"], [b"FOO"], [b""]])
    return one(g.word(b"LMPOP"), numkeys, *keys, end(g), *options)


def drain(g):
    """Pops that empty a list: the key is gone then, with its deadline."""
    name = key(g)
    how = g.pick([[b"LPOP", name, b"1000000"], [b"LTRIM", name, b"1", b"0"], [b"LMPOP", b"1", name, b"RIGHT", b"COUNT", b"1000000"],
                  [b"DEL", name]])
    return [Cmd(*how), Cmd(b"EXISTS", name), Cmd(b"TTL", name, compare=same.TTL_S)]


def with_deadline(g):
    """What keeps a deadline and what makes a new key without one."""
    name = key(g)
    steps = [Cmd(b"RPUSH", name, element(g)), Cmd(b"EXPIREAT", name, b"4000000000")]
    steps += [g.pick([Cmd(b"LPUSH", name, element(g)), Cmd(b"RPOP", name), Cmd(b"LMOVE", name, name, b"LEFT", b"RIGHT"),
                      Cmd(b"LTRIM", name, b"0", b"0"), Cmd(b"LREM", name, b"0", element(g)), Cmd(b"RPUSH", name, *elements(g))])
              for _ in range(g.between(1, 3))]
    return steps + [Cmd(b"EXPIRETIME", name, compare=same.DEADLINE_S)]


def queue(g):
    """In at one end and out at the other, many times."""
    name = key(g)
    into, out = g.pick([(b"LPUSH", b"RPOP"), (b"RPUSH", b"LPOP"), (b"LPUSH", b"LPOP")])
    steps = []
    for _ in range(g.between(3, 12)):
        steps.append(Cmd(into, name, *[element(g) for _ in range(g.between(1, 3))]))
        steps.append(Cmd(out, name))
    return steps + [Cmd(b"LLEN", name)]


def keys_of_any_type(g):
    """Generic commands on list keys."""
    a, b = key(g), key(g)
    return one(*g.pick([
        (b"TYPE", a), (b"OBJECT", b"ENCODING", a), (b"RENAME", a, b), (b"RENAMENX", a, b), (b"COPY", a, b), (b"COPY", a, b, b"REPLACE"),
        (b"COPY", a, b, b"DB", b"1", b"REPLACE"), (b"MOVE", a, b"2"), (b"EXPIREAT", a, b"4000000000"), (b"PERSIST", a), (b"TTL", b"nokey"),
        (b"DEL", a), (b"UNLINK", a, b), (b"EXISTS", a, b), (b"TOUCH", a)]))


def as_string(g):
    """String commands on list keys, and lists overwritten."""
    name = key(g)
    return one(*g.pick([
        (b"GET", name), (b"APPEND", name, b"x"), (b"INCR", name), (b"STRLEN", name), (b"GETRANGE", name, b"0", b"-1"), (b"SETRANGE", name, b"0", b"x"),
        (b"GETSET", name, b"x"), (b"GETDEL", name), (b"GETEX", name, b"PERSIST"), (b"SETNX", name, b"x"), (b"SET", name, b"x", b"GET"),
        (b"SET", name, b"x", b"XX", b"KEEPTTL"), (b"MGET", name, key(g)), (b"MSETNX", name, b"x"), (b"INCRBYFLOAT", name, b"1"),
        (b"LCS", name, key(g)), (b"SET", name, b"x"), (b"GETRANGE", name, b"0", b"0")]))


def node_size(g):
    """Small nodes, so that they are split and joined; what clients see does not change."""
    return one(b"CONFIG", b"SET", b"list-max-listpack-size", g.pick([b"-2", b"-1", b"2", b"5", b"20", b"128"]))


def grow(g):
    """A list of several nodes, and inserts all over it."""
    name = key(g)
    steps = [Cmd(b"RPUSH", name, *[element(g) for _ in range(g.between(200, 400))])]
    for _ in range(g.between(5, 40)):
        steps.append(g.pick([Cmd(b"LINSERT", name, g.pick([b"BEFORE", b"AFTER"]), element(g), element(g)), Cmd(b"LSET", name, index(g), element(g))]))
    return steps + [Cmd(b"LRANGE", name, b"0", b"-1")]


def short_life(g):
    """Lists that expire within milliseconds are gone on both sides."""
    name, other, ms = key(g), key(g), b"%d" % g.between(1, 30)
    many = elements(g)
    after = g.pick([(b"LLEN", name), (b"LPUSHX", name, b"a"), (b"LPOP", name), (b"LMOVE", name, other, b"LEFT", b"LEFT"), (b"RPUSH", name, b"n"),
                    (b"LSET", name, b"0", b"a"), (b"LMPOP", b"1", name, b"LEFT"), (b"LRANGE", name, b"0", b"-1")])

    def live(session):
        session.both(b"DEL", name)
        session.both(b"RPUSH", name, *many)
        session.both(b"PEXPIRE", name, ms)
        deadline = time.monotonic() + 20
        while any(client.call(b"EXISTS", name) for client in session.current()):
            if time.monotonic() > deadline:
                return "a list with a life of %s ms is still there after 20 s" % ms.decode()
        for command in (after, (b"TTL", name), (b"TYPE", name)):
            ours, reference = session.both(*command)
            if ours != reference:
                return "after expiry %r answered %r and %r" % (command, ours, reference)
        return None

    return [Cmd(b"(short life)", name, ms, *after, live=live)]


PRODUCERS = [
    (16, push), (3, pushx), (10, pop), (0.2, pop_extra), (4, llen), (6, lindex), (10, lrange), (6, lset), (6, linsert), (6, lrem), (6, ltrim),
    (7, lpos), (9, move), (7, lmpop), (1.5, drain), (1, with_deadline), (0.6, queue), (5, keys_of_any_type), (4, as_string), (0.02, short_life), (0.1, node_size), (0.1, grow),
]
