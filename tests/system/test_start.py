#!/usr/bin/env python3
"""Start-up and shutdown: options, configuration file, mistakes with clear messages, SIGTERM and SIGINT with exit code 0."""

import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import signal  # noqa: E402
import socket  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import unittest  # noqa: E402

from support import resp  # noqa: E402
from support.case import Server, ServerFailed, main, sherd_only, wait_until  # noqa: E402
from support.server import START_S, free_port, sherd_binary  # noqa: E402


def run(*arguments):
    """Exit code and all output of a start that is expected to end by itself."""
    with tempfile.TemporaryDirectory(prefix="sherd-test-") as folder:
        done = subprocess.run([sherd_binary(), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=START_S, cwd=folder, check=False)
    return done.returncode, done.stdout.decode("utf-8", "replace")


class Start(unittest.TestCase):
    def test_starts_answers_and_ends_with_zero(self):
        with Server(threads=1) as server:
            self.assertEqual(server.client().call("PING"), resp.Simple(b"PONG"))

    def test_sigint_ends_with_zero(self):
        with Server() as server:
            server.client().must("SET", "k", "v")
            server.process.send_signal(signal.SIGINT)
            self.assertEqual(server.process.wait(START_S), 0, server.tail())
            server.process = None

    def test_sigterm_with_clients_connected(self):
        with Server() as server:
            clients = [server.client() for _ in range(20)]
            for client in clients:
                client.must("PING")
            server.stop()
            for client in clients:
                self.assertTrue(client.is_closed())

    def test_who_connects_while_it_starts_waits(self):
        """As to Redis: while what is loaded is little, a client that comes early waits for it and is not told -LOADING."""
        with Server("--save", "3600 1", threads=4) as server:
            client = server.client()
            for first in range(0, 100_000, 1000):
                client.must("MSET", *(word for number in range(first, first + 1000) for word in ("key:%d" % number, "value:%d" % number)))
            server.stop()
            server.begin()
            clients = wait_until(lambda: self.connect(server, 8), START_S, "a port to connect to")
            answers = [client.call("GET", "key:77") for client in clients]
            if any(answer != b"value:77" for answer in answers):
                took = re.findall(r"DB loaded from disk: .* in ([0-9.]+) seconds", server.log())
                self.assertGreater(float(took[-1]), 0.8, answers)  # after a second it is said

    def test_few_descriptors(self):
        """There are no more clients than descriptors: the rest are told so, and what the server opens itself it can open."""
        with tempfile.TemporaryDirectory(prefix="sherd-test-") as folder:
            binary = os.path.join(folder, "few")
            with open(binary, "w", encoding="utf-8") as file:
                file.write('#!/bin/sh\nulimit -n 80\nexec "%s" "$@"\n' % os.path.abspath(sherd_binary()))
            os.chmod(binary, 0o700)
            with Server("--appendonly", "yes", binary=binary, threads=2) as server:
                boss = server.client()
                self.assertIn("enough for 40 clients", server.log())
                self.assertIn(b"maxclients:40\r\n", boss.must("INFO", "clients"))
                clients = [server.client() for _ in range(60)]
                for number, client in enumerate(clients):
                    try:
                        self.assertIn(client.call("PING"), (resp.Simple(b"PONG"), resp.Error(b"ERR max number of clients reached")), number)
                    except (resp.Closed, ConnectionError):
                        self.assertGreater(number, 30)
                boss.must("SET", "a", "b")
                boss.must("SAVE")
                for client in clients:
                    client.close()
                wait_until(lambda: b"connected_clients:1\r\n" in boss.must("INFO", "clients"), what="an empty server")
                self.assertEqual(server.client().call("GET", "a"), b"b")

    @staticmethod
    def connect(server, count):
        try:
            return [server.client() for _ in range(count)]
        except OSError:
            return None

    def test_shutdown_command(self):
        with Server() as server:
            client = server.client()
            client.send(resp.encode(("SHUTDOWN", "NOSAVE")))
            self.assertTrue(client.is_closed(START_S))
            self.assertEqual(server.process.wait(START_S), 0, server.tail())
            server.process = None

    def test_version(self):
        for option in ("--version", "-v"):
            code, output = run(option)
            self.assertEqual(code, 0, output)
            self.assertRegex(output, r"\d+\.\d+")

    def test_help(self):
        for option in ("--help", "-h"):
            code, output = run(option)
            self.assertIn(code, (0, 1), output)  # Redis leaves with 1
            self.assertRegex(output.lower(), "usage|options")

    @sherd_only
    def test_doctor(self):
        """Says what it thinks of this machine; what is certainly wrong makes exit code 1; its files go again."""
        local = ("--bind", "127.0.0.1", "--maxmemory", "100mb", "--maxclients", "100", "--threads", "1")
        code, output = run("doctor", *local)
        self.assertEqual(code, 0, output)
        for word in ("io_uring", "memory", "durable writes", "space", "clients", "doors"):
            self.assertRegex(output, r"(?m)^(ok|warn)  +%s: " % word)
        self.assertRegex(output, r"\n\d+ ok, \d+ to look at, 0 bad\n$")
        code, output = run("doctor", *local, "--maxmemory", "100000gb", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "no/such")
        self.assertEqual(code, 1, output)
        for word in ("memory", "doors", "disk"):
            self.assertRegex(output, r"(?m)^BAD   %s: " % word)
        self.assertEqual(run("doctor", "--no-such-option", "1")[0], 2)
        with tempfile.TemporaryDirectory(prefix="sherd-test-") as folder:
            self.assertEqual(run("doctor", *local, "--dir", folder)[0], 0)
            self.assertEqual(os.listdir(folder), [])

    @sherd_only
    def test_help_ends_with_zero_and_names_options(self):
        code, output = run("--help")
        self.assertEqual(code, 0, output)
        for option in ("port", "threads", "maxmemory"):
            self.assertIn(option, output)

    def test_unknown_option_is_refused(self):
        code, output = run("--port", str(free_port()), "--prot", "1")
        self.assertNotEqual(code, 0, output)
        self.assertIn("prot", output)

    @sherd_only
    def test_unknown_option_suggests_the_nearest(self):
        for wrong, right in (("--prot", "port"), ("--thread", "threads"), ("--maxmemry", "maxmemory")):
            code, output = run("--port", str(free_port()), wrong, "1")
            self.assertNotEqual(code, 0, output)
            self.assertIn(right, output.replace(wrong, ""), "no suggestion of %s" % right)

    def test_bad_values_are_refused(self):
        for option, value in (("--port", "abc"), ("--port", "70000"), ("--maxclients", "none"), ("--appendonly", "maybe"),
                              ("--databases", "0"), ("--timeout", "-1")):
            code, output = run("--port", str(free_port()), option, value)
            self.assertNotEqual(code, 0, "%s %s was accepted:\n%s" % (option, value, output))

    @sherd_only
    def test_bad_threads_are_refused(self):
        for value in ("-1", "abc", "65", "100000"):
            code, output = run("--port", str(free_port()), "--threads", value)
            self.assertNotEqual(code, 0, "--threads %s was accepted:\n%s" % (value, output))

    def test_missing_config_file(self):
        code, output = run("/nonexistent/sherd.conf")
        self.assertNotEqual(code, 0, output)
        self.assertIn("/nonexistent/sherd.conf", output)

    def test_port_taken(self):
        """The second server says which address is in use; the first does not notice."""
        with Server() as first:
            with self.assertRaises(ServerFailed) as caught:
                Server(port=first.port)
            self.assertIn("in use", str(caught.exception).lower())
            self.assertIn(str(first.port), str(caught.exception))
            self.assertEqual(first.client().call("PING"), resp.Simple(b"PONG"))

    def test_config_file_and_override(self):
        config = 'maxclients 77\n# a comment\n\ntimeout 33\nrequirepass "a b"\nsave ""\nappendonly no\n'
        with Server("--timeout", "44", config=config, threads=2) as server:
            client = server.client()
            self.assertIn(b"NOAUTH", client.call("PING"))
            client.must("AUTH", "a b")
            self.assertEqual(client.must("CONFIG", "GET", "maxclients"), [b"maxclients", b"77"])
            self.assertEqual(client.must("CONFIG", "GET", "timeout"), [b"timeout", b"44"])

    def test_bad_line_in_config_file_is_named(self):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write("maxclients 50\nmaxclients many\n")
            file.flush()
            code, output = run(file.name)
        self.assertNotEqual(code, 0, output)
        self.assertIn("2", output)
        self.assertIn("maxclients", output)

    def test_save_and_appendonly_are_accepted(self):
        for options in (("--save", ""), ("--save", "3600 1 300 100"), ("--appendonly", "no"), ("--save", "900 1", "--save", "300 10")):
            with Server(*options, defaults=False) as server:
                self.assertEqual(len(server.client().must("CONFIG", "GET", "save")), 2)

    @sherd_only
    def test_foreign_directives_are_accepted_with_a_warning(self):
        config = "hash-max-listpack-entries 512\nlua-time-limit 5000\nrdbchecksum no\nhz 20\nmaxmemory-policy allkeys-lru\n"
        with Server("--maxmemory", "100mb", config=config) as server:
            server.client().must("PING")
            warned = [line for line in server.log().splitlines() if "has no effect" in line or "not used" in line]
            self.assertEqual(len(warned), 2, warned)  # defaults are passed over
            for name in ("rdbchecksum", "hz"):
                self.assertTrue(any("'%s'" % name in line for line in warned), warned)

    def test_unix_socket_and_ipv6(self):
        with tempfile.TemporaryDirectory(prefix="sherd-test-") as folder:
            path = os.path.join(folder, "s.sock")
            with Server("--unixsocket", path, "--bind", "127.0.0.1 -::1") as server:
                with resp.Client(path=path) as client:
                    client.must("SET", "k", "v")
                self.assertEqual(server.client().call("GET", "k"), b"v")
                try:
                    with socket.create_connection(("::1", server.port), timeout=5) as sock:
                        sock.sendall(b"PING\r\n")
                        self.assertEqual(sock.recv(7), b"+PONG\r\n")
                except OSError as failure:
                    if socket.has_ipv6 and os.path.exists("/proc/net/if_inet6") and open("/proc/net/if_inet6", encoding="ascii").read():
                        raise
                    print("IPv6 skipped: %s" % failure)


if __name__ == "__main__":
    main()
