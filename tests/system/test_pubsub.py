#!/usr/bin/env python3
"""Pub/sub beside redis-server, with 1, 2 and 7 threads: every reply, acknowledgement and message is compared byte for byte
and in its place among the others.

First scripts for what the protocol says: who may do what in RESP2 and RESP3, what comes in which order, MULTI, CLIENT REPLY,
RESET, CLIENT LIST and KILL, PUBSUB. Then random ones: many clients subscribe, unsubscribe and publish at random; a model says
how many messages each is to get, and both servers say which."""

import os
import random
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.beside import BesideCase, fields, text_of  # noqa: E402
from support.case import SLOW, ServerCase, info_field, main, wait_until  # noqa: E402
from support.server import LONG  # noqa: E402

FORBIDDEN = ("GET x", "ECHO x", "HELLO 3", "AUTH x", "SELECT 1", "PUBLISH a x", "MULTI", "EXEC", "DISCARD", "CLIENT ID",
             "CONFIG GET port", "PUBSUB CHANNELS", "SET x", "NOSUCH", "PUBSUB NOSUCH", "PING a b", "SUBSCRIBE")


class PubsubCase(BesideCase):
    def pair(self, proto=2):
        pair = super().pair(proto)
        for side in pair.sides:
            side.pushes_in_line = True
        return pair


def message(channel, text):
    return [b"message", channel, text]


