#!/usr/bin/env bash
# Installs the linters of `make check` into .tools/check. Does nothing where they are.
set -euo pipefail
cd "$(dirname "$0")/.."

if scripts/python-tools.sh .tools/check scripts/check-requirements.txt; then
    exit 0
fi
echo "There are no prebuilt linters for this platform; building them takes some minutes."
# Linking them well costs more time than they will ever save.
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_OPT_LEVEL=1
sed -n 's/^astral-dev-toolchain-\(cargo-[a-z]*\)==\(.*\)/\1@\2/p' scripts/check-requirements.txt |
    xargs -n 1 cargo install --locked --root .tools/check
command -v shellcheck >/dev/null || scripts/install-packages.sh shellcheck
cp scripts/check-requirements.txt .tools/check/installed.txt
