"""Streams: every command on them, ids at all edges, nodes of few entries so that approximate trimming shows where they end, groups whose entries
are deleted under them."""

from families import compare as same
from families.gen import BAD_INTS, I64_MAX, I64_MIN, Cmd, one
from support import resp

WEIGHT = 60
MUTATE = True

STREAMS = [b"x%d" % i for i in range(4)] + [b"{tag1}:x%d" % i for i in range(3)] + [b"{tag1}:%d" % i for i in range(2)] + [b"k%d" % i for i in range(17, 20)]
GROUPS = [b"g", b"g", b"h", b"g2", b""]
CONSUMERS = [b"c", b"c", b"d", b"alice", b"", b"\x00b"]
FIELDS = [b"f", b"g", b"name", b"", b"1", b"-4097", b"\x00\xff", b"f" * 70]
U64_MAX = b"18446744073709551615"
BAD_IDS = [b"", b"-", b"+", b"abc", b"1-", b"-1", b"1-1-1", b"1-abc", b"18446744073709551616", b"1-18446744073709551616", b"(1", b"1.5", b"*", b"1-1 ", b"--",
           b"1\x00x", b"1" * 130, b"$", b">"]
ODD_IDS = [b"0", b"0-0", b"0-1", U64_MAX, U64_MAX + b"-" + U64_MAX, b"0-" + U64_MAX, U64_MAX + b"-0", b"9223372036854775808-1", b"01-02", b"+3", b" 4", b"3--01"]
# What is younger than any clock, so that "*" counts on from here and is the same on both sides.
FUTURE = 9_000_000_000_000


def key(g):
    return g.pick(STREAMS) if g.flip(0.9) else g.key()


def near_id(g):
    """Where entries usually are."""
    r = g.random()
    ms = g.between(1, 60) if r < 0.9 else FUTURE + g.between(0, 3)
    return b"%d-%d" % (ms, g.between(0, 3)) if g.flip(0.6) else b"%d" % ms


def any_id(g):
    r = g.random()
    return near_id(g) if r < 0.93 else g.pick(ODD_IDS) if r < 0.975 else g.pick(BAD_IDS)


def place(g):
    r = g.random()
    if r < 0.3:
        return g.pick([b"-", b"+"])
    return (b"(" if g.flip(0.2) else b"") + any_id(g)


def count(g):
    r = g.random()
    return b"%d" % g.between(-1, 12) if r < 0.93 else g.pick([I64_MAX, I64_MIN, b"0"]) if r < 0.97 else g.pick(BAD_INTS)


def pairs(g):
    r = g.random()
    if r < 0.5:
        return [b"f", g.pick([b"v", b"1", b"127", b"-5000", b"x" * 30])]
    many = g.between(1, 4) if r < 0.98 else g.between(20, 60)
    words = [word for _ in range(many) for word in (g.pick(FIELDS), g.value() if g.flip(0.3) else b"%d" % g.between(-200, 70000))]
    return words if g.flip(0.98) else words[:-1]


def trimming(g, xadd):
    by_id = g.flip(0.35)
    threshold = any_id(g) if by_id else count(g) if g.flip(0.3) else b"%d" % g.between(0, 40)
    words = [g.word(b"MINID" if by_id else b"MAXLEN")]
    r = g.random()
    approx = r < 0.5
    words += [b"~"] if approx else [b"="] if r < 0.7 else []
    words.append(threshold)
    if g.flip(0.35 if approx else 0.03):
        words += [g.word(b"LIMIT"), b"%d" % g.between(0, 12) if g.flip(0.9) else count(g)]
    if g.flip(0.02):
        words += g.pick([[b"MAXLEN", b"3"], [b"MINID", b"3"], [b"LIMIT", b"3"], [b"FOO"], [b"~"], [b"MAXLEN"]])
    return words


def new_id(g):
    """Mostly one that may follow: any number of what is last."""
    r = g.random()
    if r < 0.45:
        return b"%d-*" % g.between(30, 60)
    if r < 0.75:
        return near_id(g)
    return b"%d" % (FUTURE + g.between(0, 30)) if r < 0.8 else g.pick(BAD_IDS[:-3]) if r < 0.83 else any_id(g)


