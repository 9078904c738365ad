"""Geo: places at edges, poles and the date line, circles and boxes of every size, options in every order, results stored on other
shards, and scores that are no places."""

from families.gen import BAD_FLOATS, BAD_INTS, one

WEIGHT = 30
MUTATE = False

GEOS = [b"geo%d" % i for i in range(3)] + [b"{tag1}:geo%d" % i for i in range(2)]
# What only distances get into: as places they would be all the same.
DISTANCES = [b"geot%d" % i for i in range(3)] + [b"{tag1}:geot"]
TARGETS = DISTANCES + GEOS
# Places that many members must not share: of equal distances Redis does not say which comes first. So each has its own member.
EDGES = [(b"0", b"0"), (b"180", b"0.2"), (b"-180", b"0.5"), (b"179.5", b"85.05112878"), (b"-179.3", b"-85.05112878"), (b"0.0001", b"85.05112878"), (b"90", b"-85.05112877"),
         (b"179.9999999", b"10"), (b"-179.9999999", b"11.3"), (b"13.361389", b"38.115556"), (b"15.087269", b"37.502669"), (b"1e-3", b"-2e-3"), (b"-0", b"66.1"),
         (b"12.5", b"80.1"), (b"13", b"-66.1"), (b"0x10", b"7"), (b"  1"[2:], b"45")]
INVALID = [(b"181", b"0"), (b"-180.0001", b"0"), (b"0", b"85.06"), (b"0", b"-90"), (b"inf", b"0"), (b"1e300", b"1"), (b"nan", b"0"), (b"0", b"abc"), (b"", b"1"), (b"1 ", b"1")]
UNITS = [b"m", b"km", b"km", b"km", b"ft", b"mi", b"KM", b"M"]
RADII = [b"0", b"1", b"10", b"100", b"500", b"1000", b"3000", b"5000.5", b"10000", b"20000", b"40000", b"1e7", b"0.001", b"1e-300", b"1e300", b"inf", b"123456.789", b"6371", b"250"]
NAMES = [b"x", b"y", b"", b"12", b"-3", b"l" * 70]


def key(g):
    return g.pick(GEOS) if g.flip(0.97) else g.key()


def searched(g, limit):
    """Other sorted sets have many members at one place; with COUNT Redis takes any of equal distances."""
    return g.pick(GEOS) if limit else key(g)


def point(g):
    r = g.random()
    if r < 0.6:
        return [b"%.6f" % (g.random() * 360 - 180), b"%.6f" % (g.random() * 170 - 85)]
    if r < 0.8:
        return [b"%.6f" % (g.random() * 4 + 10), b"%.7f" % (g.random() * 4 + 36)]
    return list(g.pick(EDGES)) if r < 0.975 else list(g.pick(INVALID))


def member(g):
    r = g.random()
    return b"e%d" % g.between(0, len(EDGES) - 1) if r < 0.3 else b"m%d" % g.between(0, 150) if r < 0.95 else g.pick(NAMES)


def placed(g):
    """A member with a place of its own."""
    if g.flip(0.2):
        at = g.between(0, len(EDGES) - 1)
        return [*EDGES[at], b"e%d" % at]
    name = b"m%d" % g.between(0, 150) if g.flip(0.9) else g.pick(NAMES)
    if g.flip(0.4):
        return [b"%.9f" % (g.random() * 4 + 10), b"%.9f" % (g.random() * 4 + 36), name]
    return [b"%.9f" % (g.random() * 360 - 180), b"%.9f" % (g.random() * 170 - 85), name]


def geoadd(g):
    r = g.random()
    many = g.between(1, 4) if r < 0.8 else g.between(5, 30) if r < 0.97 else g.between(100, 400)
    words = [word for _ in range(many) for word in placed(g)]
    if g.flip(0.04):
        words += g.pick([[b"1"], [b"1", b"2"], [*g.pick(INVALID), b"m"]])
    options = [g.word(g.pick([b"NX", b"XX", b"CH", b"CH"])) for _ in range(g.between(1, 2))] if g.flip(0.3) else []
    return one(g.word(b"GEOADD"), key(g), *options, *words)


