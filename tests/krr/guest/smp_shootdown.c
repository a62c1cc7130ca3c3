/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Threads on all CPUs change one address space: mappings come, change their protection, are moved
 * and go, while the kernel writes to them for other threads, and while the whole of it is forked.
 * The kernel must never write where the protection forbade it before the write began.
 * Argument: rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>

#include "smp.h"

#define PAGE 4096
#define PAGES 8

static int rounds, zero;
static char *contested;
/* Even: stable, writable or not in turn. Odd: it is being changed. */
static atomic_int protection;
static atomic_int finished;

/* The kernel writes to memory: is it allowed to? */
static int kernel_writes(char *to)
{
    ssize_t got = read(zero, to, 1);

    CHECK(got == 1 || (got < 0 && errno == EFAULT));
    return got == 1;
}

static void own_mapping(int number, int round)
{
    int seed = number * 7 + round;
    char *map = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    char *moved = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(map != MAP_FAILED && moved != MAP_FAILED);
    for (int i = 0; i < PAGES; i++) {
        map[i * PAGE] = (char)(seed + i);
    }
    CHECK(mprotect(map, PAGES * PAGE, PROT_READ) == 0);
    CHECK(!kernel_writes(map + PAGE));
    CHECK(map[PAGE] == (char)(seed + 1));
    CHECK(mprotect(map, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(kernel_writes(map + PAGE));
    CHECK(map[PAGE] == 0);
    CHECK(mprotect(map, PAGES * PAGE, PROT_READ | PROT_WRITE) == 0);
    CHECK(mremap(map, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == moved);
    CHECK(moved[2 * PAGE] == (char)(seed + 2));
    CHECK(madvise(moved + 3 * PAGE, PAGE, MADV_DONTNEED) == 0);
    CHECK(moved[3 * PAGE] == 0);
    CHECK(munmap(moved, PAGES * PAGE) == 0);
}

/*
 * One page that the first thread protects and that the kernel writes to for all others. Where the
 * protection was the same before and after, it decides.
 */
static void contend(int number)
{
    if (number == 0) {
        int before = atomic_fetch_add(&protection, 1) / 2 % 2;

        CHECK(mprotect(contested, PAGE, before ? PROT_READ | PROT_WRITE : PROT_READ) == 0);
        atomic_fetch_add(&protection, 1);
        return;
    }
    for (int i = 0; i < 4; i++) {
        int before = atomic_load(&protection), written = kernel_writes(contested);

        if (atomic_load(&protection) == before && before % 2 == 0) {
            CHECK(written == (before / 2 % 2 == 0));
        }
    }
}

/* Copy on write: what the child has seen is not changed by us. */
static void fork_it(int number, int round)
{
    static _Thread_local volatile int value;
    pid_t pid;

    value = number * 1000 + round;
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        for (int i = 0; i < 20; i++) {
            getppid();
            if (value != number * 1000 + round) {
                _exit(1);
            }
        }
        value = 0;
        _exit(0);
    }
    value = -1;
    check_wait(pid, 0);
    CHECK(value == -1);
}

static void worker(int number)
{
    for (int round = 0; round < rounds; round++) {
        own_mapping(number, round);
        contend(number);
        if (round % 8 == number % 8) {
            fork_it(number, round);
        }
    }
    atomic_fetch_add(&finished, 1);
}

int main(int argc, char **argv)
{
    rounds = smp_argument(argc, argv, 1, 24);
    smp_init();
    zero = open("/dev/zero", O_RDONLY);
    CHECK(zero >= 0);
    contested = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(contested != MAP_FAILED);
    smp_threads(smp_partners(), worker);
    CHECK(atomic_load(&finished) == smp_partners());
    CHECK(mprotect(contested, PAGE, PROT_READ) == 0);
    CHECK(!kernel_writes(contested));
    printf("smp_shootdown: %d threads, %d rounds\n", smp_partners(), rounds);
    return 0;
}
