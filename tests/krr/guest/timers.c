/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sleeps, timerfd, POSIX timers (signal and thread-less polling) and alarms, each checked to last. */
#define _GNU_SOURCE
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>

#include "check.h"

static volatile sig_atomic_t fired;

static void on_timer(int number)
{
    fired++;
    (void)number;
}

static void sleeps(void)
{
    static const long lengths[] = { 0, 1, 1000, 50 * 1000, 1000 * 1000, 20 * 1000 * 1000 };

    for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        for (int n = 0; n < 5; n++) {
            struct timespec t = { .tv_nsec = lengths[i] };
            double start = check_now();

            CHECK(clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL) == 0);
            CHECK(check_now() - start >= lengths[i] / 1e9);
        }
    }
}

static void timer_fd(void)
{
    struct itimerspec spec = { { .tv_nsec = 10000000 }, { .tv_nsec = 10000000 } };
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    uint64_t count, total = 0;

    CHECK(fd >= 0 && timerfd_settime(fd, 0, &spec, NULL) == 0);
    while (total < 10) {
        struct pollfd p = { .fd = fd, .events = POLLIN };

        CHECK(poll(&p, 1, 5000) == 1);
        CHECK(read(fd, &count, sizeof(count)) == sizeof(count));
        total += count;
    }
    close(fd);
}

static void posix_timer(clockid_t clock)
{
    struct itimerspec spec = { { .tv_nsec = 5000000 }, { .tv_nsec = 5000000 } };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN };
    struct sigaction action = { .sa_handler = on_timer };
    volatile unsigned work = 0;
    timer_t timer;

    fired = 0;
    CHECK(sigaction(SIGRTMIN, &action, NULL) == 0);
    CHECK(timer_create(clock, &event, &timer) == 0);
    CHECK(timer_settime(timer, 0, &spec, NULL) == 0);
    while (fired < 5) {
        work++;
    }
    CHECK(timer_delete(timer) == 0);
}

int main(void)
{
    struct timespec wall;

    sleeps();
    timer_fd();
    posix_timer(CLOCK_MONOTONIC);
    posix_timer(CLOCK_REALTIME);
    posix_timer(CLOCK_PROCESS_CPUTIME_ID);
    CHECK(clock_gettime(CLOCK_REALTIME, &wall) == 0);
    printf("timers: done at %lld.%09ld\n", (long long)wall.tv_sec, wall.tv_nsec);
    return 0;
}
