"""Hashes: every hash command, small ones that are listpacks (their order counts) and large ones that are hashtables, and the
way from the one to the other: more fields than hash-max-listpack-entries, a text longer than hash-max-listpack-value."""

import time

from families import compare as same
from families.gen import BAD_INTS, BAD_FLOATS, FLOATS, I64_MAX, I64_MIN, Cmd, one
from support import resp

WEIGHT = 45
MUTATE = True

HASHES = [b"k%d" % i for i in range(12, 18)] + [b"{tag2}:%d" % i for i in range(4)] + [b"user:%d" % i for i in range(4, 8)]

FEW = [b"a", b"b", b"c", b"", b"0", b"1", b"-1", b"127", b"128", b"-4096", b"8388608", I64_MAX, I64_MIN, b"01", b"+1", b"-0", b"1.0", b" 1",
       b"9223372036854775808", b"\x00", b"\r\n", b"\xff\xfe", b"A", b"a\x00b", b"field"]
# 64 bytes are the longest text of a listpack.
LONG = [b"x" * 63, b"x" * 64, b"y" * 65, b"z" * 130, b"w" * 300]
HUGE = [b"h" * 4096, b"i" * 9000, b"j" * 70000, bytes(range(256)) * 20]


def key(g):
    return g.pick(HASHES) if g.flip(0.75) else g.key()


def field(g):
    r = g.random()
    if r < 0.75:
        return g.pick(FEW)
    if r < 0.99:
        return b"f%d" % g.between(0, 150)
    return g.pick(LONG) if r < 0.9995 else g.pick(HUGE)


def value(g):
    r = g.random()
    if r < 0.5:
        return g.pick(FEW)
    if r < 0.7:
        return b"%d" % g.between(-300, 70000)
    if r < 0.8:
        return g.pick(FLOATS)
    if r < 0.985:
        return g.pick(g.small[:10])
    return g.pick(LONG) if r < 0.998 else g.pick(HUGE)


def short(g):
    return g.pick(FEW) if g.flip(0.7) else b"v%d" % g.between(0, 1000)


def fields(g):
    r = g.random()
    return [field(g) for _ in range(g.between(1, 5) if r < 0.95 else g.between(6, 60))]


def pairs(g):
    return [text for name in fields(g) for text in (name, value(g))]


def increment(g):
    r = g.random()
    if r < 0.7:
        return b"%d" % g.between(-20, 100)
    return g.pick([I64_MAX, I64_MIN, b"9223372036854775806", b"4294967296"]) if r < 0.95 else g.pick(BAD_INTS)


def hset(g):
    words = pairs(g)
    if g.flip(0.01):
        words = words[:-1]
    return one(g.word(g.pick([b"HSET", b"HSET", b"HMSET"])), key(g), *words)


def hsetnx(g):
    return one(g.word(b"HSETNX"), key(g), field(g), value(g))


def read_one(g):
    return one(g.word(g.pick([b"HGET", b"HEXISTS", b"HSTRLEN"])), key(g), field(g))


def hmget(g):
    return one(g.word(b"HMGET"), key(g), *fields(g))


def hdel(g):
    return one(g.word(b"HDEL"), key(g), *fields(g))


def hlen(g):
    return one(g.word(b"HLEN"), key(g))


def whole(g):
    """In any order, since it may be a hashtable; whole_order compares the order of listpacks."""
    what = g.pick([b"HGETALL", b"HGETALL", b"HKEYS", b"HVALS"])
    return one(g.word(what), key(g), compare=same.pairs if what == b"HGETALL" else same.unordered)


def hincrby(g):
    return one(g.word(b"HINCRBY"), key(g), field(g), increment(g))


def hincrbyfloat(g):
    by = g.pick(FLOATS) if g.flip(0.9) else g.pick(BAD_FLOATS)
    return one(g.word(b"HINCRBYFLOAT"), key(g), field(g), by)


