/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On each CPU a thread that spins in user mode and never asks the kernel for anything, and beside
 * it one that does nothing else. The spinners must get on, and hear of the end at once.
 * Argument: rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/stat.h>

#include "smp.h"

/* A spinner that has not got on after so many times the rounds never will. */
#define PATIENCE 100

static int rounds;
static atomic_int working;
static atomic_ulong spins[SMP_MAX];

static void spin(int number)
{
    while (atomic_load(&working)) {
        atomic_fetch_add(&spins[number], 1);
    }
}

static void one_round(const char *name, char first)
{
    char data[512] = "";
    struct stat status;
    int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);

    CHECK(fd >= 0);
    data[0] = first;
    CHECK(write(fd, data, sizeof(data)) == sizeof(data));
    CHECK(fstat(fd, &status) == 0 && status.st_size == sizeof(data));
    CHECK(pread(fd, data, sizeof(data), 0) == sizeof(data));
    CHECK(data[0] == first);
    CHECK(close(fd) == 0);
}

/* Some rounds, and as many more as it takes until the spinner has got on beside them. */
static void work(int number)
{
    unsigned long before;
    char name[32];

    while ((before = atomic_load(&spins[number])) == 0) {
        sched_yield();          /* it has not begun */
    }
    snprintf(name, sizeof(name), "/tmp/smp_spinners.%d", number);
    for (int i = 0; i < rounds || (i < rounds * PATIENCE && atomic_load(&spins[number]) == before);
         i++) {
        one_round(name, (char)i);
    }
    CHECK(unlink(name) == 0);
    CHECK(atomic_load(&spins[number]) > before);
    atomic_fetch_sub(&working, 1);
}

static void body(int number)
{
    if (number < smp_partners()) {
        work(number);
    } else {
        spin(number - smp_partners());
    }
}

int main(int argc, char **argv)
{
    rounds = smp_argument(argc, argv, 1, 100);
    smp_init();
    atomic_store(&working, smp_partners());
    smp_threads(2 * smp_partners(), body);
    printf("smp_spinners: %d of each, %d rounds\n", smp_partners(), rounds);
    return 0;
}
