#!/usr/bin/env bash
# Keeps a Python environment equal to a list of packages:
#   scripts/python-tools.sh FOLDER REQUIREMENTS
# Does nothing where it already is.
set -euo pipefail

folder=$1
requirements=$2
stamp=$folder/installed.txt

if cmp -s "$requirements" "$stamp" && "$folder/bin/python" -c '' 2>/dev/null; then
    exit 0
fi
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
    "$(dirname "$0")/install-packages.sh" python3 python3-venv
fi
echo "Installing $requirements into $folder"
rm -rf "$folder"
python3 -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check -r "$requirements"
cp "$requirements" "$stamp"
