#!/bin/bash
# Run notebooks on a fresh engine as an unprivileged user and store them with their outputs; pages in build/notebooks.
#     scripts/notebooks.sh [NAME…]
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
mkdir -p build/notebooks
work=$(mktemp -d /tmp/labdock-notebooks.XXXXXX)
trap 'rm -rf "$work"' EXIT
if [ "$(id -u)" = 0 ]; then chown labdock-test: "$work"; fi
names=("$@")
if [ $# = 0 ]; then
    for path in notebooks/*.ipynb; do names+=("$(basename "$path" .ipynb)"); done
fi
timeout --kill-after=30 900 scripts/user.sh .venv/bin/python scripts/notebooks.py "$work" "${names[@]}"
for name in "${names[@]}"; do
    cp "$work/$name.ipynb" notebooks/
    cp "$work/$name.html" build/notebooks/
done
echo "look at build/notebooks/*.html before you keep them"
