# What a stand-in for a kernel holds unpacked: the texts that readers look for in a vmlinux. VERSION, CONFIG
# (gzip) and CERTIFICATE (DER) are given.

        .section .rodata, "a"
banner: # init/version-timestamp.c
        .ascii  "Linux version "
        .ascii  VERSION
        .asciz  "\n"
        .asciz  VERMAGIC
        .balign 8
config: # kernel/configs.c
        .ascii  "IKCFG_ST"
        .incbin CONFIG
        .ascii  "IKCFG_ED"

        .section .init.rodata, "a"
        .balign 8
        .globl  system_certificate_list
system_certificate_list: # certs/system_certificates.S
list:
        .incbin CERTIFICATE
list_end:
        .balign 8
        .globl  system_certificate_list_size
system_certificate_list_size:
        .quad   list_end - list
        .globl  module_cert_size
module_cert_size:
        .quad   list_end - list