def is_auto(words):
    return b"*" in words


def xadd(g):
    words = [b"NOMKSTREAM"] if g.flip(0.08) else []
    if g.flip(0.3):
        words += trimming(g, True)
    word = new_id(g)
    return one(g.word(b"XADD"), key(g), *words, b"7-*" if word == b"*" else word, *pairs(g))


def fill(g):
    """A stream of many short entries, in several nodes, with some of them deleted."""
    name = key(g)
    if g.flip(0.7):
        steps = [Cmd(b"DEL", name)]
        first = 1
    else:
        steps, first = [], 61
    steps += [Cmd(b"XADD", name, b"%d-%d" % (first + i // 2, i % 2 + 1), *(pairs(g)[:2] if g.flip(0.3) else [b"f", b"%d" % i])) for i in range(g.between(5, 90))]
    for _ in range(g.between(0, 4)):
        steps += g.pick([xdel, xtrim, xread_group, xinfo])(g)
    return steps


def future(g):
    """Here "*" depends on nothing but what is there."""
    name = key(g)
    steps = [Cmd(b"DEL", name), Cmd(b"XADD", name, b"%d-%d" % (FUTURE, g.between(0, 3)), b"a", b"b")]
    steps += [Cmd(b"XADD", name, *(trimming(g, True) if g.flip(0.3) else []), b"*", *pairs(g)) for _ in range(g.between(1, 6))]
    return steps + [Cmd(b"XRANGE", name, b"-", b"+")]


def by_clock(g):
    name = key(g)
    return [Cmd(b"DEL", name), Cmd(b"XADD", name, b"*", b"a", b"b", compare=same.same_type), Cmd(b"XLEN", name), Cmd(b"DEL", name)]


def last_id(g):
    """Streams that are at their end."""
    name = key(g)
    return [Cmd(b"DEL", name), Cmd(b"XADD", name, U64_MAX + b"-" + g.pick([U64_MAX, b"18446744073709551614"]), b"a", b"b"), Cmd(b"XADD", name, b"*", b"a", b"b"),
            Cmd(b"XADD", name, U64_MAX + b"-*", b"a", b"b"), Cmd(b"XADD", name, b"*", b"a", b"b"), Cmd(b"XREVRANGE", name, b"+", b"-")]


def xlen(g):
    return one(g.word(b"XLEN"), key(g))


def xrange(g):
    words = [g.word(b"COUNT"), count(g)] if g.flip(0.4) else []
    if g.flip(0.02):
        words += g.pick([[b"COUNT"], [b"FOO", b"1"], [b"COUNT", b"2"]])
    return one(g.word(g.pick([b"XRANGE", b"XREVRANGE"])), key(g), place(g), place(g), *words)


def whole(g):
    return one(g.pick([b"XRANGE", b"XREVRANGE"]), key(g), *g.pick([[b"-", b"+"], [b"+", b"-"]]))


def xdel(g):
    return one(g.word(b"XDEL"), key(g), *[any_id(g) for _ in range(g.between(1, 5))])


def xtrim(g):
    return one(g.word(b"XTRIM"), key(g), *trimming(g, False))


def xsetid(g):
    words = []
    if g.flip(0.5):
        words += [g.word(b"ENTRIESADDED"), count(g) if g.flip(0.3) else b"%d" % g.between(0, 200)]
    if g.flip(0.4):
        words += [g.word(b"MAXDELETEDID"), any_id(g)]
    if g.flip(0.02):
        words += g.pick([[b"ENTRIESADDED"], [b"FOO"], [b"MAXDELETEDID"]])
    return one(g.word(b"XSETID"), key(g), g.pick([b"60", b"100-5", any_id(g)]), *words)


# --- reading ---


def keys_and_ids(g, ids):
    many = g.between(1, 4)
    return [key(g) for _ in range(many)] + [ids(g) for _ in range(many)]


def block(g):
    r = g.random()
    return [g.word(b"BLOCK"), b"1" if r < 0.9 else g.pick([b"-1", b"abc", b"1.5", b"", b"9223372036854775808"])]


def xread(g):
    words = []
    if g.flip(0.4):
        words += [g.word(b"COUNT"), count(g)]
    if g.flip(0.06):
        words += block(g)
    if g.flip(0.02):
        words += g.pick([[b"NOACK"], [b"GROUP", b"g", b"c"], [b"FOO"], [b"COUNT"], [b"BLOCK"]])
    tail = keys_and_ids(g, lambda g: b"$" if g.flip(0.1) else any_id(g))
    if g.flip(0.02):
        tail = tail[:-1]
    return one(g.word(b"XREAD"), *words, g.word(b"STREAMS"), *tail)


def xread_group(g):
    words = [g.word(b"GROUP"), g.pick(GROUPS), g.pick(CONSUMERS)] if g.flip(0.98) else g.pick([[], [b"GROUP"], [b"GROUP", b"g"]])
    if g.flip(0.6):
        words += [g.word(b"COUNT"), count(g)]
    if g.flip(0.04):
        words += block(g)
    if g.flip(0.15):
        words += [g.word(b"NOACK")]
    tail = keys_and_ids(g, lambda g: b">" if g.flip(0.7) else b"0" if g.flip(0.5) else any_id(g))
    if g.flip(0.6):
        tail = [tail[0], tail[-1]]
    if g.flip(0.02):
        tail = tail[:-1]
    return one(g.word(b"XREADGROUP"), *words, g.word(b"STREAMS"), *tail)


# --- groups ---


def xgroup(g):
    r = g.random()
    name, group = key(g), g.pick(GROUPS)
    if r < 0.5:
        words = [b"CREATE", name, group, g.pick([b"$", b"0", b"0", any_id(g)])]
        words += [g.word(b"MKSTREAM")] if g.flip(0.3) else []
        words += [g.word(b"ENTRIESREAD"), count(g)] if g.flip(0.2) else []
    elif r < 0.65:
        words = [b"SETID", name, group, g.pick([b"$", b"0", any_id(g)])]
        words += [g.word(b"ENTRIESREAD"), count(g)] if g.flip(0.3) else []
    elif r < 0.72:
        words = [b"DESTROY", name, group]
    elif r < 0.84:
        words = [b"CREATECONSUMER", name, group, g.pick(CONSUMERS)]
    elif r < 0.96:
        words = [b"DELCONSUMER", name, group, g.pick(CONSUMERS)]
    else:
        return one(*g.pick([(b"XGROUP", b"HELP"), (b"XGROUP", b"FOO"), (b"XGROUP", b"CREATE", name, group), (b"XGROUP", b"SETID", name, group),
                            (b"XGROUP", b"CREATE", name, group, b"0", b"FOO"), (b"XGROUP", b"CREATE", name, group, b"$", b"ENTRIESREAD"),
                            (b"XGROUP", b"SETID", name, group, b"$", b"MKSTREAM"), (b"XGROUP",)]))
    return one(g.word(b"XGROUP"), *words)


def xack(g):
    return one(g.word(b"XACK"), key(g), g.pick(GROUPS), *[any_id(g) for _ in range(g.between(1, 6))])


def a_second(a, b):
    return isinstance(a, int) and isinstance(b, int) and abs(a - b) < 60_000


@same._typed
def _idle_pending(a, b, _session):
    """Entries of XPENDING: how long each is idle depends on the clock."""
    if not isinstance(b, list):
        return a == b
    return len(a) == len(b) and all(x[:2] + x[3:] == y[:2] + y[3:] and a_second(x[2], y[2]) for x, y in zip(a, b))


def xpending(g):
    name, group = key(g), g.pick(GROUPS)
    if g.flip(0.35):
        return one(g.word(b"XPENDING"), name, group)
    words = [g.word(b"IDLE"), g.pick([b"0", b"500000000", b"-1", b"-500000000", I64_MAX]) if g.flip(0.95) else g.pick(BAD_INTS)] if g.flip(0.25) else []
    words += [place(g) if g.flip(0.4) else b"-", place(g) if g.flip(0.4) else b"+", count(g)]
    words += [g.pick(CONSUMERS)] if g.flip(0.3) else []
    if g.flip(0.03):
        words = words[:-1] if g.flip(0.5) else words + [b"x"]
    return one(g.word(b"XPENDING"), name, group, *words, compare=_idle_pending)


def idle(g):
    """The least time: nothing, or longer than anything may have been idle but by XCLAIM IDLE."""
    r = g.random()
    return g.pick([b"0", b"0", b"500000000", b"-5"]) if r < 0.97 else g.pick(BAD_INTS + [I64_MAX])


def xclaim(g):
    words = []
    if g.flip(0.25):
        words.append([g.word(b"IDLE"), g.pick([b"0", b"1000000000", b"-1", I64_MAX]) if g.flip(0.95) else g.pick(BAD_INTS)])
    if g.flip(0.1):
        words.append([g.word(b"TIME"), g.pick([b"1000000000000", b"0", b"-7", b"9000000000000", I64_MAX])])
    if g.flip(0.2):
        words.append([g.word(b"RETRYCOUNT"), count(g)])
    if g.flip(0.35):
        words.append([g.word(b"FORCE")])
    if g.flip(0.3):
        words.append([g.word(b"JUSTID")])
    if g.flip(0.12):
        words.append([g.word(b"LASTID"), any_id(g)])
    if g.flip(0.02):
        words.append(g.pick([[b"FOO"], [b"IDLE"], [b"LASTID"]]))
    g.rng.shuffle(words)
    return one(g.word(b"XCLAIM"), key(g), g.pick(GROUPS), g.pick(CONSUMERS), idle(g), *[any_id(g) for _ in range(g.between(1, 5))],
               *[word for option in words for word in option])


def xautoclaim(g):
    words = []
    if g.flip(0.5):
        words += [g.word(b"COUNT"), g.pick([b"1", b"2", b"5", b"0", b"-1", b"100"]) if g.flip(0.95) else g.pick(BAD_INTS + [I64_MAX])]
    if g.flip(0.4):
        words += [g.word(b"JUSTID")]
    if g.flip(0.02):
        words += g.pick([[b"FOO"], [b"COUNT"]])
    return one(g.word(b"XAUTOCLAIM"), key(g), g.pick(GROUPS), g.pick(CONSUMERS), idle(g), g.pick([b"0", b"-", b"0-0", place(g)]), *words)


def as_pairs(reply):
    """A map, or the flat array that it is in RESP2, as [(name, value)]."""
    return list(reply) if isinstance(reply, resp.Map) else list(zip(reply[::2], reply[1::2]))


CLOCKED = (b"idle", b"seen-time")


def alike(a, b):
    """The same but for what XINFO says of times."""
    if isinstance(b, resp.Map) or (isinstance(b, list) and b and isinstance(b[0], bytes) and len(b) % 2 == 0):
        x, y = as_pairs(a), as_pairs(b)
        return len(x) == len(y) and all(
            n == m and (a_second(v, w) if n in CLOCKED else pending_alike(v, w) if n in (b"pending", b"pel") and isinstance(w, list) else alike(v, w))
            for (n, v), (m, w) in zip(x, y))
    if isinstance(b, list):
        return len(a) == len(b) and all(alike(v, w) for v, w in zip(a, b))
    return a == b


def pending_alike(a, b):
    """[id, consumer, when, how often] of a group, [id, when, how often] of a consumer."""
    return len(a) == len(b) and all(len(x) == len(y) and x[:-2] + x[-1:] == y[:-2] + y[-1:] and a_second(x[-2], y[-2]) for x, y in zip(a, b))


@same._typed
def info_alike(a, b, _session):
    return alike(a, b)


def xinfo(g):
    r = g.random()
    name = key(g)
    if r < 0.3:
        return one(g.word(b"XINFO"), b"STREAM", name, compare=info_alike)
    if r < 0.55:
        words = [b"FULL"] + ([b"COUNT", count(g)] if g.flip(0.5) else [])
        if g.flip(0.03):
            words = g.pick([[b"FOO"], [b"FULL", b"COUNT"], [b"FULL", b"FOO", b"1"], [b"FULL", b"COUNT", b"1", b"2"]])
        return one(b"XINFO", b"STREAM", name, *words, compare=info_alike)
    if r < 0.75:
        return one(b"XINFO", b"GROUPS", name, compare=info_alike)
    if r < 0.95:
        return one(b"XINFO", b"CONSUMERS", name, g.pick(GROUPS), compare=info_alike)
    return one(*g.pick([(b"XINFO",), (b"XINFO", b"HELP"), (b"XINFO", b"FOO"), (b"XINFO", b"STREAM"), (b"XINFO", b"GROUPS"), (b"XINFO", b"CONSUMERS", name)]))


def queue(g):
    """What a queue of work does: some come, are read by several, acknowledged, claimed by others, and deleted."""
    name, group = key(g), g.pick(GROUPS)
    steps = [Cmd(b"DEL", name), Cmd(b"XGROUP", b"CREATE", name, group, b"0", b"MKSTREAM")]
    steps += [Cmd(b"XADD", name, b"%d-1" % i, *pairs(g)) for i in range(1, g.between(3, 40))]
    for _ in range(g.between(3, 15)):
        steps += g.pick([
            lambda g: [Cmd(b"XREADGROUP", b"GROUP", group, g.pick(CONSUMERS), b"COUNT", b"%d" % g.between(1, 9), b"STREAMS", name, b">" if g.flip(0.8) else b"0")],
            lambda g: [Cmd(b"XACK", name, group, *[b"%d-1" % g.between(1, 40) for _ in range(3)])],
            lambda g: [Cmd(b"XDEL", name, *[b"%d-1" % g.between(1, 40) for _ in range(2)])],
            lambda g: [Cmd(b"XCLAIM", name, group, g.pick(CONSUMERS), b"0", *[b"%d-1" % g.between(1, 40) for _ in range(3)], *([b"FORCE"] if g.flip(0.5) else []))],
            lambda g: [Cmd(b"XAUTOCLAIM", name, group, g.pick(CONSUMERS), b"0", b"0", b"COUNT", b"%d" % g.between(1, 5))],
            lambda g: [Cmd(b"XPENDING", name, group)], lambda g: [Cmd(b"XINFO", b"STREAM", name, b"FULL", compare=info_alike)],
            lambda g: [Cmd(b"XINFO", b"GROUPS", name, compare=info_alike)], lambda g: [Cmd(b"XTRIM", name, b"MAXLEN", b"%d" % g.between(0, 20))],
        ])(g)
    return steps


# --- other commands on streams ---


def limits(g):
    """When a node is full; what was made before stays as it was."""
    return one(b"CONFIG", b"SET", *g.pick([(b"stream-node-max-entries", b"100"), (b"stream-node-max-entries", b"4"), (b"stream-node-max-entries", b"10"),
                                           (b"stream-node-max-entries", b"0"), (b"stream-node-max-bytes", b"4096"), (b"stream-node-max-bytes", b"100"),
                                           (b"stream-node-max-bytes", b"0"), (b"stream-node-max-entries", b"1")]))


def keys_of_any_type(g):
    a, b = key(g), key(g)
    return one(*g.pick([
        (b"TYPE", a), (b"OBJECT", b"ENCODING", a), (b"RENAME", a, b), (b"RENAMENX", a, b), (b"COPY", a, b), (b"COPY", a, b, b"REPLACE"),
        (b"COPY", a, b, b"DB", b"1", b"REPLACE"), (b"MOVE", a, b"2"), (b"EXPIREAT", a, b"4000000000"), (b"PERSIST", a), (b"DEL", a), (b"UNLINK", a, b),
        (b"EXISTS", a, b), (b"GET", a), (b"APPEND", a, b"x"), (b"LPUSH", a, b"x"), (b"SET", a, b"x"), (b"SADD", a, b"1")]))


def dump(g):
    return one(b"DUMP", key(g), compare=same.dump)


PRODUCERS = [
    (22, xadd), (1.5, fill), (1, future), (0.7, by_clock), (0.3, last_id), (2, xlen), (6, xrange), (3, whole), (5, xdel), (6, xtrim), (2, xsetid),
    (6, xread), (12, xread_group), (8, xgroup), (5, xack), (6, xpending), (7, xclaim), (6, xautoclaim), (6, xinfo), (1, queue), (0.6, limits),
    (4, keys_of_any_type), (1.5, dump),
]