class Scripts:
    def test_what_is_acknowledged(self):
        a = self.pair()
        replies = a.all(("SUBSCRIBE", "a", "a", "b"), ("PING",), ("PING", "x"))
        self.assertEqual(replies[0], [b"subscribe", b"a", 1])
        replies = [a.reply() for _ in range(2)]
        self.assertEqual(replies, [[b"pong", b""], [b"pong", b"x"]])
        for line in ("PSUBSCRIBE *", "PSUBSCRIBE *", "SSUBSCRIBE a", "SSUBSCRIBE a", "UNSUBSCRIBE nosuch", "UNSUBSCRIBE a",
                     "UNSUBSCRIBE", "UNSUBSCRIBE", "PUNSUBSCRIBE nosuch", "SUNSUBSCRIBE", "SUNSUBSCRIBE", "PUNSUBSCRIBE",
                     "PUNSUBSCRIBE", "GET x"):
            a(*line.split())

    def test_only_some_commands_in_resp2(self):
        for how in ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE"):
            a = self.pair()
            a(how, "a")
            for line in FORBIDDEN:
                self.assertIsInstance(a(*line.split()), resp.Error, line)
            a("UN".join(("", "SUBSCRIBE")) if how == "SUBSCRIBE" else how[0] + "UN" + how[1:], "a")
            self.assertEqual(a("ECHO", "x"), b"x")

    def test_all_commands_in_resp3(self):
        a = self.pair(proto=3)
        a.all(("SUBSCRIBE", "a"), ("SET", "x", "1"))
        for line in ("GET x", "PING", "PING x", "PUBLISH nobody 1", "CLIENT ID"):
            a(*line.split(), like=lambda ours, theirs: isinstance(ours, int))
        a("UNSUBSCRIBE")
        a("UNSUBSCRIBE")

    def test_a_client_hears_itself_before_the_reply(self):
        a = self.pair(proto=3)
        a.send_all(("SUBSCRIBE", "a"), ("PUBLISH", "a", "x"), ("PING",), ("PUBLISH", "a", "y"), ("UNSUBSCRIBE", "a"), ("PING",))
        got = [a.reply() for _ in range(8)]
        self.assertEqual([type(one) for one in got], [resp.Push, resp.Push, int, resp.Simple, resp.Push, int, resp.Push, resp.Simple])

    def test_switching_to_resp2(self):
        a = self.pair(proto=3)
        a("SUBSCRIBE", "a")
        a("HELLO", "2", like=lambda ours, theirs: len(ours) == len(theirs))
        self.assertIsInstance(a("GET", "x"), resp.Error)
        self.assertEqual(a("PING"), [b"pong", b""])
        self.pair()("PUBLISH", "a", "x")
        self.assertEqual(a.reply(), message(b"a", b"x"))

    def test_very_many_names(self):
        """So many that they take turns. All acknowledgements come before the first message."""
        names = ["name %d" % i for i in range(2100)]
        for proto, verb in ((2, "SUBSCRIBE"), (3, "PSUBSCRIBE"), (2, "SSUBSCRIBE")):
            a, other = self.pair(proto), self.pair()
            publish = "SPUBLISH" if verb[1] == "S" else "PUBLISH"
            undo = verb.replace("SUBSCRIBE", "UNSUBSCRIBE") if verb == "SUBSCRIBE" else verb[0] + "UN" + verb[1:]
            a(verb, "name 7")
            a.send_all((verb, *names, "name 3"), ("PING",), (undo, *names[:2080], "nobody"), (undo,))
            for i in range(2101 + 1 + 2081 + 20):
                a.reply(like=lambda ours, theirs: i >= 2101 + 1 + 2081 and ours[2] == theirs[2])  # noqa: B023
            self.assertEqual(other(publish, "name 2090", "x"), 0)
            a.send_all(("CLIENT", "REPLY", "SKIP"), (verb, *names), (undo, *names), ("PING",), ("MULTI",), (undo, *names), ("EXEC",))
            for _ in range(2100 + 2100 + 1 + 2 + 2100):
                a.reply()
            self.assertEqual(other(publish, "name 2090", "x"), 0)

    def test_messages(self):
        a, b, c, all_of_it = self.pairs_of(4)
        resp3 = self.pair(proto=3)
        a("SUBSCRIBE", "news")
        b.all(("SUBSCRIBE", "news"), ("PSUBSCRIBE", "n*"))
        resp3("PSUBSCRIBE", "[m-o]ews")
        all_of_it("SSUBSCRIBE", "news")
        self.assertEqual(c("PUBLISH", "news", "x"), 4)
        self.assertEqual(a.reply(), message(b"news", b"x"))
        self.assertEqual([b.reply(), b.reply()], [message(b"news", b"x"), [b"pmessage", b"n*", b"news", b"x"]])
        resp3.reply()
        self.assertEqual(c("SPUBLISH", "news", "y"), 1)
        self.assertEqual(all_of_it.reply(), [b"smessage", b"news", b"y"])
        for size in (0, 1, 99, 100, 4096, 4097, 16 * 1024, 1024 * 1024):
            self.assertEqual(c("PUBLISH", "news", b"\r\n\0\xff*"[:size] + b"z" * max(size - 5, 0)), 4)
            for client, count in ((a, 1), (b, 2), (resp3, 1)):
                for _ in range(count):
                    client.reply()
        for client in (a, b, all_of_it, resp3):
            client.quiet()

    def test_binary_and_empty_names(self):
        a, b = self.pairs_of(2)
        for name in (b"", b"\0", b"\r\n", b"x" * 100000, b"\xff\xfe"):
            a("SUBSCRIBE", name)
            self.assertEqual(b("PUBLISH", name, name), 1)
            self.assertEqual(a.reply(), message(name, name))
            a("UNSUBSCRIBE", name)
            self.assertEqual(b("PUBLISH", name, name), 0)

    def test_inside_of_multi(self):
        a, b = self.pair(proto=3), self.pair()
        b("SUBSCRIBE", "a")
        a.all(("MULTI",), ("PUBLISH", "a", "1"), ("SET", "x", "y"), ("PUBLISH", "a", "2"), ("PUBLISH", "nobody", "2"),
              ("SPUBLISH", "a", "2"), ("PUBSUB", "NUMSUB", "a"), ("PUBSUB", "CHANNELS"), ("PUBSUB", "NUMPAT"), ("EXEC",))
        self.assertEqual([b.reply(), b.reply()], [message(b"a", b"1"), message(b"a", b"2")])
        a.all(("MULTI",), ("SUBSCRIBE", "c"), ("PING",), ("UNSUBSCRIBE", "c"), ("EXEC",), ("PING",))
        a("UNSUBSCRIBE")

    def test_client_reply_off_does_not_concern_messages(self):
        for proto in (2, 3):
            a = self.pair(proto=proto)
            a.send_all(("CLIENT", "REPLY", "OFF"), ("SUBSCRIBE", "a"), ("PSUBSCRIBE", "b*"))
            a.reply(), a.reply()
            self.pair()("PUBLISH", "a", "x")
            self.assertEqual(list(a.reply()), message(b"a", b"x"))
            if proto == 3:
                a.send_all(("PUBLISH", "a", "self"), ("PING",), ("CLIENT", "REPLY", "ON"))
                self.assertEqual(list(a.reply()), message(b"a", b"self"))
                self.assertEqual(a.reply(), resp.OK)
            a.send_all(("UNSUBSCRIBE", "a"))
            a.reply()
            b = self.pair(proto=proto)
            b.send_all(("CLIENT", "REPLY", "SKIP"), ("SUBSCRIBE", "q"), ("PING",))
            b.reply(), b.reply()

    def test_reset_and_quit(self):
        a, b = self.pairs_of(2)
        a.all(("SUBSCRIBE", "a"), ("PSUBSCRIBE", "*"), ("SSUBSCRIBE", "a"), ("RESET",), ("GET", "x"))
        self.assertEqual(b("PUBLISH", "a", "x"), 0)
        self.assertEqual(b("PUBSUB", "NUMPAT"), 0)
        self.assertEqual(info_field(b.sides[0], "pubsub_clients"), "0")
        a.all(("SUBSCRIBE", "a"), ("QUIT",))
        a.assertClosed()
        wait_until(lambda: b("PUBSUB", "NUMSUB", "a", like=lambda *_: True)[1] == 0, what="a closed subscriber to be forgotten")

    def test_pubsub(self):
        a, b, c = self.pairs_of(3)
        a("SUBSCRIBE", "a")
        b.all(("SUBSCRIBE", "a"), ("PSUBSCRIBE", "p*"), ("PSUBSCRIBE", "q*"), ("SSUBSCRIBE", "s"))
        c.all(("PSUBSCRIBE", "p*"), ("SSUBSCRIBE", "s"))
        looker = self.pair()
        for line in ("CHANNELS", "CHANNELS *", "CHANNELS b*", "CHANNELS a b", "NUMSUB", "NUMSUB a b a", "NUMSUB s", "NUMPAT",
                     "NUMPAT x", "SHARDCHANNELS", "SHARDCHANNELS t", "SHARDCHANNELS a b", "SHARDNUMSUB", "SHARDNUMSUB a s", "HELP",
                     "NOSUCH"):
            looker("PUBSUB", *line.split())
        looker("PUBSUB")
        b("SUBSCRIBE", "b")
        looker("PUBSUB", "CHANNELS", like=lambda ours, theirs: sorted(ours) == sorted(theirs))
        for name in ("pubsub_channels", "pubsub_patterns", "pubsubshard_channels"):
            values = {info_field(side, name) for side in looker.sides}
            self.assertEqual(len(values), 1, (name, values))

    def test_client_list_and_kill(self):
        a, b = self.pairs_of(2)
        for line in ("SUBSCRIBE a b c", "PSUBSCRIBE p q", "SSUBSCRIBE s"):
            words = line.split()
            a.send(*words)
            for _ in words[1:]:
                a.reply()
        for side in range(len(a.sides)):
            line = a.line(side)
            self.assertEqual([line[name] for name in ("flags", "sub", "psub", "ssub")], ["P", "3", "2", "1"])
            of_type = text_of(self.observers[side].must("CLIENT", "LIST", "TYPE", "pubsub"))
            self.assertEqual([fields(one)["id"] for one in of_type.splitlines()], [str(a.id[side])])
        self.assertEqual(b("CLIENT", "KILL", "TYPE", "pubsub"), 1)
        a.assertClosed()
        a.gone()
        self.assertEqual(b("PUBLISH", "a", "x"), 0)

    def test_arities(self):
        a = self.pair()
        for line in ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "PUBLISH", "PUBLISH a", "PUBLISH a b c", "SPUBLISH a", "SPUBLISH a b c",
                     "PUBSUB", "UNSUBSCRIBE a", "PUNSUBSCRIBE a", "SUNSUBSCRIBE a", "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"):
            a(*line.split())


