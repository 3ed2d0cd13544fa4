#!/bin/bash
# The tests in a real browser, as an unprivileged user, bounded; arguments go to pytest. Pictures of pages whose test
# failed, and those that tests make, are in build/pictures.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
work=$(mktemp -d /tmp/labdock-pictures.XXXXXX)
keep() {
    [ -w . ] || { rm -rf "$work"; return; }
    if [ -n "$(ls -A "$work")" ]; then
        mkdir -p build/pictures && cp "$work"/* build/pictures/ && echo "pictures: $(cd "$work" && echo *) in build/pictures"
    fi
    rm -rf "$work"
}
trap keep EXIT
if [ "$(id -u)" = 0 ]; then chown labdock-test: "$work"; fi
where=(tests/browser)
if [[ " $*" == *" tests/"* ]]; then where=(); fi
timeout --kill-after=30 600 scripts/user.sh env LABDOCK_PICTURES="$work" scripts/suite.sh browser "${where[@]}" "$@"
