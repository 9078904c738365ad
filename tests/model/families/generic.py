"""Commands on keys of any type: deletion, expiry, names, iteration, introspection, DUMP and RESTORE."""

import struct
import time

from families import compare as same
from families.gen import BAD_INTS, Cmd, one

WEIGHT = 45
MUTATE = True
DATABASES = [b"0", b"1", b"2", b"3"]
BAD_DATABASES = [b"16", b"-1", b"abc", b"", b"1.5", b"9223372036854775807", b"4294967296", b"99999999999999999999"]


def delete(g):
    return one(g.word(g.pick([b"DEL", b"UNLINK"])), *g.some_keys(1, 5))


def exists(g):
    return one(g.word(g.pick([b"EXISTS", b"TOUCH"])), *g.some_keys(1, 6))


def type_(g):
    return one(g.word(b"TYPE"), g.key())


CONDITIONS = [[b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"XX", b"GT"], [b"LT", b"XX"], [b"NX", b"XX"], [b"NX", b"GT"], [b"GT", b"LT"],
              [b"NX", b"LT"], [b"XX", b"XX"], [b"FOO"], [b""], [b"NX", b"FOO"], [b"100"]]


def expire(g):
    words = [g.word(word) for word in g.pick(CONDITIONS)] if g.flip(0.5) else []
    compares_time = any(word.upper() in (b"GT", b"LT") for word in words)
    r = g.random()
    if r < 0.2:
        return one(g.word(b"EXPIRE"), g.key(), g.untied_s() if compares_time else g.relative_s(), *words)
    if r < 0.4:
        return one(g.word(b"PEXPIRE"), g.key(), g.untied_ms() if compares_time else g.relative_ms(), *words)
    if r < 0.7:
        return one(g.word(b"EXPIREAT"), g.key(), g.absolute_s(), *words)
    return one(g.word(b"PEXPIREAT"), g.key(), g.absolute_ms(), *words)


def ttl(g):
    name, comparison = g.pick([(b"TTL", same.TTL_S), (b"PTTL", same.TTL_MS), (b"EXPIRETIME", same.DEADLINE_S),
                               (b"PEXPIRETIME", same.DEADLINE_MS)])
    return one(g.word(name), g.key(), compare=comparison)


def persist(g):
    return one(g.word(b"PERSIST"), g.key())


def rename(g):
    return one(g.word(g.pick([b"RENAME", b"RENAMENX"])), g.key(), g.key())


def database(g):
    return g.pick(DATABASES) if g.flip(0.93) else g.pick(BAD_DATABASES)


def copy(g):
    options = []
    if g.flip(0.5):
        options.append([g.word(b"DB"), database(g)])
    if g.flip(0.5):
        options.append([g.word(b"REPLACE")])
    if g.flip(0.05):
        options.append(g.pick([[b"FOO"], [b"DB"], [b""], [b"REPLACE"]]))
    g.rng.shuffle(options)
    return one(g.word(b"COPY"), g.key(), g.key(), *[word for option in options for word in option])


def move(g):
    return one(g.word(b"MOVE"), g.key(), database(g))


def swapdb(g):
    return one(g.word(b"SWAPDB"), database(g), database(g))


def random_key(g):
    """In the stream only nothing or something; alone, the key that one server names must be there on the other."""
    if g.flip(0.8):
        return one(b"RANDOMKEY", compare=same.same_type)

    def live(session):
        ours, reference = session.current()
        for a, b in ((ours, reference), (reference, ours)):
            key = a.call(b"RANDOMKEY")
            if not isinstance(key, bytes):
                size = b.call(b"DBSIZE")
                if size:
                    return "RANDOMKEY answered %r with %r keys on the other side" % (key, size)
            elif b.call(b"EXISTS", key) != 1:
                return "RANDOMKEY named %r, which the other side does not have" % key
        return None

    return [Cmd(b"RANDOMKEY", b"(cross-checked)", live=live)]


def dbsize(g):
    return one(g.word(b"DBSIZE"))


PATTERNS = [b"*", b"k*", b"k?", b"k1*", b"{tag1}:*", b"user:[0-4]", b"user:[^0-4]", b"*1", b"", b"k\\?", b"k\\[1\\]\\*", b"[", b"k[", b"k[a",
            b"[z-a]*", b"*{*}*", b"\\", b"*\\", b"?", b"??", b"***", b"*\r\n*", b"nothing", b"L*", b"*[0-9]", b"[k-u]*", b"[^k]*", b"k[0-9-]"]