class Model:
    """Whose subscriptions are what: how many messages a PUBLISH is to bring."""

    def __init__(self, count):
        self.channels = [set() for _ in range(count)]
        self.patterns = [set() for _ in range(count)]
        self.shards = [set() for _ in range(count)]

    def of(self, command):
        return {"P": self.patterns, "S": self.shards}.get(command[0] if command[1:3] != "UB" else "", self.channels)

    @staticmethod
    def matches(pattern, channel):
        return channel.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == channel


class Random:
    def test_random(self):
        seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
        print("seed %d" % seed, file=sys.stderr)
        rng = random.Random(seed)
        for _ in range(5 if LONG else 1):
            self.play(rng)

    def play(self, rng):
        names = ["c%d" % n for n in range(12)] + ["d%d" % n for n in range(5)]
        patterns = ["c*", "d*", "c1*", "*", "c3", "nosuch"]
        clients = [self.pair(proto=rng.choice((2, 3))) for _ in range(10)]
        publishers = self.pairs_of(3)
        model = Model(len(clients))
        for step in range(400 if SLOW == 1 else 150):
            if rng.random() < 0.45:
                self.change(rng, model, clients, names, patterns)
            elif rng.random() < 0.9:
                self.publish(rng, model, clients, rng.choice(publishers), names)
            else:
                at = rng.randrange(len(clients))
                clients[at].close()
                clients[at].gone()
                clients[at] = self.pair(proto=rng.choice((2, 3)))
                for sets in (model.channels, model.patterns, model.shards):
                    sets[at] = set()
            if step % 20 == 0:
                self.look(publishers[0], names)
        for client in clients:
            client.quiet()

    def change(self, rng, model, clients, names, patterns):
        at = rng.randrange(len(clients))
        kind, sets = rng.choice((("", model.channels), ("P", model.patterns), ("S", model.shards)))
        pool = patterns if kind == "P" else names
        if rng.random() < 0.6:
            chosen = rng.choices(pool, k=rng.randrange(1, 6))
            clients[at].send(kind + "SUBSCRIBE", *chosen)
            sets[at] |= set(chosen)
            count = len(chosen)
        elif rng.random() < 0.8 or len(sets[at]) > 1:
            chosen = rng.choices(pool, k=rng.randrange(1, 6))
            clients[at].send(kind + "UNSUBSCRIBE", *chosen)
            sets[at] -= set(chosen)
            count = len(chosen)
        else:
            clients[at].send(kind + "UNSUBSCRIBE")
            sets[at] = set()
            count = 1
        for _ in range(count):
            clients[at].reply()

    def publish(self, rng, model, clients, publisher, names):
        batch = []
        for _ in range(rng.randrange(1, 8)):
            batch.append((rng.choice(("PUBLISH", "PUBLISH", "SPUBLISH")), rng.choice(names), str(rng.randrange(1000))))
        replies = publisher.all(*batch)
        for (command, channel, _), reply in zip(batch, replies):
            wanted = 0
            for at, client in enumerate(clients):
                if command == "SPUBLISH":
                    count, by_pattern = int(channel in model.shards[at]), 0
                else:
                    by_pattern = sum(model.matches(pattern, channel) for pattern in model.patterns[at])
                    count = int(channel in model.channels[at]) + by_pattern
                wanted += count
                self.same_messages(client, count, by_pattern)
            self.assertEqual(reply, wanted, (command, channel))

    def same_messages(self, client, count, by_pattern):
        """Redis visits patterns in the order of its table, so theirs are compared as a set."""
        got = [[side.exchange(b"", 1)[0] for _ in range(count)] for side in client.sides]
        first = count - by_pattern
        self.assertEqual(got[0][:first], got[-1][:first])
        self.assertEqual(sorted(got[0]), sorted(got[-1]))

    def look(self, looker, names):
        looker("PUBSUB", "NUMSUB", *names)
        looker("PUBSUB", "SHARDNUMSUB", *names)
        looker("PUBSUB", "NUMPAT")
        for what in ("CHANNELS", "SHARDCHANNELS"):
            looker("PUBSUB", what, like=lambda ours, theirs: sorted(ours) == sorted(theirs))


class Scripts1(Scripts, PubsubCase):
    threads = 1


class Scripts2(Scripts, PubsubCase):
    threads = 2


class Scripts7(Scripts, PubsubCase):
    threads = 7


class Random1(Random, PubsubCase):
    threads = 1


class Random2(Random, PubsubCase):
    threads = 2


class Random7(Random, PubsubCase):
    threads = 7


if __name__ == "__main__":
    main()
