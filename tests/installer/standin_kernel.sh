#!/usr/bin/env bash
# standin_kernel.sh ARCH RELEASE CONFIG CERTIFICATE OUT
#
# Makes a stand-in for a kernel of that architecture (amd64, arm64) and release: small, read by everything that
# reads kernels, and boots nowhere. CONFIG is a kernel's .config, of which the lines that an initramfs and its
# layers depend on are embedded; CERTIFICATE (DER) is the key that it says it trusts. Wants gzip, zstd, binutils
# (of arm64: binutils-aarch64-linux-gnu).
set -euo pipefail
arch=$1 release=$2 config=$(realpath "$3") certificate=$(realpath "$4") out=$(realpath -m "$5")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
case $arch in
amd64) tools='' options=(--64 --defsym ARM64=0 --defsym ALIGNMENT=8) machine='' ;;
arm64) tools=aarch64-linux-gnu- options=(--defsym ARM64=1 --defsym ALIGNMENT=256) machine=aarch64 ;;
esac

quoted() { printf '"%s"' "$1"; }
assemble() { # SOURCE OBJECT DEFINE...
    local source=$1 object=$2
    shift 2
    # By sed, since the assembler's own --defsym knows numbers only.
    sed "$@" "$here/$source" | "${tools}as" "${options[@]}" -o "$object" -
}

grep -E '^(# )?CONFIG_(64BIT|X86_64|ARM64|EFI|EFI_STUB|EFI_ZBOOT|RD_[A-Z0-9]+|SQUASHFS(_[A-Z]+)?|OVERLAY_FS|BLK_DEV_LOOP|MODULES|MODVERSIONS|MODULE_SIG(_[A-Z0-9]+)*|FW_LOADER(_COMPRESS(_[A-Z]+)?)?|IKCONFIG|MICROCODE|SECURITY_(SELINUX|LOCKDOWN_LSM)|DEVTMPFS)[= ]' \
    "$config" | gzip -9n >config.gz
assemble standin_vmlinux.S vmlinux.o \
    -e "s|VERSION\$|$(quoted "$release (stand-in) #1 SMP PREEMPT_DYNAMIC")|" \
    -e "s|VERMAGIC\$|$(quoted "$release SMP preempt mod_unload modversions $machine")|" \
    -e "s|CONFIG\$|$(quoted config.gz)|" -e "s|CERTIFICATE\$|$(quoted "$certificate")|"
case $arch in
amd64)
    ld -e 0 -Ttext=0xffffffff81000000 -o vmlinux vmlinux.o
    objcopy --strip-all vmlinux
    ;;
arm64)
    # As the kernel's build makes an Image: nothing but the bytes, as they lie in memory.
    "${tools}ld" -e 0 -Ttext=0 -o vmlinux.elf vmlinux.o
    "${tools}objcopy" -O binary vmlinux.elf vmlinux
    ;;
esac
zstd -q -19 --no-check vmlinux -o payload
# The kernel's build appends the unpacked size (scripts/Makefile.lib, size_append).
size=$(stat -c %s vmlinux)
for shift in 0 8 16 24; do
    printf "\\x$(printf %02x $((size >> shift & 255)))" >>payload
done
case $arch in amd64) source=standin_kernel.S ;; arm64) source=standin_arm64.S ;; esac
assemble "$source" kernel.o \
    -e "s|VERSION\$|$(quoted "$release (stand-in) #1 SMP PREEMPT_DYNAMIC")|" -e "s|PAYLOAD\$|$(quoted payload)|"
"${tools}ld" -Ttext=0 -e 0 -o kernel.elf kernel.o
"${tools}objcopy" -O binary -j .text kernel.elf "$out"
