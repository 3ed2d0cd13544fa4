#!/bin/bash
# Execute the quickstart notebook on a fresh engine as an unprivileged user; leave it as build/quickstart.html.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
mkdir -p build
page=build/quickstart.html
work=$(mktemp -d /tmp/labdock-demo.XXXXXX)
trap 'rm -rf "$work"' EXIT
if [ "$(id -u)" = 0 ]; then chown labdock-test: "$work"; fi
timeout --kill-after=30 600 scripts/user.sh .venv/bin/python scripts/demo.py notebooks/quickstart.ipynb "$work/quickstart.html"
cp "$work/quickstart.html" "$page"
echo "the executed notebook: $page"
