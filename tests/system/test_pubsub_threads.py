#!/usr/bin/env python3
"""Pub/sub over several threads: what shards/pubsub.h promises, by counting.

Every message says who sent it and the how-manieth of his it is. So each subscriber sees whether something is missing, comes
twice or out of order, and the replies of all PUBLISHes together must be the number of messages that all subscribers got. Then:
a subscription counts from its acknowledgement on and to the end; subscribers come and go while others publish; one that does
not read is closed and holds up nobody. Large messages, which the server keeps once for all subscribers of a thread, come byte
for byte and in their place."""

import os
import random
import re
import select
import socket
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.case import SLOW, ServerCase, info_field, main, spread_keys, wait_until  # noqa: E402

CHANNELS = spread_keys(8, "news")
QUICK = 1 if SLOW == 1 else 5


def in_parallel(*works):
    """Runs functions in threads; the first exception of any is raised here."""
    failures = []

    def guarded(work):
        try:
            work()
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


class Subscriber:
    """Reads until it was told the end by each publisher."""

    def __init__(self, case, channels=(), patterns=(), proto=2):
        self.client = case.client(proto=proto)
        self.client.pushes_in_line = True
        self.latest = {}
        self.once = len(patterns) < 2  # else a message may come once for each
        self.received = 0
        for verb, names in (("SUBSCRIBE", channels), ("PSUBSCRIBE", patterns)):
            if names:
                self.client.send(resp.encode((verb, *names)))
                self.client.read(len(names))

    def read_all(self, publishers):
        ended = 0
        while ended < publishers:
            frame = self.client.read_one()
            if frame[0] not in (b"message", b"pmessage"):
                raise AssertionError("not a message: %r" % frame)
            self.received += 1
            if frame[-1] == b"end":
                ended += 1
                continue
            who, number = frame[-1].split(b":")[:2]
            if int(number) < self.latest.get(who, -1) + self.once:
                raise AssertionError("%s: %r after %d" % (who, frame, self.latest[who]))
            self.latest[who] = int(number)


