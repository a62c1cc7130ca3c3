/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The barrier that one thread executes for all: of two that each raise a flag and then look at the
 * other's, at least one must see it, though only one of them executes a barrier. All commands.
 * Argument: rounds.
 */
#define _GNU_SOURCE
#include <linux/membarrier.h>
#include <sys/syscall.h>

#include "smp.h"

static int rounds;
static volatile int flags[2], seen[2];
static atomic_int arrived[2];

static int membarrier(int command)
{
    return syscall(SYS_membarrier, command, 0, 0);
}

/* Both begin, and both end, a round together. They may share a CPU. */
static void together(int number, int step)
{
    atomic_store(&arrived[number], step);
    for (int i = 1; atomic_load(&arrived[1 - number]) < step; i++) {
        if (i % 1000 == 0) {
            sched_yield();
        }
    }
}

static void partner(int number)
{
    for (int round = 0; round < rounds; round++) {
        together(number, 3 * round + 1);
        flags[number] = 1;
        if (number == 0) {
            CHECK(membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0);
        } else {
            atomic_signal_fence(memory_order_seq_cst);
        }
        seen[number] = flags[1 - number];
        together(number, 3 * round + 2);
        CHECK(seen[0] || seen[1]);
        together(number, 3 * round + 3);
        flags[number] = 0;
    }
}

static void every_command(int number)
{
    static const int commands[] = {
        MEMBARRIER_CMD_GLOBAL_EXPEDITED, MEMBARRIER_CMD_PRIVATE_EXPEDITED,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
    };

    for (int i = 0; i < rounds; i++) {
        CHECK(membarrier(commands[(i + number) % 4]) == 0);
    }
    CHECK(membarrier(MEMBARRIER_CMD_GLOBAL) == 0);
}

int main(int argc, char **argv)
{
    rounds = smp_argument(argc, argv, 1, 100);
    smp_init();
    CHECK(membarrier(MEMBARRIER_CMD_QUERY) > 0);
    CHECK(membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) == 0);
    CHECK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0);
    CHECK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE) == 0);
    CHECK(membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ) == 0);
    smp_threads(2, partner);
    smp_threads(smp_partners(), every_command);
    printf("smp_membarrier: %d rounds\n", rounds);
    return 0;
}
