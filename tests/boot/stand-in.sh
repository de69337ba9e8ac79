#!/bin/busybox sh
# A stand-in for /sbin/init: says what it sees, loads the modules that the kernel argument boot.modules=a,b
# names, says what came of it, powers off. Everything goes to the kernel's log, so nothing interleaves.
export PATH=/sbin:/bin:/usr/bin:/usr/sbin
say() { echo "[stand-in] $*" >/dev/kmsg; }
release=$(busybox uname -r)
say "started, release $release"
modules=
for word in $(busybox cat /proc/cmdline); do
    case $word in boot.modules=*) modules=$(echo "${word#boot.modules=}" | busybox tr , ' ') ;; esac
done
if [ -s /etc/extensions.yaml ]; then
    busybox sed -n 's/^ *-\{0,1\} *\(image\|name\): */\1 /p' /etc/extensions.yaml |
        while read -r line; do say "extensions.yaml: $line"; done
else
    say "extensions.yaml: none"
fi
# Each extension of the order test brings both: the file on top wins, and all are there.
[ ! -e /usr/local/share/boot-order/top ] || say "top: $(busybox cat /usr/local/share/boot-order/top)"
[ ! -d /usr/local/share/boot-order ] || say "all: $(busybox ls /usr/local/share/boot-order | busybox tr '\n' ' ')"
for file in /usr/lib/firmware/boot-test*; do
    if [ -L "$file" ]; then say "firmware link: $file -> $(busybox readlink "$file")"; fi
    if [ -f "$file" ]; then say "firmware: $(busybox sha256sum "$file")"; fi
done
[ ! -d /.extra ] || say "extra: $(busybox ls /.extra | busybox tr '\n' ' ')"
say "module folder: $(busybox ls "/usr/lib/modules/$release" | busybox tr '\n' ' ')"
for module in $modules; do
    out=$(/usr/bin/modprobe -v "$module" 2>&1)
    say "modprobe $module: exit code $?"
    [ -z "$out" ] || echo "$out" | while read -r line; do say "  $line"; done
done
while read -r name _; do say "loaded: $name"; done </proc/modules
say "tainted: $(busybox cat /proc/sys/kernel/tainted)"
say "done"
busybox sleep 1
busybox poweroff -f
