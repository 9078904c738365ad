"""All that a server holds, filled in and read back: for tests of what survives.

`fill` makes keys of every type in every size and encoding, with and without deadlines, in several databases. `contents` reads
everything: {(database, key): (type, deadline in ms or -1, value)}, the value in an order of its own where the type has none; so two
servers, or one before and after, hold the same when these are equal. `dumps` are the payloads of DUMP of those keys whose form is
determined by what was done to them."""

import random

from support import resp

DATABASES = (0, 1, 9)
LONG_MS = 1_000_000_000  # no test lasts that long


def word(rng, longest=20):
    return rng.randbytes(rng.randrange(1, longest))


def _string(rng, key):
    kind = rng.randrange(6)
    value = [b"", str(rng.randrange(-(1 << 63), 1 << 63)).encode(), word(rng), word(rng, 3) * rng.randrange(1, 3000),
             b"x" * rng.choice([rng.randrange(1000), rng.randrange(200_000)]), b"%d" % rng.randrange(1000)][kind]
    return [("SET", key, value)] if rng.randrange(8) else [("SETRANGE", key, rng.randrange(300), value + b"y")]


def _size(rng):
    return rng.choice([100, 130, 600, 3000]) if rng.randrange(15) == 0 else rng.randrange(1, 30)


def _list(rng, key):
    items = [word(rng, 30) if rng.randrange(3) else b"%d" % rng.randrange(1 << 40) for _ in range(_size(rng))]
    return [(rng.choice(["RPUSH", "LPUSH"]), key, *items)]


def _set(rng, key):
    some = word(rng) if rng.randrange(2) else None
    return [("SADD", key, *[some + word(rng) if some else rng.randrange(-70000, 70000) for _ in range(_size(rng))])]


def _hash(rng, key):
    pairs = [(word(rng), word(rng, 80)) for _ in range(_size(rng))]
    return [("HSET", key, *[part for pair in pairs for part in pair])]


def _zset(rng, key):
    score = lambda: rng.choice([rng.randrange(100), rng.uniform(-1e9, 1e9), "inf", "-inf", 0])  # noqa: E731
    return [("ZADD", key, *[part for _ in range(_size(rng)) for part in (score(), word(rng))])]


OF_GROUPS = ("XGROUP", "XREADGROUP", "XAUTOCLAIM")


def _stream(rng, key):
    """Entries, some of which are gone, and a group that was given some, of which some are acknowledged and others passed on."""
    group, size = "group:%d" % rng.randrange(1 << 40), _size(rng)
    commands = [("XADD", key, "*", "field", word(rng), *(["other", word(rng, 60)] if rng.randrange(4) == 0 else [])) for _ in range(size)]
    if rng.randrange(2):
        commands += [("XGROUP", "CREATE", key, group, "0"), ("XREADGROUP", "GROUP", group, "a", "COUNT", 1 + size // 2, "STREAMS", key, ">"),
                     ("XREADGROUP", "GROUP", group, "b", "COUNT", 2, "STREAMS", key, ">"), ("XAUTOCLAIM", key, group, "b", 0, "-", "COUNT", 2),
                     ("XTRIM", key, "MAXLEN", "~", size // 3), ("XREADGROUP", "GROUP", group, "b", "STREAMS", key, "0")]
    return commands + ([("XADD", key, "MAXLEN", size, "*", "field", word(rng))] if rng.randrange(2) else [])


def fill(client, seed, count, prefix="key", groups=True):
    """`count` keys; groups: streams have groups of consumers, of which Redis's own log does not tell everything; some of them changed, renamed, given a deadline or deleted afterwards. What is there already is added to,
    or refused as being of another type."""
    rng = random.Random(seed)
    commands = []
    for number in range(count):
        key = "%s:%d" % (prefix, number)
        if number % 50 == 0:
            commands.append(("SELECT", rng.choice(DATABASES)))
        make = rng.choice([_string, _list, _set, _hash, _zset, _stream])
        commands += [command for command in make(rng, key) if groups or command[0] not in OF_GROUPS]
        after = rng.randrange(12)
        if after == 0:
            commands.append(("PEXPIRE", key, LONG_MS + rng.randrange(LONG_MS)))
        elif after == 1:
            commands.append(("RENAME", key, key + ":renamed"))
        elif after == 2:
            commands.append(("DEL", key))
        elif after == 3:
            commands.append(("COPY", key, key + ":copied"))
    commands.append(("SELECT", 0))
    for reply, command in zip(client.pipeline(commands), commands):
        if isinstance(reply, resp.Error) and not reply.startswith(b"WRONGTYPE"):
            raise AssertionError("%.100r answered %r" % (command, reply))


READ = {
    b"string": lambda key: ("GET", key), b"list": lambda key: ("LRANGE", key, 0, -1), b"set": lambda key: ("SMEMBERS", key),
    b"hash": lambda key: ("HGETALL", key), b"zset": lambda key: ("ZRANGE", key, 0, -1, "WITHSCORES"),
    b"stream": lambda key: ("XINFO", "STREAM", key, "FULL", "COUNT", 0),
}


def _canonical(kind, value):
    if kind == b"set":
        return sorted(value)
    if kind == b"hash":
        return sorted(zip(value[::2], value[1::2]))
    return _without_visits(value) if kind == b"stream" else value


def _without_visits(value):
    """But for when consumers were last seen, which no log tells."""
    facts = dict(zip(value[::2], value[1::2]))
    for group in facts[b"groups"]:
        consumers = group[group.index(b"consumers") + 1]
        for consumer in consumers:
            consumer[consumer.index(b"seen-time") + 1] = None
    return facts


def contents(client):
    found = {}
    for db in DATABASES:
        client.must("SELECT", db)
        keys = sorted(client.must("KEYS", "*"))
        kinds = [bytes(kind) for kind in client.pipeline([("TYPE", key) for key in keys])]
        deadlines = client.pipeline([("PEXPIRETIME", key) for key in keys])
        values = client.pipeline([READ[kind](key) for kind, key in zip(kinds, keys)])
        for key, kind, deadline, value in zip(keys, kinds, deadlines, values):
            found[db, key] = (kind, deadline, _canonical(kind, value))
    client.must("SELECT", 0)
    return found


def dumps(client):
    """{(database, key): (encoding, payload)} but for hash tables, whose order is nobody's business, for long lists, whose
    nodes may be filled anew, and for streams, whose payloads say when consumers were seen."""
    found = {}
    for db in DATABASES:
        client.must("SELECT", db)
        keys = client.must("KEYS", "*")
        encodings = client.pipeline([("OBJECT", "ENCODING", key) for key in keys])
        payloads = client.pipeline([("DUMP", key) for key in keys])
        for key, encoding, payload in zip(keys, encodings, payloads):
            if encoding not in (b"hashtable", b"quicklist", b"stream"):
                found[db, key] = (encoding, payload)
    client.must("SELECT", 0)
    return found


def difference(before, after, most=5):
    """A text that names what differs, or ''."""
    wrong = ["%r is missing (%.200r)" % (key, before[key]) for key in before.keys() - after.keys()]
    wrong += ["%r is there (%.200r)" % (key, after[key]) for key in after.keys() - before.keys()]
    wrong += ["%r was %.200r and is %.200r" % (key, before[key], after[key])
              for key in before.keys() & after.keys() if before[key] != after[key]]
    return "" if not wrong else "%d differences:\n  %s" % (len(wrong), "\n  ".join(sorted(wrong)[:most]))
