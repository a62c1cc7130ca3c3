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

static int rounds;
static atomic_int working;
static atomic_ulong spins[SMP_MAX];

static void spin(int number)
{
    while (atomic_load(&working)) {
        atomic_fetch_add(&spins[number], 1);
    }
}

static void work(int number)
{
    char name[32], data[512] = "";
    struct stat status;

    snprintf(name, sizeof(name), "/tmp/smp_spinners.%d", number);
    for (int i = 0; i < rounds; i++) {
        int fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);

        CHECK(fd >= 0);
        data[0] = (char)i;
        CHECK(write(fd, data, sizeof(data)) == sizeof(data));
        CHECK(fstat(fd, &status) == 0 && status.st_size == sizeof(data));
        CHECK(pread(fd, data, sizeof(data), 0) == sizeof(data));
        CHECK(data[0] == (char)i);
        CHECK(close(fd) == 0);
    }
    CHECK(unlink(name) == 0);
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
    for (int i = 0; i < smp_count; i++) {
        CHECK(atomic_load(&spins[i]) > 0 || smp_count == 1);
    }
    printf("smp_spinners: %d of each, %d rounds\n", smp_partners(), rounds);
    return 0;
}
