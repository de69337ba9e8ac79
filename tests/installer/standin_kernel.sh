#!/usr/bin/env bash
# standin_kernel.sh RELEASE CONFIG CERTIFICATE OUT
#
# Makes a stand-in for an x86-64 kernel of that release: small, read by everything that reads kernels, and
# boots nowhere. CONFIG is a kernel's .config, of which the lines that an initramfs and its layers depend on
# are embedded; CERTIFICATE (DER) is the key that it says it trusts. Wants binutils, gzip, zstd.
set -euo pipefail
release=$1 config=$(realpath "$2") certificate=$(realpath "$3") out=$(realpath -m "$4")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

quoted() { printf '"%s"' "$1"; }
as_x86() { # SOURCE OBJECT DEFINE...
    local source=$1 object=$2
    shift 2
    # By sed, since the assembler's own --defsym knows numbers only.
    sed "$@" "$here/$source" | as --64 -o "$object" -
}

grep -E '^(# )?CONFIG_(64BIT|X86_64|EFI|EFI_STUB|RD_[A-Z0-9]+|SQUASHFS(_[A-Z]+)?|OVERLAY_FS|BLK_DEV_LOOP|MODULES|MODVERSIONS|MODULE_SIG(_[A-Z0-9]+)*|FW_LOADER(_COMPRESS(_[A-Z]+)?)?|IKCONFIG|MICROCODE|SECURITY_(SELINUX|LOCKDOWN_LSM)|DEVTMPFS)[= ]' \
    "$config" | gzip -9n >config.gz
as_x86 standin_vmlinux.S vmlinux.o \
    -e "s|VERSION\$|$(quoted "$release (stand-in) #1 SMP PREEMPT_DYNAMIC")|" \
    -e "s|VERMAGIC\$|$(quoted "$release SMP preempt mod_unload modversions ")|" \
    -e "s|CONFIG\$|$(quoted config.gz)|" -e "s|CERTIFICATE\$|$(quoted "$certificate")|"
ld -e 0 -Ttext=0xffffffff81000000 -o vmlinux vmlinux.o
objcopy --strip-all vmlinux
zstd -q -19 --no-check vmlinux -o payload
# The kernel's build appends the unpacked size (scripts/Makefile.lib, size_append).
size=$(stat -c %s vmlinux)
for shift in 0 8 16 24; do
    printf "\\x$(printf %02x $((size >> shift & 255)))" >>payload
done
as_x86 standin_kernel.S kernel.o \
    -e "s|VERSION\$|$(quoted "$release (stand-in) #1 SMP PREEMPT_DYNAMIC")|" -e "s|PAYLOAD\$|$(quoted payload)|"
ld -Ttext=0 -e 0 -o kernel.elf kernel.o
objcopy -O binary -j .text kernel.elf "$out"
