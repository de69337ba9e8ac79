#!/usr/bin/env bash
# custom-imager on a stock imager of realistic size, beside making its root file system anew: unsquashfs, the
# other kernel's modules in place of the stock ones, depmod, and mksquashfs of all of it. Both run in turn, N times,
# ours with an empty cache; prints medians, their ratio and our peak. Nothing is asserted.
#
#   benches/custom_imager.sh FIXTURE [N]     FIXTURE: a folder with imager (v1.11.3) and kernel-root, such as what
#                                            tests/installer_fixture.sh large makes in target/judges/installer/large
#
# Wants: cargo build --release; squashfs-tools, zstd, cpio, kmod, GNU time; root, for the labels.
set -euo pipefail

fixture=$(cd "${1:?usage: benches/custom_imager.sh FIXTURE [N]}" && pwd)
runs=${2:-3}
here=$(cd "$(dirname "$0")/.." && pwd)
talosmith=${TALOSMITH:-$here/target/release/talosmith}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=$work/home XDG_CACHE_HOME=$work/cache SOURCE_DATE_EPOCH=1
kernel=$fixture/kernel-root
release=$(basename "$kernel"/usr/lib/modules/*)

median() { sort -n | awk '{v[NR]=$1} END{print v[int((NR+1)/2)]}'; }

# timed FILE COMMAND...: wall time in ns to FILE.ns, peak in kB to FILE.peak
timed() {
    local file=$1 from to
    shift
    from=$(date +%s%N)
    /usr/bin/time -f %M -o peak "$@" >/dev/null 2>err.log || { cat err.log >&2; exit 1; }
    to=$(date +%s%N)
    echo $((to - from)) >>"$file.ns"
    cat peak >>"$file.peak"
}

ours() {
    "$talosmith" custom-imager --base "oci:$fixture/imager:v1.11.3" --kernel "dir:$kernel" --allow-missing-modules \
        -o oci:ours -q
}

# The root file system is taken out before the clock runs.
zstd -dqc "$fixture/assets/amd64/initramfs.xz" | cpio --quiet -i --to-stdout rootfs.sqsh >stock.sqsh
anew() {
    unsquashfs -q -n -d rootfs stock.sqsh
    local stock path
    stock=$(basename rootfs/usr/lib/modules/*)
    for path in modules.order modules.builtin modules.builtin.modinfo \
        $(cd "rootfs/usr/lib/modules/$stock" && find kernel -name '*.ko' | sort); do
        [ ! -e "$kernel/usr/lib/modules/$release/$path" ] ||
            install -D -m 755 "$kernel/usr/lib/modules/$release/$path" "new/$path"
    done
    rm -rf "rootfs/usr/lib/modules/$stock"
    mv new "rootfs/usr/lib/modules/$release"
    depmod -b rootfs "$release"
    mksquashfs rootfs theirs.sqsh -comp zstd -Xcompression-level 18 -b 128K -all-root -noappend -no-progress -quiet
}
export fixture kernel release talosmith
export -f ours anew

for _ in $(seq "$runs"); do
    rm -rf cache ours rootfs new theirs.sqsh
    timed ours bash -c ours
    timed theirs bash -c anew
done
awk -v x="$(median <ours.ns)" -v y="$(median <theirs.ns)" -v p="$(sort -n ours.peak | tail -1)" \
    'BEGIN{printf "custom-imager, all of it %.2f s; the root file system anew %.2f s; ratio %.3f; peak %.1f MB\n", x/1e9, y/1e9, x/y, p/1024}'
rm -rf ours
timed again bash -c ours
awk -v x="$(cat again.ns)" 'BEGIN{printf "nothing changed, the output gone: %.0f ms\n", x/1e6}'
