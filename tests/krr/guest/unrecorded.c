/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What cannot be recorded is refused while a recording runs, and keeps one from starting while it
 * is in use. Starts and stops the recording itself.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <asm/msr.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

#define PAGE        4096
#define RING        (2 * PAGE)

/* What is in use: a mapping or a file. */
static void *mapping;
static int file;

/* Maps the ring of a file, which is then closed. Returns 0, or -1 with errno. */
static int map(int fd)
{
    int saved;

    mapping = mmap(NULL, RING, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    saved = errno;
    CHECK(close(fd) == 0);
    errno = saved;
    return mapping == MAP_FAILED ? -1 : 0;
}

static void unmap(void)
{
    CHECK(munmap(mapping, RING) == 0);
}

static int map_counter(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_SOFTWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_SW_CONTEXT_SWITCHES,
    };
    int fd = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);

    CHECK(fd >= 0);
    return map(fd);
}

/* The recorder might be what hits it. */
static void break_in_kernel(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_BREAKPOINT,
        .size = sizeof(attributes),
        .bp_type = HW_BREAKPOINT_W,
        .bp_addr = 0xffffffff81000000,
        .bp_len = HW_BREAKPOINT_LEN_4,
    };

    CHECK(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0) == -1 && errno == EOPNOTSUPP);
}

/* It reads MSRs in a way of its own. */
static void read_msr_by_registers(void)
{
    uint32_t registers[8] = { [1] = 0x10 };
    int fd = open("/dev/cpu/0/msr", O_RDONLY);

    CHECK(fd >= 0);
    CHECK(ioctl(fd, X86_IOC_RDMSR_REGS, registers) == -1 && errno == EOPNOTSUPP);
    CHECK(close(fd) == 0);
}

static int open_file(const char *path)
{
    file = open(path, O_RDONLY);
    return file < 0 ? -1 : 0;
}

static int open_mem(void)
{
    return open_file("/dev/mem");
}

static int open_port(void)
{
    return open_file("/dev/port");
}

static int open_kcore(void)
{
    return open_file("/proc/kcore");
}

static void close_file(void)
{
    CHECK(close(file) == 0);
}

static const struct {
    const char *name;
    int (*begin)(void);
    void (*end)(void);
} uses[] = {
    { "performance counter", map_counter, unmap },
    { "/dev/mem", open_mem, close_file }, { "/dev/port", open_port, close_file },
    { "/proc/kcore", open_kcore, close_file },
};

#define USES (sizeof(uses) / sizeof(uses[0]))

/* Writes to the recorder's file; returns 0 or errno. */
static int control(const char *text)
{
    int fd = open("/sys/kernel/krr/record", O_WRONLY), err;

    CHECK(fd >= 0);
    err = write(fd, text, strlen(text)) < 0 ? errno : 0;
    CHECK(close(fd) == 0);
    return err;
}

/* What a child has inherited counts, whatever became of its parent's. */
static void inherited(void)
{
    pid_t pid;

    CHECK(open_mem() == 0);
    pid = check_fork();
    if (pid == 0) {
        for (;;) {
            pause();
        }
    }
    close_file();
    CHECK(control("1") == EBUSY);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

int main(void)
{
    for (size_t i = 0; i < USES; i++) {
        CHECK(uses[i].begin() == 0);
        CHECK(control("1") == EBUSY);
        uses[i].end();
        printf("no start: %s\n", uses[i].name);
    }
    inherited();
    break_in_kernel();
    read_msr_by_registers();
    fflush(NULL);
    CHECK(control("1") == 0);
    for (size_t i = 0; i < USES; i++) {
        CHECK(uses[i].begin() < 0 && errno == EOPNOTSUPP);
        CHECK(uses[i].begin() < 0 && errno == EOPNOTSUPP);
        printf("refused: %s\n", uses[i].name);
    }
    fflush(NULL);
    CHECK(control("0") == 0);
    for (size_t i = 0; i < USES; i++) {
        CHECK(uses[i].begin() == 0);
        uses[i].end();
    }
    return 0;
}
