"""What the system tests share: a unittest case with a server, and the way to run a file of them as a script.

    class Ping(ServerCase):
        threads = 2
        def test_ping(self): self.assertEqual(self.client().call("PING"), resp.Simple(b"PONG"))

    if __name__ == "__main__": main()

A script takes --bin PATH (or env SHERD_BIN) and otherwise unittest's arguments.
"""

import os
import resource
import sys
import unittest

from support import resp, server
from support.server import IS_REDIS, LONG, SLOW, Server, ServerFailed, redis_binary, wait_until  # noqa: F401

sherd_only = unittest.skipIf(IS_REDIS, "SHERD_IS_REDIS=1: a property of sherd, the binary is redis-server")


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

    def assertError(self, value, text):
        self.assertIsInstance(value, resp.Error)
        self.assertEqual(bytes(value), text if isinstance(text, bytes) else text.encode())


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
