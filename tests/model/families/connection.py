"""Connection and server commands, as far as two different servers can be compared: HELLO, SELECT, CLIENT, COMMAND, CONFIG,
errors for what does not exist. What Redis 7.0 lacks (CLIENT NO-TOUCH, SETINFO) is in tests/system instead."""

from families import compare as same
from families.gen import Cmd, one

WEIGHT = 10
MUTATE = False

# Every command of the families here with one arity it cannot have.
ARITIES = [
    b"XADD k * f", b"XADD k * f v g", b"XLEN", b"XLEN k k", b"XRANGE k -", b"XREVRANGE k +", b"XDEL k", b"XTRIM k MAXLEN", b"XSETID k", b"XREAD STREAMS k",
    b"XREADGROUP GROUP g c STREAMS k", b"XACK k g", b"XPENDING k", b"XCLAIM k g c 0", b"XAUTOCLAIM k g c 0", b"XGROUP", b"XGROUP CREATE k g", b"XGROUP SETID k g",
    b"XGROUP DESTROY k", b"XGROUP DESTROY k g x", b"XGROUP CREATECONSUMER k g", b"XGROUP DELCONSUMER k g", b"XGROUP HELP x", b"XINFO", b"XINFO STREAM",
    b"XINFO GROUPS k x", b"XINFO CONSUMERS k", b"XINFO HELP x",
    b"GET", b"SET k", b"SETNX k", b"SETEX k 1", b"PSETEX k 1", b"GETEX", b"GETDEL", b"GETDEL k k", b"GETSET k", b"GETRANGE k 1", b"SUBSTR k 1",
    b"SETRANGE k 1", b"APPEND k", b"STRLEN", b"STRLEN k k", b"INCR", b"INCR k 1", b"DECR", b"INCRBY k", b"DECRBY k", b"INCRBYFLOAT k", b"MGET",
    b"MSET", b"MSET k", b"MSETNX k", b"LCS k", b"DEL", b"UNLINK", b"EXISTS", b"TYPE", b"TYPE k k", b"TOUCH", b"EXPIRE k", b"PEXPIRE k",
    b"EXPIREAT k", b"PEXPIREAT k", b"TTL", b"TTL k k", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME k k", b"PERSIST", b"RENAME k", b"RENAMENX k",
    b"COPY k", b"MOVE k", b"SWAPDB 1", b"RANDOMKEY k", b"DBSIZE k", b"KEYS", b"SCAN", b"OBJECT", b"DUMP", b"DUMP k k", b"RESTORE k 0",
    b"ECHO", b"ECHO a b", b"PING a b", b"SELECT", b"SELECT 0 1", b"CLIENT", b"CLIENT SETNAME", b"CLIENT GETNAME x", b"CLIENT ID x",
    b"CLIENT REPLY", b"CLIENT NO-EVICT", b"CONFIG", b"CONFIG GET", b"CONFIG SET", b"CONFIG SET a", b"COMMAND GETKEYS", b"COMMAND COUNT x",
    b"LPUSH k", b"RPUSH k", b"LPUSHX k", b"RPUSHX k", b"LPOP", b"RPOP", b"LPOP k 1 2", b"LLEN", b"LLEN k k", b"LRANGE k 0", b"LRANGE k 0 1 2",
    b"LINDEX k", b"LINDEX k 0 0", b"LSET k 0", b"LSET k 0 a b", b"LINSERT k BEFORE a", b"LINSERT k BEFORE a b c", b"LREM k 0", b"LREM k 0 a b",
    b"LTRIM k 0", b"LTRIM k 0 1 2", b"LPOS k", b"LMOVE a b LEFT", b"LMOVE a b LEFT LEFT LEFT", b"RPOPLPUSH a", b"RPOPLPUSH a b c", b"LMPOP 1 k",
    b"HSET k f", b"HSET k f v g", b"HMSET k f", b"HMSET k f v g", b"HSETNX k f", b"HSETNX k f v w", b"HGET k", b"HGET k f g", b"HMGET k", b"HDEL k",
    b"HLEN", b"HLEN k k", b"HSTRLEN k", b"HSTRLEN k f g", b"HEXISTS k", b"HEXISTS k f g", b"HGETALL", b"HGETALL k k", b"HKEYS", b"HKEYS k k",
    b"HVALS", b"HVALS k k", b"HINCRBY k f", b"HINCRBY k f 1 2", b"HINCRBYFLOAT k f", b"HINCRBYFLOAT k f 1 2", b"HRANDFIELD", b"HSCAN k",
    b"SORT", b"SORT_RO", b"GEOADD k 1 1", b"GEODIST k a", b"GEOHASH", b"GEOPOS", b"GEORADIUS k 1 1 1", b"GEORADIUS_RO k 1 1 1", b"GEORADIUSBYMEMBER k m 1",
    b"GEORADIUSBYMEMBER_RO k m 1", b"GEOSEARCH k FROMMEMBER m BYRADIUS 1", b"GEOSEARCHSTORE k k FROMMEMBER m BYRADIUS 1",
    b"TIME x", b"MEMORY", b"MEMORY USAGE", b"SLOWLOG", b"SLOWLOG LEN x", b"SLOWLOG RESET x", b"LATENCY", b"RESET x", b"AUTH",
    b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE", b"PUBLISH c", b"PUBLISH c a b", b"SPUBLISH c", b"SPUBLISH c a b", b"PUBSUB", b"PUBSUB NUMPAT x",
]
UNKNOWN = [b"FOO", b"foo bar", b"GETT k", b"foo  a b c", b"nosuch " + b"x" * 200, b"a" * 200, b"foo " + b" ".join(b"arg%d" % i for i in range(40)),
           b"foo 'quoted' \"x\"", b"foo \xff\x01", b"set2 a b", b"|", b"get|x"]
