#!/bin/bash
# labdock beside rootless podman and rootless docker; the table on the terminal, all figures in build/bench.json.
# Arguments go to tests.bench (see `python -m tests.bench --help`).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
mkdir -p build
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
figures=$PWD/build/bench.json
user=$(id -un)
as_root=()
if [ "$user" = root ]; then
    user=labdock-test
elif sudo -n true 2>/dev/null || { [ -t 0 ] && type -P sudo >/dev/null; }; then
    as_root=(sudo)
else
    echo "no root for the enclosure that the peers may need: measuring without it" >&2
    exec scripts/user.sh .venv/bin/python -m tests.bench --json "$figures" "$@"
fi
# The runner, which is not root, writes it.
rm -f "$figures"
"${as_root[@]}" install -m 0644 -o "$user" /dev/null "$figures"
reveal=()
if ! "${as_root[@]}" setpriv --reuid "$user" --clear-groups --regid "$(id -g "$user")" test -r "$PWD/pyproject.toml"; then
    reveal=(unshare --mount bash "$PWD/scripts/reveal.sh" "$PWD")
fi
"${as_root[@]}" "${reveal[@]}" sh tests/bench/enclosure.sh "$user" .venv/bin/python -m tests.bench --json "$figures" "$@"
echo "all figures: build/bench.json"
