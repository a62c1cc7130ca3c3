/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Faults of many kinds are caught and repaired: the handler maps the page, or changes the
 * registers in the frame that sigreturn restores, or leaves by siglongjmp on its own stack. Frames
 * whose FPU registers cannot be restored are the end of a process.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "check.h"

#define ROUNDS 100
#define CONTENDED 10
/* Linux, struct _fpx_sw_bytes: size of all that a frame has of the FPU. */
#define SIZE_OFFSET 468
/* In the header of XSAVE's image; 0, or XRSTOR raises #GP (SDM volume 1, 13.8.1). */
#define XCOMP_BV_OFFSET 520

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

/* The FPU registers are restored from a place of our choice. */
static fpregset_t elsewhere;

static void move_registers(int number, siginfo_t *info, void *context)
{
    ucontext_t *frame = context;
    uint32_t size;

    (void)number;
    (void)info;
    memcpy(&size, (char *)frame->uc_mcontext.fpregs + SIZE_OFFSET, sizeof(size));
    memcpy(elsewhere, frame->uc_mcontext.fpregs, size);
    frame->uc_mcontext.fpregs = elsewhere;
    frame->uc_mcontext.gregs[REG_RIP] += 2;
}

static void handle(int number, void (*handler)(int, siginfo_t *, void *))
{
    struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK };

    CHECK(sigaction(number, &action, NULL) == 0);
}

static volatile uint64_t *layout(void)
{
    return (volatile uint64_t *)((char *)elsewhere + XCOMP_BV_OFFSET);
}

static void wrong_header(int number, siginfo_t *info, void *context)
{
    move_registers(number, info, context);
    *layout() = 1;
}

static void lost_page(int number, siginfo_t *info, void *context)
{
    move_registers(number, info, context);
    CHECK(mprotect((char *)((uintptr_t)elsewhere & ~4095ul) + 4096, 4096, PROT_NONE) == 0);
}

static void *change_header(void *unused)
{
    for (;;) {
        *layout() = 1;
        *layout() = 0;
    }
    return unused;
}

/* A child restores such registers: to the end, or until it is killed. */
static int child_restores(void (*handler)(int, siginfo_t *, void *), int contended)
{
    pid_t pid = check_fork();
    int status;

    if (pid == 0) {
        char *pages = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pthread_t thread;

        CHECK(pages != MAP_FAILED);
        /* What comes behind the control words, with the header, is on the next page. */
        elsewhere = (fpregset_t)(pages + 4096 - 64);
        signal(SIGSEGV, SIG_DFL);
        handle(SIGILL, handler);
        CHECK(!contended || pthread_create(&thread, NULL, change_header, NULL) == 0);
        for (int i = 0; i < ROUNDS; i++) {
            asm volatile("ud2" ::: "memory");
        }
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
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
    CHECK(child_restores(move_registers, 0) == 0);
    CHECK(child_restores(wrong_header, 0) == 1);
    CHECK(child_restores(lost_page, 0) == 1);
    for (int i = 0; i < CONTENDED; i++) {
        child_restores(move_registers, 1);
    }
    printf("segv_sigreturn: %d faults\n", faults);
    return 0;
}
