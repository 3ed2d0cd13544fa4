#!/bin/bash
# The pictures in the README, by a headless browser: docs/quickstart.png from the demo's page, docs/sidebar.png from a JupyterLab.
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
project=(--label com.docker.compose.project=shop --label com.docker.compose.service)
.venv/bin/python scripts/look.py docs/sidebar.png --command labdock:open-panel --size 1280x720 \
    --docker "run -d --name web -p 8080:80 busybox httpd -f -p 80" \
    --docker "run -d --name db ${project[*]}=db busybox sleep 1000" \
    --docker "run -d --name worker ${project[*]}=worker busybox sleep 1000" \
    --docker "run --name once busybox true" --docker "volume create data" --docker "network create shop_default"
