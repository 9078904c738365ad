"""What eviction costs and what it is worth: bench.py's section `eviction` (issue 5).

Cost: a server is full, and SETs of a million uniformly drawn keys, of which a part fits, evict others all the time.
Beside it, on the same machine within seconds, a server without a limit gets the same SETs of as many keys as the full
one holds, so that nothing is evicted; the difference of their CPU time per SET is what eviction costs. An evicting SET
also makes a key that was not there where the other one overwrites, and that is in the difference.

Worth: the share of requests that find their key. `SET key value NX GET` is what a client of a cache does, in one command:
it answers the value, or nil and writes it. The hit ratio is counted by the generator, in the second half of the requests.
Loads: zipf 0.99 over a million keys of 1 KiB in 256 MiB; and the same with every other request for a key that nobody
ever asks for again (a scan). micro/evict_bench measures the same on a shard without a network and without memory limits.
"""

import statistics
from dataclasses import dataclass

PIPELINE = 16
REDIS_ONLY_NAME = {"allkeys-lrfu": "allkeys-lru"}  # the best of redis's own stands beside it


@dataclass(frozen=True)
class Cost:
    name: str
    value_len: int
    keys: int               # several times as many as there is room for
    at_most: float = 0.5    # us over a SET that evicts nothing
    maxmemory: str = "100mb"

    op = "set"
    pipeline = PIPELINE


COSTS = [
    Cost("eviction: SET of 200 bytes", 200, 1_000_000),
    Cost("eviction: SET of 1000 bytes", 1000, 300_000),
    Cost("eviction: SET of 4000 bytes", 4000, 100_000),
]

HIT_KEYS = 1_000_000
HIT_MEMORY = "256mb"
ZIPF = "set __key__ __value__ nx get"
SCAN = ZIPF + " ; set scan:__rand:1000000000000__ __value__ nx get"
STATIC_BEST = 0.900  # zipf: the share of the most popular keys, as many as fit in 256 MiB when nothing else is needed


@dataclass(frozen=True)
class Hits:
    """`policies`: sherd's, each beside redis's allkeys-lru. `asked`: the share of requests that could hit at all."""
    name: str
    op: str
    asked: float
    policies: tuple = ("allkeys-lru", "allkeys-lrfu")


HITS = [
    Hits("eviction: hit ratio, zipf", ZIPF, 1.0),
    Hits("eviction: hit ratio, zipf and a scan", SCAN, 0.5),
]


def run_eviction(bench):
    """Fills bench.evictions with rows for the table, bench.checks with what is judged."""
    for cost in COSTS:
        if bench.wanted(cost.name):
            run_cost(bench, cost)
    for hits in HITS:
        if bench.wanted(hits.name):
            run_hits(bench, hits)


# --- what it costs ---

def run_cost(bench, cost):
    full = (("--maxmemory", cost.maxmemory), ("--maxmemory-policy", "allkeys-lru"))
    held = {}
    for rep in range(bench.args.reps):
        for evicting, roomy in zip(bench.servers(options=full), bench.servers()):
            bench.say(f"repetition {rep + 1} of {bench.args.reps}: {cost.name}, {evicting.name}")
            with evicting, roomy:
                size = ("--value-len", cost.value_len)
                bench.generator.run(evicting, "--preload", *size, "--keys", cost.keys)
                held[evicting.name] = fits = int(evicting.ask("DBSIZE")[1:])
                bench.generator.run(roomy, "--preload", *size, "--keys", fits)
                for server, label, keys in ((roomy, "nothing evicted", fits), (evicting, "evicting", cost.keys)):
                    bench.measure(bench.generator, server, cost, f"{cost.name}, {label}", (*size, "--keys", keys))
    for server in ("sherd", "redis"):
        calm, busy = (bench.known(f"{cost.name}, {label}", server) for label in ("nothing evicted", "evicting"))
        if not calm or not busy:
            continue
        for label, records in (("nothing evicted", calm), ("evicting", busy)):
            bench.evictions.append({"scenario": cost.name, "server": server, "policy": label, "hits": None, "keys": held[server],
                                    "cpu_us": statistics.median(r["cpu_us"] for r in records),
                                    "ops_per_s": statistics.median(r["ops_per_s"] for r in records)})
        added = statistics.median(b["cpu_us"] - a["cpu_us"] for a, b in zip(calm, busy))
        bench.check(f"{cost.name}, added, {server}", added, cost.at_most if server == "sherd" else None, "us per SET",
                    calm + busy)


# --- what it is worth ---

def hit_ratio(bench, server, hits):
    """Requests until the cache is full and its contents settled, then the same number counted."""
    load = ("--op", hits.op, "--pipeline", PIPELINE, "--keys", HIT_KEYS, "--value-len", 1024, "--dist", "zipf:0.99",
            "--requests", 4 * HIT_KEYS)
    bench.generator.run(server, *load)
    got = bench.generator.run(server, *load, "--seed", 2)
    return got, (got["ops"] - got["nils"]) / (got["ops"] * hits.asked)


def run_hits(bench, hits):
    found = {}
    for policy in hits.policies:
        for server in bench.servers(options=(("--maxmemory", HIT_MEMORY), ("--maxmemory-policy", policy))):
            if server.name == "redis" and policy in REDIS_ONLY_NAME:
                continue
            bench.say(f"{hits.name}: {server.name}, {policy}")
            with server:
                got, ratio = hit_ratio(bench, server, hits)
                held = int(server.ask("DBSIZE")[1:])
            found[server.name, policy] = ratio
            bench.evictions.append({"scenario": hits.name, "server": server.name, "policy": policy, "hits": ratio, "keys": held,
                                    "cpu_us": got["server"]["cpu_us_per_op"], "ops_per_s": got["ops_per_s"]})
    redis = found.get(("redis", "allkeys-lru"))
    if redis is None:
        return
    judge = {"allkeys-lru": redis, "allkeys-lrfu": redis + 0.05 if hits.asked < 1 else (redis + STATIC_BEST) / 2}
    for policy, at_least in judge.items():
        if ("sherd", policy) in found:
            bench.check_least(f"{hits.name}, {policy}", found["sherd", policy], round(at_least, 3), "of the requests")
