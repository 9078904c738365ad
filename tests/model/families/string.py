"""Strings: every string command, every combination of options, valid or not."""

from families.gen import Cmd, one

WEIGHT = 45
MUTATE = True


def expire_option(g, past=False):
    r = g.random()
    if r < 0.25:
        return [g.word(b"EX"), g.relative_s()]
    if r < 0.5:
        return [g.word(b"PX"), g.relative_ms()]
    if r < 0.75:
        return [g.word(b"EXAT"), g.absolute_s(past)]
    return [g.word(b"PXAT"), g.absolute_ms(past)]


def set_plain(g):
    return one(b"SET", g.key(), g.value())


def set_options(g):
    """Options in any order, also contradicting and repeated ones."""
    groups = []
    if g.flip(0.6):
        groups.append(expire_option(g))
    if g.flip(0.35):
        groups.append([g.word(g.pick([b"NX", b"XX"]))])
    if g.flip(0.35):
        groups.append([g.word(b"GET")])
    if g.flip(0.2):
        groups.append([g.word(b"KEEPTTL")])
    if g.flip(0.06):
        groups.append(g.pick([[b"NX"], [b"XX"], [b"EX"], [b"KEEPTTL"], [b"FOO"], [b""], [b"EX", b"50000"], [b"PERSIST"]]))
    g.rng.shuffle(groups)
    return one(g.word(b"SET"), g.key(), g.value(), *[word for group in groups for word in group])


def set_past(g):
    """A deadline in the past: the key is logically gone. The GET behind it makes that so on both sides at once, as a
    lazily expired key still counts in DBSIZE."""
    key = g.key()
    option = g.pick([[b"EXAT", b"1"], [b"PXAT", b"1"], [b"EXAT", b"1000000000"], [b"PXAT", b"1500000000000"]])
    extra = g.pick([[], [], [b"NX"], [b"XX"], [b"GET"]])
    return [Cmd(b"SET", key, g.value(), *option, *extra), Cmd(b"GET", key)]


def setnx(g):
    return one(g.word(b"SETNX"), g.key(), g.value())


def setex(g):
    return one(g.word(b"SETEX"), g.key(), g.relative_s(), g.value())


def psetex(g):
    return one(g.word(b"PSETEX"), g.key(), g.relative_ms(), g.value())


def get(g):
    return one(g.word(b"GET"), g.key())


def getex(g):
    r = g.random()
    if r < 0.15:
        return one(b"GETEX", g.key())
    if r < 0.35:
        return one(b"GETEX", g.key(), g.word(b"PERSIST"))
    if r < 0.9:
        return one(b"GETEX", g.key(), *expire_option(g, past=True))
    return one(b"GETEX", g.key(), *g.pick([[b"PERSIST", b"EX", b"50000"], [b"EX"], [b"NX"], [b"KEEPTTL"],
                                           [b"EX", b"50000", b"PX", b"50000000"], [b"foo"], [b"GET"]]))


def getdel(g):
    return one(g.word(b"GETDEL"), g.key())


def getset(g):
    return one(g.word(b"GETSET"), g.key(), g.value())


def getrange(g):
    return one(g.word(g.pick([b"GETRANGE", b"SUBSTR"])), g.key(), g.index(), g.index())


def setrange(g):
    """Mostly short; offsets at the limit of 512 MB only with values that cross it, so that nothing is allocated."""
    r = g.random()
    if r < 0.9:
        return one(b"SETRANGE", g.key(), b"%d" % g.between(0, 300), g.pick(g.small + [b"", b"\x00", b"1"]))
    if r < 0.92:
        return one(b"SETRANGE", g.key(), b"%d" % g.between(0, 30000), b"x")
    offset = g.pick([b"-1", b"536870911", b"536870912", b"9223372036854775807", b"-9223372036854775808", b"abc", b"1.5", b""])
    return one(b"SETRANGE", g.key(), offset, g.pick([b"", b"xx", b"hello"]))


def append(g):
    return one(g.word(b"APPEND"), g.key(), g.value() if g.flip(0.5) else g.pick(g.small))


def strlen(g):
    return one(g.word(b"STRLEN"), g.key())


def incr(g):
    return one(g.word(g.pick([b"INCR", b"DECR"])), g.key())


def incrby(g):
    return one(g.word(g.pick([b"INCRBY", b"DECRBY"])), g.key(), g.int())


def incrbyfloat(g):
    return one(g.word(b"INCRBYFLOAT"), g.key(), g.float())


def counter(g):
    """A counter at an edge, and steps across it."""
    key = g.key()
    steps = [Cmd(b"SET", key, g.int())]
    for _ in range(g.between(1, 4)):
        r = g.random()
        if r < 0.4:
            steps.append(Cmd(g.pick([b"INCR", b"DECR"]), key))
        elif r < 0.8:
            steps.append(Cmd(g.pick([b"INCRBY", b"DECRBY"]), key, g.int()))
        else:
            steps.append(Cmd(b"INCRBYFLOAT", key, g.float()))
    steps.append(Cmd(b"OBJECT", b"ENCODING", key))
    return steps


def float_counter(g):
    key = g.key()
    return [Cmd(b"SET", key, g.float())] + [Cmd(b"INCRBYFLOAT", key, g.float()) for _ in range(g.between(1, 3))]


def mget(g):
    return one(g.word(b"MGET"), *g.some_keys(1, 10))


def mset(g):
    words = [word for key in g.some_keys(1, 8) for word in (key, g.value())]
    if g.flip(0.04):
        words.pop()
    return one(g.word(b"MSET"), *words)


def msetnx(g):
    words = [word for key in g.some_keys(1, 4) for word in (key, g.value())]
    if g.flip(0.04):
        words.pop()
    return one(g.word(b"MSETNX"), *words)


def lcs(g):
    """Its cost is the product of the lengths, so it brings its own short values."""
    a, b = g.key(), g.key()
    letters = g.pick([b"ab", b"abc", b"acgt", b"01"])
    steps = []
    for key in (a, b):
        r = g.random()
        if r < 0.9:
            steps.append(Cmd(b"SET", key, bytes(g.pick(letters) for _ in range(g.between(0, 60)))))
        else:
            steps.append(Cmd(b"DEL", key))
    options = []
    if g.flip(0.3):
        options.append([g.word(b"LEN")])
    if g.flip(0.5):
        options.append([g.word(b"IDX")])
    if g.flip(0.4):
        options.append([g.word(b"MINMATCHLEN"), g.pick([b"0", b"1", b"2", b"4", b"10", b"-1", b"-5"]) if g.flip(0.9) else g.int()])
    if g.flip(0.4):
        options.append([g.word(b"WITHMATCHLEN")])
    if g.flip(0.05):
        options.append(g.pick([[b"FOO"], [b"MINMATCHLEN"], [b""]]))
    g.rng.shuffle(options)
    steps.append(Cmd(g.word(b"LCS"), a, b, *[word for option in options for word in option]))
    return steps


PRODUCERS = [
    (12, set_plain), (12, set_options), (1, set_past), (4, setnx), (2, setex), (2, psetex), (12, get), (5, getex),
    (3, getdel), (3, getset), (6, getrange), (4, setrange), (5, append), (3, strlen), (5, incr), (6, incrby),
    (4, incrbyfloat), (2, counter), (2, float_counter), (4, mget), (4, mset), (2, msetnx), (2, lcs),
]
