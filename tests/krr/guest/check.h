/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the programs that run in the recorded guest: each exercises one behaviour of the kernel,
 * checks what the kernel answered, and ends with status 0 or says what was wrong.
 */
#ifndef KRR_TEST_CHECK_H
#define KRR_TEST_CHECK_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s: failed (%s)\n", __FILE__, __LINE__, #condition,           \
                    strerror(errno));                                                             \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

/* Forks; returns 0 in the child. */
static inline pid_t check_fork(void)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    CHECK(pid >= 0);
    return pid;
}

/* Waits for one child and insists on its status. */
static inline void check_wait(pid_t pid, int expected)
{
    int status;

    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == expected);
}

static inline double check_now(void)
{
    struct timespec t;

    CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
    return t.tv_sec + t.tv_nsec / 1e9;
}

#endif
