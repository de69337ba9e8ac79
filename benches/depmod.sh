#!/usr/bin/env bash
# How fast `talosmith depmod` is, beside kmod's own: both index the same modules in turn, N times, in a
# copy of the folder; prints the medians, their ratio and the peaks. Nothing here is asserted.
#
#   benches/depmod.sh MODULES [N]      MODULES: a folder such as /lib/modules/RELEASE
#
# Wants: cargo build --release; kmod's depmod, GNU time.
set -euo pipefail

modules=${1:?usage: benches/depmod.sh MODULES [N]}
modules=$(cd "$modules" && pwd)
runs=${2:-7}
here=$(cd "$(dirname "$0")/.." && pwd)
talosmith=${TALOSMITH:-$here/target/release/talosmith}
release=$(basename "$modules")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work/home XDG_CACHE_HOME=$work/cache PATH=$PATH:/usr/sbin:/sbin
command -v depmod >/dev/null || { echo 'skipped: there is no depmod'; exit 0; }

mkdir -p "$work/root/lib/modules" "$work/config"
cp -r --reflink=auto "$modules" "$work/root/lib/modules/"
folder=$work/root/lib/modules/$release
printf 'search extras built-in\n' >"$work/config/talos.conf"

# precise COMMAND…: wall time in ns; the peak in kB goes to the file `peak`.
precise() {
    local from to
    from=$(date +%s%N)
    /usr/bin/time -o "$work/timed" -f '%M' "$@" >/dev/null 2>"$work/err.log" || { cat "$work/err.log" >&2; exit 1; }
    to=$(date +%s%N)
    tail -1 "$work/timed" >"$work/peak"
    echo $((to - from))
}
median() { sort -n | awk '{v[NR]=$1} END{print v[int((NR+1)/2)]}'; }

a=() b=() ours=0 theirs=0
for run in $(seq 0 "$runs"); do
    x=$(precise "$talosmith" depmod "$folder" -q); p=$(cat "$work/peak"); [ "$p" -le "$ours" ] || ours=$p
    y=$(precise depmod -b "$work/root" -C "$work/config" "$release"); p=$(cat "$work/peak"); [ "$p" -le "$theirs" ] || theirs=$p
    [ "$run" = 0 ] || { a+=("$x"); b+=("$y"); } # the first only warms the page cache
done
x=$(printf '%s\n' "${a[@]}" | median); y=$(printf '%s\n' "${b[@]}" | median)
printf '%s modules, medians of %s\n' "$(find "$folder" -name '*.ko*' | wc -l)" "$runs"
awk -v x="$x" -v y="$y" -v p="$ours" -v q="$theirs" 'BEGIN{
    printf "talosmith depmod %8.3f s  peak %6.1f MB\n", x/1e9, p/1024
    printf "kmod depmod      %8.3f s  peak %6.1f MB\n", y/1e9, q/1024
    printf "ratio            %8.2f\n", x/y }'