def whole_order(g):
    """A new listpack answers in the order in which it was filled, whatever is asked."""
    name = key(g)
    steps = [Cmd(b"CONFIG", b"SET", b"hash-max-listpack-entries", b"128", b"hash-max-listpack-value", b"64")]
    steps += [Cmd(b"DEL", name), Cmd(b"HSET", name, *[text for _ in range(g.between(1, 50)) for text in (field(g)[:60], short(g))])]
    steps += [Cmd(b"HSET", name, field(g)[:60], short(g)) for _ in range(g.between(0, 5))]
    steps += [Cmd(b"HDEL", name, field(g)) for _ in range(g.between(0, 5))]
    return steps + [Cmd(b"HGETALL", name), Cmd(b"HKEYS", name), Cmd(b"HVALS", name), Cmd(b"HSCAN", name, b"0"), Cmd(b"HRANDFIELD", name, b"1000"),
                    Cmd(b"HSCAN", name, b"17", b"COUNT", b"1", b"MATCH", g.pick([b"*", b"f*", b"[a-c]", b"1*", b"?", b""])),
                    Cmd(b"HRANDFIELD", name, b"1000", b"WITHVALUES"), Cmd(b"OBJECT", b"ENCODING", name), Cmd(b"DUMP", name)]


def grow(g):
    """Over the border of 128 fields, one by one or at once, and back."""
    name, count = key(g), g.pick([127, 128, 129, 140, 300])
    many = [b"f%d" % i for i in range(count)]
    steps = [Cmd(b"DEL", name)]
    if g.flip(0.5):
        steps += [Cmd(b"HSET", name, *[text for f in many for text in (f, short(g))])]
    else:
        steps += [Cmd(g.pick([b"HSETNX", b"HSET", b"HINCRBY"]), name, f, b"7") for f in many]
    steps += [Cmd(b"OBJECT", b"ENCODING", name), Cmd(b"HLEN", name), Cmd(b"HSETNX", name, b"f5", value(g))]
    steps += [Cmd(b"HDEL", name, *many[: g.between(1, count)]), Cmd(b"OBJECT", b"ENCODING", name)]
    return steps + [Cmd(b"HSET", name, b"f1", g.pick(LONG)), Cmd(b"OBJECT", b"ENCODING", name)]


def border(g):
    """A text of 64 bytes is kept in a listpack, one of 65 is not."""
    name, text = key(g), b"t" * g.pick([63, 64, 65, 66])
    what = g.pick([(b"HSET", name, b"a", text), (b"HSET", name, text, b"a"), (b"HSETNX", name, b"new", text), (b"HSETNX", name, b"a", text),
                   (b"HINCRBY", name, text, b"1"), (b"HINCRBYFLOAT", name, text, b"1.5"), (b"HMSET", name, b"x", b"1", b"y", text)])
    start = [Cmd(b"DEL", name)] + ([Cmd(b"HSET", name, b"a", b"1", b"b", b"2")] if g.flip(0.7) else [])
    return start + [Cmd(*what), Cmd(b"OBJECT", b"ENCODING", name), Cmd(b"HSTRLEN", name, b"a"), Cmd(b"HDEL", name, b"a"), Cmd(b"HGET", name, text)]


