#!/usr/bin/env bash
# Packs the release build: target/dist/calotype-VERSION-TARGET.tar.gz and its checksum.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked
target=${CARGO_TARGET_DIR:-target}
version=$("$target/release/calotype" version | awk 'NR == 1 { print $NF }')
host=$(rustc -vV | sed -n 's/^host: //p')
name=calotype-$version-$host
rm -rf "target/dist/$name"
mkdir -p "target/dist/$name"
cp "$target/release/calotype" LICENSE-MIT LICENSE-APACHE "target/dist/$name/"
for document in README.md CHANGELOG.md; do
    [[ ! -e $document ]] || cp "$document" "target/dist/$name/"
done
cd target/dist
tar --owner=0 --group=0 --sort=name -czf "$name.tar.gz" "$name"
sha256sum "$name.tar.gz" | tee "$name.tar.gz.sha256"
