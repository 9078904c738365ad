"""Sorted sets: every command on them, short ones and long ones, every kind of place, and scores at the edges of doubles."""

from families import compare as same
from families.gen import BAD_INTS, I64_MAX, I64_MIN, Cmd, one

WEIGHT = 60
MUTATE = True

# Where sorted sets meet each other; one time in six any key, so that they also meet everything else.
ZSETS = ([b"z%d" % i for i in range(5)] + [b"{tag1}:z%d" % i for i in range(5)] + [b"{tag1}:%d" % i for i in range(4)]
         + [b"k%d" % i for i in range(16, 20)])
# Only equal scores ever get into these: places by member are meaningful in them, and nowhere else.
LEX = [b"lex%d" % i for i in range(3)] + [b"{tag1}:lex%d" % i for i in range(3)]

FEW = [b"a", b"b", b"c", b"d", b"", b"0", b"1", b"-1", b"10", b"127", b"128", b"-4097", b"8388608", I64_MAX, I64_MIN, b"01", b"+1", b"-0", b"1.0",
       b"\x00", b"\xff\xfe", b"A", b"aa", b"ab", b"\xc3\xa4"]
LONG = [b"x" * 63, b"x" * 64, b"x" * 65, b"y" * 130, b"z" * 254, b"z" * 255, b"z" * 256, b"w" * 3000]
SCORES = [b"0", b"-0", b"1", b"-1", b"2", b"3", b"1.5", b"-1.5", b"0.1", b"0.30000000000000004", b"1e3", b"1e17", b"123456789012345680", b"inf", b"-inf",
          b"+inf", b"Infinity", b"1e308", b"-1e308", b"5e-324", b"4503599627370496", b"4503599627370497", b"9007199254740992", b"9007199254740993",
          b"-9007199254740993", b"3.14159265358979", b"0x10", b"1.", b".5", b"100", b"1e-7", b"17.5"]
BAD_SCORES = [b"", b"abc", b" 1", b"1 ", b"nan", b"-nan", b"1e5000", b"1.5x", b"1\x00", b"(1", b"--1", b"1e-5000"]


def key(g):
    return g.pick(ZSETS) if g.flip(0.84) else g.key()


def member(g):
    r = g.random()
    if r < 0.7:
        return g.pick(FEW)
    return b"m%d" % g.between(0, 400) if r < 0.985 else g.pick(LONG)


def score(g):
    r = g.random()
    if r < 0.5:
        return b"%d" % g.between(-6, 12)
    if r < 0.95:
        return g.pick(SCORES)
    return b"%.4g" % (g.random() * 20 - 5) if r < 0.985 else g.pick(BAD_SCORES)


def pairs(g, score=score):
    r = g.random()
    many = g.between(1, 4) if r < 0.88 else g.between(5, 40) if r < 0.985 else g.between(90, 300)
    return [word for _ in range(many) for word in (score(g), member(g))]


def integer(g):
    r = g.random()
    if r < 0.75:
        return b"%d" % g.between(-6, 8)
    return b"%d" % g.between(-150, 200) if r < 0.92 else g.pick([I64_MAX, I64_MIN, b"4294967296"]) if r < 0.96 else g.pick(BAD_INTS)


def score_place(g):
    r = g.random()
    if r < 0.25:
        return g.pick([b"-inf", b"+inf", b"inf", b"(inf", b"(-inf"])
    return (b"(" if g.flip(0.3) else b"") + (score(g) if r < 0.97 else g.pick([b"", b" 1", b"1\x00x", b"(", b"1e999", b"[1", b"nan"]))


def member_place(g):
    r = g.random()
    if r < 0.25:
        return g.pick([b"-", b"+"])
    return g.pick([b"[", b"("]) + member(g) if r < 0.96 else g.pick([b"", b"a", b"--", b"+x", b"+\x00", b"-\x00a", b"[", b"("])


