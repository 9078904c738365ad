#!/usr/bin/env python3
"""ioredis, a Node.js client, in typical use: installs the npm package into a temporary directory and runs ioredis_test.js, and against a server
with ports of the threads' own ioredis_cluster_test.js.
Skips with the reason where node, npm or the package is missing. IOREDIS_DIR names a directory with node_modules to use instead."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import shutil  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402
import unittest  # noqa: E402

from support.case import SLOW, Server, ServerCase, main, sherd_only  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


class Ioredis(ServerCase):
    folder = os.environ.get("IOREDIS_DIR")
    own_folder = None

    @classmethod
    def setUpClass(cls):
        cls.install()
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        if cls.own_folder:
            shutil.rmtree(cls.own_folder, ignore_errors=True)

    @classmethod
    def install(cls):
        """Once for all tests; a class that cannot is skipped."""
        npm = shutil.which("npm")
        if not shutil.which("node"):
            raise unittest.SkipTest("node is not installed")
        if cls.folder:
            return
        if not npm:
            raise unittest.SkipTest("npm is not installed")
        cls.folder = cls.own_folder = tempfile.mkdtemp(prefix="sherd-test-npm-")
        try:
            done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", cls.folder, "ioredis@5"], cwd=cls.folder,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False)
            reason = done.returncode and "npm install ioredis failed: %s" % done.stdout.decode("utf-8", "replace")[-300:]
        except subprocess.TimeoutExpired:
            reason = "npm install ioredis took more than 180 s"
        if reason:
            shutil.rmtree(cls.folder, ignore_errors=True)
            raise unittest.SkipTest(reason)

    def run_script(self, name, *arguments):
        done = subprocess.run([shutil.which("node"), os.path.join(HERE, name), *map(str, arguments)],
                              env={**os.environ, "NODE_PATH": os.path.join(self.folder, "node_modules")},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120 * SLOW, check=False)
        output = done.stdout.decode("utf-8", "replace")
        print(output)
        self.assertEqual(done.returncode, 0, output)

    def test_script(self):
        self.run_script("ioredis_test.js", self.server.port)

    @sherd_only
    def test_cluster(self):
        with Server("--cluster-ports", "yes", threads=3) as server:
            self.run_script("ioredis_cluster_test.js", server.port, 3)


if __name__ == "__main__":
    main()
