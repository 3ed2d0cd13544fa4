#!/bin/bash
# What Binder does with this checkout, on this machine: its commit is cloned into the home of a user who has one id, no
# subordinate ids and no way to more rights (as in Binder's pods); binder/requirements.txt is installed there, and
# JupyterLab started. Says what works. Some minutes, with a network. As root, else as you, with your ids.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
here=$PWD
python=$(readlink -f .venv/bin/python)
work=$(mktemp -d /var/tmp/labdock-binder.XXXXXX)
chmod 0755 "$work"
lab=
finish() {
    if [ -n "$lab" ]; then kill "$lab" 2>/dev/null || true; wait "$lab" 2>/dev/null || true; fi
    rm -rf --one-file-system "$work"
}
trap finish EXIT
become=(setpriv --no-new-privs)
# Not the checkout's owner, and nobody's id in /etc/passwd.
if [ "$(id -u)" = 0 ]; then become=(setpriv --reuid 61000 --regid 61000 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs); fi
home=$work/home
git -c safe.directory="$here" -c safe.directory="$here/.git" clone --quiet --no-hardlinks "file://$here" "$home"
if [ "$(id -u)" = 0 ]; then chown -R 61000:61000 "$home"; fi
token=$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')
jovyan() {
    (cd "$home" && exec "${become[@]}" env HOME="$home" USER=jovyan LOGNAME=jovyan PATH="$home/.venv/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
        XDG_RUNTIME_DIR= JUPYTER_PLATFORM_DIRS=1 JUPYTER_TOKEN="$token" GIT_CONFIG_GLOBAL=/dev/null "$@")
}
say() { printf '\n== %s\n' "$*"; }

say "repo2docker sees"
(cd "$home" && "$here/.venv/bin/python" -W ignore - <<'PLAN'
from repo2docker.buildpacks import CondaBuildPack, PythonBuildPack
pack = PythonBuildPack("buildpack-deps")
assert not CondaBuildPack("buildpack-deps").detect() and pack.detect() and pack.binder_dir == "binder"
print("a Python", pack.python_version, "repository; after copying it:", *(script for _, script in pack.get_assemble_scripts()))
PLAN
)
say "pip install -r binder/requirements.txt"
begun=$SECONDS
jovyan "$python" -m venv "$home/.venv"
jovyan pip install --quiet --disable-pip-version-check --no-input --no-cache-dir -r binder/requirements.txt
echo "done after $((SECONDS - begun)) s; git status: $(jovyan git status --porcelain --untracked-files=normal | grep -v -x -F '?? .venv/' || echo clean)"
jovyan jupyter labextension list 2>&1 | grep -i 'labdock v'
jovyan jupyter server extension list 2>&1 | grep -i 'labdock'
say "import labdock; labdock --version"
jovyan python -c 'import labdock'
jovyan labdock --version
say "labdock doctor (exit code 1: the engine can't run)"
jovyan labdock doctor || echo "exit code $?"
say "JupyterLab on notebooks/"
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
jovyan jupyter lab --no-browser --ip=127.0.0.1 --port="$port" --ServerApp.port_retries=0 >"$work/lab.log" 2>&1 &
lab=$!
ask() { curl --silent --show-error --fail-with-body --max-time 60 -H "Authorization: token $token" "http://127.0.0.1:$port/$1"; }
for _ in $(seq 120); do ask api/status >/dev/null 2>&1 && break || sleep 0.5; done
ask lab/tree/notebooks | grep -o '<title>[^<]*</title>'
echo "notebooks: $(ask api/contents/notebooks | "$python" -c 'import json, sys; print(*sorted(c["name"] for c in json.load(sys.stdin)["content"]))')"
echo "the side bar is told: $(ask labdock/api/engine)"
