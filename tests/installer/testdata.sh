#!/usr/bin/env bash
# testdata.sh: makes testdata/installer anew: an imager image and a base installer of the least size that has
# the shape of the real ones, as OCI layouts. The kernel in it is a stand-in that boots nowhere
# (standin_kernel.S); stub and boot loader are systemd's, the modules are those of testdata/kernel.
#
# For amd64 only. Run by hand when the shape changes; the bytes depend on the versions of the programs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
project=$PWD
. "$here/lib.sh"
debian=${CARGO_TARGET_DIR:-$project/target}/judges/debian/amd64
debian=$(realpath "$debian")
release=6.12.117-talos
out=$project/testdata/installer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
zstd -dqc "$project/testdata/kernel/kernel-$release.tar.zst" | tar x

# What is in no licence's way and short: no busybox, no kmod.
root=rootfs
mkdir -p $root/{dev,proc,sys,run,tmp,var,usr/{bin,lib/{modules,firmware},local},etc}
ln -s usr/bin $root/bin
ln -s usr/bin $root/sbin
: >$root/etc/extensions.yaml
stand_in() { # FILE WHAT
    printf '#!/bin/sh\necho "a stand-in for %s, which does nothing" >&2\nexit 1\n' "$2" >"$1"
    chmod 755 "$1"
}
stand_in $root/usr/bin/init "Talos' machined"
printf '%s\n' kernel/drivers/net/dummy.ko kernel/drivers/char/hw_random/virtio-rng.ko \
    kernel/lib/zlib_deflate/zlib_deflate.ko kernel/net/ipv4/udp_tunnel.ko >list
stock_modules out/kernel/usr/lib/modules/$release list $root
rm $root/lib
ln -s usr/lib $root/lib
mkdir initramfs
stand_in initramfs/init "Talos' init"
squash $root initramfs/rootfs.sqsh

assets=imager-tree/usr/install/amd64
mkdir -p imager-tree/bin $assets base-tree/bin
"$here/standin_kernel.sh" $release out/build/config out/build/signing_key.x509 $assets/vmlinuz
chmod 644 $assets/vmlinuz
cpio_of initramfs | zstd -q -18 >$assets/initramfs.xz
boot_files "$debian" amd64 $assets
sbom $release $assets/talos.spdx.json
stand_in imager-tree/bin/imager "Talos' imager"
stand_in base-tree/bin/installer "Talos' installer"
image imager "$talos" amd64 /bin/imager imager-tree
image base "$talos" amd64 /bin/installer base-tree
for layout in imager base; do
    "$here/index.py" $layout "$talos" "$talos"
    finish_layout $layout
    rm -rf "$out/$layout"
    mkdir -p "$out"
    mv $layout "$out/$layout"
done
ls -l imager-tree/usr/install/amd64
chmod -R u=rwX,go=rX "$out"
du -sb "$out"/{imager,base}
