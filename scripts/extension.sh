#!/bin/bash
# The JupyterLab extension: labdock/labextension made from extension/, and seen by .venv's JupyterLab.
#     scripts/extension.sh [--check]     (--check: its style and tests, too)
# Says nothing and does nothing when it fits its sources already. Needs .venv (scripts/venv.sh), which brings node.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
venv=$PWD/.venv
built=labdock/labextension
stamp=extension/lib/.fits
seen=$venv/share/jupyter/labextensions/labdock

say() { printf 'setup: %s\n' "$*"; }
stop() {
    printf 'setup: %s\n' "$1" >&2
    printf '\nhint: %s\n' "$2" >&2
    exit 1
}

# The bundler wants node ^20.19 || >=22.12; the one that pip brought fits, whatever the machine has.
PATH=$venv/bin:$PATH
node_fits() {
    "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number);
        process.exit(a > 22 || (a === 22 && b >= 12) || (a === 20 && b >= 19) ? 0 : 1)' 2>/dev/null
}
machines=$(PATH=/usr/local/bin:/usr/bin type -P node || true)
if [ -n "$machines" ] && node_fits "$machines"; then PATH=$(dirname "$machines"):$PATH; fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Runs a step whose words matter only when it fails; the network gets three chances.
step() {
    local tries=$1
    shift
    until (cd extension && "$@") >"$log" 2>&1; do
        tries=$((tries - 1))
        if [ "$tries" -le 0 ]; then
            tail -n 40 "$log" >&2
            stop "the JupyterLab extension could not be built: $*" "the lines above are the tool's own; it is safe to run this again"
        fi
        sleep 3
    done
}

sources() {
    find extension -path extension/node_modules -prune -o -path extension/lib -prune -o -path extension/.yarn -prune \
        -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    sha256sum scripts/extension.sh
}
wanted=$({ echo "$PWD"; sources; } | sha256sum | cut -d' ' -f1)
packages=$(sha256sum extension/yarn.lock extension/package.json | sha256sum | cut -d' ' -f1)
fits() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -f "$built/package.json" ]
}
# Kept beside the checkout's other made things: the packaging tests build from it, as another user, without a network.
export YARN_GLOBAL_FOLDER=$PWD/build/yarn
install_packages() {
    [ ! -d "$YARN_GLOBAL_FOLDER/cache" ] || [ "$(cat extension/node_modules/.fits 2>/dev/null || true)" != "$packages" ] || return 0
    say "installing what the JupyterLab extension is built with"
    step 3 "$venv/bin/jlpm" install --immutable
    echo "$packages" >extension/node_modules/.fits
}

if ! fits; then
    [ -w . ] || stop "$built does not fit extension/ and this user may not change it" "whoever owns the checkout runs: make extension"
    begun=$SECONDS
    install_packages
    say "building the JupyterLab extension"
    rm -rf extension/lib "$built"
    step 1 "$venv/bin/jlpm" build:prod
    echo "$wanted" >"$stamp"
    say "$built is ready after $((SECONDS - begun)) s"
fi
if [ "$(readlink -f "$seen")" != "$PWD/$built" ]; then
    (cd extension && cd .. && "$venv/bin/jupyter-builder" develop . --overwrite) >"$log" 2>&1 ||
        { cat "$log" >&2; stop "JupyterLab in .venv could not be shown $built" "the lines above are jupyter-builder's own"; }
fi
if [ "${1:-}" = --check ]; then
    install_packages
    (cd extension && "$venv/bin/jlpm" lint)
    (cd extension && "$venv/bin/jlpm" test)
fi