def zadd(g):
    options = []
    if g.flip(0.35):
        options = [g.word(g.pick([b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR"])) for _ in range(g.between(1, 3))]
    if g.flip(0.12):
        return one(g.word(b"ZADD"), key(g), *options, g.word(b"INCR"), score(g), member(g))
    return one(g.word(b"ZADD"), key(g), *options, *pairs(g))


def zadd_lex(g):
    name = g.pick(LEX)
    return one(b"ZADD", name, *pairs(g, score=lambda _: b"0"))


def zincrby(g):
    return one(g.word(b"ZINCRBY"), key(g), score(g), member(g))


def zrem(g):
    return one(g.word(b"ZREM"), key(g), *[member(g) for _ in range(g.between(1, 5))])


def zscore(g):
    return one(g.word(b"ZSCORE"), key(g), member(g))


def zmscore(g):
    return one(g.word(b"ZMSCORE"), key(g), *[member(g) for _ in range(g.between(1, 5))])


def zcard(g):
    return one(g.word(b"ZCARD"), key(g))


def zrank(g):
    return one(g.word(g.pick([b"ZRANK", b"ZREVRANK"])), key(g), member(g))


def zcount(g):
    return one(g.word(b"ZCOUNT"), key(g), score_place(g), score_place(g))


def zlexcount(g):
    return one(g.word(b"ZLEXCOUNT"), g.pick(LEX), member_place(g), member_place(g))


def limit(g):
    return [g.word(b"LIMIT"), integer(g), integer(g)] if g.flip(0.35) else []


def with_scores(g):
    return [g.word(b"WITHSCORES")] if g.flip(0.5) else []


def zrange_forms(g):
    """Key, two places and options of ZRANGE, without WITHSCORES."""
    r = g.random()
    rev = [g.word(b"REV")] if g.flip(0.4) else []
    if r < 0.4:
        words = [key(g), integer(g), integer(g)]
        options = [rev, limit(g) if g.flip(0.06) else []]
    elif r < 0.75:
        words = [key(g), score_place(g), score_place(g)]
        options = [rev, [g.word(b"BYSCORE")], limit(g)]
    else:
        words = [g.pick(LEX), member_place(g), member_place(g)]
        options = [rev, [g.word(b"BYLEX")], limit(g)]
    if g.flip(0.03):
        options.append(g.pick([[b"BYSCORE"], [b"REV"], [b"LIMIT", b"1"], [b"FOO"], [b""], [b"WITHSCORES"], [b"LIMIT"]]))
    g.rng.shuffle(options)
    return words + [word for option in options for word in option]


def zrange(g):
    scores = with_scores(g) if g.flip(0.8) else []
    return one(g.word(b"ZRANGE"), *zrange_forms(g), *scores)


def old_ranges(g):
    r = g.random()
    scores = with_scores(g)
    if r < 0.3:
        return one(g.word(b"ZREVRANGE"), key(g), integer(g), integer(g), *scores, *(limit(g) if g.flip(0.05) else []))
    if r < 0.75:
        options = [scores, limit(g)]
        g.rng.shuffle(options)
        return one(g.word(g.pick([b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE"])), key(g), score_place(g), score_place(g), *options[0], *options[1])
    return one(g.word(g.pick([b"ZRANGEBYLEX", b"ZREVRANGEBYLEX"])), g.pick(LEX), member_place(g), member_place(g), *limit(g),
               *(scores if g.flip(0.05) else []))


def zrangestore(g):
    target = key(g)
    return one(g.word(b"ZRANGESTORE"), target, *zrange_forms(g))


def zremrange(g):
    r = g.random()
    if r < 0.4:
        return one(g.word(b"ZREMRANGEBYRANK"), key(g), integer(g), integer(g))
    if r < 0.75:
        return one(g.word(b"ZREMRANGEBYSCORE"), key(g), score_place(g), score_place(g))
    return one(g.word(b"ZREMRANGEBYLEX"), g.pick(LEX), member_place(g), member_place(g))


def zpop(g):
    return one(g.word(g.pick([b"ZPOPMIN", b"ZPOPMAX"])), key(g), *([integer(g)] if g.flip(0.5) else []), *([b"1"] if g.flip(0.02) else []))


def numkeys(g, keys):
    return b"%d" % len(keys) if g.flip(0.96) else g.pick([b"0", b"-1", b"1", b"2", b"7", b"abc", b"", I64_MAX, b"4294967297"])


BAD_TIMEOUTS = [b"abc", b"-1", b"", b"1e400", b"nan"]


def zmpop(g, blocking=False):
    keys = [key(g) for _ in range(g.between(1, 5))]
    options = [g.word(b"COUNT"), integer(g)] if g.flip(0.5) else []
    if g.flip(0.03):
        options += g.pick([[b"COUNT"], [b"COUNT", b"1"], [b"FOO"], [b""]])
    end = g.word(g.pick([b"MIN", b"MAX"])) if g.flip(0.98) else g.pick([b"", b"MI", b"LEFT"])
    head = [b"BZMPOP", b"0.001" if g.flip(0.96) else g.pick(BAD_TIMEOUTS)] if blocking else [g.word(b"ZMPOP")]
    return one(*head, numkeys(g, keys), *keys, end, *options)


def bzpop(g):
    """Mostly of sets that are there; else for a millisecond."""
    if g.flip(0.4):
        return zmpop(g, blocking=True)
    timeout = b"0.001" if g.flip(0.96) else g.pick(BAD_TIMEOUTS)
    return one(g.word(g.pick([b"BZPOPMIN", b"BZPOPMAX"])), *[key(g) for _ in range(g.between(1, 3))], timeout)


def join(g):
    name = g.pick([b"ZUNION", b"ZINTER", b"ZDIFF", b"ZINTERCARD", b"ZUNIONSTORE", b"ZINTERSTORE", b"ZDIFFSTORE"])
    keys = [key(g) for _ in range(g.between(1, 4))]
    stores, diff, card = name.endswith(b"STORE"), name.startswith(b"ZDIFF"), name.endswith(b"CARD")
    options = []
    if g.flip(0.4 if not (diff or card) else 0.03):
        options.append([g.word(b"WEIGHTS"), *[score(g) for _ in keys]])
    if g.flip(0.4 if not (diff or card) else 0.03):
        options.append([g.word(b"AGGREGATE"), g.word(g.pick([b"SUM", b"MIN", b"MAX"])) if g.flip(0.97) else b"AVG"])
    if g.flip(0.5 if not (stores or card) else 0.03):
        options.append([g.word(b"WITHSCORES")])
    if g.flip(0.5 if card else 0.02):
        options.append([g.word(b"LIMIT"), integer(g)])
    g.rng.shuffle(options)
    target = [key(g)] if stores else []
    return one(g.word(name), *target, numkeys(g, keys), *keys, *[word for option in options for word in option])


def _count(g):
    return g.pick([b"0", b"1", b"-1", b"1000", b"1000", b"-3", b"5"]) if g.flip(0.9) else integer(g)


def zrandmember(g):
    """Which ones is chance; all of them, how many, and errors are not."""
    name = key(g)
    r = g.random()
    if r < 0.3:
        return one(b"ZRANDMEMBER", name, compare=same.same_type)
    if r < 0.55:
        return one(b"ZRANDMEMBER", name, b"100000", compare=same.unordered)
    if r < 0.7:
        return one(b"ZRANDMEMBER", name, b"100000", b"WITHSCORES", compare=_same_members)
    if r < 0.9:
        return one(b"ZRANDMEMBER", name, b"%d" % g.between(-5, 5), *with_scores(g), compare=_same_length)
    return one(b"ZRANDMEMBER", name, g.pick(BAD_INTS + [I64_MIN]), *g.pick([[], [b"WITHSCORES"], [b"FOO"], [b"WITHSCORES", b"x"]]))


@same._typed
def _same_length(a, b, _session):
    return not isinstance(a, list) or len(a) == len(b)


@same._typed
def _same_members(a, b, _session):
    """Flat (RESP2) or pairs (RESP3), in any order."""
    def flat(x):
        return sorted(map(repr, x if x and isinstance(x[0], list) else zip(x[::2], x[1::2])))
    return flat(a) == flat(b)


def zscan(g):
    """One call on a short set is all of it; a long one is walked to its end on both sides."""
    name = key(g)
    if g.flip(0.25):
        return one(b"ZSCAN", name, g.pick([b"x", b"-", b"1e3"]), compare=same.same_type)
    if g.flip(0.1):
        return one(b"ZSCAN", name, b"0", *g.pick([[b"COUNT", b"0"], [b"COUNT", b"x"], [b"MATCH"], [b"TYPE", b"zset"], [b"FOO", b"1"]]), compare=same.same_type)
    options = g.pick([[], [b"COUNT", b"3"], [b"COUNT", b"1000"], [b"MATCH", b"m*"], [b"MATCH", b"*"], [b"MATCH", b"a"]])

    def live(session):
        found = []
        for client in session.current():
            cursor, all_pairs = b"0", set()
            for _ in range(2000):
                reply = client.call(b"ZSCAN", name, cursor, *options)
                if not isinstance(reply, list):
                    all_pairs = repr(reply)
                    break
                cursor, flat = reply
                all_pairs.update(zip(flat[::2], flat[1::2]))
                if cursor == b"0":
                    break
            found.append(all_pairs)
        return None if found[0] == found[1] else "ZSCAN of %r found %r and %r" % (name, found[0], found[1])

    return [Cmd(b"(scan)", name, live=live)]


def grow(g):
    """A long set, changed all over and read back."""
    name = key(g)
    steps = [Cmd(b"ZADD", name, *[word for _ in range(g.between(130, 500)) for word in (score(g), b"g%d" % g.between(0, 900))])]
    for _ in range(g.between(5, 30)):
        steps += g.pick([zadd, zincrby, zrem, zremrange, zrank, zrange])(g)
    return steps + [Cmd(b"ZRANGE", name, b"0", b"-1", b"WITHSCORES"), Cmd(b"OBJECT", b"ENCODING", name)]


def limits(g):
    """What stays a listpack; what was made before stays as it was."""
    return one(b"CONFIG", b"SET", *g.pick([(b"zset-max-listpack-entries", b"128"), (b"zset-max-listpack-entries", b"4"), (b"zset-max-listpack-entries", b"0"),
                                           (b"zset-max-listpack-entries", b"400"), (b"zset-max-listpack-value", b"64"), (b"zset-max-listpack-value", b"3"),
                                           (b"zset-max-ziplist-entries", b"128"), (b"zset-max-ziplist-value", b"64")]))


def with_deadline(g):
    """What keeps a deadline and what makes a new key without one."""
    name = key(g)
    steps = [Cmd(b"ZADD", name, b"1", member(g)), Cmd(b"EXPIREAT", name, b"4000000000")]
    steps += [g.pick([Cmd(b"ZADD", name, *pairs(g)), Cmd(b"ZPOPMIN", name), Cmd(b"ZINCRBY", name, b"1", member(g)), Cmd(b"ZREM", name, member(g)),
                      Cmd(b"ZUNIONSTORE", name, b"1", name), Cmd(b"ZRANGESTORE", name, name, b"0", b"-1"), Cmd(b"ZREMRANGEBYRANK", name, b"0", b"0")])
              for _ in range(g.between(1, 3))]
    return steps + [Cmd(b"EXPIRETIME", name)]


def keys_of_any_type(g):
    """Generic and string commands on sorted sets."""
    a, b = key(g), key(g)
    return one(*g.pick([
        (b"TYPE", a), (b"OBJECT", b"ENCODING", a), (b"RENAME", a, b), (b"RENAMENX", a, b), (b"COPY", a, b), (b"COPY", a, b, b"REPLACE"),
        (b"COPY", a, b, b"DB", b"1", b"REPLACE"), (b"MOVE", a, b"2"), (b"EXPIREAT", a, b"4000000000"), (b"PERSIST", a), (b"DEL", a), (b"UNLINK", a, b),
        (b"EXISTS", a, b), (b"GET", a), (b"APPEND", a, b"x"), (b"INCR", a), (b"LPUSH", a, b"x"), (b"LRANGE", a, b"0", b"-1"), (b"SET", a, b"x", b"GET"),
        (b"SET", a, b"x"), (b"LMOVE", a, b, b"LEFT", b"LEFT"), (b"SADD", a, b"1", b"a", b"127"), (b"SADD", a, b"1", b"10", b"-1")]))


def dump(g):
    return one(b"DUMP", key(g), compare=same.dump)


PRODUCERS = [
    (18, zadd), (5, zadd_lex), (6, zincrby), (6, zrem), (4, zscore), (2, zmscore), (2, zcard), (4, zrank), (4, zcount), (3, zlexcount), (9, zrange), (7, old_ranges),
    (4, zrangestore), (3, zremrange), (4, zpop), (3, zmpop), (0.4, bzpop), (9, join), (3, zrandmember), (2, zscan), (0.3, grow), (0.4, limits), (1, with_deadline),
    (5, keys_of_any_type), (1.5, dump),
]