def change(g):
    r = g.random()
    if r < 0.5:
        return one(b"ZREM", key(g), *[member(g) for _ in range(g.between(1, 5))])
    if r < 0.6:
        return one(b"DEL", g.pick(TARGETS))
    if r < 0.8:
        return one(b"ZADD", g.pick(GEOS), g.pick([b"-1", b"1e300", b"-1e300", b"inf", b"-inf", b"0", b"4503599627370495", b"4503599627370496", b"18014398509481984", b"1.5"]), b"odd")
    return one(b"ZRANGE", g.pick(TARGETS), b"0", b"-1", b"WITHSCORES")


def ask(g):
    r = g.random()
    if r < 0.34:
        return one(g.word(b"GEODIST"), key(g), member(g), member(g), *([g.word(g.pick(UNITS))] if g.flip(0.6) else []), *([g.pick([b"x", b"", b"m"])] if g.flip(0.03) else []))
    return one(g.word(g.pick([b"GEOHASH", b"GEOPOS"])), key(g), *[member(g) if g.flip(0.97) else b"odd" for _ in range(g.between(0, 5))])


def radius(g):
    return g.pick(RADII) if g.flip(0.96) else g.pick([b"-1", b"-0.1", *BAD_FLOATS])


def unit(g):
    return g.pick(UNITS) if g.flip(0.98) else g.pick([b"", b"cm", b"mm", b"k"])


def count(g):
    if not g.flip(0.4):
        return []
    limit = b"%d" % g.between(1, 12) if g.flip(0.93) else g.pick([b"0", b"-1", b"9223372036854775807", *BAD_INTS[:4]])
    return [g.word(b"COUNT"), limit, *([g.word(b"ANY")] if g.flip(0.4) else [])]


def order(g):
    return [g.word(g.pick([b"ASC", b"DESC"]))] if g.flip(0.5) else []


def with_words(g):
    return [g.word(word) for word in (b"WITHDIST", b"WITHCOORD", b"WITHHASH") if g.flip(0.4)]


def shuffled(g, options):
    options = [option for option in options if option]
    g.rng.shuffle(options)
    return [word for option in options for word in option]


def odd_word(g):
    return g.pick([[b"FOO"], [b"COUNT"], [b"ANY"], [b"STORE", b"geot0"], [b"BYRADIUS", b"1", b"km"], [b"BYBOX", b"1", b"1", b"km"],
                   [b"FROMMEMBER", b"m1"], [b"FROMLONLAT", b"1", b"1"], [b"WITHDIST"]]) if g.flip(0.04) else []


def store(g):
    return [g.word(b"STORE"), g.pick(TARGETS)] if g.flip(0.5) else [g.word(b"STOREDIST"), g.pick(DISTANCES)]


def old_search(g):
    by_member, stores, limit = g.flip(0.5), g.flip(0.4), count(g)
    head = [searched(g, limit), member(g)] if by_member else [searched(g, limit), *point(g)]
    name = (b"GEORADIUSBYMEMBER" if by_member else b"GEORADIUS") + (b"_RO" if not stores and g.flip(0.4) else b"")
    options = [limit, order(g), odd_word(g)]
    options += [store(g) for _ in range(2 if g.flip(0.1) else 1)] if stores else [[word] for word in with_words(g)]
    return one(g.word(name), *head, radius(g), unit(g), *shuffled(g, options))


def search(g):
    stores, limit = g.flip(0.4), count(g)
    centre = [g.word(b"FROMMEMBER"), member(g)] if g.flip(0.5) else [g.word(b"FROMLONLAT"), *point(g)]
    shape = [g.word(b"BYRADIUS"), radius(g), unit(g)] if g.flip(0.5) else [g.word(b"BYBOX"), radius(g), radius(g), unit(g)]
    if g.flip(0.02):
        centre = g.pick([[], centre[:-1], centre + centre])
    if g.flip(0.02):
        shape = g.pick([[], shape[:-1], shape + shape])
    options = [centre, shape, limit, order(g), odd_word(g)]
    if stores:
        distances = g.flip(0.5)
        options.append([g.word(b"STOREDIST")] if distances else [])
        return one(g.word(b"GEOSEARCHSTORE"), g.pick(DISTANCES if distances else TARGETS), searched(g, limit), *shuffled(g, options))
    return one(g.word(b"GEOSEARCH"), searched(g, limit), *shuffled(g, options + [[word] for word in with_words(g)]))


PRODUCERS = [(6, geoadd), (2, change), (3, ask), (4, old_search), (6, search)]
