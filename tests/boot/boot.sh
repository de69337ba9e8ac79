#!/usr/bin/env bash
# boot.sh [--arch amd64|arm64] INITRAMFS VMLINUZ [CMDLINE]
# boot.sh [--arch amd64|arm64] --uki UKI.efi
#
# Boots in QEMU (software emulation, no KVM) and prints the serial console; a UKI by the UEFI firmware.
# Exit code: 0  the expected line was seen
#            1  the boot reached its end without that line
#            2  usage, or a program or firmware is missing
#            3  no verdict: time limit, or the guest stopped before its end
# A broken image so never counts as one that refuses a module: for a refusal expect the refusal's line.
# Environment:
#   BOOT_EXPECT  extended regular expression of success (default: the kernel's line "my-module: loaded, version")
#   BOOT_END     that of "the boot reached its end"
#   BOOT_LIMIT   seconds (120)      BOOT_MEM  MiB (1024)      BOOT_ARGS  more arguments for QEMU
# Wants qemu-system-x86 and ovmf, or qemu-system-arm and qemu-efi-aarch64.
set -u
usage() {
    sed -n '2,3s/^# /usage: /p' "$0" >&2
    exit 2
}
arch=amd64
if [ "${1-}" = --arch ]; then
    [ $# -ge 2 ] || usage
    arch=$2
    shift 2
fi
expect=${BOOT_EXPECT:-'^\[ *[0-9.]+\] my-module: loaded, version'}
end=${BOOT_END:-'\[stand-in\] done|\[own-init\] FAILED|Kernel panic'}
limit=${BOOT_LIMIT:-120}
words='talos.platform=metal slab_nomerge pti=on consoleblank=0 printk.devkmsg=on module.sig_enforce=1 panic=-1'

# The first of these files that there is.
first() {
    for file in "$@"; do
        [ ! -f "$file" ] || { echo "$file"; return; }
    done
    echo "boot.sh: there is none of $*" >&2
    exit 2
}
case $arch in
amd64)
    qemu=(qemu-system-x86_64 -machine q35 -cpu max)
    words="console=ttyS0 $words"
    firmware=(/usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd)
    ;;
arm64)
    # The default pointer authentication is slow to emulate.
    qemu=(qemu-system-aarch64 -machine virt -cpu max,pauth-impdef=on)
    words="console=ttyAMA0 $words"
    firmware=(/usr/share/AAVMF/AAVMF_CODE.no-secboot.fd /usr/share/AAVMF/AAVMF_CODE.fd)
    ;;
*) usage ;;
esac
command -v "${qemu[0]}" >/dev/null || { echo "boot.sh: there is no program ${qemu[0]}" >&2; exit 2; }

work=$(mktemp -d)
guest=
finish() {
    [ -z "$guest" ] || kill "$guest" 2>/dev/null
    rm -rf "$work"
}
trap finish EXIT
qemu+=(-accel tcg,thread=multi -m "${BOOT_MEM:-1024}" -smp 2 -display none -no-reboot -nodefaults
    -serial "file:$work/log" -net none -monitor none)
case ${1-} in
--uki)
    [ $# = 2 ] && [ -f "$2" ] || usage
    code=$(first "${firmware[@]}") || exit 2
    variables=$(first "${code/CODE/VARS}" /usr/share/AAVMF/AAVMF_VARS.fd) || exit 2
    cp "$variables" "$work/vars.fd"
    qemu+=(-drive "if=pflash,format=raw,unit=0,readonly=on,file=$code"
        -drive "if=pflash,format=raw,unit=1,file=$work/vars.fd" -kernel "$2")
    ;;
-* | '') usage ;;
*)
    [ $# -ge 2 ] && [ $# -le 3 ] && [ -f "$1" ] && [ -f "$2" ] || usage
    qemu+=(-kernel "$2" -initrd "$1" -append "${3-$words}")
    ;;
esac

: >"$work/log"
start=$SECONDS
# shellcheck disable=SC2086
"${qemu[@]}" ${BOOT_ARGS-} </dev/null 2>"$work/errors" &
guest=$!
why="time limit of $limit s"
while [ $((SECONDS - start)) -lt "$limit" ]; do
    # The guest is asked first: what it wrote before it stopped is then all there.
    running=yes
    kill -0 "$guest" 2>/dev/null || running=no
    # The end, not the expected line alone: what comes between belongs to the verdict of who reads this.
    grep -qaE "$end" "$work/log" && { why="the end was seen"; break; }
    [ $running = yes ] || { why="the guest stopped"; break; }
    sleep 0.2
done
kill "$guest" 2>/dev/null
wait "$guest" 2>/dev/null
guest=
tr -d '\r' <"$work/log" | sed 's/\x1b\[[0-9;=?]*[a-zA-Z]//g' >"$work/plain"
cat "$work/plain"
grep -v 'terminating on signal' "$work/errors" >&2
if grep -qaE "$expect" "$work/plain"; then
    code=0 verdict='expected line seen'
elif grep -qaE "$end" "$work/plain"; then
    code=1 verdict='expected line not seen'
else
    code=3 verdict='no verdict'
fi
echo "boot.sh: $verdict ($why, $((SECONDS - start)) s)"
exit $code
