#!/usr/bin/env bash
# installer_fixture.sh boot|debian|large...
#
# What installer images are made of, by programs that others wrote (see tests/installer/lib.sh), below
# target/judges/installer/KIND. What is there already and was made by the same scripts is left alone.
#
#   boot    small, boots in seconds: the kernel of testdata/kernel (amd64)
#   debian  both architectures, some 340 modules of Debian's kernel; boots too
#   large   the size of the real thing (amd64): rootfs.sqsh 78 MB, initramfs 85 MB, base 72 MB; for benches/installer.sh
#
# In each:
#   assets/ARCH/            an imager's boot assets: vmlinuz, initramfs.xz, systemd-stub.efi, systemd-boot.efi, talos.spdx.json
#   imager, base            OCI layouts, tag v1.11.3, an index (`boot`: also imager:gzip, imager:xz, imager:other,
#                           where the initramfs is compressed otherwise, and where kernel and modules are others'; in all
#                           base:two-layers, base:three-layers)
#   ext/ARCH/NAME/          extensions as folders: manifest.yaml, rootfs/
#   extensions              an OCI layout of them, a tag each, an index
#   kernel                  an OCI layout, tag 1: a kernel image (`boot`, `large`: there of another release than the imager's)
#
# Wants what tests/run.sh installs, and of target/judges: modules/ARCH and debian/ARCH, which it gets too.
set -euo pipefail

cd "$(dirname "$0")/.."
project=$PWD
here=$project/tests/installer
judges=${CARGO_TARGET_DIR:-$project/target}/judges
mkdir -p "$judges/installer"
judges=$(cd "$judges" && pwd)
log=$judges/log.txt
. tests/support/debian.sh
. "$here/lib.sh"
# What the stock list has, by kinds as Talos' list: and all that these need. 341 modules on amd64.
stock='kernel/(drivers/(nvme|virtio|block|md|hv|char/ipmi|usb/storage|net/(bonding|vxlan|ethernet/(intel|broadcom|mellanox)))/|drivers/net/(virtio_net|tun|veth|macvlan|net_failover)\.ko|fs/(btrfs|xfs|nfs|overlayfs|squashfs|fuse|ext4|fat|isofs|cifs|ceph)/|net/(8021q|bridge|ipv4|ipv6)/)'

