/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two partners on different CPUs wake each other in turn: by futex, pipe, eventfd and signal, as
 * processes and as threads. Argument: rounds of each.
 */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

#include "smp.h"

static int rounds;
static atomic_int *turn;
static _Atomic pid_t *tids;
static int pipes[2][2], events[2];
static sigset_t signals;

static pid_t my_tid(void)
{
    return syscall(SYS_gettid);
}

static void futex_pass(int to)
{
    atomic_store(turn, to);
    CHECK(syscall(SYS_futex, turn, FUTEX_WAKE, 1, NULL, NULL, 0) >= 0);
}

static void futex_wait(int mine)
{
    int seen;

    while ((seen = atomic_load(turn)) != mine) {
        if (syscall(SYS_futex, turn, FUTEX_WAIT, seen, NULL, NULL, 0) < 0) {
            CHECK(errno == EAGAIN || errno == EINTR);
        }
    }
}

static void pipe_pass(int to)
{
    CHECK(write(pipes[to][1], &to, sizeof(to)) == sizeof(to));
}

static void pipe_wait(int mine)
{
    int value;

    CHECK(read(pipes[mine][0], &value, sizeof(value)) == sizeof(value));
    CHECK(value == mine);
}

static void event_pass(int to)
{
    CHECK(eventfd_write(events[to], to + 1) == 0);
}

static void event_wait(int mine)
{
    eventfd_t value;

    CHECK(eventfd_read(events[mine], &value) == 0);
    CHECK(value == (eventfd_t)mine + 1);
}

/* Signals are sent to a thread, of this process or another, and waited for. */
static void signal_pass(int to)
{
    CHECK(syscall(SYS_tkill, atomic_load(&tids[to]), SIGUSR1) == 0);
}

static void signal_wait(int mine)
{
    siginfo_t info;
    int got;

    do {
        got = sigwaitinfo(&signals, &info);
    } while (got < 0 && errno == EINTR);
    CHECK(got == SIGUSR1);
    /* From the partner, who may be a thread of this process. */
    CHECK(atomic_load(&tids[1 - mine]) != my_tid() && info.si_pid > 0);
}

static const struct {
    const char *name;
    void (*pass)(int to);
    void (*wait)(int mine);
} ways[] = {
    { "futex", futex_pass, futex_wait },
    { "pipe", pipe_pass, pipe_wait },
    { "eventfd", event_pass, event_wait },
    { "signal", signal_pass, signal_wait },
};
static int way;

/* Both must be there before the first is sent a signal. */
static void meet(int number)
{
    atomic_store(&tids[number], my_tid());
    while (!atomic_load(&tids[1 - number])) {
        sched_yield();
    }
}

static void partner(int number)
{
    meet(number);
    for (int i = 0; i < rounds; i++) {
        if (number == 0) {
            ways[way].pass(1);
            ways[way].wait(0);
        } else {
            ways[way].wait(1);
            ways[way].pass(0);
        }
    }
}

static void play(void (*partners)(int count, void (*body)(int number)))
{
    atomic_store(turn, 0);
    atomic_store(&tids[0], 0);
    atomic_store(&tids[1], 0);
    partners(2, partner);
}

int main(int argc, char **argv)
{
    rounds = smp_argument(argc, argv, 1, 60);
    smp_init();
    turn = smp_shared(sizeof(*turn));
    tids = smp_shared(2 * sizeof(*tids));
    for (int i = 0; i < 2; i++) {
        CHECK(pipe(pipes[i]) == 0);
        events[i] = eventfd(0, 0);
        CHECK(events[i] >= 0);
    }
    CHECK(sigemptyset(&signals) == 0 && sigaddset(&signals, SIGUSR1) == 0);
    CHECK(sigprocmask(SIG_BLOCK, &signals, NULL) == 0);
    for (way = 0; way < (int)(sizeof(ways) / sizeof(ways[0])); way++) {
        play(smp_threads);
        play(smp_processes);
        printf("smp_ping_pong: %s, 2 x %d rounds\n", ways[way].name, rounds);
    }
    return 0;
}
