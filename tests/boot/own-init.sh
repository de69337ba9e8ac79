#!/bin/busybox sh
# A stand-in for the initramfs' init: mounts rootfs.sqsh and the layers of /extensions.yaml with overlayfs
# as Talos' does, the last listed layer on top, then changes the root.
b=/bin/busybox
say() { echo "[own-init] $*" >/dev/kmsg; }
fail() {
    say "FAILED: $*"
    $b sleep 1
    $b poweroff -f
}

$b mkdir -p /dev /proc /sys /root /layers
$b mount -t devtmpfs -o nosuid,mode=0755 dev /dev
$b mount -t proc -o nosuid,nodev,noexec proc /proc
$b mount -t sysfs -o nosuid,nodev,noexec sys /sys

# A distribution's kernel has as modules what Talos' has built in; they lie in the initramfs then.
for module in /modules/*.ko; do
    [ ! -e "$module" ] || $b insmod "$module" || fail "insmod $module"
done

# mount_layer NUMBER FILE FOLDER
mount_layer() {
    $b mkdir -p "$3"
    [ -e "/dev/loop$1" ] || $b mknod "/dev/loop$1" b 7 "$1"
    $b losetup -r "/dev/loop$1" "$2" || fail "losetup $2"
    $b mount -t squashfs -o ro,nosuid,nodev "/dev/loop$1" "$3" || fail "mount $2"
}

n=0 lower=
if [ -e /extensions.yaml ]; then
    for image in $($b sed -n 's/^ *-\{0,1\} *image: *//p' /extensions.yaml | $b tr -d "\"'"); do
        say "enabling layer $n $image"
        mount_layer $((n + 1)) "/$image" "/layers/$n"
        lower=/layers/$n${lower:+:$lower} # later ones stand first: on top
        n=$((n + 1))
    done
fi
if [ -z "$lower" ]; then
    mount_layer 0 /rootfs.sqsh /root
else
    mount_layer 0 /rootfs.sqsh /layers/root
    say "lowerdir=$lower:/layers/root"
    $b mount -t overlay -o "ro,nosuid,nodev,lowerdir=$lower:/layers/root" overlay /root || fail overlay
    $b mount -o bind /extensions.yaml /root/etc/extensions.yaml || fail "bind extensions.yaml"
fi
if [ -d /usr/lib/firmware ]; then
    $b mount -o bind /usr/lib/firmware /root/usr/lib/firmware || fail "bind firmware"
fi
for folder in dev proc sys; do $b mount -o move /$folder /root/$folder; done
cd /root || fail "cd /root"
$b mount -o move . /
exec $b chroot . /sbin/init
