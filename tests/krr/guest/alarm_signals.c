/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An interval timer interrupts a computing loop, system calls and a nested handler. */
#include <signal.h>
#include <sys/time.h>

#include "check.h"

#define TICKS 40

static volatile sig_atomic_t ticks;
static volatile sig_atomic_t nested;

static void on_alarm(int number)
{
    ticks++;
    if (ticks % 4 == 0) {
        CHECK(raise(SIGUSR1) == 0);
    }
    (void)number;
}

static void on_user(int number)
{
    nested++;
    (void)number;
}

int main(void)
{
    struct itimerval timer = { .it_interval.tv_usec = 5000, .it_value.tv_usec = 5000 };
    struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    volatile double x = 1;
    int interrupted = 0;

    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    action.sa_handler = on_user;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    /* Floating point state lives across the handlers. */
    while (ticks < TICKS / 2) {
        x = x * 1.0000001 + 1e-9;
    }
    CHECK(x > 1);
    while (ticks < TICKS) {
        struct timespec second = { .tv_sec = 1 };

        if (nanosleep(&second, NULL) < 0) {
            CHECK(errno == EINTR);
            interrupted++;
        }
    }
    timer = (struct itimerval){ 0 };
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    CHECK(interrupted > 0 && nested >= TICKS / 4);
    printf("alarm_signals: %d ticks\n", (int)ticks);
    return 0;
}
