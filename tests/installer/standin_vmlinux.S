# What a stand-in for a kernel holds unpacked: the texts that readers look for in a vmlinux (x86) or an Image
# (arm64). VERSION, VERMAGIC, CONFIG (gzip) and CERTIFICATE (DER) are given, ARM64 is 0 or 1, and ALIGNMENT what
# `.align 8` means to the architecture's assembler, in bytes.

        .if ARM64
        .text
        .org    0x38
        .ascii  "ARM\x64"                       /* Documentation/arch/arm64/booting.rst */
        .long   0
        .endif

        .section .rodata, "a"
banner: /* init/version-timestamp.c */
        .ascii  "Linux version "
        .ascii  VERSION
        .asciz  "\n"
        .asciz  VERMAGIC
        .balign 8
config: /* kernel/configs.c */
        .ascii  "IKCFG_ST"
        .incbin CONFIG
        .ascii  "IKCFG_ED"

        .section .init.rodata, "a"
        .balign ALIGNMENT
        .globl  system_certificate_list
system_certificate_list: /* certs/system_certificates.S */
list:
        .incbin CERTIFICATE
list_end:
        .balign ALIGNMENT
        .globl  system_certificate_list_size
system_certificate_list_size:
        .quad   list_end - list
        .balign ALIGNMENT
        .globl  module_cert_size
module_cert_size:
        .quad   list_end - list
