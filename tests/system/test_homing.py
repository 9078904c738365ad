#!/usr/bin/env python3
"""Connections that move to the thread whose keys they use (client-homing-ms): what they take along, that no command and no reply
is lost or changes its place, who does not move, and that CLIENT finds every client exactly once all the while.

A client is made to move by commands on keys of one tag, and back by another tag. The option is 1 ms here, so that a client that
has moved often waits 64 ms."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import binascii  # noqa: E402
import random  # noqa: E402
import re  # noqa: E402
import time  # noqa: E402
import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import IS_REDIS, SLOW, Server, ServerCase, info_field, main, wait_until  # noqa: E402

SEED = int(os.environ.get("SHERD_SEED") or random.randrange(1 << 30))
QUICK = ("--client-homing-ms", "1")


def owner(tag, threads):
    return binascii.crc_hqx(tag.encode(), 0) % 16384 * threads // 16384


def tags_by_owner(threads):
    """One hash tag for each thread."""
    tags = {}
    for n in range(1000):
        tags.setdefault(owner("t%d" % n, threads), "t%d" % n)
    return [tags[i] for i in range(threads)]


def moved(control):
    return int(info_field(control, "clients_moved"))


def hops(control):
    return sum(map(int, re.findall(r"hops_sent=(\d+)", control.must("INFO", "shards").decode())))


def use(client, tag, count=200):
    client.pipeline([("INCR", "{%s}n" % tag)] * count)


def is_at_home(control, client, tag):
    """Its commands need no hop. INFO's own are few."""
    before = hops(control)
    client.pipeline([("GET", "{%s}g" % tag)] * 400)
    return hops(control) - before < 200


class HomingCase(ServerCase):
    options = QUICK

    def setUp(self):
        super().setUp()
        self.tags = tags_by_owner(self.threads)
        self.control = self.client()

    def bring_home(self, client, tag):
        def there():
            use(client, tag)
            return is_at_home(self.control, client, tag)
        wait_until(there, timeout=30, what="a client of {%s} to be at home" % tag)


