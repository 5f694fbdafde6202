#!/usr/bin/env bash
# Installs what `make fuzz` needs besides a nightly compiler into .tools/fuzz. Does nothing where it is.
set -euo pipefail
cd "$(dirname "$0")/.."

version=0.13.2
if [[ ! -x .tools/fuzz/bin/cargo-fuzz ]]; then
    cargo install cargo-fuzz@$version --locked --root .tools/fuzz
fi
if ! rustc "+${FUZZ_TOOLCHAIN:-nightly}" --version >/dev/null 2>&1; then
    echo "A nightly compiler is missing: rustup toolchain install nightly --profile minimal" >&2
    exit 1
fi
