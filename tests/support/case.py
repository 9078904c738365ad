"""What the system tests share: a unittest case with a server, and the way to run a file of them as a script.

    class Ping(ServerCase):
        threads = 2
        def test_ping(self): self.assertEqual(self.client().call("PING"), resp.Simple(b"PONG"))

    if __name__ == "__main__": main()

A script takes --bin PATH (or env SHERD_BIN) and otherwise unittest's arguments.
"""

import binascii
import os
import resource
import sys
import unittest

from support import resp, server
from support.server import IS_REDIS, LONG, SLOW, Server, ServerFailed, redis_binary, wait_until  # noqa: F401

sherd_only = unittest.skipIf(IS_REDIS, "SHERD_IS_REDIS=1: a property of sherd, the binary is redis-server")

# What a shard's slab keeps of memory that came back: 1 MiB of empty pages, and of each size that was ever used a page.
SLAB_KEEPS = 3 << 20


class ServerCase(unittest.TestCase):
    """One server for all tests of the class; it must survive them and exit cleanly."""

    options = ()
    threads = 2

    @classmethod
    def setUpClass(cls):
        cls.server = Server(*cls.options, threads=cls.threads)

    @classmethod
    def tearDownClass(cls):
        try:
            for client in cls.server.clients:
                client.close()
            cls.server.stop()
        finally:
            cls.server.clean()

    def setUp(self):
        self.server.check_alive()

    def tearDown(self):
        self.server.check_alive()

    def client(self, **options):
        client = self.server.client(**options)
        self.addCleanup(client.close)
        return client

    def needs(self, *commands):
        """Skips the test, with the reason, on a server that lacks one of these commands (yet)."""
        missing = [name for name in commands if not knows(self.server, name)]
        if missing:
            self.skipTest("the server has no %s" % ", ".join(missing))

    def assertNothingLeft(self):
        """All clients of the test are gone: nobody is blocked, and no lock, queue entry or watched key is left.

        DEBUG TXN sums up the server's own books over all shards and checks them; a server without it (Redis) is
        asked for blocked clients only."""
        with self.server.client() as client:
            books = lambda: dict(line.split(b":") for line in client.must("DEBUG", "TXN").split())  # noqa: E731
            wait_until(lambda: info_field(client, "blocked_clients") == "0", what="blocked_clients:0 in INFO")
            if not isinstance(client.call("DEBUG", "TXN"), resp.Error):
                wait_until(lambda: not any(map(int, books().values())), what=lambda: "nothing left in DEBUG TXN: %r" % books())

    def assertError(self, value, text):
        self.assertIsInstance(value, resp.Error)
        self.assertEqual(bytes(value), text if isinstance(text, bytes) else text.encode())


def knows(server, command):
    """Whether the server has the command, asked once per server. A word such as "client|unblock" names a subcommand."""
    if command not in server.known:
        with server.client() as client:
            name, _, sub = command.partition("|")
            info = client.must("COMMAND", "INFO", name)[0]
            known = isinstance(info, list)
            if known and sub:
                known = command.encode() in [row[0] for row in info[9]]
            server.known[command] = known
    return server.known[command]


def info_field(client, name, *section):
    """One field of INFO as text; of a section, if it is not one of those that INFO shows unasked."""
    text = bytes(client.must("INFO", *section)).decode("latin-1")
    return text.split("\n%s:" % name)[1].split("\r")[0]


def spread_keys(count, prefix="k"):
    """Names of keys whose slots lie evenly over all slots, so that they belong to as many shards as there are."""
    names = []
    for part in range(count):
        number = 0
        while binascii.crc_hqx(b"%s%d" % (prefix.encode(), number), 0) % 16384 * count // 16384 != part:
            number += 1
        names.append("%s%d" % (prefix, number))
    return names


def raise_file_limit(wanted):
    """True when this process and its children may open `wanted` files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= wanted:
        return True
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        return True
    except (ValueError, OSError):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (ValueError, OSError):
            pass
        return resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= wanted


def main():
    arguments = sys.argv[1:]
    if "--bin" in arguments:
        at = arguments.index("--bin")
        os.environ["SHERD_BIN"] = os.path.abspath(arguments[at + 1])
        del arguments[at : at + 2]
    if not os.path.exists(server.sherd_binary()):
        sys.exit("no binary at %s; build it or set SHERD_BIN" % server.sherd_binary())
    unittest.main(module="__main__", argv=[sys.argv[0]] + arguments, verbosity=2)
