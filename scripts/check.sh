#!/usr/bin/env bash
# The quick half of CI: format, lints, documentation, dependencies, scripts.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.tools/check/bin:$PATH

step() {
    echo "== $*"
    "$@"
}
step cargo fmt --all --check
# The fuzz targets need another compiler; their format and their lock file do not.
step cargo fmt --manifest-path fuzz/Cargo.toml --check
step cargo metadata --manifest-path fuzz/Cargo.toml --locked --format-version 1 --quiet >/dev/null
step cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
RUSTDOCFLAGS='-D warnings' step cargo doc --workspace --no-deps --locked --quiet
step cargo deny --log-level error check licenses bans sources
step cargo shear
step shellcheck .ci/run scripts/*.sh
step scripts/check-deploy.sh