@unittest.skipIf(IS_REDIS, "sherd only")
class Homing2(HomingCase):
    threads = 2

    def test_it_takes_along_what_it_is(self):
        self.control.must("FLUSHALL")
        for proto in (2, 3):
            client = self.client(proto=proto)
            client.must("CLIENT", "SETNAME", "traveller")
            client.must("CLIENT", "SETINFO", "LIB-NAME", "lib")
            client.must("CLIENT", "SETINFO", "LIB-VER", "1.2")
            client.must("CLIENT", "NO-EVICT", "ON")
            client.must("CLIENT", "NO-TOUCH", "ON")
            client.must("SELECT", 3)
            kept = ("id", "addr", "laddr", "fd", "name", "flags", "db", "user", "resp", "lib-name", "lib-ver")
            fields = lambda: dict(re.findall(r"([-a-z]+)=(\S*)", bytes(client.must("CLIENT", "INFO")).decode()))  # noqa: E731
            before = fields()
            self.assertEqual(before["flags"], "eT")
            start = moved(self.control)
            for tag in self.tags * 3:
                self.bring_home(client, tag)
                after = fields()
                self.assertEqual([after[name] for name in kept], [before[name] for name in kept])
                self.assertEqual(client.must("CLIENT", "ID"), int(before["id"]))
            self.assertGreaterEqual(moved(self.control), start + len(self.tags) * 3 - 1)
            self.assertEqual(int(self.control.must("GET", "{%s}n" % self.tags[0]) or 0), 0)  # that was in database 3

    def test_the_option(self):
        client = self.client()
        self.control.must("CONFIG", "SET", "client-homing-ms", 0)
        self.addCleanup(self.control.must, "CONFIG", "SET", "client-homing-ms", 1)
        start = moved(self.control)
        for tag in self.tags:
            for _ in range(30):
                use(client, tag)
        self.assertEqual(moved(self.control), start)
        self.assertEqual(self.control.must("CONFIG", "GET", "client-homing-ms"), [b"client-homing-ms", b"0"])
        self.control.must("CONFIG", "SET", "client-homing-ms", 1)
        for tag in self.tags:
            self.bring_home(client, tag)

    def stays(self, client, tie, untie):
        """Ties the client to its thread, uses keys of all, unties it: then it moves."""
        for tag in self.tags:
            self.bring_home(client, tag)
        for command in tie:
            client.must(*command)
        start = moved(self.control)
        for tag in self.tags:
            for _ in range(20):
                use(client, tag)
        self.assertEqual(moved(self.control), start, "one that is tied by %r has moved" % (tie,))
        for command in untie:
            client.must(*command)
        for tag in self.tags:
            self.bring_home(client, tag)

    def test_who_watches_stays(self):
        self.stays(self.client(), [("WATCH", "{%s}w" % tag) for tag in self.tags], [("UNWATCH",)])

    def test_who_subscribes_stays(self):
        client = self.client(proto=3)
        client.pushes_in_line = True
        self.stays(client, [("SUBSCRIBE", "channel")], [("UNSUBSCRIBE", "channel")])

    def test_who_is_in_a_transaction_stays(self):
        client = self.client()
        self.stays(client, [("MULTI",)], [("EXEC",)])

    def test_transactions_count(self):
        client = self.client()
        for tag in self.tags * 2:
            def there():
                for _ in range(40):
                    client.pipeline([("MULTI",)] + [("INCR", "{%s}n" % tag)] * 5 + [("EXEC",), ("PING",)])
                return is_at_home(self.control, client, tag)
            # What asks whether it is at home hops, too: none of it would suffice alone.
            wait_until(there, timeout=30, what="a client of transactions to be at home")

    def test_one_that_blocks_is_served(self):
        """BLPOP comes behind commands that make the client move: it waits, is served, and its end is noticed."""
        for round in range(20):
            client, tag = self.client(), self.tags[round % 2]
            data = b"".join(map(resp.encode, [("INCR", "{%s}n" % tag)] * 2500 + [("BLPOP", "{%s}q" % tag, 0)]))
            client.exchange(data, 2500)
            wait_until(lambda: info_field(self.control, "blocked_clients") == "1", what="the client to be blocked")
            if round % 4 < 2:
                self.control.must("LPUSH", "{%s}q" % tag, "v")
                self.assertEqual(client.read_one(), [b"{%s}q" % tag.encode(), b"v"])
            client.close()
            wait_until(lambda: info_field(self.control, "blocked_clients") == "0", what="nobody to be blocked")
        self.assertNothingLeft()

    def test_silence_goes_along(self):
        client = self.client()
        client.send(resp.encode(("CLIENT", "REPLY", "OFF")))
        for round in range(8):
            for _ in range(10):
                client.send(resp.encode(("INCR", "{%s}s" % self.tags[round % 2])) * 300)
                time.sleep(0.002)  # so that it may be found quiet
        client.send(resp.encode(("CLIENT", "REPLY", "ON")))
        self.assertEqual(client.read_one(), resp.OK)
        for tag in self.tags:
            self.assertEqual(client.must("GET", "{%s}s" % tag), b"12000")

    def test_a_command_in_pieces(self):
        """The move comes while only a part of a command is there."""
        client, value = self.client(), b"v" * 3000
        for round in range(30):
            tag = self.tags[round % 2]
            last = resp.encode(("SET", "{%s}v" % tag, value))
            cut = random.randrange(1, len(last))
            client.exchange(resp.encode(("INCR", "{%s}n" % tag)) * 2000 + last[:cut], 2000)
            if round % 3:
                time.sleep(0.005)
            self.assertEqual(client.exchange(last[cut:], 1), [b"+OK\r\n"])
            self.assertEqual(client.must("GET", "{%s}v" % tag), value)
        self.assertGreater(moved(self.control), 0)


