#!/usr/bin/env python3
"""Tests the differential driver itself, with redis-server on both sides:
  1. redis-server against redis-server shows no difference (the driver does not cry wolf), on every protocol and pipeline depth;
  2. behind a proxy that spoils one reply in 10,000, the difference is seen, shown and lets the run fail (it does cry);
  3. a proxy that spoils every answer to one particular command is found again on replay and shrunk to a short sequence;
  4. a proxy that drops the connection is reported, not waited for."""

import os
import random
import select
import socket
import subprocess
import sys
import threading
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.dirname(HERE), HERE]

from support import resp  # noqa: E402
from support.server import Server, redis_binary  # noqa: E402

DRIVER = os.path.join(HERE, "differential.py")


class Proxy:
    """Passes bytes through; `spoil(frame)` sees each reply and may change it; None drops the connection."""

    def __init__(self, target_port, spoil):
        self.target_port, self.spoil = target_port, spoil
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.target_port))
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client, server):
        """One thread for both directions, with a queue for each, so that a peer that is slow to read stops nobody."""
        scanner, up, down = resp.Scanner(), bytearray(), bytearray()
        for sock in (client, server):
            sock.setblocking(False)
        with client, server:
            while True:
                readable, writable, _ = select.select([client, server], [s for s, q in ((client, down), (server, up)) if q], [])
                try:
                    if client in readable:
                        data = client.recv(1 << 18)
                        if not data:
                            return
                        up += data
                    if server in readable:
                        data = server.recv(1 << 18)
                        if not data:
                            return
                        scanner.feed(data)
                        for frame in scanner.frames():
                            frame = self.spoil(frame)
                            if frame is None:
                                return
                            down += frame
                    if client in writable:
                        del down[: client.send(down)]
                    if server in writable:
                        del up[: server.send(up)]
                except BlockingIOError:
                    pass
                except OSError:
                    return


def drive(*arguments, timeout=240):
    """Exit code and output of one run of the driver."""
    done = subprocess.run([sys.executable, DRIVER, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=timeout, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


@unittest.skipUnless(redis_binary(), "redis-server is not installed")
class SelfTest(unittest.TestCase):
    def test_equal_servers(self):
        for arguments in (("--proto", "both"), ("--proto", "2", "--pipeline", 1), ("--proto", "3", "--pipeline", 7)):
            commands = 60_000 if arguments[-1] == "both" else 8_000
            code, output = drive("--bin", "redis", "--commands", commands, *arguments)
            self.assertEqual(code, 0, output)

    def spoiled(self, spoil, *arguments):
        from differential import OPTIONS

        with Server(*OPTIONS, kind="redis") as server:
            proxy = Proxy(server.port, spoil)
            try:
                return drive("--attach", proxy.port, *arguments)
            finally:
                proxy.close()

    def test_one_spoiled_reply_in_ten_thousand(self):
        rng = random.Random(5)

        def spoil(frame):
            if rng.random() >= 1 / 10_000 or frame[:1] not in b"+-:$" or len(frame) < 4:
                return frame
            # One bit of the text, not of the framing.
            at = frame.index(b"\r\n") + 2 if frame[:1] == b"$" and frame[1:2] not in b"-0" else 1
            return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]

        code, output = self.spoiled(spoil, "--commands", 200_000, "--seed", 3, "--shrink-seconds", 5)
        self.assertEqual(code, 1, output)
        self.assertIn("seed 3", output)
        self.assertRegex(output, "DIFFERENCE|state check failed")

    def test_shrinks_what_comes_again(self):
        """A server whose APPEND results in 7 says 8."""

        def spoil(frame):
            return b":8\r\n" if frame == b":7\r\n" else frame

        code, output = self.spoiled(spoil, "--commands", 100_000, "--seed", 4, "--proto", "2", "--families", "string")
        self.assertEqual(code, 1, output)
        self.assertIn("shortest sequence found", output)
        steps = int(output.split("flushed servers (")[1].split(" steps")[0])
        self.assertLessEqual(steps, 6, output)

    def test_lost_connection(self):
        rng = random.Random(6)
        code, output = self.spoiled(lambda frame: None if rng.random() < 1 / 5000 else frame, "--commands", 100_000, "--seed", 9,
                                    "--shrink-seconds", 5)
        self.assertEqual(code, 1, output)
        self.assertRegex(output, "closed by the server|connection failed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
