#!/usr/bin/env bash
# testdata.sh: makes testdata/installer anew: an imager image and a base installer of the least size that has
# the shape of the real ones, as OCI layouts. The kernel in it is a stand-in that boots nowhere
# (standin_kernel.S); stub and boot loader are systemd's, the modules are those of testdata/kernel.
#
# Run by hand when the shape changes, after tests/run.sh has brought systemd's files; the bytes depend on the
# versions of the programs.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
project=$PWD
. "$here/lib.sh"
judges=$(realpath "${CARGO_TARGET_DIR:-$project/target}/judges")
release=6.12.117-talos
out=$project/testdata/installer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for archive in kernel-$release modules-arm64-$release; do
    zstd -dqc "$project/testdata/kernel/$archive.tar.zst" | tar x
done

# What is in no licence's way and short: no busybox, no kmod.
stand_in() { # FILE WHAT
    printf '#!/bin/sh\necho "a stand-in for %s, which does nothing" >&2\nexit 1\n' "$2" >"$1"
    chmod 755 "$1"
}

# assets ARCH MODULES BUILD OUT: an imager's boot assets, with modules of the folder MODULES, by the
# configuration and the certificate in BUILD.
assets() {
    local arch=$1 modules=$2 build=$3 out=$4 root=$1/rootfs
    mkdir -p $root/{dev,proc,sys,run,tmp,var,usr/{bin,lib/{modules,firmware},local},etc} $arch/initramfs "$out"
    ln -s usr/bin $root/bin
    ln -s usr/bin $root/sbin
    : >$root/etc/extensions.yaml
    stand_in $root/usr/bin/init "Talos' machined"
    printf '%s\n' kernel/drivers/net/dummy.ko kernel/drivers/char/hw_random/virtio-rng.ko \
        kernel/lib/zlib_deflate/zlib_deflate.ko kernel/net/ipv4/udp_tunnel.ko >list
    stock_modules "$modules" list $root
    rm $root/lib
    ln -s usr/lib $root/lib
    stand_in $arch/initramfs/init "Talos' init"
    squash $root $arch/initramfs/rootfs.sqsh
    "$here/standin_kernel.sh" $arch $release "$build/config" "$build/signing_key.x509" "$out/vmlinuz"
    chmod 644 "$out/vmlinuz"
    cpio_of $arch/initramfs | zstd -q -18 >"$out/initramfs.xz"
    boot_files "$judges/debian/$arch" $arch "$out"
    sbom $release "$out/talos.spdx.json"
}

mkdir -p imager-tree/bin base-tree/bin
assets amd64 out/kernel/usr/lib/modules/$release out/build imager-tree/usr/install/amd64
assets arm64 arm64/kernel/usr/lib/modules/$release arm64/build imager-tree/usr/install/arm64
stand_in imager-tree/bin/imager "Talos' imager"
stand_in base-tree/bin/installer "Talos' installer"
for arch in amd64 arm64; do
    # As Talos' own: the imager of either platform has the boot assets of both.
    image imager $talos-$arch $arch /bin/imager imager-tree
    image base $talos-$arch $arch /bin/installer base-tree
done
for layout in imager base; do
    "$here/index.py" $layout "$talos" "$talos-amd64" "$talos-arm64"
    finish_layout $layout
    rm -rf "$out/$layout"
    mkdir -p "$out"
    mv $layout "$out/$layout"
done
ls -l imager-tree/usr/install/*
chmod -R u=rwX,go=rX "$out"
du -sb "$out"/{imager,base}
