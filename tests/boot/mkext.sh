#!/usr/bin/env bash
# mkext.sh BASE.initramfs OUT.initramfs FOLDER...
#
# Base initramfs and extensions (folders with rootfs/) to an initramfs with layers, modules.dep and
# extensions.yaml, by standard tools only: the control that the boot tests are compared with.
# Wants zstd, cpio, squashfs-tools, kmod.
set -euo pipefail
base=$(realpath "$1") out=$(realpath -m "$2")
shift 2
extensions=()
for folder in "$@"; do extensions+=("$(realpath "$folder")"); done
PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work"/{segment,base,all}

squash() {
    mksquashfs "$1" "$2" -all-root -noappend -comp zstd -Xcompression-level 18 -b 131072 -no-progress -quiet \
        -all-time 0 -mkfs-time 0 >/dev/null
}
entry() {
    printf '  - image: %s\n    metadata:\n      name: %s\n      version: %s\n      author: Boot Test\n' "$1" "$2" "$3"
    printf '      description: a test\n      compatibility:\n        talos:\n          version: ">= v1.0.0"\n'
} >>"$work/segment/extensions.yaml"

(cd "$work/base" && zstd -dqc "$base" | cpio --quiet -id rootfs.sqsh)
unsquashfs -q -n -no-xattrs -d "$work/root" "$work/base/rootfs.sqsh" usr/lib/modules >/dev/null
release=$(ls "$work/root/usr/lib/modules")
mkdir -p "$work/all/lib/modules"
cp -a "$work/root/usr/lib/modules/$release" "$work/all/lib/modules/"
echo layers: >"$work/segment/extensions.yaml"
number=0 modules=no
for extension in ${extensions[@]+"${extensions[@]}"}; do
    tree=$work/$number.tree
    cp -a "$extension/rootfs" "$tree"
    if [ -d "$tree/usr/lib/modules" ]; then
        modules=yes
        cp -a "$tree/usr/lib/modules/$release/." "$work/all/lib/modules/$release/"
    fi
    if [ -d "$tree/usr/lib/firmware" ]; then
        mkdir -p "$work/segment/usr/lib/firmware"
        cp -a "$tree/usr/lib/firmware/." "$work/segment/usr/lib/firmware/"
        rm -rf "$tree/usr/lib/firmware"
    fi
    name=$(printf '%02d.sqsh' "$number")
    squash "$tree" "$work/segment/$name"
    entry "$name" "$(basename "$extension")" 1.0.0
    number=$((number + 1))
done
if [ $modules = yes ]; then
    # A folder, since with a file kmod 30's depmod writes beyond its memory.
    mkdir "$work/depmod.d"
    echo 'search extras built-in' >"$work/depmod.d/talos.conf"
    depmod --all --basedir "$work/all" --config "$work/depmod.d" "$release"
    mkdir -p "$work/dep/usr/lib/modules/$release"
    cp "$work/all/lib/modules/$release"/modules.* "$work/dep/usr/lib/modules/$release/"
    squash "$work/dep" "$work/segment/modules.dep.sqsh"
    entry modules.dep.sqsh modules.dep "$release"
fi
find "$work/segment" -exec touch -h -d @0 {} +
(cd "$work/segment" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 --reproducible) |
    zstd -q -3 -o "$work/segment.zst"
cp "$base" "$out"
truncate -s %4 "$out"
cat "$work/segment.zst" >>"$out"
