# A stand-in for a kernel image: what readers of kernels read (boot header, version, payload, PE headers),
# and no kernel. Started as an EFI program it says so and gives back EFI_UNSUPPORTED; started in any other
# way it halts. Fields after the Linux kernel's Documentation/arch/x86/boot.rst and the PE format; the
# sections lie where they lie in the file, as in kernels before 6.7.
#
# PAYLOAD is a file (the compressed "vmlinux" and its size), VERSION the text of the version.

        .code64
        .globl  _start
_start:
# --- DOS and PE headers, in the boot sector ---
        .ascii  "MZ"
        .org    0x3c
        .long   pe_header
pe_header:
        .ascii  "PE\0\0"
        .word   0x8664                          # x86-64
        .word   2                               # sections
        .long   0, 0, 0                         # time stamp, no symbols
        .word   optional_end - optional
        .word   0x206                           # executable, no line numbers, no debug information
optional:
        .word   0x20b                           # PE32+
        .byte   2, 0x14
        .long   text_end - text                 # SizeOfCode
        .long   data_end - data                 # SizeOfInitializedData
        .long   0
        .long   efi_entry                       # AddressOfEntryPoint
        .long   text                            # BaseOfCode
        .quad   0                               # ImageBase
        .long   0x200, 0x200                    # SectionAlignment, FileAlignment
        .word   0, 0, 3, 0, 0, 0                # image version: LoadFile2 can be told of the initrd
        .long   0
        .long   data_end                        # SizeOfImage
        .long   text                            # SizeOfHeaders
        .long   0
        .word   10                              # EFI application
        .word   0x100                           # NX compatible
        .quad   0, 0, 0, 0
        .long   0
        .long   6                               # data directories
        .quad   0, 0, 0, 0, 0, 0
optional_end:
        .ascii  ".text\0\0\0"
        .long   text_end - text, text, text_end - text, text
        .long   0, 0
        .word   0, 0
        .long   0x60000020
        .ascii  ".data\0\0\0"
        .long   data_end - data, data, data_end - data, data
        .long   0, 0
        .word   0, 0
        .long   0xc0000040

# --- the boot header ---
        .org    0x1f1
        .byte   1                               # setup sectors after the boot sector
        .word   1
        .long   (data_end - text) / 16          # syssize, in paragraphs
        .word   0, 0xffff, 0
        .word   0xaa55
        .byte   0xeb, header_end - 0x202        # a short jump over the header
        .ascii  "HdrS"
        .word   0x20f
        .long   0
        .word   0
        .word   version - 0x200
        .byte   0, 1                            # loaded high
        .word   0
        .long   0x100000, 0, 0, 0
        .word   0
        .byte   0, 0
        .long   0, 0x7fffffff
        .long   0x200000                        # alignment
        .byte   1, 21                           # relocatable
        .word   3                               # 64 bits, can lie above 4 GiB
        .long   2047                            # longest command line
        .long   0
        .quad   0
        .long   payload - text, payload_end - payload
        .quad   0, 0x1000000
        .long   0x1000000                       # init_size
        .long   0, 0
header_end:
        hlt
        jmp     header_end
version:
        .asciz  VERSION

# --- what is loaded ---
        .org    0x400
text:
        hlt                                     # the 32-bit entry
        jmp     text
efi_entry:
        subq    $40, %rsp
        movq    0x40(%rdx), %rcx                # SystemTable->ConOut
        leaq    message(%rip), %rdx
        callq   *8(%rcx)                        # OutputString
        movabsq $0x8000000000000003, %rax       # EFI_UNSUPPORTED
        addq    $40, %rsp
        ret
        .balign 2
message:
        .string16 "This is a stand-in for a kernel.\r\n"
        .balign 0x200
text_end:
data:
payload:
        .incbin PAYLOAD
payload_end:
        .balign 0x200
data_end:
