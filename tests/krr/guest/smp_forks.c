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

static void worker(int number)
{
    if (number == 0) {
        fork_often();
        return;
    }
    while (!atomic_load(&finished)) {
        for (int i = 0; i < PAGES; i++) {
            CHECK(read(zero, written[number % SMP_MAX][i], 1) == 1);
        }
    }
    for (int i = 0; i < PAGES; i++) {
        CHECK(written[number % SMP_MAX][i][0] == 0);
    }
}

int main(int argc, char **argv)
{
    char *memory;

    forks = smp_argument(argc, argv, 1, 20);
    smp_init();
    zero = open("/dev/zero", O_RDONLY);
    CHECK(zero >= 0);
    memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    memset(memory, 1, MEMORY);
    memset(written, 1, sizeof(written));
    smp_threads(smp_partners(), worker);
    printf("smp_forks: %d\n", forks);
    return 0;
}
