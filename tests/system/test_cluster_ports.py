#!/usr/bin/env python3
"""Ports of the threads' own (option cluster-ports): CLUSTER tells the threads as nodes, a cluster client finds each key at its
owner, every port answers everything, and what is about all keys is about one shard there. Replies have the forms of a
redis-server that is a cluster; without the option they are those of one that is none.

Real clients: redis-benchmark --cluster, redis-cli -c and --cluster, python3-redis's RedisCluster. (ioredis: test_ioredis.py.)"""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import binascii  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import unittest  # noqa: E402

try:
    import redis.cluster  # noqa: E402
except ImportError:  # not there, or too old
    redis = None

from support import resp  # noqa: E402
from support.case import Server, ServerCase, ServerFailed, main, redis_binary, sherd_only, spread_keys, wait_until  # noqa: E402
from support.server import SLOW, free_port  # noqa: E402

SLOTS, THREADS = 16384, 3
CLI, BENCHMARK = shutil.which("redis-cli"), shutil.which("redis-benchmark")

# What a Redis of one node answers to exactly as sherd does, whatever is in it.
SAME = """CLUSTER KEYSLOT foo; CLUSTER KEYSLOT a{foo}b; CLUSTER KEYSLOT {}; CLUSTER KEYSLOT; CLUSTER KEYSLOT a b; CLUSTER COUNTKEYSINSLOT 1;
CLUSTER COUNTKEYSINSLOT x; CLUSTER COUNTKEYSINSLOT -1; CLUSTER COUNTKEYSINSLOT 16384; CLUSTER COUNTKEYSINSLOT; CLUSTER GETKEYSINSLOT 1 10;
CLUSTER GETKEYSINSLOT x 1; CLUSTER GETKEYSINSLOT 1 x; CLUSTER GETKEYSINSLOT 1 -1; CLUSTER GETKEYSINSLOT -1 1; CLUSTER GETKEYSINSLOT 16384 1;
CLUSTER GETKEYSINSLOT 1 0; CLUSTER GETKEYSINSLOT 1; CLUSTER LINKS; CLUSTER LINKS x; CLUSTER REPLICAS x; CLUSTER SLAVES x; CLUSTER REPLICAS;
CLUSTER COUNT-FAILURE-REPORTS x; CLUSTER NOSUCH; CLUSTER; CLUSTER MYID x; CLUSTER MEET; CLUSTER SETSLOT 1; READONLY; READWRITE; ASKING; READONLY x;
CLUSTER ADDSLOTS; CLUSTER SLOTS x; CLUSTER NODES x; CLUSTER SHARDS x; CLUSTER INFO x"""


def words(text):
    return [tuple(line.split()) for line in text.split(";")]


def slot_of(key):
    return binascii.crc_hqx(key, 0) % SLOTS


def shape(value):
    """What a reply is made of, without its values."""
    if isinstance(value, resp.Map):
        return "map", [(bytes(key), shape(item)) for key, item in value]
    if isinstance(value, list):
        return type(value).__name__, [shape(item) for item in value]
    return type(value).__name__


def text_of(value):
    return bytes(value).decode().removeprefix("txt:")


class PortsCase(ServerCase):
    options = ("--cluster-ports", "yes")
    threads = THREADS

    def setUp(self):
        super().setUp()
        self.plain = self.client()
        self.plain.must("FLUSHALL")

    def node(self, thread, **options):
        client = resp.Client(self.server.port + 1 + thread, **options)
        self.addCleanup(client.close)
        return client

    def nodes(self, **options):
        return [self.node(thread, **options) for thread in range(self.threads)]

    def traffic(self):
        """Commands and hops so far, of all shards."""
        sums = [0, 0]
        for line in text_of(self.plain.must("INFO", "shards")).splitlines():
            if line.startswith("shard") and "," in line:
                fields = dict(item.split("=") for item in line.split(":", 1)[1].split(","))
                sums = [sums[0] + int(fields["commands"]), sums[1] + int(fields["hops_sent"])]
        return sums

    def hop_share(self, work):
        """Hops per command while this is done."""
        before = self.traffic()
        work()
        commands, hops = (after - was for after, was in zip(self.traffic(), before))
        return hops / commands


