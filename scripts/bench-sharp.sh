#!/usr/bin/env bash
# Compares the pixel engine with sharp, in turns on this machine, and prints the tables of
# docs/benchmarks.md. Needs a folder of pictures, and Node.
#   CALOTYPE_BENCH_PICTURES  the folder (../shared/images)
#   CALOTYPE_BENCH_PROGRAM   a built benchmark program, instead of building the release
#   CALOTYPE_BENCH_ROUNDS    turns (5)
# An argument keeps the jobs whose name holds it: scripts/bench-sharp.sh WebP
set -euo pipefail
cd "$(dirname "$0")/.."

pictures=${CALOTYPE_BENCH_PICTURES:-../shared/images}
if [[ ! -d $pictures ]]; then
    echo "no pictures in $pictures: the comparison with sharp is left out" >&2
    exit 0
fi
scripts/setup-bench.sh >&2
program=${CALOTYPE_BENCH_PROGRAM:-}
if [[ -z $program ]]; then
    cargo bench --locked --package pixels --bench jobs --no-run >&2
    program=$(cargo bench --locked --package pixels --bench jobs --no-run --message-format json 2>/dev/null |
        sed -n 's/.*"name":"jobs".*"executable":"\([^"]*\)".*/\1/p')
fi
node crates/pixels/benches/sharp/compare.mjs "$program" "$pictures" "${CALOTYPE_BENCH_ROUNDS:-5}" "$@"
