"""Sets: every set command, intsets and tables, small and large ones. Order is each server's own, and so is chance: of what
is drawn at random, kind and number are compared, and that it was in the set."""

import time

from families import compare as same
from families.gen import BAD_INTS, I64_MAX, I64_MIN, Cmd, one
from support import resp

WEIGHT = 45
MUTATE = True

# Where sets meet sets; one time in four any key, so that they also meet everything else.
SETS = [b"k%d" % i for i in range(8, 14)] + [b"{tag2}:%d" % i for i in range(4)] + [b"user:%d" % i for i in range(4, 8)]

FEW = [b"a", b"b", b"c", b"", b"01", b"+1", b"-0", b"1.0", b" 1", b"9223372036854775808", b"\x00", b"\r\n", b"\xff\xfe", b"A"]
NUMBERS = [b"0", b"1", b"-1", b"2", b"3", b"32767", b"32768", b"-32768", b"-32769", b"2147483647", b"2147483648", b"-2147483649", I64_MAX, I64_MIN]
LONG = [b"x" * 63, b"x" * 64, b"y" * 254, b"y" * 255, b"z" * 256, b"w" * 500, b"w" * 511, b"u" * 4096]
HUGE = [b"h" * 20000, bytes(range(256)) * 60]


def key(g):
    return g.pick(SETS) if g.flip(0.75) else g.key()


def member(g):
    r = g.random()
    if r < 0.35:
        return g.pick(NUMBERS)
    if r < 0.6:
        return b"%d" % g.between(-20, 40)
    if r < 0.95:
        return g.pick(FEW) if g.flip(0.6) else b"m%d" % g.between(0, 30)
    return g.pick(LONG) if r < 0.995 else g.pick(HUGE)


def number(g):
    return g.pick(NUMBERS) if g.flip(0.3) else b"%d" % g.between(-300, 300)


def members(g):
    """Mostly a few, of integers only one time in two; now and then so many that a set gets another form."""
    draw = number if g.flip(0.5) else member
    r = g.random()
    if r < 0.9:
        return [draw(g) for _ in range(g.between(1, 5))]
    if r < 0.99:
        return [draw(g) for _ in range(g.between(6, 60))]
    start, step = g.between(-1000, 1000), g.pick([1, 7, 100_000_000])
    return [b"%d" % (start + i * step) for i in range(g.between(300, 700))]


def count(g):
    r = g.random()
    if r < 0.75:
        return b"%d" % g.between(0, 8)
    return g.pick([b"100", b"1000", b"-1", b"-3", I64_MAX, b"4294967296"]) if r < 0.92 else g.pick(BAD_INTS)


@same._typed
def as_many(a, b, _session):
    """Of what was drawn at random: one or none, or the same number."""
    return len(a) == len(b) if isinstance(a, same.MANY) else type(a) is type(b)


def sadd(g):
    return one(g.word(b"SADD"), key(g), *members(g))


def srem(g):
    return one(g.word(b"SREM"), key(g), *members(g))


def scard(g):
    return one(g.word(b"SCARD"), key(g))


def sismember(g):
    return one(g.word(b"SISMEMBER"), key(g), member(g))


def smismember(g):
    return one(g.word(b"SMISMEMBER"), key(g), *[member(g) for _ in range(g.between(1, 5))])


def smembers(g):
    return one(g.word(b"SMEMBERS"), key(g), compare=same.unordered)


def smove(g):
    source = key(g)
    return one(g.word(b"SMOVE"), source, source if g.flip(0.1) else key(g), member(g))


def keys(g):
    """Often one of them twice, now and then many."""
    names = [key(g) for _ in range(g.between(1, 4) if g.flip(0.95) else g.between(5, 30))]
    return names + [g.pick(names)] if g.flip(0.1) else names


def algebra(g):
    return one(g.word(g.pick([b"SINTER", b"SUNION", b"SDIFF"])), *keys(g), compare=same.unordered)


