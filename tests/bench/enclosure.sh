#!/bin/sh
# Run a command as an unprivileged user where a rootless container engine finds what it asks for:
#     enclosure.sh USER COMMAND [ARGUMENT…]                     (as root)
# A mount namespace with a shared root and cgroup2 alone on /sys/fs/cgroup, a pid namespace that ends whatever
# the command leaves, an empty /var/tmp with an empty home in it (both on disk) and an empty runtime folder, all
# removed afterwards: engines leave files in /var/tmp, and some machines let only root write there.
set -eu
user=$1
shift
umask 022
disk=$(mktemp -d /var/tmp/labdock-bench.XXXXXX)
runtime=$(mktemp -d /run/labdock-bench.XXXXXX)
mkdir "$disk/home"
chmod 0700 "$disk/home" "$runtime"
chmod 1777 "$disk"
chown "$user:" "$disk/home" "$runtime"
trap 'rm -rf --one-file-system "$disk" "$runtime"' EXIT
# shellcheck disable=SC2016  # the inner shell expands these
unshare --mount --pid --fork --kill-child --mount-proc sh -euc '
    user=$1 disk=$2 runtime=$3
    shift 3
    mount --make-rshared /
    mount --bind "$disk" /var/tmp
    if [ ! -e /sys/fs/cgroup/cgroup.controllers ]; then
        umount -R /sys/fs/cgroup
        mount -t cgroup2 cgroup2 /sys/fs/cgroup
    fi
    exec catatonit -- setpriv --reuid "$user" --regid "$(id -g "$user")" --init-groups --inh-caps=-all \
        env -i HOME=/var/tmp/home XDG_RUNTIME_DIR="$runtime" USER="$user" LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
' enclosure "$user" "$disk" "$runtime" "$@"
