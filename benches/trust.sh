#!/usr/bin/env bash
# How fast all modules of a kernel are verified: `talosmith check dir:…`, which reads the kernel, its keys and
# symbols, and runs every other rule too, beside openssl, one process a module. openssl verifies a sample only;
# its time for all modules is extrapolated by their number and says so. Both have the modules in the page cache.
# The first run of talosmith has an empty cache, the others know the files' digests and the kernel's facts
# already; each process's peak is the largest. Nothing here is asserted.
#
#   benches/trust.sh FOLDER [N] [SAMPLE]
#       FOLDER: an unpacked kernel package, with boot/vmlinuz-RELEASE and lib/modules/RELEASE (or below usr/)
#
# Wants: cargo build --release; openssl, python3, zstd, GNU time.
set -euo pipefail

folder=${1:?usage: benches/trust.sh FOLDER [N] [SAMPLE]}
folder=$(cd "$folder" && pwd)
runs=${2:-5} sample=${3:-200}
here=$(cd "$(dirname "$0")/.." && pwd)
talosmith=${TALOSMITH:-$here/target/release/talosmith}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export HOME=$work/home XDG_CACHE_HOME=$work/cache
for program in openssl python3 zstd; do
    command -v "$program" >/dev/null || { echo "skipped: there is no $program"; exit 0; }
done

kernel=$(find "$folder/boot" -name 'vmlinuz-*' | sort | head -n 1)
release=${kernel##*/vmlinuz-}
modules=$folder/lib/modules/$release
[ -d "$modules" ] || modules=$folder/usr/lib/modules/$release
mkdir -p "$work/image/boot" "$work/image/usr/lib/modules" "$work/parts"
cp "$kernel" "$work/image/boot/vmlinuz"
cp -r --reflink=auto "$modules" "$work/image/usr/lib/modules/"
mapfile -t all < <(find "$work/image" -name '*.ko' | sort)

# The modules of the sample in two parts, `N.content` and `N.p7s`, and the kernel's certificates.
python3 - "$work/parts" "$kernel" "$sample" "${all[@]}" <<'P'
import lzma, struct, subprocess, sys, zlib
folder, kernel, count, modules = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]
count = min(count, len(modules))
for number in range(count):
    data = open(modules[number * len(modules) // count], 'rb').read()
    length = struct.unpack('>I', data[-32:-28])[0]
    end = len(data) - 40
    open(f'{folder}/{number}.content', 'wb').write(data[:end - length])
    open(f'{folder}/{number}.p7s', 'wb').write(data[end - length:end])
data = open(kernel, 'rb').read()
if data[0x202:0x206] == b'HdrS':
    start = (data[0x1f1] + 1) * 512 + struct.unpack('<I', data[0x248:0x24c])[0]
    data = data[start:start + struct.unpack('<I', data[0x24c:0x250])[0]]
elif data[4:8] == b'zimg':
    start, length = struct.unpack('<II', data[8:16])
    data = data[start:start + length]
if data[:2] == b'\x1f\x8b':
    data = zlib.decompressobj(31).decompress(data)
elif data[:6] == b'\xfd7zXZ\0':
    data = lzma.LZMADecompressor().decompress(data)
elif data[:4] == b'\x28\xb5\x2f\xfd':
    data = subprocess.run(['zstd', '-dcq'], input=data[:-4], stdout=subprocess.PIPE).stdout
found = place = 0
while (place := data.find(b'\xa0\x03\x02\x01\x02', place + 1)) >= 0:
    start = place - 8
    if data[start:start + 2] == b'\x30\x82' and data[start + 4:start + 6] == b'\x30\x82':
        length = 4 + struct.unpack('>H', data[start + 2:start + 4])[0]
        open(f'{folder}/{found}.der', 'wb').write(data[start:start + length])
        found += 1
P
cd "$work/parts"
by_openssl() { openssl cms -verify -binary -inform DER -in "$1.p7s" -content "$1.content" -certfile "$2" -nointern -noverify -out /dev/null 2>/dev/null; }
certificate=
for der in *.der; do
    openssl x509 -inform DER -in "$der" -out "$der.pem" 2>/dev/null || continue
    if by_openssl 0 "$der.pem"; then certificate=$der.pem; fi
done
[ -n "$certificate" ] || { echo 'error: openssl finds no certificate in the kernel that verifies its first module' >&2; exit 1; }

median() { sort -n | awk '{v[NR]=$1} END{print v[int((NR+1)/2)]}'; }
# timed COMMAND…: wall time in ns; the peak in kB goes to the file `peak`.
timed() {
    local from to
    from=$(date +%s%N)
    /usr/bin/time -o "$work/timed" -f '%M' "$@" >"$work/out.log" 2>&1 || { cat "$work/out.log" >&2; exit 1; }
    to=$(date +%s%N)
    tail -1 "$work/timed" >"$work/peak"
    echo $((to - from))
}
checked() { timed "$talosmith" check "dir:$work/image"; }
sampled() {
    local number from to
    from=$(date +%s%N)
    for number in $(seq 0 $((taken - 1))); do
        by_openssl "$number" "$certificate" || { echo "error: openssl refuses module $number of the sample" >&2; exit 1; }
    done
    to=$(date +%s%N)
    echo $((to - from))
}
taken=$(find . -name '*.p7s' | wc -l)
cat "${all[@]}" >/dev/null
first=$(checked) ours=$(cat "$work/peak")
a=() b=()
for _ in $(seq "$runs"); do
    a+=("$(checked)"); p=$(cat "$work/peak"); [ "$p" -le "$ours" ] || ours=$p
    b+=("$(sampled)")
done
timed openssl cms -verify -binary -inform DER -in 0.p7s -content 0.content -certfile "$certificate" -nointern \
    -noverify -out /dev/null >/dev/null
theirs=$(cat "$work/peak")
x=$(printf '%s\n' "${a[@]}" | median); y=$(printf '%s\n' "${b[@]}" | median)
printf '%s modules of %s, medians of %s\n' "${#all[@]}" "$release" "$runs"
awk -v f="$first" -v x="$x" -v y="$y" -v p="$ours" -v q="$theirs" -v n="${#all[@]}" -v s="$taken" 'BEGIN{
    printf "talosmith check, cache empty %8.3f s\n", f/1e9
    printf "talosmith check, cache warm  %8.3f s  peak %6.1f MB\n", x/1e9, p/1024
    printf "openssl, %4d modules        %8.3f s  peak %6.1f MB\n", s, y/1e9, q/1024
    printf "openssl, all (extrapolated)  %8.3f s\n", y/1e9*n/s
    printf "ratio                        %8.3f\n", x/(y*n/s) }'
