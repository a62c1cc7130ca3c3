/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Exceptions of user code, one after the other: each ends up as a signal, with what the kernel says
 * about it. Some of them not every CPU raises (QEMU's emulator has no alignment checks, nor
 * unmasked exceptions of SSE, and a fault of the stack segment is any other); then the
 * instruction is just done.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include "check.h"

#define TRAP_FLAG       0x100
#define ALIGNMENT_FLAG  0x40000
/* DR7: DR0, four bytes, which are written, or written or read. */
#define WATCH_WRITES    0xd0001
#define WATCH_ALL       0xf0001
#define STEPS           20
#define NONE            (-1)

static sigjmp_buf back;
static volatile int code;

/* Sets or clears whether this thread's accesses have to be aligned. */
static inline void check_alignment(int on)
{
    /* Not over what the compiler may have below the stack pointer. */
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andl %0, (%%rsp); orl %1, (%%rsp); popfq;"
                     "lea 128(%%rsp), %%rsp"
                     :: "i"(~ALIGNMENT_FLAG), "r"(on ? ALIGNMENT_FLAG : 0) : "memory", "cc");
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    /* A handler has the flag as the program had it. */
    check_alignment(0);
    (void)context;
    code = info->si_code;
    siglongjmp(back, number);
}

static void catch_all(void)
{
    static const int numbers[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP };
    struct sigaction action = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        CHECK(sigaction(numbers[i], &action, NULL) == 0);
    }
}

static void divide(void)
{
    __asm__ volatile("xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx", "cc");
}

static void breakpoint(void)
{
    __asm__ volatile("int3");
}

static void overflow(void)
{
    __asm__ volatile("int $4");
}

static void single_step(void)
{
    __asm__ volatile("pushfq; orq %0, (%%rsp); popfq; nop; nop" :: "i"(TRAP_FLAG) : "memory", "cc");
}

static void undefined(void)
{
    __asm__ volatile("ud2");
}

static void privileged(void)
{
    __asm__ volatile("hlt");
}

static void stack_segment(void)
{
    __asm__ volatile("push %%rbp; mov %0, %%rbp; mov (%%rbp), %%rax; pop %%rbp"
                     :: "r"(1ul << 63) : "rax", "memory");
}

static void not_canonical(void)
{
    __asm__ volatile("mov (%0), %%al" :: "r"(1ul << 63) : "eax", "memory");
}

static void x87_divide(void)
{
    static const uint16_t unmasked = 0x37b;
    static const double one = 1, zero = 0;

    __asm__ volatile("fninit; fldcw %0; fldl %1; fdivl %2; fwait" :: "m"(unmasked), "m"(one), "m"(zero));
}

static void sse_divide(void)
{
    static const uint32_t unmasked = 0x1d80;
    static const float zero = 0;

    __asm__ volatile("ldmxcsr %0; mov $1, %%eax; cvtsi2ss %%eax, %%xmm0; divss %1, %%xmm0"
                     :: "m"(unmasked), "m"(zero) : "eax", "xmm0");
}

static void unaligned(void)
{
    static char bytes[16];

    check_alignment(1);
    __asm__ volatile("mov 1(%0), %%eax" :: "r"(bytes) : "eax", "memory");
    check_alignment(0);
}

/* User space is told a made-up address; the kernel finds that the operand is in GS. */
static void where_is_idt(void)
{
    __asm__ volatile("sidt %%gs:(%0)" :: "r"(0ul) : "memory");
}

static const struct {
    const char *name;
    void (*run)(void);
    int number, code;
    int elsewhere;              /* another number, NONE, or 0 */
} traps[] = {
    { "divide", divide, SIGFPE, FPE_INTDIV, 0 },
    { "breakpoint", breakpoint, SIGTRAP, SI_KERNEL, 0 },
    { "overflow", overflow, SIGSEGV, SI_KERNEL, 0 },
    { "single step", single_step, SIGTRAP, TRAP_TRACE, 0 },
    { "undefined", undefined, SIGILL, ILL_ILLOPN, 0 },
    { "privileged", privileged, SIGSEGV, SI_KERNEL, 0 },
    { "stack segment", stack_segment, SIGBUS, SI_KERNEL, SIGSEGV },
    { "not canonical", not_canonical, SIGSEGV, SI_KERNEL, 0 },
    { "x87 divide", x87_divide, SIGFPE, FPE_FLTDIV, 0 },
    { "sse divide", sse_divide, SIGFPE, FPE_FLTDIV, NONE },
    { "unaligned", unaligned, SIGBUS, BUS_ADRALN, NONE },
    { "where is the IDT", where_is_idt, SIGSEGV, SEGV_MAPERR, NONE },
};

