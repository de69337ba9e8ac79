# What makes the parts of the fixtures for installer images, all by programs that others wrote: boot assets,
# imager, base and extension images. Sourced by tests/installer_fixture.sh and tests/installer/testdata.sh.
#
# Wants $here (the folder of this file). Wants GNU cpio, zstd, squashfs-tools-ng, kmod, umoci, python3,
# binutils. Everything is sorted, of root, of the epoch, so the same packages give the same bytes.

talos=v1.11.3
epoch=1970-01-01T00:00:00Z
export LC_ALL=C
umask 022
PATH=$PATH:/usr/sbin:/sbin

settle() { find "$@" -exec touch -h -d @0 {} +; }

# cpio_of FOLDER: newc of everything in it, the folder itself as `.`, on standard output.
cpio_of() {
    settle "$1"
    (cd "$1" && find . | sort | cpio --quiet -o -H newc -R 0:0 --reproducible)
}

# squash FOLDER OUT [LEVEL]: as Talos' root file system is made, a label on every path.
squash() {
    "$here/labelled_tar.py" "$1" | tar2sqfs -f -q -c zstd -X level="${3:-18}" -b 131072 "$2"
}

# needed ROOT FILE: the shared objects that an ELF file needs, with what they need, found below ROOT.
needed() {
    local name file
    for name in $(readelf -d "$2" | sed -n 's/.*(NEEDED).*\[\(.*\)\]$/\1/p'); do
        file=$(find "$1/lib" "$1/usr/lib" -name "$name" | sort | head -n 1)
        [ -n "$file" ] || continue
        echo "$file"
        needed "$1" "$file"
    done
}

# rootfs DEBIAN OUT: folders and programs of a root file system: busybox, kmod, and a stand-in for init.
rootfs() {
    local debian=$1 out=$2 file
    mkdir -p "$out"/{dev,proc,sys,run,tmp,var,root,system,opt,mnt,boot/EFI,.extra} \
        "$out"/usr/{bin,etc,share/zoneinfo/Etc,lib/{modules,firmware,udev/rules.d},local/{etc/containers,share,lib}} \
        "$out"/etc/{ssl/certs,cri/conf.d,kubernetes/manifests,cni/net.d,lvm,selinux/targeted/contexts/files}
    ln -s usr/bin "$out/bin"
    ln -s usr/bin "$out/sbin"
    ln -s usr/lib "$out/lib"
    ln -s usr/lib "$out/lib64"
    ln -s bin "$out/usr/sbin"
    for file in extensions.yaml resolv.conf hosts machine-id os-release; do : >"$out/etc/$file"; done
    install -m 755 "$debian/bin/busybox" "$out/usr/bin/busybox"
    ln -s busybox "$out/usr/bin/sh"
    install -m 755 "$debian/bin/kmod" "$out/usr/bin/modprobe"
    for file in $(needed "$debian" "$debian/bin/kmod" | sort -u); do
        case $file in
        */ld-linux*) install -m 755 "$file" "$out/usr/lib/" ;;
        *)
            mkdir -p "$out/usr/lib/$(basename "$(dirname "$file")")"
            install -m 644 "$file" "$out/usr/lib/$(basename "$(dirname "$file")")/"
            ;;
        esac
    done
    install -m 755 "$here/../boot/stand-in.sh" "$out/usr/bin/init"
}

# stock_modules FROM LIST OUT: modules of FROM (a folder `RELEASE`) that stand in LIST, with the indexes that
# depmod makes of them, mode 0755, in OUT/usr/lib/modules/RELEASE.
stock_modules() {
    local from=$1 list=$2 out=$3 release path
    release=$(basename "$from")
    mkdir -p "$out/usr/lib/modules/$release"
    for path in modules.order modules.builtin modules.builtin.modinfo; do
        install -m 644 "$from/$path" "$out/usr/lib/modules/$release/$path"
    done
    while read -r path; do
        install -D -m 755 "$from/$path" "$out/usr/lib/modules/$release/$path"
    done <"$list"
    combined_index "$out" "$release"
}

# combined_index ROOT RELEASE: runs depmod, which looks for lib/modules. The configuration is a folder, since
# with a file kmod 30's depmod writes beyond its memory.
combined_index() {
    mkdir "$1.depmod.d"
    echo 'search extras built-in' >"$1.depmod.d/talos.conf"
    [ -e "$1/lib" ] || ln -s usr/lib "$1/lib"
    depmod --all --basedir "$1" --config "$1.depmod.d" "$2"
    rm -r "$1.depmod.d"
}

# image LAYOUT TAG ARCH ENTRYPOINT FOLDER...: an image with each folder as a layer. Not by `umoci insert`, which
# in 0.4.7 writes archives without their end.
image() {
    local layout=$1 tag=$2 arch=$3 entrypoint=$4 folder bundle
    shift 4
    bundle=$(mktemp -d)
    [ -d "$layout" ] || umoci init --layout "$layout"
    umoci new --image "$layout:$tag"
    for folder in "$@"; do
        settle "$folder"
        umoci unpack --rootless --image "$layout:$tag" "$bundle/x"
        cp -a --reflink=auto "$folder/." "$bundle/x/rootfs/"
        umoci repack --history.created "$epoch" --image "$layout:$tag" "$bundle/x"
        rm -rf "$bundle/x"
    done
    rmdir "$bundle"
    umoci config --image "$layout:$tag" --no-history --created "$epoch" --architecture "$arch" --os linux \
        ${entrypoint:+--config.entrypoint "$entrypoint" --config.label "alpha.talos.dev/version=$talos"}
}

# finish_layout LAYOUT
finish_layout() {
    umoci gc --layout "$1" >/dev/null
}

# sbom RELEASE OUT
sbom() {
    cat >"$2" <<S
{"spdxVersion":"SPDX-2.3","dataLicense":"CC0-1.0","SPDXID":"SPDXRef-DOCUMENT","name":"talos-$talos","documentNamespace":"https://example.com/spdx/$1","creationInfo":{"created":"$epoch","creators":["Tool: fixture"]},"packages":[{"SPDXID":"SPDXRef-kernel","name":"kernel","versionInfo":"$1","downloadLocation":"NOASSERTION","licenseConcluded":"GPL-2.0-only"},{"SPDXID":"SPDXRef-busybox","name":"busybox","versionInfo":"1","downloadLocation":"NOASSERTION","licenseConcluded":"GPL-2.0-only"}]}
S
}

# boot_files DEBIAN ARCH OUT: systemd's stub and boot loader under their names in an imager.
boot_files() {
    local efi=x64 from=$1/usr/lib/systemd/boot/efi
    [ "$2" = amd64 ] || efi=aa64
    install -m 644 "$from/linux$efi.efi.stub" "$3/systemd-stub.efi"
    install -m 644 "$from/systemd-boot$efi.efi" "$3/systemd-boot.efi"
}

# extension FOLDER VERSION: the manifest of an extension whose rootfs is there, named after the folder.
extension() {
    mkdir -p "$1/rootfs"
    cat >"$1/manifest.yaml" <<M
version: v1alpha1
metadata:
  name: $(basename "$1")
  version: $2
  author: Boot Test
  description: |
    a test
  compatibility:
    talos:
      version: ">= v1.0.0"
M
}
