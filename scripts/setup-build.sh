#!/usr/bin/env bash
# Makes sure of what a build needs besides Rust: the codecs in C and C++ are built from source.
# Does nothing, and at once, where it is all there.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=()
need() { # COMMAND PACKAGE
    command -v "$1" >/dev/null || packages+=("$2")
}
need cc gcc
need c++ g++
need cmake cmake
need nasm nasm
[[ -e /usr/include/stdlib.h ]] || packages+=(libc6-dev)

if [[ ${#packages[@]} -gt 0 ]]; then
    scripts/install-packages.sh "${packages[@]}"
fi
if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install it with rustup, then run this again." >&2
    exit 1
fi
