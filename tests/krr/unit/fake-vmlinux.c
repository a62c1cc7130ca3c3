/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands for a vmlinux in test-tool: symbols at kernel addresses, hooks; never run. */
#include <linux/krr.h>

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

#define THUNK(name, hook)                                   \
    ".type " #name ", @function\n"                          \
    #name ":\n"                                             \
    ".byte 0x0f, 0x1f, 0x84, 0x00\n"                        \
    ".long " TEXT(KRR_NOP_MAGIC) " | " TEXT(hook) "\n"      \
    "ret\n"                                                 \
    ".size " #name ", . - " #name "\n"

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
        ".size second_function, . - second_function\n"
        THUNK(krr_in_tsc, KRR_KIND_TSC)
        THUNK(krr_entry, KRR_HOOK_ENTRY)
        THUNK(krr_safepoint_throttled, KRR_HOOK_SAFEPOINT)
        THUNK(krr_release, KRR_HOOK_RELEASE)
        THUNK(krr_acquire, KRR_HOOK_ACQUIRE)
        ".section .init.text, \"ax\"\n"
        ".type boot_function, @function\n"
        "boot_function:\n"
        "call krr_in_tsc\n"
        ".size boot_function, . - boot_function\n"
        ".text\n");

void hooked_function(void);

/* At _text + 0x100; the calls are five bytes each. The last two go nowhere near a thunk's start. */
__attribute__((naked, aligned(256))) void hooked_function(void)
{
    __asm__ volatile("call krr_in_tsc");
    __asm__ volatile("call krr_safepoint_throttled");
    __asm__ volatile("call krr_release");
    __asm__ volatile("call krr_in_tsc");
    __asm__ volatile("call krr_entry");
    __asm__ volatile("call krr_acquire");
    __asm__ volatile("call krr_in_tsc + 1");
    __asm__ volatile("call . + 0x1000000");
}
