#!/bin/bash
# The tests in a real browser, as an unprivileged user, bounded; arguments go to pytest. Pictures of pages whose test
# failed, and those that tests make, are in build/pictures. LAB=4.2: with that JupyterLab, in an environment of its own.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
work=$(mktemp -d /tmp/labdock-pictures.XXXXXX)
keep() {
    if [ -w . ] && [ -n "$(ls -A "$work")" ]; then
        mkdir -p build/pictures && cp "$work"/* build/pictures/ && echo "pictures: $(cd "$work" && echo *) in build/pictures"
    fi
    rm -rf "$work"
}
trap keep EXIT
if [ "$(id -u)" = 0 ]; then chown labdock-test: "$work"; fi

environment=(LABDOCK_PICTURES="$work" LABDOCK_PICTURE_SCALE="${SCALE:-1}")
if [ -n "${LAB:-}" ]; then
    venv=$PWD/build/lab-$LAB
    if [ ! -f "$venv/.fits" ] || [ pyproject.toml -nt "$venv/.fits" ]; then
        echo "making an environment with JupyterLab $LAB"
        rm -rf "$venv"
        "$(readlink -f .venv/bin/python)" -m venv "$venv"
        SKIP_JUPYTER_BUILDER=1 "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
            --editable '.[notebook]' "jupyterlab==$LAB.*"
        rm -rf "$venv/share/jupyter/labextensions/labdock"
        ln -s "$PWD/labdock/labextension" "$venv/share/jupyter/labextensions/labdock"
        touch "$venv/.fits"
    fi
    "$venv/bin/python" -m jupyterlab --version
    environment+=(LABDOCK_TEST_PYTHON="$venv/bin/python")
fi

where=(tests/browser)
if [[ " $*" == *" tests/"* ]]; then where=(); fi
timeout --kill-after=30 1200 scripts/user.sh env "${environment[@]}" scripts/suite.sh browser "${where[@]}" "$@"
