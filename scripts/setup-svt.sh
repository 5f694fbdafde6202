#!/usr/bin/env bash
# Puts the library of SVT-AV1 into .tools/svt: the encoder by which AVIF gets small and quick. It is
# taken, alone, from the wheel of PyAV, where it is a file of its own (BSD-3-Clause-Clear); nothing
# else of the wheel is kept. Without it Calotype encodes AVIF by its built-in libaom.
set -euo pipefail
cd "$(dirname "$0")/.."

wheel=av==18.1.0
platform=manylinux_2_28_x86_64
member='av.libs/libSvtAv1Enc-9393c086.so.4.1.0'
checksum=9cb5f57196143427c5f165f98b88a174e06c592e5a884507f5adcd8b20472414
folder=.tools/svt
library=$folder/libSvtAv1Enc.so.4

if [[ -e $library ]] && sha256sum --quiet --check <<<"$checksum  $library" 2>/dev/null; then
    exit 0
fi
without() {
    echo "$1; AVIF will be encoded by libaom." >&2
    exit 0
}
[[ $(uname -sm) == 'Linux x86_64' ]] || without 'There is no prebuilt SVT-AV1 for this platform'
command -v python3 >/dev/null || without 'SVT-AV1 is unpacked by Python 3, which is missing'
python3 -m pip --version >/dev/null 2>&1 || scripts/install-packages.sh python3-pip

echo "Installing SVT-AV1 into $folder"
download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --platform "$platform" --python-version 3.11 --dest "$download" "$wheel" ||
    without "$wheel cannot be had"
python3 - "$download"/av-*.whl "$member" "$download/library" <<'PYTHON' || without 'The wheel has changed'
import sys, zipfile

wheel, member, target = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive, open(target, "wb") as file:
    file.write(archive.read(member))
PYTHON
sha256sum --quiet --check <<<"$checksum  $download/library" || without 'The library has changed'
mkdir -p "$folder"
mv "$download/library" "$library"
