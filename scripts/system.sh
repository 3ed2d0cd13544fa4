#!/bin/bash
# What labdock needs from the machine, put in place: packages, devices, subordinate ids.
#     scripts/system.sh base|test|bench|vm [USER]   (each set holds the ones before it; USER: whom to grant ids)
# As root, or as a user with sudo. Says nothing when there is nothing to do. Written for Debian and its kin; elsewhere
# it only checks that the programs are there.
set -euo pipefail
umask 022
wanted=${1:-base}
caller=${2:-$(id -un)}
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
test_user=labdock-test

say() { printf 'setup: %s\n' "$*"; }
stop() {
    printf 'setup: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '\nhint: %s\n' "$2" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }
have_browser() { have chromium || have chromium-browser || have google-chrome || have google-chrome-stable; }

# --- what is missing --------------------------------------------------------------------------------------------

packages=(crun conmon slirp4netns fuse-overlayfs uidmap nftables catatonit busybox-static mmdebstrap iproute2 python3-venv)
programs=(crun conmon slirp4netns fuse-overlayfs newuidmap nft catatonit busybox ip)

missing_packages() {
    local known package gaps=()
    known=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
    for package in "${packages[@]}"; do
        [[ $'\n'"$known"$'\n' == *$'\n'"$package installed"$'\n'* ]] || gaps+=("$package")
    done
    # The docker command line is what the tests talk to the engine with; any that is there will do.
    if [ "$wanted" != base ] && ! have docker; then gaps+=(docker-cli-of-this-release); fi
    # A registry to pull from and push to, and those who do the same with the engine's own.
    if [ "$wanted" != base ]; then
        have docker-registry || gaps+=(docker-registry)
        have skopeo || gaps+=(skopeo)
        have podman || gaps+=(podman)
        have curl || gaps+=(curl)
        have docker-compose || gaps+=(docker-compose)
        # ADD of a repository runs the machine's git.
        have git || gaps+=(git)
        # The pages' tests: a browser, and letters of Arial's widths, which JupyterLab asks for.
        have_browser || gaps+=(chromium)
        [ -d /usr/share/fonts/truetype/liberation ] || gaps+=(fonts-liberation)
        # quirk: the node that playwright brings is linked against it.
        [ -e "/usr/lib/$(uname -m)-linux-gnu/libatomic.so.1" ] || gaps+=(libatomic1)
    fi
    if [ "$wanted" = vm ]; then
        have qemu-system-x86_64 || gaps+=(qemu-system-x86)
        have mke2fs || gaps+=(e2fsprogs)
    fi
    if [ "$wanted" = bench ]; then
        # podman's networks with names.
        [ -x /usr/lib/podman/netavark ] || gaps+=(netavark)
        [ -x /usr/lib/podman/aardvark-dns ] || gaps+=(aardvark-dns)
        have dockerd || gaps+=(docker.io)
        have rootlesskit || gaps+=(rootlesskit)
    fi
    echo "${gaps[*]}"
}

missing_programs() {
    local program gaps=()
    [ "$wanted" = base ] || programs+=(docker docker-registry skopeo podman curl docker-compose git)
    [ "$wanted" != vm ] || programs+=(qemu-system-x86_64 mke2fs)
    [ "$wanted" != bench ] || programs+=(dockerd rootlesskit)
    for program in "${programs[@]}"; do
        have "$program" || gaps+=("$program")
    done
    [ "$wanted" = base ] || have_browser || gaps+=(chromium)
    echo "${gaps[*]}"
}

closed_devices() {
    local device
    for device in /dev/net/tun /dev/fuse; do
        [[ -c $device && $(stat -c %a "$device") =~ [67][67][67]$ ]] || echo "$device"
    done
}

users_without_ids() {
    local user
    for user in $(clients); do
        if ! { grep -q "^$user:" /etc/subuid && grep -q "^$user:" /etc/subgid; } 2>/dev/null; then echo "$user"; fi
    done
}

# The one who calls, and where that is root the user that tests and the demo run as.
clients() {
    echo "$caller"
    [ "$caller" != root ] || echo "$test_user"
}

test_user_missing() {
    [ "$caller" = root ] && ! id "$test_user" >/dev/null 2>&1
}

# --- putting it in place (root) ---------------------------------------------------------------------------------

install_packages() {
    local chosen=() package log
    for package in "$@"; do
        # Newer releases have the command line apart from the daemon.
        if [ "$package" = docker-cli-of-this-release ]; then
            package=docker.io
            [ -z "$(apt-cache madison docker-cli 2>/dev/null)" ] || package=docker-cli
        fi
        chosen+=("$package")
    done
    say "installing ${chosen[*]}"
    log=$(mktemp)
    hold_services
    # --no-remove: nobody's own Docker is taken away.
    if ! DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends --no-remove \
        -o Acquire::Retries=5 -o DPkg::Lock::Timeout=300 "${chosen[@]}" </dev/null >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        release_services
        rm -f "$log"
        stop "apt-get could not install ${chosen[*]}" "the lines above are apt's own; run 'apt-get update' and look again"
    fi
    release_services
    rm -f "$log"
    if [[ " ${chosen[*]} " == *" docker.io "* && -d /run/systemd/system ]]; then
        systemctl disable --quiet docker.service docker.socket containerd.service 2>/dev/null || true
        say "docker.io is installed for its programs; its services were left switched off"
    fi
}

# Installing must start no daemon: invoke-rc.d asks /usr/sbin/policy-rc.d, and 101 means "no".
hold_services() {
    [ ! -e /usr/sbin/policy-rc.d ] || return 0
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
    chmod 0755 /usr/sbin/policy-rc.d
    held=yes
    trap release_services EXIT
}
release_services() {
    [ "${held:-}" = yes ] || return 0
    rm -f /usr/sbin/policy-rc.d
    held=
}

open_device() {
    local device=$1
    if [ ! -e "$device" ]; then
        case $device in
            /dev/net/tun) mkdir -p /dev/net; mknod "$device" c 10 200 2>/dev/null || true ;;
            /dev/fuse) mknod "$device" c 10 229 2>/dev/null || true ;;
        esac
    fi
    if [ -c "$device" ] && chmod 0666 "$device" 2>/dev/null; then
        say "$device is open to all users now (0666)"
    else
        say "$device could not be made: \`labdock doctor\` says what that costs"
    fi
}

