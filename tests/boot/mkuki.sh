#!/usr/bin/env bash
# mkuki.sh STUB VMLINUZ INITRAMFS CMDLINE OUT.efi
#
# A UKI by objcopy, unsigned, of the least that systemd's stub wants. Wants binutils, python3.
set -euo pipefail
stub=$1 kernel=$2 initramfs=$3 cmdline=$4 out=$5
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf 'NAME="Boot Test"\nID=boottest\nVERSION_ID=1\nPRETTY_NAME="Boot Test"\n' >"$work/osrel"
printf '%s' "$cmdline" >"$work/cmdline"
# Not by objdump, which may not know the stub's architecture: the end of the last section in memory.
end=$(python3 - "$stub" <<'PE'
import struct, sys
pe = open(sys.argv[1], "rb").read()
at = struct.unpack_from("<I", pe, 0x3C)[0]
count, optional = struct.unpack_from("<H", pe, at + 6)[0], struct.unpack_from("<H", pe, at + 20)[0]
table = at + 24 + optional
print(max(sum(struct.unpack_from("<II", pe, table + 40 * i + 8)) for i in range(count)))
PE
)
round_up() { echo $((($1 + 4095) / 4096 * 4096)); }
at=$(round_up "$end")
words=()
for section in osrel:$work/osrel cmdline:$work/cmdline linux:$kernel initrd:$initramfs; do
    file=${section#*:}
    words+=(--add-section ".${section%%:*}=$file" --change-section-vma ".${section%%:*}=$at")
    at=$(round_up $((at + $(stat -L -c %s "$file"))))
done
"${OBJCOPY:-objcopy}" "${words[@]}" "$stub" "$out"
