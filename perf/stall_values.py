"""The large values of stall.py: what prepares them, and the commands that touch all of one.

Values are made once per round, of `elements` elements each; a command that changes one works on a copy of its own, made
before the watch begins. `whole` marks those whose reply is the whole value: these may take long, as they do everywhere.
"""

CHUNK = 1000  # elements per command that fills
RESP3 = [["HELLO", "3"]]  # where a PING of who subscribes is answered as ever


def list_of(key, elements):
    for at in range(0, elements, CHUNK):
        yield ["RPUSH", key] + ["%d" % (i * 7919 % elements) for i in range(at, at + CHUNK)]


def set_of(key, elements, first=0):
    for at in range(first, first + elements, CHUNK):
        yield ["SADD", key] + ["member:%d" % i for i in range(at, at + CHUNK)]


def zset_of(key, elements, first=0):
    for at in range(first, first + elements, CHUNK):
        yield ["ZADD", key] + [word for i in range(at, at + CHUNK) for word in ("%d" % (i * 7919 % elements), "member:%d" % i)]


def hash_of(key, elements):
    for at in range(0, elements, CHUNK):
        yield ["HSET", key] + [word for i in range(at, at + CHUNK) for word in ("field:%d" % i, "value:%d" % i)]


def geo_of(key, elements):
    for at in range(0, elements, CHUNK):
        yield ["GEOADD", key] + [word for i in range(at, at + CHUNK)
                                 for word in ("%f" % (i * 7919 % 360_000 / 1000 - 180), "%f" % (i % 170_000 / 1000 - 85), "place:%d" % i)]


def stream_of(key, elements):
    for i in range(elements):
        yield ["XADD", key, "%d-1" % (i + 1), "field", "value:%d" % i]


def group_of(key, elements):
    yield ["XGROUP", "CREATE", key, "g", "0"]
    for _ in range(0, elements, CHUNK):
        yield ["XREADGROUP", "GROUP", "g", "c", "COUNT", "%d" % CHUNK, "STREAMS", key, ">"]


