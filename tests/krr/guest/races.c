/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Provokes the bug of one of our modules (tests/krr/modules/races.h): two processes on two CPUs
 * call its device again and again, as partner 0 and 1. The kernel panics, or the two do not get on
 * any more: that is reported by exit status 7. Status 1: the bug has not shown itself.
 * Arguments: name of the module, rounds.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "smp.h"

#define STATUS_HANGS 7
#define HANGS_SECONDS 3

/* What double_fetch reads. */
struct message {
    _Atomic uint32_t length;
    char data[60];
};

static struct {
    atomic_int here;
    atomic_int rounds[2];
    atomic_int done;
    struct message message;
} *shared;

static int device, rounds;
static const char *name;

static int is_double_fetch(void)
{
    return !strcmp(name, "double_fetch");
}

/* Partner 1 of double_fetch only changes user memory. */
static void change_message(void)
{
    for (uint32_t i = 0; !atomic_load(&shared->done); i++) {
        atomic_store(&shared->message.length, i % 2 ? 32 : 8);
        if (i % 64 == 0) {
            atomic_fetch_add(&shared->rounds[1], 1);
        }
    }
}

static void call(int partner)
{
    for (int i = 0; i < rounds; i++) {
        int result = ioctl(device, partner, &shared->message);

        CHECK(result >= 0 || errno == EINVAL);
        atomic_fetch_add(&shared->rounds[partner], 1);
    }
}

static pid_t start(int partner)
{
    pid_t pid = check_fork();

    if (pid == 0) {
        smp_pin(partner);
        atomic_fetch_add(&shared->here, 1);
        while (atomic_load(&shared->here) < 2) {
            sched_yield();
        }
        if (partner == 1 && is_double_fetch()) {
            change_message();
        } else {
            call(partner);
        }
        _exit(0);
    }
    return pid;
}

/* Waits until the partners have ended, or have stopped to get on. */
static int watch(pid_t pids[2])
{
    double last = check_now();
    int seen = -1, left = 2;

    while (left) {
        int now = atomic_load(&shared->rounds[0]) + atomic_load(&shared->rounds[1]), status;
        pid_t pid = waitpid(-1, &status, WNOHANG);

        CHECK(pid >= 0);
        if (pid > 0) {
            CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
            atomic_store(&shared->done, pid == pids[0]);
            left--;
        }
        if (now != seen) {
            seen = now;
            last = check_now();
        } else if (check_now() - last > HANGS_SECONDS) {
            return STATUS_HANGS;
        }
        CHECK(usleep(20000) == 0);
    }
    return 1;
}

int main(int argc, char **argv)
{
    char path[64];
    pid_t pids[2];
    int status;

    CHECK(argc > 1);
    name = argv[1];
    rounds = smp_argument(argc, argv, 2, 10000);
    smp_init();
    CHECK(smp_count >= 2);
    shared = smp_shared(sizeof(*shared));
    atomic_store(&shared->message.length, 8);
    snprintf(path, sizeof(path), "/dev/krr_%s", name);
    device = open(path, O_RDWR);
    CHECK(device >= 0);
    for (int partner = 0; partner < 2; partner++) {
        pids[partner] = start(partner);
    }
    status = watch(pids);
    printf("races: %s: %s\n", name, status == STATUS_HANGS ? "hangs" : "no bug seen");
    return status;
}
