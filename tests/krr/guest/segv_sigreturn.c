/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of many kinds are caught and repaired: the handler maps the page, or changes the
 * registers in the frame that sigreturn restores, or leaves by siglongjmp on its own stack.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "check.h"

#define ROUNDS 100

static sigjmp_buf escape;
static int faults;

static void repair(int number, siginfo_t *info, void *context)
{
    uintptr_t page = (uintptr_t)info->si_addr & ~4095ul;

    CHECK(number == SIGSEGV);
    CHECK(mprotect((void *)page, 4096, PROT_READ | PROT_WRITE) == 0);
    faults++;
    (void)context;
}

/* ud2 is two bytes long; the frame's RIP and RAX are changed. */
static void skip(int number, siginfo_t *info, void *context)
{
    ucontext_t *frame = context;

    CHECK(number == SIGILL);
    frame->uc_mcontext.gregs[REG_RIP] += 2;
    frame->uc_mcontext.gregs[REG_RAX] = 4711;
    faults++;
    (void)info;
}

static void leave(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    (void)context;
    faults++;
    siglongjmp(escape, 1);
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    CHECK(sigaction(number, &action, NULL) == 0);
}

int main(void)
{
    static char alternate[65536];
    stack_t stack = { .ss_sp = alternate, .ss_size = sizeof(alternate) };
    volatile char *pages = mmap(NULL, ROUNDS * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile int *volatile nowhere = (int *)8;
    long result;

    CHECK(pages != MAP_FAILED);
    CHECK(sigaltstack(&stack, NULL) == 0);
    handle(SIGSEGV, repair);
    for (int i = 0; i < ROUNDS; i++) {
        pages[i * 4096 + i] = i;
        CHECK(pages[i * 4096 + i] == (char)i);
    }
    handle(SIGILL, skip);
    for (int i = 0; i < ROUNDS; i++) {
        asm volatile("ud2" : "=a"(result) : "a"(0) : "memory");
        CHECK(result == 4711);
    }
    handle(SIGSEGV, leave);
    handle(SIGFPE, leave);
    for (volatile int i = 0; i < ROUNDS; i++) {
        if (sigsetjmp(escape, 1) == 0) {
            if (i % 2) {
                *nowhere = 1;
            } else {
                asm volatile("xorl %%ecx, %%ecx; divl %%ecx" : : : "eax", "ecx", "edx", "memory");
            }
            CHECK(!"not reached");
        }
    }
    CHECK(faults == 3 * ROUNDS);
    printf("segv_sigreturn: %d faults\n", faults);
    return 0;
}
