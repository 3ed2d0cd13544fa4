#!/bin/bash
# The pictures in the documentation, by a headless browser: docs/quickstart.png from the demo's page, the others from a
# JupyterLab (scripts/pictures.py).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
page=$PWD/build/quickstart.html
stop() {
    printf '%s\n\nhint: %s\n' "$1" "$2" >&2
    exit 1
}
[ -f "$page" ] || stop "$page is not there" "make demo writes it"
browser=$(type -P chromium || type -P chromium-browser || type -P google-chrome || true)
[ -n "$browser" ] || stop "no chromium was found" "apt-get install --no-install-recommends chromium"
mkdir -p docs
profile=$(mktemp -d /tmp/labdock-picture.XXXXXX)
trap 'rm -rf "$profile"' EXIT
flags=(
    --headless=new --no-sandbox --disable-gpu --disable-quic --disable-sync --disable-background-networking
    --disable-component-update --no-first-run --hide-scrollbars --force-device-scale-factor=1 --virtual-time-budget=15000
    --user-data-dir="$profile"
)
browse() {
    timeout --kill-after=10 120 "$browser" "${flags[@]}" "$@" 2>"$profile/log" || { tail -n 5 "$profile/log" >&2; exit 1; }
}
# As high as the page is (a copy of it tells), and no higher than a reader of the README likes.
width=${WIDTH:-1000}
{ cat "$page"; echo '<script>document.title = "high:" + Math.ceil(document.body.scrollHeight)</script>'; } >"$profile/page.html"
height=$(browse --window-size="$width,200" --dump-dom "file://$profile/page.html" | sed -n 's/.*<title>high:\([0-9]*\).*/\1/p' | head -n 1)
height=$((${height:-1800} + 20))
limit=${HEIGHT:-1340}
browse --window-size="$width,$((height < limit ? height : limit))" --screenshot="$PWD/docs/quickstart.png" "file://$page"
echo "docs/quickstart.png"
.venv/bin/python scripts/pictures.py docs
