#!/usr/bin/env bash
# Every test: what threads share under the thread sanitizer, then all under clang's address and undefined-behaviour
# sanitizers, then with gcc's release binary all but single modules and what is of Redis's rules alone; warnings of both
# compilers are errors.
# Called by `./run test`; each stage ends with ctest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."

stage() { # preset, what to build, ctest arguments...
    local preset=$1 targets=$2; shift 2
    echo "=== $preset ==="
    cmake --preset "$preset" -DSHERD_WERROR=ON >/dev/null
    cmake --build "build/$preset" --target $targets -- --quiet
    ctest --test-dir "build/$preset" --output-on-failure --no-tests=error "$@"
}

stage tsan 'sherd shards_mailbox_test persist_recover_threads_test net_disk_ring_test' -L 'threads' -j 2
stage asan all -LE 'long|house|promise' -j 2
stage release 'sherd powerfs sherd-load sim_test' -LE 'long|unit|smoke|once' -j 2 # but for those that are RUN_SERIAL
