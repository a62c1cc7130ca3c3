/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Processes come and go on all CPUs at once: fork and exit, vfork and exec, and fork of a fork
 * whose parent is gone. Every status must be the expected one, and every child be reaped.
 * Argument: rounds.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>

#include "smp.h"

static int rounds;
static char *self;

static void fork_and_exit(int round)
{
    pid_t pid = check_fork();

    if (pid == 0) {
        _exit(round % 100);
    }
    check_wait(pid, round % 100);
}

static void vfork_and_exec(int round)
{
    char number[16];
    pid_t pid;

    snprintf(number, sizeof(number), "%d", round);
    pid = vfork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execl("/proc/self/exe", self, "status", number, NULL);
        _exit(255);
    }
    check_wait(pid, round % 100);
}

/* The grandchild outlives its parent; as the nearest subreaper we inherit it. */
static void orphan(int round)
{
    int expected[2] = { (round + 1) % 100, round % 100 + 100 };
    pid_t pid = check_fork();

    if (pid == 0) {
        if (check_fork() == 0) {
            sched_yield();
            _exit(expected[1]);
        }
        _exit(expected[0]);
    }
    for (int i = 0, seen = 0; i < 2; i++) {
        int status;
        pid_t who = waitpid(-1, &status, 0);

        CHECK(who > 0 && WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == expected[who != pid]);
        CHECK(!(seen & 1 << (who == pid)));
        seen |= 1 << (who == pid);
    }
}

/* Killed in the middle of work, wherever that is. */
static void kill_child(void)
{
    int status;
    pid_t pid = check_fork();

    if (pid == 0) {
        for (;;) {
            getppid();
        }
    }
    sched_yield();
    CHECK(kill(pid, SIGKILL) == 0);
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void worker(int number)
{
    cpu_set_t all;

    /* Children may be placed and balanced anywhere. */
    CPU_ZERO(&all);
    for (int i = 0; i < smp_count; i++) {
        CPU_SET(smp_cpus[i], &all);
    }
    CHECK(sched_setaffinity(0, sizeof(all), &all) == 0);
    CHECK(prctl(PR_SET_CHILD_SUBREAPER, 1) == 0);
    for (int round = number; round < number + rounds; round++) {
        fork_and_exit(round);
        vfork_and_exec(round);
        orphan(round);
        kill_child();
    }
    CHECK(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD);
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "status")) {
        return atoi(argv[2]) % 100;
    }
    self = argv[0];
    rounds = smp_argument(argc, argv, 1, 8);
    smp_init();
    smp_processes(smp_partners(), worker);
    printf("smp_storm: %d workers, %d rounds\n", smp_partners(), rounds);
    return 0;
}