def keys(g):
    return one(g.word(b"KEYS"), g.pick(PATTERNS), compare=same.unordered)


def scan_whole(g):
    """A complete iteration on both; what came must be the same set (duplicates are allowed)."""
    options = []
    if g.flip(0.5):
        options += [b"MATCH", g.pick(PATTERNS)]
    if g.flip(0.5):
        options += [b"COUNT", g.pick([b"1", b"2", b"10", b"100", b"1000"])]
    if g.flip(0.3):
        options += [b"TYPE", g.pick([b"string", b"STRING", b"list", b"hash", b"zset"])]

    def live(session):
        found = []
        for client in session.current():
            cursor, seen = b"0", set()
            for _ in range(100_000):
                reply = client.call(b"SCAN", cursor, *options)
                if not isinstance(reply, list) or len(reply) != 2 or type(reply[0]) is not bytes or type(reply[1]) is not list:
                    return "SCAN answered %r" % (reply,)
                cursor = reply[0]
                seen.update(reply[1])
                if cursor == b"0":
                    break
            else:
                return "SCAN does not come to an end"
            found.append(seen)
        if found[0] != found[1]:
            return "SCAN found other keys: only ours %r, only reference %r" % (found[0] - found[1], found[1] - found[0])
        return None

    return [Cmd(b"SCAN", b"0", b"(complete)", *options, live=live)]


def scan_errors(g):
    return one(*g.pick([(b"SCAN",), (b"SCAN", b"abc"), (b"SCAN", b"0", b"COUNT", b"0"), (b"SCAN", b"0", b"COUNT", b"-1"),
                        (b"SCAN", b"0", b"COUNT", b"x"), (b"SCAN", b"0", b"COUNT"), (b"SCAN", b"0", b"FOO"), (b"SCAN", b"0", b"MATCH"),
                        (b"SCAN", b"-1x"), (b"SCAN", b"0", b"FOO", b"BAR"), (b"SCAN", b"1.5"), (b"SCAN", b" 1")]))


def flush(g):
    name = g.pick([b"FLUSHDB", b"FLUSHDB", b"FLUSHALL"])
    return one(g.word(name), *g.pick([[], [b"SYNC"], [b"ASYNC"], [b"async"], [b"FOO"], [b"SYNC", b"ASYNC"], [b""]]))


def object_(g):
    r = g.random()
    if r < 0.5:
        return one(g.word(b"OBJECT"), g.word(b"ENCODING"), g.key())
    if r < 0.6:
        return one(b"OBJECT", b"REFCOUNT", g.key(), compare=same.same_type)  # shared integers are Redis's own affair
    if r < 0.7:
        return one(b"OBJECT", b"FREQ", g.key())
    if r < 0.85:
        # Type only: Redis shares the objects of small integers, and with them their idle time, between keys.
        return one(b"OBJECT", b"IDLETIME", g.key(), compare=same.same_type)
    return one(*g.pick([(b"OBJECT", b"HELP"), (b"OBJECT",), (b"OBJECT", b"FOO"), (b"OBJECT", b"foo", b"k1"), (b"OBJECT", b"ENCODING"),
                        (b"OBJECT", b"ENCODING", b"k1", b"k2"), (b"OBJECT", b"HELP", b"x"), (b"object", b"help"), (b"OBJECT", b"")]))


def dump(g):
    return one(g.word(b"DUMP"), g.key(), compare=same.dump)


# --- RESTORE payloads: made here, so that they need no server ---


def _length(n):
    return bytes([n]) if n < 64 else bytes([0x40 | n >> 8, n & 255]) if n < 16384 else b"\x80" + struct.pack(">I", n)


def _footer(body, version=10):
    body += struct.pack("<H", version)
    return body + struct.pack("<Q", same.crc64(body))


def _string(value):
    return _length(len(value)) + value


def _listpack(*encoded):
    run = b"".join(encoded)
    return struct.pack("<IH", len(run) + 7, len(encoded)) + run + b"\xff"


def _ziplist(*encoded):
    """Elements without the size of the one before, which is put in front here."""
    body, before = b"", 0
    for element in encoded:
        element = (bytes([before]) if before < 254 else b"\xfe" + struct.pack("<I", before)) + element
        body, before = body + element, len(element)
    return struct.pack("<IIH", len(body) + 11, len(body) + 10 - before, len(encoded)) + body + b"\xff"