@sherd_only
class Topology(PortsCase):
    def check_slots(self, slots):
        """Without gaps, a port and an id each; the ids in the order of the slots."""
        self.assertEqual([row[0] for row in slots], [0] + [row[1] + 1 for row in slots[:-1]])
        self.assertEqual(slots[-1][1], SLOTS - 1)
        self.assertEqual([row[2][0:2] for row in slots], [[b"127.0.0.1", self.server.port + 1 + i] for i in range(len(slots))])
        ids = [bytes(row[2][2]).decode() for row in slots]
        self.assertEqual(len(set(ids)), len(slots))
        for name in ids:
            self.assertRegex(name, "^[0-9a-f]{40}$")
        return ids

    def test_everybody_tells_the_same(self):
        slots = self.plain.must("CLUSTER", "SLOTS")
        ids = self.check_slots(slots)
        for thread, client in enumerate(self.nodes()):
            self.assertEqual(client.must("CLUSTER", "SLOTS"), slots)
            self.assertEqual(text_of(client.must("CLUSTER", "MYID")), ids[thread])
            self.assertEqual(text_of(client.must("CLUSTER", "MYSHARDID")), ids[thread])
            self.assertEqual(client.must("CLUSTER", "REPLICAS", ids[0]), [])
            self.assertEqual(client.must("CLUSTER", "COUNT-FAILURE-REPORTS", ids[0]), 0)
            lines = [line.split() for line in text_of(client.must("CLUSTER", "NODES")).splitlines()]
            self.assertEqual([line[0] for line in lines], ids)
            self.assertEqual([line[1] for line in lines], ["127.0.0.1:%d@0" % (self.server.port + 1 + i) for i in range(THREADS)])
            self.assertEqual([line[2] for line in lines], ["myself,master" if i == thread else "master" for i in range(THREADS)])
            self.assertEqual([line[8:] for line in lines], [["%d-%d" % tuple(row[:2])] for row in slots])
            shards = client.must("CLUSTER", "SHARDS")
            self.assertEqual([shard[1] for shard in shards], [row[:2] for row in slots])
            self.assertEqual([shard[3][0][1::2] for shard in shards],
                             [[row[2][2], row[2][1], b"127.0.0.1", b"127.0.0.1", b"master", 0, b"online"] for row in slots])

    def test_the_plain_port_is_a_node_without_slots(self):
        own = text_of(self.plain.must("CLUSTER", "MYID"))
        lines = [line.split() for line in text_of(self.plain.must("CLUSTER", "NODES")).splitlines()]
        self.assertEqual(len(lines), THREADS + 1)
        self.assertEqual(lines[-1][:3] + lines[-1][8:], [own, "127.0.0.1:%d@0" % self.server.port, "myself,master"])
        self.assertIn("cluster_known_nodes:%d\r\ncluster_size:%d\r\n" % (THREADS + 1, THREADS), text_of(self.plain.must("CLUSTER", "INFO")))
        self.assertIn("cluster_known_nodes:%d\r\ncluster_size:%d\r\n" % (THREADS, THREADS), text_of(self.node(1).must("CLUSTER", "INFO")))
        self.assertIn("redis_mode:standalone", text_of(self.plain.must("INFO", "server")))
        self.assertEqual(self.client(proto=3).must("HELLO").get(b"mode"), b"standalone")

    def test_a_thread_says_that_it_is_a_node(self):
        client = self.node(1, proto=3)
        self.assertEqual(client.must("HELLO").get(b"mode"), b"cluster")
        client.must("RESET")
        info = text_of(client.must("INFO"))
        for line in ("redis_mode:cluster", "tcp_port:%d" % (self.server.port + 2), "cluster_enabled:1"):
            self.assertIn("\n%s\r\n" % line, info)
        self.assertError(client.call("CLUSTER", "ADDSLOTS", "1"),
                         "ERR The nodes are the threads of one server: neither they nor their slots can be changed")

    def test_any_number_of_threads(self):
        for threads in (1, 2, 7):
            with Server("--cluster-ports", "yes", threads=threads) as server:
                self.server, before = server, self.server
                try:
                    slots = server.client().must("CLUSTER", "SLOTS")
                    self.assertEqual(len(slots), threads)
                    self.check_slots(slots)
                finally:
                    self.server = before

    def test_announced_address(self):
        self.plain.must("CONFIG", "SET", "cluster-announce-ip", "192.0.2.7")
        try:
            self.assertEqual(self.plain.must("CLUSTER", "SLOTS")[0][2][0], b"192.0.2.7")
            self.assertIn("192.0.2.7:%d@0" % (self.server.port + 1), text_of(self.plain.must("CLUSTER", "NODES")))
        finally:
            self.plain.must("CONFIG", "SET", "cluster-announce-ip", "")

    def test_unix_socket_and_ipv6(self):
        with Server("--cluster-ports", "yes", "--unixsocket", "sock", "--bind", "127.0.0.1", "-::1", threads=2) as server:
            with resp.Client(path=os.path.join(server.dir, "sock")) as client:
                self.assertEqual(client.must("CLUSTER", "SLOTS")[0][2][0], b"127.0.0.1")
            try:
                client = resp.Client(server.port + 2, host="::1")
            except OSError:
                return  # no IPv6 here
            self.assertEqual(client.must("CLUSTER", "SLOTS")[1][2][:2], [b"::1", server.port + 2])
            client.close()

    def test_ports_that_do_not_fit(self):
        with self.assertRaisesRegex(ServerFailed, "cluster-ports needs the 2 ports behind port 65534"):
            Server("--cluster-ports", "yes", threads=2, port=65534)
        with self.assertRaisesRegex(ServerFailed, "cluster-ports needs a TCP port"):
            Server("--cluster-ports", "yes", "--port", "0", "--unixsocket", "sock", threads=2)


