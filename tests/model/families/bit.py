"""Bits: one bit, counting, finding, fields, several strings; offsets and ranges at every edge."""

from families.gen import Cmd, I64_MAX, I64_MIN, one

WEIGHT = 12
MUTATE = True

OFFSETS = [b"0", b"1", b"7", b"8", b"9", b"15", b"63", b"64", b"100", b"1000"]
BAD_OFFSETS = [b"-1", b"abc", b"", b"4294967296", b"1.5", I64_MAX, I64_MIN, b"#1", b" 1"]
UNITS = [b"BIT", b"BYTE", b"bit", b"Byte"]


def offset(g):
    r = g.random()
    if r < 0.5:
        return g.pick(OFFSETS)
    return b"%d" % g.between(0, 300) if r < 0.97 else g.pick(BAD_OFFSETS)


def bits(g):
    """A string to look into: often all zeros or all ones but for a little."""
    fill = g.pick([b"\x00", b"\xff", b"\x55"])
    body = bytearray(fill * g.between(0, 40))
    for _ in range(g.between(0, 2)):
        if body:
            body[int(g.random() * len(body))] = g.between(0, 255)
    return bytes(body)


def index(g):
    r = g.random()
    if r < 0.95:
        return b"%d" % g.between(-50, 50)
    if r < 0.98:
        return g.pick([b"-400", b"400", b"0", b"-1", I64_MAX, I64_MIN])
    return g.pick([b"", b"abc", b"1.5", b"9223372036854775808"])


def unit(g):
    return [g.pick(UNITS)] if g.flip(0.95) else g.pick([[b"BITS"], [b""], [b"BIT", b"BIT"]])


def fill(g):
    return one(b"SET", g.key(), bits(g))


def getbit(g):
    return one(g.word(b"GETBIT"), g.key(), offset(g))


def setbit(g):
    value = g.pick([b"0", b"1"]) if g.flip(0.95) else g.pick([b"2", b"-1", b"", b"abc", b"10", I64_MAX])
    key = g.key()
    return [Cmd(g.word(b"SETBIT"), key, offset(g), value)] + ([Cmd(b"OBJECT", b"ENCODING", key)] if g.flip(0.1) else [])


def bitcount(g):
    r = g.random()
    if r < 0.2:
        return one(g.word(b"BITCOUNT"), g.key())
    if r < 0.6:
        return one(g.word(b"BITCOUNT"), g.key(), index(g), index(g))
    if r < 0.97:
        return one(g.word(b"BITCOUNT"), g.key(), index(g), index(g), *unit(g))
    return one(b"BITCOUNT", g.key(), index(g))


def bitpos(g):
    bit = g.pick([b"0", b"1"]) if g.flip(0.97) else g.pick([b"2", b"-1", b"", b"x"])
    rest = []
    r = g.random()
    if r > 0.2:
        rest.append(index(g))
    if r > 0.4:
        rest.append(index(g))
    if r > 0.7:
        rest += unit(g)
    key = g.key()
    return ([Cmd(b"SET", key, bits(g))] if g.flip(0.5) else []) + [Cmd(g.word(b"BITPOS"), key, bit, *rest)]


def bitop(g):
    r = g.random()
    if r < 0.75:
        return one(g.word(b"BITOP"), g.word(g.pick([b"AND", b"OR", b"XOR"])), g.key(), *g.some_keys(1, 5))
    if r < 0.97:
        return one(g.word(b"BITOP"), g.word(b"NOT"), g.key(), g.key())
    return one(b"BITOP", g.pick([b"NOT", b"FOO", b""]), g.key(), *g.some_keys(1, 3))


def encoding(g):
    r = g.random()
    if r < 0.9:
        return g.pick([b"u", b"i"]) + b"%d" % g.pick([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 31, 32, 33, 62, 63])
    if r < 0.97:
        return b"i64"
    return g.pick([b"u64", b"i65", b"u0", b"i0", b"i-1", b"u", b"", b"8", b"I8", b"i 8"])


def field_offset(g):
    return b"#%d" % g.between(0, 12) if g.flip(0.3) else b"%d" % g.between(0, 120) if g.flip(0.95) else offset(g)


def amount(g):
    r = g.random()
    if r < 0.6:
        return b"%d" % g.between(-300, 300)
    if r < 0.97:
        return g.pick([I64_MAX, I64_MIN, b"0", b"-1", b"4294967295", b"2147483648", b"-32769", b"9223372036854775806"])
    return g.pick([b"", b"abc", b"1.5", b"9223372036854775808"])


def operation(g, writes):
    r = g.random()
    if r < 0.3 or not writes:
        return [g.word(b"GET"), encoding(g), field_offset(g)]
    if r < 0.5:
        return [g.word(b"OVERFLOW"), g.word(g.pick([b"WRAP", b"SAT", b"FAIL"]))] if g.flip(0.97) else [b"OVERFLOW", b"X"]
    return [g.word(g.pick([b"SET", b"INCRBY"])), encoding(g), field_offset(g), amount(g)]


def bitfield(g):
    words = [word for _ in range(g.between(0, 6)) for word in operation(g, True)]
    if g.flip(0.03):
        words = words[:-1]
    return one(g.word(b"BITFIELD"), g.key(), *words)


def bitfield_ro(g):
    words = [word for _ in range(g.between(0, 4)) for word in operation(g, g.flip(0.1))]
    return one(g.word(b"BITFIELD_RO"), g.key(), *words)


PRODUCERS = [
    (6, fill), (4, getbit), (8, setbit), (8, bitcount), (8, bitpos), (8, bitop), (10, bitfield), (3, bitfield_ro),
]
