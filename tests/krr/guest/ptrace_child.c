/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A debugger at work: system call stops, single steps, memory and registers read and changed. */
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>

#include "check.h"

#define STEPS 200
/* Intel SDM volume 1, 13.4: where a saved image says which parts it has. */
#define XSTATE_BV_OFFSET 512
/* Linux, struct _fpx_sw_bytes: where its own view of an image says which parts there can be. */
#define XSTATE_CAN_OFFSET 464

static volatile long target = 1;

static void child(void)
{
    CHECK(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    CHECK(raise(SIGSTOP) == 0);
    for (int i = 0; i < 100; i++) {
        syscall(SYS_getppid);
    }
    /* The debugger has changed it. */
    _exit(target == 4711 ? 42 : 1);
}

static void wait_stop(pid_t pid, int signal)
{
    int status;

    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == signal);
}

/* The kernel goes part by part through the state that the CPU has saved; how many there are is up to the CPU. */
static void look_at_saved_state(pid_t pid)
{
    static char image[8192] __attribute__((aligned(64)));
    struct iovec view = { image, sizeof(image) };
    uint64_t saved, possible;

    CHECK(ptrace(PTRACE_GETREGSET, pid, (void *)NT_X86_XSTATE, &view) == 0);
    CHECK(view.iov_len > XSTATE_BV_OFFSET);
    memcpy(&saved, image + XSTATE_BV_OFFSET, sizeof(saved));
    memcpy(&possible, image + XSTATE_CAN_OFFSET, sizeof(possible));
    CHECK((saved & ~possible) == 0);
}

int main(void)
{
    struct user_regs_struct regs;
    struct iovec local, remote = { (void *)&target, sizeof(target) };
    long value = 0, calls = 0;
    int status;
    pid_t pid = check_fork();

    if (pid == 0) {
        child();
    }
    wait_stop(pid, SIGSTOP);
    CHECK(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD) == 0);
    for (int i = 0; i < STEPS; i++) {
        CHECK(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
        wait_stop(pid, SIGTRAP);
        CHECK(ptrace(PTRACE_GETREGS, pid, NULL, &regs) == 0);
        CHECK(regs.rip != 0);
        look_at_saved_state(pid);
    }
    errno = 0;
    CHECK(ptrace(PTRACE_PEEKDATA, pid, &target, NULL) == 1 && errno == 0);
    CHECK(ptrace(PTRACE_POKEDATA, pid, &target, 4711L) == 0);
    local = (struct iovec){ &value, sizeof(value) };
    CHECK(process_vm_readv(pid, &local, 1, &remote, 1, 0) == sizeof(value));
    CHECK(value == 4711);
    for (;;) {
        CHECK(ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0);
        CHECK(waitpid(pid, &status, 0) == pid);
        if (WIFEXITED(status)) {
            break;
        }
        CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80));
        calls++;
    }
    CHECK(WEXITSTATUS(status) == 42);
    CHECK(calls > 30);
    printf("ptrace_child: %d steps\n", STEPS);
    return 0;
}
