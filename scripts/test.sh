#!/bin/bash
# Every test: the smoke run as root, the whole suite as an unprivileged user, and the pages in a browser. Arguments go to
# pytest (and then only the suite is run).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
status=0

# Bounded: asked to end after 29 minutes, killed half a minute later.
bounded=(timeout --kill-after=30 1740)

smoke() {
    local place
    # Short, for the sockets' names; and open, for the ids that stand in for root.
    place=$(mktemp -d /var/tmp/ld.XXXXXX)
    chmod 0755 "$place"
    env -i HOME="$place" PATH="$PATH" LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY="$place/h" ${CI:+CI="$CI"} \
        timeout --kill-after=30 300 scripts/suite.sh root tests/system || status=1
    rm -rf --one-file-system "$place"
}

if [ $# = 0 ]; then
    echo "the smoke run as root:"
    if [ "$(id -u)" = 0 ]; then
        smoke
    elif sudo -n true 2>/dev/null; then
        sudo -n bash "$0" --smoke || status=1
    else
        echo "left out: sudo asks for a password here (as root: scripts/test.sh --smoke)"
    fi
    echo "the suite as an unprivileged user:"
elif [ "$1" = --smoke ]; then
    smoke
    exit $status
fi
"${bounded[@]}" scripts/user.sh scripts/suite.sh "not root and not browser and not vm" "$@" || status=$?
if [ $# = 0 ]; then
    echo "the pages in a browser:"
    scripts/browser.sh || status=$?
fi
exit $status
