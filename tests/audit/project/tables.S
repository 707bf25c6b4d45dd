# Data among code: as instructions, these bytes would be vaddps (%rax),%ymm0,%ymm0 and so on.
        .text
        .type   constants, @object
        .p2align 4
constants:
        .byte   0xc5, 0xfc, 0x58, 0x00, 0xc5, 0xfc, 0x58, 0x00
        .byte   0xc5, 0xfc, 0x58, 0x00, 0xc5, 0xfc, 0x58, 0x00
        .size   constants, . - constants

        .globl  read_constants
        .type   read_constants, @function
read_constants:
        movl    constants(%rip), %eax
        ret
        .size   read_constants, . - read_constants

        .data
        .globl  table_start
table_start:
        .float  2.0
        .section .note.GNU-stack,"",@progbits