LISTPACK = [b"\x81a\x02", b"\x80\x01", b"\x05\x01", b"\xdf\xff\x02", b"\xf1\x00\x80\x03", b"\xf2\x00\x00\x80\x04", b"\xf3\x00\x00\x00\x80\x05",
            b"\xf4" + struct.pack("<q", -(2**63)) + b"\x09", b"\xe0\x50" + b"x" * 80 + b"\x52", b"\xf0\x00\x20\x00\x00" + b"y" * 8192 + b"\x40\x85"]
ZIPLIST = [b"\x01a", b"\x00", b"\xf1", b"\xfd", b"\xfe\x80", b"\xc0\x00\x80", b"\xf0\x00\x00\x80", b"\xd0\x00\x00\x00\x80",
           b"\xe0" + struct.pack("<q", 2**62), b"\x40\x50" + b"z" * 80, b"\x41\x90" + b"w" * 400, b"\x80\x00\x00\x46\x50" + b"v" * 18000]


def _lists():
    """Every form of a list that Redis has written: 1, 10, 14 and 18."""
    return [
        b"\x01\x03" + b"\x01a" + b"\xc0\x85" + b"\x00",
        b"\x0a" + _string(_ziplist(*ZIPLIST[:9])),
        b"\x0a" + _string(_ziplist(*ZIPLIST)),
        b"\x0e\x01" + _string(_ziplist(*ZIPLIST[:3])),
        b"\x0e\x03" + _string(_ziplist(*ZIPLIST[5:])) + _string(_ziplist(ZIPLIST[0])) + _string(_ziplist(*ZIPLIST[:2])),
        b"\x12\x01\x02" + _string(_listpack(*LISTPACK[:8])),
        b"\x12\x01\x02" + _string(_listpack(*LISTPACK)),
        b"\x12\x02\x02" + _string(_listpack(LISTPACK[0])) + b"\x02" + _string(_listpack(*LISTPACK[1:4])),
        b"\x12\x03\x01" + _string(b"plain") + b"\x02" + _string(_listpack(LISTPACK[8])) + b"\x01" + _string(b"p" * 9000),
    ]


def _broken_lists():
    """Only what Redis refuses without looking into a listpack, as it looks there only when told to."""
    good = _listpack(*LISTPACK[:3])
    return [
        b"\x01\x00", b"\x01\x02\x01a", b"\x01\x81" + b"\xff" * 8 + b"\x01a", b"\x0a\x00", b"\x0a" + _string(_ziplist()[:-1]), b"\x0e\x00",
        b"\x12\x00", b"\x12\x01", b"\x12\x01\x03" + _string(good), b"\x12\x01\x00" + _string(good), b"\x12\x01\x02" + _string(good[:-1]),
        b"\x12\x01\x02" + _string(good[:-1] + b"\x00"), b"\x12\x01\x02" + _string(good + b"\xff"), b"\x12\x01\x02\x00", b"\x12\x02\x02" + _string(good),
        b"\x12\x01\x02" + _string(_listpack()), b"\x0a" + _string(_ziplist()),
    ]


def _bodies():
    plain = [b"", b"x", b"hello", b"12345", b"-1", b"a" * 44, b"a" * 45, b"b" * 63, b"b" * 64, b"3.5", bytes(range(256)), b"9" * 19, b"c" * 2000]
    out = [b"\x00" + _length(len(value)) + value for value in plain]
    out += [b"\x00\xc0\x05", b"\x00\xc0\xff", b"\x00\xc1" + struct.pack("<h", -300), b"\x00\xc2" + struct.pack("<i", 2**31 - 1)]
    out += [b"\x00\xc3" + _length(5) + _length(100) + b"\x00a\xe0\x5a\x00"]  # LZF: 'a', then 99 more of it
    out += _lists()
    out += [b"\x00\x80" + struct.pack(">I", 5) + b"hello", b"\x00\x81" + struct.pack(">Q", 5) + b"hello"]  # long-winded lengths
    return out


def _broken():
    good = _footer(b"\x00\x05hello")
    out = [b"", b"x", b"hello", good[:-1], good[1:], good[:-8] + bytes(8), good[:3] + b"X" + good[4:], good[:-9] + b"\xff" + good[-8:],
           good + b"\x00", bytes(10)]
    bodies = [b"", b"\x00", b"\x00\x05hell", b"\x00\x3fhello", b"\x00\xc0", b"\x00\xc1\x01", b"\x00\xc4\x01", b"\x00\xc3\x05\x40\x64\x00a",
              b"\x00\xc3\x03\x0a\xff\xff\xff", b"\x00\xc3\x05\x05\x00a\xe0\x5a\x00", b"\x00\x80\x00\x10\x00\x00abc", b"\xfe\x05hello", b"\x08\x05hello"]
    out += [_footer(body) for body in bodies + _broken_lists()]
    out.append(_footer(b"\x00\x05hello", 65535))
    return out


GOOD = [_footer(body) for body in _bodies()]
BROKEN = _broken()


def restore(g):
    payload = g.pick(GOOD) if g.flip(0.85) else g.pick(BROKEN)
    options = []
    absolute = g.flip(0.4)
    if absolute:
        options.append([g.word(b"ABSTTL")])
        deadline = g.pick([b"0", b"1000000000", b"1000000000000", b"4000000000000", b"4100000000001", b"-1", b"abc"])
    else:
        deadline = g.pick([b"0", b"0", b"50000000", b"100000001", b"-1", b"abc", b""])
    if g.flip(0.6):
        options.append([g.word(b"REPLACE")])
    if g.flip(0.15):
        options.append([g.word(b"IDLETIME"), g.pick([b"0", b"1000", b"100000", b"-1", b"abc"])])
    if g.flip(0.1):
        options.append([g.word(b"FREQ"), g.pick([b"0", b"5", b"255", b"256", b"-1", b"abc"])])
    if g.flip(0.04):
        options.append(g.pick([[b"FOO"], [b"IDLETIME"], [b"FREQ"], [b""]]))
    g.rng.shuffle(options)
    return one(g.word(b"RESTORE"), g.key(), deadline, payload, *[word for option in options for word in option])


def dump_restore(g):
    """What each server dumps it must itself take back under another name."""
    source, target = g.key(), g.key()

    def live(session):
        replies = []
        for client in session.current():
            payload = client.call(b"DUMP", source)
            replies.append(client.raw(b"RESTORE", target, b"0", payload, b"REPLACE") if type(payload) is bytes else b"nothing")
        return None if replies[0] == replies[1] else "RESTORE of own DUMP answered %r and %r" % tuple(replies)

    return [Cmd(b"DUMP", source, b"(restored to)", target, live=live)]


def short_life(g):
    """Keys that expire within milliseconds: wait until they are gone on both, then both know nothing of them."""
    names = sorted({g.key() for _ in range(3)})
    ms = b"%d" % g.between(1, 40)
    how = [g.between(0, 4) for _ in names]
    value = g.value()

    def live(session):
        for name, way in zip(names, how):
            commands = [
                [(b"SET", name, value, b"PX", ms)],
                [(b"PSETEX", name, ms, value)],
                [(b"SET", name, value), (b"PEXPIRE", name, ms)],
                [(b"SET", name, value, b"EX", b"100000"), (b"GETEX", name, b"PX", ms)],
                [(b"SET", name, value, b"PX", ms), (b"GETRANGE", name, b"0", b"-1")],
            ][way]
            for command in commands:
                session.both(*command)
        deadline = time.monotonic() + 20
        while any(client.call(b"EXISTS", *names) for client in session.current()):
            if time.monotonic() > deadline:
                return "keys with a life of %s ms are still there after 20 s: %r" % (ms.decode(), names)
        for name in names:
            for command in ((b"GET", name), (b"TTL", name), (b"TYPE", name), (b"PERSIST", name)):
                ours, reference = session.both(*command)
                if ours != reference:
                    return "after expiry %r answered %r and %r" % (command, ours, reference)
        return None

    return [Cmd(b"(short life)", *names, ms, live=live)]


def bad_numbers(g):
    return one(g.pick([b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"]), g.key(), g.pick(BAD_INTS))


PRODUCERS = [
    (8, delete), (5, exists), (3, type_), (14, expire), (8, ttl), (4, persist), (5, rename), (6, copy), (4, move),
    (0.7, swapdb), (0.5, random_key), (1, dbsize), (0.5, keys), (0.2, scan_whole), (0.5, scan_errors), (0.12, flush),
    (4, object_), (3, dump), (5, restore), (0.3, dump_restore), (0.02, short_life), (0.5, bad_numbers),
]