class Crowd:
    """Clients that use one tag after the other, in pipelines that are always under way, and know what they are answered."""

    def __init__(self, case, count, rng):
        self.case, self.rng = case, rng
        self.clients = [case.client() for _ in range(count)]
        self.ids = {client: client.must("CLIENT", "ID") for client in self.clients}
        self.counters = {}

    def drop(self, client):
        self.clients.remove(client)
        client.close()

    def burst(self, client):
        """The bytes of some commands on keys of its own, and their replies."""
        tag, data, replies = self.rng.choice(self.case.tags), [], []
        key = "{%s}%d" % (tag, self.ids[client])
        for n in range(self.rng.randrange(300, 1500)):
            kind = self.rng.randrange(20)
            if kind == 0:
                data.append(("ECHO", "e%d" % n))
                replies.append(b"$%d\r\ne%d\r\n" % (len(str(n)) + 1, n))
            elif kind == 1:  # at two shards or one, and a barrier perhaps
                data.append(("MGET", key, key))
                value = b"%d" % self.counters[key] if key in self.counters else None
                one = b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
                replies.append(b"*2\r\n" + one + one)
            elif kind == 2:
                data += [("MULTI",), ("INCR", key), ("EXEC",)]
                self.counters[key] = self.counters.get(key, 0) + 1
                replies += [b"+OK\r\n", b"+QUEUED\r\n", b"*1\r\n:%d\r\n" % self.counters[key]]
            else:
                data.append(("INCR", key))
                self.counters[key] = self.counters.get(key, 0) + 1
                replies.append(b":%d\r\n" % self.counters[key])
        return b"".join(map(resp.encode, data)), replies

    def step(self, meanwhile=None):
        """Each client says something, all at once, and gets its replies."""
        work, expected = [], []
        for client in self.clients:
            data, replies = self.burst(client)
            work.append((client, data, len(replies)))
            expected.append((client, replies))
        resp.exchange_all(work)
        for client, replies in expected:
            self.case.assertEqual(client.take(len(replies)), replies)


class Crowded:
    """For classes of HomingCase with some number of threads."""

    def crowd(self, count):
        print("SHERD_SEED=%d" % SEED, file=sys.stderr)
        return Crowd(self, count, random.Random(SEED))

    def until_moved(self, count, crowd, check=lambda: None, least=10):
        start, steps = moved(self.control), [0]

        def enough():
            crowd.step()
            check()
            steps[0] += 1
            return steps[0] >= least and moved(self.control) >= start + count
        wait_until(enough, timeout=60, interval=0, what="%d moves" % count)

    def test_order(self):
        self.until_moved(20, self.crowd(4))

    def test_one_big_pipeline(self):
        """Ten thousand commands and more under way at once, with a new tag now and then."""
        crowd = self.crowd(1)
        start = moved(self.control)

        def round():
            client = crowd.clients[0]
            bursts = [crowd.burst(client) for _ in range(15)]
            replies = [reply for burst in bursts for reply in burst[1]]
            self.assertEqual(client.exchange(b"".join(burst[0] for burst in bursts), len(replies)), replies)
            use(client, crowd.rng.choice(self.tags), 1500)
            return moved(self.control) >= start + 5
        wait_until(round, timeout=60, interval=0, what="5 moves")

    def test_list_shows_each_once(self):
        crowd = self.crowd(6)
        ids = sorted(list(crowd.ids.values()) + [self.control.must("CLIENT", "ID")])
        # Who asks is another connection, and asks while the others' commands are under way.
        asking = self.client()
        ids = sorted(ids + [asking.must("CLIENT", "ID")])

        def check():
            work, replies = [], []
            for client in crowd.clients:
                data, expected = crowd.burst(client)
                work.append((client, data, len(expected)))
                replies.append((client, expected))
            questions = [("CLIENT", "LIST"), ("INFO", "clients"), ("PING",)] * 3 + [("CLIENT", "LIST", "ID", *ids)]
            work.append((asking, b"".join(map(resp.encode, questions)), len(questions)))
            resp.exchange_all(work)
            for client, expected in replies:
                self.assertEqual(client.take(len(expected)), expected)
            for question, reply in zip(questions, asking.take(len(questions))):
                text = bytes(resp.decode(reply)).decode()
                if question[0] == "CLIENT":
                    self.assertEqual(sorted(map(int, re.findall(r"^id=(\d+)", text, re.M))), ids)
                elif question[0] == "INFO":
                    self.assertIn("connected_clients:%d\r\n" % len(ids), text)
        self.until_moved(10, crowd, check)

    def test_kill(self):
        """Whoever is to be killed is found, by id or address, and once, on its way or not; its connection ends."""
        crowd = self.crowd(4)
        for round in range(25):
            client = crowd.clients[round % 2]
            address = "%s:%d" % client.sock.getsockname()
            data, replies = crowd.burst(client)
            others = [(other,) + crowd.burst(other) for other in crowd.clients if other is not client]
            kill = ("CLIENT", "KILL", "ID", crowd.ids[client]) if round % 3 else ("CLIENT", "KILL", "ADDR", address)
            client.sock.setblocking(True)
            client.sock.sendall(data)
            client.sock.setblocking(False)
            resp.exchange_all([(other, bytes_, len(expected)) for other, bytes_, expected in others] +
                              [(self.control, resp.encode(kill), 1)])
            for other, _, expected in others:
                self.assertEqual(other.take(len(expected)), expected)
            self.assertEqual(self.control.take(1), [b":1\r\n"])
            got = client.read_to_end()  # a beginning of the replies
            self.assertTrue(b"".join(replies).startswith(got))
            crowd.drop(client)
            self.assertEqual(self.control.must(*kill[:3], kill[3]), 0)
            fresh = self.client()
            crowd.clients.insert(round % 2, fresh)
            crowd.ids[fresh] = fresh.must("CLIENT", "ID")
            crowd.step()

    def test_dropped(self):
        """Peers that go away at any moment: no client, no descriptor and no lock is left."""
        descriptors = lambda: len(os.listdir("/proc/%d/fd" % self.server.pid))  # noqa: E731
        connected = lambda: int(info_field(self.control, "connected_clients"))  # noqa: E731
        wait_until(lambda: connected() == 1, what="the others to be gone")
        before = descriptors()
        rng = random.Random(SEED)
        for _ in range(150):
            client = self.client()
            use(client, rng.choice(self.tags), 1100)
            client.sock.setblocking(True)
            client.sock.sendall(resp.encode(("INCR", "{%s}d" % rng.choice(self.tags))) * rng.randrange(50, 400))
            if rng.randrange(3) == 0:
                time.sleep(rng.random() * 0.003)
            client.close()
        wait_until(lambda: connected() == 1, what="nobody else to be connected")
        wait_until(lambda: descriptors() <= before, what=lambda: "descriptors %d, %d before" % (descriptors(), before))
        self.assertNothingLeft()