def hrandfield(g):
    """Which fields come is up to chance: their number and kind are compared, and whether the hash has them."""
    name = key(g)
    count = b"%d" % g.between(-8, 8) if g.flip(0.85) else g.pick([b"100", b"1000", b"-100", I64_MAX, b"4611686018427387904", I64_MIN] + BAD_INTS)
    words = [g.word(b"HRANDFIELD"), name]
    if g.flip(0.85):
        words.append(count)
        if g.flip(0.5):
            words.append(g.word(b"WITHVALUES"))
        if g.flip(0.03):
            words.append(b"WITHVALUES")

    def live(session):
        everything = session.both(b"HGETALL", name)
        answers = session.both(*words)
        if answers[0] == answers[1]:
            return None
        found = []
        for raw, all_raw in zip(answers, everything):
            if raw[:1] == b"-" or all_raw[:1] == b"-":
                return "%r answered %r and %r" % (words, *answers)
            reply, whole_hash = resp.decode(raw), resp.decode(all_raw)
            whole_hash = list(whole_hash) if isinstance(whole_hash, resp.Map) else list(zip(whole_hash[::2], whole_hash[1::2]))
            whole_hash = {bytes(f): bytes(v) for f, v in whole_hash}
            if len(words) == 2:
                shape, chosen = "one", [(reply, None)]
            elif len(words) == 4 and reply and isinstance(reply[0], list):
                shape, chosen = ("nested", len(reply)), reply
            elif len(words) == 4:
                shape, chosen = ("flat", len(reply)), list(zip(reply[::2], reply[1::2]))
            else:
                shape, chosen = ("fields", len(reply)), [(f, None) for f in reply]
            if any(f not in whole_hash or (v is not None and whole_hash[f] != v) for f, v in chosen):
                return "%r answered what the hash has not: %r" % (words, reply)
            if len(words) > 2 and int(words[2]) > 0 and len({f for f, _ in chosen}) != len(chosen):
                return "%r answered a field twice: %r" % (words, reply)
            found.append(shape)
        return None if found[0] == found[1] else "%r answered %r and %r" % (words, *answers)

    return [Cmd(*words, live=live)]


def hscan(g):
    """A whole round lists the same pairs on both sides, each once; one call with bad options answers the same error."""
    name = key(g)
    if g.flip(0.4):
        options = g.pick([[b"COUNT", b"0"], [b"COUNT", b"-1"], [b"COUNT", b"x"], [b"COUNT"], [b"MATCH"], [b"FOO"], [b"TYPE", b"hash"], [b"COUNT", b"5", b"MATCH"],
                          [b"NOVALUES"]])
        return one(g.word(b"HSCAN"), name, g.pick([b"0", b"0", b"x", b"", b"-"]), *options)
    options = []
    if g.flip(0.6):
        options += [g.word(b"COUNT"), g.pick([b"1", b"3", b"10", b"100", b"100000"])]
    if g.flip(0.4):
        options += [g.word(b"MATCH"), g.pick([b"*", b"f*", b"f1?", b"[a-c]", b"*1", b"?", b"", b"\\*"])]

    def live(session):
        found = []
        for client in session.current():
            cursor, got, calls = b"0", [], 0
            while calls < 10000:
                answer = client.call(b"HSCAN", name, cursor, *options)
                calls += 1
                if not isinstance(answer, list):
                    got = [answer]
                    break
                cursor = bytes(answer[0])
                got += list(zip(answer[1][::2], answer[1][1::2]))
                if cursor == b"0":
                    break
            if calls == 10000:
                return "HSCAN %r does not end" % name
            found.append(got)
        # redis-server may answer a field twice while its table is rehashed, but then the pair is the same.
        ours, reference = (sorted(map(repr, got)) for got in found)
        if len(set(ours)) != len(ours):
            return "HSCAN %r %r listed a field twice" % (name, options)
        return None if ours == sorted(set(reference)) else "HSCAN %r %r lists %r and %r" % (name, options, *found)

    return [Cmd(b"(hscan)", name, *options, live=live)]


def drain(g):
    """A hash without fields is gone, with its deadline."""
    name = key(g)
    mine = [field(g) for _ in range(3)]
    return [Cmd(b"DEL", name), Cmd(b"HSET", name, *[t for f in mine for t in (f, value(g))]), Cmd(b"EXPIREAT", name, b"4000000000"),
            Cmd(b"HDEL", name, mine[0], mine[0]), Cmd(b"EXPIRETIME", name), Cmd(b"HDEL", name, *mine), Cmd(b"EXISTS", name), Cmd(b"HSET", name, b"n", b"1"),
            Cmd(b"TTL", name, compare=same.TTL_S)]


