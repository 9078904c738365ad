#!/usr/bin/env python3
"""Clients that do not read: client-output-buffer-limit closes them at the hard limit at once and at the soft one after its
time, says so in the log with figures, and leaves everybody else alone."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from support import resp  # noqa: E402
from support.case import ServerCase, info_field, main, sherd_only, wait_until  # noqa: E402

MIB = 1 << 20
LARGE = 32 * MIB  # far more than the kernel takes for a connection


class OutputLimits(ServerCase):
    def setUp(self):
        super().setUp()
        self.admin = self.client()
        self.admin.must("SET", "large", b"v" * LARGE)

    def limit(self, text):
        before = self.admin.must("CONFIG", "GET", "client-output-buffer-limit")[1]
        self.admin.must("CONFIG", "SET", "client-output-buffer-limit", text)
        self.addCleanup(self.admin.must, "CONFIG", "SET", "client-output-buffer-limit", before)

    def stuck(self):
        """A client that asks for much and reads nothing."""
        client = self.client()
        name = "stuck%d" % id(client)
        client.must("CLIENT", "SETNAME", name)
        client.sock.sendall(resp.encode(("GET", "large")))
        return client, name

    def names(self):
        return bytes(self.admin.must("CLIENT", "LIST"))

    def test_hard_limit_closes_at_once(self):
        self.limit("normal 1mb 0 0")
        _, name = self.stuck()
        wait_until(lambda: name.encode() not in self.names(), what="the client to be closed")
        self.assertEqual(self.admin.call("PING"), resp.Simple(b"PONG"))
        if self.server.kind == "sherd":
            self.assertIn("over the hard limit of 1048576 of the class normal", self.server.log())
            self.assertGreaterEqual(int(info_field(self.admin, "client_output_buffer_limit_disconnections")), 1)

    def test_soft_limit_closes_after_its_time(self):
        self.limit("normal 0 1mb 1")
        _, name = self.stuck()
        wait_until(lambda: name.encode() not in self.names(), what=lambda: "the client to be closed: %r" % self.names())

    @sherd_only
    def test_limits_apply_to_whoever_is_over_them_already(self):
        _, name = self.stuck()
        wait_until(lambda: int(info_field(self.admin, "mem_clients_normal")) > 16 * MIB, what="output to pile up")
        self.assertIn(name.encode(), self.names())
        self.limit("normal 1mb 0 0")
        wait_until(lambda: name.encode() not in self.names(), what="the client to be closed")

    def test_whoever_reads_is_left_alone(self):
        self.limit("normal 64mb 1mb 60")
        client = self.client()
        for _ in range(2):
            self.assertEqual(len(client.call("GET", "large")), LARGE)


if __name__ == "__main__":
    main()
