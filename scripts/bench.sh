#!/usr/bin/env bash
# Fills a catalog, measures it, and then the server over it. docs/benchmarks.md has the figures.
#   CALOTYPE_BENCH_IMAGES  how many images (1,000,000)
#   CALOTYPE_BENCH_FOLDER  where; kept, and measured as it is if it is there already
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${CALOTYPE_BENCH_FOLDER:-}" ]; then
    CALOTYPE_BENCH_FOLDER=$(mktemp -d)
    trap 'rm -rf "$CALOTYPE_BENCH_FOLDER"' EXIT
fi
export CALOTYPE_BENCH_FOLDER
cargo bench --locked --package store --bench catalog
cargo bench --locked --package store --bench whole
cargo bench --locked --package calotype --bench server 2>/dev/null
