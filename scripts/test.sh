#!/usr/bin/env bash
# Runs cargo's tests with these arguments and closes with one line which sums them up.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.tools/bin:$PATH

output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --workspace --locked --no-fail-fast "$@" 2>&1 | tee "$output" || status=$?

echo
awk '
    /^test .* \.\.\. FAILED$/ { print "failed: " $2 }
    /^test result: / { passed += $4; failed += $6; skipped += $8 }
    # A test which found its client missing says so and passes.
    /SKIPPED [a-z_:]+: / { passed--; skipped++ }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
' "$output"
exit "$status"