SUBCOMMANDS = [b"CLIENT FOO", b"CLIENT foo a b", b"CONFIG FOO", b"CONFIG RESETSTATS", b"COMMAND FOO", b"OBJECT FOO k", b"MEMORY FOO", b"SLOWLOG FOO",
               b"LATENCY FOO", b"PUBSUB FOO", b"client getname2", b"COMMAND \xff"]
FLAGS = [b"GET k", b"SET k v", b"SET k v GET", b"SET k get", b"SET k v EX 10 get", b"BITFIELD k", b"BITFIELD k GET u8 0", b"BITFIELD k GET u8 0 SET u8 0 1",
         b"BITFIELD k OVERFLOW SAT INCRBY u8 0 1", b"BITFIELD k OVERFLOW SAT", b"BITFIELD k GET u8", b"BITFIELD k FOO", b"BITFIELD_RO k GET u8 0", b"MSET a 1 b 2", b"RENAME a b",
         b"COPY a b", b"SORT k STORE d", b"GEORADIUS k 1 1 1 km STORE a", b"ZUNIONSTORE d 2 a b", b"LMOVE a b LEFT LEFT", b"PING", b"GET"]
GETKEYS = [b"GET k", b"SET k v", b"SET k v EX 10", b"MGET a b c", b"MSET a 1 b 2", b"DEL a b", b"RENAME a b", b"COPY a b DB 1", b"OBJECT ENCODING k",
           b"EXPIRE k 10", b"LCS a b", b"INCR k", b"RESTORE k 0 x", b"DUMP k", b"MSETNX a 1", b"GETEX k", b"TOUCH a b",
           b"LPUSH k a b", b"LPOP k", b"LMOVE a b LEFT RIGHT", b"RPOPLPUSH a b", b"LMPOP 2 a b LEFT", b"LMPOP 1 a RIGHT COUNT 2", b"LMPOP 0 a LEFT",
           b"LMPOP x a LEFT", b"LMPOP 5 a LEFT", b"LPOS k a RANK 1",
           b"SORT k", b"SORT k BY w_* GET # STORE d", b"SORT k GET store STORE a STORE b", b"SORT_RO k BY a* GET b*", b"GEOADD k 1 1 m",
           b"GEORADIUS k 1 1 1 km STORE a", b"GEORADIUS k 1 1 1 km STOREDIST a", b"GEORADIUSBYMEMBER k m 1 km STORE a STOREDIST b", b"GEORADIUS k 1 1 1 km STORE",
           b"GEOSEARCHSTORE a b FROMMEMBER m BYRADIUS 1 km", b"PING", b"TIME", b"DBSIZE", b"nosuch k", b"GET", b"MSET", b"SET k", b"ECHO x", b"MOVE k 1", b"MEMORY USAGE k", b"EXISTS a a"]