# --- parts ------------------------------------------------------------------------------------------
release_of() { basename "$(echo "$judges/modules/$1"/*lib/modules/*)"; }
modules_of() { echo "$judges/modules/$1"/*lib/modules/*; }

# all_modules ARCH: a copy of Debian's modules with indexes, for what needs to know what needs what.
all_modules() {
    local release
    release=$(release_of "$1")
    if [ ! -d "work/all/$1" ]; then
        mkdir -p "work/all/$1/usr/lib/modules"
        cp -rl "$(modules_of "$1")" "work/all/$1/usr/lib/modules/" 2>/dev/null ||
            cp -r "$(modules_of "$1")" "work/all/$1/usr/lib/modules/"
        combined_index "work/all/$1" "$release"
    fi
    echo "work/all/$1/usr/lib/modules/$release"
}

# boots_with ARCH OUT [FOLDER]: the files of an initramfs but for rootfs.sqsh: a stand-in for Talos' init, with the
# shell that it is written in and the modules of FOLDER that it needs before it can mount anything.
boots_with() {
    local path
    mkdir -p "$2/bin"
    install -m 755 "$judges/debian/$1/bin/busybox" "$2/bin/busybox"
    install -m 755 "$here/../boot/own-init.sh" "$2/init"
    if [ $# = 3 ]; then
        for path in drivers/block/loop fs/squashfs/squashfs fs/overlayfs/overlay; do
            install -D -m 644 "$3/kernel/$path.ko" "$2/modules/$(basename "$path").ko"
        done
    fi
}

# base_images ARCH TAG [MORE]: base installers of one, two and three layers.
base_images() {
    local arch=$1 suffix=$2 tree=work/base/$1
    mkdir -p "$tree/bin" "$tree/usr" "$tree.2/usr/share/doc/base" "$tree.3/usr/share/doc/base"
    install -m 755 "$judges/debian/$arch/bin/busybox" "$tree/bin/installer"
    echo second >"$tree.2/usr/share/doc/base/second"
    echo third >"$tree.3/usr/share/doc/base/third"
    image base "$talos$suffix" "$arch" /bin/installer "$tree"
    image base "two-layers$suffix" "$arch" /bin/installer "$tree" "$tree.2"
    image base "three-layers$suffix" "$arch" /bin/installer "$tree" "$tree.2" "$tree.3"
}

# imager_image TAG ARCH ASSETS ARCH-OF-ASSETS...: ASSETS is a folder with a folder for each architecture.
imager_image() {
    local tag=$1 arch=$2 assets=$3 tree=work/imager/$1
    shift 3
    mkdir -p "$tree/bin" "$tree/usr/install"
    install -m 755 "$judges/debian/$arch/bin/busybox" "$tree/bin/imager"
    for of in "$@"; do cp -r "$assets/$of" "$tree/usr/install/$of"; done
    image imager "$tag" "$arch" /bin/imager "$tree"
}

# extension_images ARCH...: every folder below ext/ARCH as an image, each name an index.
extension_images() {
    local folder name tags arch
    for folder in "ext/$1"/*; do
        name=$(basename "$folder") tags=()
        for arch in "$@"; do
            image extensions "$name.$arch" "$arch" '' "ext/$arch/$name"
            tags+=("$name.$arch")
        done
        "$here/index.py" extensions "$name" "${tags[@]}"
    done
    finish_layout extensions
}

# bytes FILE SKIP COUNT OUT: a piece of a file, to have contents that are neither random nor empty.
bytes() {
    mkdir -p "$(dirname "$4")"
    tail -c "+$(($2 + 1))" "$1" | { head -c "$3"; cat >/dev/null; } >"$4"
}

# firmware_links FIRMWARE FOLDER FILE: links of all kinds; FIRMWARE/FOLDER/FILE is there.
firmware_links() {
    ln -s "$2/$3" "$1/boot-test-a.bin"              # sorts before its target
    ln -s "$2/$3" "$1/boot-test-z.bin"              # and after it
    ln -s "$2/absent.bin" "$1/boot-test-nowhere.bin" # leads nowhere
    ln -s "../$2/$3" "$1/$2/boot-test-up.bin"       # goes up and down again
    ln -s "$2" "$1/boot-test-folder"                # a folder by another name
}

# firmware_extension FOLDER FILE: files cut from FILE, links of all kinds, microcode.
firmware_extension() {
    local firmware=$1/rootfs/usr/lib/firmware
    bytes "$2" 4096 60000 "$firmware/boot-test-m.bin"
    bytes "$2" 65536 20000 "$firmware/acme/fw-1.bin"
    firmware_links "$firmware" acme fw-1.bin
    bytes "$2" 100000 2048 "$firmware/intel-ucode/06-97-02"
    bytes "$2" 110000 1024 "$firmware/intel-ucode/06-97-05"
    bytes "$2" 120000 3000 "$firmware/amd-ucode/microcode_amd_fam17h.bin"
    bytes "$2" 130000 3000 "$firmware/amd-ucode/microcode_amd_fam19h.bin"
    extension "$1" 20250311
}

# service_extension FOLDER PROGRAM
service_extension() {
    local root=$1/rootfs/usr/local
    install -D -m 755 "$2" "$root/lib/containers/x/usr/bin/x"
    mkdir -p "$root/etc/containers"
    cat >"$root/etc/containers/x.yaml" <<'S'
name: x
container:
  entrypoint: ./usr/bin/x
  args: [sleep, "1000"]
depends:
  - network: [addresses]
restart: always
S
    extension "$1" 0.1.0
}

# order_extensions FOLDER: eleven that all have one file, and each one of its own.
order_extensions() {
    local n
    for n in 01 02 03 04 05 06 07 08 09 10 11; do
        mkdir -p "$1/order-$n/rootfs/usr/local/share/boot-order"
        echo "$n" >"$1/order-$n/rootfs/usr/local/share/boot-order/top"
        echo "$n" >"$1/order-$n/rootfs/usr/local/share/boot-order/$n"
        extension "$1/order-$n" "1.0.$((10#$n))"
    done
}

# --- kinds --------------------------------------------------------------------------------------------
make_boot() {
    local kernel release=6.12.117-talos other=6.1.0-other root=work/rootfs assets=assets/amd64 codec
    mkdir -p work "$assets"
    zstd -dqc "$project/testdata/kernel/kernel-$release.tar.zst" | tar -x -C work
    kernel=work/out/kernel
    (cd "$kernel/usr/lib/modules/$release" && find kernel -name '*.ko' | sort) >work/list
    rootfs "$judges/debian/amd64" "$root"
    stock_modules "$kernel/usr/lib/modules/$release" work/list "$root"
    boots_with amd64 work/initramfs
    squash "$root" work/initramfs/rootfs.sqsh
    cpio_of work/initramfs >work/initramfs.cpio
    zstd -q -18 work/initramfs.cpio -o "$assets/initramfs.xz"
    install -m 644 "$kernel/boot/vmlinuz" "$assets/vmlinuz"
    boot_files "$judges/debian/amd64" amd64 "$assets"
    sbom "$release" "$assets/talos.spdx.json"
    imager_image "$talos" amd64 assets amd64
    # Only the codec of the initramfs differs. Of xz the kernel knows CRC32 only.
    for codec in gzip xz; do
        mkdir -p "work/$codec"
        cp -r "$assets" "work/$codec/amd64"
    done
    gzip -9n <work/initramfs.cpio >work/gzip/amd64/initramfs.xz
    xz --check=crc32 --lzma2=dict=1MiB <work/initramfs.cpio >work/xz/amd64/initramfs.xz
    for codec in gzip xz; do imager_image "$codec" amd64 "work/$codec" amd64; done
    # The same list of modules, for a kernel that boots nowhere: what boots with it had both exchanged.
    mkdir -p work/other
    cp -r "$assets" work/other/amd64
    "$here/standin_kernel.sh" amd64 "$other" work/out/build/config work/out/build/signing_key.x509 work/other/amd64/vmlinuz
    mv "$root/usr/lib/modules/$release" "$root/usr/lib/modules/$other"
    combined_index "$root" "$other"
    squash "$root" work/initramfs/rootfs.sqsh
    cpio_of work/initramfs | zstd -q -18 >work/other/amd64/initramfs.xz
    sbom "$other" work/other/amd64/talos.spdx.json
    imager_image other amd64 work/other amd64
    for tag in "$talos" gzip xz other; do "$here/index.py" imager "$tag" "$tag"; done
    finish_layout imager
    base_images amd64 ''
    for tag in "$talos" two-layers three-layers; do "$here/index.py" base "$tag" "$tag"; done
    finish_layout base
    image kernel 1 amd64 '' "$kernel"
    finish_layout kernel

    mkdir -p ext/amd64/{my-module,my-user,foreign}/rootfs
    cp -r work/out/modules/good/usr ext/amd64/my-module/rootfs/
    cp -r work/out/modules/user/usr ext/amd64/my-user/rootfs/
    cp -r work/out/modules/foreign/usr ext/amd64/foreign/rootfs/
    for name in my-module my-user foreign; do extension "ext/amd64/$name" 0.1.0; done
    order_extensions ext/amd64
    firmware_extension ext/amd64/firmware "$judges/debian/amd64/bin/busybox"
    service_extension ext/amd64/service "$judges/debian/amd64/bin/busybox"
    extension_images amd64
}

make_debian() {
    local arch release root folder all
    for arch in amd64 arm64; do
        release=$(release_of "$arch") root=work/rootfs/$arch folder=assets/$arch
        mkdir -p "$folder" "$root"
        all=$(all_modules "$arch")
        "$here/select_modules.py" "$all/modules.dep" "$stock" >"work/list.$arch"
        rootfs "$judges/debian/$arch" "$root"
        stock_modules "$all" "work/list.$arch" "$root"
        boots_with "$arch" "work/initramfs/$arch" "$all"
        # Less squeezed than Talos' 18, which would be most of the time that this takes; the window is the same.
        squash "$root" "work/initramfs/$arch/rootfs.sqsh" 9
        cpio_of "work/initramfs/$arch" | zstd -q -1 --zstd=wlog=23 >"$folder/initramfs.xz"
        install -m 644 "$judges/modules/$arch/boot/vmlinuz-$release" "$folder/vmlinuz"
        boot_files "$judges/debian/$arch" "$arch" "$folder"
        sbom "$release" "$folder/talos.spdx.json"
        mkdir -p "ext/$arch/dummy/rootfs/usr/lib/modules/$release/extras"
        cp "$all/kernel/drivers/net/dummy.ko" "ext/$arch/dummy/rootfs/usr/lib/modules/$release/extras/"
        extension "ext/$arch/dummy" "1.0.0-$release"
        # Two modules, one of which needs the other and says on the console that it is there.
        mkdir -p "ext/$arch/ppp/rootfs/usr/lib/modules/$release/extras"
        cp "$all"/kernel/drivers/net/{ppp/ppp_generic,slip/slhc}.ko "ext/$arch/ppp/rootfs/usr/lib/modules/$release/extras/"
        extension "ext/$arch/ppp" "2.4.2-$release"
        firmware_extension "ext/$arch/firmware" "$judges/debian/$arch/bin/busybox"
        service_extension "ext/$arch/service" "$judges/debian/$arch/bin/busybox"
    done
    # A release's imager images hold the assets of both, whichever platform's image it is.
    for arch in amd64 arm64; do
        imager_image "$talos.$arch" "$arch" assets amd64 arm64
        base_images "$arch" ".$arch"
    done
    "$here/index.py" imager "$talos" "$talos".{amd64,arm64}
    finish_layout imager
    for tag in "$talos" two-layers three-layers; do "$here/index.py" base "$tag" "$tag".{amd64,arm64}; done
    finish_layout base
    extension_images amd64 arm64
}

# up_to BYTES FILE...: as many of the files, in order, as fit.
up_to() {
    local left=$1 size file
    shift
    for file in "$@"; do
        size=$(stat -c %s "$file")
        [ "$size" -le "$left" ] || break
        left=$((left - size))
        echo "$file"
    done
}

make_large() {
    local root=work/rootfs assets=assets/amd64 programs=$judges/debian/large firmware=$judges/debian/firmware
    local release all file other
    release=$(release_of amd64)
    all=$(all_modules amd64)
    mkdir -p "$assets" "$root" work/initramfs
    "$here/select_modules.py" "$all/modules.dep" "$stock" >work/list
    rootfs "$judges/debian/amd64" "$root"
    stock_modules "$all" work/list "$root"
    # Talos' own programs are Go's too, and about as large.
    install -m 755 "$programs"/usr/sbin/{dockerd,docker-proxy,ovrouter} \
        "$programs"/usr/bin/{containerd,containerd-shim,docker,dnet} "$root/usr/bin/"
    squash "$root" work/initramfs/rootfs.sqsh
    install -m 755 "$programs/usr/bin/etcd" work/initramfs/init
    cpio_of work/initramfs | zstd -q -18 -T0 >"$assets/initramfs.xz"
    install -m 644 "$judges/modules/amd64/boot/vmlinuz-$release" "$assets/vmlinuz"
    boot_files "$judges/debian/amd64" amd64 "$assets"
    sbom "$release" "$assets/talos.spdx.json"
    imager_image "$talos" amd64 assets amd64
    "$here/index.py" imager "$talos" "$talos"
    finish_layout imager
    # Of a base only its size matters: it is dense, as programs in a layer are.
    mkdir -p work/base/bin work/base/usr/share/base
    install -m 755 "$judges/debian/amd64/bin/busybox" work/base/bin/installer
    zstd -q -3 -T0 "$programs"/usr/sbin/dockerd "$programs"/usr/bin/{containerd,containerd-shim,docker,ctr,etcd} \
        --output-dir-flat work/base/usr/share/base
    image base "$talos" amd64 /bin/installer work/base
    "$here/index.py" base "$talos" "$talos"
    finish_layout base

    local modules=rootfs/usr/lib/modules/$release
    mkdir -p "ext/amd64/dummy/$modules/extras" "ext/amd64/net/$modules/kernel/drivers" \
        ext/amd64/firmware/rootfs/usr/lib/firmware/{intel,amd}-ucode
    cp "$all/kernel/drivers/net/dummy.ko" "ext/amd64/dummy/$modules/extras/"
    cp -r "$all/kernel/drivers/net" "ext/amd64/net/$modules/kernel/drivers/"
    cp "$firmware"/*lib/firmware/amd-ucode/microcode* ext/amd64/firmware/rootfs/usr/lib/firmware/amd-ucode/
    cp $(up_to 3000000 "$firmware"/*lib/firmware/intel-ucode/*) ext/amd64/firmware/rootfs/usr/lib/firmware/intel-ucode/
    cp -a "$firmware"/*lib/firmware/{i915,mediatek} ext/amd64/firmware/rootfs/usr/lib/firmware/
    firmware_links ext/amd64/firmware/rootfs/usr/lib/firmware i915 kbl_dmc_ver1_04.bin
    service_extension ext/amd64/service "$programs/usr/bin/containerd-shim-runc-v2"
    for file in dummy net firmware; do extension "ext/amd64/$file" 1.0.0; done
    extension_images amd64

    other=$(basename "$(echo "$judges/modules/rt-amd64"/*lib/modules/*)")
    mkdir -p work/kernel/{boot,usr/lib/modules}
    cp "$judges/modules/rt-amd64/boot/vmlinuz-$other" work/kernel/boot/vmlinuz
    cp -r "$judges/modules/rt-amd64"/*lib/modules/* work/kernel/usr/lib/modules/
    image kernel 1 amd64 '' work/kernel
    finish_layout kernel
    # The same as a folder, for who unpacks no image.
    mv work/kernel kernel-root
}

# --- all of it ------------------------------------------------------------------------------------------
packages() { # KIND
    local arch
    mkdir -p "$judges/debian" "$judges/modules"
    for arch in amd64 arm64; do
        unpacked "$arch" "$judges/debian/$arch" kmod busybox-static systemd-boot-efi &&
            kernel_of "$arch" "$arch" "$judges/modules/$arch" || return 1
    done
    [ "$1" = large ] || return 0
    kernel_of amd64 rt-amd64 "$judges/modules/rt-amd64" &&
        unpacked amd64 "$judges/debian/large" docker.io containerd etcd-server || return 1
    # In a component that few systems name.
    . /etc/os-release
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian $VERSION_CODENAME non-free-firmware main" \
        >"$judges/debian/firmware.list"
    apt_options="-o Dir::Etc::sourcelist=$judges/debian/firmware.list -o Dir::Etc::sourceparts=/dev/null"
    unpacked amd64 "$judges/debian/firmware" firmware-misc-nonfree amd64-microcode intel-microcode || return 1
    apt_options=
}

[ $# -gt 0 ] || { sed -n 's/^# \(installer_fixture.sh .*\)/usage: \1/p' "$0" >&2; exit 2; }
scripts=$(cat tests/installer_fixture.sh tests/installer/{*.py,lib.sh,standin*} tests/boot/{own-init,stand-in}.sh | sha256sum)
for kind in "$@"; do
    if [ "$(cat "$judges/installer/$kind/made-by" 2>/dev/null)" = "$scripts" ]; then continue; fi
    packages "$kind" || {
        echo "error: packages of Debian's for the fixture $kind: what was tried: $log" >&2
        exit 1
    }
    echo "making the fixture $kind for installer images" >&2
    rm -rf "$judges/installer/$kind" "$judges/installer/$kind.new"
    mkdir "$judges/installer/$kind.new"
    # Where something fails in between, its output is all that tells what.
    (cd "$judges/installer/$kind.new" && "make_$kind") >>"$log"
    rm -rf "$judges/installer/$kind.new/work"
    echo "$scripts" >"$judges/installer/$kind.new/made-by"
    mv "$judges/installer/$kind.new" "$judges/installer/$kind"
done
