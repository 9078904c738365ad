"""HyperLogLog: additions that make it grow from sparse to dense, merges over shards, values that are none."""

from families.gen import Cmd, one

WEIGHT = 5
MUTATE = True


def key(g):
    return g.keys[int(g.random() * 12)] if g.flip(0.9) else g.key()


def elements(g, most=20):
    r = g.random()
    if r < 0.8:
        return [b"e%d" % g.between(0, 400) for _ in range(g.between(0, most))]
    return [g.pick(g.values) for _ in range(g.between(0, 5))]


def pfadd(g):
    return one(g.word(b"PFADD"), key(g), *elements(g))


def many(g):
    """Enough of them for a dense one."""
    first, name = g.between(0, 100000), key(g)
    return [Cmd(b"PFADD", name, *[b"m%d" % (first + i) for i in range(g.between(200, 3000))]), Cmd(b"PFCOUNT", name)]


def fresh(g):
    name = key(g)
    return [Cmd(b"DEL", name), Cmd(b"PFADD", name, *elements(g))]


def pfcount(g):
    return one(g.word(b"PFCOUNT"), *[key(g) for _ in range(1 if g.flip(0.5) else g.between(1, 5))])


def pfmerge(g):
    return one(g.word(b"PFMERGE"), key(g), *[key(g) for _ in range(g.between(0, 4))])


def look(g):
    name = key(g)
    return [Cmd(b"GET", name), Cmd(b"OBJECT", b"ENCODING", name)]


def debug(g):
    return one(b"PFDEBUG", g.word(g.pick([b"ENCODING", b"TODENSE", b"GETREG", b"FOO", b""])), key(g))


def broken(g):
    """Shaped like one, but with runs that are too many or too few; or not even that."""
    name = key(g)
    head = b"HYLL" + g.pick([b"\x01", b"\x01", b"\x00", b"\x02"]) + b"\x00" * 3 + b"\x00" * 7 + g.pick([b"\x00", b"\x80"])
    body = g.pick([b"", b"\x7f\xff", b"\x7f\xff\x00", b"\x40", b"\x80\x80", b"\x7f\xfe\x80", b"\x00"])
    after = g.pick([Cmd(b"PFADD", name, b"a"), Cmd(b"PFCOUNT", name, name), Cmd(b"PFMERGE", key(g), name)])
    return [Cmd(b"SET", name, head + body), after, Cmd(b"DEL", name)]


PRODUCERS = [
    (12, pfadd), (1, many), (2, fresh), (8, pfcount), (6, pfmerge), (5, look), (1, debug), (1, broken),
]
