#!/usr/bin/env python3
"""A real client library, python3-redis, in typical use: strings, expiry, pipelines, iteration, decoding, pools with threads."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import datetime  # noqa: E402
import threading  # noqa: E402
import unittest  # noqa: E402

try:
    import redis  # noqa: E402
except ImportError:
    redis = None

from support.case import ServerCase, main, wait_until  # noqa: E402


@unittest.skipUnless(redis, "python3-redis is not installed")
class PythonRedis(ServerCase):
    def connect(self, **options):
        client = redis.Redis(port=self.server.port, **options)
        self.addCleanup(client.close)
        return client

    def setUp(self):
        super().setUp()
        self.redis = self.connect()
        self.redis.flushall()

    def test_strings(self):
        r = self.redis
        self.assertTrue(r.set("a", "1"))
        self.assertEqual(r.get("a"), b"1")
        self.assertIsNone(r.get("nosuch"))
        self.assertIsNone(r.set("a", "2", nx=True))
        self.assertEqual(r.set("a", "2", get=True), b"1")
        self.assertEqual(r.incr("a"), 3)
        self.assertEqual(r.incrbyfloat("f", 1.5), 1.5)
        self.assertEqual(r.append("a", "xyz"), 4)
        self.assertEqual(r.strlen("a"), 4)
        self.assertEqual(r.getrange("a", 1, 2), b"xy")
        self.assertEqual(r.setrange("a", 6, "!"), 7)
        self.assertEqual(r["a"], b"3xyz\0\0!")
        self.assertTrue(r.mset({"x": 1, "y": 2, "z": 3}))
        self.assertEqual(r.mget("x", "nosuch", "z"), [b"1", None, b"3"])
        self.assertFalse(r.msetnx({"x": 1, "new": 2}))
        self.assertEqual(r.getdel("x"), b"1")
        self.assertEqual(r.getset("y", "9"), b"2")
        with self.assertRaises(redis.ResponseError) as caught:
            r.incr("f")
        self.assertEqual(str(caught.exception), "value is not an integer or out of range")
        r.set("l1", "ohmytext")
        r.set("l2", "mynewtext")
        self.assertEqual(r.execute_command("LCS", "l1", "l2"), b"mytext")

    def test_pubsub(self):
        r, listener = self.redis, self.redis.pubsub(ignore_subscribe_messages=True)
        self.addCleanup(listener.close)
        heard = []
        listener.subscribe("news", **{"jobs": lambda message: heard.append(message["data"])})
        listener.psubscribe("n*")
        listener.get_message(timeout=10)  # the acknowledgements are ignored, but have come now
        wait_until(lambda: r.pubsub_numsub("news", "jobs") == [(b"news", 1), (b"jobs", 1)] and r.pubsub_numpat() == 1, what="subscriptions")
        self.assertEqual(r.publish("news", "x"), 2)
        self.assertEqual(r.publish("jobs", "y"), 1)
        got = []
        wait_until(lambda: got.append(listener.get_message(timeout=1)) or len(heard) == 1, what="messages")
        kinds = [(message["type"], message["channel"], message["data"]) for message in got if message]
        self.assertEqual(sorted(kinds), [("message", b"news", b"x"), ("pmessage", b"news", b"x")])
        self.assertEqual(sorted(r.pubsub_channels()), [b"jobs", b"news"])
        listener.unsubscribe()
        listener.punsubscribe()
        wait_until(lambda: listener.get_message(timeout=1) is None and not listener.subscribed, what="the end of subscriptions")
        self.assertEqual(r.publish("news", "x"), 0)

    def test_keyspace_events_and_monitor(self):
        r = self.redis
        r.config_set("notify-keyspace-events", "Ex")
        self.addCleanup(r.config_set, "notify-keyspace-events", "")
        listener = r.pubsub(ignore_subscribe_messages=True)
        self.addCleanup(listener.close)
        listener.psubscribe("__keyevent@*__:expired")
        wait_until(lambda: listener.get_message(timeout=1) or r.pubsub_numpat() == 1, what="the subscription")
        r.set("short", "1", px=1)
        got = []
        wait_until(lambda: got.append(listener.get_message(timeout=1)) or got[-1], what="an event")
        self.assertEqual((got[-1]["channel"], got[-1]["data"]), (b"__keyevent@0__:expired", b"short"))
        with r.monitor() as monitor:
            self.redis.get("watched by monitor")
            self.assertEqual(monitor.next_command()["command"], "GET watched by monitor")

    def test_expiry(self):
        r = self.redis
        r.set("a", "1", ex=100)
        self.assertIn(r.ttl("a"), (99, 100))
        self.assertTrue(r.persist("a"))
        self.assertEqual(r.ttl("a"), -1)
        self.assertEqual(r.ttl("nosuch"), -2)
        self.assertTrue(r.expire("a", datetime.timedelta(hours=1)))
        self.assertTrue(3595 <= r.ttl("a") <= 3600)
        self.assertFalse(r.expire("a", 10, gt=True))
        self.assertTrue(r.expireat("a", datetime.datetime(2100, 1, 1)))
        self.assertEqual(r.getex("a", px=20), b"1")
        wait_until(lambda: r.get("a") is None, what="a short life to end")
        r.setex("b", 50, "x")
        r.psetex("c", 50_000, "x")
        self.assertTrue(0 < r.pttl("b") <= 50_000 and 0 < r.pttl("c") <= 50_000)
        self.assertTrue(r.expire("b", 5 * 365 * 86400))  # five years, as Sidekiq asks for

    def test_pipeline(self):
        pipe = self.redis.pipeline(transaction=False)
        for i in range(1000):
            pipe.set("k%d" % i, i).incr("k%d" % i).get("k%d" % i)
        result = pipe.execute()
        self.assertEqual(result, [item for i in range(1000) for item in (True, i + 1, b"%d" % (i + 1))])
        pipe.set("s", "text").incr("s").get("s")
        result = pipe.execute(raise_on_error=False)
        self.assertIsInstance(result[1], redis.ResponseError)
        self.assertEqual(result[2], b"text")

    def test_iteration(self):
        r = self.redis
        names = {("item:%d" % i).encode() for i in range(1000)}
        pipe = r.pipeline(transaction=False)
        for name in names:
            pipe.set(name, 1)
        pipe.set("other", 1).execute()
        self.assertEqual(set(r.scan_iter("item:*", count=50)), names)
        self.assertEqual(set(r.scan_iter(_type="string")), names | {b"other"})
        self.assertEqual(set(r.scan_iter(_type="list")), set())
        self.assertEqual(set(r.keys("item:*")), names)
        self.assertEqual(r.dbsize(), 1001)
        self.assertEqual(r.delete(*names), 1000)
        self.assertEqual(r.keys(), [b"other"])

    def test_decode_responses(self):
        r = self.connect(decode_responses=True)
        r.set("ä", "ö")
        self.assertEqual(r.get("ä"), "ö")
        self.assertEqual(r.keys(), ["ä"])
        self.assertEqual(r.config_get("appendonly"), {"appendonly": "no"})

    def test_databases_and_names(self):
        one = self.connect(db=1, client_name="tester")
        one.set("k", "one")
        self.assertIsNone(self.redis.get("k"))
        self.assertEqual(one.client_getname(), "tester")
        self.assertTrue(one.move("k", 0))
        self.assertEqual(self.redis.get("k"), b"one")
        self.assertTrue(self.redis.copy("k", "k2"))
        self.assertTrue(self.redis.rename("k2", "k3"))
        self.assertEqual(self.redis.restore("k4", 0, self.redis.dump("k3")), b"OK")
        self.assertEqual(self.redis.get("k4"), b"one")
        self.redis.swapdb(0, 1)
        self.assertEqual(one.get("k4"), b"one")

    def test_server_information(self):
        r = self.redis
        info = r.info()
        for field in ("redis_version", "redis_mode", "tcp_port", "uptime_in_seconds", "connected_clients", "used_memory", "used_memory_human",
                      "maxmemory_policy", "loading", "role", "connected_slaves", "master_repl_offset", "aof_enabled", "rdb_last_bgsave_status",
                      "total_commands_processed", "keyspace_hits", "keyspace_misses", "expired_keys", "evicted_keys", "process_id", "run_id",
                      "blocked_clients", "used_cpu_sys", "total_connections_received", "maxclients"):
            self.assertIn(field, info)
        self.assertEqual(info["tcp_port"], self.server.port)
        self.assertEqual(info["loading"], 0)
        self.assertEqual(info["role"], "master")
        self.assertEqual(len(info["run_id"]), 40)
        r.set("k", 1, ex=100)
        r.set("k2", 1)
        self.assertEqual((r.info("keyspace")["db0"]["keys"], r.info("keyspace")["db0"]["expires"]), (2, 1))
        self.assertEqual(len(r.time()), 2)
        self.assertTrue(r.ping())
        self.assertEqual(r.echo("x"), b"x")
        self.assertIsInstance(r.memory_usage("k"), int)
        self.assertEqual(r.object("encoding", "k"), b"int")
        self.assertIsInstance(r.slowlog_get(), list)
        self.assertGreater(r.command_count(), 50)
        self.assertIn("get", r.command())
        self.assertEqual(r.command_getkeys("MSET", "a", 1, "b", 2), ["a", "b"])
        clients = r.client_list()
        self.assertTrue(any(int(c["id"]) == r.client_id() for c in clients) or len(clients) >= 1)

    def test_pool_with_threads(self):
        pool = redis.BlockingConnectionPool(port=self.server.port, max_connections=8, timeout=60)
        self.addCleanup(pool.disconnect)
        failures = []

        def work(number):
            try:
                r = redis.Redis(connection_pool=pool)
                for i in range(200):
                    key = "t%d:%d" % (number, i % 20)
                    r.set(key, "%d-%d" % (number, i))
                    if r.get(key) != b"%d-%d" % (number, i):
                        failures.append((number, i))
                    r.incr("total")
            except Exception as failure:  # noqa: BLE001: whatever it is, the test must show it
                failures.append(failure)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(self.redis.get("total"), b"3200")


if __name__ == "__main__":
    main()
