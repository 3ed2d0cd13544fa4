#!/bin/bash
# Run a command as an unprivileged user, in a clean environment, in the checkout:
#     scripts/user.sh COMMAND [ARGUMENT…]
# HOME and XDG_RUNTIME_DIR are fresh folders, removed afterwards. Root becomes the user labdock-test; anybody else
# stays who they are. Processes that outlive the command are named, ended, and make this fail.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
checkout=$PWD

# On disk, where an overlay's upper folder can lie; and short, for the sockets' names (108 bytes at most).
home=$(mktemp -d /var/tmp/labdock.XXXXXX)
runtime=$(mktemp -d /tmp/ld.XXXXXX)
chmod 0700 "$home" "$runtime"

become=()
if [ "$(id -u)" = 0 ]; then
    user=labdock-test
    group=$(id -g "$user")
    chown "$user:$group" "$home" "$runtime"
    become=(setpriv --reuid "$user" --regid "$group" --init-groups --inh-caps=-all --)
else
    user=$(id -un)
fi

leftovers() {
    local entry pid
    for entry in /proc/[0-9]*/environ; do
        pid=${entry#/proc/}
        pid=${pid%/environ}
        if { grep -qzFx "XDG_RUNTIME_DIR=$runtime" "$entry"; } 2>/dev/null; then echo "$pid"; fi
    done
}

finish() {
    local status=$? pid left
    trap - EXIT
    for _ in $(seq 50); do
        left=$(leftovers)
        [ -n "$left" ] || break
        sleep 0.1
    done
    for pid in $left; do
        printf 'left behind: %s %s\n' "$pid" "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null || true)" >&2
        kill -KILL "$pid" 2>/dev/null || true
        [ "$status" != 0 ] || status=1
    done
    # Files of containers belong to subordinate ids: only their map can remove them.
    rm -rf --one-file-system "$home" "$runtime" 2>/dev/null ||
        unshare --map-root-user --map-auto rm -rf --one-file-system "$home" "$runtime" ||
        printf 'could not remove %s\n' "$home" "$runtime" >&2
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

environment=(
    HOME="$home" USER="$user" LOGNAME="$user" SHELL=/bin/bash XDG_RUNTIME_DIR="$runtime"
    PATH="$checkout/.venv/bin:$PATH" LANG=C.UTF-8 TERM="${TERM:-dumb}"
    PYTHONDONTWRITEBYTECODE=1 HYPOTHESIS_STORAGE_DIRECTORY="$home/.hypothesis" JUPYTER_PLATFORM_DIRS=1
)
for name in CI NO_COLOR http_proxy https_proxy no_proxy HTTP_PROXY HTTPS_PROXY NO_PROXY SSL_CERT_FILE; do
    [ -z "${!name:-}" ] || environment+=("$name=${!name}")
done

# A checkout made under a narrow umask is opened for reading; one in a closed folder is shown in a namespace.
if [ "$(id -u)" = 0 ]; then
    sources=(labdock extension/src extension/schema extension/style tests scripts notebooks docs examples pyproject.toml README.md Makefile)
    if [ -n "$(find "${sources[@]}" ! -perm -o+r -print -quit 2>/dev/null)" ] || [[ ! $(stat -c %a .) =~ [57]$ ]]; then
        chmod go+rx .
        chmod -R go+rX "${sources[@]}" 2>/dev/null || true
        echo "the checkout was closed to other users: its sources may be read by all now"
    fi
fi
reveal=()
if [ "$(id -u)" = 0 ] && ! "${become[@]}" test -r "$checkout/pyproject.toml"; then
    reveal=(unshare --mount bash "$checkout/scripts/reveal.sh" "$checkout")
fi
"${reveal[@]}" "${become[@]}" env -i "${environment[@]}" "$@"
