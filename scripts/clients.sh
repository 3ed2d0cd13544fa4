#!/bin/bash
# The clients in JavaScript that the contract tests speak with: tests/contract/node/node_modules, from its lock.
# Says nothing and does nothing when they fit the lock already. Needs .venv (scripts/venv.sh), which brings node.
set -euo pipefail
umask 022
cd "$(dirname "$0")/../tests/contract/node"
venv=$(cd ../../..; pwd)/.venv
PATH=$venv/bin:$PATH
stamp=node_modules/.fits
wanted=$(cat package.json yarn.lock .yarnrc.yml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$wanted" ]; then exit 0; fi
if [ ! -w . ]; then
    echo "setup: tests/contract/node/node_modules does not fit its lock and this user may not change it" >&2
    printf '\nhint: whoever owns the checkout runs: make setup\n' >&2
    exit 1
fi
echo "setup: installing the clients in JavaScript"
# Beside what the extension is built with (scripts/extension.sh).
export YARN_GLOBAL_FOLDER=$venv/../build/yarn
log=$(mktemp)
trap 'rm -f "$log"' EXIT
tries=3
until "$venv/bin/jlpm" install --immutable >"$log" 2>&1; do
    tries=$((tries - 1))
    if [ "$tries" -le 0 ]; then
        tail -n 40 "$log" >&2
        echo "setup: the clients in JavaScript could not be installed" >&2
        printf '\nhint: the lines above are the tool'"'"'s own; it is safe to run this again\n' >&2
        exit 1
    fi
    sleep 3
done
echo "$wanted" >"$stamp"
