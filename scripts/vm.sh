#!/bin/bash
# The tests that need another kernel than this machine's, in a virtual machine of their own:
#     scripts/vm.sh [PYTEST ARGUMENT…]         (without: -m vm tests/system)
#     scripts/vm.sh --shell COMMAND            (a shell command in it, as root, instead)
# Debian with systemd and cgroup v2, two processors, 4 GiB, no network. Its disk image is made once (build/vm, by mmdebstrap);
# the checkout with its .venv is a second disk. What it prints comes over a serial line. The processors
# are emulated (LABDOCK_VM_ACCEL=kvm: by the kernel), so all takes ten times as long. It ends itself, at the latest after
# LABDOCK_VM_SECONDS (2400).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
checkout=$PWD
folder=$checkout/build/vm
seconds=${LABDOCK_VM_SECONDS:-2400}

say() { printf 'vm: %s\n' "$*" >&2; }
for program in qemu-system-x86_64 mmdebstrap mke2fs; do
    command -v "$program" >/dev/null || { say "$program was not found"; printf '\nhint: make setup-vm\n' >&2; exit 1; }
done
mkdir -p "$folder"

# As root of a user namespace where we are not root, so that the files in the images belong to root.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else unshare --map-root-user --map-auto "$@"; fi; }

packages=(
    systemd systemd-sysv dbus dbus-user-session libpam-systemd udev kmod linux-image-cloud-amd64 initramfs-tools zstd
    python3 crun conmon slirp4netns fuse-overlayfs uidmap nftables catatonit busybox-static iproute2 iputils-ping procps
)

make_root() {
    say "making the disk (a few minutes)"
    rm -f "$folder/root.tar"
    mmdebstrap --quiet --variant=minbase --include="$(IFS=,; echo "${packages[*]}")" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$folder/root.tar"
}

lay_out_root() {
    local root
    root=$(mktemp -d "$folder/root.XXXXXX")
    tar -xf "$folder/root.tar" -C "$root" --exclude='./dev/*'
    cp "$root"/boot/vmlinuz-* "$folder/kernel"
    cp "$root"/boot/initrd.img-* "$folder/initrd"
    install -m 0755 scripts/vm_boot.sh "$root/usr/local/sbin/labdock-vm"
    cat >"$root/etc/systemd/system/labdock-vm.service" <<'UNIT'
[Unit]
Description=What this machine was started for
After=multi-user.target systemd-user-sessions.service

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/labdock-vm
StandardInput=null
StandardOutput=journal
TimeoutStartSec=infinity

[Install]
WantedBy=graphical.target
UNIT
    mkdir -p "$root/etc/systemd/system/graphical.target.wants" "$root/var/lib/systemd/linger"
    ln -s ../labdock-vm.service "$root/etc/systemd/system/graphical.target.wants/labdock-vm.service"
    ln -s /dev/null "$root/etc/systemd/system/serial-getty@ttyS0.service"
    for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    # What the doctor advises: a user's systemd has all controllers (cpu, memory and pids without).
    mkdir -p "$root/etc/systemd/system/user@.service.d"
    printf '[Service]\nDelegate=cpu cpuset io memory pids\n' >"$root/etc/systemd/system/user@.service.d/delegate.conf"
    touch "$root/var/lib/systemd/linger/labdock-test"
    echo 'labdock-test:x:1000:1000::/home/labdock-test:/bin/bash' >>"$root/etc/passwd"
    echo 'labdock-test:x:1000:' >>"$root/etc/group"
    echo 'labdock-test:100000:65536' | tee -a "$root/etc/subuid" >>"$root/etc/subgid"
    echo 'labdock-test:*:19000:0:99999:7:::' >>"$root/etc/shadow"
    echo labdock-vm >"$root/etc/hostname"
    mkdir -p "$root/home/labdock-test"
    chown 1000:1000 "$root/home/labdock-test"
    rm -f "$folder/root.ext4"
    mke2fs -q -t ext4 -L root -d "$root" "$folder/root.ext4" 3G
    rm -rf --one-file-system "$root"
}

lay_out_work() {
    local work
    work=$(mktemp -d "$folder/work.XXXXXX")
    mkdir -p "$work/checkout" "$work/bin"
    tar -c --exclude=./build --exclude=./.git --exclude='__pycache__' --exclude='node_modules' . | tar -x --no-same-owner -C "$work/checkout"
    install -m 0755 "$(command -v docker)" "$work/bin/docker"
    echo "$checkout" >"$work/path"
    cp "$folder/command" "$work/command"
    rm -f "$folder/work.ext4"
    mke2fs -q -t ext4 -L work -O ^has_journal -d "$work" "$folder/work.ext4" 2G
    rm -rf --one-file-system "$work"
}

if [ "${1:-}" = inside ]; then
    "lay_out_$2"
    exit
fi

user='setpriv --reuid labdock-test --regid labdock-test --init-groups env HOME=/home/labdock-test USER=labdock-test XDG_RUNTIME_DIR=/run/user/1000'
if [ "${1:-}" = --shell ]; then
    printf '%s\n' "$2" >"$folder/command"
else
    [ $# -gt 0 ] || set -- -m vm tests/system
    printf '%s .venv/bin/python -m pytest -q --color=no -p no:cacheprovider --basetemp=/var/tmp/pytest %s\n' "$user" "$(printf '%q ' "$@")" >"$folder/command"
fi
[ -s "$folder/root.tar" ] || make_root
if [ ! -s "$folder/root.ext4" ] || [ scripts/vm.sh -nt "$folder/root.ext4" ] || [ scripts/vm_boot.sh -nt "$folder/root.ext4" ]; then
    as_root bash "$0" inside root
fi
as_root bash "$0" inside work

machine=(-accel tcg,thread=multi -cpu max)
[ "${LABDOCK_VM_ACCEL:-}" != kvm ] || machine=(-accel kvm -cpu host)
rm -f "$folder/console" "$folder/output"
say "booting; the kernel's words are in build/vm/console"
timeout --kill-after=10 "$seconds" qemu-system-x86_64 "${machine[@]}" -smp 2 -m 4096 -nodefaults -display none -no-reboot \
    -kernel "$folder/kernel" -initrd "$folder/initrd" \
    -append 'root=/dev/vda rw console=ttyS0 systemd.show_status=false quiet systemd.unified_cgroup_hierarchy=1' \
    -drive "file=$folder/root.ext4,format=raw,if=none,id=root,snapshot=on" -device virtio-blk-pci,drive=root \
    -drive "file=$folder/work.ext4,format=raw,if=none,id=work,snapshot=on" -device virtio-blk-pci,drive=work \
    -device virtio-rng-pci -serial "file:$folder/console" -serial "file:$folder/output" </dev/null &
machine_pid=$!
trap 'kill "$machine_pid" 2>/dev/null || true' EXIT
touch "$folder/output"
tail -n +1 -f --pid="$machine_pid" "$folder/output"
wait "$machine_pid" || say "the machine was ended ($?)"
trap - EXIT
# The last line is the status.
status=$(tr -d '\r' <"$folder/output" | sed -n 's/^vm: status \([0-9]*\)$/\1/p' | tail -1)
if [ -z "$status" ]; then
    say "it ended without a status; the end of its console:"
    tail -20 "$folder/console" >&2
fi
exit "${status:-1}"