def values(elements):
    """All that is there before the first command: lists of commands that make it."""
    yield list_of("l", elements)
    yield set_of("s", elements)
    yield set_of("t", elements, elements // 2)
    yield zset_of("z", elements)
    yield zset_of("y", elements, elements // 2)
    yield hash_of("h", elements)
    yield geo_of("g", elements)
    yield stream_of("x", elements)
    yield group_of("x", elements)
    yield [["SETRANGE", "bits", "%d" % (elements * 16), "x"]]


def copied(key):
    return [["COPY", key, "copy", "REPLACE"]]


def words(name, count):
    return [name + ":%d" % i for i in range(count)]


def commands(elements):
    """(name, commands before the watch, the command)."""
    n, half = "%d" % elements, "%d" % (elements // 2)
    return [
        ("LINSERT", [], ["LINSERT", "l", "BEFORE", "absent", "x"]),
        ("LINSERT middle", copied("l"), ["LINSERT", "copy", "BEFORE", half, "x"]),
        ("LREM absent", [], ["LREM", "l", "0", "absent"]),
        ("LREM", copied("l"), ["LREM", "copy", "-1", "0"]),
        ("LPOS", [], ["LPOS", "l", "absent"]),
        ("LINDEX", [], ["LINDEX", "l", half]),
        ("LSET", copied("l"), ["LSET", "copy", half, "x"]),
        ("LTRIM", copied("l"), ["LTRIM", "copy", half, half]),
        ("LPOP half", copied("l"), ["LPOP", "copy", half]),
        ("LRANGE whole", [], ["LRANGE", "l", "0", "-1"]),
        ("COPY list", [], ["COPY", "l", "copy", "REPLACE"]),
        ("DUMP list", [], ["DUMP", "l"]),
        ("SORT list", [], ["SORT", "l", "LIMIT", "0", "10"]),
        ("SORT list ALPHA", [], ["SORT", "l", "ALPHA", "LIMIT", "0", "10"]),
        ("SORT list STORE", [], ["SORT", "l", "STORE", "stored"]),
        ("SORT set BY", [], ["SORT", "s", "BY", "w:*", "LIMIT", "0", "10"]),
        ("SORT zset", [], ["SORT", "z", "BY", "nosort", "LIMIT", "0", "10"]),
        ("SINTERSTORE", [], ["SINTERSTORE", "stored", "s", "t"]),
        ("SUNIONSTORE", [], ["SUNIONSTORE", "stored", "s", "t"]),
        ("SDIFFSTORE", [], ["SDIFFSTORE", "stored", "s", "t"]),
        ("SINTERCARD", [], ["SINTERCARD", "2", "s", "t"]),
        ("SMEMBERS whole", [], ["SMEMBERS", "s"]),
        ("SPOP half", copied("s"), ["SPOP", "copy", half]),
        ("SRANDMEMBER half", [], ["SRANDMEMBER", "s", half]),
        ("COPY set", [], ["COPY", "s", "copy", "REPLACE"]),
        ("DUMP set", [], ["DUMP", "s"]),
        ("SREM of many", copied("s"), ["SREM", "copy"] + words("member", elements // 10)),
        ("ZRANGESTORE", [], ["ZRANGESTORE", "stored", "z", "0", "-1"]),
        ("ZUNIONSTORE", [], ["ZUNIONSTORE", "stored", "2", "z", "y"]),
        ("ZINTERSTORE", [], ["ZINTERSTORE", "stored", "2", "z", "y"]),
        ("ZDIFFSTORE", [], ["ZDIFFSTORE", "stored", "2", "z", "y"]),
        ("ZINTERCARD", [], ["ZINTERCARD", "2", "z", "y"]),
        ("ZUNION of sets", [], ["ZUNIONSTORE", "stored", "2", "s", "t"]),
        ("ZREMRANGEBYRANK", copied("z"), ["ZREMRANGEBYRANK", "copy", "0", half]),
        ("ZREMRANGEBYSCORE", copied("z"), ["ZREMRANGEBYSCORE", "copy", "-inf", half]),
        ("ZPOPMIN half", copied("z"), ["ZPOPMIN", "copy", half]),
        ("ZRANGEBYSCORE", [], ["ZRANGEBYSCORE", "z", "-inf", "+inf", "LIMIT", half, "10"]),
        ("ZRANGE whole", [], ["ZRANGE", "z", "0", "-1"]),
        ("ZCOUNT", [], ["ZCOUNT", "z", "5", half]),
        ("COPY zset", [], ["COPY", "z", "copy", "REPLACE"]),
        ("DUMP zset", [], ["DUMP", "z"]),
        ("HGETALL whole", [], ["HGETALL", "h"]),
        ("HRANDFIELD half", [], ["HRANDFIELD", "h", half]),
        ("COPY hash", [], ["COPY", "h", "copy", "REPLACE"]),
        ("DUMP hash", [], ["DUMP", "h"]),
        ("HDEL of many", copied("h"), ["HDEL", "copy"] + words("field", elements // 10)),
        ("HPEXPIRE of many", copied("h"), ["HPEXPIRE", "copy", "300", "FIELDS", "%d" % (elements // 10)] + words("field", elements // 10)),
        ("GEOSEARCH", [], ["GEOSEARCH", "g", "FROMLONLAT", "0", "0", "BYRADIUS", "20000", "km", "COUNT", "10"]),
        ("GEOSEARCH ANY", [], ["GEOSEARCH", "g", "FROMLONLAT", "0", "0", "BYRADIUS", "20000", "km", "COUNT", "10", "ANY"]),
        ("GEOSEARCH box", [], ["GEOSEARCH", "g", "FROMLONLAT", "0", "0", "BYBOX", "20000", "1", "km"]),
        ("GEOSEARCH whole", [], ["GEOSEARCH", "g", "FROMLONLAT", "0", "0", "BYRADIUS", "25000", "km"]),
        ("GEOSEARCHSTORE", [], ["GEOSEARCHSTORE", "stored", "g", "FROMLONLAT", "0", "0", "BYRADIUS", "25000", "km"]),
        ("XTRIM", copied("x"), ["XTRIM", "copy", "MAXLEN", "0"]),
        ("XTRIM to half", copied("x"), ["XTRIM", "copy", "MAXLEN", half]),
        ("XADD MINID", copied("x"), ["XADD", "copy", "MINID", half, "*", "f", "v"]),
        ("XDEL of many", copied("x"), ["XDEL", "copy"] + ["%d-1" % (i + 1) for i in range(elements // 10)]),
        ("XACK of many", copied("x"), ["XACK", "copy", "g"] + ["%d-1" % (i + 1) for i in range(elements // 10)]),
        ("XPENDING", [], ["XPENDING", "x", "g"]),
        ("XPENDING IDLE", [], ["XPENDING", "x", "g", "IDLE", "100000000", "-", "+", "10"]),
        ("XAUTOCLAIM", [], ["XAUTOCLAIM", "x", "g", "d", "100000000", "0", "COUNT", n]),
        ("XGROUP DESTROY", copied("x"), ["XGROUP", "DESTROY", "copy", "g"]),
        ("XGROUP DELCONSUMER", copied("x"), ["XGROUP", "DELCONSUMER", "copy", "g", "c"]),
        ("XINFO FULL", [], ["XINFO", "STREAM", "x", "FULL", "COUNT", "10"]),
        ("XRANGE whole", [], ["XRANGE", "x", "-", "+"]),
        ("COPY stream", [], ["COPY", "x", "copy", "REPLACE"]),
        ("DUMP stream", [], ["DUMP", "x"]),
        ("BITCOUNT", [], ["BITCOUNT", "bits"]),
        ("BITPOS", [], ["BITPOS", "bits", "1"]),
        ("BITOP", [], ["BITOP", "NOT", "stored", "bits"]),
        ("SETRANGE", [], ["SETRANGE", "stored2", "%d" % (elements * 64), "x"]),
        ("COPY string", [], ["COPY", "bits", "copy", "REPLACE"]),
        ("SSCAN", [], ["SSCAN", "s", "0", "COUNT", n, "MATCH", "absent*"]),
        ("ZSCAN", [], ["ZSCAN", "z", "0", "COUNT", n, "MATCH", "absent*"]),
        ("HSCAN", [], ["HSCAN", "h", "0", "COUNT", n, "MATCH", "absent*"]),
        ("SCAN", [], ["SCAN", "0", "COUNT", n, "MATCH", "absent*"]),
        ("MEMORY USAGE", [], ["MEMORY", "USAGE", "h", "SAMPLES", "0"]),
        ("MGET of many", [], ["MGET"] + words("key", elements // 10)),
        ("MSET of many", [], ["MSET"] + [word for i in range(elements // 10) for word in ("key:%d" % i, "v")]),
        ("UNLINK of many", [], ["UNLINK"] + words("other", elements // 10)),
        ("SADD of many", [["DEL", "copy"]], ["SADD", "copy"] + words("m", elements // 10)),
        ("ZADD of many", [["DEL", "copy"]], ["ZADD", "copy"] + [word for i in range(elements // 10) for word in ("%d" % i, "m:%d" % i)]),
        ("RPUSH of many", [["DEL", "copy"]], ["RPUSH", "copy"] + words("m", elements // 10)),
        ("SUBSCRIBE of many", RESP3, ["SUBSCRIBE"] + words("channel", elements // 10)),
        ("UNSUBSCRIBE", RESP3 + [["SUBSCRIBE"] + words("channel", elements // 10)], ["UNSUBSCRIBE"]),
        ("PSUBSCRIBE of many", RESP3, ["PSUBSCRIBE"] + words("pattern", elements // 10)),
        ("PUNSUBSCRIBE", RESP3 + [["PSUBSCRIBE"] + words("pattern", elements // 10)], ["PUNSUBSCRIBE"]),
    ]
