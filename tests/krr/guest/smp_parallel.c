/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Computes in user mode, with a system call now and then: first in one thread, then in as many as
 * there are CPUs, each with the same work. What is parallel takes as long as one alone. Prints both
 * times, and the time that the threads had a CPU in user mode and in the kernel.
 * Arguments: milliseconds of work, microseconds between system calls (as one alone needs them).
 */
#define _GNU_SOURCE
#include <sys/resource.h>

#include "smp.h"

static int pieces;
static long loops;
static atomic_uint results[SMP_MAX];

static unsigned int compute(unsigned int value, long count)
{
    while (count--) {
        value = value * 1664525 + 1013904223;
        __asm__ volatile("" : "+r"(value));
    }
    return value;
}

static void body(int number)
{
    unsigned int value = 1;

    for (int i = 0; i < pieces; i++) {
        value = compute(value, loops);
        CHECK(getppid() > 0);
    }
    atomic_store(&results[number], value);
}

/* How many loops take so long? The best of some tries: others may be at work as well. */
static long calibrate(double seconds)
{
    const long count = 2000000;
    double best = 1e9;

    for (int i = 0; i < 5; i++) {
        double began = check_now(), took;

        compute(i, count);
        took = check_now() - began;
        best = took < best ? took : best;
    }
    return (long)(count * seconds / best) + 1;
}

static double cpu_seconds(struct timeval used)
{
    return used.tv_sec + used.tv_usec / 1e6;
}

static double run(int threads, const char *what)
{
    struct rusage before, after;
    double began = check_now(), took;

    CHECK(getrusage(RUSAGE_SELF, &before) == 0);
    smp_threads(threads, body);
    CHECK(getrusage(RUSAGE_SELF, &after) == 0);
    took = check_now() - began;
    printf("smp_parallel: %s: %.0f ms, user %.0f ms, kernel %.0f ms\n", what, took * 1e3,
           (cpu_seconds(after.ru_utime) - cpu_seconds(before.ru_utime)) * 1e3,
           (cpu_seconds(after.ru_stime) - cpu_seconds(before.ru_stime)) * 1e3);
    return took;
}

int main(int argc, char **argv)
{
    int work = smp_argument(argc, argv, 1, 300), interval = smp_argument(argc, argv, 2, 1000);
    double alone, together;

    smp_init();
    pieces = work * 1000 / interval;
    loops = calibrate(interval / 1e6);
    alone = run(1, "alone");
    together = run(smp_count, "together");
    for (int i = 1; i < smp_count; i++) {
        CHECK(atomic_load(&results[i]) == atomic_load(&results[0]));
    }
    printf("smp_parallel: %d threads, speed-up %.2f\n", smp_count, smp_count * alone / together);
    return 0;
}
