#!/usr/bin/env bash
# Squashfs beside Debian's squashfs-tools: each line runs both tools in turn, N times, with empty caches
# unless it says otherwise, and prints medians, their ratio, sizes and peaks. Then the curve: what each
# level costs and gives. Nothing here is asserted.
#
#   benches/squashfs.sh MODULES [N]      MODULES: a folder like /lib/modules/RELEASE with kernel/drivers/net
#
# Wants: cargo build --release; squashfs-tools, squashfs-tools-ng, GNU time. CURVE=no leaves out the curve.
set -euo pipefail

modules=${1:?usage: benches/squashfs.sh MODULES [N]}
modules=$(cd "$modules" && pwd)
runs=${2:-5}
here=$(cd "$(dirname "$0")/.." && pwd)
talosmith=${TALOSMITH:-$here/target/release/talosmith}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=$work/home XDG_CACHE_HOME=$work/cache SOURCE_DATE_EPOCH=1

# run COMMAND: wall time in ns to the file `ns`, processor time to `cpu`, peak in kB to `peak`.
run() {
    local from to
    from=$(date +%s%N)
    /usr/bin/time -o timed -f '%U %S %M' bash -c "exec $1" >/dev/null 2>err.log || { cat err.log >&2; exit 1; }
    to=$(date +%s%N)
    echo $((to - from)) >ns
    awk '{print $1 + $2}' timed >cpu
    awk '{print $3}' timed >peak
}
median() { sort -n | awk '{v[NR]=$1} END{print v[int((NR+1)/2)]}'; }
largest() { sort -n | tail -1; }
sizes() { [ -e ours ] && [ -e theirs ] && awk -v a="$(stat -c %s ours)" -v b="$(stat -c %s theirs)" \
    'BEGIN{printf "    size %d against %d: %+.2f %%\n", a, b, 100*(a/b-1)}' || true; }

# beside NAME PREPARE OURS THEIRS
beside() {
    local name=$1 prepare=$2 ours=$3 theirs=$4 kind
    rm -f ours.* theirs.*
    for _ in $(seq "$runs"); do
        bash -c "$prepare"; run "$ours"; for kind in ns cpu peak; do cat $kind >>ours.$kind; done
        run "$theirs"; for kind in ns cpu peak; do cat $kind >>theirs.$kind; done
    done
    awk -v n="$name" -v x="$(median <ours.ns)" -v y="$(median <theirs.ns)" \
        -v p="$(median <ours.cpu)" -v q="$(median <theirs.cpu)" -v a="$(largest <ours.peak)" -v b="$(largest <theirs.peak)" \
        'BEGIN{printf "%-34s %8.3f s %8.3f s  ratio %5.3f  cpu %6.2f %6.2f  peak %5.1f %5.1f MB\n", n, x/1e9, y/1e9, x/y, p, q, a/1024, b/1024}'
}

fresh='rm -rf cache ours'
mk() { echo "mksquashfs $1 theirs -comp zstd -Xcompression-level 18 -b 128K -all-root -noappend -no-progress -quiet"; }
pack() { echo "$talosmith squashfs pack dir:$1 ours -q"; }

mkdir -p all/usr/lib/modules net one manifest
cp -r "$modules" all/usr/lib/modules/
cp -r "$modules/kernel/drivers/net" net/
module=$(find "$modules" -name '*.ko' -size +1900k -size -2300k | sort | head -1)
[ -n "$module" ] && cp "$module" one/
printf 'version: v1alpha1\nmetadata: {name: bench, version: 1.0.0}\n' >manifest/manifest.yaml
printf 'all: %s; drivers/net: %s; one: %s bytes\n' "$(du -sh all | cut -f1)" "$(du -sh net | cut -f1)" \
    "$(stat -c %s one/*.ko 2>/dev/null || echo none)"
printf '%-34s %10s %10s\n' '' talosmith mksquashfs
beside 'all modules' "$fresh" "$(pack all)" "$(mk all)"; sizes
cp ours large.sqsh
beside 'drivers/net' "$fresh" "$(pack net)" "$(mk net)"; sizes
[ -n "$module" ] && { beside 'one 2 MB module' "$fresh" "$(pack one)" "$(mk one)"; sizes; }
beside 'manifest only' "$fresh" "$(pack manifest)" "$(mk manifest)"
bash -c "$fresh"; run "$(pack all)"
touched=$(find all -name '*.ko' -size +100k | sort | sed -n 100p)
beside 'all again, one module changed' "rm -f ours; printf x >>'$touched'" "$(pack all)" "$(mk all)"; sizes
# The image holds usr/lib/modules and nothing else; sqfs2tar 1.2 refuses to be given that path.
beside 'tar of usr/lib/modules | sqfs2tar' true "$talosmith squashfs tar large.sqsh usr/lib/modules" \
    'sqfs2tar large.sqsh'

[ "${CURVE:-yes}" = yes ] || exit 0
printf '\nthe curve, drivers/net:\n%-12s %10s %12s\n' level seconds bytes
for level in '' 12 13 14 15 16 17 18 19; do
    bash -c "$fresh"
    run "$(pack net) ${level:+--level $level}"
    awk -v l="${level:-by block}" -v t="$(cat ns)" -v s="$(stat -c %s ours)" 'BEGIN{printf "%-12s %10.2f %12d\n", l, t/1e9, s}'
done
