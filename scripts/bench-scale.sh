#!/usr/bin/env bash
# Starts PostgreSQL and an S3 server of its own, and measures the catalog, statements without our client, and
# nodes on them. docs/benchmarks.md has the figures.
#   CALOTYPE_BENCH_IMAGES   how many images in the catalog (1,000,000)
# The arguments `catalog`, `whole`, `statements` and `nodes` measure these alone.
set -euo pipefail
cd "$(dirname "$0")/.."

# PostgreSQL and Ceph, where they are missing.
scripts/setup-tests.sh

folder=$(mktemp -d)
mkfifo "$folder/postgres" "$folder/s3"
end() {
    exec 3>&- 4>&-
    wait || true
    rm -rf "$folder"
}
trap end EXIT

# They run until their input ends.
CALOTYPE_TEST_POSTGRES_FSYNC=on scripts/postgres.sh <"$folder/postgres" >"$folder/postgres.out" &
servers=$!
exec 3>"$folder/postgres"
scripts/s3.sh <"$folder/s3" >"$folder/s3.out" &
servers+=,$!
exec 4>"$folder/s3"
line() { # FILE WORD: waits for a line with the word
    for _ in {1..1200}; do
        grep -m 1 "$2" "$1" && return
        sleep 0.1
    done
    echo "nothing came from $1" >&2
    exit 1
}
database() { # NAME: a new one
    echo "create $1" >&3
    line "$folder/postgres.out" "create $1" >/dev/null
    echo "$(line "$folder/postgres.out" '^postgres:')/$1"
}
wanted() {
    [[ ${what:-all} == all || $what == "$1" ]]
}

what=${1:-all}
CALOTYPE_BENCH_S3=$(line "$folder/s3.out" '^http')
export CALOTYPE_BENCH_S3
for bench in catalog whole; do
    if wanted "$bench"; then
        echo "== $bench on PostgreSQL"
        CALOTYPE_BENCH_DATABASE=$(database "$bench") \
            cargo bench --locked --workspace --bench "$bench"
    fi
done
if wanted statements; then
    echo "== statements"
    scripts/bench-postgres.sh "$(database statements)"
fi
if wanted nodes; then
    echo "== nodes"
    CALOTYPE_BENCH_DATABASE=$(database nodes) CALOTYPE_BENCH_SERVERS=$servers \
        cargo bench --locked --workspace --bench scale
fi
