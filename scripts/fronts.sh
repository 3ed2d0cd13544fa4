#!/bin/bash
# Other front ends than .venv's JupyterLab, each in an environment of its own that borrows .venv's packages:
#     build/fronts/lab-4.2      the oldest JupyterLab that the extension is for
#     build/fronts/notebook     Notebook 7
# Says nothing and does nothing when they are there already. Needs .venv (scripts/venv.sh).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
oldest=$(sed -n 's/^ *"jupyterlab>=\([0-9.]*\),.*/\1/p' pyproject.toml)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
front() {
    local folder=$PWD/build/fronts/$1 site
    shift
    local wanted=$*
    [ "$(cat "$folder/.fits" 2>/dev/null || true)" != "$wanted $PWD" ] || return 0
    [ -w . ] || return 0
    echo "setup: making $folder with $wanted"
    rm -rf "$folder"
    "$(readlink -f .venv/bin/python)" -m venv --without-pip "$folder"
    if ! .venv/bin/python -m pip --python "$folder/bin/python" install --quiet --disable-pip-version-check --no-input \
        --retries 5 --no-deps "$@" >"$log" 2>&1; then
        cat "$log" >&2
        printf 'setup: pip could not install %s\n\nhint: %s\n' "$wanted" "pip's own words are above; it is safe to run this again" >&2
        exit 1
    fi
    site=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    # After the install: pip is not to see what is borrowed. Its own packages come first.
    printf '%s\n' "$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" "$PWD" >"$site/borrowed.pth"
    "$folder/bin/python" -m compileall -q "$site" || true
    echo "$wanted $PWD" >"$folder/.fits"
}
front "lab-$oldest" "jupyterlab==$oldest.*"
# It is made of JupyterLab's parts, and finds their settings beside its own.
newest=$(.venv/bin/python -c 'from importlib.metadata import version; print(version("jupyterlab"))')
front notebook "notebook>=7.2,<8" "jupyterlab==$newest"
