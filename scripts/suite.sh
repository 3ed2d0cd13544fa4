#!/bin/sh
# pytest over the tests with the marks $1, in a fresh HOME (see user.sh). Further arguments go to pytest.
#
# Tests here wait for real processes on machines that may be busy with something else. So when a few have failed, those
# few are run once more, by themselves, and both runs are there to be read; what fails twice has failed. Where more
# than a few did, nothing is tried again.
set -u
few=5
marks=$1
shift
run() { .venv/bin/python -m pytest -q -o addopts="-ra --strict-markers --strict-config --import-mode=importlib" \
    -o cache_dir="$HOME/cache" -m "$marks" "$@"; }
run --basetemp="$HOME/t" "$@" && exit 0
status=$?
[ "$status" = 1 ] || exit "$status"
failed=$(.venv/bin/python -c 'import json, sys; print(len(json.load(open(sys.argv[1]))))' "$HOME/cache/v/cache/lastfailed") || exit 1
[ "$failed" -le "$few" ] || exit 1
echo "once more, by themselves, the $failed that failed above:"
run --basetemp="$HOME/again" --last-failed --last-failed-no-failures none "$@"