static void trap(size_t i)
{
    int number;

    code = 0;
    number = sigsetjmp(back, 1);
    if (number == 0) {
        traps[i].run();
    }
    printf("traps: %s: signal %d, code %d\n", traps[i].name, number, code);
    CHECK((number == traps[i].number && code == traps[i].code) ||
          (traps[i].elsewhere && number == (traps[i].elsewhere == NONE ? 0 : traps[i].elsewhere)));
}

/* A child is gone before the exception of its x87 code can come: nobody gets it. */
static void never_comes(void)
{
    pid_t pid = check_fork();

    if (pid == 0) {
        static const uint16_t unmasked = 0x37b;
        static const double one = 1, zero = 0;

        __asm__ volatile("fninit; fldcw %0; fldl %1; fdivl %2" :: "m"(unmasked), "m"(one), "m"(zero));
        syscall(SYS_exit_group, 3);
    }
    check_wait(pid, 3);
}

/* A traced child goes on by a branch, or by an instruction where the CPU cannot do that. */
static void block_steps(void)
{
    pid_t pid = check_fork();
    int status;

    if (pid == 0) {
        CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        raise(SIGSTOP);
        for (int i = 0; i < STEPS; i++) {
            getppid();
        }
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    for (int i = 0; i < STEPS; i++) {
        CHECK(ptrace(PTRACE_SINGLEBLOCK, pid, 0, 0) == 0);
        CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
        CHECK(WSTOPSIG(status) == SIGTRAP);
    }
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    check_wait(pid, 0);
}

/* A child's registers of the FPU are set from outside. */
static void set_fpu_registers(void)
{
    struct user_fpregs_struct registers;
    pid_t pid = check_fork();
    int status;

    if (pid == 0) {
        uint32_t mxcsr;

        CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        raise(SIGSTOP);
        __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
        _exit(mxcsr == 0x9f80 ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    CHECK(ptrace(PTRACE_GETFPREGS, pid, 0, &registers) == 0);
    registers.mxcsr = 0x9f80;
    CHECK(ptrace(PTRACE_SETFPREGS, pid, 0, &registers) == 0);
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    check_wait(pid, 0);
}

/* A debugger watches a variable of a child's, which the kernel writes or reads: an exception in the
 * kernel, which tells nobody. */
static void watch_the_kernel(long how)
{
    static volatile int watched;
    size_t registers = offsetof(struct user, u_debugreg);
    int ends[2], status, value = 7;
    pid_t pid;

    CHECK(pipe(ends) == 0);
    pid = check_fork();
    if (pid == 0) {
        CHECK(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
        raise(SIGSTOP);
        if (how == WATCH_ALL) {
            CHECK(write(ends[1], (void *)&watched, sizeof(watched)) == sizeof(watched));
            _exit(0);
        }
        CHECK(read(ends[0], (void *)&watched, sizeof(watched)) == sizeof(watched));
        _exit(watched == 7 ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    CHECK(ptrace(PTRACE_POKEUSER, pid, registers, &watched) == 0);
    CHECK(ptrace(PTRACE_POKEUSER, pid, registers + 7 * sizeof(long), how) == 0);
    CHECK(ptrace(PTRACE_CONT, pid, 0, 0) == 0);
    CHECK(write(ends[1], &value, sizeof(value)) == sizeof(value));
    check_wait(pid, 0);
}

int main(void)
{
    catch_all();
    for (size_t i = 0; i < sizeof(traps) / sizeof(traps[0]); i++) {
        trap(i);
    }
    never_comes();
    block_steps();
    set_fpu_registers();
    watch_the_kernel(WATCH_WRITES);
    watch_the_kernel(WATCH_ALL);
    printf("traps: done\n");
    return 0;
}