grant_ids() {
    local user=$1 first
    touch /etc/subuid /etc/subgid
    first=$(awk -F: 'BEGIN { end = 100000 } $2 + $3 > end { end = $2 + $3 } END { print end }' /etc/subuid /etc/subgid)
    grep -q "^$user:" /etc/subuid || usermod --add-subuids "$first-$((first + 65535))" "$user"
    grep -q "^$user:" /etc/subgid || usermod --add-subgids "$first-$((first + 65535))" "$user"
    say "$user was granted 65536 subordinate ids from $first"
}

# --- the run ----------------------------------------------------------------------------------------------------

case $wanted in base | test | bench | vm) ;; *) stop "unknown set: $wanted" "base, test, bench or vm" ;; esac

if have dpkg-query && have apt-get; then
    lacking=$(missing_packages)
else
    lacking=
    absent=$(missing_programs)
    [ -z "$absent" ] || stop "not on PATH: $absent" "this is no Debian: install them with this system's package manager"
fi
devices=$(closed_devices)
unmapped=$(users_without_ids)
if [ -z "$lacking$devices$unmapped" ] && ! test_user_missing; then exit 0; fi

if [ "$(id -u)" != 0 ]; then
    gap="this machine lacks:${lacking:+ packages $lacking;}${devices:+ access to $devices;}${unmapped:+ subordinate ids for $unmapped}"
    have sudo || stop "$gap" \
        "only root can add them: ask an administrator to run scripts/system.sh $wanted $caller"
    if sudo -n true 2>/dev/null || [ -t 0 ]; then
        exec sudo bash "$0" "$wanted" "$caller"
    fi
    stop "$gap" \
        "sudo asks for a password and there is no terminal: run scripts/system.sh $wanted $caller as root"
fi

if [ -n "$lacking" ]; then
    apt-get update -q -o Acquire::Retries=5 </dev/null >/dev/null 2>&1 || say "apt-get update failed: trying with the lists that are here"
    # shellcheck disable=SC2086  # one word each
    install_packages $lacking
fi
for device in $devices; do open_device "$device"; done
if test_user_missing; then
    useradd --create-home --shell /bin/bash "$test_user"
    say "made the user $test_user, which tests and the demo run as"
fi
for user in $(users_without_ids); do grant_ids "$user"; done