@sherd_only
class Keys(PortsCase):
    def test_owners_do_not_hop_and_others_answer_all_the_same(self):
        keys = ["k%d" % i for i in range(300)]
        owner = {key: slot_of(key.encode()) * THREADS // SLOTS for key in keys}
        nodes = self.nodes()

        def at_owners():
            for thread, node in enumerate(nodes):
                node.pipeline([("SET", key, key) for key in keys if owner[key] == thread])

        self.assertLess(self.hop_share(at_owners), 0.1)  # INFO's own
        for node in nodes:
            self.assertEqual(node.pipeline([("GET", key) for key in keys]), [key.encode() for key in keys])

    def test_several_slots_at_any_port(self):
        """No CROSSSLOT, and all of it atomic as ever."""
        a, b, c = spread_keys(3)
        for node in self.nodes():
            node.must("FLUSHALL")
            self.assertEqual(node.must("MSET", a, "1", b, "2", c, "3"), resp.OK)
            self.assertEqual(node.must("MGET", c, b, a), [b"3", b"2", b"1"])
            self.assertEqual(node.must("RENAME", a, b), resp.OK)
            self.assertEqual(node.pipeline([("MULTI",), ("INCR", b), ("INCR", c), ("EXEC",)])[-1], [2, 4])
            self.assertEqual(node.must("SELECT", "1"), resp.OK)
            self.assertEqual(node.must("DEL", a, b, c), 0)

    def test_what_is_about_all_keys_is_about_one_shard(self):
        self.plain.pipeline([("SET", "k%d" % i, "v") for i in range(2000)])
        together = []
        for thread, node in enumerate(self.nodes()):
            own = sorted(key for key in (b"k%d" % i for i in range(2000)) if slot_of(key) * THREADS // SLOTS == thread)
            self.assertEqual(node.must("DBSIZE"), len(own))
            self.assertEqual(sorted(node.must("KEYS", "*")), own)
            self.assertEqual(node.must("KEYS", own[0]), [own[0]])
            self.assertIn(node.must("RANDOMKEY"), own)
            self.assertEqual(node.pipeline([("MULTI",), ("DBSIZE",), ("KEYS", "k1?"), ("SCAN", "0", "COUNT", "20000"), ("EXEC",)])[-1][0], len(own))
            cursor, seen, rounds = b"0", [], 0
            while True:
                cursor, found = node.must("SCAN", cursor)
                seen, rounds = seen + found, rounds + 1
                if cursor == b"0":
                    break
            self.assertGreater(rounds, 10)
            self.assertEqual(sorted(seen), own)
            together += own
        self.assertEqual(len(together), 2000)
        self.assertEqual(self.plain.must("DBSIZE"), 2000)
        self.assertEqual(len(self.plain.must("KEYS", "*")), 2000)
        self.assertEqual(self.node(1).must("FLUSHALL"), resp.OK)
        self.assertEqual(self.plain.must("DBSIZE"), 0)

    def test_scan_inside_of_a_transaction(self):
        self.plain.pipeline([("SET", "k%d" % i, "v") for i in range(100)])
        for node in self.nodes():
            size = node.must("DBSIZE")
            replies = node.pipeline([("MULTI",), ("SCAN", "0", "COUNT", "20000"), ("KEYS", "*"), ("RANDOMKEY",), ("EXEC",)])[-1]
            self.assertEqual((replies[0][0], len(replies[0][1]), len(replies[1])), (b"0", size, size))

    def test_keys_of_a_slot(self):
        """Also more than a slice looks at, and more than are wanted."""
        self.plain.pipeline([("SET", "{tag}%d" % i, "v") for i in range(7000)] + [("SET", "k%d" % i, "v") for i in range(3000)])
        slot = slot_of(b"tag")
        keys = {b"{tag}%d" % i for i in range(7000)} | {key for key in (b"k%d" % i for i in range(3000)) if slot_of(key) == slot}
        other = slot_of(b"k7")
        others = {key for key in (b"k%d" % i for i in range(3000)) if slot_of(key) == other}
        for client in [self.plain] + self.nodes():
            self.assertEqual(client.must("CLUSTER", "COUNTKEYSINSLOT", slot), len(keys))
            self.assertEqual(set(client.must("CLUSTER", "GETKEYSINSLOT", slot, 1000000)), keys)
            some = client.must("CLUSTER", "GETKEYSINSLOT", slot, 2500)
            self.assertEqual((len(some), len(set(some)), set(some) <= keys), (2500, 2500, True))
            self.assertEqual(client.must("CLUSTER", "GETKEYSINSLOT", slot, 0), [])
            self.assertEqual(set(client.must("CLUSTER", "GETKEYSINSLOT", other, 100)), others)
        self.assertEqual(self.plain.pipeline([("MULTI",), ("CLUSTER", "COUNTKEYSINSLOT", slot), ("EXEC",)])[-1], [len(keys)])

    def test_pubsub_and_blocking_over_ports(self):
        a, b, c = self.nodes()
        a.must("SUBSCRIBE", "news")
        self.assertEqual(b.must("PUBLISH", "news", "x"), 1)
        self.assertEqual(a.read_one(), [b"message", b"news", b"x"])
        key = spread_keys(3)[0]
        c.send(resp.encode(("BLPOP", key, "0")))
        wait_until(lambda: "blocked_clients:1" in text_of(self.plain.must("INFO", "clients")), what="a blocked client")
        b.must("RPUSH", key, "v")
        self.assertEqual(c.read_one(), [key.encode(), b"v"])


@unittest.skipUnless(redis_binary(), "redis-server is not installed")
@sherd_only
class BesideRedis(PortsCase):
    """The forms of the replies, and where they do not depend on the cluster the bytes."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.reference = Server("--cluster-enabled", "yes", "--cluster-port", free_port(), kind="redis")
        cls.reference.client().must("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.reference.stop()
            cls.reference.clean()

    def test_same_bytes(self):
        for ours in (self.plain, self.node(1)):
            theirs = self.reference.client()
            for command in words(SAME):
                self.assertEqual(ours.call(*command), theirs.call(*command), command)

    def test_same_forms(self):
        for proto in (2, 3):
            ours, theirs = self.node(1, proto=proto), self.reference.client(proto=proto)
            for command in (("CLUSTER", "SLOTS"), ("CLUSTER", "SHARDS")):
                mine, reference = ours.must(*command), theirs.must(*command)
                self.assertEqual([shape(item) for item in mine], [shape(item) for item in reference] * THREADS, command)
            for command in (("CLUSTER", "MYID"), ("CLUSTER", "NODES"), ("CLUSTER", "INFO"), ("CLUSTER", "HELP"), ("CLUSTER", "LINKS")):
                self.assertIs(type(ours.must(*command)), type(theirs.must(*command)), command)
            names = [[line.split(":")[0] for line in text_of(client.must("CLUSTER", "INFO")).splitlines()] for client in (ours, theirs)]
            self.assertEqual(*names)
            lines = [text_of(client.must("CLUSTER", "NODES")) for client in (ours, theirs)]
            for line in (lines[0].splitlines()[1], lines[1].splitlines()[0]):
                self.assertRegex(line, r"^[0-9a-f]{40} [0-9.]*:\d+@\d+ myself,master - 0 0 \d+ connected \d+-\d+$")

    def test_rows(self):
        """What COMMAND says of each subcommand: arity, flags, categories, tips."""
        rows = [{bytes(row[0]): row for row in client.must("COMMAND", "INFO", "cluster")[0][9]} for client in (self.plain, self.reference.client())]
        self.assertEqual(set(rows[0]) - {b"cluster|myshardid"}, set(rows[1]))
        for name, row in rows[1].items():
            for field in (1, 2, 6, 7):
                self.assertEqual(sorted(map(bytes, rows[0][name][field])) if field > 1 else rows[0][name][field],
                                 sorted(map(bytes, row[field])) if field > 1 else row[field], (name, field))


@sherd_only
class Off(ServerCase):
    def test_off_by_default(self):
        client = self.client()
        names = [bytes(row[0]).decode().split("|")[1] for row in client.must("COMMAND", "INFO", "cluster")[0][9]]
        commands = [("READONLY",), ("READWRITE",), ("ASKING",)]
        for name in names:
            arity = client.must("COMMAND", "INFO", "cluster|" + name)[0][1]
            commands.append(("CLUSTER", name) + ("1",) * (abs(arity) - 2))
        for command in commands:
            self.assertError(client.call(*command), "ERR This instance has cluster support disabled")
        self.assertIn("cluster_enabled:0", text_of(client.must("INFO", "cluster")))
        self.assertEqual(client.must("CONFIG", "GET", "cluster-ports"), [b"cluster-ports", b"no"])
        self.assertError(client.call("CONFIG", "SET", "cluster-ports", "yes"),
                         "ERR CONFIG SET failed (possibly related to argument 'cluster-ports') - can't set immutable config")


@sherd_only
class Clients(PortsCase):
    def run_tool(self, *command):
        done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=120 * SLOW, check=False)
        output = done.stdout.decode("utf-8", "replace")
        self.assertEqual(done.returncode, 0, output[-2000:])
        return output

    @unittest.skipUnless(BENCHMARK, "redis-benchmark is not installed")
    def test_redis_benchmark(self):
        for port in (self.server.port, self.server.port + 2):
            output = []
            share = self.hop_share(lambda at=port: output.append(self.run_tool(
                BENCHMARK, "--cluster", "-p", at, "-t", "set,get,incr,lpush,mset", "-n", 20_000, "-r", 10_000, "-c", 20, "-P", 8, "--csv")))
            self.assertIn("Cluster has %d master nodes" % THREADS, output[0])
            self.assertNotIn("rror", output[0])
            self.assertLess(share, 0.01, output[0])

    @unittest.skipUnless(BENCHMARK, "redis-benchmark is not installed")
    def test_hop_share_in_info(self):
        """The plain port hops for two thirds of random keys, and INFO says so."""
        share = self.hop_share(lambda: self.run_tool(BENCHMARK, "-p", self.server.port, "-t", "set", "-n", 20_000, "-r", 10_000, "-c", 9, "-P", 8, "--csv"))
        self.assertGreater(share, 0.5)
        line = [line for line in text_of(self.plain.must("INFO", "shards")).splitlines() if line.startswith("hops_per_command:")]
        commands, hops = self.traffic()
        self.assertAlmostEqual(float(line[0].split(":")[1]), hops / commands, delta=0.01)

    @unittest.skipUnless(CLI, "redis-cli is not installed")
    def test_redis_cli(self):
        for port in (self.server.port, self.server.port + 1, self.server.port + 3):
            for i in range(10):
                self.assertEqual(self.run_tool(CLI, "-c", "-p", port, "SET", "k%d" % i, i), "OK\n")
            self.assertEqual(self.run_tool(CLI, "-c", "-p", port, "GET", "k7"), "7\n")
            output = self.run_tool(CLI, "--cluster", "check", "127.0.0.1:%d" % port)
            self.assertIn("[OK] All nodes agree about slots configuration.", output)
            self.assertIn("[OK] All 16384 slots covered.", output)
        self.assertIn("[OK] 10 keys in %d masters." % THREADS, self.run_tool(CLI, "--cluster", "info", "127.0.0.1:%d" % (self.server.port + 1)))

    @unittest.skipUnless(redis, "python3-redis is not installed, or has no cluster client")
    def test_python(self):
        for port in (self.server.port, self.server.port + 2):
            client = redis.cluster.RedisCluster(host="127.0.0.1", port=port)
            self.addCleanup(client.close)
            self.assertEqual([node.port for node in client.get_primaries()], [self.server.port + 1 + i for i in range(THREADS)])
            self.assertEqual(client.get_replicas(), [])

            def work(client=client):
                for i in range(300):
                    client.set("key:%d" % i, i)
                    self.assertEqual(client.get("key:%d" % i), b"%d" % i)
                    client.lpush("{user%d}:list" % i, "a", "b")
                    self.assertEqual(client.rpoplpush("{user%d}:list" % i, "{user%d}:other" % i), b"a")

            self.assertLess(self.hop_share(work), 0.01)
            with client.pipeline() as pipe:
                for i in range(300):
                    pipe.get("key:%d" % i)
                self.assertEqual(pipe.execute(), [b"%d" % i for i in range(300)])
            everywhere = redis.cluster.RedisCluster.PRIMARIES
            self.assertEqual(client.dbsize(target_nodes=everywhere), 900)
            self.assertEqual(len(client.keys(target_nodes=everywhere)), 900)
            self.assertEqual(len(set(client.scan_iter(count=50))), 900)
            self.assertEqual(client.mset_nonatomic({"a": 1, "b": 2, "c": 3}) and client.mget_nonatomic("a", "b", "c"), [b"1", b"2", b"3"])
            self.assertEqual(client.cluster_countkeysinslot(client.keyslot("a")), 1)
            self.assertEqual(client.cluster_get_keys_in_slot(client.keyslot("b"), 10), ["b"])
            self.assertEqual(client.cluster_info()["cluster_state"], "ok")
            self.assertEqual(len(client.cluster_nodes()), THREADS)
            self.assertEqual(client.delete("a", "b", "c"), 3)
            client.flushall()
            self.assertEqual(client.dbsize(target_nodes=everywhere), 0)


if __name__ == "__main__":
    main()
