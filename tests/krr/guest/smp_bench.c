/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Times one kind of work, done by some threads or processes at once, each on a CPU of its own, and
 * prints the milliseconds. Arguments: kind of work, how many at once, how often each does it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/syscall.h>

#include "smp.h"

#define PAGE 4096
#define PAGES 64

static int count;
static char *self;

/* About a microsecond each. */
static unsigned int compute(unsigned int value, int times)
{
    while (times-- > 0) {
        for (int i = 0; i < 200; i++) {
            value = value * 1664525 + 1013904223;
            __asm__ volatile("" : "+r"(value));
        }
    }
    return value;
}

static void user(int number)
{
    compute(number, count);
}

/* A system call per millisecond. */
static void user_call(int number)
{
    unsigned int value = number;

    for (int i = 0; i < count; i++) {
        value = compute(value, 1000);
        CHECK(syscall(SYS_getpid) > 0);
    }
}

static void getpid_(int number)
{
    CHECK(number >= 0);
    for (int i = 0; i < count; i++) {
        CHECK(syscall(SYS_getpid) > 0);
    }
}

static void byte_read(int number)
{
    int fd = open("/dev/zero", O_RDONLY);
    char byte = (char)number;

    CHECK(fd >= 0);
    for (int i = 0; i < count; i++) {
        CHECK(read(fd, &byte, 1) == 1);
    }
    CHECK(close(fd) == 0);
}

static void page_fault(int number)
{
    char *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);

    CHECK(map != MAP_FAILED);
    for (int i = 0; i < count; i++) {
        if (i % PAGES == 0) {
            CHECK(madvise(map, PAGES * PAGE, MADV_DONTNEED) == 0);
        }
        map[i % PAGES * PAGE] = (char)number;
    }
    CHECK(munmap(map, PAGES * PAGE) == 0);
}

static void fork_exec(int number)
{
    CHECK(number >= 0);
    for (int i = 0; i < count; i++) {
        pid_t pid = check_fork();

        if (pid == 0) {
            execl("/proc/self/exe", self, NULL);
            _exit(255);
        }
        check_wait(pid, 0);
    }
}

static const struct {
    const char *name;
    void (*body)(int number);
    void (*start)(int count, void (*body)(int number));
} kinds[] = {
    { "user", user, smp_threads },
    { "user_call", user_call, smp_threads },
    { "getpid", getpid_, smp_threads },
    { "byte_read", byte_read, smp_threads },
    { "page_fault", page_fault, smp_processes },
    { "fork_exec", fork_exec, smp_processes },
};

int main(int argc, char **argv)
{
    if (argc == 1) {
        return 0;
    }
    self = argv[0];
    smp_init();
    count = smp_argument(argc, argv, 3, 1);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!strcmp(argv[1], kinds[i].name)) {
            double began = check_now();

            kinds[i].start(smp_argument(argc, argv, 2, 1), kinds[i].body);
            printf("smp_bench: %.3f ms\n", (check_now() - began) * 1e3);
            return 0;
        }
    }
    CHECK(!"known kind of work");
    return 1;
}
