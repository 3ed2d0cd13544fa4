#!/bin/bash
# The project's own Python environment in .venv, from a Python that every user of the machine can run.
# Says nothing and does nothing when it fits pyproject.toml already.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/usr/bin:/sbin:/bin
venv=$PWD/.venv
stamp=$venv/.fits

say() { printf 'setup: %s\n' "$*"; }
stop() {
    printf 'setup: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '\nhint: %s\n' "$2" >&2
    exit 1
}

# A Python of 3.11 or newer that can make environments; when root looks, one that nobody else is shut out of.
choose_python() {
    local candidate
    for candidate in /usr/bin/python3 /usr/bin/python3.1[1-9] "$(type -P python3 || true)"; do
        if [ -x "$candidate" ] && as_others "$candidate" -c \
            'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    stop "no Python of at least 3.11 with venv was found that every user can run" "on Debian 12 or newer: apt-get install python3-venv"
}
as_others() {
    if [ "$(id -u)" = 0 ]; then
        (cd / && exec setpriv --reuid 65534 --regid 65534 --clear-groups -- "$@")
    else
        "$@"
    fi
}

fits() {
    [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$venv/bin/labdock" ] && "$venv/bin/python" -c '' 2>/dev/null
}

# The place counts too: the scripts in an environment know where it lies.
wanted=$({ echo "$PWD"; cat pyproject.toml scripts/venv.sh; } | sha256sum | cut -d' ' -f1)
if ! fits; then
    [ -w . ] || stop "$venv does not fit pyproject.toml and this user may not change it" "whoever owns the checkout runs: make setup"
    begun=$SECONDS
    if ! "$venv/bin/python" -c 'import sys; sys.exit(sys.prefix != sys.argv[1])' "$venv" 2>/dev/null ||
        ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        python=$(choose_python)
        say "making .venv from $python"
        rm -rf "$venv"
        "$python" -m venv "$venv"
    fi
    say "installing labdock and what it needs into .venv"
    rm -f "$stamp"
    # The JavaScript is scripts/extension.sh's: who needs no JupyterLab extension does not wait for it.
    SKIP_JUPYTER_BUILDER=1 "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --retries 5 \
        --editable '.[notebook,dev]' || stop "pip could not install what pyproject.toml names" "pip's own words are above; it is safe to run this again"
    echo "$wanted" >"$stamp"
    say ".venv is ready after $((SECONDS - begun)) s"
fi
# Whoever may not write here would have to compile every module at every start.
if [ -w labdock ]; then "$venv/bin/python" -m compileall -q labdock || true; fi
