"""SORT and SORT_RO: lists, sets and sorted sets, patterns that name strings and hashes on other shards, LIMIT, STORE."""

from families import compare as same
from families.gen import BAD_INTS, FLOATS, I64_MAX, I64_MIN, INTS, Cmd, one

WEIGHT = 25
MUTATE = False

LISTS = [b"sl%d" % i for i in range(4)] + [b"{tag1}:sl%d" % i for i in range(2)]
SETS = [b"ss%d" % i for i in range(3)]
ZSETS = [b"sz%d" % i for i in range(3)]
NUMBERS = [b"%d" % i for i in range(24)] + INTS + FLOATS + [b"inf", b"-inf", b"0x10", b" 7", b""]
TEXTS = [b"a", b"b", b"A", b"aa", b"ab", b"", b"a\x00b", b"a\x00c", b"10", b"9", b"\xff", b"\xc3\xa4", b"x" * 70, b"*", b"->", b"#"]
# What no score is: an error, unless ALPHA.
NO_NUMBERS = [b"abc", b"1x", b"nan", b"1e999", b"1e-999", b"7 "]
PATTERNS = [b"w_*", b"w_*", b"w_*", b"{tag1}w_*", b"o_*->n", b"o_*->n", b"{tag1}o_*->f", b"*", b"w_*_x", b"w_*->", b"w_*->n", b"o_*", b"a->*->n", b"o_*->n->m", b"**"]
CONSTANT = [b"nosort", b"", b"#", b"w_", b"o->n", b"w_\x00*"]
# One element of more than zset-max-listpack-value: SORT makes Redis give up the listpack, and sherd does not.
LONG_NUMBER = b"0" * 69 + b"7"


def name(g):
    r = g.random()
    if r < 0.5:
        return g.pick(LISTS)
    return g.pick(SETS) if r < 0.72 else g.pick(ZSETS) if r < 0.97 else g.pick([b"w_1", b"o_1", b"sl"])


def element(g):
    r = g.random()
    return g.pick(NUMBERS) if r < 0.9 else g.pick(TEXTS) if r < 0.94 else g.pick(NO_NUMBERS) if r < 0.942 else b"%d" % g.between(0, 3000)


def elements(g):
    r = g.random()
    return [element(g) for _ in range(g.between(1, 6) if r < 0.9 else g.between(7, 60) if r < 0.99 else g.between(300, 1500))]


def fill(g):
    r = g.random()
    if r < 0.08:
        key = g.pick(LISTS + SETS + ZSETS)
        if key in ZSETS:
            return [Cmd(b"DEL", key), Cmd(b"ZADD", key, b"0", LONG_NUMBER)]
        return one(b"DEL", key)
    if r < 0.5:
        return one(g.pick([b"RPUSH", b"LPUSH"]), g.pick(LISTS), *elements(g))
    if r < 0.75:
        return one(b"SADD", g.pick(SETS), *elements(g))
    return one(b"ZADD", g.pick(ZSETS), b"0", LONG_NUMBER, *[word for member in elements(g) for word in (b"%d" % g.between(-5, 5), member)])


def weights(g):
    element_ = element(g)
    if g.flip(0.5):
        return one(b"SET", g.pick([b"w_", b"{tag1}w_"]) + element_, element(g))
    prefix = g.pick([b"o_", b"{tag1}o_"])
    if g.flip(0.05):
        return one(b"DEL", prefix + element_)
    return one(b"HSET", prefix + element_, g.pick([b"n", b"n", b"f", b"n->m"]), element(g))


def limit(g):
    r = g.random()
    if r < 0.9:
        return [g.word(b"LIMIT"), b"%d" % g.between(-2, 12), b"%d" % g.between(-2, 12)]
    return [g.word(b"LIMIT"), g.pick([b"0", I64_MAX, I64_MIN, *BAD_INTS[:6]]), g.pick([b"0", b"-1", I64_MAX, I64_MIN, b"abc"])]


def sort(g):
    key = name(g)
    alpha, limited, stored = g.flip(0.35), g.flip(0.4), g.flip(0.3)
    by = g.pick(PATTERNS) if g.flip(0.4) else g.pick(CONSTANT) if g.flip(0.3) else None
    options = [[g.word(b"ALPHA")]] if alpha else []
    if by is not None:
        options.append([g.word(b"BY"), by])
    if limited:
        options.append(limit(g))
    options += [[g.word(b"GET"), g.pick(PATTERNS + [b"#", b"#"] + CONSTANT)] for _ in range(g.between(1, 3))] if g.flip(0.35) else []
    if g.flip(0.4):
        options.append([g.word(g.pick([b"ASC", b"DESC"]))])
    if stored:
        options.append([g.word(b"STORE"), g.pick(LISTS) if g.flip(0.8) else g.pick(SETS)])
    g.rng.shuffle(options)
    if g.flip(0.02):  # last, so that it takes no other word
        options.append(g.pick([[b"FOO"], [b""], [b"BY"], [b"GET"], [b"STORE"], [b"LIMIT", b"1"], [b"LIMIT"]]))
    if not_told(key, alpha, by, stored):
        return one(b"LLEN", key) if stored else one(b"SORT", key, *[word for option in options for word in option], compare=as_many)
    command = Cmd(g.word(b"SORT" if stored or g.flip(0.7) else b"SORT_RO"), key, *[word for option in options for word in option])
    return [command] if alpha else [RESETS_ERRNO, command]


# Redis 7.0 takes an ERANGE that any earlier command has left behind for one of its own numbers.
RESETS_ERRNO = Cmd(b"SSCAN", b"ss0", b"x")


def not_told(key, alpha, by, stored):
    """Elements may be equal, or nothing is sorted in a set: then Redis does not say which comes first."""
    constant = by is not None and (b"*" not in by.split(b"\0")[0])
    if constant:
        return not stored and key not in LISTS and key not in ZSETS
    return alpha and (by is not None or not stored)


def as_many(ours, reference, session):
    """The same replies in any order, or, where LIMIT cuts them, as many of them."""
    return same.unordered(ours, reference, session) or ours.split(b"\r\n")[0] == reference.split(b"\r\n")[0]


PRODUCERS = [(8, sort), (4, fill), (3, weights)]