class Threads(ServerCase):
    threads = 4
    options = ("--client-output-buffer-limit", "pubsub", "0", "0", "0")

    def publish(self, client, name, count, rng):
        """Pipelines; the sum of the replies."""
        reached, number = 0, 0
        while number < count:
            batch = []
            for _ in range(rng.choice((1, 3, 50))):
                text = "%s:%d:%s" % (name, number, "x" * rng.choice((0, 10, 200, 6000 if rng.random() < 0.02 else 0)))
                batch.append(resp.encode(("PUBLISH", rng.choice(CHANNELS), text)))
                number += 1
            reached += sum(resp.decode(raw) for raw in client.exchange(b"".join(batch), len(batch)))
        return reached + client.must("PUBLISH", "the end", "end")

    def test_order_and_count(self):
        seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
        print("seed %d" % seed, file=sys.stderr)
        rng = random.Random(seed)
        publishers = 4
        subscribers = [Subscriber(self, rng.sample(CHANNELS, rng.randrange(1, 8)) + ["the end"], proto=rng.choice((2, 3)))
                       for _ in range(6)]
        subscribers += [Subscriber(self, ["the end"], ["news[0-9]*5*", "n*"], proto=3) for _ in range(2)]
        everything = [Subscriber(self, ["the end"], ["news*"]) for _ in range(2)]
        reached = [0] * publishers

        def work(number):
            chance = random.Random(seed + number)
            reached[number] = self.publish(self.client(), "p%d" % number, 3000 // QUICK, chance)

        in_parallel(*[lambda n=n: work(n) for n in range(publishers)],
                    *[lambda one=one: one.read_all(publishers) for one in subscribers + everything])
        self.assertEqual(sum(reached), sum(one.received for one in subscribers + everything))
        for one in everything:
            self.assertEqual(sorted(one.latest), [b"p%d" % n for n in range(publishers)])

    def test_from_acknowledgement_to_acknowledgement(self):
        subscribers = [self.client() for _ in range(8)]
        publishers = [self.client() for _ in range(8)]
        rng = random.Random(7)
        for turn in range(400 // QUICK):
            who, sender = rng.choice(subscribers), rng.choice(publishers)
            verb, name = rng.choice((("SUBSCRIBE", "c%d" % rng.randrange(20)), ("PSUBSCRIBE", "c[0-9]*")))
            who.must(verb, name)
            channel = name if verb == "SUBSCRIBE" else "c5"
            self.assertEqual(sender.must("PUBLISH", channel, turn), 1)
            self.assertEqual(who.read_one()[-1], b"%d" % turn)
            who.must(verb.replace("SUB", "UNSUB"), name)
            self.assertEqual(sender.must("PUBLISH", channel, turn), 0)

    def test_what_a_publisher_did_before_is_seen(self):
        """SET and PUBLISH in one pipeline: who gets the message finds the value, wherever the key lies."""
        listener, reader, writer = self.client(), self.client(), self.client()
        listener.must("SUBSCRIBE", "changed")
        for turn in range(300 // QUICK):
            key = "key%d" % turn
            writer.send(resp.encode(("SET", key, turn)) + resp.encode(("PUBLISH", "changed", key)))
            self.assertEqual(reader.must("GET", listener.read_one()[2]), b"%d" % turn)
            writer.read(2)

    def test_subscribers_come_and_go(self):
        stop = threading.Event()

        def publish():
            client = self.client()
            while not stop.is_set():
                for raw in client.exchange(resp.encode(("PUBLISH", "crowd", "x" * 100)) * 20, 20):
                    self.assertIsInstance(resp.decode(raw), int)

        def come_and_go(number):
            rng = random.Random(number)
            for _ in range(60 // QUICK):
                client = self.server.client()
                names = ["crowd"] + ["other%d" % n for n in range(rng.choice((0, 1, 30)))]
                client.send(resp.encode(("SUBSCRIBE", *names)) + resp.encode(("PSUBSCRIBE", "cr*")))
                for _ in range(rng.randrange(len(names))):
                    client.read_one()
                client.close()  # in the middle of anything

        def crowd():
            try:
                in_parallel(*[lambda n=n: come_and_go(n) for n in range(4)])
            finally:
                stop.set()

        in_parallel(publish, publish, crowd)
        with self.server.client() as looker:
            wait_until(lambda: looker.must("PUBSUB", "CHANNELS") == [] and looker.must("PUBSUB", "NUMPAT") == 0,
                       what="all subscriptions to be forgotten")
            self.assertEqual(looker.must("PUBLISH", "crowd", "x"), 0)
            for name in ("pubsub_channels", "pubsub_patterns", "pubsub_clients"):
                wait_until(lambda: info_field(looker, name) == "0", what=name)


def payload(number, size):
    return (b"%d:" % number + bytes(range(256)) * (size // 256 + 1))[:size]


class Large(ServerCase):
    """Many subscribers of one channel on all threads, and messages from 1 byte to 4 MiB."""

    threads = 4
    options = ("--client-output-buffer-limit", "pubsub", "0", "0", "0")
    sizes = (1 << 20, 10, 20000, 5000, 4 << 20, 300000, 1, 16384, 70000, 1 << 20, 2)

    def subscribers(self, count):
        clients = [self.client(proto=2 + n % 2) for n in range(count)]
        for client in clients:
            client.pushes_in_line = True
            client.send(resp.encode(("SUBSCRIBE", "large")))
            client.read(1)
        return clients

    def publish(self, clients):
        publisher = self.client()
        for number, size in enumerate(self.sizes):
            self.assertEqual(publisher.must("PUBLISH", "large", payload(number, size)), clients)

    def same(self, frames, *wanted):
        """No difference of megabytes is printed."""
        self.assertEqual(len(frames), len(wanted))
        for frame, text in zip(frames, wanted):
            self.assertEqual(list(frame[:2]), [b"message", b"large"])
            self.assertTrue(frame[2] == text, "other bytes in a message of %d" % len(text))

    def whole(self, client):
        for number, size in enumerate(self.sizes):
            self.same([client.read_one()], payload(number, size))

    def test_all_get_every_byte(self):
        """Also those who have not read before all was sent."""
        clients = self.subscribers(40 // QUICK)
        late, early = clients[::2], clients[1::2]
        in_parallel(lambda: self.publish(len(clients)), *[lambda one=one: self.whole(one) for one in early])
        for client in late:
            self.whole(client)
        for client in clients:
            client.send(resp.encode(("PING", "still there")))
            self.assertEqual(client.read_one(), b"still there" if client.proto == 3 else [b"pong", b"still there"])

    def test_commands_between(self):
        """RESP3: commands that are outstanding elsewhere or wait for a key are answered in their order among the messages."""
        clients = [self.client(proto=3) for _ in range(8)]
        for n, client in enumerate(clients):
            client.pushes_in_line = True
            client.send(resp.encode(("SUBSCRIBE", "large")))
            client.read(1)
            for number in range(3):
                client.send(b"".join(resp.encode(("INCR", key + str(n))) for key in CHANNELS))
            client.send(resp.encode(("BLPOP", "queue%d" % n, 0)) + resp.encode(("ECHO", "done")))
        publisher = self.client()
        for number, size in enumerate(self.sizes):
            self.assertEqual(publisher.must("PUBLISH", "large", payload(number, size)), len(clients))
        for n in range(len(clients)):
            publisher.must("RPUSH", "queue%d" % n, "x")
        for n, client in enumerate(clients):
            messages, replies = [], []
            while len(messages) < len(self.sizes) or len(replies) < 3 * len(CHANNELS) + 2:
                frame = client.read_one()
                (messages if isinstance(frame, resp.Push) else replies).append(frame)
            self.same(messages, *[payload(*each) for each in enumerate(self.sizes)])
            counts = [number for number in (1, 2, 3) for _ in CHANNELS]
            self.assertEqual(replies, [*counts, [b"queue%d" % n, b"x"], b"done"])

    def test_hears_itself(self):
        """In the middle of what it publishes, and inside of a transaction."""
        client = self.subscribers(2)[1]
        text = payload(0, 100000)
        client.send(resp.encode(("PUBLISH", "large", text)) * 2 + resp.encode(("ECHO", "a")))
        told = [client.read_one() for _ in range(5)]
        self.same([each for each in told if isinstance(each, resp.Push)], text, text)
        self.assertEqual([each for each in told if not isinstance(each, resp.Push)], [2, 2, b"a"])
        client.send(b"".join(map(resp.encode, (("MULTI",), ("PUBLISH", "large", text), ("EXEC",), ("ECHO", "b")))))
        told = [client.read_one() for _ in range(5)]
        self.same([each for each in told if isinstance(each, resp.Push)], text)
        self.assertEqual([each for each in told if not isinstance(each, resp.Push)], [resp.OK, resp.Simple(b"QUEUED"), [2], b"b"])

    def test_some_leave_in_the_middle(self):
        clients = self.subscribers(24)
        stay, go = clients[::2], clients[1::2]
        publisher = self.client()
        publisher.must("PUBLISH", "large", payload(0, 4 << 20))
        for n, client in enumerate(go):
            if n % 2:
                select.select([client.sock], [], [], 60 * SLOW)
                client.sock.recv(100000)
            client.close()
        self.assertGreaterEqual(publisher.must("PUBLISH", "large", payload(1, 1 << 20)), len(stay))
        for client in stay:
            self.same([client.read_one(), client.read_one()], payload(0, 4 << 20), payload(1, 1 << 20))
        wait_until(lambda: int(info_field(publisher, "used_memory_class_client_out")) < 4 << 20, what="memory to come back")

    def test_memory_is_taken_once(self):
        """Forty that do not read, 16 MiB: much less than 640 MiB; and each has all of it to read."""
        clients = self.subscribers(40)
        for client in clients:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        publisher, large = self.client(), payload(0, 16 << 20)
        self.assertEqual(publisher.must("PUBLISH", "large", large), len(clients))
        self.assertLess(int(info_field(publisher, "used_memory_class_client_out")), 200 << 20)
        waiting = [int(re.search(rb" obl=(\d+)", line)[1]) for line in bytes(publisher.must("CLIENT", "LIST")).splitlines() if b" sub=1 " in line]
        self.assertEqual(len(waiting), len(clients))
        self.assertGreater(min(waiting), 1 << 20)
        for client in clients:
            self.same([client.read_one()], large)
        wait_until(lambda: int(info_field(publisher, "used_memory_class_client_out")) < 4 << 20, what="memory to come back")


class LargeOnOneThread(Large):
    threads = 1


class Stuck(ServerCase):
    threads = 4
    options = ("--client-output-buffer-limit", "pubsub", "2mb", "1mb", "1")

    def flood(self, until):
        client, sent = self.client(), 0
        while not until(client):
            for raw in client.exchange(resp.encode(("PUBLISH", "flood", "x" * 10000)) * 20, 20):
                resp.decode(raw)
            sent += 20
            self.assertLess(sent, 20000 * SLOW, "a stuck subscriber is not closed")
        return sent

    def test_stuck_subscriber_is_closed(self):
        healthy = Subscriber(self, ["flood", "the end"])
        stuck = [self.client() for _ in range(4)]
        for client in stuck:
            client.must("SUBSCRIBE", "flood")
        observer = self.client()
        sent = []

        def publish():
            sent.append(self.flood(lambda client: info_field(observer, "client_output_buffer_limit_disconnections") == "4"))
            self.assertEqual(self.client().must("PUBLISH", "the end", "end"), 1)

        def read():
            while healthy.client.read_one()[-1] != b"end":
                healthy.received += 1

        in_parallel(publish, read)
        self.assertEqual(healthy.received, sent[0])
        wait_until(lambda: int(info_field(observer, "used_memory_class_client_out")) < 4 << 20, what="memory to come back")
        for client in stuck:
            self.assertTrue(client.is_closed(20 * SLOW))


if __name__ == "__main__":
    main()
