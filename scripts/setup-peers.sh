#!/usr/bin/env bash
# Installs the image servers with which `make bench` compares, into .tools/peers: ipx, thumbor, oximg.
# Compiling oximg takes some minutes. Does nothing where they are.
set -euo pipefail
cd "$(dirname "$0")/.."

peers=.tools/peers
mkdir -p $peers
if [[ ! -d $peers/node_modules/ipx ]]; then
    npm install --prefix $peers --no-audit --no-fund --silent ipx@3.1.1
fi
if [[ ! -x $peers/thumbor/bin/thumbor ]]; then
    python3 -m venv $peers/thumbor
    $peers/thumbor/bin/pip install --quiet thumbor==7.8.0
fi
if [[ ! -x $peers/bin/oximg ]]; then
    cargo install oximg --version 0.18.1 --locked --root $peers --quiet
fi