INFO = [b"get", b"SET", b"mset", b"del", b"expire", b"rename", b"scan", b"ping", b"select", b"nosuch", b"getrange", b"flushall", b"time", b"incrbyfloat",
        b"lpush", b"sort_ro", b"geoadd", b"georadius", b"georadiusbymember", b"geosearchstore", b"geosearch", b"geodist", b"geopos", b"lpop", b"lrange", b"lmove", b"lmpop", b"linsert", b"rpoplpush", b"lpos",
        b"subscribe", b"unsubscribe", b"psubscribe", b"punsubscribe", b"publish", b"ssubscribe", b"sunsubscribe", b"spublish", b"pubsub"]
SHARED_OPTIONS = [b"save", b"appendonly", b"databases", b"timeout", b"maxclients", b"tcp-keepalive", b"maxmemory-policy", b"proto-max-bulk-len",
                  b"appendfsync", b"requirepass", b"nosuchoption", b"APPENDONLY", b"appendonl?", b"no*such", b"notify-keyspace-events"]


def words(line):
    return [word for word in line.split(b" ")]


def ping(g):
    return one(g.word(b"PING"), *g.pick([[], [], [g.value()]]))


def echo(g):
    return one(g.word(b"ECHO"), g.value())


def select(g):
    if g.flip(0.8):
        return one(g.word(b"SELECT"), g.pick([b"0", b"0", b"1", b"2", b"3"]))
    return one(b"SELECT", g.pick([b"16", b"-1", b"abc", b"", b"1.5", b" 1", b"01", b"9223372036854775808", b"4294967296", b"1000000"]))


def protocol(g):
    """The protocol changes and comes back, as later commands of this connection are for its own one."""
    own = b"%d" % g.proto
    steps = [Cmd(b"HELLO", g.pick([b"2", b"3"]), compare=same.hello)]
    steps += [Cmd(b"GET", g.key()), Cmd(b"GET", b"nosuchkey"), Cmd(b"CONFIG", b"GET", b"appendonly")]
    return steps + [Cmd(b"HELLO", own, compare=same.hello)]


def hello_variants(g):
    own = b"%d" % g.proto
    good = [[], [own], [own, b"SETNAME", b"name1"], [own, b"setname", b""]]
    bad = [[b"1"], [b"4"], [b"abc"], [b""], [b"9223372036854775808"], [b"3.0"], [own, b"FOO"], [own, b"AUTH"], [own, b"AUTH", b"x"],
           [own, b"SETNAME"], [own, b"SETNAME", b"a b"], [b"SETNAME", b"a"], [own, b"AUTH", b"nosuchuser", b"x"], [b"-3"]]
    return one(g.word(b"HELLO"), *g.pick(good if g.flip(0.5) else bad), compare=same.hello)


def auth(g):
    return one(b"AUTH", *g.pick([[b"x"], [b"default", b"x"], [b"nosuchuser", b"x"], [b"a", b"b", b"c"], [b""]]))


def reset(g):
    """RESET goes back to RESP2 and database 0."""
    return [Cmd(g.word(b"RESET")), Cmd(b"CLIENT", b"GETNAME"), Cmd(b"HELLO", b"%d" % g.proto, compare=same.hello)]


def client(g):
    r = g.random()
    if r < 0.3:
        return one(g.word(b"CLIENT"), g.word(b"GETNAME"))
    if r < 0.6:
        return one(b"CLIENT", g.word(b"SETNAME"), g.pick([b"a", b"conn-1", b"", b"a b", b"a\nb", b"x" * 200, b"\xff", b"{x}", b"\x7f", b"!~"]))
    if r < 0.7:
        return one(b"CLIENT", b"ID", compare=same.same_type)
    if r < 0.85:
        return one(b"CLIENT", g.word(b"NO-EVICT"), g.pick([b"ON", b"OFF", b"off", b"maybe", b""]))
    return one(b"CLIENT", b"REPLY", g.pick([b"ON", b"on", b"foo", b""]))


