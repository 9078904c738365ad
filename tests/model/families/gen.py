"""The seeded source of randomness for all families: few keys, few values, many edges."""

import random


class Cmd:
    """One command. `compare` is None for byte for byte; quiet: the server sends no reply to it (CLIENT REPLY);
    live: instead of a command, a function(session) that talks to both servers and returns None or what differs."""

    __slots__ = ("args", "compare", "quiet", "live")

    def __init__(self, *args, compare=None, quiet=False, live=None):
        self.args, self.compare, self.quiet, self.live = args, compare, quiet, live


def one(*args, compare=None):
    return [Cmd(*args, compare=compare)]


I64_MAX, I64_MIN = b"9223372036854775807", b"-9223372036854775808"

KEYS = (
    [b"k%d" % i for i in range(20)]
    + [b"{tag1}:%d" % i for i in range(8)]
    + [b"{tag2}:%d" % i for i in range(6)]
    + [b"user:%d" % i for i in range(8)]
    + [b"", b"{}x", b"{", b"a{b", b"x{}{tag1}", b"\x00\xff\r\n", b"\r\n", b"with space", b"k[1]*", b"k?", b"\\k1"]
    + [b"1", b"-1", b"12345678901234567890", b"\xc3\xa4", b"L" * 300, b"M" * 44 + b"{tag2}", b"N" * 5000, b"o" * 64]
)

INTS = [b"0", b"1", b"-1", b"2", b"10", b"-10", b"99", b"9999", b"10000", b"32767", b"-32768", b"65536", b"2147483647",
        b"-2147483648", b"4294967296", I64_MAX, I64_MIN, b"9223372036854775806", b"-9223372036854775807"]
BAD_INTS = [b"", b"abc", b"1.5", b" 1", b"1 ", b"+1", b"01", b"-0", b"0x10", b"1e3", b"9223372036854775808",
            b"-9223372036854775809", b"1\x00", b"99999999999999999999"]
FLOATS = [b"0", b"1.5", b"-1.5", b"0.1", b"3.0e3", b"1e17", b"-1e-5", b"5.0", b"10.50", b"1e308", b"1234567.891", b"0.0000001",
          b"3.14159265358979", b"100000000000000000000", b"-0", b".5", b"1."]
BAD_FLOATS = [b"", b"abc", b" 1.5", b"1.5 ", b"nan", b"inf", b"-inf", b"1e5000", b"1.5x", b"1\x00"]


class Gen:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.random = self.rng.random
        self.keys = KEYS
        self.key_set = set(KEYS)
        rng = self.rng
        sizes = [1, 2, 3, 5, 11, 12, 13, 20, 39, 43, 44, 45, 63, 64, 65, 100, 128, 255, 256, 257, 1000]
        self.small = [bytes(rng.choice(b"abcdefgh") for _ in range(n)) for n in sizes]
        self.values = (
            self.small + INTS + FLOATS + BAD_INTS
            + [b"", b"\r\n", b"a\r\nb", b"\x00", b"\x00\x01\xff", b"$5\r\nhello\r\n", b"*1\r\n", b"a" * 100, b"ab" * 200]
        )
        self.large = [rng.randbytes(4096), b"z" * 16384, rng.randbytes(20000), b"0123456789" * 2000]
        self.huge = [rng.randbytes(65536), b"y" * 200000]
        self.hot = 10

    # --- random basics ---

    def flip(self, probability):
        return self.random() < probability

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def between(self, low, high):
        return low + int(self.random() * (high - low + 1))

    def word(self, word):
        """A keyword, sometimes in odd case."""
        return word if self.random() < 0.8 else word.lower() if self.random() < 0.5 else word.swapcase().title()

    # --- pools ---

    def key(self):
        r = self.random()
        if r < 0.5:
            return self.keys[int(r * 2 * self.hot)]
        return self.keys[int((r - 0.5) * 2 * len(self.keys))]

    def some_keys(self, low=1, high=6):
        return [self.key() for _ in range(self.between(low, high))]

    def value(self):
        r = self.random()
        if r < 0.30:
            return self.pick(INTS)
        if r < 0.985:
            return self.pick(self.values)
        if r < 0.9985:
            return self.pick(self.large)
        return self.pick(self.huge)

    def int(self):
        r = self.random()
        if r < 0.6:
            return b"%d" % self.between(-20, 100)
        return self.pick(INTS) if r < 0.93 else self.pick(BAD_INTS)

    def float(self):
        r = self.random()
        if r < 0.9:
            return self.pick(FLOATS)
        return self.pick(BAD_FLOATS)

    def index(self):
        """A position in a string, in and out of range."""
        r = self.random()
        if r < 0.8:
            return b"%d" % self.between(-70, 300)
        return self.pick(INTS) if r < 0.97 else self.pick(BAD_INTS)

    # --- time ---
    #
    # Two servers never run the same command in the same millisecond, so nothing may hinge on one. Relative times are
    # longer than any run; where GT and LT compare them they are drawn from a range so wide that two never tie.

    def relative_s(self):
        r = self.random()
        if r < 0.85:
            return self.pick([b"50000", b"100000", b"1000000", b"100000000"])
        return self.pick([b"0", b"-1", b"-1000", I64_MAX, I64_MIN, b"9223372036854775", b"9223372036854776",
                          b"-9223372036854776", b"9000000000000000"] + BAD_INTS)

    def relative_ms(self):
        r = self.random()
        if r < 0.85:
            return self.pick([b"50000000", b"100000001", b"1000000000", b"100000000999"])
        return self.pick([b"0", b"-1", b"-1000", I64_MAX, I64_MIN, b"9000000000000000000"] + BAD_INTS)

    def untied_s(self):
        return b"%d" % self.between(60_000, 200_000_000)

    def untied_ms(self):
        return b"%d" % self.between(60_000_000, 200_000_000_000)

    def absolute_s(self, past=True):
        r = self.random()
        if r < 0.85:
            return self.pick([b"4000000000", b"4100000000", b"4000000001", b"4900000000"])
        edges = [I64_MAX, b"9223372036854776", b"9000000000000000"] + BAD_INTS
        return self.pick(edges + [b"0", b"-1", b"1", b"1000000000", I64_MIN, b"-9223372036854776"] if past else edges)

    def absolute_ms(self, past=True):
        r = self.random()
        if r < 0.85:
            return self.pick([b"4000000000000", b"4100000000001", b"4000000000999", b"4900000000500"])
        edges = [b"9000000000000000000", b"9223372036854775808"] + BAD_INTS
        return self.pick(edges + [b"0", b"-1", b"1", b"1000000000000", I64_MIN] if past else edges)
