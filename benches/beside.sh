#!/usr/bin/env bash
# How fast, beside what people use today: each line runs both tools in turn, N times, with empty caches
# unless it says otherwise, and prints the medians and their ratio. Nothing here is asserted; the
# README's figures come from it.
#
#   benches/beside.sh MODULES [N]      MODULES: a folder like /lib/modules/RELEASE with kernel/drivers/net
#
# Wants: cargo build --release; tar, gzip, GNU time; crane and docker-registry for the pushes.
set -euo pipefail

modules=${1:?usage: benches/beside.sh MODULES [N]}
modules=$(cd "$modules" && pwd)
runs=${2:-7}
here=$(cd "$(dirname "$0")/.." && pwd)
talosmith=${TALOSMITH:-$here/target/release/talosmith}
work=$(mktemp -d)
registry=
finish() {
    [ -z "$registry" ] || kill "$registry" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
cd "$work"
export HOME=$work/home XDG_CACHE_HOME=$work/cache
unset SOURCE_DATE_EPOCH

has() { command -v "$1" >/dev/null || { printf 'skipped: there is no %s\n' "$1"; return 1; }; }

# seconds COMMAND: wall time; its peak in kB goes to the file `peak`.
seconds() { /usr/bin/time -o timed -f '%e %M' bash -c "$1" >/dev/null 2>err.log || { cat err.log >&2; exit 1; }
    cut -d' ' -f2 timed >peak; }
precise() { local from to; from=$(date +%s%N); seconds "$1"; to=$(date +%s%N); echo $((to - from)); }
median() { sort -n | awk '{v[NR]=$1} END{print v[int((NR+1)/2)]}'; }

# beside NAME PREPARE OURS THEIRS
beside() {
    local name=$1 prepare=$2 ours=$3 theirs=$4 a=() b=() peak=0
    for _ in $(seq "$runs"); do
        bash -c "$prepare"; a+=("$(precise "$ours")"); p=$(cat peak); [ "$p" -le "$peak" ] || peak=$p
        bash -c "$prepare"; b+=("$(precise "$theirs")")
    done
    local x y
    x=$(printf '%s\n' "${a[@]}" | median); y=$(printf '%s\n' "${b[@]}" | median)
    awk -v n="$name" -v x="$x" -v y="$y" -v p="$peak" \
        'BEGIN{printf "%-44s %8.3f s %8.3f s  ratio %5.2f  peak %5.1f MB\n", n, x/1e9, y/1e9, x/y, p/1024}'
}

# alone NAME PREPARE OURS
alone() {
    local name=$1 prepare=$2 ours=$3 a=() peak=0
    for _ in $(seq "$runs"); do
        bash -c "$prepare"; a+=("$(precise "$ours")"); p=$(cat peak); [ "$p" -le "$peak" ] || peak=$p
    done
    printf '%s\n' "${a[@]}" | median | awk -v n="$name" -v p="$peak" \
        '{printf "%-44s %8.3f s %32s %5.1f MB\n", n, $1/1e9, "peak", p/1024}'
}

cat >manifest.yaml <<'M'
version: v1alpha1
metadata: {name: bench, version: 1.0.0, author: bench, description: bench}
M
release=$(basename "$modules")
module=$(find "$modules" -name '*.ko' -size -105k -size +95k | sort | head -1)
mkdir -p "net/usr/lib/modules/$release/kernel/drivers"
cp -r "$modules/kernel/drivers/net" "net/usr/lib/modules/$release/kernel/drivers/"
printf 'one module: %s bytes; drivers/net: %s\n' "$(stat -c %s "$module")" "$(du -sh net | cut -f1)"
printf '%-44s %10s %10s\n' '' talosmith 'the other'

fresh='rm -rf cache out tar.gz'
small="$talosmith extension --manifest manifest.yaml --module $module -q"
large="$talosmith extension --manifest manifest.yaml --tree net -q"
# What a shell costs stands in both columns; `true` shows how much it is.
alone 'a shell that does nothing' "$fresh" true
alone 'one module to a layout' "$fresh" "$small -o oci:out:x"
beside 'drivers/net to a layout | tar c | gzip -6' "$fresh" "$large -o oci:out:x" 'tar c -C net . | gzip -6 >tar.gz'
bash -c "$fresh"; $large -o oci:out:x >/dev/null; tar c -C net . | gzip -6 >tar.gz
ours=$(find out/blobs -type f -size +1M -printf '%s\n' | sort -n | tail -1)
awk -v a="$ours" -v b="$(stat -c %s tar.gz)" 'BEGIN{printf "  size %d against %d: %+.2f %%\n", a, b, 100*(a/b-1)}'
alone 'drivers/net again, cache warm' true "$large -o oci:out:x"
mkdir -p random; head -c 1000000000 /dev/urandom >random/blob
alone '1 GB that does not compress, to a layout' "$fresh" \
    "$talosmith extension --manifest manifest.yaml --tree random:/usr/local -q -o oci:out:x"
rm -rf random cache out

has docker-registry && has crane || exit 0
port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])' 2>/dev/null || echo 5999)
printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %s/data}, delete: {enabled: true}}\nhttp: {addr: "127.0.0.1:%s"}\n' "$work" "$port" >registry.yml
docker-registry serve registry.yml >/dev/null 2>&1 & registry=$!
until crane catalog "127.0.0.1:$port" >/dev/null 2>&1; do kill -0 "$registry"; done
to="127.0.0.1:$port/bench/x:1"
$large -o oci:layout:x >/dev/null
empty='rm -rf cache out data/docker'
beside 'the finished layout pushed | crane push' "$empty" \
    "$talosmith copy oci:layout:x docker://$to -q" "crane push layout $to --insecure"
beside 'pushed again | crane push' true "$talosmith copy oci:layout:x docker://$to -q" "crane push layout $to --insecure"
alone 'drivers/net built and pushed from nothing' "$empty" "$large -o docker://$to"
alone 'one module built and pushed from nothing' "$empty" "$small -o docker://$to"
