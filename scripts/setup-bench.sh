#!/usr/bin/env bash
# Installs sharp into .tools/sharp, with which `make bench` compares. Does nothing where it is.
set -euo pipefail
cd "$(dirname "$0")/.."

lock=crates/pixels/benches/sharp/package-lock.json
if ! cmp -s "$lock" .tools/sharp/installed.json; then
    echo "Installing sharp into .tools/sharp"
    mkdir -p .tools/sharp
    cp crates/pixels/benches/sharp/package.json "$lock" .tools/sharp/
    npm ci --prefix .tools/sharp --no-audit --no-fund --silent
    cp "$lock" .tools/sharp/installed.json
fi
