/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tasks hop over all CPUs, by their own will and moved by others while they work. After a hop the
 * task is where it was sent, and nothing of what it works on is lost. Argument: rounds.
 */
#define _GNU_SOURCE
#include <signal.h>

#include "smp.h"

static int rounds;
static atomic_int *stop;

static void hopper(int number)
{
    volatile double sum = 0;

    for (int i = 0; i < rounds; i++) {
        smp_pin(number + i);
        /* User FPU state goes along. */
        sum += i / 2.0;
        CHECK(getppid() > 0);
    }
    CHECK(sum == (rounds - 1) * (double)rounds / 4);
}

/* Works until told to stop; has no say in where. */
static void moved(void)
{
    int pair[2];
    unsigned int count = 0;

    CHECK(pipe(pair) == 0);
    do {
        unsigned int got;

        count++;
        CHECK(write(pair[1], &count, sizeof(count)) == sizeof(count));
        CHECK(read(pair[0], &got, sizeof(got)) == sizeof(got));
        CHECK(got == count);
        CHECK(sched_getcpu() >= 0);
    } while (!atomic_load(stop));
    _exit(0);
}

int main(int argc, char **argv)
{
    pid_t tasks[SMP_MAX];

    rounds = smp_argument(argc, argv, 1, 40);
    smp_init();
    stop = smp_shared(sizeof(*stop));
    smp_threads(smp_partners(), hopper);
    for (int i = 0; i < smp_partners(); i++) {
        tasks[i] = check_fork();
        if (tasks[i] == 0) {
            moved();
        }
    }
    for (int i = 0; i < rounds; i++) {
        for (int task = 0; task < smp_partners(); task++) {
            cpu_set_t set;

            smp_move(tasks[task], task + i);
            CHECK(sched_getaffinity(tasks[task], sizeof(set), &set) == 0);
            CHECK(CPU_COUNT(&set) == 1 && CPU_ISSET(smp_cpu(task + i), &set));
        }
        sched_yield();
    }
    atomic_store(stop, 1);
    for (int i = 0; i < smp_partners(); i++) {
        check_wait(tasks[i], 0);
    }
    printf("smp_affinity: %d tasks, %d rounds\n", smp_partners(), rounds);
    return 0;
}
