#!/usr/bin/env bash
# Installs system packages, and says which: scripts/install-packages.sh PACKAGE...
# Asks nothing. Needs Debian or Ubuntu, and root or sudo.
set -euo pipefail

if ! command -v apt-get >/dev/null; then
    echo "Please install by hand what these Debian packages hold: $*" >&2
    exit 1
fi
as_root=()
if [[ $(id -u) -ne 0 ]]; then
    if ! command -v sudo >/dev/null; then
        echo "Please install as root: apt-get install $*" >&2
        exit 1
    fi
    as_root=(sudo)
fi
echo "Installing with apt-get: $*"
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null
