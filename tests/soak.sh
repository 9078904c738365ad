#!/usr/bin/env bash
# The random tests for as long as asked, each round with fresh seeds, which are printed. `./run soak 240` is four hours.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-60}
end=$((SECONDS + minutes * 60))
export SHERD_BIN=$PWD/build/release/sherd
while [ $SECONDS -lt $end ]; do
    for threads in 1 2 7; do
        /usr/bin/python3 tests/model/differential.py --commands 1000000 --threads $threads --proto both
    done
    SHERD_SEED=$(($(date +%s) * 1000000)) SHERD_ROUNDS=50000 build/release/tests/sim/sim_test
    SHERD_LONG=1 /usr/bin/python3 tests/system/test_concurrency.py
done
echo "soak: $minutes minutes without a difference"
