/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands for a vmlinux in test-tool: symbols at kernel addresses, never run. */
__asm__(".text\n"
        ".globl _text\n"
        "_text:\n"
        ".type first_function, @function\n"
        "first_function:\n"
        ".fill 32, 1, 0x90\n"
        ".size first_function, . - first_function\n"
        ".fill 32, 1, 0x90\n"
        ".type second_function, @function\n"
        "second_function:\n"
        ".fill 64, 1, 0x90\n"
        ".size second_function, . - second_function\n");
