"""When two replies mean the same although their bytes may differ. Each takes (ours, reference, session) as raw frames
and answers True for equal. Errors are never excused: when either side is an error, both must be the same bytes."""

from support import resp

MANY = (list, resp.Set, resp.Map)


def crc64(data):
    """Jones, as in RDB."""
    crc = 0
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc


def _table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ 0x95AC9329AC4BC9B5 if byte & 1 else byte >> 1
        table.append(byte)
    return table


_TABLE = _table()


def _typed(function):
    def compare(ours, reference, session):
        if ours == reference:
            return True
        if ours[:1] == b"-" or reference[:1] == b"-":
            return False
        a, b = resp.decode(ours), resp.decode(reference)
        return type(a) is type(b) and function(a, b, session)

    return compare


@_typed
def same_type(_a, _b, _session):
    """IDs, times, sizes: only the kind of reply counts."""
    return True


@_typed
def unordered(a, b, _session):
    """A set in whatever order it came."""
    if isinstance(a, MANY):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    return a == b


@_typed
def pairs(a, b, _session):
    """Name-value pairs in any order, flat (RESP2) or as a map."""
    if isinstance(a, resp.Map):
        return sorted(map(repr, a)) == sorted(map(repr, b))
    if isinstance(a, list):
        return sorted(map(repr, zip(a[::2], a[1::2]))) == sorted(map(repr, zip(b[::2], b[1::2])))
    return a == b


def within(tolerance, exact_from=None, exact_to=None):
    """Integers that depend on the clock. Negative answers (-1, -2) and the exact range allow no tolerance."""

    def compare(a, b, _session):
        if not isinstance(a, int):
            return a == b
        if min(a, b) < 0 or (exact_from is not None and exact_from <= min(a, b) < exact_to):
            return a == b
        return abs(a - b) <= tolerance

    return _typed(compare)


def elements(raw):
    """The raw frames in an array; None for anything else."""
    end = raw.index(b"\r\n")
    if raw[:1] != b"*" or raw[1:2] == b"-":
        return None
    scanner = resp.Scanner()
    scanner.feed(raw[end + 2 :])
    return scanner.frames()


# The slack covers a machine that stands still for seconds (seen on shared hosts), not the servers.
TTL_S = within(20)
TTL_MS = within(20000)
# Relative deadlines depend on when each server ran the command: a stalled machine puts seconds between the two.
# Deadlines of the absolute pool (year 2096 on) were given as such and must come back as such.
DEADLINE_S = within(20, 4_000_000_000, 5_000_000_000)
DEADLINE_MS = within(20000, 4_000_000_000_000, 5_000_000_000_000)


@_typed
def hello(a, b, _session):
    """Same fields; proto, mode and role equal; server, version, id and modules are each server's own."""
    if not isinstance(a, resp.Map):
        a, b = (resp.Map(zip(x[::2], x[1::2])) for x in (a, b))
    own = (b"server", b"version", b"id", b"modules")
    return {k for k, _ in b} <= {k for k, _ in a} and all(a.get(k) == v for k, v in b if k not in own)


@_typed
def command_info(a, b, _session):
    """Name, arity and key positions; flags, categories and tips differ between Redis versions."""
    if len(a) != len(b):
        return False
    for x, y in zip(a, b):
        if isinstance(x, list) != isinstance(y, list):
            return False
        if isinstance(y, list) and (x[0], x[1], x[3:6]) != (y[0], y[1], y[3:6]):
            return False
    return True


def dump(ours, reference, session):
    """The body byte for byte when possible; else the payloads must restore crosswise to the same value. The footer's
    version may differ, its checksum must be right."""
    if ours == reference:
        return True
    a, b = resp.decode(ours), resp.decode(reference)
    if type(a) is not bytes or type(b) is not bytes or len(a) < 11 or len(b) < 11:
        return False
    if len(a) < 4000 and crc64(a[:-8]) != int.from_bytes(a[-8:], "little"):
        return False
    return a[:-10] == b[:-10] or session.same_when_restored(a, b)