def with_deadline(g):
    name = key(g)
    steps = [Cmd(b"HSET", name, *pairs(g)), Cmd(b"EXPIREAT", name, b"4000000000")]
    steps += [g.pick([Cmd(b"HSET", name, *pairs(g)), Cmd(b"HINCRBY", name, b"count", b"1"), Cmd(b"HDEL", name, field(g)), Cmd(b"HSET", name, field(g), g.pick(LONG))])
              for _ in range(g.between(1, 3))]
    return steps + [Cmd(b"EXPIRETIME", name)]


def keys_of_any_type(g):
    a, b = key(g), key(g)
    return one(*g.pick([
        (b"TYPE", a), (b"OBJECT", b"ENCODING", a), (b"RENAME", a, b), (b"RENAMENX", a, b), (b"COPY", a, b), (b"COPY", a, b, b"REPLACE"),
        (b"COPY", a, b, b"DB", b"1", b"REPLACE"), (b"MOVE", a, b"2"), (b"EXPIREAT", a, b"4000000000"), (b"PERSIST", a), (b"DEL", a), (b"UNLINK", a, b),
        (b"EXISTS", a, b), (b"TOUCH", a)]))


def dump(g):
    return one(b"DUMP", key(g), compare=same.dump)


def as_another_type(g):
    """Commands of other types on hash keys."""
    name = key(g)
    return one(*g.pick([
        (b"GET", name), (b"APPEND", name, b"x"), (b"INCR", name), (b"STRLEN", name), (b"GETSET", name, b"x"), (b"GETDEL", name), (b"SETNX", name, b"x"),
        (b"SET", name, b"x", b"GET"), (b"MGET", name, key(g)), (b"MSETNX", name, b"x"), (b"SET", name, b"x"), (b"LPUSH", name, b"x"), (b"LLEN", name),
        (b"LRANGE", name, b"0", b"-1"), (b"LMOVE", name, key(g), b"LEFT", b"LEFT"), (b"LPOP", name)]))


def limits(g):
    """Other limits, under both of their names; what clients see follows."""
    return one(b"CONFIG", b"SET", *g.pick([
        (b"hash-max-listpack-entries", b"128"), (b"hash-max-listpack-entries", b"128"), (b"hash-max-ziplist-entries", b"5"), (b"hash-max-listpack-entries", b"0"),
        (b"hash-max-listpack-entries", b"1000"), (b"hash-max-listpack-value", b"64"), (b"hash-max-listpack-value", b"64"), (b"hash-max-ziplist-value", b"10"),
        (b"hash-max-listpack-value", b"5000")]))


def short_life(g):
    name, ms = key(g), b"%d" % g.between(1, 30)
    many = pairs(g)
    after = g.pick([(b"HLEN", name), (b"HSETNX", name, b"a", b"1"), (b"HDEL", name, b"a"), (b"HINCRBY", name, b"a", b"1"), (b"HGETALL", name), (b"HSCAN", name, b"0")])

    def live(session):
        session.both(b"DEL", name)
        session.both(b"HSET", name, *many)
        session.both(b"PEXPIRE", name, ms)
        deadline = time.monotonic() + 20
        while any(client.call(b"EXISTS", name) for client in session.current()):
            if time.monotonic() > deadline:
                return "a hash with a life of %s ms is still there after 20 s" % ms.decode()
        for command in (after, (b"TTL", name), (b"TYPE", name)):
            ours, reference = session.both(*command)
            if ours != reference:
                return "after expiry %r answered %r and %r" % (command, ours, reference)
        return None

    return [Cmd(b"(short life)", name, ms, *after, live=live)]


PRODUCERS = [
    (18, hset), (4, hsetnx), (10, read_one), (6, hmget), (9, hdel), (4, hlen), (10, whole), (8, hincrby), (6, hincrbyfloat), (1.5, whole_order),
    (0.15, grow), (1.5, border), (2, hrandfield), (2, hscan), (1, drain), (1, with_deadline), (6, keys_of_any_type), (4, dump), (4, as_another_type), (0.3, limits),
    (0.02, short_life),
]