def store(g):
    """The destination may be a source, and hold anything."""
    target = key(g)
    return [Cmd(g.word(g.pick([b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE"])), target, *keys(g)), Cmd(b"OBJECT", b"ENCODING", target),
            Cmd(b"SCARD", target)]


def store_mutated(g):
    return one(g.pick([b"SINTERSTORE", b"SUNIONSTORE", b"SDIFFSTORE"]), key(g), *keys(g))


def sintercard(g):
    names = keys(g)
    numkeys = b"%d" % len(names) if g.flip(0.95) else g.pick([b"0", b"-1", b"1", b"2", b"7", b"abc", b"", I64_MAX, b"4294967297"])
    options = []
    if g.flip(0.5):
        options += [g.word(b"LIMIT"), count(g)]
    if g.flip(0.03):
        options += g.pick([[b"LIMIT"], [b"LIMIT", b"1"], [b"FOO"], [b""]])
    return one(g.word(b"SINTERCARD"), numkeys, *names, *options)


def srandmember(g):
    options = [count(g)] if g.flip(0.6) else []
    if options == [b"-9223372036854775808"]:
        options = [b"-9223372036854775809"]
    return one(g.word(b"SRANDMEMBER"), key(g), *options, compare=as_many)


def srandmember_errors(g):
    return one(b"SRANDMEMBER", key(g), g.pick([I64_MIN, b"x", b"", b"1.5"]))


def spop_errors(g):
    return one(*g.pick([(b"SPOP",), (b"SPOP", key(g), b"-1"), (b"SPOP", key(g), b"x"), (b"SPOP", key(g), b"1", b"2"), (b"SPOP", key(g), b"0")])) + [
        Cmd(b"PING")]


def spop_all(g):
    """The end of a set: the key is gone then, with its deadline."""
    name = key(g)
    how = g.pick([[Cmd(b"SPOP", name, g.pick([b"1000000", I64_MAX]), compare=same.unordered)], [Cmd(b"SPOP", name, b"1000000", compare=same.unordered)],
                  [Cmd(b"DEL", name), Cmd(b"SADD", name, b"only"), Cmd(b"SPOP", name)], [Cmd(b"DEL", name), Cmd(b"SADD", name, b"7"), Cmd(b"SPOP", name)]])
    return how + [Cmd(b"EXISTS", name), Cmd(b"TTL", name, compare=same.TTL_S)]


def check_drawn(client, name, before, words, pops):
    """None, or what is wrong with one server's SPOP or SRANDMEMBER."""
    reply = client.call(*words)
    drawn = [reply] if isinstance(reply, bytes) else list(reply) if isinstance(reply, same.MANY) else []
    repeats = words[0] == b"SRANDMEMBER" and len(words) == 3 and words[2].startswith(b"-")
    if not set(drawn) <= before or (not repeats and len(set(drawn)) != len(drawn)):
        return "%r of %d members answered %r" % (words, len(before), drawn[:20])
    after = client.call(b"SMEMBERS", name)
    if sorted(after) != sorted(before - set(drawn) if pops else before):
        return "%r: %d members before, %d drawn, %d left" % (words, len(before), len(drawn), len(after))
    return None


def draw(g):
    """SPOP and SRANDMEMBER by themselves; after SPOP both servers get what ours has left."""
    name, pops = key(g), g.flip(0.5)
    words = [b"SPOP" if pops else b"SRANDMEMBER", name]
    if g.flip(0.7):
        words.append(b"%d" % (g.between(0, 40) if pops or g.flip(0.6) else g.between(-40, -1)))

    def live(session):
        ours, reference = session.current()
        if ours.call(b"TYPE", name) != b"set":
            return None
        before = set(ours.call(b"SMEMBERS", name))
        plain = before.isdisjoint(NUMBERS) and not any(text.lstrip(b"-").isdigit() for text in before)
        encodings = []
        for client in (ours, reference):
            wrong = check_drawn(client, name, before, words, pops)
            if wrong:
                return "%s: %s" % ("sherd" if client is ours else "redis", wrong)
            encodings.append(client.call(b"OBJECT", b"ENCODING", name))
        if (plain or encodings[1] == b"intset" and len(before) < 20 and not pops) and repr(encodings[0]) != repr(encodings[1]):
            return "after %r the encoding is %r and %r" % (words, encodings[0], encodings[1])
        payload = ours.call(b"DUMP", name)
        if pops and isinstance(payload, bytes):
            for client in (ours, reference):
                restored = client.call(b"RESTORE", name, b"0", payload, b"REPLACE")
                if restored != resp.OK:
                    return "RESTORE of what is left answered %r" % (restored,)
        return None

    return [Cmd(*words, b"(checked)", live=live)]


PATTERNS = [b"*", b"a*", b"m*", b"?", b"[0-9]", b"-*", b"", b"m?", b"x*", b"*1*"]


def sscan(g):
    """A complete iteration on both; what came must be the same members (duplicates are allowed)."""
    name, options = key(g), []
    if g.flip(0.5):
        options += [g.word(b"MATCH"), g.pick(PATTERNS)]
    if g.flip(0.6):
        options += [g.word(b"COUNT"), g.pick([b"1", b"2", b"10", b"100", b"1000"])]

    def live(session):
        found = []
        for client in session.current():
            cursor, seen = b"0", set()
            for _ in range(100_000):
                reply = client.call(b"SSCAN", name, cursor, *options)
                if not isinstance(reply, list):
                    seen.add(repr(reply))
                    break
                cursor = reply[0]
                seen.update(reply[1])
                if cursor == b"0":
                    break
            else:
                return "SSCAN does not come to an end"
            found.append(seen)
        if found[0] != found[1]:
            return "SSCAN found other members: only ours %r, only reference %r" % (found[0] - found[1], found[1] - found[0])
        return None

    return [Cmd(b"SSCAN", name, b"0", b"(complete)", *options, live=live)]


def sscan_errors(g):
    name = key(g)
    return one(*g.pick([(b"SSCAN",), (b"SSCAN", name), (b"SSCAN", name, b"abc"), (b"SSCAN", b"nokey", b"0"), (b"SSCAN", b"nokey", b"0", b"FOO"),
                        (b"SSCAN", b"nokey", b"7", b"COUNT", b"x"), (b"SSCAN", b"{tag2}:0", b"-1x"), (b"SSCAN", b"nokey", b" 1")])) + [Cmd(b"PING")]


def sscan_options(g):
    """On a set that is there for certain."""
    name = key(g)
    options = g.pick([(b"COUNT", b"0"), (b"COUNT", b"-1"), (b"COUNT", b"x"), (b"COUNT",), (b"FOO",), (b"MATCH",), (b"FOO", b"BAR"), (b"TYPE", b"set"),
                      (b"COUNT", b"10", b"FOO")])
    return [Cmd(b"DEL", name), Cmd(b"SADD", name, b"1"), Cmd(b"SSCAN", name, b"0", *options), Cmd(b"SSCAN", name, b"0"), Cmd(b"SSCAN", name, b"0", b"MATCH", b"2")]


def limit(g):
    """What counts as an intset. Our other threads learn of it when they next begin a turn: at once, but not at the same time."""
    words = (b"CONFIG", b"SET", b"set-max-intset-entries", g.pick([b"512", b"512", b"512", b"0", b"1", b"5", b"1000"]))

    def live(session):
        ours, reference = session.both(*words)
        time.sleep(0.05)
        return None if ours == reference else "%r answered %r and %r" % (words, ours, reference)

    return [Cmd(*words, live=live)]


def encodings(g):
    """From integers to anything, step by step."""
    name = key(g)
    steps = [Cmd(b"DEL", name)]
    for _ in range(g.between(2, 8)):
        steps += [Cmd(b"SADD", name, *members(g)), Cmd(b"OBJECT", b"ENCODING", name)]
        if g.flip(0.3):
            steps += [Cmd(b"SREM", name, *members(g)), Cmd(b"TYPE", name)]
    return steps


def with_deadline(g):
    """What keeps a deadline and what makes a new key without one."""
    name = key(g)
    steps = [Cmd(b"SADD", name, member(g)), Cmd(b"EXPIREAT", name, b"4000000000")]
    steps += [g.pick([Cmd(b"SADD", name, *members(g)), Cmd(b"SREM", name, member(g)), Cmd(b"SMOVE", name, key(g), member(g)),
                      Cmd(b"SUNIONSTORE", name, name), Cmd(b"SMOVE", key(g), name, member(g))]) for _ in range(g.between(1, 3))]
    return steps + [Cmd(b"EXPIRETIME", name)]


def keys_of_any_type(g):
    """Generic commands on set keys."""
    a, b = key(g), key(g)
    return one(*g.pick([
        (b"TYPE", a), (b"OBJECT", b"ENCODING", a), (b"RENAME", a, b), (b"RENAMENX", a, b), (b"COPY", a, b), (b"COPY", a, b, b"REPLACE"),
        (b"COPY", a, b, b"DB", b"1", b"REPLACE"), (b"MOVE", a, b"2"), (b"EXPIREAT", a, b"4000000000"), (b"PERSIST", a),
        (b"DEL", a), (b"UNLINK", a, b), (b"EXISTS", a, b), (b"TOUCH", a)]))


def dump(g):
    return one(b"DUMP", key(g), compare=same.dump)


def as_other(g):
    """Commands of other types on set keys, and sets overwritten."""
    name = key(g)
    return one(*g.pick([
        (b"GET", name), (b"APPEND", name, b"x"), (b"INCR", name), (b"STRLEN", name), (b"GETRANGE", name, b"0", b"-1"), (b"GETSET", name, b"x"),
        (b"GETDEL", name), (b"SETNX", name, b"x"), (b"SET", name, b"x", b"GET"), (b"SET", name, b"1", b"XX", b"KEEPTTL"), (b"MGET", name, key(g)),
        (b"LPUSH", name, b"x"), (b"LLEN", name), (b"RPOPLPUSH", name, name), (b"LMPOP", b"1", name, b"LEFT"), (b"SET", name, b"x")]))


def short_life(g):
    """Sets that expire within milliseconds are gone on both sides."""
    name, other, ms = key(g), key(g), b"%d" % g.between(1, 30)
    many = members(g)
    after = g.pick([(b"SCARD", name), (b"SADD", name, b"a"), (b"SPOP", name), (b"SMOVE", name, other, b"a"), (b"SISMEMBER", name, many[0]),
                    (b"SRANDMEMBER", name), (b"SUNIONSTORE", other, name), (b"SINTER", name, other), (b"SSCAN", name, b"0")])

    def live(session):
        session.both(b"DEL", name)
        session.both(b"SADD", name, *many)
        session.both(b"PEXPIRE", name, ms)
        deadline = time.monotonic() + 20
        while any(client.call(b"EXISTS", name) for client in session.current()):
            if time.monotonic() > deadline:
                return "a set with a life of %s ms is still there after 20 s" % ms.decode()
        for command in (after, (b"TTL", name), (b"TYPE", name)):
            ours, reference = session.both(*command)
            if ours != reference:
                return "after expiry %r answered %r and %r" % (command, ours, reference)
        return None

    return [Cmd(b"(short life)", name, ms, *after, live=live)]


PRODUCERS = [
    (20, sadd), (10, srem), (4, scard), (6, sismember), (5, smismember), (6, smembers), (8, smove), (9, algebra), (9, store), (1, store_mutated),
    (6, sintercard), (5, srandmember), (0.3, srandmember_errors), (0.5, spop_errors), (1.5, spop_all), (1, draw), (0.3, sscan), (0.7, sscan_errors),
    (0.5, sscan_options), (0.2, limit), (1, encodings), (1, with_deadline), (6, keys_of_any_type), (2, dump), (4, as_other), (0.02, short_life),
]
