/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the guest programs that need more than one CPU: which there are, and threads and processes
 * on chosen ones. With a single CPU all of it works too, on that one.
 */
#ifndef KRR_TEST_SMP_H
#define KRR_TEST_SMP_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "check.h"

#define SMP_MAX 64

static int smp_cpus[SMP_MAX];
static int smp_count;

/* To be called first. */
static inline void smp_init(void)
{
    cpu_set_t set;

    CHECK(sched_getaffinity(0, sizeof(set), &set) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && smp_count < SMP_MAX; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            smp_cpus[smp_count++] = cpu;
        }
    }
    CHECK(smp_count > 0);
}

/* The number of partners for a test of concurrency: two at least. */
static inline int smp_partners(void)
{
    return smp_count > 1 ? smp_count : 2;
}

/* The CPU of the n-th partner. */
static inline int smp_cpu(int n)
{
    return smp_cpus[n % smp_count];
}

/* Moves a task (0: the caller) to the CPU of the n-th partner. */
static inline void smp_move(pid_t task, int n)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(smp_cpu(n), &set);
    CHECK(sched_setaffinity(task, sizeof(set), &set) == 0);
}

static inline void smp_pin(int n)
{
    smp_move(0, n);
    CHECK(sched_getcpu() == smp_cpu(n));
}

/* Memory that forked processes have in common. */
static inline void *smp_shared(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

struct smp_thread {
    pthread_t thread;
    pthread_barrier_t *start;
    int number;
    void (*body)(int number);
};

static inline void *smp_thread_main(void *argument)
{
    struct smp_thread *self = argument;

    smp_pin(self->number);
    pthread_barrier_wait(self->start);
    self->body(self->number);
    return NULL;
}

/*
 * Runs the body in count threads, the n-th on the CPU of the n-th partner. None begins before all are
 * there: else the first could be done before the last exists.
 */
static inline void smp_threads(int count, void (*body)(int number))
{
    static struct smp_thread threads[2 * SMP_MAX];
    pthread_barrier_t start;

    CHECK(count <= 2 * SMP_MAX);
    CHECK(pthread_barrier_init(&start, NULL, count) == 0);
    for (int i = 0; i < count; i++) {
        threads[i] = (struct smp_thread) { .start = &start, .number = i, .body = body };
        CHECK(pthread_create(&threads[i].thread, NULL, smp_thread_main, &threads[i]) == 0);
    }
    for (int i = 0; i < count; i++) {
        CHECK(pthread_join(threads[i].thread, NULL) == 0);
    }
    CHECK(pthread_barrier_destroy(&start) == 0);
}

/* The same with processes, which answer by exit status 0. */
static inline void smp_processes(int count, void (*body)(int number))
{
    pid_t pids[2 * SMP_MAX];

    CHECK(count <= 2 * SMP_MAX);
    for (int i = 0; i < count; i++) {
        pids[i] = check_fork();
        if (pids[i] == 0) {
            smp_pin(i);
            body(i);
            _exit(0);
        }
    }
    for (int i = 0; i < count; i++) {
        check_wait(pids[i], 0);
    }
}

/* The argument at a place, a number, or what it is by default. */
static inline int smp_argument(int argc, char **argv, int place, int otherwise)
{
    int value = argc > place ? atoi(argv[place]) : otherwise;

    CHECK(value > 0);
    return value;
}

#endif
