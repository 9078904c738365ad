#!/usr/bin/env python3
"""ioredis, a Node.js client, in typical use: installs the npm package into a temporary directory and runs ioredis_test.js.
Skips with the reason where node, npm or the package is missing. IOREDIS_DIR names a directory with node_modules to use instead."""

import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import shutil  # noqa: E402
import subprocess  # noqa: E402
import tempfile  # noqa: E402

from support.case import SLOW, ServerCase, main  # noqa: E402

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ioredis_test.js")


class Ioredis(ServerCase):
    def test_script(self):
        node, npm = shutil.which("node"), shutil.which("npm")
        if not node:
            self.skipTest("node is not installed")
        folder = os.environ.get("IOREDIS_DIR")
        if not folder:
            if not npm:
                self.skipTest("npm is not installed")
            folder = tempfile.mkdtemp(prefix="sherd-test-npm-")
            self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
            try:
                done = subprocess.run([npm, "install", "--no-audit", "--no-fund", "--prefix", folder, "ioredis@5"], cwd=folder,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False)
            except subprocess.TimeoutExpired:
                self.skipTest("npm install ioredis took more than 180 s")
            if done.returncode != 0:
                self.skipTest("npm install ioredis failed: %s" % done.stdout.decode("utf-8", "replace")[-300:])
        done = subprocess.run([node, SCRIPT, str(self.server.port)], env={**os.environ, "NODE_PATH": os.path.join(folder, "node_modules")},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120 * SLOW, check=False)
        output = done.stdout.decode("utf-8", "replace")
        print(output)
        self.assertEqual(done.returncode, 0, output)


if __name__ == "__main__":
    main()
