#!/usr/bin/env bash
# Installs Garage into .tools/garage, a second S3 server for the tests (CALOTYPE_TEST_S3=garage). Compiling it
# takes ten minutes of CPU. It is a program of its own under the AGPL, and nothing of it enters ours.
set -euo pipefail
cd "$(dirname "$0")/.."

version=2.5.0
if [[ $(.tools/garage/bin/garage --version 2>/dev/null) != *"$version"* ]]; then
    cargo install garage --version $version --locked --root .tools/garage --quiet \
        --config 'profile.release.lto="off"' --config 'profile.release.opt-level=1' \
        --config 'profile.release.codegen-units=16'
fi