def client_reply(g):
    """Groups without replies; the last command of each answers again."""
    if g.flip(0.5):
        key = g.key()
        return [Cmd(b"CLIENT", b"REPLY", b"SKIP", quiet=True), Cmd(b"SET", key, g.value(), quiet=True), Cmd(b"GET", key)]
    quiet = [Cmd(b"SET", g.key(), g.value(), quiet=True) for _ in range(g.between(0, 3))]
    quiet += [Cmd(b"NOSUCH", quiet=True)] if g.flip(0.3) else []
    return [Cmd(b"CLIENT", b"REPLY", b"OFF", quiet=True)] + quiet + [Cmd(b"CLIENT", b"REPLY", b"ON")]


def arity(g):
    return one(*words(g.pick(ARITIES)))


def unknown(g):
    return one(*words(g.pick(UNKNOWN)))


def subcommand(g):
    return one(*words(g.pick(SUBCOMMANDS)))


def time(_g):
    return one(b"TIME", compare=same.same_type)


def command(g):
    r = g.random()
    if r < 0.15:
        return one(b"COMMAND", b"COUNT", compare=same.same_type)
    if r < 0.4:
        return one(b"COMMAND", b"INFO", *[g.pick(INFO) for _ in range(g.between(1, 3))], compare=same.command_info)
    if g.flip(0.3):
        return one(b"COMMAND", g.word(b"GETKEYSANDFLAGS"), *words(g.pick(FLAGS)))
    return one(b"COMMAND", g.word(b"GETKEYS"), *words(g.pick(GETKEYS)))


def config(g):
    r = g.random()
    if r < 0.6:
        return one(b"CONFIG", g.word(b"GET"), *[g.pick(SHARED_OPTIONS) for _ in range(g.between(1, 2))], compare=same.pairs)
    return one(b"CONFIG", b"SET", *g.pick([[b"nosuch", b"1"], [b"appendonly", b"maybe"], [b"appendfsync", b"foo"], [b"maxclients", b"abc"],
                                           [b"timeout", b"-1"], [b"timeout", b"0"], [b"timeout", b"0", b"nosuch", b"1"],
                                           [b"timeout", b"0", b"timeout", b"0"], [b"databases", b"5"]]))


def memory_usage(g):
    return one(b"MEMORY", b"USAGE", g.key(), *g.pick([[], [], [b"SAMPLES", b"5"], [b"SAMPLES"], [b"SAMPLES", b"-1"], [b"FOO", b"5"]]),
               compare=same.same_type)


def slowlog(g):
    return one(b"SLOWLOG", *g.pick([[b"GET"], [b"GET", b"10"], [b"GET", b"-1"], [b"LEN"], [b"RESET"], [b"GET", b"abc"], [b"GET", b"-2"]]),
               compare=same.same_type)


def latency(g):
    return one(b"LATENCY", b"HISTOGRAM", *g.pick([[], [b"get"], [b"set", b"get"], [b"nosuch"]]), compare=same.same_type)


def debug(_g):
    return one(b"DEBUG", b"SLEEP", b"0")


def debug_protocol(g):
    """One of each kind of reply, but for those that come with another."""
    kinds = [b"string", b"integer", b"double", b"bignum", b"null", b"array", b"set", b"map", b"verbatim", b"true", b"FALSE", b"", b"foo"]
    return one(b"DEBUG", g.word(b"PROTOCOL"), g.pick(kinds))


PRODUCERS = [
    (3, ping), (3, echo), (6, select), (2, protocol), (3, hello_variants), (1, auth), (0.5, reset), (6, client), (2, client_reply),
    (6, arity), (5, unknown), (3, subcommand), (1, time), (5, command), (4, config), (3, memory_usage), (1, slowlog), (1, latency), (0.3, debug), (1, debug_protocol),
]
