#!/usr/bin/env bash
# Installer images beside a script that does the same with the imager's own tools in its own order
# (unsquashfs, depmod, mksquashfs for one extension after the other, cpio, zstd -T0 -18, objcopy, copies,
# gzip -1, a layout written by hand). Each line runs both in turn, N times, with an empty cache unless it
# says otherwise, and prints medians, their ratio, the largest peaks, and what was written to the disk, of
# all processes together. Nothing here is asserted.
#
#   benches/installer.sh [N]      ROWS=REGEX: only the rows whose names match
#
# Wants: cargo build --release; tests/installer_fixture.sh large (FIXTURE names another of its shape, with MODULES);
# what tests/run.sh installs; GNU time. Where talosmith lacks a command, the other column stands alone.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
fixture=${FIXTURE:-${CARGO_TARGET_DIR:-$here/target}/judges/installer/large}
modules=${MODULES:-${CARGO_TARGET_DIR:-$here/target}/judges/modules/amd64}
talosmith=${TALOSMITH:-$here/target/release/talosmith}
talos=v1.11.3
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C

# --- what the imager does, by its tools -----------------------------------------------------------------
# layer_of LAYOUT TAG [diff-id]: the file of the last layer of an image, the first of an index; or its diff id.
layer_of() {
    python3 - "$1" "$2" "${3-}" <<'P'
import json, sys
layout, tag, what = sys.argv[1:]
blob = lambda entry: layout + "/blobs/" + entry["digest"].replace(":", "/")
read = lambda path: json.load(open(path))
entries = read(layout + "/index.json")["manifests"]
entry = next(e for e in entries if e["annotations"]["org.opencontainers.image.ref.name"] == tag)
document = read(blob(entry))
if "manifests" in document:
    document = read(blob(document["manifests"][0]))
print(read(blob(document["config"]))["rootfs"]["diff_ids"][-1] if what else blob(document["layers"][-1]))
P
}

squash() {
    mksquashfs "$1" "$2" -all-root -noappend -comp zstd -Xcompression-level 18 -b 131072 -no-progress -quiet >/dev/null
}

# depmod_of ROOT RELEASE: lib/modules below ROOT.
depmod_of() {
    mkdir depmod.d
    echo 'search extras built-in' >depmod.d/talos.conf
    depmod --all --basedir "$1" --config depmod.d "$2"
}

newc() { (cd "$1" && find . -mindepth 1 | sort | cpio --quiet -o -H newc -R 0:0); }

# layout OUT TREE BLOB: a layer of TREE by gzip -1 after the one that is there, of which BELOW is the diff id.
layout() {
    local out=$1 tree=$2 layer size blob layers=
    shift 2
    mkdir -p "$out/blobs/sha256"
    layer=$(tar -c --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$tree" usr |
        tee >(sha256sum | cut -d' ' -f1 >diffid) | gzip -1 | tee "$out/layer" | sha256sum | cut -d' ' -f1)
    size=$(stat -c %s "$out/layer")
    mv "$out/layer" "$out/blobs/sha256/$layer"
    for blob in "$@"; do
        cp "$blob" "$out/blobs/sha256/"
        layers+="{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:$(basename "$blob")\",\"size\":$(stat -c %s "$blob")},"
    done
    layers+="{\"mediaType\":\"application/vnd.oci.image.layer.v1.tar+gzip\",\"digest\":\"sha256:$layer\",\"size\":$size}"
    put() { # DOCUMENT: gives digest and size
        printf %s "$1" >document
        local digest
        digest=$(sha256sum document | cut -d' ' -f1)
        mv document "$out/blobs/sha256/$digest"
        echo "\"digest\":\"sha256:$digest\",\"size\":${#1}"
    }
    local config manifest
    config=$(put "{\"architecture\":\"amd64\",\"os\":\"linux\",\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"$BELOW\",\"sha256:$(cat diffid)\"]}}")
    manifest=$(put "{\"schemaVersion\":2,\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",$config},\"layers\":[$layers]}")
    printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json",%s}]}' "$manifest" >"$out/index.json"
    printf '{"imageLayoutVersion":"1.0.0"}' >"$out/oci-layout"
}