@unittest.skipIf(IS_REDIS, "sherd only")
class HomingCrowd2(Crowded, HomingCase):
    threads = 2


@unittest.skipIf(IS_REDIS, "sherd only")
class HomingCrowd5(Crowded, HomingCase):
    threads = 5

    def test_to_each_thread(self):
        clients = [self.client() for _ in self.tags]
        for client, tag in zip(clients, self.tags):
            self.bring_home(client, tag)
        places = re.findall(r"shard\d:\S*?clients=(\d+)", self.control.must("INFO", "shards").decode())
        self.assertTrue(all(int(clients) >= 1 for clients in places), places)


@unittest.skipIf(IS_REDIS, "sherd only")
class HomingAlone(unittest.TestCase):
    def test_endpoints_stay(self):
        with Server(*QUICK, "--cluster-ports", "yes", threads=2) as server:
            control = server.client()
            clients = [resp.Client(port=server.port + 1 + i) for i in range(2)]
            for client in clients:
                for tag in tags_by_owner(2):
                    for _ in range(20):
                        use(client, tag)
            self.assertEqual(moved(control), 0)
            for client in clients:
                client.close()

    def test_stop_amid_moves(self):
        """The server stops while clients are on their way: cleanly, and soon."""
        for threads in (2, 3):
            with Server(*QUICK, threads=threads) as server:
                tags = tags_by_owner(server.threads)
                clients = [server.client() for _ in range(6)]
                for _ in range(10):
                    resp.exchange_all([(client, resp.encode(("INCR", "{%s}x" % random.choice(tags))) * 700, 700)
                                       for client in clients])
                    for client in clients:
                        client.take(700)
                for client in clients:
                    client.sock.setblocking(True)
                    client.sock.sendall(resp.encode(("INCR", "{%s}x" % random.choice(tags))) * 300)
                start = time.monotonic()
                server.stop()
                self.assertLess(time.monotonic() - start, 10 * SLOW)

    def test_patience(self):
        """At the ordinary setting it takes a second, and no client without a favourite moves."""
        with Server(threads=2) as server:
            control, client = server.client(), server.client()
            tags = tags_by_owner(2)
            for _ in range(100):
                client.pipeline([("INCR", "{%s}n" % tag) for tag in tags * 20])
            self.assertEqual(moved(control), 0)


if __name__ == "__main__":
    main()
