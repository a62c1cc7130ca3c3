/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Two partners wake each other in turn: by futex and by pipe, as processes and as threads. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "check.h"

#define ROUNDS 500

static atomic_int *turn;
static int to_partner[2], from_partner[2];

static void wait_turn(int mine)
{
    int seen;

    while ((seen = atomic_load(turn)) != mine) {
        if (syscall(SYS_futex, turn, FUTEX_WAIT, seen, NULL, NULL, 0) < 0) {
            CHECK(errno == EAGAIN || errno == EINTR);
        }
    }
}

static void pass_turn(int other)
{
    atomic_store(turn, other);
    CHECK(syscall(SYS_futex, turn, FUTEX_WAKE, 1, NULL, NULL, 0) >= 0);
}

static void *futex_partner(void *unused)
{
    for (int i = 0; i < ROUNDS; i++) {
        wait_turn(1);
        pass_turn(0);
    }
    return unused;
}

static void futex_play(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        pass_turn(1);
        wait_turn(0);
    }
}

static void *pipe_partner(void *unused)
{
    int value;

    for (int i = 0; i < ROUNDS; i++) {
        CHECK(read(to_partner[0], &value, sizeof(value)) == sizeof(value));
        value++;
        CHECK(write(from_partner[1], &value, sizeof(value)) == sizeof(value));
    }
    return unused;
}

static void pipe_play(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        int value = i;

        CHECK(write(to_partner[1], &value, sizeof(value)) == sizeof(value));
        CHECK(read(from_partner[0], &value, sizeof(value)) == sizeof(value));
        CHECK(value == i + 1);
    }
}

static void with_process(void *(*partner)(void *), void (*play)(void))
{
    pid_t pid = check_fork();

    if (pid == 0) {
        partner(NULL);
        _exit(0);
    }
    play();
    check_wait(pid, 0);
}

static void with_thread(void *(*partner)(void *), void (*play)(void))
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, partner, NULL) == 0);
    play();
    CHECK(pthread_join(thread, NULL) == 0);
}

int main(void)
{
    turn = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(turn != MAP_FAILED);
    CHECK(pipe(to_partner) == 0 && pipe(from_partner) == 0);
    with_process(futex_partner, futex_play);
    with_thread(futex_partner, futex_play);
    with_process(pipe_partner, pipe_play);
    with_thread(pipe_partner, pipe_play);
    printf("ping_pong: 4 x %d rounds\n", ROUNDS);
    return 0;
}