# objcopy_uki VMLINUZ INITRAMFS STUB RELEASE OUT
objcopy_uki() {
    local words=() at=0 section file size vma
    printf 'NAME="Talos"\nID=talos\nVERSION_ID=%s\n' "$talos" >osrel
    printf 'talos.platform=metal console=tty0 init_on_alloc=1 slab_nomerge pti=on' >cmdline
    printf %s "$4" >uname
    printf 'ID=main' >profile
    while read -r size vma; do
        [ $((0x$vma + 0x$size)) -le "$at" ] || at=$((0x$vma + 0x$size))
    done < <(objdump -h "$3" | awk '$1 ~ /^[0-9]+$/ {print $3, $4}')
    for section in osrel:osrel cmdline:cmdline uname:uname linux:$1 initrd:$2 profile:profile; do
        file=${section#*:}
        at=$(((at + 4095) / 4096 * 4096))
        words+=(--add-section ".${section%%:*}=$file" --change-section-vma ".${section%%:*}=$at")
        at=$((at + $(stat -L -c %s "$file")))
    done
    objcopy "${words[@]}" "$3" "$5"
}

# baseline_installer OUT BASE-BLOB EXTENSION...: an extension is a layer's file or a folder. The imager has its
# boot assets as files; so has this.
baseline_installer() {
    local out=$1 base=$2 assets=$fixture/assets/amd64 release extension n=0 tree
    shift 2
    rm -rf scratch "$out"
    mkdir -p scratch
    out=$(realpath -m "$out")
    cd scratch
    mkdir -p segment base all/lib/modules install/usr/install/amd64
    (cd base && zstd -dqc "$assets/initramfs.xz" | cpio --quiet -id rootfs.sqsh)
    unsquashfs -q -n -no-xattrs -d root base/rootfs.sqsh usr/lib/modules >/dev/null
    release=$(ls root/usr/lib/modules)
    mv "root/usr/lib/modules/$release" all/lib/modules/
    : >initramfs
    for extension in "$@"; do
        mkdir "$n"
        if [ -d "$extension" ]; then cp -a "$extension/." "$n/"; else tar -xzf "$extension" -C "$n"; fi
        tree=$n/rootfs
        [ ! -d "$tree/usr/lib/modules" ] || cp -a "$tree/usr/lib/modules/$release/." "all/lib/modules/$release/"
        n=$((n + 1))
    done
    depmod_of all "$release"
    mkdir -p "dep/usr/lib/modules/$release"
    mv "all/lib/modules/$release"/modules.* "dep/usr/lib/modules/$release/"
    echo layers: >segment/extensions.yaml
    for tree in $(seq 0 $((n - 1))); do
        tree=$tree/rootfs
        if [ -d "$tree/usr/lib/firmware" ]; then
            mkdir -p microcode/kernel/x86/microcode segment/usr/lib
            if [ -d "$tree/usr/lib/firmware/intel-ucode" ]; then
                cat "$tree"/usr/lib/firmware/intel-ucode/* >>microcode/kernel/x86/microcode/GenuineIntel.bin
                cat "$tree"/usr/lib/firmware/amd-ucode/* >>microcode/kernel/x86/microcode/AuthenticAMD.bin
                rm -r "$tree"/usr/lib/firmware/{intel,amd}-ucode
            fi
            mv "$tree/usr/lib/firmware" segment/usr/lib/
        fi
        squash "$tree" "segment/${tree%/*}.sqsh"
        printf '    - image: %s.sqsh\n' "${tree%/*}" >>segment/extensions.yaml
    done
    squash dep segment/modules.dep.sqsh
    echo '    - image: modules.dep.sqsh' >>segment/extensions.yaml
    if [ -d microcode ]; then
        newc microcode >initramfs
        truncate -s %512 initramfs
    fi
    cat "$assets/initramfs.xz" >>initramfs
    newc segment | zstd -q -T0 -18 >>initramfs
    objcopy_uki "$assets/vmlinuz" initramfs "$assets/systemd-stub.efi" "$release" vmlinuz.efi
    cp vmlinuz.efi install/usr/install/amd64/
    cp "$assets/systemd-boot.efi" install/usr/install/amd64/
    layout "$out" install "$base"
    cd ..
    rm -rf scratch
}

# baseline_custom OUT IMAGER-BLOB KERNEL-ROOT: everything of rootfs.sqsh compressed again.
baseline_custom() {
    local out=$1 imager=$2 kernel=$3 assets=$fixture/assets/amd64 old new path
    rm -rf scratch "$out"
    mkdir -p scratch
    out=$(realpath -m "$out")
    cd scratch
    mkdir -p initramfs install/usr/install/amd64
    (cd initramfs && zstd -dqc "$assets/initramfs.xz" | cpio --quiet -id)
    unsquashfs -q -n -d root initramfs/rootfs.sqsh >/dev/null
    old=$(ls root/usr/lib/modules) new=$(ls "$kernel/usr/lib/modules")
    (cd "root/usr/lib/modules/$old" && find kernel -name '*.ko' | sort) >list
    rm -r "root/usr/lib/modules/$old"
    while read -r path; do
        [ ! -e "$kernel/usr/lib/modules/$new/$path" ] ||
            install -D -m 755 "$kernel/usr/lib/modules/$new/$path" "root/usr/lib/modules/$new/$path"
    done <list
    cp "$kernel/usr/lib/modules/$new"/modules.{order,builtin,builtin.modinfo} "root/usr/lib/modules/$new/"
    depmod_of root "$new"
    squash root initramfs/rootfs.sqsh
    newc initramfs | zstd -q -T0 -18 >install/usr/install/amd64/initramfs.xz
    cp "$kernel/boot/vmlinuz" install/usr/install/amd64/
    cp "$assets/talos.spdx.json" install/usr/install/amd64/
    layout "$out" install "$imager"
    cd ..
    rm -rf scratch
}

case ${1-} in
baseline_installer | baseline_custom)
    "$@"
    exit
    ;;
esac

# --- measuring ---------------------------------------------------------------------------------------------
runs=${1:-5}
[ -d "$fixture/assets/amd64" ] || { echo "error: there is no fixture in $fixture: tests/installer_fixture.sh large" >&2; exit 1; }
# Not in /tmp, which may be memory: what is written is counted where it reaches a file system.
mkdir -p "$here/target"
work=$(mktemp -d "$here/target/bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=$work/home XDG_CACHE_HOME=$work/cache SOURCE_DATE_EPOCH=1 FIXTURE=$fixture MODULES=$modules

able() { "$talosmith" "$1" --help >/dev/null 2>&1; }
median() { sort -n | awk '{v[NR]=$1} END{print v[int((NR+1)/2)]}'; }
largest() { sort -n | tail -1; }

# run SIDE COMMAND: adds wall time in ns, peak in kB and written blocks of 512 bytes (of the whole tree of processes:
# getrusage counts those that were waited for) to SIDE.ns, SIDE.peak, SIDE.written.
run() {
    local side=$1 from to
    from=$(date +%s%N)
    /usr/bin/time -o timed -f '%M %O' bash -c "exec $2" >/dev/null 2>err.log || { cat err.log >&2; exit 1; }
    to=$(date +%s%N)
    echo $((to - from)) >>"$side.ns"
    awk '{print $1}' timed >>"$side.peak"
    awk '{print $2}' timed >>"$side.written"
}

# column SIDE RESULT: medians and peaks as text, or dashes.
column() {
    [ -e "$1.ns" ] || { printf '%9s %9s %9s %7s' - - - -; return; }
    awk -v n="$(median <"$1.ns")" -v p="$(largest <"$1.peak")" -v w="$(median <"$1.written")" \
        -v r="$(du -sb "$2" 2>/dev/null | cut -f1)" \
        'BEGIN{printf "%7.3f s %6.1f MB %6.0f MB %7.2f", n/1e9, p/1024, w*512/1e6, r ? w*512/r : 0}'
}

# beside NAME COMMAND-OF-OURS PREPARE OURS THEIRS: THEIRS may be empty.
beside() {
    local name=$1 command=$2 prepare=$3 ours=$4 theirs=$5
    [[ $name =~ ${ROWS:-} ]] || return 0
    rm -f ours.* theirs.*
    for _ in $(seq "$runs"); do
        eval "$prepare"
        if able "$command"; then run ours "$ours"; fi
        if [ -n "$theirs" ]; then run theirs "$theirs"; fi
    done
    printf '%-36s %s  | %s  ' "$name" "$(column ours out)" "$(column theirs other)"
    if [ -e ours.ns ] && [ -e theirs.ns ]; then
        awk -v a="$(median <ours.ns)" -v b="$(median <theirs.ns)" 'BEGIN{printf "%5.3f\n", a/b}'
    else
        printf '%5s\n' -
    fi
}

base=$(layer_of "$fixture/base" $talos)
imager=$(layer_of "$fixture/imager" $talos)
layers=() words=
for name in dummy net firmware service; do
    layers+=("$(layer_of "$fixture/extensions" $name)")
    words+=" --extension oci:$fixture/extensions:$name"
done
printf 'initramfs %s, base %s bytes; extensions: %s bytes as layers\n' "$(stat -c %s "$fixture/assets/amd64/initramfs.xz")" \
    "$(stat -c %s "$base")" "$(stat -c %s "${layers[@]}" | paste -sd' ')"
heading() { printf '%9s %9s %9s %7s' seconds peak written /result; }
printf '%-36s %s  | %s  %5s\n' '' "$(heading)" "$(heading)" ratio
fresh='rm -rf cache out other'
# Of Debian's drivers/net some modules need others that are neither there nor in the base: so for both.
common="--base oci:$fixture/base:$talos --talos $talos --allow module-dependency -q"
make="$talosmith installer --imager oci:$fixture/imager:$talos $common"
# The other side has the boot assets as files, as the imager's container has them.
files="$talosmith installer --imager $fixture/assets/amd64/ $common"
theirs="env BELOW=$(layer_of "$fixture/base" $talos diff-id) bash $here/benches/installer.sh baseline_installer other $base"
beside 'one 17 KB module' installer "$fresh" "$make --extension oci:$fixture/extensions:dummy -o oci:out" "$theirs ${layers[0]}"
beside 'the same, boot assets as files' installer "$fresh" "$files --extension oci:$fixture/extensions:dummy -o oci:out" "$theirs ${layers[0]}"
beside 'four extensions' installer "$fresh" "$make $words -o oci:out" "$theirs ${layers[*]}"
beside 'nothing changed, the output there' installer true "$make $words -o oci:out" ''

# One module of drivers/net becomes another that is as large and has the kernel's signature too, each time a
# different one, so that no run finds it in the cache.
mkdir four
cp -r "$fixture/ext/amd64/net" four/net
changing=$(find four/net -name igb.ko)
mapfile -t others < <(find "$modules"/*lib/modules/*/kernel/drivers -name '*.ko' -size +200k -size -800k ! -path '*/net/*' | sort |
    while read -r module; do [ -n "$(modinfo -F depends "$module")" ] || echo "$module"; done)
changed=0
change() {
    cp "${others[$((changed % ${#others[@]}))]}" "$changing"
    changed=$((changed + 1))
}
folder=${words/oci:$fixture\/extensions:net/./four/net/}
if able installer; then rm -rf cache out; $make $folder -o oci:out >/dev/null; fi
beside 'one module of drivers/net changed' installer change "$make $folder -o oci:out" \
    "$theirs ${layers[0]} $work/four/net ${layers[2]} ${layers[3]}"

custom="$talosmith custom-imager --base oci:$fixture/imager:$talos --kernel oci:$fixture/kernel:1 --allow-missing-modules -q"
beside 'custom imager' custom-imager "$fresh" "$custom -o oci:out" \
    "env BELOW=$(layer_of "$fixture/imager" $talos diff-id) bash $here/benches/installer.sh baseline_custom other $imager $fixture/kernel-root"
