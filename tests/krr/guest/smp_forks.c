/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A process forks while the kernel writes to its memory for its other threads. Until fork() has gone
 * through all of it, CPUs may write by translations that the page tables no longer have, or fault.
 * Argument: forks.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include "smp.h"

#define PAGE 4096
#define PAGES 4
/* Takes fork() a while. */
#define MEMORY (16 << 20)

static int forks, zero;
/* A file that has each byte at the offset of its value. */
static int values;
static atomic_int finished;
/* Before all else in memory; nobody but the kernel writes here while it is forked. */
static char written[SMP_MAX][PAGES][PAGE] __attribute__((aligned(PAGE)));

static void fork_often(void)
{
    for (int i = 0; i < forks; i++) {
        pid_t pid = fork();

        CHECK(pid >= 0);
        if (pid == 0) {
            _exit(7);
        }
        check_wait(pid, 7);
    }
    atomic_store(&finished, 1);
}

/* What the kernel has written is here, and not in the page that a child has. */
static void write_pages(char (*pages)[PAGE], int round)
{
    for (int i = 0; i < PAGES; i++) {
        CHECK(read(zero, pages[i], 1) == 1);
        CHECK(pages[i][0] == 0);
        CHECK(pread(values, pages[i], 1, round % 256) == 1);
    }
    for (int i = 0; i < PAGES; i++) {
        CHECK(pages[i][0] == (char)round);
    }
}

static void worker(int number)
{
    int round = 0;

    if (number == 0) {
        fork_often();
        return;
    }
    do {
        write_pages(written[number % SMP_MAX], ++round);
    } while (!atomic_load(&finished));
}

static void make_values(void)
{
    values = memfd_create("values", MFD_CLOEXEC);
    CHECK(values >= 0);
    for (int i = 0; i < 256; i++) {
        char value = (char)i;

        CHECK(write(values, &value, 1) == 1);
    }
}

int main(int argc, char **argv)
{
    char *memory;

    forks = smp_argument(argc, argv, 1, 20);
    smp_init();
    zero = open("/dev/zero", O_RDONLY);
    CHECK(zero >= 0);
    make_values();
    memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 1, MEMORY);
    memset(written, 1, sizeof(written));
    smp_threads(smp_partners(), worker);
    printf("smp_forks: %d\n", forks);
    return 0;
}
