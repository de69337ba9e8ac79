# A stand-in for a kernel of arm64, as standin_kernel.S is one for x86: an EFI zboot file (kernel:
# drivers/firmware/efi/libstub/zboot-header.S) whose payload boots nowhere. Started as an EFI program it says so
# and gives back EFI_UNSUPPORTED.
#
# PAYLOAD is a file: the compressed Image, with its size behind it.

_start:
        .ascii  "MZ"
        .org    0x04
        .ascii  "zimg"
        .long   payload - _start
        .long   payload_end - payload - 4       /* without the size behind it */
        .org    0x18
        .asciz  "zstd"
        .org    0x38
        .long   0x818223cd                      /* as Linux marks its PE files */
        .long   pe_header - _start
pe_header:
        .ascii  "PE\0\0"
        .hword  0xaa64                          /* arm64 */
        .hword  2                               /* sections */
        .long   0, 0, 0                         /* time stamp, no symbols */
        .hword  optional_end - optional
        .hword  0x206                           /* executable, no line numbers, no debug information */
optional:
        .hword  0x20b                           /* PE32+ */
        .byte   2, 0x14
        .long   text_end - text                 /* SizeOfCode */
        .long   data_end - data                 /* SizeOfInitializedData */
        .long   0
        .long   efi_entry - _start              /* AddressOfEntryPoint */
        .long   text - _start                   /* BaseOfCode */
        .quad   0                               /* ImageBase */
        .long   0x1000, 0x200                   /* SectionAlignment, FileAlignment */
        .hword  0, 0, 3, 0, 0, 0                /* image version: LoadFile2 can be told of the initrd */
        .long   0
        .long   data_end - _start               /* SizeOfImage */
        .long   text - _start                   /* SizeOfHeaders */
        .long   0
        .hword  10                              /* EFI application */
        .hword  0x100                           /* NX compatible */
        .quad   0, 0, 0, 0
        .long   0
        .long   6                               /* data directories */
        .quad   0, 0, 0, 0, 0, 0
optional_end:
        .ascii  ".text\0\0\0"
        .long   text_end - text, text - _start, text_end - text, text - _start
        .long   0, 0
        .hword  0, 0
        .long   0x60000020
        .ascii  ".data\0\0\0"
        .long   data_end - data, data - _start, data_end - data, data - _start
        .long   0, 0
        .hword  0, 0
        .long   0xc0000040

        .org    0x1000
text:
efi_entry:
        stp     x29, x30, [sp, #-16]!
        ldr     x0, [x1, #0x40]                 /* SystemTable->ConOut */
        adr     x1, message
        ldr     x2, [x0, #8]                    /* OutputString */
        blr     x2
        mov     x0, #3
        movk    x0, #0x8000, lsl #48            /* EFI_UNSUPPORTED */
        ldp     x29, x30, [sp], #16
        ret
message:
        .string16 "This is a stand-in for a kernel.\r\n"
        .balign 0x1000
text_end:
data:
payload:
        .incbin PAYLOAD
payload_end:
        .balign 0x1000
data_end:
