#!/bin/bash
# In the virtual machine, as root, once it is up: what scripts/vm.sh wants done, its words to the second serial line.
exec >/dev/ttyS1 2>&1 </dev/null
export PATH=/vm/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
stty -F /dev/ttyS1 -opost 2>/dev/null
mkdir -p /vm
mount -o ro /dev/vdb /vm
checkout=$(cat /vm/path)
mkdir -p "$checkout"
mount --bind /vm/checkout "$checkout"
chmod 0666 /dev/fuse /dev/net/tun 2>/dev/null || { modprobe -a fuse tun; chmod 0666 /dev/fuse /dev/net/tun; }
cd "$checkout" || exit 1
echo "vm: up after $(cut -d' ' -f1 /proc/uptime) s"
bash /vm/command
echo "vm: status $?"
sync
systemctl poweroff
