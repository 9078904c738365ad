#!/usr/bin/env bash
# Every test, in the order in which failures are cheapest: both compilers with warnings as errors, then the sanitizers,
# then the release binary against redis-server. Called by `./run test`; each stage ends with ctest's summary.
set -euo pipefail
cd "$(dirname "$0")/.."

stage() { # preset, ctest arguments...
    local preset=$1; shift
    echo "=== $preset ==="
    cmake --preset "$preset" -DSHERD_WERROR=ON >/dev/null
    cmake --build "build/$preset" -- --quiet
    ctest --test-dir "build/$preset" --output-on-failure --no-tests=error "$@"
}

stage clang -L 'unit|house|smoke' -j 2
stage tsan -L 'threads' -j 2
stage asan -LE 'long|house|promise' -j 2
stage release -LE 'long' -j 2 # but for those that are RUN_SERIAL
